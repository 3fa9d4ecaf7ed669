// One test per row of the decision table in ring_scan.cc, and per way in which a crash or a bad disk leads there.
#include <doctest/doctest.h>

#include <string>

#include "../../../core/format/ring_scan.h"
#include "../../support/ring_media.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr std::uint32_t kCount = 16;
constexpr std::uint32_t kInFlight = 4;
constexpr std::uint32_t kFirst = kCount;

using Sequences = std::vector<std::uint64_t>;

// Records 16..25 of the first opening, all durable, 20 and later live.
RingMedia ten_records() {
  RingMedia media(kCount, kInFlight);
  media.write_in_order(kFirst, 25, 16);
  media.write(25, 24, 20);
  return media;
}

// One and a half laps: 16..39, live from 36 on.
RingMedia second_lap() {
  RingMedia media(kCount, kInFlight);
  for (std::uint64_t sequence = kFirst; sequence < 40; ++sequence) media.write(sequence, sequence - 1, sequence - 3);
  return media;
}

bool damaged_at(const ScannedRing& scan, std::uint64_t sequence) {
  if (!scan.damaged) return false;
  for (const SlotDamage& damage : scan.damage) {
    CHECK(std::string(damage.reason) != "");
    if (damage.expected_sequence == sequence && damage.slot == sequence % kCount) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("scan: a formatted ring has nothing live and nothing damaged") {
  const ScannedRing scan = RingMedia(kCount, kInFlight).scan();
  CHECK_FALSE(scan.damaged);
  CHECK(scan.live.empty());
  CHECK(scan.sequence == kFirst - 1);
  CHECK(scan.tail == kFirst);
  CHECK(scan.torn_records == 0);
}

TEST_CASE("scan: intents from the tail on are live, in order of sequence, those below are not") {
  const ScannedRing scan = ten_records().scan();
  CHECK_FALSE(scan.damaged);
  CHECK(scan.sequence == 25);
  CHECK(scan.tail == 20);
  CHECK(scan.durable_through == 24);
  CHECK(live_sequences(scan) == Sequences{20, 21, 22, 23, 24, 25});
  CHECK(scan.live.front().intent.extent == Extent{20 * 4096, 4096});
}

TEST_CASE("scan: the live window goes around the end of the ring") {
  const ScannedRing scan = second_lap().scan();
  CHECK_FALSE(scan.damaged);
  CHECK(scan.sequence == 39);
  CHECK(live_sequences(scan) == Sequences{36, 37, 38, 39});
}

TEST_CASE("scan: a record may retire itself") {
  RingMedia media = ten_records();
  media.land(media.header(26, 25, 27), {});
  const ScannedRing scan = media.scan();
  CHECK_FALSE(scan.damaged);
  CHECK(scan.tail == 27);
  CHECK(scan.live.empty());
}

TEST_CASE("scan: a slot with any byte flipped is damage, live or retired or blank") {
  for (std::uint64_t sequence : {12, 17, 22, 25}) {
    for (std::size_t at = 0; at < kMinimumRecordSize; at += 37) {
      RingMedia media = ten_records();
      media.slot_bytes(sequence)[at] ^= std::byte{0x10};
      const ScannedRing scan = media.scan();
      REQUIRE(scan.damaged);
    }
  }
  RingMedia media = ten_records();
  media.slot_bytes(22)[100] ^= std::byte{1};
  CHECK(damaged_at(media.scan(), 22));
}

TEST_CASE("scan: a slot that cannot be read is damage") {
  for (std::uint64_t sequence = 10; sequence <= 25; ++sequence) {
    RingMedia media = ten_records();
    media.make_unreadable(sequence);
    const ScannedRing scan = media.scan();
    REQUIRE(scan.damaged);
    CHECK(std::string(scan.damage.front().reason) == "cannot be read");
  }
}

TEST_CASE("scan: a torn record of this lap inside the window is dropped, at whatever sector it was cut") {
  for (std::uint32_t sectors = 0; sectors < 0xff; ++sectors) {
    RingMedia media = ten_records();
    media.write(26, 24, 20, sectors);
    media.write(27, 24, 20);  // landed before the one in front of it
    const ScannedRing scan = media.scan();
    CAPTURE(sectors);
    REQUIRE_FALSE(scan.damaged);
    REQUIRE(scan.torn_records == 1);
    REQUIRE(scan.sequence == 27);
    REQUIRE(live_sequences(scan) == Sequences{20, 21, 22, 23, 24, 25, 27});
  }
}

TEST_CASE("scan: a torn record beyond the newest complete one is dropped") {
  for (std::uint32_t sectors = 1; sectors < 0xff; ++sectors) {
    RingMedia media = ten_records();
    media.write(26, 25, 20, sectors);
    const ScannedRing scan = media.scan();
    REQUIRE_FALSE(scan.damaged);
    REQUIRE(scan.torn_records == 1);
    REQUIRE(scan.sequence == 25);
  }
}

TEST_CASE("scan: a torn record that a later one states durable is damage") {
  RingMedia media(kCount, kInFlight);
  media.write_in_order(16, 20, 16);
  media.write(21, 20, 16, 0x0f);
  media.write(22, 21, 16);
  CHECK(damaged_at(media.scan(), 21));
}

TEST_CASE("scan: a torn record further back than the window in flight is damage although nobody states it durable") {
  RingMedia media(kCount, kInFlight);
  media.write(16, 15, 16);
  media.write(17, 15, 16, 0x0f);
  for (std::uint64_t sequence = 18; sequence <= 20; ++sequence) media.write(sequence, 15, 16);
  CHECK_FALSE(media.scan().damaged);
  media.write(21, 15, 16);  // was submitted only because 17 was durable
  CHECK(damaged_at(media.scan(), 17));
}

TEST_CASE("scan: a durable record replaced by what its slot held before is damage") {
  RingMedia media(kCount, kInFlight);
  const std::vector<std::byte> before = media.saved(18);
  media.write_in_order(16, 25, 16);
  media.restore(18, before);
  CHECK(damaged_at(media.scan(), 18));
}

TEST_CASE("scan: the next lap torn over a retired record is dropped") {
  for (std::uint32_t sectors = 1; sectors < 0xff; ++sectors) {
    RingMedia media = second_lap();
    media.write(40, 39, 36, sectors);
    media.write(43, 39, 36, sectors);
    const ScannedRing scan = media.scan();
    REQUIRE_FALSE(scan.damaged);
    REQUIRE(scan.torn_records == 2);
    REQUIRE(live_sequences(scan) == Sequences{36, 37, 38, 39});
  }
}

TEST_CASE("scan: the next lap torn over a live record is damage") {
  RingMedia media(kCount, kInFlight);
  media.write_in_order(16, 30, 16);
  media.write(32, 30, 16, 0x0f);
  CHECK(damaged_at(media.scan(), 16));
}

TEST_CASE("scan: the next lap beyond the window in flight is damage") {
  RingMedia media = second_lap();
  media.write(44, 39, 36, 0x0f);
  CHECK(damaged_at(media.scan(), 28));
}

TEST_CASE("scan: a sector from two laps ahead is damage") {
  RingMedia media = second_lap();
  media.write(40 + kCount, 39, 36, 0x0f);
  CHECK(media.scan().damaged);
}

TEST_CASE("scan: live records that were overwritten in full are damage") {
  RingMedia media(kCount, kInFlight);
  media.write_in_order(16, 36, 16);  // nothing was ever retired
  CHECK(media.scan().damaged);
}

TEST_CASE("scan: a record in another slot than its own is damage") {
  RingMedia media = ten_records();
  media.restore(23, media.saved(22));
  const ScannedRing scan = media.scan();
  CHECK(damaged_at(scan, 23));
}

TEST_CASE("scan: records of another log are damage") {
  RingMedia media = ten_records();
  media.identity().log_uuid = uuid_of(0x77);
  const ScannedRing scan = media.scan();
  CHECK(scan.damaged);
  CHECK(scan.damage.size() == kCount);
  CHECK(scan.live.empty());
  CHECK(scan.sequence == kFirst - 1);
}

TEST_CASE("scan: a record of a later opening than the superblock knows is damage") {
  RingMedia media = ten_records();
  RecordHeader header = media.header(26, 25, 20);
  header.opening = 2;
  media.land(header, {}, 0x01);
  CHECK(media.scan().damaged);
}

TEST_CASE("scan: records of an earlier opening are live until one of the new opening retires them") {
  RingMedia media = ten_records();
  media.begin_opening(26);
  const ScannedRing scan = media.scan();
  CHECK_FALSE(scan.damaged);
  CHECK(live_sequences(scan) == Sequences{20, 21, 22, 23, 24, 25});
  media.land(media.header(26, 25, 26), {});
  CHECK(media.scan().live.empty());
  CHECK_FALSE(media.scan().damaged);
}

TEST_CASE("scan: what an opening has left to its tail was durable when it began, inside of the window too") {
  RingMedia media(kCount, kInFlight);
  const std::vector<std::byte> before = media.saved(24);
  media.write_in_order(16, 22, 16);
  for (std::uint64_t sequence = 23; sequence <= 25; ++sequence) media.write(sequence, 22, 16);
  media.restore(24, before);
  media.begin_opening(26);
  CHECK_FALSE(media.scan().damaged);  // as one that never landed
  media.land(media.header(26, 25, 16), {});
  CHECK(damaged_at(media.scan(), 24));
}

TEST_CASE("scan: a complete record of an earlier opening at a sequence of the new one is damage") {
  RingMedia media = ten_records();
  media.begin_opening(25);  // the opener did not see 25: it could not be read, or landed late
  CHECK(damaged_at(media.scan(), 9));
  media.write(26, 25, 20);
  CHECK(damaged_at(media.scan(), 25));
}

TEST_CASE("scan: a sequence torn under one opening and torn again under the next is dropped") {
  RingMedia media = ten_records();
  media.write(26, 25, 20, 0x3c);
  media.begin_opening(26);
  media.write(26, 25, 26, 0x0c);
  CHECK_FALSE(media.scan().damaged);
  media.begin_opening(26);
  media.write(26, 25, 26, 0x88);
  const ScannedRing scan = media.scan();
  CHECK_FALSE(scan.damaged);
  CHECK(scan.sequence == 25);
  CHECK(live_sequences(scan) == Sequences{20, 21, 22, 23, 24, 25});
}

TEST_CASE("scan: a record torn in one opening stays harmless when the next lap passes it, even torn again") {
  RingMedia media = ten_records();
  media.write(26, 25, 20, 0x0f);
  media.write(27, 25, 20);
  media.begin_opening(28);
  media.write(28, 27, 28);
  for (std::uint64_t sequence = 29; sequence < 26 + kCount; ++sequence) {
    media.write(sequence, sequence - 1, sequence - 1);
    REQUIRE_FALSE(media.scan().damaged);
  }
  media.write(42, 41, 40, 0x18);  // the slot now holds sectors of 10, 26 and 42
  media.write(43, 41, 40);
  ScannedRing scan = media.scan();
  CHECK_FALSE(scan.damaged);
  CHECK(live_sequences(scan) == Sequences{40, 41, 43});
  media.begin_opening(44);
  media.land(media.header(44, 43, 44), {});
  scan = media.scan();
  CHECK_FALSE(scan.damaged);
  CHECK(scan.live.empty());
}

TEST_CASE("scan: the last record before this opening must be there") {
  RingMedia media(kCount, kInFlight);
  media.write_in_order(16, 20, 16);
  const std::vector<std::byte> before = media.saved(21);
  media.write(21, 20, 16);
  media.begin_opening(22);
  CHECK_FALSE(media.scan().damaged);
  media.restore(21, before);
  const ScannedRing scan = media.scan();
  CHECK(scan.damaged);
  CHECK(damaged_at(scan, 21));
}

TEST_CASE("scan: a tail that points beyond the newest record is damage") {
  RingMedia media(kCount, kInFlight);
  media.slot_bytes(15)[9] ^= std::byte{1};
  media.slot_bytes(14)[9] ^= std::byte{1};
  CHECK(media.scan().damaged);
}

TEST_CASE("scan: openings, generations and durable marks never fall") {
  RingMedia media = ten_records();
  RecordHeader header = media.header(26, 25, 20);
  SUBCASE("generation") { header.generation = 0; }
  SUBCASE("durable through") { header.durable_through = 20; }
  media.land(header, {});
  CHECK(damaged_at(media.scan(), 26));
}

TEST_CASE("scan: a blank record that is not quite blank is damage") {
  RingMedia media(kCount, kInFlight);
  RecordHeader header{5, 0, 0, kCount - 1, kCount};
  SUBCASE("another tail") { header.tail = kCount - 1; }
  SUBCASE("another durable mark") { header.durable_through = kCount; }
  SUBCASE("a generation") { header.generation = 1; }
  SUBCASE("an opening") { header = {5, 1, 0, 4, 5}; }
  media.land(header, {});
  CHECK(damaged_at(media.scan(), 5));
}

TEST_CASE("scan: random bytes for a ring are damage in every slot") {
  RingMedia media(kCount, kInFlight);
  Random random(5);
  for (std::uint64_t slot = 0; slot < kCount; ++slot) {
    for (std::byte& byte : media.slot_bytes(slot)) byte = static_cast<std::byte>(random.next());
  }
  const ScannedRing scan = media.scan();
  CHECK(scan.damaged);
  CHECK(scan.damage.size() == kCount);
}
