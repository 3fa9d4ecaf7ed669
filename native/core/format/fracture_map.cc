// Offsets and the reason for each rule: docs/FORMAT.md, "Fracture maps".
#include "fracture_map.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "../base/assert.h"
#include "../base/bytes.h"
#include "../base/crc32c.h"
#include "../base/headroom.h"
#include "block_seal.h"
#include "fields.h"

namespace blockmirror {
namespace {

constexpr std::string_view kMagic = "BLKMIRMP";
constexpr std::size_t kMagicLength = 8;
constexpr std::size_t kIdOffset = kMapSectorBits;
constexpr std::size_t kNumberOffset = kIdOffset + 16;
constexpr std::size_t kReservedOffset = kNumberOffset + 4;
constexpr std::size_t kChecksumOffset = kMapSectorLength - sizeof(std::uint32_t);

static_assert(kReservedOffset + 8 == kChecksumOffset);

template <typename Fields, typename Header>
void header_fields(Fields& fields, Header& header) {
  fields.uuid(header.log_uuid);
  fields.uuid(header.image_uuid);
  fields.uuid(header.map_id);
  fields.uuid(header.incarnation);
  fields.number(header.unit);
  fields.number(header.sectors);
  fields.number(header.begun_at_ms);
  fields.zeroes_until(kMapSectorLength);
}

std::uint32_t checksum_of(const Uuid& log_uuid, unsigned image, std::span<const std::byte> sector) {
  std::array<std::byte, sizeof(std::uint32_t)> number;
  store_little_endian(number.data(), static_cast<std::uint32_t>(image));
  return crc32c(sector.first(kChecksumOffset), crc32c(number, crc32c(log_uuid.bytes)));
}

Uuid id_in(std::span<const std::byte> sector) {
  Uuid id;
  std::memcpy(id.bytes.data(), sector.data() + kIdOffset, id.bytes.size());
  return id;
}

// Bits behind the end of the mirror.
bool bits_beyond(std::uint32_t units, std::span<const std::byte> bits) {
  std::size_t byte = units / 8;
  if (units % 8 != 0 && (std::to_integer<unsigned>(bits[byte++]) >> (units % 8)) != 0) return true;
  return byte < bits.size() && !ByteReader::all_zero(bits.subspan(byte));
}

// --- the decision tables: the first rule that fits

struct HeaderCase {
  const MapIdentity& map;
  const MapShape& shape;
  std::span<const std::byte> sector;
  bool whole = false;
  MapHeader header;
};
struct HeaderRule {
  bool (*fits)(const HeaderCase&);
  MapFinding finding;
  const char* words;
};
constexpr HeaderRule kHeaderRules[] = {
    {[](const HeaderCase& c) { return c.sector.empty(); }, MapFinding::everything, "the header cannot be read"},
    {[](const HeaderCase& c) { return !c.whole; }, MapFinding::everything, "there is no whole header"},
    {[](const HeaderCase& c) { return c.header.log_uuid != c.map.log_uuid; }, MapFinding::everything,
     "the header is of another log"},
    {[](const HeaderCase& c) { return c.header.image_uuid != c.map.image_uuid; }, MapFinding::everything,
     "the header is of another image"},
    {[](const HeaderCase& c) { return c.map.map_id.is_zero() || c.header.map_id != c.map.map_id; },
     MapFinding::everything, "the header is of another map"},
    {[](const HeaderCase& c) { return c.header.unit != c.shape.unit || c.header.sectors != c.shape.sectors(); },
     MapFinding::everything, "the header is of a map of another shape"},
    {[](const HeaderCase&) { return true; }, MapFinding::bits, "the header names this map"},
};

struct SectorCase {
  const MapIdentity& map;
  const MapShape& shape;
  std::uint64_t sector;
  std::span<const std::byte> bytes;
};
struct SectorRule {
  bool (*fits)(const SectorCase&);
  MapFinding finding;
  const char* words;
};
constexpr SectorRule kSectorRules[] = {
    {[](const SectorCase& c) { return c.bytes.empty(); }, MapFinding::everything, "the sector cannot be read"},
    {[](const SectorCase& c) {
       return load_little_endian<std::uint32_t>(c.bytes.data() + kChecksumOffset) !=
              checksum_of(c.map.log_uuid, c.map.image, c.bytes);
     },
     MapFinding::everything, "the sector is broken"},
    {[](const SectorCase& c) { return load_little_endian<std::uint32_t>(c.bytes.data() + kNumberOffset) != c.sector; },
     MapFinding::everything, "the sector has another number"},
    {[](const SectorCase& c) {
       return !ByteReader::all_zero(c.bytes.subspan(kReservedOffset, kChecksumOffset - kReservedOffset));
     },
     MapFinding::everything, "a reserved byte is not zero"},
    {[](const SectorCase& c) { return id_in(c.bytes) != c.map.map_id; }, MapFinding::empty,
     "the sector is of an earlier map"},
    {[](const SectorCase& c) { return bits_beyond(c.shape.units_in(c.sector), c.bytes.first(kMapSectorBits)); },
     MapFinding::everything, "a bit stands for nothing of the mirror"},
    {[](const SectorCase&) { return true; }, MapFinding::bits, "the sector is of this map"},
};

template <typename Rules, typename Case>
MapVerdict decide(const Rules& rules, const Case& found) {
  const auto* rule = std::find_if(std::begin(rules), std::end(rules), [&](const auto& one) { return one.fits(found); });
  return {rule->finding, rule->words};
}

void seal_sector(const Uuid& log_uuid, unsigned image, const Uuid& map_id, std::uint64_t sector,
                 std::span<std::byte> into) {
  BLOCKMIRROR_ASSERT(into.size() == kMapSectorLength && sector < kLargestMapSectors, "a map sector has one length");
  std::memcpy(into.data() + kIdOffset, map_id.bytes.data(), map_id.bytes.size());
  store_little_endian(into.data() + kNumberOffset, static_cast<std::uint32_t>(sector));
  std::memset(into.data() + kReservedOffset, 0, kChecksumOffset - kReservedOffset);
  store_little_endian(into.data() + kChecksumOffset, checksum_of(log_uuid, image, into));
}

}  // namespace

void encode_map_header(const MapHeader& header, std::span<std::byte> into) {
  BLOCKMIRROR_ASSERT(into.size() == kMapSectorLength, "a map header has one length");
  BLOCKMIRROR_ASSERT(!header.map_id.is_zero(), "a map without an id is of no fracture");
  FieldWriter fields(into);
  for (char character : kMagic) fields.bytes().u8(static_cast<std::uint8_t>(character));
  fields.bytes().u32(kFormatVersion);
  fields.bytes().u32(0);
  header_fields(fields, header);
  seal_block(into);
}

bool decode_map_header(std::span<const std::byte> sector, MapHeader& into) {
  if (sector.size() != kMapSectorLength) return false;
  if (std::memcmp(sector.data(), kMagic.data(), kMagicLength) != 0 || !seal_holds(sector)) return false;
  if (load_little_endian<std::uint32_t>(sector.data() + kMagicLength) != kFormatVersion) return false;
  FieldReader fields(sector);
  fields.bytes().u64();
  fields.bytes().u64();
  MapHeader found;
  header_fields(fields, found);
  if (fields.reason() != nullptr || found.begun_at_ms > kLatestDate) return false;
  into = found;
  return true;
}

MapVerdict judge_map_header(const MapIdentity& map, const MapShape& shape, std::span<const std::byte> sector) {
  HeaderCase found{map, shape, sector, false, {}};
  found.whole = decode_map_header(sector, found.header);
  return decide(kHeaderRules, found);
}

void encode_map_sector(const MapIdentity& map, const MapShape& shape, std::uint64_t sector, const MapBits& bits,
                       std::span<std::byte> into) {
  BLOCKMIRROR_ASSERT(!map.map_id.is_zero() && sector < shape.sectors(), "a map sector is one of its map");
  BLOCKMIRROR_ASSERT(!bits_beyond(shape.units_in(sector), bits), "a bit stands for nothing of the mirror");
  BLOCKMIRROR_ASSERT(into.size() == kMapSectorLength, "a map sector has one length");
  std::memcpy(into.data(), bits.data(), bits.size());
  seal_sector(map.log_uuid, map.image, map.map_id, sector, into);
}

void encode_blank_map_sector(const Uuid& log_uuid, unsigned image, std::uint64_t sector, std::span<std::byte> into) {
  BLOCKMIRROR_ASSERT(into.size() == kMapSectorLength, "a map sector has one length");
  std::memset(into.data(), 0, into.size());
  seal_sector(log_uuid, image, {}, sector, into);
}

MapVerdict decode_map_sector(const MapIdentity& map, const MapShape& shape, std::uint64_t sector,
                             std::span<const std::byte> bytes, MapBits& bits) {
  BLOCKMIRROR_ASSERT(sector < shape.sectors(), "only a sector of the map is asked");
  if (!bytes.empty() && bytes.size() != kMapSectorLength) return {MapFinding::everything, "a sector of another length"};
  const MapVerdict verdict = decide(kSectorRules, SectorCase{map, shape, sector, bytes});
  if (verdict.finding == MapFinding::bits) std::memcpy(bits.data(), bytes.data(), bits.size());
  return verdict;
}

void add_units(const MapShape& shape, std::uint64_t sector, const MapBits& bits, ExtentSet& into) {
  const Extent reach = shape.reach(sector);
  const auto set = [&](std::uint32_t unit) {
    return (std::to_integer<unsigned>(bits[unit / 8]) >> (unit % 8) & 1u) != 0;
  };
  const std::uint32_t units = shape.units_in(sector);
  for (std::uint32_t unit = 0; unit < units;) {
    if (!set(unit)) {
      ++unit;
      continue;
    }
    const std::uint32_t first = unit;
    while (unit < units && set(unit)) ++unit;
    const std::uint64_t position = reach.position + std::uint64_t{first} * shape.unit;
    into.add(Extent{position, std::uint64_t{unit - first} * shape.unit}.clipped(shape.size));
  }
}

}  // namespace blockmirror
