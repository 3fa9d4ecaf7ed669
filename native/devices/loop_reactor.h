// LoopReactor: what the io_uring and the threads reactor have in common: clock, timers, wake-ups, the order of
// requests, and the turn of the loop. A subclass knows how to start a attempt and how to wait for the answers.
//
// Invariants:
//  - A request waits in first-in-first-out order until fewer than `queue_depth` are started, and fewer than its device's
//    share of them; it counts as in flight from submit to completion.
//  - I15: the shares of all devices together are no more than there is. One that hangs never takes what others need.
//  - A device that is abandoned begins nothing more of what it holds. What of it the kernel has counts no longer where the
//    subclass has put others in its place.
//  - Callbacks (completions, timers, ready coroutines) run from turn() alone; one that submits only queues.
//  - turn() never sleeps after a callback ran in it: its caller may have something to pass on first.
//  - A busy loop makes one system call a turn: a turn that found work at once leaves submission to the next one, which
//    can then submit and sleep in one call, but never twice in a row.
//  - With polling, what was queued is handed over before it looks again, and it gives way to whatever else wants the
//    processor, which may be what completes the requests.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "polling_window.h"
#include "reactor.h"
#include "timer_queue.h"
#include "transfer.h"
#include "wake_signal.h"

namespace blockmirror {

inline constexpr unsigned kMaxQueueDepth = 4096;

class LoopReactor;

// A Device over an open file; its reactor does the work.
class FileDevice : public Device {
 public:
  FileDevice(LoopReactor& reactor, OpenFile file);
  ~FileDevice() override;

  const DeviceTraits& traits() const override { return file_.traits(); }
  void submit(DeviceRequest& request) override;
  void abandon() override;
  AllocationLoss allocation_loss() override { return file_.allocation_loss(); }
  bool is_idle() const override { return requests_in_flight_ == 0; }

  int descriptor() const { return file_.descriptor(); }
  bool on_fuse() const { return file_.on_fuse(); }
  TransferPolicy& policy() { return policy_; }

 private:
  friend class LoopReactor;

  LoopReactor& reactor_;
  OpenFile file_;
  TransferPolicy policy_;
  unsigned requests_in_flight_ = 0;
  unsigned admitted_ = 0;                   // in the reactor's queue, or started
  unsigned replaced_ = 0;                   // started, and counted no more
  DeviceRequest* first_waiting_ = nullptr;  // for the device's share
  DeviceRequest* last_waiting_ = nullptr;
};

class LoopReactor : public Reactor {
 public:
  ~LoopReactor() override;
  LoopReactor(const LoopReactor&) = delete;
  LoopReactor& operator=(const LoopReactor&) = delete;

  std::uint64_t now_ns() const final;
  std::uint64_t recent_ns() final {
    if (recent_ns_ == 0) recent_ns_ = now_ns();
    return recent_ns_;
  }
  std::uint64_t wall_clock_ms() const final;
  void random(std::span<std::byte> into) final;
  void arm(Timer& timer, std::uint64_t deadline_ns) final { timers_.arm(timer, deadline_ns); }
  void disarm(Timer& timer) final { timers_.disarm(timer); }

  Outcome bind_to_this_thread() final;
  void turn(bool may_sleep) final;
  void wake() noexcept final { wake_.notify(); }
  unsigned requests_in_flight() const final { return requests_in_flight_; }

 protected:
  static constexpr std::uint64_t kNoDeadline = TimerQueue::kNever;

  LoopReactor(unsigned queue_depth, bool polling);

  // Sets up the rest of what belongs to the thread; the wake signal is open. 0 or an errno.
  virtual int set_up() = 0;
  // Queues the first attempt of a request for the kernel; called at most queue_depth times more than finish().
  virtual void start(DeviceRequest& request, const Attempt& attempt) = 0;
  // Finishes what has been answered already, without a system call; returns how many answers there were.
  virtual unsigned collect() = 0;
  // Whether collect() or exchange() would find an answer; no system call.
  virtual bool has_answers() const = 0;
  // Hands over what was queued. `sleep`: returns after an answer, the wake signal or the deadline, else at once.
  virtual void exchange(bool sleep, std::uint64_t deadline_ns) = 0;

  // Puts others in the place of so many that a device which hangs holds up; returns how many it could. Each is given back
  // by give_back() when the device has answered.
  virtual unsigned replace(unsigned) { return 0; }
  virtual void give_back() {}

  static FileDevice& device_of(const DeviceRequest& request) { return *static_cast<FileDevice*>(request.device_data); }
  void finish(DeviceRequest& request, int error);
  WakeSignal& wake_signal() { return wake_; }
  unsigned queue_depth() const { return queue_depth_; }
  std::byte* zeroes() const { return zeroes_; }  // kZeroBufferLength bytes that nobody can write to

 private:
  friend class FileDevice;

  void enqueue(DeviceRequest& request);
  void admit(DeviceRequest& request);
  void abandon(FileDevice& device);
  DeviceRequest* take_waiting(FileDevice& device);
  unsigned share() const { return std::max(1u, queue_depth_ / std::max(1u, devices_)); }
  unsigned start_waiting();
  unsigned run_callbacks();
  bool look_again(std::uint64_t deadline_ns);
  int find_random_bytes();

  const unsigned queue_depth_;
  unsigned devices_ = 0;
  const bool polling_;
  PollingWindow answers_window_;   // while requests are in flight
  PollingWindow requests_window_;  // while there is nothing to do: for the next request
  TimerQueue timers_;
  WakeSignal wake_;
  std::byte* zeroes_ = nullptr;
  int random_device_ = -1;  // only where getrandom(2) is refused
  DeviceRequest* first_waiting_ = nullptr;
  DeviceRequest* last_waiting_ = nullptr;
  unsigned requests_in_flight_ = 0;  // submitted, not completed
  unsigned started_ = 0;             // of those, handed to start()
  bool postponed_ = false;           // the last turn left its submissions to this one
  bool turning_ = false;
  std::uint64_t recent_ns_ = 0;  // 0: not looked at since the kernel was asked last
};

}  // namespace blockmirror
