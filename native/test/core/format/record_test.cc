#include "../../../core/format/record.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "../../support/format_samples.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

const Uuid kLog = uuid_of(0x20);
const RecordHeader kHeader{77, 5, 3, 75, 70};

std::vector<Intent> sample_intents() {
  return {extent_intent(8192, 4096), bitmap_intent(3 * kTestMiB, {0x8000000000000001, 2, 0, 0xf000000000000000}),
          extent_intent((std::uint64_t{1} << 62) + 512, 1536)};
}

std::vector<Intent> full_record(std::uint32_t record_size) {
  std::vector<Intent> intents;
  unsigned units = 0;
  while (units + 3 <= record_capacity(record_size)) {
    intents.push_back(bitmap_intent(kTestMiB * intents.size(), {~0ull, 1, intents.size(), 0}));
    units += 3;
  }
  while (units++ < record_capacity(record_size)) intents.push_back(extent_intent(512 * units, 512));
  return intents;
}

void check_same(const Record& record, const RecordHeader& header, const std::vector<Intent>& intents) {
  CHECK(record.header.sequence == header.sequence);
  CHECK(record.header.opening == header.opening);
  CHECK(record.header.generation == header.generation);
  CHECK(record.header.durable_through == header.durable_through);
  CHECK(record.header.tail == header.tail);
  REQUIRE(record.intents.size() == intents.size());
  for (std::size_t i = 0; i < intents.size(); ++i) {
    CHECK(record.intents[i].kind == intents[i].kind);
    CHECK(record.intents[i].extent == intents[i].extent);
    CHECK(record.intents[i].bitmap == intents[i].bitmap);
  }
}

// The first unit of intents lies right behind the header, at byte 64 of the first sector.
constexpr std::size_t kFirstIntent = 64;

// A record with one intent, one field of it overwritten, its checksum valid again.
template <typename T>
Slot with_field(std::size_t offset, T value, const std::vector<Intent>& intents = {extent_intent(8192, 4096)}) {
  std::vector<std::byte> bytes = encoded(kLog, kHeader, intents);
  store_little_endian(bytes.data() + offset, value);
  reseal_sector(kLog, static_cast<std::uint32_t>(offset / kSectorLength), bytes);
  return decode_slot(kLog, bytes);
}

}  // namespace

TEST_CASE("a record is read back as it was written") {
  const Slot slot = decode_slot(kLog, encoded(kLog, kHeader, sample_intents()));
  REQUIRE(slot.state == SlotState::complete);
  CHECK(slot.stamps == std::vector<SectorStamp>{{77, 5}});
  check_same(slot.record, kHeader, sample_intents());
}

TEST_CASE("a record without intents is read back as it was written") {
  const Slot slot = decode_slot(kLog, encoded(kLog, kHeader, {}));
  REQUIRE(slot.state == SlotState::complete);
  check_same(slot.record, kHeader, {});
}

TEST_CASE("a full record of every size is read back as it was written") {
  for (std::uint32_t size = kMinimumRecordSize; size <= kMaximumRecordSize; size *= 2) {
    CAPTURE(size);
    const std::vector<Intent> intents = full_record(size);
    const Slot slot = decode_slot(kLog, encoded(kLog, kHeader, intents, size));
    REQUIRE(slot.state == SlotState::complete);
    check_same(slot.record, kHeader, intents);
  }
}

TEST_CASE("a record of 4 KiB holds 244 extents or 81 bitmaps") {
  CHECK(record_capacity(4096) == 244);
  CHECK(record_capacity(65536) == 3964);
}

TEST_CASE("a blank record is complete, of opening 0, without intents") {
  std::vector<std::byte> bytes(kMinimumRecordSize);
  encode_blank_record(kLog, 3, 8, bytes);
  const Slot slot = decode_slot(kLog, bytes);
  REQUIRE(slot.state == SlotState::complete);
  check_same(slot.record, {3, 0, 0, 7, 8}, {});
}

TEST_CASE("any byte of a record changed makes it broken") {
  const std::vector<std::byte> good = encoded(kLog, kHeader, sample_intents());
  Random random(2);
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::vector<std::byte> bytes = good;
    bytes[at] ^= static_cast<std::byte>(1 + random.below(255));
    const Slot slot = decode_slot(kLog, bytes);
    REQUIRE_MESSAGE(slot.state == SlotState::broken, "byte ", at);
    REQUIRE(slot.stamps.empty());
    REQUIRE(slot.record.intents.empty());
    REQUIRE(std::string(slot.reason) != "");
  }
}

