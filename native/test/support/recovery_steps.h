// Opening and recovering as one task, so that a test can cut it off after any event.
#pragma once

#include <functional>
#include <optional>

#include "copy_steps.h"
#include "running_mirror.h"

namespace blockmirror::test {

struct RecoverySteps {
  bool compare = true;
  bool only_differing = false;
  Assessment assessment;
  std::uint64_t bytes_differed = 0;
  std::uint64_t bytes_copied = 0;

  Task<Outcome> open(Session& session, std::uint64_t budget = kDefaultRecoveryBudget) {
    Outcome outcome = co_await session.load_superblock();
    if (outcome.ok()) outcome = co_await session.assess(assessment);
    if (!outcome.ok()) co_return outcome;
    ActivateOptions options;
    options.recovery_budget = budget;
    outcome = co_await session.activate(std::move(options));
    if (outcome.ok() && session.phase() == Phase::recovering) outcome = co_await recover(session);
    co_return outcome;
  }
  Task<Outcome> recover(Session& session) {
    Outcome outcome = co_await copy(session);
    if (outcome.ok()) outcome = co_await session.recover_flush_slaves();
    RecoverySummary summary;
    if (outcome.ok()) outcome = co_await session.recover_retire(summary);
    co_return outcome;
  }
  Task<Outcome> copy(Session& session) {
    std::vector<std::vector<Extent>> steps = copy_steps(assessment.debt);
    for (std::vector<Extent>& extents : steps) {
      CopyResult copied;
      const Outcome outcome = co_await session.recover_copy(std::move(extents), compare, only_differing, copied);
      if (!outcome.ok()) co_return outcome;
      for (std::uint64_t bytes : copied.bytes_differed) bytes_differed += bytes;
      for (std::uint64_t bytes : copied.bytes_copied) bytes_copied += bytes;
    }
    co_return Outcome::success();
  }
};

// Writes bytes past everybody, durably: what a bad disk or a careless hand does.
inline void overwrite(SimulatedMirror& mirror, SimulatedDevice& device, std::uint64_t position,
                      std::span<const std::byte> bytes) {
  DeviceRequest request;
  request.operation = Operation::write;
  request.durable = true;
  request.position = position;
  request.length = bytes.size();
  request.memory = const_cast<std::byte*>(bytes.data());
  bool done = false;
  request.context = &done;
  request.on_complete = [](DeviceRequest& completed) { *static_cast<bool*>(completed.context) = true; };
  device.submit(request);
  REQUIRE(mirror.runtime.run_until([&] { return done; }));
}
inline std::vector<std::byte> durable_copy(const SimulatedDevice& device) {
  return {device.durable().begin(), device.durable().end()};
}

}  // namespace blockmirror::test
