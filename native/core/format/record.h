// Records of the log: how intents stand on the disk. Pure: bytes in, decisions out.
//
// Invariants:
//  - A record is record_size bytes in one slot of the ring: slot = sequence mod record_count. Every slot holds a valid
//    record from the moment the log is formatted (sequence = slot number, no intents).
//  - Every 512-byte sector of a record is self-describing: 496 bytes of payload, then sequence (8), opening (4) and
//    CRC32C (4) over the sector and the log's UUID. Thus each sector is proven by itself, and a slot is exactly one of:
//    complete (all sectors valid, one stamp), mixed (all valid, several stamps) or broken (a sector is not valid).
//  - (opening, sequence) names a record for ever: it is never written with other content (I12). A sequence that was in
//    flight at a crash is used again only under the next opening's number, so that the remains of the one never pass
//    for the other.
//  - `tail`: intents in records below it are retired. It may name only what is carried by this record or by records
//    that were durable when this one was composed (I13).
//  - `durable_through`: every record of this opening up to it was durable when this one was composed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "../base/extent.h"
#include "../base/identity.h"
#include "../base/outcome.h"
#include "superblock.h"

namespace blockmirror {

inline constexpr std::uint32_t kSectorLength = 512;                        // bytes; the unit in which a write may tear
inline constexpr std::uint32_t kSectorPayload = 496;                       // bytes of it that carry the record
inline constexpr std::uint32_t kMinimumRecordSize = 4096;                  // bytes
inline constexpr std::uint32_t kIntentBlockLength = 4096;                  // bytes; one bit of a bitmap intent
inline constexpr std::uint32_t kIntentBitmapBlocks = 256;                  // one region of 1 MiB
using IntentBitmap = std::array<std::uint64_t, kIntentBitmapBlocks / 64>;  // bit i of word i/64 is block i

// An intent as it stands in a record: an exact or coarse extent (one unit of 16 bytes), or the exact blocks of one
// region (three units).
struct Intent {
  enum class Kind : std::uint8_t { extent = 1, bitmap = 2 };
  Kind kind = Kind::extent;
  Extent extent;  // bitmap: the region, kIntentBitmapBlocks * kIntentBlockLength bytes
  IntentBitmap bitmap{};
  unsigned units() const { return kind == Kind::extent ? 1 : 3; }
};

struct RecordHeader {
  std::uint64_t sequence = 0;
  std::uint32_t opening = 0;  // low 32 bits of Superblock::open_count
  std::uint64_t generation = 0;
  std::uint64_t durable_through = 0;
  std::uint64_t tail = 0;
};

struct Record {
  RecordHeader header;
  std::vector<Intent> intents;
};

// Units of intents that a record of that size holds.
unsigned record_capacity(std::uint32_t record_size);
// Fills `into` (record_size bytes) in full. The intents' units fit: asserted.
void encode_record(const Uuid& log_uuid, const RecordHeader& header, std::span<const Intent> intents,
                   std::span<std::byte> into);
// The record that formatting writes into slot `slot`: sequence slot, tail record_count, no intents.
void encode_blank_record(const Uuid& log_uuid, std::uint32_t slot, std::uint32_t record_count,
                         std::span<std::byte> into);

enum class SlotState : std::uint8_t { complete, mixed, broken };
struct SectorStamp {
  std::uint64_t sequence = 0;
  std::uint32_t opening = 0;
  friend bool operator==(const SectorStamp&, const SectorStamp&) = default;
};
struct Slot {
  SlotState state = SlotState::broken;
  std::vector<SectorStamp> stamps;  // distinct ones, in order of appearance
  Record record;                    // when complete
  const char* reason = "";          // when broken, plain words
};
Slot decode_slot(const Uuid& log_uuid, std::span<const std::byte> bytes);

// Calls `each` with the extents that an intent covers, in their order; blocks side by side are one.
template <typename Each>
void for_each_covered(const Intent& intent, Each&& each) {
  if (intent.kind == Intent::Kind::extent) return each(intent.extent);
  for (unsigned block = 0; block < kIntentBitmapBlocks;) {
    const unsigned first = block;
    while (block < kIntentBitmapBlocks && (intent.bitmap[block / 64] >> (block % 64) & 1u) != 0) ++block;
    const std::uint64_t length = std::uint64_t{block - first} * kIntentBlockLength;
    if (length > 0) each(Extent{intent.extent.position + std::uint64_t{first} * kIntentBlockLength, length});
    while (block < kIntentBitmapBlocks && (intent.bitmap[block / 64] >> (block % 64) & 1u) == 0) ++block;
  }
}
// Adds what an intent covers.
void add_covered(const Intent& intent, ExtentSet& into);

}  // namespace blockmirror