TEST_CASE("every single bit of a sector is covered by its checksum") {
  const std::vector<std::byte> good = encoded(kLog, kHeader, sample_intents());
  for (std::size_t bit = 0; bit < kSectorLength * 8; ++bit) {
    std::vector<std::byte> bytes = good;
    bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    REQUIRE_MESSAGE(decode_slot(kLog, bytes).state == SlotState::broken, "bit ", bit);
  }
}

TEST_CASE("a record cut at any sector over an older one is mixed, with both stamps") {
  const std::vector<std::byte> older = encoded(kLog, {69, 4, 3, 67, 60}, {});
  const std::vector<std::byte> newer = encoded(kLog, kHeader, sample_intents());
  for (std::size_t sectors = 0; sectors <= 8; ++sectors) {
    CAPTURE(sectors);
    std::vector<std::byte> bytes = older;
    std::copy_n(newer.begin(), sectors * kSectorLength, bytes.begin());
    const Slot slot = decode_slot(kLog, bytes);
    if (sectors == 0 || sectors == 8) {
      REQUIRE(slot.state == SlotState::complete);
      CHECK(slot.record.header.sequence == (sectors == 0 ? 69 : 77));
      continue;
    }
    REQUIRE(slot.state == SlotState::mixed);
    CHECK(slot.stamps == std::vector<SectorStamp>{{77, 5}, {69, 4}});
    CHECK(slot.record.intents.empty());
  }
}

TEST_CASE("a record cut inside a sector is broken") {
  const std::vector<std::byte> older = encoded(kLog, {69, 4, 3, 67, 60}, sample_intents());
  const std::vector<std::byte> newer = encoded(kLog, kHeader, sample_intents());
  for (std::size_t cut = 1; cut < kMinimumRecordSize; ++cut) {
    if (cut % kSectorLength == 0) continue;
    std::vector<std::byte> bytes = older;
    std::copy_n(newer.begin(), cut, bytes.begin());
    const std::size_t sector_start = cut / kSectorLength * kSectorLength;
    const bool differs_before =
        !std::equal(older.begin() + sector_start, older.begin() + cut, bytes.begin() + sector_start);
    const bool differs_after =
        !std::equal(newer.begin() + cut, newer.begin() + sector_start + kSectorLength, bytes.begin() + cut);
    if (!differs_before || !differs_after) continue;  // the sector as a whole is one of the two
    REQUIRE_MESSAGE(decode_slot(kLog, bytes).state == SlotState::broken, "cut at ", cut);
  }
}

TEST_CASE("the same sequence of two openings is mixed, not complete") {
  RecordHeader later = kHeader;
  later.opening = 6;
  std::vector<std::byte> bytes = encoded(kLog, kHeader, {});
  const std::vector<std::byte> over = encoded(kLog, later, {});
  std::copy_n(over.begin() + 3 * kSectorLength, kSectorLength, bytes.begin() + 3 * kSectorLength);
  const Slot slot = decode_slot(kLog, bytes);
  REQUIRE(slot.state == SlotState::mixed);
  CHECK(slot.stamps == std::vector<SectorStamp>{{77, 5}, {77, 6}});
}

TEST_CASE("a record of another log is broken") {
  CHECK(decode_slot(uuid_of(0x21), encoded(kLog, kHeader, sample_intents())).state == SlotState::broken);
}

TEST_CASE("zeroes and ones are broken, not blank") {
  CHECK(decode_slot(kLog, std::vector<std::byte>(4096)).state == SlotState::broken);
  CHECK(decode_slot(kLog, std::vector<std::byte>(4096, std::byte{0xff})).state == SlotState::broken);
}

TEST_CASE("two sectors of a record exchanged make it broken") {
  std::vector<std::byte> bytes = encoded(kLog, kHeader, sample_intents());
  std::swap_ranges(bytes.begin() + 2 * kSectorLength, bytes.begin() + 3 * kSectorLength,
                   bytes.begin() + 5 * kSectorLength);
  CHECK(decode_slot(kLog, bytes).state == SlotState::broken);
}

