// Offsets and the reason for each rule: docs/FORMAT.md, "History".
#include "history.h"

#include <algorithm>

#include "../base/assert.h"
#include "../base/bytes.h"
#include "../base/crc32c.h"
#include "../base/headroom.h"
#include "fields.h"

namespace blockmirror {
namespace {

constexpr std::uint32_t kMagic = 0x56454d42;  // "BMEV"
constexpr std::size_t kChecksumOffset = kEventLength - sizeof(std::uint32_t);
constexpr std::int32_t kLargestErrno = 4095;

template <typename Fields, typename Told>
void event_fields(Fields& fields, Told& event) {
  fields.number(event.sequence);
  fields.number(event.at_ms);
  fields.choice(event.kind, EventKind::closed);
  fields.number(event.image);
  fields.choice(event.before, ImageState::failed);
  fields.choice(event.after, ImageState::failed);
  fields.choice(event.cause, FractureCause::differs);
  fields.zeroes_until(32);
  fields.error(event.error);
  fields.zeroes_until(40);
  fields.number(event.generation);
  fields.number(event.open_count);
  fields.number(event.extent.position);
  fields.number(event.extent.length);
  fields.number(event.bytes);
  fields.number(event.duration_ms);
  fields.text(event.name, kEventNameLength + 1);
  fields.zeroes_until(kChecksumOffset);
}

std::uint32_t checksum_of(const Uuid& log_uuid, std::span<const std::byte> sector) {
  return crc32c(sector.first(kChecksumOffset), crc32c(log_uuid.bytes));
}

bool is_valid(const Event& event) {
  const bool numbers = event.sequence > 0 && event.sequence <= kLargestSetting && event.at_ms <= kLatestDate &&
                       event.generation <= kLargestCount && event.open_count <= kLargestCount &&
                       event.bytes <= kLargestCount && event.duration_ms <= kLargestCount;
  const bool extent = event.extent.position < kPositionLimit && event.extent.length < kPositionLimit;
  const bool image = event.image < kMaxImages || event.image == kNoEventImage;
  return numbers && extent && image && static_cast<std::uint8_t>(event.kind) != 0 && event.error >= 0 &&
         event.error <= kLargestErrno && is_printable(event.name, kEventNameLength);
}

}  // namespace

void encode_event(const Uuid& log_uuid, const Event& event, std::span<std::byte> into) {
  BLOCKMIRROR_ASSERT(into.size() == kEventLength, "an event has one length");
  BLOCKMIRROR_ASSERT(is_valid(event), "an event that no reader would accept must not be written");
  FieldWriter fields(into);
  fields.bytes().u32(kMagic);
  fields.bytes().u32(kFormatVersion);
  event_fields(fields, event);
  fields.bytes().u32(checksum_of(log_uuid, into));
}

bool decode_event(const Uuid& log_uuid, std::uint32_t slot, std::span<const std::byte> sector, Event& into) {
  if (sector.size() != kEventLength) return false;
  if (load_little_endian<std::uint32_t>(sector.data() + kChecksumOffset) != checksum_of(log_uuid, sector)) return false;
  FieldReader fields(sector);
  if (fields.bytes().u32() != kMagic || fields.bytes().u32() != kFormatVersion) return false;
  Event found;
  event_fields(fields, found);
  if (fields.reason() != nullptr || !is_valid(found) || found.sequence % kEventSlots != slot) return false;
  into = std::move(found);
  return true;
}

HistoryScan scan_history(const Uuid& log_uuid, std::span<const std::byte> area) {
  HistoryScan scan;
  const std::size_t slots = std::min<std::size_t>(area.size() / kEventLength, kEventSlots);
  for (std::uint32_t slot = 0; slot < slots; ++slot) {
    const std::span<const std::byte> sector = area.subspan(std::size_t{slot} * kEventLength, kEventLength);
    Event event;
    if (decode_event(log_uuid, slot, sector, event)) {
      scan.newest = std::max(scan.newest, event.sequence);
      scan.events.push_back(std::move(event));
    } else if (!ByteReader::all_zero(sector)) {
      ++scan.broken;
    }
  }
  std::erase_if(scan.events, [&](const Event& event) { return event.sequence + kEventSlots <= scan.newest; });
  std::sort(scan.events.begin(), scan.events.end(),
            [](const Event& one, const Event& other) { return one.sequence < other.sequence; });
  return scan;
}

}  // namespace blockmirror
