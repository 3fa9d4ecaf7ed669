#include "to_javascript.h"

#include <sys/sysmacros.h>

#include <algorithm>
#include <string>
#include <variant>
#include <vector>

namespace blockmirror::addon {

namespace {

double number(std::uint64_t value) { return static_cast<double>(value); }

template <typename List, typename Convert>
Napi::Array array_of(Napi::Env env, const List& list, Convert convert) {
  Napi::Array array = Napi::Array::New(env, list.size());
  std::uint32_t index = 0;
  for (const auto& element : list) array.Set(index++, convert(element));
  return array;
}

Napi::Array numbers(Napi::Env env, const std::vector<std::uint64_t>& list) {
  return array_of(env, list, [env](std::uint64_t value) { return Napi::Number::New(env, number(value)); });
}

const char* name_of(ImageState state) {
  switch (state) {
    case ImageState::in_sync:
      return "in-sync";
    case ImageState::assumed:
      return "assumed";
    case ImageState::behind:
      return "behind";
    case ImageState::synchronizing:
      return "synchronizing";
    case ImageState::inconsistent:
      return "inconsistent";
    case ImageState::failed:
      return "failed";
  }
  return "inconsistent";
}

const char* name_of(Phase phase) {
  switch (phase) {
    case Phase::idle:
      return "idle";
    case Phase::loaded:
      return "loaded";
    case Phase::planned:
      return "planned";
    case Phase::formatting:
      return "formatting";
    case Phase::recovering:
      return "recovering";
    case Phase::running:
      return "running";
    case Phase::stopped:
      return "stopped";
    case Phase::closed:
      return "closed";
  }
  return "closed";
}

const char* name_of(Lifecycle lifecycle) {
  switch (lifecycle) {
    case Lifecycle::creating:
      return "creating";
    case Lifecycle::opening:
      return "opening";
    case Lifecycle::open:
      return "open";
    case Lifecycle::sealed:
      return "sealed";
  }
  return "creating";
}

Napi::Object extent_object(Napi::Env env, const Extent& extent) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("position", number(extent.position));
  object.Set("length", number(extent.length));
  return object;
}

Napi::Object generation_object(Napi::Env env, const Generation& generation) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("counter", number(generation.counter));
  object.Set("id", to_string(generation.id));
  object.Set("parent", to_string(generation.parent));
  return object;
}

Napi::Object image_object(Napi::Env env, const ImageRecord& image) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("name", image.name);
  object.Set("uuid", to_string(image.uuid));
  object.Set("role", image.role == Role::master ? "master" : "slave");
  object.Set("state", name_of(image.state));
  object.Set("path", image.path);
  object.Set("pathKind", image.path_kind == PathKind::absolute ? "absolute" : "relative");
  object.Set("deviceSize", number(image.device_size));
  object.Set("labelPosition", number(image.label_position));
  object.Set("error", number(static_cast<std::uint64_t>(image.error)));
  object.Set("changedAtMs", number(image.changed_at_ms));
  object.Set("bytesDiffered", number(image.bytes_differed));
  return object;
}

Napi::Value verify_object(Napi::Env env, const VerifySummary& summary) {
  if (summary.finished_at_ms == 0) return env.Null();
  Napi::Object object = Napi::Object::New(env);
  object.Set("finishedAtMs", number(summary.finished_at_ms));
  object.Set("bytesCompared", number(summary.bytes_compared));
  object.Set("bytesDiffered", number(summary.bytes_differed));
  return object;
}

Napi::Value recovery_object(Napi::Env env, const RecoverySummary& summary) {
  if (summary.finished_at_ms == 0) return env.Null();
  Napi::Object object = Napi::Object::New(env);
  object.Set("finishedAtMs", number(summary.finished_at_ms));
  object.Set("liveIntents", number(summary.live_intents));
  object.Set("bytesCovered", number(summary.bytes_covered));
  object.Set("bytesCopied", number(summary.bytes_copied));
  object.Set("durationMs", number(summary.duration_ms));
  object.Set("verified", summary.verified);
  object.Set("fullCompare", summary.full_compare);
  return object;
}

