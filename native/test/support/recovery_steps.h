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

  Task<Status> open(Session& session, std::uint64_t budget = kDefaultRecoveryBudget) {
    Status status = co_await session.load_superblock();
    if (status.ok()) status = co_await session.assess(assessment);
    if (!status.ok()) co_return status;
    ActivateOptions options;
    options.recovery_budget = budget;
    status = co_await session.activate(std::move(options));
    if (status.ok() && session.phase() == Phase::recovering) status = co_await recover(session);
    co_return status;
  }
  Task<Status> recover(Session& session) {
    Status status = co_await session.recover_flush_master();
    if (status.ok()) status = co_await copy(session);
    if (status.ok()) status = co_await session.recover_flush_slaves();
    RecoverySummary summary;
    if (status.ok()) status = co_await session.recover_retire(summary);
    co_return status;
  }
  Task<Status> copy(Session& session) {
    std::vector<std::vector<Extent>> steps = copy_steps(assessment.debt);
    for (std::vector<Extent>& extents : steps) {
      CopyResult copied;
      const Status status = co_await session.recover_copy(std::move(extents), compare, only_differing, copied);
      if (!status.ok()) co_return status;
      for (std::uint64_t bytes : copied.bytes_differed) bytes_differed += bytes;
      for (std::uint64_t bytes : copied.bytes_copied) bytes_copied += bytes;
    }
    co_return Status::success();
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
