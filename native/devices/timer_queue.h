// TimerQueue: the armed timers of one loop, soonest last, so that the next one is popped from the back.
//
// A loop has a handful of timers (retirement, progress), each owned by whoever arms it: a sorted vector is the
// simplest thing that does it, and it allocates only while it grows.
// Invariants: a timer is in the queue exactly when timer.armed; equal deadlines fire in the order of arming; a timer
// that is armed while others fire waits for the next call, whatever its deadline, so that a turn of the loop ends.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../core/base/runtime.h"

namespace blockmirror {

class TimerQueue {
 public:
  static constexpr std::uint64_t kNever = UINT64_MAX;

  void arm(Timer& timer, std::uint64_t deadline_ns) {
    BLOCKMIRROR_ASSERT(timer.fire != nullptr, "a timer needs something to do");
    disarm(timer);
    timer.deadline_ns = deadline_ns;
    timer.armed = true;
    auto fires_later = [](const Armed& have, std::uint64_t deadline) { return have.timer->deadline_ns > deadline; };
    auto place = std::lower_bound(armed_.begin(), armed_.end(), deadline_ns, fires_later);
    armed_.insert(place, Armed{&timer, next_sequence_++});
  }

  void disarm(Timer& timer) {
    if (!timer.armed) return;
    auto is_it = [&timer](const Armed& have) { return have.timer == &timer; };
    auto found = std::find_if(armed_.begin(), armed_.end(), is_it);
    BLOCKMIRROR_ASSERT(found != armed_.end(), "an armed timer is not in the queue");
    armed_.erase(found);
    timer.armed = false;
  }

  std::uint64_t next_deadline() const { return armed_.empty() ? kNever : armed_.back().timer->deadline_ns; }

  // Fires what is due at `now_ns`; returns how many. A fire may arm and disarm any timer, its own too.
  unsigned fire_due(std::uint64_t now_ns) {
    const std::uint64_t first_new = next_sequence_;
    unsigned fired = 0;
    while (next_deadline() <= now_ns && !armed_.empty() && armed_.back().sequence < first_new) {
      Timer* timer = armed_.back().timer;
      armed_.pop_back();
      timer->armed = false;
      ++fired;
      timer->fire(timer->context);
    }
    return fired;
  }

 private:
  struct Armed {
    Timer* timer = nullptr;
    std::uint64_t sequence = 0;
  };
  std::vector<Armed> armed_;
  std::uint64_t next_sequence_ = 0;
};

}  // namespace blockmirror