Napi::Object superblock_object(Napi::Env env, const Superblock& superblock) {
  Napi::Object owner = Napi::Object::New(env);
  owner.Set("host", superblock.owner.host);
  owner.Set("bootId", to_string(superblock.owner.boot_id));
  owner.Set("process", number(superblock.owner.process));
  owner.Set("startedAtMs", number(superblock.owner.started_at_ms));
  owner.Set("processStarted", number(superblock.owner.process_started));
  owner.Set("pidNamespace", number(superblock.owner.pid_namespace));
  Napi::Object ring = Napi::Object::New(env);
  ring.Set("position", number(superblock.ring.position));
  ring.Set("recordSize", number(superblock.ring.record_size));
  ring.Set("recordCount", number(superblock.ring.record_count));
  ring.Set("inFlightLimit", number(superblock.ring.in_flight_limit));
  Napi::Object object = Napi::Object::New(env);
  object.Set("version", number(kFormatVersion));
  object.Set("mirrorUuid", to_string(superblock.mirror_uuid));
  object.Set("logUuid", to_string(superblock.log_uuid));
  object.Set("size", number(superblock.size));
  object.Set("blockSize", number(superblock.block_size));
  object.Set("physicalBlockSize", number(superblock.physical_block_size));
  object.Set("generation", generation_object(env, superblock.generation));
  object.Set("openCount", number(superblock.open_count));
  object.Set("lifecycle", name_of(superblock.lifecycle));
  object.Set("owner", owner);
  object.Set("ring", ring);
  object.Set("images", array_of(env, superblock.images, [env](const auto& image) { return image_object(env, image); }));
  object.Set("lastRecovery", recovery_object(env, superblock.last_recovery));
  object.Set("lastVerify", verify_object(env, superblock.last_verify));
  return object;
}

Napi::Object label_object(Napi::Env env, const Label& label) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("mirrorUuid", to_string(label.mirror_uuid));
  object.Set("logUuid", to_string(label.log_uuid));
  object.Set("imageUuid", to_string(label.image_uuid));
  object.Set("name", label.name);
  object.Set("role", label.role == Role::master ? "master" : "slave");
  object.Set("state", name_of(label.state));
  object.Set("sealed", label.sealed);
  object.Set("size", number(label.size));
  object.Set("deviceSize", number(label.device_size));
  object.Set("labelPosition", number(label.label_position));
  object.Set("generation", generation_object(env, label.generation));
  object.Set("openCount", number(label.open_count));
  return object;
}

Napi::Object assessment_object(Napi::Env env, const Assessment& found) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("clean", found.clean);
  object.Set("damaged", found.damaged);
  object.Set("damage", array_of(env, found.damage, [env](const auto& line) { return Napi::String::New(env, line); }));
  object.Set("tornRecords", number(found.torn_records));
  object.Set("sequence", number(found.sequence));
  object.Set("tail", number(found.tail));
  object.Set("liveIntents", array_of(env, found.live_intents, [env](const LiveIntent& intent) {
               Napi::Object entry = extent_object(env, intent.extent);
               entry.Set("sequence", number(intent.sequence));
               return entry;
             }));
  object.Set("extents",
             array_of(env, found.debt.extents(), [env](const auto& extent) { return extent_object(env, extent); }));
  object.Set("bytesCovered", number(found.debt.bytes()));
  object.Set("images", array_of(env, found.images, [env](const auto& status) { return to_javascript(env, status); }));
  return object;
}

Napi::Object repair_object(Napi::Env env, const Repair& repair) {
  Napi::Object object = extent_object(env, repair.extent);
  object.Set("image", number(repair.image));
  object.Set("from", number(repair.from));
  return object;
}

// Oldest first.
Napi::Array recent_repairs(Napi::Env env, const RecentRepairs& recent) {
  std::vector<Repair> repairs;
  const std::uint64_t kept = std::min<std::uint64_t>(recent.count, kRecentRepairs);
  for (std::uint64_t i = recent.count - kept; i < recent.count; ++i) {
    repairs.push_back(recent.repairs[i % kRecentRepairs]);
  }
  return array_of(env, repairs, [env](const Repair& repair) { return repair_object(env, repair); });
}

Napi::Object copy_object(Napi::Env env, const CopyResult& result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("bytesDiffered", numbers(env, result.bytes_differed));
  object.Set("bytesCopied", numbers(env, result.bytes_copied));
  object.Set("repairs",
             array_of(env, result.repairs, [env](const Repair& repair) { return repair_object(env, repair); }));
  return object;
}

Napi::Object compare_object(Napi::Env env, const CompareResult& result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("bytesCompared", numbers(env, result.bytes_compared));
  object.Set("bytesDiffered", numbers(env, result.bytes_differed));
  object.Set("bytesExpected", numbers(env, result.bytes_expected));
  object.Set("bytesShared", numbers(env, result.bytes_shared));
  object.Set("unread", array_of(env, result.unread, [env](const Status& status) -> Napi::Value {
               return status.ok() ? env.Null() : Napi::Value(to_javascript(env, status));
             }));
  object.Set("differences", array_of(env, result.differences, [env](const Difference& difference) {
               Napi::Object entry = extent_object(env, difference.extent);
               entry.Set("slave", number(difference.slave));
               entry.Set("agreeing", number(difference.agreeing));
               entry.Set("expected", difference.expected);
               return entry;
             }));
  return object;
}

Napi::Object counters_object(Napi::Env env, const Counters& counters) {
  Napi::Object object = Napi::Object::New(env);
#define X(name) object.Set(#name, number(counters.name));
  BLOCKMIRROR_COUNTERS(X)
#undef X
  return object;
}

