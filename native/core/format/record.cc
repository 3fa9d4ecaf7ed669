// Layout: docs/FORMAT.md. The payload of a record is a row of units of 16 bytes, 31 to a sector, so that no unit is
// ever cut by a sector's stamp: unit u lies at byte 512 * (u / 31) + 16 * (u % 31).
#include "record.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "../base/bytes.h"
#include "../base/crc32c.h"
#include "../base/headroom.h"
#include "../base/mutation.h"

namespace blockmirror {
namespace {

constexpr std::uint32_t kMagic = 0x43524d42;  // "BMRC"
constexpr std::size_t kUnitLength = 16;
constexpr std::size_t kHeaderLength = 64;
constexpr unsigned kHeaderUnits = kHeaderLength / kUnitLength;
constexpr unsigned kUnitsPerSector = kSectorPayload / kUnitLength;
constexpr unsigned kBitmapUnits = 3;
constexpr std::uint64_t kLengthLimit = std::uint64_t{1} << 56;  // an extent's length shares its word with the kind
constexpr unsigned kKindShift = 56;

constexpr std::size_t kStampOffset = kSectorPayload;
constexpr std::size_t kChecksumOffset = kSectorLength - sizeof(std::uint32_t);
constexpr std::uint64_t kBitmapRegion = std::uint64_t{kIntentBitmapBlocks} * kIntentBlockLength;

static_assert(kSectorPayload % kUnitLength == 0 && kHeaderLength <= kSectorPayload);
static_assert(kStampOffset + 8 + 4 == kChecksumOffset);

constexpr std::size_t unit_offset(unsigned unit) {
  return std::size_t{kSectorLength} * (unit / kUnitsPerSector) + kUnitLength * (unit % kUnitsPerSector);
}

// The log's UUID keeps records of other logs out, the number of the sector keeps it in its place within the record; the
// place of the record in the ring is proven by its sequence.
class SectorChecksum {
 public:
  explicit SectorChecksum(const Uuid& log_uuid) : of_log_(crc32c(log_uuid.bytes)) {}
  std::uint32_t of(std::uint32_t index, std::span<const std::byte> sector) const {
    std::array<std::byte, sizeof(index)> number;
    store_little_endian(number.data(), index);
    return crc32c(sector.first(kChecksumOffset), crc32c(number, of_log_));
  }

