// Opening and recovering as one task, so that a test can cut it off after any event.
#pragma once

#include <functional>
#include <optional>

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
    const Outcome outcome = co_await copy(session);
    if (!outcome.ok()) co_return outcome;
    co_return co_await session.end_recovery({});
  }
  Task<Outcome> copy(Session& session) {
    for (ResyncResult step;;) {
      ResyncOrder order;
      order.slaves = session.snapshot().recovering;
      order.way = {compare, only_differing};
      const Outcome outcome = co_await session.resync(order, step);
      if (!outcome.ok()) co_return outcome;
      for (std::uint64_t bytes : step.copied.bytes_differed) bytes_differed += bytes;
      bytes_copied += step.bytes_copied;
      if (step.bytes_left == 0) co_return Outcome::success();
      if (!step.unreadable.ok()) co_return step.unreadable;
    }
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
