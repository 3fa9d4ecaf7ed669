#include "block_seal.h"

#include <cstring>

namespace blockmirror {
namespace {

constexpr std::size_t kMagicLength = 8;
constexpr std::size_t kChecksumOffset = 12;

std::uint32_t checksum_of(std::span<const std::byte> block) {
  static constexpr std::array<std::byte, sizeof(std::uint32_t)> kZero{};
  std::uint32_t crc = crc32c(block.first(kChecksumOffset));
  crc = crc32c(kZero, crc);
  return crc32c(block.subspan(kChecksumOffset + kZero.size()), crc);
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

Code check_block(const BlockSeal& seal, std::span<const std::byte> block, BlockPreamble* preamble) {
  const auto* magic = reinterpret_cast<const std::byte*>(seal.magic.data());
  if (!std::equal(magic, magic + kMagicLength, block.begin())) return seal.missing;
  ByteReader reader(block.subspan(kMagicLength));
  BlockPreamble found;
  found.version = reader.u32();
  const std::uint32_t stored = reader.u32();
  reader.u64();
  found.incompatible_features = reader.u64();
  found.update = reader.u64();
  if (stored != checksum_of(block)) return seal.damaged;
  if (preamble != nullptr) *preamble = found;
  if (found.version != kFormatVersion) return Code::UNKNOWN_VERSION;
  if ((found.incompatible_features & ~kKnownIncompatibleFeatures) != 0) return Code::UNKNOWN_FEATURE;
  return Code::ok;
}

void encode_generation(const Generation& generation, ByteWriter& writer) {
  writer.u64(generation.counter);
  writer.uuid(generation.id);
  writer.uuid(generation.parent);
}

Generation decode_generation(ByteReader& reader) {
  Generation generation;
  generation.counter = reader.u64();
  generation.id = reader.uuid();
  generation.parent = reader.uuid();
  return generation;
}

void encode_generation_history(const std::array<GenerationMark, kGenerationHistory>& history, ByteWriter& writer) {
  for (const GenerationMark& mark : history) {
    writer.u64(mark.counter);
    writer.uuid(mark.id);
  }
}

void decode_generation_history(ByteReader& reader, std::array<GenerationMark, kGenerationHistory>& into) {
  for (GenerationMark& mark : into) {
    mark.counter = reader.u64();
    mark.id = reader.uuid();
  }
}

bool generation_is_valid(const Generation& generation, const std::array<GenerationMark, kGenerationHistory>& history) {
  if (generation.counter == 0 || generation.id.is_zero()) return false;
  const GenerationMark* newer = nullptr;
  for (const GenerationMark& mark : history) {
    const bool unused = mark == GenerationMark{};
    if (newer != nullptr && *newer == GenerationMark{} && !unused) return false;
    if (!unused) {
      if (mark.counter == 0 || mark.id.is_zero() || mark.counter > generation.counter) return false;
      if (newer != nullptr && mark.counter >= newer->counter) return false;
    }
    newer = &mark;
  }
  return true;
}

CopyChoice choose_copy(const BlockSeal& seal, std::span<const std::byte> copy_a, Code code_a,
                       std::span<const std::byte> copy_b, Code code_b, Code& why) {
  BlockPreamble a, b;
  const bool a_whole = code_a == Code::ok || is_unknown(code_a), b_whole = code_b == Code::ok || is_unknown(code_b);
  if (a_whole) check_block(seal, copy_a, &a);
  if (b_whole) check_block(seal, copy_b, &b);
  if (a_whole && b_whole) {
    const bool equal = copy_a.size() == copy_b.size() && std::memcmp(copy_a.data(), copy_b.data(), copy_a.size()) == 0;
    if (a.update == b.update && !equal) {
      why = seal.damaged;
      return CopyChoice::neither;
    }
    const bool a_counts = a.update >= b.update;
    why = a_counts ? code_a : code_b;
    return why != Code::ok ? CopyChoice::neither : a_counts ? CopyChoice::copy_a : CopyChoice::copy_b;
  }
  if (a_whole || b_whole) {
    why = a_whole ? code_a : code_b;
    return why != Code::ok ? CopyChoice::neither : a_whole ? CopyChoice::copy_a : CopyChoice::copy_b;
  }
  why = code_a == code_b ? code_a : seal.damaged;
  return CopyChoice::neither;
}

}  // namespace blockmirror
