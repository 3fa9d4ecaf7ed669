// Reading a ring from its device: in steps, in bounded memory, and what becomes of records that change meanwhile.
#include <doctest/doctest.h>

#include <cerrno>
#include <optional>

#include "../../../core/base/limits.h"
#include "../../../core/log/log_reader.h"
#include "../../../devices/simulated/simulated_device.h"
#include "../../support/format_samples.h"
#include "../../support/limited_address_space.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr std::uint32_t kLongRing = 2 * kRingBuffer / kMinimumRecordSize;  // records; two buffers

// A log with a ring of blank records, and hands to put others into it.
class Ring {
 public:
  explicit Ring(std::uint32_t records) : runtime(1), device(runtime, log_length(records, kMinimumRecordSize, kMiB)) {
    superblock = sample_superblock();
    superblock.size = std::uint64_t{1} << 40;
    superblock.ring = {kRingPosition, kMinimumRecordSize, records, 4};
    superblock.open_count = 1;
    superblock.first_sequence = records;
    for (std::uint32_t slot = 0; slot < records; ++slot) {
      encode_blank_record(superblock.log_uuid, slot, records, bytes_of(slot));
    }
  }
  std::span<std::byte> bytes_of(std::uint64_t sequence) {
    const std::uint64_t slot = sequence % superblock.ring.record_count;
    return device.content().subspan(kRingPosition + slot * kMinimumRecordSize, kMinimumRecordSize);
  }
  void write(std::uint64_t sequence, std::uint64_t tail, const std::vector<Intent>& intents) {
    encode_record(superblock.log_uuid, {sequence, 1, 1, sequence - 1, tail}, intents, bytes_of(sequence));
  }
  Outcome read_on(RingReader& reader, std::uint64_t bytes = UINT64_MAX / 2) {
    std::optional<Outcome> result;
    spawn(finish(reader.read_on(bytes), result));
    runtime.run_until([&] { return result.has_value(); });
    return result.value_or(Outcome::of(Code::ABORTED));
  }

  SimulatedRuntime runtime;
  SimulatedDevice device;
  Superblock superblock;

 private:
  static Task<void> finish(Task<Outcome> task, std::optional<Outcome>& into) { into = co_await std::move(task); }
};

Intent every_second_block(std::uint64_t region) {
  IntentBitmap bits;
  bits.fill(0x5555555555555555);
  return bitmap_intent(region * kRegionLength, bits);
}

}  // namespace

TEST_CASE("a ring longer than the buffer is read in steps, and gives its live intents in order of sequence") {
  Ring ring(kLongRing);
  const std::uint64_t first = kLongRing + kLongRing / 2 - 2;  // around the seam of the two buffers
  for (std::uint64_t i = 0; i < 4; ++i) {
    ring.write(kLongRing + i, kLongRing, {});
  }
  for (std::uint64_t sequence = kLongRing + 4; sequence < first + 4; ++sequence) {
    ring.write(sequence, std::min(sequence, first), {extent_intent(sequence * 4096, 4096)});
  }
  RingReader reader(ring.device, ring.superblock);
  unsigned steps = 0;
  for (; !reader.done(); ++steps) REQUIRE(ring.read_on(reader, 1).ok());
  CHECK(steps >= 3);
  CHECK_FALSE(reader.scan().damaged);
  REQUIRE(reader.live_intents().size() == 4);
  for (std::uint64_t i = 0; i < 4; ++i) {
    CHECK(reader.live_intents()[i].sequence == first + i);
    CHECK(reader.live_intents()[i].extent == Extent{(first + i) * 4096, 4096});
  }
  CHECK(reader.take_covered().extents() == std::vector<Extent>{{first * 4096, 4 * 4096}});
  CHECK(reader.bytes_read() <= 2 * ring.superblock.ring.length());
}

