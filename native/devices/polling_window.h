// PollingWindow: whether a wait is worth looking again for a while before it sleeps. Pure: outcomes in, decisions out.
//
// To be woken on an idle processor took 30 to 50 us on a virtual machine, where it is an exit to the host: about as
// much as a fast device takes for the write itself; to look again costs processor time. So it is done while it pays: a
// window in which nothing came makes the next waits sleep at once, one, three, up to kMostSkipped of them, and the first
// window in which something came starts afresh. A quiet mirror waits for nothing and spends nothing; over a slow disk it
// is one window in eight waits, each of which is long. (Skipping up to 127 waits, and windows half as long, cost a fifth
// of the speed at depth 32: one slow moment of the disk, and the next hundred answers were slept for.)
// The kernel's halt polling (Documentation/virt/guest-halt-polling.rst) decides in the same way.
#pragma once

#include <algorithm>
#include <cstdint>

namespace blockmirror {

class PollingWindow {
 public:
  static constexpr std::uint64_t kLength_ns = 400'000;
  static constexpr unsigned kMostSkipped = 7;

  // Once per wait.
  bool opens() {
    if (to_skip_ == 0) return true;
    --to_skip_;
    return false;
  }
  void closed(bool something_came) {
    skipped_last_ = something_came ? 0 : std::min(2 * skipped_last_ + 1, kMostSkipped);
    to_skip_ = skipped_last_;
  }

 private:
  unsigned to_skip_ = 0;
  unsigned skipped_last_ = 0;
};

}  // namespace blockmirror
