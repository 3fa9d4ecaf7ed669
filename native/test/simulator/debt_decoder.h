// A second reader of what a slave owes, by docs/FORMAT.md: its entry in the superblock and its fracture map. Like
// log_decoder.h it knows nothing of native/core.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "../../devices/simulated/sparse_disk.h"
#include "log_decoder.h"

namespace blockmirror::simulator {

// Beyond what live intents name.
struct StoredDebt {
  std::uint64_t all_from = ~std::uint64_t{0};  // bytes; everything behind it is owed
  std::uint64_t unit = kBlock;
  std::vector<bool> units;
  bool owes(std::uint64_t position) const {
    const std::uint64_t index = position / unit;
    return position >= all_from || (index < units.size() && units[index]);
  }
};

inline constexpr std::size_t kMapSectorUnits = 3840;

inline std::uint32_t crc_over(std::initializer_list<std::span<const std::byte>> parts) {
  std::uint32_t crc = ~0u;
  for (const std::span<const std::byte> part : parts) {
    for (const std::byte byte : part) crc = crc_with(crc, byte);
  }
  return ~crc;
}

// One sector of the map: an unreadable or damaged one owes its whole reach, one of another map nothing.
inline void decode_map_sector(const std::byte* superblock, unsigned image, std::uint64_t number,
                              const std::byte* sector, StoredDebt& into) {
  std::array<std::byte, 4> index{};
  index[0] = static_cast<std::byte>(image);
  const bool whole = crc_over({{superblock + 64, 16}, index, {sector, 508}}) == number_at<std::uint32_t>(sector, 508);
  const bool ours = std::memcmp(sector + 480, superblock + stored_entry(image) + 168, 16) == 0;
  if (whole && !ours) return;
  const bool damaged = !whole || number_at<std::uint32_t>(sector, 496) != number;
  for (std::size_t bit = 0; bit < kMapSectorUnits; ++bit) {
    const std::uint64_t unit = number * kMapSectorUnits + bit;
    if (unit >= into.units.size()) break;
    const bool set = (std::to_integer<unsigned>(sector[bit / 8]) >> (bit % 8) & 1u) != 0;
    if (damaged || set) into.units[unit] = true;
  }
}

// `tail` as the ring has it: one that has not passed the fracture needs no map.
inline StoredDebt decode_debt(const SparseDisk& log, const std::byte* superblock, unsigned image, std::uint64_t tail) {
  const std::byte* const entry = superblock + stored_entry(image);
  StoredDebt debt;
  if (entry[19] == std::byte{2}) debt.all_from = number_at<std::uint64_t>(entry, 224);
  if (entry[19] != std::byte{1}) return debt;
  const std::uint64_t position =
      number_at<std::uint64_t>(superblock, 240) + image * number_at<std::uint64_t>(superblock, 248);
  debt.unit = number_at<std::uint32_t>(superblock, 256);
  std::array<std::byte, 512> sector;
  log.read(position, sector);
  const bool names_it = std::memcmp(sector.data() + 16, superblock + 64, 16) == 0 &&
                        std::memcmp(sector.data() + 32, entry, 16) == 0 &&
                        std::memcmp(sector.data() + 48, entry + 168, 16) == 0;
  if (!names_it || !block_is_whole(sector.data(), sector.size())) {
    if (tail > number_at<std::uint64_t>(entry, 160)) debt.all_from = 0;
    return debt;
  }
  debt.units.resize((number_at<std::uint64_t>(superblock, 80) + debt.unit - 1) / debt.unit);
  for (std::uint64_t number = 0; number * kMapSectorUnits < debt.units.size(); ++number) {
    log.read(position + 4096 + 512 * number, sector);
    decode_map_sector(superblock, image, number, sector.data(), debt);
  }
  return debt;
}

}  // namespace blockmirror::simulator
