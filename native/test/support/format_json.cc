#include "format_json.h"

#include <set>

namespace blockmirror::test {
namespace {

Json uuid(const Uuid& value) { return Json::text(to_string(value)); }

Json features(std::uint64_t word) {
  char text[19];
  std::snprintf(text, sizeof(text), "0x%016llx", static_cast<unsigned long long>(word));
  return Json::text(text);
}

Json state(ImageState value) {
  static const char* const kNames[] = {"in_sync", "assumed", "behind", "synchronizing", "inconsistent", "failed"};
  return Json::text(kNames[static_cast<unsigned>(value)]);
}

Json lifecycle(Lifecycle value) {
  static const char* const kNames[] = {"creating", "opening", "open", "sealed"};
  return Json::text(kNames[static_cast<unsigned>(value)]);
}

template <typename Enum, std::size_t count>
Json named(Enum value, const char* const (&names)[count]) {
  return Json::text(names[static_cast<std::size_t>(value)]);
}

Json path_kind(PathKind value) {
  static const char* const kNames[] = {"absolute", "relative", "uri"};
  return named(value, kNames);
}

Json debt(DebtKind value) {
  static const char* const kNames[] = {"none", "map", "everything"};
  return named(value, kNames);
}

Json resync_kind(ResyncKind value) {
  static const char* const kNames[] = {"none", "debt", "full_compare", "full_copy", "debt_of_assumed"};
  return named(value, kNames);
}

Json cause(FractureCause value) {
  static const char* const kNames[] = {"none",        "write_error",     "flush_error",     "read_error",
                                       "label_error", "deadline",        "absent",          "blank",
                                       "foreign",     "stale",           "too_small",       "grown",
                                       "unreadable",  "lost_allocation", "block_too_large", "operator_request",
                                       "promoted",    "added",           "flapping",        "differs"};
  return named(value, kNames);
}

Json fracture(const Fracture& value) {
  Json json = Json::object();
  json.set("cause", cause(value.cause))
      .set("atMs", Json::number(value.at_ms))
      .set("generation", Json::number(value.generation.counter))
      .set("generationId", uuid(value.generation.id))
      .set("openCount", Json::number(value.open_count))
      .set("incarnation", uuid(value.incarnation))
      .set("tail", Json::number(value.tail))
      .set("barrier", uuid(value.barrier));
  return json;
}

Json resync(const ResyncRecord& value) {
  Json json = Json::object();
  json.set("id", uuid(value.id))
      .set("kind", resync_kind(value.kind))
      .set("cursor", Json::number(value.cursor))
      .set("beganAtMs", Json::number(value.began_at_ms));
  return json;
}

Json told(const ToldLabel& value) {
  Json json = Json::object();
  json.set("update", Json::number(value.update)).set("incarnation", uuid(value.incarnation));
  return json;
}

Json log_of(const LogReference& value) {
  Json json = Json::object();
  json.set("uuid", uuid(value.uuid)).set("pathKind", path_kind(value.path_kind)).set("path", Json::text(value.path));
  return json;
}

Json policies(const Policies& value) {
  static const char* const kRejoin[] = {"auto", "manual"};
  static const char* const kMasterFailure[] = {"stop", "promote"};
  Json json = Json::object();
  json.set("minimumInSync", Json::number(value.minimum_in_sync))
      .set("rejoin", named(value.rejoin, kRejoin))
      .set("onMasterFailure", named(value.on_master_failure, kMasterFailure))
      .set("deviceTimeoutMs", Json::number(value.device_timeout_ms))
      .set("lateWindowMs", Json::number(value.late_window_ms))
      .set("resyncRate", Json::number(value.resync_rate))
      .set("waitForImagesMs", Json::number(value.wait_for_images_ms));
  return json;
}

Json image_entry(const ImageRecord& image) {
  Json json = Json::object();
  if (!image.in_use()) return json;
  json.set("uuid", uuid(image.uuid))
      .set("state", state(image.state))
      .set("name", Json::text(image.name))
      .set("path", Json::text(image.path))
      .set("pathKind", path_kind(image.path_kind))
      .set("heldLabel", Json::boolean(image.held_label))
      .set("volatileAllowed", Json::boolean(image.volatile_allowed))
      .set("debt", debt(image.debt))
      .set("deviceSize", Json::number(image.device_size))
      .set("labelPosition", Json::number(image.label_position))
      .set("error", Json::number(static_cast<std::uint64_t>(image.error)))
      .set("changedAtMs", Json::number(image.changed_at_ms))
      .set("bytesDiffered", Json::number(image.bytes_differed))
      .set("fracture", fracture(image.fracture))
      .set("mapId", uuid(image.map_id))
      .set("resync", resync(image.resync))
      .set("suspectUntilMs", Json::number(image.suspect_until_ms))
      .set("told", told(image.told))
      .set("telling", told(image.telling))
      .set("windowBytes", Json::number(image.window_bytes))
      .set("rate", Json::number(image.rate))
      .set("partitionUuid", uuid(image.partition_uuid))
      .set("serial", Json::text(image.serial));
  return json;
}

Json generation(const Generation& value) {
  Json json = Json::object();
  json.set("counter", Json::number(value.counter)).set("id", uuid(value.id)).set("parent", uuid(value.parent));
  return json;
}

Json history(const std::array<GenerationMark, kGenerationHistory>& marks) {
  Json json = Json::list();
  for (const GenerationMark& mark : marks) {
    if (mark == GenerationMark{}) continue;
    Json item = Json::object();
    json.add(item.set("counter", Json::number(mark.counter)).set("id", uuid(mark.id)));
  }
  return json;
}

Json extents_of(const Intent& intent, const std::uint64_t* sequence) {
  Json json = Json::list();
  ExtentSet covered;
  add_covered(intent, covered);
  for (const Extent& extent : covered.extents()) {
    Json item = Json::object();
    if (sequence != nullptr) item.set("sequence", Json::number(*sequence));
    json.add(item.set("position", Json::number(extent.position)).set("length", Json::number(extent.length)));
  }
  return json;
}

}  // namespace

Json Json::text(const std::string& value) { return Json("\"" + value + "\""); }  // nothing here needs escaping

Json& Json::add(const Json& item) {
  if (item.kind_ == '[') {
    items_.insert(items_.end(), item.items_.begin(), item.items_.end());  // a list into a list: its items
  } else {
    items_.push_back({"", item});
  }
  return *this;
}

Json& Json::set(const std::string& key, const Json& value) {
  items_.push_back({key, value});
  return *this;
}

std::string Json::str(unsigned indent) const {
  if (kind_ == 0) return scalar_;
  const char close = kind_ == '[' ? ']' : '}';
  if (items_.empty()) return std::string{kind_, close};
  std::string text{kind_};
  for (std::size_t i = 0; i < items_.size(); ++i) {
    text += i == 0 ? "\n" : ",\n";
    text += std::string(indent + 2, ' ');
    if (kind_ == '{') text += "\"" + items_[i].first + "\": ";
    text += items_[i].second.str(indent + 2);
  }
  return text + "\n" + std::string(indent, ' ') + close;
}

Json to_json(const Superblock& superblock) {
  Json ring = Json::object();
  ring.set("position", Json::number(superblock.ring.position))
      .set("recordSize", Json::number(superblock.ring.record_size))
      .set("recordCount", Json::number(superblock.ring.record_count))
      .set("inFlightLimit", Json::number(superblock.ring.in_flight_limit));
  Json maps = Json::object();
  maps.set("position", Json::number(superblock.maps.position))
      .set("slotLength", Json::number(superblock.maps.slot_length))
      .set("unit", Json::number(superblock.maps.unit));
  Json images = Json::list();
  for (const ImageRecord& image : superblock.images) images.add(image_entry(image));
  Json owner = Json::object();
  owner.set("host", Json::text(superblock.owner.host))
      .set("bootId", uuid(superblock.owner.boot_id))
      .set("process", Json::number(superblock.owner.process))
      .set("startedAtMs", Json::number(superblock.owner.started_at_ms))
      .set("processStarted", Json::number(superblock.owner.process_started))
      .set("pidNamespace", Json::number(superblock.owner.pid_namespace));
  const RecoverySummary& last = superblock.last_recovery;
  Json recovery = Json::object();
  recovery.set("finishedAtMs", Json::number(last.finished_at_ms))
      .set("liveIntents", Json::number(last.live_intents))
      .set("bytesCovered", Json::number(last.bytes_covered))
      .set("bytesCopied", Json::number(last.bytes_copied))
      .set("durationMs", Json::number(last.duration_ms))
      .set("readBack", Json::boolean(last.read_back))
      .set("fullCompare", Json::boolean(last.full_compare));
  Json verify = Json::object();
  verify.set("finishedAtMs", Json::number(superblock.last_verify.finished_at_ms))
      .set("bytesCompared", Json::number(superblock.last_verify.bytes_compared))
      .set("bytesDiffered", Json::number(superblock.last_verify.bytes_differed))
      .set("bytesRepaired", Json::number(superblock.last_verify.bytes_repaired));
  static const char* const kLogStates[] = {"current", "arriving", "moved"};
  static const char* const kPairedStates[] = {"current", "lost"};
  Json json = Json::object();
  json.set("compatibleFeatures", features(superblock.compatible_features))
      .set("incompatibleFeatures", features(superblock.incompatible_features))
      .set("update", Json::number(superblock.update))
      .set("createdAtMs", Json::number(superblock.created_at_ms))
      .set("mirrorUuid", uuid(superblock.mirror_uuid))
      .set("logUuid", uuid(superblock.log_uuid))
      .set("size", Json::number(superblock.size))
      .set("blockSize", Json::number(superblock.block_size))
      .set("physicalBlockSize", Json::number(superblock.physical_block_size))
      .set("logSize", Json::number(superblock.log_size))
      .set("ring", ring)
      .set("maps", maps)
      .set("master", Json::number(superblock.master))
      .set("maxImages", Json::number(superblock.max_images))
      .set("pendingSize", Json::number(superblock.pending_size))
      .set("logState", named(superblock.log_state, kLogStates))
      .set("servedSinceCrash", Json::boolean(superblock.served_since_crash))
      .set("generation", generation(superblock.generation))
      .set("openCount", Json::number(superblock.open_count))
      .set("incarnation", uuid(superblock.incarnation))
      .set("previousIncarnation", uuid(superblock.previous_incarnation))
      .set("firstSequence", Json::number(superblock.first_sequence))
      .set("sealedSequence", Json::number(superblock.sealed_sequence))
      .set("lifecycle", lifecycle(superblock.lifecycle))
      .set("history", history(superblock.history))
      .set("owner", owner)
      .set("lastRecovery", recovery)
      .set("lastVerify", verify)
      .set("policies", policies(superblock.policies))
      .set("pairedLog", log_of(superblock.paired_log))
      .set("pairedState", named(superblock.paired_state, kPairedStates))
      .set("predecessor", log_of(superblock.predecessor))
      .set("movedTo", log_of(superblock.moved_to))
      .set("images", images);
  return json;
}

Json to_json(const Label& label) {
  Json peers = Json::list();
  for (const Peer& peer : label.peers) {
    Json item = Json::object();
    if (!peer.uuid.is_zero()) {
      item.set("uuid", uuid(peer.uuid))
          .set("state", state(peer.state))
          .set("changedAtMs", Json::number(peer.changed_at_ms));
    }
    peers.add(item);
  }
  Json json = Json::object();
  json.set("compatibleFeatures", features(label.compatible_features))
      .set("incompatibleFeatures", features(label.incompatible_features))
      .set("update", Json::number(label.update))
      .set("mirrorUuid", uuid(label.mirror_uuid))
      .set("logUuid", uuid(label.log_uuid))
      .set("imageUuid", uuid(label.image_uuid))
      .set("index", Json::number(label.index))
      .set("master", Json::number(label.master))
      .set("state", state(label.state))
      .set("sealed", Json::boolean(label.sealed))
      .set("size", Json::number(label.size))
      .set("deviceSize", Json::number(label.device_size))
      .set("labelPosition", Json::number(label.label_position))
      .set("generation", generation(label.generation))
      .set("openCount", Json::number(label.open_count))
      .set("incarnation", uuid(label.incarnation))
      .set("history", history(label.history))
      .set("name", Json::text(label.name))
      .set("writtenAtMs", Json::number(label.written_at_ms))
      .set("resyncId", uuid(label.resync_id))
      .set("resyncKind", resync_kind(label.resync_kind))
      .set("fracturedAtMs", Json::number(label.fractured_at_ms))
      .set("barrier", uuid(label.barrier))
      .set("pairedLogUuid", uuid(label.paired_log_uuid))
      .set("peers", peers)
      .set("logPathKind", path_kind(label.log_path_kind))
      .set("logPath", Json::text(label.log_path));
  return json;
}

Json to_json(const Slot& slot) {
  static const char* const kStates[] = {"complete", "mixed", "broken"};
  Json stamps = Json::list();
  for (const SectorStamp& stamp : slot.stamps) {
    Json item = Json::object();
    stamps.add(item.set("sequence", Json::number(stamp.sequence)).set("opening", Json::number(stamp.opening)));
  }
  Json json = Json::object();
  json.set("state", Json::text(kStates[static_cast<unsigned>(slot.state)])).set("stamps", stamps);
  if (slot.state != SlotState::complete) return json;
  const RecordHeader& header = slot.record.header;
  Json covered = Json::list();
  for (const Intent& intent : slot.record.intents) covered.add(extents_of(intent, nullptr));
  json.set("sequence", Json::number(header.sequence))
      .set("opening", Json::number(header.opening))
      .set("generation", Json::number(header.generation))
      .set("durableThrough", Json::number(header.durable_through))
      .set("tail", Json::number(header.tail))
      .set("extents", covered);
  return json;
}

Json to_json(const HistoryScan& scan) {
  static const char* const kKinds[] = {"none",     "created",      "opened",         "recovered", "fractured",
                                       "rejoined", "resync_begun", "resync_ended",   "verified",  "repaired",
                                       "error",    "promoted",     "added",          "removed",   "replaced",
                                       "grown",    "moved",        "policy_changed", "closed"};
  Json events = Json::list();
  for (const Event& event : scan.events) {
    Json item = Json::object();
    events.add(item.set("sequence", Json::number(event.sequence))
                   .set("atMs", Json::number(event.at_ms))
                   .set("kind", named(event.kind, kKinds))
                   .set("image", Json::number(event.image))
                   .set("before", state(event.before))
                   .set("after", state(event.after))
                   .set("cause", cause(event.cause))
                   .set("error", Json::number(static_cast<std::uint64_t>(event.error)))
                   .set("generation", Json::number(event.generation))
                   .set("openCount", Json::number(event.open_count))
                   .set("position", Json::number(event.extent.position))
                   .set("length", Json::number(event.extent.length))
                   .set("bytes", Json::number(event.bytes))
                   .set("durationMs", Json::number(event.duration_ms))
                   .set("name", Json::text(event.name)));
  }
  Json json = Json::object();
  json.set("newest", Json::number(scan.newest)).set("broken", Json::number(scan.broken)).set("events", events);
  return json;
}

Json to_json(const Superblock& superblock, std::span<const std::byte> log) {
  Json maps = Json::list();
  const MapShape shape = superblock.map_shape();
  for (unsigned i = 0; i < superblock.images.size(); ++i) {
    const ImageRecord& image = superblock.images[i];
    if (image.debt != DebtKind::map) continue;
    const MapIdentity map{superblock.log_uuid, image.uuid, i, image.map_id};
    const auto at = [&](std::uint64_t offset) {
      return log.subspan(superblock.maps.slot(i) + offset, kMapSectorLength);
    };
    const bool named = judge_map_header(map, shape, at(0)).finding == MapFinding::bits;
    ExtentSet differs;
    if (!named) differs.add({0, superblock.size});
    for (std::uint64_t sector = 0; named && sector < shape.sectors(); ++sector) {
      MapBits bits;
      const MapFinding finding = decode_map_sector(map, shape, sector, at(MapShape::offset_of(sector)), bits).finding;
      if (finding == MapFinding::bits) add_units(shape, sector, bits, differs);
      if (finding == MapFinding::everything) differs.add(shape.reach(sector));
    }
    Json extents = Json::list();
    for (const Extent& extent : differs.extents()) {
      Json item = Json::object();
      extents.add(item.set("position", Json::number(extent.position)).set("length", Json::number(extent.length)));
    }
    Json item = Json::object();
    maps.add(item.set("image", Json::number(i)).set("believed", Json::boolean(named)).set("extents", extents));
  }
  return maps;
}

Json to_json(const ScannedRing& scan) {
  Json live = Json::list();
  for (const SequencedIntent& intent : scan.live) live.add(extents_of(intent.intent, &intent.sequence));
  std::set<std::uint32_t> slots;
  for (const SlotDamage& damage : scan.damage) slots.insert(damage.slot);
  Json damaged_slots = Json::list();
  for (std::uint32_t slot : slots) damaged_slots.add(Json::number(slot));
  Json json = Json::object();
  json.set("damaged", Json::boolean(scan.damaged))
      .set("damagedSlots", damaged_slots)
      .set("sequence", Json::number(scan.sequence))
      .set("tail", Json::number(scan.tail))
      .set("durableThrough", Json::number(scan.durable_through))
      .set("tornRecords", Json::number(scan.torn_records))
      .set("live", live);
  return json;
}

}  // namespace blockmirror::test
