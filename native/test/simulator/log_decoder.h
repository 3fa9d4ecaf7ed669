// A second reader of what the mirror writes to its log and labels, by docs/FORMAT.md and by nothing of native/core: the
// oracles must not believe the code they judge. It reads what was just written, so it checks no checksum but where it says so.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace blockmirror::simulator {

inline constexpr std::uint64_t kBlock = 4096;  // bytes; what an intent covers at least

template <typename Number>
Number number_at(const std::byte* bytes, std::size_t offset) {
  Number value;
  std::memcpy(&value, bytes + offset, sizeof(value));
  return value;
}

struct DecodedRecord {
  std::uint64_t sequence = 0;
  std::uint64_t tail = 0;
  std::vector<std::uint64_t> blocks;  // of the mirror, each kBlock bytes
};

inline DecodedRecord decode_log_record(const std::byte* bytes) {
  const auto unit_at = [&](std::size_t unit) { return bytes + 512 * (unit / 31) + 16 * (unit % 31); };
  DecodedRecord record;
  record.sequence = number_at<std::uint64_t>(bytes, 8);
  record.tail = number_at<std::uint64_t>(bytes, 40);
  const auto units = number_at<std::uint32_t>(bytes, 48);
  for (std::size_t unit = 4; unit < 4 + units;) {
    const auto position = number_at<std::uint64_t>(unit_at(unit), 0);
    const auto word = number_at<std::uint64_t>(unit_at(unit), 8);
    const std::uint64_t length = word & ((std::uint64_t{1} << 56) - 1);
    const bool bitmap = word >> 56 == 2;
    for (std::uint64_t i = 0; i < (length + kBlock - 1) / kBlock; ++i) {
      const std::byte* bits = unit_at(unit + 1 + i / 128);
      const bool covered = !bitmap || (number_at<std::uint64_t>(bits, 8 * (i / 64 % 2)) >> (i % 64) & 1) != 0;
      if (covered) record.blocks.push_back(position / kBlock + i);
    }
    unit += bitmap ? 3 : 1;
  }
  return record;
}

// Durable states of an image, as the superblock and labels hold them in one byte.
enum class StoredState : std::uint8_t {
  in_sync = 0,
  assumed = 1,
  behind = 2,
  synchronizing = 3,
  inconsistent = 4,
  failed = 5
};

inline constexpr std::size_t kStoredSuperblock = 40960;  // bytes of a copy
inline constexpr std::size_t stored_entry(unsigned image) { return 8192 + 2048 * std::size_t{image}; }
inline StoredState stored_state(const std::byte* superblock, unsigned image) {
  return static_cast<StoredState>(superblock[stored_entry(image) + 16]);
}
// CRC-32C of one byte more. By a table of our own: an oracle checks the superblock millions of times.
inline constexpr auto kCrcOfByte = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
    table[byte] = byte;
    for (unsigned bit = 0; bit < 8; ++bit)
      table[byte] = table[byte] >> 1 ^ ((table[byte] & 1u) != 0 ? 0x82f63b78u : 0u);
  }
  return table;
}();
inline std::uint32_t crc_with(std::uint32_t crc, std::byte byte) {
  return crc >> 8 ^ kCrcOfByte[(crc ^ std::to_integer<std::uint32_t>(byte)) & 0xffu];
}

// For copies that a crash may have torn.
inline bool block_is_whole(const std::byte* block, std::size_t length) {
  std::uint32_t crc = ~0u;
  for (std::size_t i = 0; i < length; ++i) {
    crc = crc_with(crc, i >= 12 && i < 16 ? std::byte{0} : block[i]);
  }
  return ~crc == number_at<std::uint32_t>(block, 12);
}
inline bool superblock_is_whole(const std::byte* superblock) { return block_is_whole(superblock, kStoredSuperblock); }
// Errno that failed that image; of the master: that stopped the last opening.
inline std::uint32_t stored_error(const std::byte* superblock, unsigned image) {
  return number_at<std::uint32_t>(superblock, stored_entry(image) + 88);
}
inline constexpr std::size_t kStoredGenerationId = 136;
inline constexpr std::size_t kStoredGenerationParent = 152;
inline constexpr std::size_t kStoredHistory = 512;           // newest first: counter (8), id (16)
inline constexpr std::uint64_t kLabelDistance = 512 * 1024;  // from one copy of a label to the other
// Bytes in which a verify found that image to differ.
inline std::uint64_t stored_difference(const std::byte* superblock, unsigned image) {
  return number_at<std::uint64_t>(superblock, stored_entry(image) + 80);
}
inline bool stored_as_creating(const std::byte* superblock) { return superblock[224] == std::byte{0}; }
// Which formatting of the log it is of.
inline std::array<std::byte, 16> stored_log(const std::byte* superblock) {
  std::array<std::byte, 16> uuid;
  std::memcpy(uuid.data(), superblock + 64, uuid.size());
  return uuid;
}
inline bool stored_as_sealed(const std::byte* superblock) { return superblock[224] == std::byte{3}; }
// A number that no mirror reaches makes a copy the older one: it counts for nothing.
inline std::uint64_t stored_update(const std::byte* superblock) {
  const std::uint64_t update = number_at<std::uint64_t>(superblock, 32);
  return update == ~std::uint64_t{0} ? 0 : update;
}
inline std::uint64_t stored_generation(const std::byte* superblock) {
  return number_at<std::uint64_t>(superblock, 128);
}
inline std::uint64_t stored_openings(const std::byte* superblock) { return number_at<std::uint64_t>(superblock, 168); }
inline StoredState label_state(const std::byte* label) { return static_cast<StoredState>(label[89]); }
inline std::uint64_t label_openings(const std::byte* label) { return number_at<std::uint64_t>(label, 160); }
inline std::uint64_t label_generation(const std::byte* label) { return number_at<std::uint64_t>(label, 120); }

}  // namespace blockmirror::simulator
