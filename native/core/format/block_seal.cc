#include "block_seal.h"

#include <algorithm>
#include <cstring>

#include "../base/mutation.h"

namespace blockmirror {
namespace {

constexpr std::size_t kMagicLength = 8;
constexpr std::size_t kChecksumOffset = 12;
constexpr const char* kBadChecksum = "the checksum does not hold";

std::uint32_t checksum_of(std::span<const std::byte> block) {
  static constexpr std::array<std::byte, sizeof(std::uint32_t)> kZero{};
  std::uint32_t crc = crc32c(block.first(kChecksumOffset));
  crc = crc32c(kZero, crc);
  return crc32c(block.subspan(kChecksumOffset + kZero.size()), crc);
}

std::size_t covered_length(const BlockSeal& seal, std::uint32_t version, std::size_t whole) {
  const auto other = std::find_if(seal.other_lengths.begin(), seal.other_lengths.end(),
                                  [version](const CoveredLength& one) { return one.version == version; });
  return other == seal.other_lengths.end() ? whole : std::min(other->length, whole);
}

bool is_unknown(Code code) { return code == Code::UNKNOWN_VERSION || code == Code::UNKNOWN_FEATURE; }

}  // namespace

void encode_preamble(const BlockSeal& seal, std::uint64_t compatible, std::uint64_t incompatible, std::uint64_t update,
                     ByteWriter& writer) {
  BLOCKMIRROR_ASSERT(seal.magic.size() == kMagicLength, "a magic is eight characters");
  for (char character : seal.magic) writer.u8(static_cast<std::uint8_t>(character));
  writer.u32(kFormatVersion);
  writer.u32(0);
  writer.u64(compatible);
  writer.u64(incompatible);
  writer.u64(update);
}

void decode_preamble(ByteReader& reader, std::uint64_t& compatible, std::uint64_t& incompatible,
                     std::uint64_t& update) {
  reader.u64();
  reader.u64();
  compatible = reader.u64();
  incompatible = reader.u64();
  update = reader.u64();
}

void seal_block(std::span<std::byte> block) { store_little_endian(block.data() + kChecksumOffset, checksum_of(block)); }

bool seal_holds(std::span<const std::byte> block) {
  return load_little_endian<std::uint32_t>(block.data() + kChecksumOffset) == checksum_of(block);
}

Outcome check_block(const BlockSeal& seal, std::span<const std::byte> block, BlockPreamble* preamble) {
  const auto* magic = reinterpret_cast<const std::byte*>(seal.magic.data());
  if (!std::equal(magic, magic + kMagicLength, block.begin())) return Outcome::of(seal.missing, seal.device);
  ByteReader reader(block.subspan(kMagicLength));
  BlockPreamble found;
  found.version = reader.u32();
  found.length = covered_length(seal, found.version, block.size());
  reader.u32();
  reader.u64();
  found.incompatible_features = reader.u64();
  found.update = reader.u64();
  if (!seal_holds(block.first(found.length))) return Outcome::damaged(seal.damaged, seal.device, kBadChecksum);
  if (preamble != nullptr) *preamble = found;
  if (!kUpdates.allows(found.update, Bound::read) && !mutated(Mutation::used_up_number_accepted)) {
    return Outcome::damaged(seal.damaged, seal.device, "the update number is beyond what a mirror can reach");
  }
  if (found.version != kFormatVersion) return Outcome::of(Code::UNKNOWN_VERSION, seal.device, 0, found.version);
  if ((found.incompatible_features & ~kKnownIncompatibleFeatures) != 0) {
    return Outcome::of(Code::UNKNOWN_FEATURE, seal.device);
  }
  return Outcome::success();
}

const char* judge_generation(const Generation& generation,
                             const std::array<GenerationMark, kGenerationHistory>& history, Bound bound) {
  if (generation.counter == 0 || generation.id.is_zero()) return "there is no generation";
  if (!kGenerations.allows(generation.counter, bound)) return "the generation is beyond what a mirror can reach";
  const GenerationMark* newer = nullptr;
  for (const GenerationMark& mark : history) {
    const bool unused = mark == GenerationMark{};
    if (newer != nullptr && *newer == GenerationMark{} && !unused) return "the history of generations has a gap";
    if (!unused) {
      if (mark.counter == 0 || mark.id.is_zero()) return "the history of generations has half an entry";
      if (mark.counter > generation.counter) return "the history of generations is newer than the generation";
      if (newer != nullptr && mark.counter >= newer->counter) return "the history of generations does not fall";
    }
    newer = &mark;
  }
  return nullptr;
}

namespace {

// Of two damaged copies: the one whose content says more than that its checksum does not hold, else copy A.
Outcome more_telling(const BlockSeal& seal, const Outcome& outcome_a, const Outcome& outcome_b) {
  const auto tells = [&](const Outcome& outcome) { return outcome.code == seal.damaged; };
  Outcome why = Outcome::damaged(seal.damaged, seal.device, "");
  const bool only_checksum = tells(outcome_a) && std::string_view(outcome_a.reason) == kBadChecksum;
  const bool by_b = tells(outcome_b) && (!tells(outcome_a) || only_checksum);
  if (by_b) {
    why.reason = outcome_b.reason;
    why.position = seal.copy_distance;
  } else if (tells(outcome_a)) {
    why.reason = outcome_a.reason;
  }
  return why;
}

}  // namespace

CopyChoice choose_copy(const BlockSeal& seal, std::span<const std::byte> copy_a, const Outcome& outcome_a,
                       std::span<const std::byte> copy_b, const Outcome& outcome_b, Outcome& why) {
  BlockPreamble a, b;
  const bool a_whole = outcome_a.ok() || is_unknown(outcome_a.code),
             b_whole = outcome_b.ok() || is_unknown(outcome_b.code);
  if (a_whole) (void)check_block(seal, copy_a, &a);
  if (b_whole) (void)check_block(seal, copy_b, &b);
  if (a_whole && b_whole) {
    const bool equal = a.length == b.length && std::memcmp(copy_a.data(), copy_b.data(), a.length) == 0;
    if (a.update == b.update && !equal) {
      why = Outcome::damaged(seal.damaged, seal.device, "the copies have one update number and two contents");
      return CopyChoice::neither;
    }
    const bool a_counts = a.update >= b.update;
    why = a_counts ? outcome_a : outcome_b;
    return !why.ok() ? CopyChoice::neither : a_counts ? CopyChoice::copy_a : CopyChoice::copy_b;
  }
  if (a_whole || b_whole) {
    why = a_whole ? outcome_a : outcome_b;
    return !why.ok() ? CopyChoice::neither : a_whole ? CopyChoice::copy_a : CopyChoice::copy_b;
  }
  const bool same = outcome_a.code == outcome_b.code && outcome_a.code != seal.damaged;
  why = same ? outcome_a : more_telling(seal, outcome_a, outcome_b);
  return CopyChoice::neither;
}

}  // namespace blockmirror
