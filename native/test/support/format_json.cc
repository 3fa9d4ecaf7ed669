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

Json role(Role value) { return Json::text(value == Role::master ? "master" : "slave"); }

Json state(ImageState value) {
  static const char* const kNames[] = {"in_sync", "assumed", "behind", "synchronizing", "inconsistent", "failed"};
  return Json::text(kNames[static_cast<unsigned>(value)]);
}

Json lifecycle(Lifecycle value) {
  static const char* const kNames[] = {"creating", "opening", "open", "sealed"};
  return Json::text(kNames[static_cast<unsigned>(value)]);
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
  Json images = Json::list();
  for (const ImageRecord& image : superblock.images) {
    Json item = Json::object();
    images.add(item.set("uuid", uuid(image.uuid))
                   .set("role", role(image.role))
                   .set("state", state(image.state))
                   .set("name", Json::text(image.name))
                   .set("path", Json::text(image.path))
                   .set("pathKind", Json::text(image.path_kind == PathKind::absolute ? "absolute" : "relative"))
                   .set("deviceSize", Json::number(image.device_size))
                   .set("labelPosition", Json::number(image.label_position))
                   .set("mapPosition", Json::number(image.map_position))
                   .set("mapLength", Json::number(image.map_length))
                   .set("error", Json::number(static_cast<std::uint64_t>(image.error)))
                   .set("changedAtMs", Json::number(image.changed_at_ms))
                   .set("bytesDiffered", Json::number(image.bytes_differed)));
  }
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
      .set("bytesDiffered", Json::number(superblock.last_verify.bytes_differed));
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
      .set("images", images);
  return json;
}

Json to_json(const Label& label) {
  Json json = Json::object();
  json.set("compatibleFeatures", features(label.compatible_features))
      .set("incompatibleFeatures", features(label.incompatible_features))
      .set("update", Json::number(label.update))
      .set("mirrorUuid", uuid(label.mirror_uuid))
      .set("logUuid", uuid(label.log_uuid))
      .set("imageUuid", uuid(label.image_uuid))
      .set("role", role(label.role))
      .set("state", state(label.state))
      .set("sealed", Json::boolean(label.sealed))
      .set("size", Json::number(label.size))
      .set("deviceSize", Json::number(label.device_size))
      .set("labelPosition", Json::number(label.label_position))
      .set("generation", generation(label.generation))
      .set("openCount", Json::number(label.open_count))
      .set("incarnation", uuid(label.incarnation))
      .set("history", history(label.history))
      .set("name", Json::text(label.name));
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
