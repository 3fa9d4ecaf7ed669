// Where everything stands on a log, and what it measures. Pure arithmetic; docs/FORMAT.md has the tables.
//
// Invariants:
//  - The two copies of the superblock share no physical block of up to 64 KiB, nor do the slots of two maps.
//  - Whoever reads a log uses the positions in its superblock; the formulas below are what create makes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../base/device.h"
#include "fracture_map.h"

namespace blockmirror {

inline constexpr std::uint32_t kFormatVersion = 2;
inline constexpr std::size_t kSuperblockHeaderLength = 8192;
inline constexpr std::size_t kImageEntryLength = 2048;
inline constexpr std::uint64_t kSuperblockLength = kSuperblockHeaderLength + kMaxImages * kImageEntryLength;
inline constexpr std::uint64_t kSuperblockCopyA = 0;  // bytes from the start of the log
inline constexpr std::uint64_t kSuperblockCopyB = 64 * 1024;
inline constexpr std::uint64_t kHistoryPosition = 128 * 1024;  // ring of events
inline constexpr std::uint64_t kHistoryLength = 512 * 1024;
inline constexpr std::uint64_t kHeldLabelsPosition = 640 * 1024;  // labels of images that have no room for one
inline constexpr std::uint64_t kHeldLabelLength = 16 * 1024;
inline constexpr std::uint64_t kRingPosition = 1024 * 1024;
inline constexpr std::uint64_t kMapsAlignment = 1024 * 1024;
inline constexpr std::uint64_t kPositionLimit = std::uint64_t{1} << 63;  // positions and lengths on disk are below it
inline constexpr std::uint32_t kMaximumBlockSize = 64 * 1024;
inline constexpr std::uint32_t kMaximumPhysicalBlockSize = 1024 * 1024;
inline constexpr std::uint32_t kMaximumRecordSize = 64 * 1024;
inline constexpr std::uint32_t kMinimumRecordCount = 8;
// What a look at a log may cost is bounded by it: that much is read once or twice, whatever the superblock says.
inline constexpr std::uint64_t kMaximumRingLength = std::uint64_t{1024} * 1024 * 1024;  // bytes
inline constexpr std::uint32_t kMaximumRecordCount = 256 * 1024;                        // of the smallest size
inline constexpr unsigned kMinimumMapSlots = 2;
inline constexpr unsigned kDefaultMapSlots = 4;

static_assert(kSuperblockCopyA + kSuperblockLength <= kSuperblockCopyB);
static_assert(kSuperblockCopyB + kSuperblockLength <= kHistoryPosition);
static_assert(kHistoryPosition + kHistoryLength <= kHeldLabelsPosition);
static_assert(kHeldLabelsPosition + kMaxImages * kHeldLabelLength <= kRingPosition);

struct RingGeometry {
  std::uint64_t position = 0;     // bytes
  std::uint32_t record_size = 0;  // bytes, a multiple of the log's physical block
  std::uint32_t record_count = 0;
  std::uint32_t in_flight_limit = 0;  // records written at once; bounds the window of a torn tail
  constexpr std::uint64_t length() const { return std::uint64_t{record_size} * record_count; }
};

struct MapGeometry {
  std::uint64_t position = 0;     // of the slot of image 0, bytes
  std::uint64_t slot_length = 0;  // bytes
  std::uint32_t unit = 0;         // bytes of the mirror that a bit stands for
  constexpr std::uint64_t slot(unsigned image) const { return position + image * slot_length; }
};

// What create makes of a mirror of `size` bytes behind a ring that ends there.
constexpr MapGeometry planned_maps(std::uint64_t ring_end, std::uint64_t size) {
  const std::uint64_t position = (ring_end + kMapsAlignment - 1) / kMapsAlignment * kMapsAlignment;
  return {position, planned_map_slot(size), planned_map_unit(size)};
}

// Bytes that a log with that ring needs for a mirror of that size: whole MiB.
constexpr std::uint64_t log_length(std::uint32_t record_count, std::uint32_t record_size, std::uint64_t size,
                                   unsigned max_images = kDefaultMapSlots) {
  const MapGeometry maps = planned_maps(kRingPosition + std::uint64_t{record_count} * record_size, size);
  return (maps.slot(max_images) + kMapsAlignment - 1) / kMapsAlignment * kMapsAlignment;
}

// Where the label of that image stands when the log holds it; its second copy half of kHeldLabelLength behind.
constexpr std::uint64_t held_label_position(unsigned image) { return kHeldLabelsPosition + image * kHeldLabelLength; }

}  // namespace blockmirror