 private:
  std::uint32_t of_log_;
};

bool is_valid(const Intent& intent) {
  const auto& [position, length] = intent.extent;
  if (position >= kPositionLimit || length == 0 || length >= kLengthLimit || length > kPositionLimit - position)
    return false;
  if (intent.kind == Intent::Kind::extent) return position % kSectorLength == 0 && length % kSectorLength == 0;
  const bool empty =
      std::all_of(intent.bitmap.begin(), intent.bitmap.end(), [](std::uint64_t word) { return word == 0; });
  return intent.kind == Intent::Kind::bitmap && position % kBitmapRegion == 0 && length == kBitmapRegion && !empty;
}

void encode_units(const Intent& intent, unsigned unit, std::span<std::byte> record) {
  std::byte* at = record.data() + unit_offset(unit);
  store_little_endian(at, intent.extent.position);
  store_little_endian(at + 8, intent.extent.length | static_cast<std::uint64_t>(intent.kind) << kKindShift);
  if (intent.kind == Intent::Kind::extent) return;
  for (unsigned word = 0; word < intent.bitmap.size(); ++word) {
    store_little_endian(record.data() + unit_offset(unit + 1 + word / 2) + 8 * (word % 2), intent.bitmap[word]);
  }
}

void encode_header(const RecordHeader& header, std::size_t intents, unsigned units, std::span<std::byte> record) {
  ByteWriter writer(record.first(kHeaderLength));
  writer.u32(kMagic);
  writer.u16(static_cast<std::uint16_t>(kFormatVersion));
  writer.u16(static_cast<std::uint16_t>(kHeaderLength));
  writer.u64(header.sequence);
  writer.u32(header.opening);
  writer.u32(static_cast<std::uint32_t>(intents));
  writer.u64(header.generation);
  writer.u64(header.durable_through);
  writer.u64(header.tail);
  writer.u32(units);
  writer.zeroes_until(kHeaderLength);
}

void stamp_sectors(const Uuid& log_uuid, const RecordHeader& header, std::span<std::byte> record) {
  const SectorChecksum checksum(log_uuid);
  for (std::uint32_t index = 0; index < record.size() / kSectorLength; ++index) {
    std::span<std::byte> sector = record.subspan(std::size_t{index} * kSectorLength, kSectorLength);
    store_little_endian(sector.data() + kStampOffset, header.sequence);
    store_little_endian(sector.data() + kStampOffset + 8, header.opening);
    store_little_endian(sector.data() + kChecksumOffset, checksum.of(index, sector));
  }
}

// Reads the intents of a record whose sectors all belong together; a reason in plain words when they contradict.
const char* decode_intents(std::span<const std::byte> bytes, std::uint32_t count, unsigned units,
                           std::vector<Intent>& into) {
  unsigned unit = kHeaderUnits;
  const unsigned end = kHeaderUnits + units;
  into.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (unit >= end) return "more intents than units";
    const std::byte* at = bytes.data() + unit_offset(unit);
    const auto word = load_little_endian<std::uint64_t>(at + 8);
    Intent intent;
    intent.kind = static_cast<Intent::Kind>(word >> kKindShift);
    intent.extent = {load_little_endian<std::uint64_t>(at), word & (kLengthLimit - 1)};
    if (intent.kind == Intent::Kind::bitmap) {
      if (end - unit < kBitmapUnits) return "a bitmap intent reaches past the units";
      for (unsigned part = 0; part < intent.bitmap.size(); ++part) {
        intent.bitmap[part] =
            load_little_endian<std::uint64_t>(bytes.data() + unit_offset(unit + 1 + part / 2) + 8 * (part % 2));
      }
    }
    if (!is_valid(intent)) return "an intent that no writer makes";
    unit += intent.units();
    into.push_back(intent);
  }
  return unit == end ? nullptr : "fewer intents than units";
}

bool padding_is_zero(std::span<const std::byte> bytes, unsigned first_unit) {
  const unsigned units = kUnitsPerSector * static_cast<unsigned>(bytes.size() / kSectorLength);
  for (unsigned unit = first_unit; unit < units; ++unit) {
    if (!ByteReader::all_zero(bytes.subspan(unit_offset(unit), kUnitLength))) return false;
  }
  return true;
}

// What one record alone can contradict; what the ring as a whole can is RingScanner's.
const char* judge_header(const RecordHeader& header, Bound bound) {
  if (!kSequences.allows(header.sequence, bound)) return "a sequence beyond what a mirror can reach";
  if (header.opening == 0) return nullptr;  // blank: says what formatting made of the whole ring, RingScanner knows
  if (!kGenerations.allows(header.generation, bound)) return "a generation beyond what a mirror can reach";
  if (header.durable_through >= header.sequence) return "durable through itself";
  if (header.tail > header.sequence + 1) return "a tail ahead of its record";
  return nullptr;
}

const char* decode_record(const SectorStamp& stamp, std::span<const std::byte> bytes, Record& into) {
  ByteReader reader(bytes.first(kHeaderLength));
  if (reader.u32() != kMagic) return "no record magic";
  if (reader.u16() != kFormatVersion) return "a record of another format version";
  if (reader.u16() != kHeaderLength) return "a record header of another length";
  into.header.sequence = reader.u64();
  into.header.opening = reader.u32();
  const std::uint32_t intents = reader.u32();
  into.header.generation = reader.u64();
  into.header.durable_through = reader.u64();
  into.header.tail = reader.u64();
  const std::uint32_t units = reader.u32();
  reader.zeroes_until(kHeaderLength);
  if (!reader.ok()) return "a record header whose padding is not zero";
  if (into.header.sequence != stamp.sequence || into.header.opening != stamp.opening) return "header and stamps differ";
  if (units > record_capacity(static_cast<std::uint32_t>(bytes.size())) || intents > units)
    return "more units than fit";
  if (const char* reason = judge_header(into.header, Bound::read)) return reason;
  if (const char* reason = decode_intents(bytes, intents, units, into.intents)) return reason;
  return padding_is_zero(bytes, kHeaderUnits + units) ? nullptr : "a record whose padding is not zero";
}

bool is_record_length(std::size_t length) {
  return std::has_single_bit(length) && length >= kMinimumRecordSize && length <= kMaximumRecordSize;
}

}  // namespace

