// libFuzzer: a header and a sector of a fracture map, as a disk may return them. The seals are put right first, as a fuzzer
// never would, so that what lies behind the checksums is reached.
#include "../../core/base/bytes.h"
#include "../../core/base/crc32c.h"
#include "../../core/format/block_seal.h"
#include "../../core/format/fracture_map.h"
#include "fuzz.h"

using namespace blockmirror;

namespace {

// Of a mirror whose last sector speaks of 260 units, the last of which is a part.
constexpr MapShape kShape{(kMapSectorUnits + 259) * 4096ull + 512, 4096};
constexpr std::uint64_t kSector = 1;

void seal_sector(const MapIdentity& map, std::span<std::byte> sector) {
  std::byte number[4];
  store_little_endian(number, static_cast<std::uint32_t>(map.image));
  store_little_endian(sector.data() + 508, crc32c(sector.first(508), crc32c(number, crc32c(map.log_uuid.bytes))));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Input input(data, size);
  std::vector<std::byte> header = input.block(0, kMapSectorLength), sector = input.block(1, kMapSectorLength);
  if (input.flag(0)) seal_block(header);
  MapIdentity map;
  MapHeader found;
  if (decode_map_header(header, found)) map = {found.log_uuid, found.image_uuid, 1, found.map_id};
  const MapVerdict named = judge_map_header(map, kShape, header);
  if (named.finding == MapFinding::empty) std::abort();
  if (named.finding == MapFinding::bits) {
    std::vector<std::byte> again(kMapSectorLength);
    encode_map_header(found, again);
    if (again != header) std::abort();
  }
  if (map.map_id.is_zero()) map.map_id.bytes[0] = std::byte{1};
  if (input.flag(1)) std::copy(map.map_id.bytes.begin(), map.map_id.bytes.end(), sector.begin() + kMapSectorBits);
  if (input.flag(2)) seal_sector(map, sector);
  MapBits bits{};
  if (decode_map_sector(map, kShape, kSector, sector, bits).finding != MapFinding::bits) return 0;
  // What was accepted can be written, is the same, and lies in the reach of its sector.
  std::vector<std::byte> again(kMapSectorLength);
  encode_map_sector(map, kShape, kSector, bits, again);
  if (again != sector) std::abort();
  ExtentSet differs;
  add_units(kShape, kSector, bits, differs);
  for (const Extent& extent : differs.extents()) {
    if (!kShape.reach(kSector).contains(extent)) std::abort();
  }
  return 0;
}
