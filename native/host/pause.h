// Pause: `co_await Pause(runtime, ns)`, for what says nothing when it is done.
#pragma once

#include <coroutine>
#include <cstdint>

#include "../core/base/runtime.h"

namespace blockmirror {

class Pause {
 public:
  Pause(Runtime& runtime, std::uint64_t length_ns) : runtime_(runtime), length_ns_(length_ns) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) {
    waiting_ = waiting;
    timer_.context = this;
    timer_.fire = [](void* pause) { static_cast<Pause*>(pause)->waiting_.resume(); };
    runtime_.arm(timer_, runtime_.now_ns() + length_ns_);
  }
  void await_resume() const noexcept {}

 private:
  Runtime& runtime_;
  const std::uint64_t length_ns_;
  std::coroutine_handle<> waiting_;
  Timer timer_;
};

}  // namespace blockmirror
