// Headroom: how far each number on a disk may have grown. One place for the limits that every decode_* asks, and that
// every writer keeps below. docs/FORMAT.md prints them.
//
// Invariants:
//  - `most_read` is out of reach of any mirror, at the highest rates, for a thousand years (below 2^35 seconds). A block
//    that claims more was not written by one: it is damaged, whatever its checksum says.
//  - `most_written` is so far above that no life that began below `most_read` reaches it; a writer that would pass it
//    stops with an error and never wraps. So an opening is refused before it wrote anything, or is not refused at all.
//  - Sums of such numbers with anything else that the format bounds (a ring's length, a window in flight) do not wrap:
//    everything here is below 2^62.
#pragma once

#include <cstdint>

namespace blockmirror {

// Who asks: a reader of what a disk returned, or a writer of our own state.
enum class Bound : std::uint8_t { read, written };

struct Headroom {
  std::uint64_t most_read = 0;
  std::uint64_t most_written = 0;

  constexpr bool allows(std::uint64_t value, Bound bound) const {
    return value <= (bound == Bound::read ? most_read : most_written);
  }
  // Whether a writer may add `by` to it.
  constexpr bool may_grow(std::uint64_t value, std::uint64_t by) const {
    return by <= most_written && value <= most_written - by;
  }
};

// update of superblock and labels. Each costs at least two durable writes one after the other: far below 2^18 a second.
// Exact as a JavaScript number, too.
inline constexpr Headroom kUpdates{std::uint64_t{1} << 53, std::uint64_t{1} << 54};
// generation: a fracture each, which is an update as well.
inline constexpr Headroom kGenerations = kUpdates;
// sequence, and what is compared with it (tail, durable through). With kMostRecordsInFlight records at once, each of at
// least 2 microseconds, a log writes 2^25 records a second.
inline constexpr Headroom kSequences{std::uint64_t{1} << 60, std::uint64_t{1} << 61};
// open count. The one number that the format gives 32 bits (each sector of a record carries it): an opening every 8
// seconds for a thousand years, or one a second for 136. An opening adds one, and what it wrote must be told from a wrap.
inline constexpr Headroom kOpenings{0xfffffffe, 0xffffffff};
// Dates, in ms since 1970: what a JavaScript Date takes, in the year 275760. 0 is "none". No earliest date: a machine
// without a battery begins in 1970.
inline constexpr std::uint64_t kLatestDate = 8'640'000'000'000'000;
// Of what happened: a clock that stands at 1970, or beyond the last date, must not make it as if it had not.
constexpr std::uint64_t storable_date(std::uint64_t now_ms) {
  return now_ms == 0 ? 1 : now_ms < kLatestDate ? now_ms : kLatestDate;
}
// What was only counted, to be shown: bytes, intents, milliseconds, ticks, inodes.
inline constexpr std::uint64_t kLargestCount = (std::uint64_t{1} << 63) - 1;
// What is set, and then calculated with: rates in bytes a second, windows in bytes, durations in ms. Exact in JavaScript.
inline constexpr std::uint64_t kLargestSetting = (std::uint64_t{1} << 53) - 1;
inline constexpr std::uint32_t kLargestProcess = 0x7fffffff;  // pid_t

}  // namespace blockmirror
