// IoUringReactor: requests by io_uring, one system call for all that a turn of the loop has to say and to hear.
//
// Invariants:
//  - Each started request owns one seat and at most one entry of the submission queue; the ring has an entry for each
//    seat and one for the wake-up, so that neither of its queues can overflow.
//  - The ring is touched by the thread that bound the reactor alone (SINGLE_ISSUER).
//  - The read of the wake-up's eventfd is armed before every sleep, and never twice. Where the kernel does not do it, the
//    reactor sleeps for kRefusedLook at most, and looks.
//  - An answer counts only for the attempt that is under way in its seat: one that the kernel gives twice, or to what was
//    never asked, is passed over and changes nothing.
//  - Once the kernel refused to be entered (a seccomp profile that came later), what it had not taken and all that is
//    started later ends with its errno. What it had taken keeps its memory until it answers (I7).
//  - While the kernel has no memory for requests, what it had taken is answered all the same. What it does not take within
//    a limit ends with its errno (scarcity.h), and what comes later is offered to it anew.
// A flush is asked of the kernel even where traits().volatile_cache is false: there it costs next to nothing, sysfs
// may be out of date (a cache can be switched on under us), and of a file it also commits the metadata.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "../loop_reactor.h"
#include "ring.h"
#include "scarcity.h"

namespace blockmirror {

class IoUringDevice;

class IoUringReactor final : public LoopReactor {
 public:
  explicit IoUringReactor(unsigned queue_depth, bool polling = false, RingFlavour best = RingFlavour::deferred,
                          std::uint64_t scarcity_limit_ns = Scarcity::kLimit_ns);
  ~IoUringReactor() override;

  // 0, or the errno that says why this process cannot have such a reactor.
  static int probe(unsigned queue_depth);

  DeviceKind kind() const override { return DeviceKind::io_uring; }
  std::unique_ptr<Device> make_device(OpenFile file) override;
  void offer_memory(std::span<std::byte> memory) override;

  RingFlavour flavour() const { return ring_.flavour(); }
  unsigned registered_buffers() const { return buffer_count_; }
  unsigned registered_files() const;
  // An answer as the kernel's queue holds it; public for tests, since no kernel can be made to give all of them.
  void take_answer(std::uint64_t name, std::int32_t result) { handle({name, result}); }

 private:
  friend class IoUringDevice;

  static constexpr unsigned kRegisteredFiles = 64;    // more devices than that work without registration
  static constexpr unsigned kRegisteredBuffers = 64;  // of kBufferLength at most
  static constexpr std::uint64_t kBufferLength = 1024 * 1024 * 1024;  // bytes; the kernel's limit for one buffer
  static constexpr std::uint64_t kWakeUp = UINT64_MAX - 1;            // not a seat

  struct Seat {
    DeviceRequest* request = nullptr;
    Attempt attempt;
    std::uint32_t turn = 0;  // grows with each attempt that is asked for
  };
  struct Answer {
    std::uint64_t name = 0;  // kWakeUp, or the seat and its turn
    std::int32_t result = 0;
  };
  static std::uint64_t name_of(std::uint32_t seat, std::uint32_t turn) { return std::uint64_t{turn} << 32 | seat; }

  int set_up() override;
  void start(DeviceRequest& request, const Attempt& attempt) override;
  unsigned collect() override;
  bool has_answers() const override;
  void exchange(bool sleep, std::uint64_t deadline_ns) override;

  int register_file(int descriptor);  // index, -1: not registered
  void unregister_file(int index);
  int buffer_holding(const std::byte* memory, std::uint64_t length) const;
  io_uring_sqe* next_entry();
  void queue_attempt(std::uint32_t seat);
  void arm_wake_up();
  void handle(const Answer& answer);
  void end_attempt(std::uint32_t seat, std::int64_t result);
  void end_request(std::uint32_t seat, int error);
  int enter(bool sleep, std::uint64_t deadline_ns);
  void bear_scarcity(int error, bool sleep, std::uint64_t deadline_ns);
  void end_not_taken(int error);
  void exchange_without_kernel(bool sleep, std::uint64_t deadline_ns);
  void sleep_outside(std::uint64_t longest_ns, std::uint64_t deadline_ns, bool read_by_kernel);

  const RingFlavour best_flavour_;
  Ring ring_;
  std::vector<Seat> seats_;
  std::vector<std::uint32_t> free_seats_;
  bool files_registered_ = false;
  bool buffers_registered_ = false;
  std::array<bool, kRegisteredFiles> file_used_{};
  std::array<std::span<std::byte>, kRegisteredBuffers> buffers_;
  unsigned buffer_count_ = 0;
  bool wake_up_armed_ = false;
  bool wake_up_broken_ = false;
  Scarcity scarcity_;
  int refused_ = 0;  // errno of the kernel's refusal to be entered
  struct NotTaken {
    std::uint32_t seat = 0;
    int error = 0;
  };
  std::vector<NotTaken> not_taken_;  // to be ended by collect()
};

}  // namespace blockmirror
