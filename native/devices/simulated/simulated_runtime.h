// The Runtime of the simulator: virtual time, seeded randomness, one thread. Everything that happens is an event with a
// time; events of one time happen in the order in which they were scheduled, so that a run is a function of its seed.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <utility>

#include "../../core/base/runtime.h"

namespace blockmirror {

class SimulatedRuntime : public Runtime {
 public:
  explicit SimulatedRuntime(std::uint64_t seed) : random_(seed) {}

  std::uint64_t now_ns() const override { return now_ns_; }
  std::uint64_t wall_clock_ms() const override { return now_ns_ / 1'000'000; }
  void random(std::span<std::byte> into) override {
    for (std::byte& byte : into) byte = static_cast<std::byte>(random_());
  }
  void arm(Timer& timer, std::uint64_t deadline_ns) override {
    disarm(timer);
    timer.deadline_ns = deadline_ns;
    timer.armed = true;
    timers_[&timer] = schedule(deadline_ns, [this, &timer] {
      timers_.erase(&timer);
      timer.armed = false;
      timer.fire(timer.context);
    });
  }
  void disarm(Timer& timer) override {
    timer.armed = false;
    auto found = timers_.find(&timer);
    if (found == timers_.end()) return;
    events_.erase(found->second);
    timers_.erase(found);
  }

  using EventKey = std::pair<std::uint64_t, std::uint64_t>;  // time, order of scheduling
  EventKey schedule(std::uint64_t at_ns, std::function<void()> event) {
    const EventKey key{std::max(at_ns, now_ns_), ++scheduled_};
    events_.emplace(key, std::move(event));
    return key;
  }
  // A number below `bound` that depends on the seed alone.
  std::uint64_t draw(std::uint64_t bound) { return bound == 0 ? 0 : random_() % bound; }

  // Resumes what is ready, then lets the next event happen. False when nothing is left to happen.
  bool step() {
    while (has_ready()) run_ready();
    if (events_.empty()) return false;
    auto first = events_.begin();
    now_ns_ = first->first.first;
    std::function<void()> event = std::move(first->second);
    events_.erase(first);
    event();
    while (has_ready()) run_ready();
    return true;
  }
  // Until nothing is left to happen, or `done` holds. False when the bound on events was reached.
  template <typename Done>
  bool run_until(Done done, std::uint64_t limit = 10'000'000) {
    while (has_ready()) run_ready();
    for (std::uint64_t i = 0; i < limit; ++i) {
      if (done()) return true;
      if (!step()) return done();
    }
    return false;
  }
  bool run_until_quiet() {
    return run_until([] { return false; }) || events_.empty();
  }

 private:
  std::uint64_t now_ns_ = 0;
  std::uint64_t scheduled_ = 0;
  std::mt19937_64 random_;
  std::map<EventKey, std::function<void()>> events_;
  std::map<Timer*, EventKey> timers_;
};

}  // namespace blockmirror
