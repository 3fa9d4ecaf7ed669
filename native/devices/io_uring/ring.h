// Ring: one io_uring, set up with the best flags this kernel knows and checked for what we need of it.
//
// What a kernel can do is asked of the kernel (setup flags by trying, operations by IORING_REGISTER_PROBE, entering by
// doing one operation), never concluded from its version: distributions port features back, and seccomp profiles take
// them away, also a part of them: io_uring_setup allowed and io_uring_enter not.
#pragma once

#include <liburing.h>

#include <cstdint>

namespace blockmirror {

// Best first; each falls back to the next where the kernel does not know its flags.
enum class RingFlavour : std::uint8_t {
  deferred,     // SINGLE_ISSUER, DEFER_TASKRUN: completions are worked on only when the engine thread asks for them
  cooperative,  // COOP_TASKRUN: no interrupt of the engine thread for a completion
  plain,
};

class Ring {
 public:
  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring();

  // 0 or an errno; ENOSYS when the kernel has an io_uring that lacks what we need. By the thread that will use it. A
  // ring that was opened has done an operation to its end, by each of the ways to enter that are used later.
  int open(unsigned entries, RingFlavour best = RingFlavour::deferred);
  io_uring* get() { return &ring_; }
  RingFlavour flavour() const { return flavour_; }
  // Whether completions lie in the queue.
  bool has_answers() const { return io_uring_cq_ready(&ring_) > 0; }
  // Whether the kernel holds completions that it shows only after being entered.
  bool must_enter() const;
  // Shows those, and takes no request. 0 or an errno.
  int show_answers();

  // The names of the requests that the kernel has not taken, which it may take each time it is entered.
  template <typename Visit>
  void for_each_not_taken(const Visit& visit) const {
    const io_uring_sq& queue = ring_.sq;
    for (unsigned at = __atomic_load_n(queue.khead, __ATOMIC_ACQUIRE); at != queue.sqe_tail; ++at) {
      visit(std::uint64_t{queue.sqes[at & queue.ring_mask].user_data});
    }
  }
  // From here on it never will.
  void forget_not_taken();

 private:
  int ask_for_operations();
  int do_one_operation();

  io_uring ring_{};
  RingFlavour flavour_ = RingFlavour::plain;
  bool open_ = false;
};

}  // namespace blockmirror
