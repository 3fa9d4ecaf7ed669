#include "../../../core/format/fracture_map.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "../../support/format_samples.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

// A mirror whose last map sector speaks of 4 units alone, the last of them of 512 bytes.
constexpr MapShape kShape{(2 * kMapSectorUnits + 3) * 4096ull + 512, 4096};
const MapIdentity kMap{uuid_of(0x20), uuid_of(0x61), 1, uuid_of(0x70)};

std::vector<std::byte> header_with(const std::function<void(MapHeader&)>& change = {}) {
  MapHeader header{kMap.log_uuid, kMap.image_uuid, kMap.map_id,
                   uuid_of(0x40), kShape.unit,     static_cast<std::uint32_t>(kShape.sectors()),
                   1700000000000};
  if (change) change(header);
  std::vector<std::byte> bytes(kMapSectorLength);
  encode_map_header(header, bytes);
  return bytes;
}

std::vector<std::byte> sector_with(std::uint64_t sector, const MapBits& bits, const MapIdentity& map = kMap) {
  std::vector<std::byte> bytes(kMapSectorLength);
  encode_map_sector(map, kShape, sector, bits, bytes);
  return bytes;
}

MapFinding judged(std::span<const std::byte> header) { return judge_map_header(kMap, kShape, header).finding; }

MapFinding found(std::uint64_t sector, std::span<const std::byte> bytes) {
  MapBits bits;
  return decode_map_sector(kMap, kShape, sector, bytes, bits).finding;
}

}  // namespace

TEST_CASE("a map has as many sectors as its mirror has units, and the last one speaks of what is left") {
  CHECK(kShape.units() == 2 * kMapSectorUnits + 4);
  CHECK(kShape.sectors() == 3);
  CHECK(kShape.length() == 4096 + 3 * 512);
  CHECK(kShape.units_in(1) == kMapSectorUnits);
  CHECK(kShape.units_in(2) == 4);
  CHECK(kShape.reach(1) == Extent{15 * kTestMiB, 15 * kTestMiB});
  CHECK(kShape.reach(2) == Extent{30 * kTestMiB, 3 * 4096 + 512});
  CHECK(kShape.sector_of(30 * kTestMiB - 1) == 1);
  CHECK(kShape.sector_of(30 * kTestMiB) == 2);
  CHECK(MapShape{15 * kTestMiB, 4096}.sectors() == 1);
  CHECK(MapShape{15 * kTestMiB + 512, 4096}.sectors() == 2);
}

TEST_CASE("a header that names exactly this map has its sectors asked, any other means everything") {
  CHECK(judged(header_with()) == MapFinding::bits);
  CHECK(judged(header_with([](MapHeader& header) { header.log_uuid = uuid_of(1); })) == MapFinding::everything);
  CHECK(judged(header_with([](MapHeader& header) { header.image_uuid = uuid_of(1); })) == MapFinding::everything);
  CHECK(judged(header_with([](MapHeader& header) { header.map_id = uuid_of(1); })) == MapFinding::everything);
  CHECK(judged(header_with([](MapHeader& header) { header.unit = 8192; })) == MapFinding::everything);
  CHECK(judged(header_with([](MapHeader& header) { ++header.sectors; })) == MapFinding::everything);
  CHECK(judged(header_with([](MapHeader& header) { header.incarnation = uuid_of(1); })) == MapFinding::bits);
  CHECK(judged({}) == MapFinding::everything);
  CHECK(judged(std::vector<std::byte>(kMapSectorLength)) == MapFinding::everything);
}

TEST_CASE("an image without a map id has no map, whatever stands in its slot") {
  MapIdentity nameless = kMap;
  nameless.map_id = {};
  CHECK(judge_map_header(nameless, kShape, header_with()).finding == MapFinding::everything);
}

TEST_CASE("no byte of a map is taken on trust: any that changed means everything") {
  const std::vector<std::byte> header = header_with(), sector = sector_with(0, MapBits{});
  for (std::size_t at = 0; at < kMapSectorLength; ++at) {
    std::vector<std::byte> changed = header;
    changed[at] ^= std::byte{0x10};
    REQUIRE_MESSAGE(judged(changed) == MapFinding::everything, "byte ", at);
    changed = sector;
    changed[at] ^= std::byte{0x10};
    REQUIRE_MESSAGE(found(0, changed) == MapFinding::everything, "byte ", at);
  }
}

