// PollingWindow: whether a wait is worth looking again for a while before it sleeps. Pure: outcomes in, decisions out.
//
// To be woken on an idle processor took 30 to 50 us on a virtual machine, where it is an exit to the host: about as
// much as a fast device takes for the write itself; to look again costs processor time. So it is done while it pays: a
// window in which nothing came makes the next waits sleep at once, one, three, up to kMostSkipped of them, and the first
// window in which something came starts afresh. A quiet mirror waits for nothing and spends nothing; over a slow disk it
// is one window in eight waits, each of which is long. (Skipping up to 127 waits, and windows half as long, cost a fifth
// of the speed at depth 32: one slow moment of the disk, and the next hundred answers were slept for.)
// The kernel's halt polling (Documentation/virt/guest-halt-polling.rst) decides in the same way.
//
// Between two looks the processor is offered to others, one of whom may be what completes the request. Where somebody
// else wants it, an offer costs a whole slice of the scheduler, some milliseconds, while a thread that sleeps runs again
// as soon as it is woken. So after one offer that was too long the next kSkippedWhenCrowded waits sleep at once. Too long
// is kLongestOffer_ns when it brought nothing, and kSlice_ns in any case: after a slice the answer has always come, long
// ago.
#pragma once

#include <algorithm>
#include <cstdint>

namespace blockmirror {

class PollingWindow {
 public:
  static constexpr std::uint64_t kLength_ns = 400'000;
  static constexpr unsigned kMostSkipped = 7;
  static constexpr std::uint64_t kLongestOffer_ns = 50'000;
  static constexpr std::uint64_t kSlice_ns = 500'000;
  static constexpr unsigned kSkippedWhenCrowded = 256;

  // Once per wait. False: it sleeps at once.
  bool opens() {
    if (to_skip_ == 0) return true;
    --to_skip_;
    return false;
  }

  // Looks until something came (true) or the window closes. `now`: nanoseconds of a steady clock; `something_came`:
  // one look; `offer`: lets others run.
  template <typename Now, typename SomethingCame, typename Offer>
  bool look(std::uint64_t deadline_ns, const Now& now, const SomethingCame& something_came, const Offer& offer) {
    std::uint64_t looked_ns = now();
    const std::uint64_t end_ns = std::min(looked_ns + kLength_ns, deadline_ns);
    bool crowded = false;
    bool came = something_came();
    while (!came && !crowded && looked_ns < end_ns) {
      offer();
      came = something_came();
      const std::uint64_t offered_ns = now() - looked_ns;
      looked_ns += offered_ns;
      crowded = offered_ns > (came ? kSlice_ns : kLongestOffer_ns);
    }
    skipped_last_ = came ? 0 : std::min(2 * skipped_last_ + 1, kMostSkipped);
    to_skip_ = crowded ? kSkippedWhenCrowded : skipped_last_;
    return came;
  }

 private:
  unsigned to_skip_ = 0;
  unsigned skipped_last_ = 0;
};

}  // namespace blockmirror
