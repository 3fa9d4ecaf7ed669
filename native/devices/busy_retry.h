// Waiting, bounded, for a holder that is about to go: a kill leaves locks behind for a moment.
#pragma once

#include <time.h>

#include <cerrno>
#include <cstdint>

namespace blockmirror {

inline std::uint64_t monotonic_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000000;
}

// Repeats `attempt`, which answers 0 or an errno, while somebody else holds the thing, up to the deadline.
template <typename Attempt>
int retry_while_busy(std::uint64_t deadline_ms, Attempt attempt) {
  constexpr timespec kPause{.tv_sec = 0, .tv_nsec = 5000000};
  for (;;) {
    const int error = attempt();
    if (error == EINTR) continue;
    if (error != EBUSY && error != EWOULDBLOCK) return error;
    if (monotonic_ms() >= deadline_ms) return error;
    ::nanosleep(&kPause, nullptr);
  }
}

}  // namespace blockmirror
