// What the engine asks of the thread it runs on: a clock, timers, randomness and a ready queue.
//
// The real one is driven by a reactor (native/devices), the simulator's has virtual time and seeded randomness;
// nothing in the core may ask the operating system for either.
// Invariants: one thread; timers fire and ready coroutines run from the loop, never from inside a call that armed
// or woke them; the ready queue is first in, first out, so that waiting is fair.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "assert.h"

namespace blockmirror {

// A suspended coroutine in an intrusive list; lives in the frame of the coroutine that waits.
struct Waiter {
  std::coroutine_handle<> handle;
  Waiter* next = nullptr;
};

class WaiterQueue {
 public:
  bool empty() const { return first_ == nullptr; }
  void push(Waiter& waiter) {
    waiter.next = nullptr;
    (last_ == nullptr ? first_ : last_->next) = &waiter;
    last_ = &waiter;
  }
  Waiter* pop() {
    Waiter* waiter = first_;
    if (waiter != nullptr && (first_ = waiter->next) == nullptr) last_ = nullptr;
    return waiter;
  }

 private:
  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
};

// One-shot timer, owned by whoever arms it. `fire` runs on the engine thread from the loop.
struct Timer {
  void (*fire)(void* context) = nullptr;
  void* context = nullptr;
  std::uint64_t deadline_ns = 0;
  bool armed = false;
};

class Runtime {
 public:
  virtual ~Runtime() = default;

  virtual std::uint64_t now_ns() const = 0;               // monotonic
  virtual std::uint64_t recent_ns() { return now_ns(); }  // the same clock, at most a turn of the loop ago
  virtual std::uint64_t wall_clock_ms() const = 0;        // since 1970, for dates in reports only, never for decisions
  virtual void random(std::span<std::byte> into) = 0;
  virtual void arm(Timer& timer, std::uint64_t deadline_ns) = 0;  // re-arming moves the deadline
  virtual void disarm(Timer& timer) = 0;

  void make_ready(Waiter& waiter) { ready_.push(waiter); }
  bool has_ready() const { return !ready_.empty(); }
  // Resumes what is ready now, not what becomes ready meanwhile more than `limit` times: a loop turn stays bounded.
  unsigned run_ready(unsigned limit = 4096) {
    unsigned count = 0;
    for (; count < limit; ++count) {
      Waiter* waiter = ready_.pop();
      if (waiter == nullptr) break;
      waiter->handle.resume();
    }
    return count;
  }

 private:
  WaiterQueue ready_;
};

// A condition that coroutines wait for: `co_await condition.wait()`, then look again; wake_all when it may have
// changed.
class Condition {
 public:
  explicit Condition(Runtime& runtime) : runtime_(runtime) {}
  ~Condition() { BLOCKMIRROR_ASSERT(waiters_.empty(), "a condition was destroyed under its waiters"); }
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  struct Awaiter : Waiter {
    Condition& condition;
    explicit Awaiter(Condition& of) : condition(of) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiting) {
      handle = waiting;
      condition.waiters_.push(*this);
    }
    void await_resume() const noexcept {}
  };
  Awaiter wait() { return Awaiter(*this); }
  bool has_waiters() const { return !waiters_.empty(); }

  void wake_all() {
    while (Waiter* waiter = waiters_.pop()) runtime_.make_ready(*waiter);
  }
  void wake_one() {
    if (Waiter* waiter = waiters_.pop()) runtime_.make_ready(*waiter);
  }

 private:
  Runtime& runtime_;
  WaiterQueue waiters_;
};

// A condition for one coroutine that is often busy elsewhere: what was raised meanwhile is not lost.
class Signal {
 public:
  explicit Signal(Runtime& runtime) : raised_again_(runtime) {}
  void raise() {
    raised_ = true;
    raised_again_.wake_all();
  }
  bool raised() const { return raised_; }
  // `while (!signal.take()) co_await signal.wait();`
  bool take() { return std::exchange(raised_, false); }
  Condition::Awaiter wait() { return raised_again_.wait(); }

 private:
  Condition raised_again_;
  bool raised_ = false;
};

}  // namespace blockmirror
