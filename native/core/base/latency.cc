#include "latency.h"

#include <algorithm>

namespace blockmirror {
namespace {

// One writer: no other store comes in between.
template <typename T>
void raise(std::atomic<T>& value, T by = 1) {
  value.store(value.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

// Classes are steps of a power of two, so that every bucket is made of whole ones.
constexpr unsigned bucket_of(unsigned of) {
  const unsigned power = LatencyRecorder::kShortest + of / LatencyRecorder::kSteps;
  if (power < LatencyHistogram::kFirstPower) return 0;
  return std::min(power + 1 - LatencyHistogram::kFirstPower, LatencyHistogram::kBuckets - 1);
}

}  // namespace

template <typename Number>
void LatencyRecorder::add(Histogram<Number>& to, unsigned of, std::uint64_t length_ns) {
  raise(to.counts[of]);
  if (length_ns > to.longest_ns.load(std::memory_order_relaxed)) {
    to.longest_ns.store(length_ns, std::memory_order_relaxed);
  }
}

void LatencyRecorder::begin_slice(Slice& slice, std::uint64_t number) {
  slice.slice.store(0, std::memory_order_relaxed);
  for (std::atomic<std::uint32_t>& count : slice.counts) count.store(0, std::memory_order_relaxed);
  slice.longest_ns.store(0, std::memory_order_relaxed);
  slice.slice.store(number, std::memory_order_release);
}

void LatencyRecorder::count(std::uint64_t now_ns, std::uint64_t length_ns) {
  const std::uint64_t number = now_ns / kSlice_ns + 1;
  Slice& slice = slices_[number % slices_.size()];
  if (slice.slice.load(std::memory_order_relaxed) != number) begin_slice(slice, number);
  const unsigned of = class_of(length_ns);
  add(all_, of, length_ns);
  raise(total_ns_, length_ns);
  add(slice, of, length_ns);
}

template <typename Number>
void LatencyRecorder::take(const Histogram<Number>& from, Sum& into, std::uint64_t& longest_ns) {
  for (unsigned i = 0; i < kClasses; ++i) into[i] += from.counts[i].load(std::memory_order_relaxed);
  longest_ns = std::max(longest_ns, from.longest_ns.load(std::memory_order_relaxed));
}

LatencySummary LatencyRecorder::summary_of(const Sum& counts, std::uint64_t longest_ns) {
  LatencySummary summary;
  for (const std::uint64_t count : counts) summary.count += count;
  if (summary.count == 0) return summary;
  summary.longest_ns = longest_ns;
  struct Row {
    std::uint64_t per_mille;
    std::uint64_t LatencySummary::*into;
  };
  static constexpr std::array<Row, 4> kRows{{{500, &LatencySummary::p50_ns},
                                             {900, &LatencySummary::p90_ns},
                                             {990, &LatencySummary::p99_ns},
                                             {999, &LatencySummary::p999_ns}}};
  for (const Row& row : kRows) {
    const std::uint64_t wanted = (summary.count * row.per_mille + 999) / 1000;
    std::uint64_t seen = 0;
    unsigned at = 0;
    while (at + 1 < kClasses && (seen += counts[at]) < wanted) ++at;
    summary.*row.into = std::min(end_of(at), longest_ns);
  }
  return summary;
}

LatencySummary LatencyRecorder::since_open() const {
  Sum sum{};
  std::uint64_t longest_ns = 0;
  take(all_, sum, longest_ns);
  return summary_of(sum, longest_ns);
}

LatencyHistogram LatencyRecorder::histogram() const {
  LatencyHistogram histogram;
  for (unsigned i = 0; i < kClasses; ++i) {
    histogram.counts[bucket_of(i)] += all_.counts[i].load(std::memory_order_relaxed);
  }
  histogram.total_ns = total_ns_.load(std::memory_order_relaxed);
  return histogram;
}

LatencySummary LatencyRecorder::last_minute(std::uint64_t now_ns) const {
  const std::uint64_t number = now_ns / kSlice_ns + 1;
  Sum sum{};
  std::uint64_t longest_ns = 0;
  for (const Slice& slice : slices_) {
    const std::uint64_t of = slice.slice.load(std::memory_order_acquire);
    if (of != 0 && of <= number && number - of <= kSlices) take(slice, sum, longest_ns);
  }
  return summary_of(sum, longest_ns);
}

}  // namespace blockmirror
