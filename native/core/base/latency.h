// LatencyRecorder: how long a device took to answer, as counts by length: since it was attached, and over the last minute.
//
// The engine thread counts; any thread may read at any time. A reader may miss what is counted meanwhile, and never reads
// what was not counted. This and the flag that calls a write off are the only atomics of the core.
// Lengths are told apart to an eighth of a power of two (12.5 %), from 1 us to 18 minutes; what is shorter or longer counts
// as the first or the last.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "device.h"

namespace blockmirror {

struct LatencySummary {
  std::uint64_t count = 0;  // of requests; the others are 0 with it
  std::uint64_t p50_ns = 0;
  std::uint64_t p90_ns = 0;
  std::uint64_t p99_ns = 0;
  std::uint64_t p999_ns = 0;
  std::uint64_t longest_ns = 0;
};

// Counts as monitoring takes them: `counts[i]` took no longer than LatencyRecorder::bucket_end(i), the last any time.
struct LatencyHistogram {
  static constexpr unsigned kFirstPower = 13;  // 8 us
  static constexpr unsigned kLastPower = 35;   // 34 s: past the usual deadline of a device
  static constexpr unsigned kBuckets = kLastPower - kFirstPower + 2;
  std::array<std::uint64_t, kBuckets> counts{};  // each of its own bucket alone
  std::uint64_t total_ns = 0;
};

class LatencyRecorder {
 public:
  static constexpr unsigned kSteps = 8;  // of a power of two
  static constexpr unsigned kShortest = 10;
  static constexpr unsigned kLongest = 40;  // powers of two, ns
  static constexpr unsigned kClasses = (kLongest - kShortest) * kSteps;
  static constexpr std::uint64_t kSlice_ns = 10'000'000'000;
  static constexpr unsigned kSlices = 6;  // a minute

  static constexpr unsigned class_of(std::uint64_t length_ns) {
    if (length_ns < (std::uint64_t{1} << kShortest)) return 0;
    const unsigned power = static_cast<unsigned>(std::bit_width(length_ns)) - 1;
    if (power >= kLongest) return kClasses - 1;
    const unsigned step = static_cast<unsigned>(length_ns >> (power - 3)) & (kSteps - 1);
    return (power - kShortest) * kSteps + step;
  }
  // The longest that counts into that class.
  static constexpr std::uint64_t end_of(unsigned of) {
    const unsigned power = kShortest + of / kSteps;
    return ((std::uint64_t{kSteps} + of % kSteps + 1) << (power - 3)) - 1;
  }

  // The longest that counts into that bucket of a histogram; of the last there is none.
  static constexpr std::uint64_t bucket_end(unsigned bucket) {
    return (std::uint64_t{1} << (LatencyHistogram::kFirstPower + bucket)) - 1;
  }

  void count(std::uint64_t now_ns, std::uint64_t length_ns);
  LatencySummary since_open() const;
  LatencyHistogram histogram() const;  // since open
  LatencySummary last_minute(std::uint64_t now_ns) const;

 private:
  template <typename Number>
  struct Histogram {
    std::atomic<std::uint64_t> slice{0};  // which ten seconds of the clock, counted from 1; 0: none yet
    std::atomic<std::uint64_t> longest_ns{0};
    std::array<std::atomic<Number>, kClasses> counts{};
  };
  using Slice = Histogram<std::uint32_t>;
  using Sum = std::array<std::uint64_t, kClasses>;
  template <typename Number>
  static void add(Histogram<Number>& to, unsigned of, std::uint64_t length_ns);
  template <typename Number>
  static void take(const Histogram<Number>& from, Sum& into, std::uint64_t& longest_ns);
  static LatencySummary summary_of(const Sum& counts, std::uint64_t longest_ns);
  static void begin_slice(Slice& slice, std::uint64_t number);

  Histogram<std::uint64_t> all_;
  std::atomic<std::uint64_t> total_ns_{0};
  std::array<Slice, kSlices + 1> slices_;  // the one that is being filled beside a whole minute
};

// Of one device, by what was asked of it.
struct DeviceLatency {
  LatencyRecorder read;
  LatencyRecorder write;  // zeroes too
  LatencyRecorder flush;
  LatencyRecorder& of(Operation operation) {
    if (operation == Operation::read) return read;
    return operation == Operation::flush ? flush : write;
  }
};

// Of requests to the mirror, by what was asked of it: from when the engine took one up until it was over, however it ended.
struct RequestLatency {
  LatencyRecorder read;
  LatencyRecorder write;
  LatencyRecorder flush;
  LatencyRecorder discard;
};

// By image; the last one is the log's.
using DeviceLatencies = std::array<DeviceLatency, kMaxImages + 1>;

}  // namespace blockmirror
