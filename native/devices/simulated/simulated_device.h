// A device in memory with a volatile write cache, by the rules of dm-log-writes: a completed write is durable only
// after a flush that was submitted after it completed; a durable (FUA) write is durable when it completes, its
// neighbours are not; whatever was in flight or unflushed at a crash may have landed in any subset of its sectors, in
// any order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "../../core/base/device.h"
#include "simulated_runtime.h"

namespace blockmirror {

class SimulatedDevice : public Device {
 public:
  static constexpr std::size_t kSector = 512;  // bytes; the unit in which a write may tear

  SimulatedDevice(SimulatedRuntime& runtime, std::uint64_t size) : runtime_(runtime), content_(size), durable_(size) {
    traits_.size = size;
    traits_.logical_block_size = 512;
    traits_.physical_block_size = 4096;
    traits_.memory_alignment = 512;
    traits_.offset_alignment = 512;
  }

  const DeviceTraits& traits() const override { return traits_; }
  DeviceTraits& mutable_traits() { return traits_; }
  void submit(DeviceRequest& request) override;
  AllocationLoss allocation_loss() override {
    ++losses_asked_;
    return loss_;
  }
  void lose_allocation(std::uint64_t position) { loss_ = {true, position}; }
  unsigned losses_asked() const { return losses_asked_; }

  // What a request's fate is: an errno, or 0; and when, from now. Set by the test; the default completes after 1 us.
  struct Fate {
    int error = 0;
    std::uint64_t delay_ns = 1000;
    bool hold = false;  // never, until release_held()
  };
  std::function<Fate(const DeviceRequest&)> decide;
  // Sees every request as it is submitted and as it completes: for oracles.
  std::function<void(const DeviceRequest&)> on_submit;
  std::function<void(const DeviceRequest&, int error)> on_settle;

  void release_held();
  std::size_t held() const { return held_.size(); }
  std::size_t in_flight() const { return in_flight_.size(); }

  // Power is lost: `lands()` says for each sector of each write that was unflushed or in flight whether it landed. From
  // here until power_on() every request fails with EIO, those in flight included, and changes nothing: so that the
  // program above can be taken down in an orderly way although, to the disk, it is dead.
  void lose_power(const std::function<bool()>& lands);
  void power_on();
  // A reset, as after a request that failed: what was in the volatile cache is gone, and the device goes on answering. A
  // flush that is under way succeeds, and says nothing about what was lost.
  void lose_cache();
  std::span<std::byte> content() { return content_; }
  std::span<const std::byte> durable() const { return durable_; }

 private:
  struct Unflushed {
    std::uint64_t position = 0;
    std::vector<std::byte> bytes;
    std::vector<bool> superseded;  // by sector: a later durable write made this one's content impossible
  };
  void settle(DeviceRequest& request, const Fate& fate, std::size_t cached_at_submit);
  void apply_write(const DeviceRequest& request);
  void supersede(const DeviceRequest& request);
  static Unflushed unflushed_of(const DeviceRequest& request);
  static void land(std::vector<std::byte>& into, const Unflushed& write, const std::function<bool()>& lands);

  SimulatedRuntime& runtime_;
  DeviceTraits traits_;
  std::vector<std::byte> content_;  // what a read returns
  std::vector<std::byte> durable_;  // what a power loss leaves at least
  std::vector<Unflushed> unflushed_;
  std::size_t left_cache_ = 0;  // writes that were in the cache once, and are durable or lost
  std::vector<DeviceRequest*> in_flight_;
  std::vector<std::function<void()>> held_;
  AllocationLoss loss_;
  unsigned losses_asked_ = 0;
  bool powered_ = true;
  std::uint64_t lives_ = 0;
};

}  // namespace blockmirror