TEST_CASE("a record whose content no writer makes is broken although its checksums hold") {
  const auto is_broken = [](const Slot& slot) {
    return slot.state == SlotState::broken && std::string(slot.reason) != "";
  };
  CHECK(with_field<std::uint64_t>(8, 77).state == SlotState::complete);  // the helper itself changes nothing
  SUBCASE("another magic") { CHECK(is_broken(with_field<std::uint32_t>(0, 0))); }
  SUBCASE("another version") { CHECK(is_broken(with_field<std::uint16_t>(4, 1))); }
  SUBCASE("another header length") { CHECK(is_broken(with_field<std::uint16_t>(6, 128))); }
  SUBCASE("a sequence other than the stamps'") { CHECK(is_broken(with_field<std::uint64_t>(8, 78))); }
  SUBCASE("an opening other than the stamps'") { CHECK(is_broken(with_field<std::uint32_t>(16, 6))); }
  SUBCASE("fewer intents than units") { CHECK(is_broken(with_field<std::uint32_t>(20, 0))); }
  SUBCASE("more intents than units") { CHECK(is_broken(with_field<std::uint32_t>(20, 2))); }
  SUBCASE("durable through itself") { CHECK(is_broken(with_field<std::uint64_t>(32, 77))); }
  SUBCASE("a tail beyond the next record") { CHECK(is_broken(with_field<std::uint64_t>(40, 79))); }
  SUBCASE("more units than fit") { CHECK(is_broken(with_field<std::uint32_t>(48, 245))); }
  SUBCASE("units that the intents do not fill") { CHECK(is_broken(with_field<std::uint32_t>(48, 2))); }
  SUBCASE("header padding") { CHECK(is_broken(with_field<std::uint32_t>(52, 1))); }
  SUBCASE("more header padding") { CHECK(is_broken(with_field<std::uint64_t>(56, 1))); }
  SUBCASE("padding behind the intents") { CHECK(is_broken(with_field<std::uint64_t>(kFirstIntent + 16, 1))); }
  SUBCASE("padding in the last sector") { CHECK(is_broken(with_field<std::uint8_t>(7 * 512 + 495, 1))); }
  SUBCASE("kind 0") { CHECK(is_broken(with_field<std::uint64_t>(kFirstIntent + 8, 4096))); }
  SUBCASE("kind 3") { CHECK(is_broken(with_field<std::uint64_t>(kFirstIntent + 8, 4096 | 3ull << 56))); }
  SUBCASE("an empty extent") { CHECK(is_broken(with_field<std::uint64_t>(kFirstIntent + 8, 1ull << 56))); }
  SUBCASE("a misaligned length") { CHECK(is_broken(with_field<std::uint64_t>(kFirstIntent + 8, 4097 | 1ull << 56))); }
  SUBCASE("a misaligned position") { CHECK(is_broken(with_field<std::uint64_t>(kFirstIntent, 8193))); }
  SUBCASE("an extent beyond 2^63") { CHECK(is_broken(with_field<std::uint64_t>(kFirstIntent, (1ull << 63) - 512))); }
  SUBCASE("a position beyond 2^63") { CHECK(is_broken(with_field<std::uint64_t>(kFirstIntent, 1ull << 63))); }
}

TEST_CASE("a bitmap that no writer makes is broken although its checksums hold") {
  const std::vector<Intent> intents{bitmap_intent(2 * kTestMiB, {1, 0, 0, 0})};
  const auto is_broken = [](const Slot& slot) { return slot.state == SlotState::broken; };
  CHECK(with_field<std::uint64_t>(kFirstIntent, 3 * kTestMiB, intents).state == SlotState::complete);
  SUBCASE("no block in it") { CHECK(is_broken(with_field<std::uint64_t>(kFirstIntent + 16, 0, intents))); }
  SUBCASE("not on a region") { CHECK(is_broken(with_field<std::uint64_t>(kFirstIntent, 4096, intents))); }
  SUBCASE("not a region long") {
    CHECK(is_broken(with_field<std::uint64_t>(kFirstIntent + 8, 8192 | 2ull << 56, intents)));
  }
  SUBCASE("cut off by the number of units") { CHECK(is_broken(with_field<std::uint32_t>(48, 2, intents))); }
}

TEST_CASE("an extent covers itself and a bitmap exactly its blocks") {
  ExtentSet covered;
  add_covered(extent_intent(512, 1024), covered);
  add_covered(bitmap_intent(kTestMiB, {0b110, 0, 0, 0x8000000000000000}), covered);
  CHECK(covered.extents() == std::vector<Extent>{{512, 1024}, {kTestMiB + 4096, 8192}, {2 * kTestMiB - 4096, 4096}});
}
