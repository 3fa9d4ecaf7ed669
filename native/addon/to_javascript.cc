#include "to_javascript.h"

#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "plain_object.h"

namespace blockmirror::addon {

namespace {

double number(std::uint64_t value) { return static_cast<double>(value); }

Napi::Value number_or_null(Napi::Env env, std::uint64_t value, std::uint64_t null) {
  return value == null ? env.Null() : Napi::Number::New(env, number(value));
}

template <typename List, typename Convert>
Napi::Value array_of(Napi::Env env, const List& list, Convert convert) {
  PlainObject array(Napi::Array::New(env, list.size()));
  std::uint32_t index = 0;
  for (const auto& element : list) {
    // What an element is made of is let go with it: a list may have a million.
    Napi::HandleScope scope(env);
    array.set_element(index++, convert(element));
  }
  return array;
}

Napi::Value numbers(Napi::Env env, const std::vector<std::uint64_t>& list) {
  return array_of(env, list, [env](std::uint64_t value) { return Napi::Number::New(env, number(value)); });
}

const char* name_of(DebtKind debt) {
  switch (debt) {
    case DebtKind::none:
      return "none";
    case DebtKind::map:
      return "map";
    case DebtKind::everything:
      break;
  }
  return "everything";
}

const char* name_of(FractureCause cause) {
  static constexpr const char* kNames[] = {"none",        "write-error",     "flush-error",     "read-error",
                                           "label-error", "deadline",        "absent",          "blank",
                                           "foreign",     "stale",           "too-small",       "grown",
                                           "unreadable",  "lost-allocation", "block-too-large", "operator-request",
                                           "promoted",    "added",           "flapping",        "differs"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(FractureCause::differs) + 1);
  return kNames[static_cast<std::size_t>(cause)];
}

const char* name_of(ResyncKind kind) {
  switch (kind) {
    case ResyncKind::none:
      return "none";
    case ResyncKind::debt:
      return "debt";
    case ResyncKind::full_compare:
      return "full-compare";
    case ResyncKind::full_copy:
      return "full-copy";
    case ResyncKind::debt_of_assumed:
      break;
  }
  return "debt-of-assumed";
}

const char* name_of(EventKind kind) {
  static constexpr const char* kNames[] = {"created",      "opened",         "recovered", "fractured", "rejoined",
                                           "resync-begun", "resync-ended",   "verified",  "repaired",  "error",
                                           "promoted",     "added",          "removed",   "replaced",  "grown",
                                           "moved",        "policy-changed", "closed"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(EventKind::closed));
  return kNames[static_cast<std::size_t>(kind) - 1];
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

PlainObject extent_object(Napi::Env env, const Extent& extent) {
  PlainObject object(env);
  object.set("position", number(extent.position));
  object.set("length", number(extent.length));
  return object;
}

Napi::Value generation_object(Napi::Env env, const Generation& generation) {
  PlainObject object(env);
  object.set("counter", number(generation.counter));
  object.set("id", to_string(generation.id));
  object.set("parent", to_string(generation.parent));
  return object;
}

Napi::Value image_object(Napi::Env env, const Superblock& superblock, const ImageRecord& image) {
  const auto index = static_cast<unsigned>(&image - superblock.images.data());
  PlainObject object(env);
  object.set("name", image.name);
  object.set("uuid", to_string(image.uuid));
  object.set("role", superblock.role_of(index) == Role::master ? "master" : "slave");
  object.set("state", name_of(image.state));
  object.set("path", image.path);
  object.set("pathKind", image.path_kind == PathKind::absolute ? "absolute" : "relative");
  object.set("deviceSize", number(image.device_size));
  object.set("labelPosition", number(image.label_position));
  object.set("error", number(static_cast<std::uint64_t>(image.error)));
  object.set("changedAtMs", number(image.changed_at_ms));
  object.set("bytesDiffered", number(image.bytes_differed));
  object.set("debt", name_of(image.debt));
  object.set("cause", name_of(image.fracture.cause));
  object.set("fracturedAtMs", number(image.fracture.at_ms));
  object.set("resync", name_of(image.resync.kind));
  return object;
}

Napi::Value verify_object(Napi::Env env, const VerifySummary& summary) {
  if (summary.finished_at_ms == 0) return env.Null();
  PlainObject object(env);
  object.set("finishedAtMs", number(summary.finished_at_ms));
  object.set("bytesCompared", number(summary.bytes_compared));
  object.set("bytesDiffered", number(summary.bytes_differed));
  object.set("bytesRepaired", number(summary.bytes_repaired));
  return object;
}

Napi::Value recovery_object(Napi::Env env, const RecoverySummary& summary) {
  if (summary.finished_at_ms == 0) return env.Null();
  PlainObject object(env);
  object.set("finishedAtMs", number(summary.finished_at_ms));
  object.set("liveIntents", number(summary.live_intents));
  object.set("bytesCovered", number(summary.bytes_covered));
  object.set("bytesCopied", number(summary.bytes_copied));
  object.set("durationMs", number(summary.duration_ms));
  object.set("readBack", summary.read_back);
  object.set("fullCompare", summary.full_compare);
  return object;
}

Napi::Value superblock_object(Napi::Env env, const Superblock& superblock) {
  PlainObject owner(env);
  owner.set("host", superblock.owner.host);
  owner.set("bootId", to_string(superblock.owner.boot_id));
  owner.set("process", number(superblock.owner.process));
  owner.set("startedAtMs", number(superblock.owner.started_at_ms));
  owner.set("processStarted", number(superblock.owner.process_started));
  owner.set("pidNamespace", number(superblock.owner.pid_namespace));
  PlainObject ring(env);
  ring.set("position", number(superblock.ring.position));
  ring.set("recordSize", number(superblock.ring.record_size));
  ring.set("recordCount", number(superblock.ring.record_count));
  ring.set("inFlightLimit", number(superblock.ring.in_flight_limit));
  PlainObject object(env);
  object.set("version", number(kFormatVersion));
  object.set("mirrorUuid", to_string(superblock.mirror_uuid));
  object.set("logUuid", to_string(superblock.log_uuid));
  object.set("size", number(superblock.size));
  object.set("blockSize", number(superblock.block_size));
  object.set("physicalBlockSize", number(superblock.physical_block_size));
  object.set("logSize", number(superblock.log_size));
  object.set("maxImages", number(superblock.max_images));
  object.set("minInSync", number(superblock.policies.minimum_in_sync));
  object.set("rejoin", superblock.policies.rejoin == RejoinPolicy::automatic ? "auto" : "manual");
  const Policies& policies = superblock.policies;
  object.set("deviceTimeoutMs", number_or_null(env, policies.device_timeout_ms, 0));
  object.set("waitForImagesMs", number_or_null(env, policies.wait_for_images_ms, kWaitForever));
  object.set("resyncRateBytesPerSecond", number_or_null(env, policies.resync_rate, 0));
  object.set("generation", generation_object(env, superblock.generation));
  object.set("openCount", number(superblock.open_count));
  object.set("lifecycle", name_of(superblock.lifecycle));
  object.set("owner", owner);
  object.set("ring", ring);
  object.set("images",
             array_of(env, superblock.images, [&](const auto& image) { return image_object(env, superblock, image); }));
  object.set("lastRecovery", recovery_object(env, superblock.last_recovery));
  object.set("lastVerify", verify_object(env, superblock.last_verify));
  return object;
}

Napi::Value label_object(Napi::Env env, const Label& label) {
  PlainObject object(env);
  object.set("mirrorUuid", to_string(label.mirror_uuid));
  object.set("logUuid", to_string(label.log_uuid));
  object.set("imageUuid", to_string(label.image_uuid));
  object.set("name", label.name);
  object.set("role", label.role() == Role::master ? "master" : "slave");
  object.set("state", name_of(label.state));
  object.set("sealed", label.sealed);
  object.set("size", number(label.size));
  object.set("deviceSize", number(label.device_size));
  object.set("labelPosition", number(label.label_position));
  object.set("generation", generation_object(env, label.generation));
  object.set("openCount", number(label.open_count));
  return object;
}

Napi::Value progress_object(Napi::Env env, const ScanProgress& progress) {
  PlainObject object(env);
  object.set("done", progress.done);
  object.set("bytesDone", number(progress.bytes_done));
  object.set("bytesTotal", number(progress.bytes_total));
  return object;
}

Napi::Value assessment_object(Napi::Env env, const Assessment& found) {
  PlainObject object(env);
  object.set("clean", found.clean);
  object.set("damaged", found.damaged);
  object.set("damage", array_of(env, found.damage, [env](const auto& line) { return Napi::String::New(env, line); }));
  object.set("damageCount", number(found.damage_count));
  object.set("tornRecords", number(found.torn_records));
  object.set("liveRecords", number(found.live_records));
  object.set("liveIntentCount", number(found.live_intent_count));
  object.set("sequence", number(found.sequence));
  object.set("tail", number(found.tail));
  object.set("liveIntents", array_of(env, found.live_intents, [env](const LiveIntent& intent) {
               PlainObject entry = extent_object(env, intent.extent);
               entry.set("sequence", number(intent.sequence));
               return entry;
             }));
  object.set("extents",
             array_of(env, found.debt.extents(), [env](const auto& extent) { return extent_object(env, extent); }));
  object.set("bytesCovered", number(found.debt.bytes()));
  object.set("images", array_of(env, found.images, [env](const auto& outcome) { return to_javascript(env, outcome); }));
  return object;
}

Napi::Value repair_object(Napi::Env env, const Repair& repair) {
  PlainObject object = extent_object(env, repair.extent);
  object.set("image", number(repair.image));
  object.set("from", number(repair.from));
  return object;
}

// Oldest first.
Napi::Value recent_repairs(Napi::Env env, const RecentRepairs& recent) {
  std::vector<Repair> repairs;
  const std::uint64_t kept = std::min<std::uint64_t>(recent.count, kRecentRepairs);
  for (std::uint64_t i = recent.count - kept; i < recent.count; ++i) {
    repairs.push_back(recent.repairs[i % kRecentRepairs]);
  }
  return array_of(env, repairs, [env](const Repair& repair) { return repair_object(env, repair); });
}

Napi::Value compare_object(Napi::Env env, const CompareResult& result) {
  PlainObject object(env);
  object.set("bytesCompared", numbers(env, result.bytes_compared));
  object.set("bytesDiffered", numbers(env, result.bytes_differed));
  object.set("bytesExpected", numbers(env, result.bytes_expected));
  object.set("bytesShared", numbers(env, result.bytes_shared));
  object.set("bytesOwed", numbers(env, result.bytes_owed));
  object.set("unread", array_of(env, result.unread, [env](const Outcome& outcome) -> Napi::Value {
               return outcome.ok() ? env.Null() : to_javascript(env, outcome);
             }));
  object.set("differences", array_of(env, result.differences, [env](const Difference& difference) {
               PlainObject entry = extent_object(env, difference.extent);
               entry.set("slave", number(difference.slave));
               entry.set("agreeing", number(difference.agreeing));
               entry.set("expected", difference.expected);
               entry.set("alone", difference.alone == kNoImage ? env.Null() : Napi::Number::New(env, difference.alone));
               return entry;
             }));
  return object;
}

Napi::Value fracture_object(Napi::Env env, const FractureResult& result) {
  PlainObject object(env);
  object.set("common", result.common);
  object.set("pauseMs", static_cast<double>(result.pause_ns) / 1e6);
  return object;
}

Napi::Value source_object(Napi::Env env, const SourceResult& result) {
  PlainObject object(env);
  object.set("bytesChanged", number(result.bytes_changed));
  object.set("bytesUnread", number(result.bytes_unread));
  return object;
}

Napi::Value resync_object(Napi::Env env, const ResyncResult& result) {
  PlainObject object(env);
  object.set("inSync", number(result.in_sync));
  object.set("bytesCopied", number(result.bytes_copied));
  object.set("bytesLeft", number(result.bytes_left));
  object.set("bytesUnreadable", number(result.bytes_unreadable));
  object.set("unreadable", result.unreadable.ok() ? env.Null() : to_javascript(env, result.unreadable));
  object.set("slavesDiffered", numbers(env, result.copied.bytes_differed));
  object.set("slavesCopied", numbers(env, result.copied.bytes_copied));
  object.set("repairs",
             array_of(env, result.copied.repairs, [env](const Repair& repair) { return repair_object(env, repair); }));
  PlainObject difference = extent_object(env, result.read_back_difference.extent);
  difference.set("slave", number(result.read_back_difference.slave));
  const bool differs = result.bytes_read_back_differing > 0;
  object.set("readBackDifference", differs ? static_cast<Napi::Value>(difference) : env.Null());
  return object;
}

const char* name_of(Operation operation) {
  switch (operation) {
    case Operation::read:
      return "read";
    case Operation::write:
    case Operation::write_zeroes:
      return "write";
    case Operation::flush:
      return "flush";
  }
  return "";
}

Napi::Value stall_object(Napi::Env env, const Stall& stall) {
  if (stall.since_ms == 0) return env.Null();
  PlainObject object(env);
  object.set("sinceMs", number(stall.since_ms));
  object.set("operation", name_of(stall.operation));
  return object;
}

// Null where there was no request.
Napi::Value latency_summary(Napi::Env env, const LatencySummary& summary) {
  if (summary.count == 0) return env.Null();
  const auto ms = [](std::uint64_t ns) { return static_cast<double>(ns) / 1e6; };
  PlainObject object(env);
  object.set("count", number(summary.count));
  object.set("p50Ms", ms(summary.p50_ns));
  object.set("p99Ms", ms(summary.p99_ns));
  object.set("p999Ms", ms(summary.p999_ns));
  object.set("maxMs", ms(summary.longest_ns));
  return object;
}

Napi::Value latency_object(Napi::Env env, const DeviceLatency& latency, std::uint64_t now_ns) {
  PlainObject last_minute(env), since_open(env), object(env);
  const auto set = [&](const char* name, const LatencyRecorder& recorder) {
    last_minute.set(name, latency_summary(env, recorder.last_minute(now_ns)));
    since_open.set(name, latency_summary(env, recorder.since_open()));
  };
  set("read", latency.read);
  set("write", latency.write);
  set("flush", latency.flush);
  object.set("lastMinute", last_minute);
  object.set("sinceOpen", since_open);
  return object;
}

// A Float64Array; null where there is no memory for it.
Napi::Value numbers_array(Napi::Env env, std::span<const double> numbers) {
  void* memory = nullptr;
  napi_value store = nullptr;
  napi_value array = nullptr;
  if (napi_create_arraybuffer(env, numbers.size_bytes(), &memory, &store) != napi_ok) return env.Null();
  std::ranges::copy(numbers, static_cast<double*>(memory));
  const napi_status made = napi_create_typedarray(env, napi_float64_array, numbers.size(), store, 0, &array);
  return made == napi_ok ? Napi::Value(env, array) : env.Null();
}

// Bucket by bucket, and the sum of all lengths at the end.
Napi::Value histogram_numbers(Napi::Env env, const LatencyRecorder& recorder) {
  const LatencyHistogram histogram = recorder.histogram();
  std::array<double, LatencyHistogram::kBuckets + 1> numbers{};
  for (unsigned i = 0; i < LatencyHistogram::kBuckets; ++i) numbers[i] = number(histogram.counts[i]);
  numbers.back() = number(histogram.total_ns);
  return numbers_array(env, numbers);
}

PlainObject histograms_of(Napi::Env env, const DeviceLatency& latency) {
  PlainObject object(env);
  object.set("read", histogram_numbers(env, latency.read));
  object.set("write", histogram_numbers(env, latency.write));
  object.set("flush", histogram_numbers(env, latency.flush));
  return object;
}

Napi::Value counters_object(Napi::Env env, const Counters& counters) {
  PlainObject object(env);
#define X(name) object.set(#name, number(counters.name));
  BLOCKMIRROR_COUNTERS(X)
#undef X
  return object;
}

Napi::Value history_object(Napi::Env env, const HistoryScan& scan) {
  PlainObject object(env);
  object.set("broken", number(scan.broken));
  object.set("events", array_of(env, scan.events, [env](const Event& event) {
               PlainObject entry = extent_object(env, event.extent);
               entry.set("sequence", number(event.sequence));
               entry.set("atMs", number(event.at_ms));
               entry.set("kind", name_of(event.kind));
               entry.set("image", event.image == kNoEventImage ? env.Null() : Napi::Number::New(env, event.image));
               entry.set("before", blockmirror::name_of(event.before));
               entry.set("after", blockmirror::name_of(event.after));
               entry.set("cause", name_of(event.cause));
               entry.set("error", number(static_cast<std::uint64_t>(event.error)));
               entry.set("generation", number(event.generation));
               entry.set("openCount", number(event.open_count));
               entry.set("bytes", number(event.bytes));
               entry.set("durationMs", number(event.duration_ms));
               entry.set("name", event.name);
               return entry;
             }));
  return object;
}

// One overload per command that has a result; the others answer null.
struct Results {
  Napi::Env env;
  Napi::Value operator()(const OpenLog& command) const { return to_javascript(env, command.facts); }
  Napi::Value operator()(const LoadSuperblock& command) const {
    if (*command.refused != '\0') return Napi::String::New(env, command.refused);
    return superblock_object(env, command.superblock);
  }
  Napi::Value operator()(const OpenImages& command) const {
    std::size_t at = 0;
    return array_of(env, command.facts, [&](const DeviceFacts& facts) -> Napi::Value {
      const Outcome& outcome = command.outcomes[at++];
      return outcome.ok() ? to_javascript(env, facts) : to_javascript(env, outcome);
    });
  }
  Napi::Value operator()(const PlanFormat& command) const { return superblock_object(env, command.superblock); }
  Napi::Value operator()(const FormatLog& command) const { return superblock_object(env, command.superblock); }
  Napi::Value operator()(const ScanRing& command) const { return progress_object(env, command.progress); }
  Napi::Value operator()(const Assess& command) const { return assessment_object(env, command.assessment); }
  Napi::Value operator()(const ReadDebts& command) const { return Napi::Number::New(env, command.owing); }
  Napi::Value operator()(const ReadHistory& command) const { return history_object(env, command.scan); }
  Napi::Value operator()(const Activate& command) const { return superblock_object(env, command.superblock); }
  Napi::Value operator()(const SetPolicies& command) const { return superblock_object(env, command.superblock); }
  Napi::Value operator()(const Compare& command) const { return compare_object(env, command.result); }
  Napi::Value operator()(const FractureSlaves& command) const { return fracture_object(env, command.result); }
  Napi::Value operator()(const WriteFrom& command) const { return source_object(env, command.result); }
  Napi::Value operator()(const AttachImage& command) const { return to_javascript(env, command.facts); }
  Napi::Value operator()(const ResyncStep& command) const { return resync_object(env, command.result); }
  template <typename Other>
  Napi::Value operator()(const Other&) const {
    return env.Null();
  }
};

}  // namespace

Napi::Value to_javascript(Napi::Env env, const Outcome& outcome) {
  PlainObject object(env);
  object.set("code", static_cast<double>(outcome.code));
  object.set("systemError", static_cast<double>(outcome.system_error));
  object.set("image", static_cast<double>(outcome.image));
  object.set("position", number(outcome.position));
  object.set("reason", outcome.reason);
  return object;
}

Napi::Value to_javascript(Napi::Env env, const Superblock& superblock) { return superblock_object(env, superblock); }

Napi::Value to_javascript(Napi::Env env, const Label& label) { return label_object(env, label); }

Napi::Value to_javascript(Napi::Env env, const DeviceFacts& facts) {
  const DeviceTraits& traits = facts.traits;
  PlainObject object(env);
  object.set("path", facts.path);
  object.set("size", number(traits.size));
  object.set("logicalBlockSize", number(traits.logical_block_size));
  object.set("physicalBlockSize", number(traits.physical_block_size));
  object.set("memoryAlignment", number(traits.memory_alignment));
  object.set("offsetAlignment", number(traits.offset_alignment));
  object.set("blockDevice", traits.block_device);
  object.set("device", std::to_string(major(facts.device)) + ":" + std::to_string(minor(facts.device)));
  object.set("inode", std::to_string(facts.inode));
  object.set("uid", static_cast<double>(facts.ownership.user));
  object.set("gid", static_cast<double>(facts.ownership.group));
  object.set("mode", static_cast<double>(facts.ownership.mode));
  object.set("made", facts.made == Made::no ? "no" : facts.made == Made::length ? "length" : "file");
  object.set("descriptor", static_cast<double>(facts.descriptor));
  object.set("readOnly", traits.read_only);
  object.set("volatileCache", traits.volatile_cache);
  object.set("forceUnitAccess", traits.force_unit_access == ForceUnitAccess::native ? "native" : "emulated");
  return object;
}

Napi::Value to_javascript(Napi::Env env, const Snapshot& snapshot) {
  PlainObject images(Napi::Array::New(env, snapshot.image_count));
  for (unsigned i = 0; i < snapshot.image_count; ++i) {
    PlainObject image(env);
    image.set("state", name_of(snapshot.states[i]));
    image.set("error", static_cast<double>(snapshot.errors[i]));
    image.set("bytesDiffered", number(snapshot.bytes_differed[i]));
    image.set("changedAtMs", number(snapshot.changed_at_ms[i]));
    const SnapshotDebt& debt = snapshot.debts[i];
    image.set("debt", name_of(debt.kind));
    image.set("bytesOwed", debt.known ? Napi::Number::New(env, number(debt.bytes)) : env.Null());
    image.set("cause", name_of(debt.cause));
    image.set("fracturedAtMs", number(debt.fractured_at_ms));
    image.set("resync", name_of(debt.resync));
    image.set("stall", stall_object(env, snapshot.stalls[i]));
    images.set_element(i, image);
  }
  bool any_record = snapshot.ring_records > 0 && snapshot.sequence >= snapshot.tail;
  PlainObject log(env);
  log.set("sequence", number(snapshot.sequence));
  log.set("tail", number(snapshot.tail));
  log.set("recordCount", number(snapshot.ring_records));
  log.set("stall", stall_object(env, snapshot.log_stall));
  log.set("recordsLive", number(any_record ? snapshot.sequence - snapshot.tail + 1 : 0));
  PlainObject coverage(env);
  coverage.set("bytes", number(snapshot.coverage_bytes));
  coverage.set("budget", number(snapshot.recovery_budget));
  coverage.set("regions", number(snapshot.coverage_regions));
  coverage.set("uncertainBytes", number(snapshot.uncertain_bytes));
  PlainObject object(env);
  object.set("phase", name_of(snapshot.phase));
  object.set("stopped", snapshot.phase == Phase::stopped ? to_javascript(env, snapshot.stopped) : env.Null());
  object.set("inFlight", number(snapshot.requests_in_flight));
  object.set("images", images);
  object.set("minInSync", number(snapshot.minimum_in_sync));
  object.set("deviceTimeoutMs", number_or_null(env, snapshot.device_timeout_ms, 0));
  object.set("lastVerify", verify_object(env, snapshot.last_verify));
  object.set("generation", generation_object(env, snapshot.generation));
  object.set("log", log);
  object.set("coverage", coverage);
  std::vector<unsigned> recovering;
  for (unsigned i = 1; i < snapshot.image_count; ++i) {
    if ((snapshot.recovering & image_bit(i)) != 0) recovering.push_back(i);
  }
  object.set("recovering", array_of(env, recovering, [env](unsigned index) { return Napi::Number::New(env, index); }));
  object.set("counters", counters_object(env, snapshot.counters));
  object.set("recentRepairs", recent_repairs(env, snapshot.recent_repairs));
  object.set("historyLost", number(snapshot.history_lost));
  return object;
}

Napi::Value to_javascript(Napi::Env env, const DeviceLatencies& latencies, unsigned images, std::uint64_t now_ns) {
  PlainObject object(env);
  PlainObject of_images(Napi::Array::New(env, images));
  for (unsigned i = 0; i < images; ++i) of_images.set_element(i, latency_object(env, latencies[i], now_ns));
  object.set("log", latency_object(env, latencies.back(), now_ns));
  object.set("images", of_images);
  return object;
}

Napi::Value histograms_to_javascript(Napi::Env env, const DeviceLatencies& latencies, const RequestLatency& requests,
                                     unsigned images) {
  constexpr unsigned kEnds = LatencyHistogram::kBuckets - 1;
  std::array<double, kEnds> ends{};
  for (unsigned i = 0; i < kEnds; ++i) ends[i] = number(LatencyRecorder::bucket_end(i));
  PlainObject of_images(Napi::Array::New(env, images));
  for (unsigned i = 0; i < images; ++i) of_images.set_element(i, histograms_of(env, latencies[i]));
  PlainObject of_requests(env);
  of_requests.set("read", histogram_numbers(env, requests.read));
  of_requests.set("write", histogram_numbers(env, requests.write));
  of_requests.set("flush", histogram_numbers(env, requests.flush));
  of_requests.set("discard", histogram_numbers(env, requests.discard));
  PlainObject object(env);
  object.set("bucketEnds", numbers_array(env, ends));
  object.set("log", histograms_of(env, latencies.back()));
  object.set("images", of_images);
  object.set("requests", of_requests);
  return object;
}

Napi::Value result_of(Napi::Env env, const Command& command) { return std::visit(Results{env}, command.body); }

}  // namespace blockmirror::addon
