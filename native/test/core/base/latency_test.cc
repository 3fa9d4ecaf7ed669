// How long devices take to answer, as counts.
#include "../../../core/base/latency.h"

#include <doctest/doctest.h>

#include <memory>

using namespace blockmirror;

namespace {
constexpr std::uint64_t kSecond = 1'000'000'000;
}

TEST_CASE("latency: a length counts into the class that it lies in, told apart to an eighth") {
  for (std::uint64_t length = 1024; length < (std::uint64_t{1} << 40); length += length / 7 + 1) {
    CAPTURE(length);
    const unsigned of = LatencyRecorder::class_of(length);
    REQUIRE(length <= LatencyRecorder::end_of(of));
    REQUIRE((of == 0 || length > LatencyRecorder::end_of(of - 1)));
    REQUIRE(LatencyRecorder::end_of(of) <= length + length / 8);
  }
  CHECK(LatencyRecorder::class_of(0) == 0);
  CHECK(LatencyRecorder::class_of(UINT64_MAX) == LatencyRecorder::kClasses - 1);
}

TEST_CASE("latency: percentiles are those of the counts, and never above the longest") {
  const auto recorder = std::make_unique<LatencyRecorder>();
  for (unsigned i = 0; i < 990; ++i) recorder->count(kSecond, 100'000);
  for (unsigned i = 0; i < 10; ++i) recorder->count(kSecond, 5'000'000);
  const LatencySummary summary = recorder->since_open();
  CHECK(summary.count == 1000);
  CHECK(summary.p50_ns >= 100'000);
  CHECK(summary.p50_ns < 113'000);
  CHECK(summary.p99_ns < 113'000);
  CHECK(summary.p999_ns == 5'000'000);
  CHECK(summary.longest_ns == 5'000'000);
}

TEST_CASE("latency: a histogram counts each length once, in the first bucket whose end it does not pass") {
  std::uint64_t total_ns = 0;
  std::uint64_t counted = 0;
  const auto all = std::make_unique<LatencyRecorder>();
  for (std::uint64_t length = 1; length < (std::uint64_t{1} << 41); length += length / 5 + 1) {
    CAPTURE(length);
    const auto one = std::make_unique<LatencyRecorder>();
    one->count(kSecond, length);
    const LatencyHistogram histogram = one->histogram();
    unsigned bucket = 0;
    while (bucket + 1 < LatencyHistogram::kBuckets && length > LatencyRecorder::bucket_end(bucket)) ++bucket;
    for (unsigned i = 0; i < LatencyHistogram::kBuckets; ++i) REQUIRE(histogram.counts[i] == (i == bucket ? 1 : 0));
    REQUIRE(histogram.total_ns == length);
    all->count(kSecond, length);
    total_ns += length;
    ++counted;
  }
  // The ends themselves, and one more.
  for (unsigned i = 0; i + 1 < LatencyHistogram::kBuckets; ++i) {
    const auto one = std::make_unique<LatencyRecorder>();
    one->count(kSecond, LatencyRecorder::bucket_end(i));
    one->count(kSecond, LatencyRecorder::bucket_end(i) + 1);
    CHECK(one->histogram().counts[i] == 1);
    CHECK(one->histogram().counts[i + 1] == 1);
  }
  const LatencyHistogram histogram = all->histogram();
  std::uint64_t sum = 0;
  for (const std::uint64_t count : histogram.counts) sum += count;
  CHECK(sum == counted);
  CHECK(histogram.total_ns == total_ns);
  CHECK(all->since_open().count == counted);
}

TEST_CASE("latency: the last minute forgets what is older, since the opening does not") {
  const auto recorder = std::make_unique<LatencyRecorder>();
  CHECK(recorder->since_open().count == 0);
  recorder->count(5 * kSecond, 900'000'000);
  recorder->count(50 * kSecond, 1'000'000);
  CHECK(recorder->last_minute(50 * kSecond).count == 2);
  CHECK(recorder->last_minute(80 * kSecond).count == 1);
  CHECK(recorder->last_minute(80 * kSecond).longest_ns == 1'000'000);
  CHECK(recorder->last_minute(200 * kSecond).count == 0);
  recorder->count(75 * kSecond, 2'000'000);  // where the first one stood
  CHECK(recorder->last_minute(76 * kSecond).count == 2);
  CHECK(recorder->since_open().count == 3);
  CHECK(recorder->since_open().longest_ns == 900'000'000);
}
