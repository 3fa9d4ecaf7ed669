// What superblock and label have in common: the preamble, the checksum, two copies, and generations. Pure.
//
// Invariants:
//  - The preamble (magic, version, CRC, feature words, update number: the first 40 bytes) is the same in every version of
//    the format, and the length that the CRC covers in every version from 2 on; that of version 1 is known. So a copy of
//    another version can be recognised as whole and named.
//  - Checked in this order: magic, CRC, update number, version, incompatible features, content. The CRC comes before
//    the version, so that a flipped bit in the version is damage and only a whole copy is believed to be of another
//    version.
//  - A reader that does not know a compatible feature reads and writes as if it were not there; hence such a feature
//    keeps nothing in these blocks besides its bit, whose words are carried over. What needs bytes here is
//    incompatible.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "../base/bytes.h"
#include "../base/crc32c.h"
#include "../base/headroom.h"
#include "../base/identity.h"
#include "../base/outcome.h"
#include "superblock.h"

namespace blockmirror {

inline constexpr std::uint64_t kKnownIncompatibleFeatures = 0;

// How much of a copy the CRC covers, where that is not all of it.
struct CoveredLength {
  std::uint32_t version;
  std::size_t length;
};

struct BlockSeal {
  std::string_view magic;
  Code missing;  // no magic
  Code damaged;  // anything that contradicts itself
  ImageIndex device;
  std::uint64_t copy_distance;  // bytes from copy A to copy B
  std::span<const CoveredLength> other_lengths;
};

struct BlockPreamble {
  std::uint32_t version = 0;
  std::size_t length = 0;  // that the CRC covers
  std::uint64_t incompatible_features = 0;
  std::uint64_t update = 0;
};

void encode_preamble(const BlockSeal& seal, std::uint64_t compatible, std::uint64_t incompatible, std::uint64_t update,
                     ByteWriter& writer);
// After check_block: reads past what it has proven.
void decode_preamble(ByteReader& reader, std::uint64_t& compatible, std::uint64_t& incompatible, std::uint64_t& update);
// Puts the CRC of the whole block, its own field taken as zero, into its place.
void seal_block(std::span<std::byte> block);
bool seal_holds(std::span<const std::byte> block);
// Magic, CRC, update number, version (UNKNOWN_VERSION; position: which) and features. `preamble` is filled when the CRC holds. The update number comes
// before the version: a copy of any version that is beyond what updates can reach must not count as the newer one.
Outcome check_block(const BlockSeal& seal, std::span<const std::byte> block, BlockPreamble* preamble = nullptr);

template <typename Fields, typename Current>
void generation_fields(Fields& fields, Current& generation) {
  fields.number(generation.counter);
  fields.uuid(generation.id);
  fields.uuid(generation.parent);
}
template <typename Fields, typename Marks>
void generation_history_fields(Fields& fields, Marks& history) {
  for (auto& mark : history) {
    fields.number(mark.counter);
    fields.uuid(mark.id);
  }
}
// Newest first, counters falling, nothing newer than the generation, unused entries zero and at the end. What
// contradicts that, in plain words; null when nothing does.
const char* judge_generation(const Generation& generation,
                             const std::array<GenerationMark, kGenerationHistory>& history, Bound bound);

// Which copy counts, by what was found in each:
//
//   A            B            answer
//   whole        whole        the higher update; the same update with other bytes, or other UUIDs: damaged
//   whole        unknown      the higher update: when that is the unknown one, its UNKNOWN_VERSION or UNKNOWN_FEATURE
//   whole        otherwise    A
//   unknown      not whole    UNKNOWN_VERSION or UNKNOWN_FEATURE
//   no magic     no magic     missing
//   unreadable   unreadable   READ_FAILED
//   otherwise                 damaged
//
// and the same with A and B exchanged. `unknown` is a copy whose CRC holds but whose version or features we do not
// know. It is compared by its update number because a program that does know it may have crashed between its copies:
// the older copy that we can read is then not the truth any more.
// Two whole copies of different mirrors arise from us in one case alone, which choose_superblock knows: a create that
// was cut off while it took a log over.
enum class CopyChoice : std::uint8_t { copy_a, copy_b, neither };
CopyChoice choose_copy(const BlockSeal& seal, std::span<const std::byte> copy_a, const Outcome& outcome_a,
                       std::span<const std::byte> copy_b, const Outcome& outcome_b, Outcome& why);

template <typename Block>
Outcome choose_copy(const BlockSeal& seal, std::span<const std::byte> copy_a, std::span<const std::byte> copy_b,
                    Block& into, Outcome (*decode)(std::span<const std::byte>, Block&)) {
  Block a, b;
  const Outcome unreadable = Outcome::of(Code::READ_FAILED, seal.device);
  const Outcome outcome_a = copy_a.empty() ? unreadable : decode(copy_a, a);
  const Outcome outcome_b = copy_b.empty() ? unreadable : decode(copy_b, b);
  const bool both = outcome_a.ok() && outcome_b.ok();
  if (both && (a.mirror_uuid != b.mirror_uuid || a.log_uuid != b.log_uuid))
    return Outcome::damaged(seal.damaged, seal.device, "the copies are of two mirrors");
  Outcome why;
  switch (choose_copy(seal, copy_a, outcome_a, copy_b, outcome_b, why)) {
    case CopyChoice::copy_a:
      into = std::move(a);
      return Outcome::success();
    case CopyChoice::copy_b:
      into = std::move(b);
      return Outcome::success();
    case CopyChoice::neither:
      break;
  }
  return why;
}

}  // namespace blockmirror