// One overload per command that has a result; the others answer null.
struct Results {
  Napi::Env env;
  Napi::Value operator()(const OpenLog& command) const { return to_javascript(env, command.facts); }
  Napi::Value operator()(const LoadSuperblock& command) const { return superblock_object(env, command.superblock); }
  Napi::Value operator()(const OpenImages& command) const {
    return array_of(env, command.facts, [this](const DeviceFacts& facts) { return to_javascript(env, facts); });
  }
  Napi::Value operator()(const PlanFormat& command) const { return superblock_object(env, command.superblock); }
  Napi::Value operator()(const FormatLog& command) const { return superblock_object(env, command.superblock); }
  Napi::Value operator()(const Assess& command) const { return assessment_object(env, command.assessment); }
  Napi::Value operator()(const Activate& command) const { return superblock_object(env, command.superblock); }
  Napi::Value operator()(const RecoverCopy& command) const { return copy_object(env, command.result); }
  Napi::Value operator()(const RecoverVerify& command) const { return compare_object(env, command.result); }
  Napi::Value operator()(const Compare& command) const { return compare_object(env, command.result); }
  template <typename Other>
  Napi::Value operator()(const Other&) const {
    return env.Null();
  }
};

}  // namespace

Napi::Object to_javascript(Napi::Env env, const Status& status) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("code", static_cast<double>(status.code));
  object.Set("systemError", static_cast<double>(status.system_error));
  object.Set("image", static_cast<double>(status.image));
  object.Set("position", number(status.position));
  return object;
}

Napi::Object to_javascript(Napi::Env env, const Superblock& superblock) { return superblock_object(env, superblock); }

Napi::Object to_javascript(Napi::Env env, const Label& label) { return label_object(env, label); }

Napi::Object to_javascript(Napi::Env env, const DeviceFacts& facts) {
  const DeviceTraits& traits = facts.traits;
  Napi::Object object = Napi::Object::New(env);
  object.Set("path", facts.path);
  object.Set("size", number(traits.size));
  object.Set("logicalBlockSize", number(traits.logical_block_size));
  object.Set("physicalBlockSize", number(traits.physical_block_size));
  object.Set("memoryAlignment", number(traits.memory_alignment));
  object.Set("offsetAlignment", number(traits.offset_alignment));
  object.Set("blockDevice", traits.block_device);
  object.Set("device", std::to_string(major(facts.device)) + ":" + std::to_string(minor(facts.device)));
  object.Set("inode", std::to_string(facts.inode));
  object.Set("made", facts.made == Made::no ? "no" : facts.made == Made::length ? "length" : "file");
  object.Set("readOnly", traits.read_only);
  object.Set("volatileCache", traits.volatile_cache);
  object.Set("forceUnitAccess", traits.force_unit_access == ForceUnitAccess::native ? "native" : "emulated");
  return object;
}

Napi::Object to_javascript(Napi::Env env, const Snapshot& snapshot) {
  Napi::Array images = Napi::Array::New(env, snapshot.image_count);
  for (unsigned i = 0; i < snapshot.image_count; ++i) {
    Napi::Object image = Napi::Object::New(env);
    image.Set("state", name_of(snapshot.states[i]));
    image.Set("error", static_cast<double>(snapshot.errors[i]));
    image.Set("bytesDiffered", number(snapshot.bytes_differed[i]));
    image.Set("changedAtMs", number(snapshot.changed_at_ms[i]));
    images.Set(i, image);
  }
  bool any_record = snapshot.ring_records > 0 && snapshot.sequence >= snapshot.tail;
  Napi::Object log = Napi::Object::New(env);
  log.Set("sequence", number(snapshot.sequence));
  log.Set("tail", number(snapshot.tail));
  log.Set("recordCount", number(snapshot.ring_records));
  log.Set("recordsLive", number(any_record ? snapshot.sequence - snapshot.tail + 1 : 0));
  Napi::Object coverage = Napi::Object::New(env);
  coverage.Set("bytes", number(snapshot.coverage_bytes));
  coverage.Set("budget", number(snapshot.recovery_budget));
  coverage.Set("regions", number(snapshot.coverage_regions));
  coverage.Set("uncertainBytes", number(snapshot.uncertain_bytes));
  Napi::Object object = Napi::Object::New(env);
  object.Set("phase", name_of(snapshot.phase));
  object.Set("stopped", snapshot.phase == Phase::stopped ? to_javascript(env, snapshot.stopped) : env.Null());
  object.Set("inFlight", number(snapshot.requests_in_flight));
  object.Set("images", images);
  object.Set("lastVerify", verify_object(env, snapshot.last_verify));
  object.Set("generation", generation_object(env, snapshot.generation));
  object.Set("log", log);
  object.Set("coverage", coverage);
  object.Set("counters", counters_object(env, snapshot.counters));
  object.Set("recentRepairs", recent_repairs(env, snapshot.recent_repairs));
  return object;
}

Napi::Value result_of(Napi::Env env, const Command& command) { return std::visit(Results{env}, command.body); }

}  // namespace blockmirror::addon