unsigned record_capacity(std::uint32_t record_size) {
  return kUnitsPerSector * (record_size / kSectorLength) - kHeaderUnits;
}

void encode_record(const Uuid& log_uuid, const RecordHeader& header, std::span<const Intent> intents,
                   std::span<std::byte> into) {
  BLOCKMIRROR_ASSERT(is_record_length(into.size()), "a record has a length of 4 KiB to 64 KiB");
  BLOCKMIRROR_ASSERT(judge_header(header, Bound::written) == nullptr,
                     "a record that no reader would accept must not be written");
  std::memset(into.data(), 0, into.size());
  unsigned units = 0;
  const unsigned capacity = record_capacity(static_cast<std::uint32_t>(into.size()));
  for (const Intent& intent : intents) {
    BLOCKMIRROR_ASSERT(is_valid(intent), "an intent that no reader would accept must not be written");
    BLOCKMIRROR_ASSERT(intent.units() <= capacity - units, "the intents do not fit the record");
    encode_units(intent, kHeaderUnits + units, into);
    units += intent.units();
  }
  encode_header(header, intents.size(), units, into);
  stamp_sectors(log_uuid, header, into);
}

void encode_blank_record(const Uuid& log_uuid, std::uint32_t slot, std::uint32_t record_count,
                         std::span<std::byte> into) {
  BLOCKMIRROR_ASSERT(slot < record_count, "a blank record lies inside the ring");
  const RecordHeader header{slot, 0, 0, record_count - 1, record_count};
  encode_record(log_uuid, header, {}, into);
}

Slot decode_slot(const Uuid& log_uuid, std::span<const std::byte> bytes) {
  BLOCKMIRROR_ASSERT(is_record_length(bytes.size()), "a slot has a length of 4 KiB to 64 KiB");
  const SectorChecksum checksum(log_uuid);
  Slot slot;
  for (std::uint32_t index = 0; index < bytes.size() / kSectorLength; ++index) {
    std::span<const std::byte> sector = bytes.subspan(std::size_t{index} * kSectorLength, kSectorLength);
    if (load_little_endian<std::uint32_t>(sector.data() + kChecksumOffset) != checksum.of(index, sector)) {
      slot.reason = "the checksum of a sector does not hold";
      slot.stamps.clear();
      return slot;
    }
    const std::uint64_t sequence = load_little_endian<std::uint64_t>(sector.data() + kStampOffset);
    // No writer made it, whatever its checksum says; and nothing may build upon its number.
    if (!kSequences.allows(sequence, Bound::read)) {
      slot.reason = "a sequence beyond what a mirror can reach";
      slot.stamps.clear();
      return slot;
    }
    const SectorStamp stamp{sequence, load_little_endian<std::uint32_t>(sector.data() + kStampOffset + 8)};
    if (std::find(slot.stamps.begin(), slot.stamps.end(), stamp) == slot.stamps.end()) slot.stamps.push_back(stamp);
  }
  if (slot.stamps.size() > 1 && !mutated(Mutation::skip_torn_check)) {
    slot.state = SlotState::mixed;
    return slot;
  }
  if (const char* reason = decode_record(slot.stamps.front(), bytes, slot.record)) {
    slot.reason = reason;
    slot.record = Record{};
    slot.stamps.clear();
    return slot;
  }
  slot.state = SlotState::complete;
  return slot;
}

void add_covered(const Intent& intent, ExtentSet& into) {
  for_each_covered(intent, [&](const Extent& extent) { into.add(extent); });
}

}  // namespace blockmirror