TEST_CASE("a header with a reserved byte, or of another version, is none") {
  for (std::size_t at : {std::size_t{8}, std::size_t{96}, std::size_t{511}}) {
    std::vector<std::byte> bytes = header_with();
    bytes[at] = std::byte{3};
    reseal(bytes);
    CHECK(judged(bytes) == MapFinding::everything);
  }
}

TEST_CASE("a sector of this map gives its bits back") {
  MapBits bits{};
  bits[0] = std::byte{0x81};
  bits[kMapSectorBits - 1] = std::byte{0x80};
  MapBits read{};
  const MapVerdict verdict = decode_map_sector(kMap, kShape, 1, sector_with(1, bits), read);
  CHECK(verdict.finding == MapFinding::bits);
  CHECK(read == bits);
  ExtentSet differs;
  add_units(kShape, 1, read, differs);
  REQUIRE(differs.size() == 3);
  CHECK(differs.extents()[0] == Extent{15 * kTestMiB, 4096});
  CHECK(differs.extents()[1] == Extent{15 * kTestMiB + 7 * 4096, 4096});
  CHECK(differs.extents()[2] == Extent{30 * kTestMiB - 4096, 4096});
}

TEST_CASE("units beyond the end of the mirror are clipped, and bits beyond it mean everything") {
  MapBits bits{};
  bits[0] = std::byte{0x0f};
  ExtentSet differs;
  add_units(kShape, 2, bits, differs);
  CHECK(differs.bytes() == 3 * 4096 + 512);
  CHECK(found(2, sector_with(2, bits)) == MapFinding::bits);
  std::vector<std::byte> beyond = sector_with(2, bits);
  for (std::size_t at : {std::size_t{0}, std::size_t{1}, std::size_t{kMapSectorBits - 1}}) {
    std::vector<std::byte> bytes = beyond;
    bytes[at] |= std::byte{0x10};
    const std::uint32_t index = kMap.image;
    std::byte number[4];
    store_little_endian(number, index);
    store_little_endian(bytes.data() + 508,
                        crc32c(std::span(bytes).first(508), crc32c(number, crc32c(kMap.log_uuid.bytes))));
    CHECK(found(2, bytes) == MapFinding::everything);
  }
}

TEST_CASE("under a valid header a whole sector of another map is empty, one of another place is not") {
  MapBits all;
  all.fill(std::byte{0xff});
  MapIdentity older = kMap;
  older.map_id = uuid_of(0x7f);
  CHECK(found(0, sector_with(0, all, older)) == MapFinding::empty);
  std::vector<std::byte> blank(kMapSectorLength);
  encode_blank_map_sector(kMap.log_uuid, kMap.image, 1, blank);
  CHECK(found(1, blank) == MapFinding::empty);
  CHECK(found(0, blank) == MapFinding::everything);  // its number
  CHECK(found(1, sector_with(0, all)) == MapFinding::everything);
  MapIdentity elsewhere = kMap;
  elsewhere.image = 2;
  CHECK(found(0, sector_with(0, all, elsewhere)) == MapFinding::everything);
  elsewhere = kMap;
  elsewhere.log_uuid = uuid_of(0x21);
  CHECK(found(0, sector_with(0, all, elsewhere)) == MapFinding::everything);
}

TEST_CASE("a sector that cannot be read, or is zero, means everything") {
  CHECK(found(0, {}) == MapFinding::everything);
  CHECK(found(0, std::vector<std::byte>(kMapSectorLength)) == MapFinding::everything);
  CHECK(found(0, std::vector<std::byte>(100)) == MapFinding::everything);
}

TEST_CASE("a sector that was torn between two maps is broken, at whatever byte") {
  MapBits all;
  all.fill(std::byte{0xff});
  MapIdentity older = kMap;
  older.map_id = uuid_of(0x7f);
  const std::vector<std::byte> now = sector_with(0, all), before = sector_with(0, MapBits{}, older);
  for (std::size_t torn = 1; torn < kMapSectorLength; ++torn) {
    std::vector<std::byte> bytes = before;
    std::copy_n(now.begin(), torn, bytes.begin());
    REQUIRE_MESSAGE(found(0, bytes) == MapFinding::everything, "byte ", torn);
  }
}
