// A mirror over simulated devices, for tests: formats, opens, writes, loses power, recovers, the way lib/ does it.
#pragma once

#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "../../core/base/aligned_buffer.h"
#include "../../core/session/session.h"
#include "../../devices/simulated/simulated_device.h"

namespace blockmirror::test {

class SimulatedMirror {
 public:
  struct Options {
    std::uint64_t seed = 1;
    unsigned slaves = 1;
    std::uint64_t size = 4 * kMiB;
    std::uint32_t ring_records = 64;
    std::uint64_t recovery_budget = kDefaultRecoveryBudget;
    std::uint32_t logical_block_size = 512;
    std::uint32_t physical_block_size = 4096;
    unsigned minimum_in_sync = 1;
  };
  explicit SimulatedMirror(const Options& options) : options_(options), runtime(options.seed) {
    log = std::make_unique<SimulatedDevice>(runtime, log_length(options.ring_records, 4096, options.size));
    for (unsigned i = 0; i <= options.slaves; ++i) {
      images.push_back(std::make_unique<SimulatedDevice>(runtime, options.size + 2 * kMiB));
      DeviceTraits& traits = images.back()->mutable_traits();
      traits.logical_block_size = traits.offset_alignment = options.logical_block_size;
      traits.physical_block_size = options.physical_block_size;
    }
  }
  ~SimulatedMirror() {
    if (session && session->phase() != Phase::closed) (void)run(session->close());
  }

  // Runs a task to its end in virtual time.
  Outcome run(Task<Outcome> task) {
    std::optional<Outcome> result;
    spawn(finish(std::move(task), result));
    const bool ended = runtime.run_until([&] { return result.has_value(); });
    BLOCKMIRROR_ASSERT(ended && result, "a simulated task did not end");
    return *result;
  }
  // Starts a task; its outcome appears in `result` when it ends.
  void start(Task<Outcome> task, std::optional<Outcome>& result) { spawn(finish(std::move(task), result)); }

  void new_session() {
    session = std::make_unique<Session>(runtime);
    if (keeps_history) session->keep_history();
    session->set_log(*log);
    std::vector<Device*> devices;
    for (auto& image : images) devices.push_back(image.get());
    session->set_images(devices);
  }

  FormatOptions format_options(bool assume_identical = false) const {
    FormatOptions format;
    format.size = options_.size;
    format.ring_records = options_.ring_records;
    format.assume_identical = assume_identical;
    format.policies.minimum_in_sync = options_.minimum_in_sync;
    for (unsigned i = 0; i <= options_.slaves; ++i) {
      FormatOptions::Image image;
      image.name = i == 0 ? "master" : "slave" + std::to_string(i);
      image.path = "/" + image.name;
      format.images.push_back(image);
    }
    return format;
  }
  Outcome create(bool assume_identical = false) {
    new_session();
    Outcome outcome = run(session->plan_format(format_options(assume_identical)));
    if (outcome.ok()) outcome = run(session->format());
    if (outcome.ok()) outcome = recover();
    if (outcome.ok()) outcome = run(session->close());
    return outcome;
  }

  Outcome open() {
    new_session();
    Outcome outcome = run(session->load_superblock());
    if (outcome.ok()) outcome = run(session->assess(assessment));
    if (!outcome.ok()) return outcome;
    ActivateOptions activate;
    activate.recovery_budget = options_.recovery_budget;
    activate.background = background;
    outcome = run(session->activate(activate));
    if (outcome.ok() && session->phase() == Phase::recovering) outcome = recover();
    return outcome;
  }

  // As lib/ does it: resync until nothing is left, and the end of it. In formatting too.
  Outcome recover() {
    for (ResyncResult step;;) {
      ResyncOrder order;
      order.slaves = session->snapshot().recovering;
      order.way = way;
      const Outcome outcome = run(session->resync(order, step));
      if (!outcome.ok()) return outcome;
      for (std::uint64_t bytes : step.copied.bytes_differed) bytes_differed += bytes;
      if (step.bytes_left == 0) break;
      if (!step.unreadable.ok()) return step.unreadable;
    }
    return run(session->end_recovery({}));
  }

  // Power is lost; every sector that was not durable lands or not, by the seed. The session is then taken down against
  // dead devices.
  void crash(unsigned landing_percent = 50) {
    auto lands = [&] { return runtime.draw(100) < landing_percent; };
    log->lose_power(lands);
    for (auto& image : images) image->lose_power(lands);
    (void)run(session->close());
    session.reset();
    log->power_on();
    for (auto& image : images) image->power_on();
  }

  ExtentSet whole() const {
    ExtentSet set;
    set.add({0, options_.size});
    return set;
  }
  bool images_equal() const {
    for (std::size_t i = 1; i < images.size(); ++i) {
      if (std::memcmp(images[0]->content().data(), images[i]->content().data(), options_.size) != 0) return false;
    }
    return true;
  }
  Outcome write(Extent extent, unsigned char fill, bool durable = false) {
    AlignedBuffer bytes(extent.length);
    std::memset(bytes.span().data(), fill, extent.length);
    return run(session->write(extent, bytes.span(), durable, nullptr));
  }

 private:
  static Task<void> finish(Task<Outcome> task, std::optional<Outcome>& result) { result = co_await task; }
  Options options_;

 public:
  SimulatedRuntime runtime;
  std::unique_ptr<SimulatedDevice> log;
  std::vector<std::unique_ptr<SimulatedDevice>> images;
  std::unique_ptr<Session> session;
  Assessment assessment;
  CopyWay way{true, false};
  std::uint64_t bytes_differed = 0;
  bool keeps_history = false;
  bool background = false;  // what a crash left is paid while the mirror runs
};

}  // namespace blockmirror::test