TEST_CASE("a live record that is another one when it is read again is damage, and none of its intents counts") {
  Ring ring(kLongRing);
  ring.write(kLongRing, kLongRing, {extent_intent(4096, 4096)});
  RingReader reader(ring.device, ring.superblock);
  REQUIRE(ring.read_on(reader, kRingBuffer + 1).ok());  // the first pass; the buffer holds the second half
  REQUIRE_FALSE(reader.done());
  ring.write(kLongRing, kLongRing, {extent_intent(8192, 4096)});
  SUBCASE("the same record, other bytes") { ring.bytes_of(kLongRing)[100] ^= std::byte{1}; }
  SUBCASE("no longer readable") {
    ring.device.decide = [](const DeviceRequest& request) {
      return SimulatedDevice::Fate{request.position < kRingPosition + kRingBuffer ? EIO : 0};
    };
  }
  REQUIRE(ring.read_on(reader).ok());
  REQUIRE(reader.done());
  CHECK(reader.scan().damaged);
  CHECK(reader.live_intent_count() == 0);
}

TEST_CASE("of any number of live intents a thousand are told and all are counted and covered") {
  Ring ring(16);
  for (std::uint64_t sequence = 16; sequence < 32; ++sequence) {
    std::vector<Intent> others;
    for (std::uint64_t i = 0; i < 81; ++i) others.push_back(every_second_block(sequence * 100 + i));
    ring.write(sequence, 16, others);
  }
  RingReader reader(ring.device, ring.superblock);
  REQUIRE(ring.read_on(reader).ok());
  CHECK_FALSE(reader.scan().damaged);
  CHECK(reader.scan().live_records == 16);
  CHECK(reader.live_intents().size() == kReportedIntents);
  CHECK(reader.live_intent_count() == 16 * 81 * 128);
  const ExtentSet covered = reader.take_covered();
  CHECK(covered.size() == 16 * 81 * 128);
  CHECK(covered.bytes() == std::uint64_t{16} * 81 * 128 * 4096);
}

TEST_CASE("a full ring of bitmaps of every second block is told in few extents that cover all of them") {
  constexpr std::uint32_t kRecords = 512;
  Ring ring(kRecords);
  for (std::uint64_t i = 0; i < kRecords; ++i) {
    std::vector<Intent> intents;
    for (std::uint64_t k = 0; k < 81; ++k) intents.push_back(every_second_block(81 * i + k));
    ring.write(kRecords + i, kRecords, intents);
  }
  RingReader reader(ring.device, ring.superblock);
  REQUIRE(ring.read_on(reader).ok());
  CHECK_FALSE(reader.scan().damaged);
  REQUIRE(ring.read_on(reader).ok());  // done: changes nothing
  CHECK(reader.live_intent_count() == std::uint64_t{kRecords} * 81 * 128);
  CHECK(reader.take_covered().extents() == std::vector<Extent>{{0, std::uint64_t{kRecords} * 81 * kRegionLength}});
}

TEST_CASE("damage in every slot is counted, and told of the first ones") {
  Ring ring(1024);
  for (std::uint64_t slot = 0; slot < 1024; ++slot) ring.bytes_of(slot)[0] ^= std::byte{1};
  RingReader reader(ring.device, ring.superblock);
  REQUIRE(ring.read_on(reader).ok());
  CHECK(reader.scan().damaged);
  CHECK(reader.scan().damage_count == 1024);
  CHECK(reader.scan().damage.size() == kReportedDamage);
}

TEST_CASE("a ring for which there is no memory is NO_MEMORY, and can be read later") {
  if (!LimitedAddressSpace::is_possible()) return;
  Ring ring(kLongRing);
  {
    const LimitedAddressSpace limited(1024 * 1024);
    RingReader reader(ring.device, ring.superblock);
    const Outcome outcome = ring.read_on(reader);
    CHECK(outcome.code == Code::NO_MEMORY);
    CHECK(outcome.image == kLogDevice);
  }
  RingReader reader(ring.device, ring.superblock);
  CHECK(ring.read_on(reader).ok());
  CHECK(reader.done());
}
