// ThreadsReactor: the same devices by a small pool of threads, for processes that may not use io_uring (Docker's
// default seccomp profile). Slower, never different: transfer.h decides for both.
//
// Invariants: as LoopReactor; at most kWorkers requests are in a system call at a time, begun in order, besides those of
// devices that were abandoned: a worker that one of them holds is replaced by another, until the device answers. An abandoned
// device is asked nothing more, so that each has at most its share of the workers replaced, once.
#pragma once

#include <memory>
#include <span>

#include "../loop_reactor.h"
#include "worker_pool.h"

namespace blockmirror {

class ThreadsReactor final : public LoopReactor {
 public:
  // Two for each image of the widest mirror, so that one write reaches all images at once while another's intent is
  // logged, and one image that hangs does not take every worker from the rest at low depths.
  static constexpr unsigned kWorkers = 2 * kMaxImages;

  // A worker for each that is started: no request waits behind those of a device that hangs.
  explicit ThreadsReactor(unsigned queue_depth, bool polling = false)
      : LoopReactor(std::min(queue_depth, kWorkers), polling) {}

  DeviceKind kind() const override { return DeviceKind::threads; }
  std::unique_ptr<Device> make_device(OpenFile file) override;
  void offer_memory(std::span<std::byte>) override {}  // system calls take any memory alike

 private:
  int set_up() override { return workers_.start(kWorkers, wake_signal(), zeroes()); }
  void start(DeviceRequest& request, const Attempt& attempt) override;
  unsigned replace(unsigned count) override { return workers_.add(count); }
  void give_back() override { workers_.end_one(); }
  unsigned collect() override;
  bool has_answers() const override { return workers_.has_finished(); }
  void exchange(bool sleep, std::uint64_t deadline_ns) override;

  WorkerPool workers_;
  DeviceRequest* first_ = nullptr;  // started since the last exchange
  DeviceRequest* last_ = nullptr;
  unsigned count_ = 0;
};

}  // namespace blockmirror
