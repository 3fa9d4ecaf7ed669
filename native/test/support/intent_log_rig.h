// An IntentLog alone, over a simulated log device with a blank ring.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <vector>

#include "../../core/log/intent_log.h"
#include "../../devices/simulated/simulated_device.h"
#include "boundary_oracle.h"
#include "format_samples.h"

namespace blockmirror::test {

class IntentLogRig {
 public:
  static constexpr std::uint64_t kRegions = 1000;  // of the mirror

  explicit IntentLogRig(std::uint32_t ring_records = 64, std::uint64_t budget = kDefaultRecoveryBudget)
      : runtime(1), device(runtime, log_length(ring_records, kMinimumRecordSize, kMiB)), wanted(runtime) {
    superblock = sample_superblock();
    superblock.ring = {kRingPosition, kMinimumRecordSize, ring_records, std::min(kRecordsInFlight, ring_records / 4)};
    superblock.open_count = 1;
    superblock.first_sequence = ring_records;
    for (std::uint32_t slot = 0; slot < ring_records; ++slot) {
      AlignedBuffer record(kMinimumRecordSize);
      encode_blank_record(superblock.log_uuid, slot, ring_records, record.span());
      DeviceRequest request;
      request.operation = Operation::write;
      request.durable = true;
      request.position = kRingPosition + std::uint64_t{slot} * kMinimumRecordSize;
      request.length = kMinimumRecordSize;
      request.memory = record.span().data();
      request.on_complete = [](DeviceRequest&) {};
      device.submit(request);
      runtime.run_until_quiet();
    }
    IntentLogStart start;
    start.log_uuid = superblock.log_uuid;
    start.ring = superblock.ring;
    start.opening = 1;
    start.next_sequence = superblock.first_sequence;
    start.tail = superblock.first_sequence;
    start.recovery_budget = budget;
    start.regions = kRegions;
    log = std::make_unique<IntentLog>(runtime, device, start, counters);
    log->on_retirement_wanted(wanted);
  }
  ~IntentLogRig() {
    device.decide = nullptr;
    device.release_held();
    bool ended = false;
    spawn(stop(ended));
    runtime.run_until([&] { return ended; });
    runtime.run_until_quiet();
  }

  // A cover under way or granted; settles when it goes.
  struct Cover {
    std::optional<Outcome> outcome;
    IntentLog::Lease lease;
  };
  Cover& cover(Extent extent) {
    covers_.push_back(std::make_unique<Cover>());
    spawn(cover_task(extent, *covers_.back()));
    return *covers_.back();
  }
  // Covers, waits, and lets the lease go.
  Outcome touch(Extent extent) {
    Cover& cover_ = cover(extent);
    settle_all_devices();
    if (!cover_.outcome) return Outcome::of(Code::ABORTED);
    log->settle(cover_.lease);
    return *cover_.outcome;
  }
  void settle_all_devices() { runtime.run_until_quiet(); }
  // As if every image had been flushed just now.
  void flush_images() { log->flush_succeeded(log->flush_begins()); }
  Outcome retire(IntentLog::RetirementGoal goal) {
    std::optional<Outcome> result;
    start_retirement(goal, result);
    settle_all_devices();
    REQUIRE(result.has_value());
    return *result;
  }
  void start_retirement(IntentLog::RetirementGoal goal, std::optional<Outcome>& result) {
    spawn(retire_task(goal, result));
  }
  IntentLog::RetirementGoal everything() const { return {0, log->next_sequence(), false}; }
  RingState scan() const { return scan_of(superblock, device.durable()); }
  void hold_log() {
    device.decide = [](const DeviceRequest&) { return SimulatedDevice::Fate{0, 0, true}; };
  }
  void release_log() {
    device.decide = nullptr;
    device.release_held();
    settle_all_devices();
  }

  SimulatedRuntime runtime;
  SimulatedDevice device;
  Signal wanted;
  Counters counters;
  Superblock superblock;
  std::unique_ptr<IntentLog> log;

 private:
  Task<void> cover_task(Extent extent, Cover& into) {
    const Outcome outcome = co_await log->cover(extent, into.lease);
    into.outcome = outcome;
  }
  Task<void> retire_task(IntentLog::RetirementGoal goal, std::optional<Outcome>& into) {
    const Outcome outcome = co_await log->retire(goal);
    into = outcome;
  }
  Task<void> stop(bool& ended) {
    log->fail(Outcome::of(Code::CLOSED));
    co_await log->shut_down();
    ended = true;
  }
  std::vector<std::unique_ptr<Cover>> covers_;
};

}  // namespace blockmirror::test
