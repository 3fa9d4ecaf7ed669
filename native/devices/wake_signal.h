// WakeSignal: lets any thread end the sleep of the engine thread, at the price of one atomic exchange when it is awake.
//
// The waker first publishes its message, then calls notify(). The sleeper calls begin_sleep() before it sleeps and
// end_sleep() after, and looks for messages again whenever begin_sleep() refused or end_sleep() returned.
// Invariants (no lost wake-up):
//  - A notification is consumed only by a refusing begin_sleep(), by take() or by end_sleep(); the owner returns to its caller
//    after any of them without sleeping in between, so that the caller looks at its queues once more.
//  - The eventfd is written only when the state was `sleeping`; its counter persists, so that a write which comes
//    before the sleeper arms its read, or after it has gone on, is only a spurious wake-up later.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "../core/base/assert.h"

namespace blockmirror {

class WakeSignal {
 public:
  WakeSignal() = default;
  WakeSignal(const WakeSignal&) = delete;
  WakeSignal& operator=(const WakeSignal&) = delete;
  ~WakeSignal() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  // 0 or the errno of eventfd(2). Nobody may notify() before.
  int open() {
    descriptor_ = ::eventfd(0, EFD_CLOEXEC);
    return descriptor_ >= 0 ? 0 : errno;
  }
  int descriptor() const { return descriptor_; }

  // Any thread.
  void notify() noexcept {
    if (state_.exchange(State::notified, std::memory_order_acq_rel) == State::sleeping) write_event();
  }

  // The sleeper, awake. Whether a notification came since it was last asked; then it is consumed.
  bool take() {
    if (state_.load(std::memory_order_acquire) != State::notified) return false;
    state_.exchange(State::awake, std::memory_order_acq_rel);
    return true;
  }

  // The sleeper. False: a notification came meanwhile and is consumed; do not sleep.
  bool begin_sleep() {
    State expected = State::awake;
    if (state_.compare_exchange_strong(expected, State::sleeping, std::memory_order_acq_rel)) return true;
    state_.exchange(State::awake, std::memory_order_acq_rel);
    return false;
  }
  void end_sleep() { state_.exchange(State::awake, std::memory_order_acq_rel); }

 private:
  enum class State : std::uint32_t { awake, sleeping, notified };

  void write_event() noexcept {
    const std::uint64_t one = 1;
    ssize_t written = -1;
    do {
      written = ::write(descriptor_, &one, sizeof one);
    } while (written < 0 && errno == EINTR);
    BLOCKMIRROR_ASSERT(written == static_cast<ssize_t>(sizeof one), "an eventfd refused a wake-up");
  }

  std::atomic<State> state_ = State::awake;
  int descriptor_ = -1;
};

}  // namespace blockmirror
