// Scarcity: how long a loop bears with a kernel that takes no requests for want of memory. Pure: moments in, decisions out.
//
// Such a want is over after a moment as a rule, so what was not taken is offered again, after pauses that grow to
// kLongestPause_ns. Where it is not over after the limit, what waits is failed with the errno (I15): its image is given up
// then, or its mirror stops, and both say why. The clock runs only while a request waits: an idle loop, which cannot even
// have its wake-up taken, fails nothing when the next request comes.
#pragma once

#include <algorithm>
#include <cstdint>

namespace blockmirror {

class Scarcity {
 public:
  static constexpr std::uint64_t kLimit_ns = 5'000'000'000;
  static constexpr std::uint64_t kFirstPause_ns = 100'000;
  static constexpr std::uint64_t kLongestPause_ns = 20'000'000;

  explicit Scarcity(std::uint64_t limit_ns = kLimit_ns) : limit_ns_(limit_ns) {}

  // The kernel took nothing. True: what waits has waited too long, and counts as failed from here on.
  bool is_over_limit(std::uint64_t now_ns, bool requests_wait) {
    if (!waits_) since_ns_ = now_ns;
    waits_ = requests_wait && now_ns - since_ns_ < limit_ns_;
    return requests_wait && !waits_;
  }
  // How long to leave the kernel alone before the next try.
  std::uint64_t next_pause_ns() {
    const std::uint64_t pause_ns = pause_ns_;
    pause_ns_ = std::min(2 * pause_ns_, kLongestPause_ns);
    return pause_ns;
  }
  // The kernel took something.
  void end() {
    waits_ = false;
    pause_ns_ = kFirstPause_ns;
  }

 private:
  const std::uint64_t limit_ns_;
  std::uint64_t since_ns_ = 0;
  bool waits_ = false;  // since since_ns_
  std::uint64_t pause_ns_ = kFirstPause_ns;
};

}  // namespace blockmirror
