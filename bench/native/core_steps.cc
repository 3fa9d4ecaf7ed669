// Single steps of the core, timed: record encode and scan, CRC32C, coverage lookups, the range lock. Over the sources that
// ship (native/core), in memory; no device is touched.
//
// core_steps [SECONDS]   for each step and repetition; default 0.1
// Prints a JSON array of { name, unit: "ns", minimum, median, maximum } over five repetitions.
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "../../native/core/base/assert.h"
#include "../../native/core/base/crc32c.h"
#include "../../native/core/format/record.h"
#include "../../native/core/images/range_lock.h"
#include "../../native/core/log/coverage.h"
#include "../../native/test/support/scanned_ring.h"

namespace bench {
namespace {

using namespace blockmirror;

constexpr unsigned kRepetitions = 5;
constexpr std::uint32_t kRecordSize = kMinimumRecordSize;
constexpr std::uint32_t kRecords = 4096;
constexpr unsigned kExtents = 1'000'000;
constexpr std::uint64_t kRegion = std::uint64_t{kIntentBitmapBlocks} * kIntentBlockLength;

double now_seconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// What was computed must not be thrown away by the compiler.
template <typename Value>
void keep(const Value& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

class Steps {
 public:
  explicit Steps(double seconds) : seconds_(seconds) { std::printf("["); }
  ~Steps() { std::printf("]\n"); }

  // `step(i)` is called over and over; each call counts as `count` steps.
  template <typename Step>
  void time(const char* name, Step step, unsigned count = 1) {
    std::array<double, kRepetitions> nanoseconds{};
    for (double& result : nanoseconds) {
      std::uint64_t calls = 0;
      const double begin = now_seconds();
      double now = begin;
      for (std::uint64_t batch = 1; now - begin < seconds_; batch = std::min<std::uint64_t>(batch * 2, 4096)) {
        for (std::uint64_t i = 0; i < batch; ++i) step(calls++);
        now = now_seconds();
      }
      result = (now - begin) * 1e9 / static_cast<double>(calls) / count;
    }
    std::sort(nanoseconds.begin(), nanoseconds.end());
    std::printf("%s{\"name\":\"%s\",\"unit\":\"ns\",\"minimum\":%.2f,\"median\":%.2f,\"maximum\":%.2f}", separator_,
                name, nanoseconds.front(), nanoseconds[kRepetitions / 2], nanoseconds.back());
    separator_ = ",";
  }

 private:
  double seconds_;
  const char* separator_ = "";
};

class NoRuntime : public Runtime {
 public:
  std::uint64_t now_ns() const override { return 0; }
  std::uint64_t wall_clock_ms() const override { return 0; }
  void random(std::span<std::byte>) override {}
  void arm(Timer&, std::uint64_t) override {}
  void disarm(Timer&) override {}
};

void time_checksum(Steps& steps) {
  std::vector<std::byte> bytes(kRecordSize, std::byte{7});
  steps.time("CRC32C of 4 KiB", [&](std::uint64_t i) { keep(crc32c(bytes, static_cast<std::uint32_t>(i))); });
  steps.time("CRC32C of 4 KiB, by table",
             [&](std::uint64_t i) { keep(crc32c_by_table(bytes, static_cast<std::uint32_t>(i))); });
}

// As many one-block intents, in as many regions, as a record holds.
std::vector<Intent> full_record(std::uint64_t first_region) {
  std::vector<Intent> intents(record_capacity(kRecordSize));
  for (std::size_t i = 0; i < intents.size(); ++i) {
    intents[i].extent = {(first_region + i) * kRegion, kIntentBlockLength};
  }
  return intents;
}

void time_records(Steps& steps) {
  Uuid uuid;
  uuid.bytes.fill(std::byte{3});
  const std::vector<Intent> one(1, Intent{Intent::Kind::extent, {kRegion, kIntentBlockLength}, {}});
  const std::vector<Intent> many = full_record(0);
  std::vector<std::byte> record(kRecordSize);
  RecordHeader header;
  const auto encode = [&](const std::vector<Intent>& intents) {
    return [&](std::uint64_t i) {
      header.sequence = i;
      encode_record(uuid, header, intents, record);
      keep(record);
    };
  };
  steps.time("encode a record of one intent", encode(one));
  steps.time("encode a full record", encode(many));
  steps.time("decode a full record", [&](std::uint64_t) { keep(decode_slot(uuid, record)); });

  // The lap after formatting's, all of it live.
  std::vector<std::byte> ring(std::size_t{kRecords} * kRecordSize);
  const RingIdentity identity{uuid, kRecordSize, kRecords, 4, 1, kRecords};
  for (std::uint32_t slot = 0; slot < kRecords; ++slot) {
    const std::uint64_t sequence = std::uint64_t{kRecords} + slot;
    const RecordHeader at{sequence, 1, 1, sequence - 1, kRecords};
    encode_record(uuid, at, full_record(std::uint64_t{slot} * many.size()),
                  std::span(ring).subspan(std::size_t{slot} * kRecordSize, kRecordSize));
  }
  const std::vector<bool> unreadable(kRecords, false);
  const test::ScannedRing found = test::scan_ring(identity, ring, unreadable);
  BLOCKMIRROR_ASSERT(!found.damaged && found.live.size() == kRecords * many.size(), "the ring that is timed is whole");
  steps.time(
      "scan a ring of 4096 full records, each",
      [&](std::uint64_t) { keep(test::scan_ring(identity, ring, unreadable)); }, kRecords);
}

// A million extents: every other block of enough regions.
void time_coverage(Steps& steps) {
  constexpr unsigned kBlocksEach = kIntentBitmapBlocks / 2;
  constexpr unsigned kRegions = (kExtents + kBlocksEach - 1) / kBlocksEach;
  const auto fill = [](Coverage& coverage, std::uint64_t regions, unsigned blocks) {
    for (std::uint64_t index = 0; index < regions; ++index) {
      Region& region = coverage.find_or_add(index);
      for (unsigned block = 0; block < blocks; ++block) region.covered = region.covered | BlockSet::of(block * 2, 1);
    }
  };
  const auto lookup = [](const Coverage& coverage, std::uint64_t regions, std::mt19937_64& random) {
    const std::uint64_t drawn = random();
    const Extent extent{drawn % regions * kRegion + (drawn >> 40) % kIntentBitmapBlocks * kIntentBlockLength,
                        kIntentBlockLength};
    const Region* region = coverage.find(extent.position / kRegion);
    keep(region != nullptr && region->covered.contains(Coverage::blocks_of(extent)));
  };
  std::mt19937_64 random(5);
  {
    Coverage dense;
    fill(dense, kRegions, kBlocksEach);
    steps.time("coverage lookup, a million extents in 7,813 regions",
               [&](std::uint64_t) { lookup(dense, kRegions, random); });
  }
  Coverage sparse;
  fill(sparse, kExtents, 1);
  steps.time("coverage lookup, a million extents in a million regions",
             [&](std::uint64_t) { lookup(sparse, kExtents, random); });
}

void time_range_lock(Steps& steps) {
  NoRuntime runtime;
  RangeLock lock(runtime, kRegion);
  const auto lock_one = [&](std::uint64_t i) {
    RangeLock::Guard guard(lock, {i % 100'000 * kIntentBlockLength, kIntentBlockLength}, RangeLock::Mode::exclusive);
    keep(guard.granted());
  };
  steps.time("range lock and unlock", lock_one);
  std::vector<std::unique_ptr<RangeLock::Guard>> held;
  for (std::uint64_t i = 0; i < 128; ++i) {
    const Extent extent{(200'000 + i * 37) * kIntentBlockLength, kIntentBlockLength};
    held.push_back(std::make_unique<RangeLock::Guard>(lock, extent, RangeLock::Mode::exclusive));
  }
  steps.time("range lock and unlock, 128 others held", lock_one);
}

}  // namespace
}  // namespace bench

int main(int count, char** arguments) {
  const double seconds = count > 1 ? std::atof(arguments[1]) : 0.1;
  if (!(seconds > 0)) {
    std::fprintf(stderr, "usage: core_steps [SECONDS]\n");
    return 2;
  }
  bench::Steps steps(seconds);
  bench::time_checksum(steps);
  bench::time_records(steps);
  bench::time_coverage(steps);
  bench::time_range_lock(steps);
  return 0;
}
