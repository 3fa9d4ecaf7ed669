// Fracture map: where an image that missed writes may differ from the master, as it stands in the log. Pure: bytes in,
// decisions out.
//
// Each image has a slot of the log's map area: a header sector, alone in its first 4096 bytes, then map sectors of 512
// bytes. A bit stands for a unit of the mirror: set, the image may differ there.
//
// Invariants:
//  - I14: a map speaks for one fracture alone, which its header and each of its sectors name by a random map id. Whatever
//    does not name exactly that fracture, cannot be read, or contradicts itself, means *everything* of its reach.
//  - A map begins with its header, durable, and with no other sector written: under a valid header a whole sector with
//    another map id is of an earlier map, and says that nothing was missed there. So beginning a map costs one write,
//    whatever the size of the mirror.
//  - Every sector proves itself (a torn write tears between sectors): by a checksum over the log's UUID, the index of the
//    image, and its bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "../base/extent.h"
#include "../base/identity.h"

namespace blockmirror {

inline constexpr std::uint64_t kMapHeaderArea = 4096;   // bytes; the header sector has them alone
inline constexpr std::uint32_t kMapSectorLength = 512;  // bytes
inline constexpr std::uint32_t kMapSectorBits = 480;    // bytes of it that are bits
inline constexpr std::uint32_t kMapSectorUnits = 8 * kMapSectorBits;
inline constexpr std::uint32_t kSmallestMapUnit = 4096;               // bytes that a bit stands for
inline constexpr std::uint32_t kLargestPlannedMapUnit = 64 * 1024;    // of what create makes
inline constexpr std::uint32_t kLargestMapUnit = 1024 * 1024 * 1024;  // of a mirror that grew into its slots
inline constexpr std::uint64_t kMapSlotAlignment = 64 * 1024;         // no two slots share a physical block
inline constexpr std::uint64_t kLargestMapSectors = 0xffffffff;       // their number has 32 bits

// What a map is a map of.
struct MapShape {
  std::uint64_t size = 0;  // bytes of the mirror
  std::uint32_t unit = 0;  // bytes that a bit stands for

  constexpr std::uint64_t units() const { return size / unit + (size % unit != 0 ? 1 : 0); }
  constexpr std::uint64_t sectors() const { return (units() + kMapSectorUnits - 1) / kMapSectorUnits; }
  constexpr std::uint64_t length() const { return kMapHeaderArea + sectors() * kMapSectorLength; }  // bytes of a slot
  // The sector that has the bit of that position.
  constexpr std::uint64_t sector_of(std::uint64_t position) const { return position / unit / kMapSectorUnits; }
  constexpr std::uint64_t bytes_per_sector() const { return std::uint64_t{kMapSectorUnits} * unit; }
  // The part of the mirror that a sector speaks of.
  constexpr Extent reach(std::uint64_t sector) const {
    const std::uint64_t first = sector * bytes_per_sector();
    const std::uint64_t left = size - first;
    return {first, left < bytes_per_sector() ? left : bytes_per_sector()};
  }
  // Units that a sector speaks of: fewer in the last one.
  constexpr std::uint32_t units_in(std::uint64_t sector) const {
    const std::uint64_t left = units() - sector * kMapSectorUnits;
    return static_cast<std::uint32_t>(left < kMapSectorUnits ? left : kMapSectorUnits);
  }
  // Where a sector stands, from the start of its slot.
  static constexpr std::uint64_t offset_of(std::uint64_t sector) { return kMapHeaderArea + sector * kMapSectorLength; }
};

// What a bit stands for in a mirror that is made with that size: 4 KiB up to 1 TiB, then so many that the number of bits
// stays, at most 64 KiB; beyond that maps grow.
constexpr std::uint32_t planned_map_unit(std::uint64_t size) {
  constexpr std::uint64_t kUnits = std::uint64_t{1} << 28;
  std::uint32_t unit = kSmallestMapUnit;
  while (unit < kLargestPlannedMapUnit && MapShape{size, unit}.units() > kUnits) unit *= 2;
  while (unit < kLargestMapUnit && MapShape{size, unit}.sectors() > kLargestMapSectors) unit *= 2;
  return unit;
}
// Bytes of a slot in such a mirror.
constexpr std::uint64_t planned_map_slot(std::uint64_t size) {
  const std::uint64_t length = MapShape{size, planned_map_unit(size)}.length();
  return (length + kMapSlotAlignment - 1) / kMapSlotAlignment * kMapSlotAlignment;
}

// The very fracture that a map is of, and where it stands.
struct MapIdentity {
  Uuid log_uuid;
  Uuid image_uuid;
  unsigned image = 0;  // index of its entry, and of its slot
  Uuid map_id;
};

struct MapHeader {
  Uuid log_uuid;
  Uuid image_uuid;
  Uuid map_id;
  Uuid incarnation;  // of the opening that began it
  std::uint32_t unit = 0;
  std::uint32_t sectors = 0;
  std::uint64_t begun_at_ms = 0;
  friend bool operator==(const MapHeader&, const MapHeader&) = default;
};

using MapBits = std::array<std::byte, kMapSectorBits>;  // unit u of the sector: bit u mod 8 of byte u div 8

enum class MapFinding : std::uint8_t {
  bits,        // the image may differ in the units whose bits are set
  empty,       // it differs nowhere in this reach
  everything,  // it may differ everywhere in this reach
};
struct MapVerdict {
  MapFinding finding = MapFinding::everything;
  const char* words = "";  // of the rule that decided
};

// `into` is kMapSectorLength bytes.
void encode_map_header(const MapHeader& header, std::span<std::byte> into);
// Whether it is a whole header; `into` is left as it was when not.
bool decode_map_header(std::span<const std::byte> sector, MapHeader& into);
// bits: the header names exactly that map, and its sectors are to be asked. everything: whatever the sectors say. An empty
// span stands for a sector that cannot be read.
MapVerdict judge_map_header(const MapIdentity& map, const MapShape& shape, std::span<const std::byte> sector);

void encode_map_sector(const MapIdentity& map, const MapShape& shape, std::uint64_t sector, const MapBits& bits,
                       std::span<std::byte> into);
// As formatting leaves it: whole, of no map.
void encode_blank_map_sector(const Uuid& log_uuid, unsigned image, std::uint64_t sector, std::span<std::byte> into);
// Only under a header that judge_map_header answered `bits` for. `bits` is filled when the finding says so. An empty span
// stands for a sector that cannot be read.
MapVerdict decode_map_sector(const MapIdentity& map, const MapShape& shape, std::uint64_t sector,
                             std::span<const std::byte> bytes, MapBits& bits);
// Adds what set bits of a sector stand for, clipped to the mirror.
void add_units(const MapShape& shape, std::uint64_t sector, const MapBits& bits, ExtentSet& into);

}  // namespace blockmirror
