#include "log_reader.h"

#include <algorithm>
#include <cerrno>

#include "aligned_buffer.h"

namespace blockmirror {
namespace {

// A, unless only A is as new as what was chosen.
template <typename Block>
unsigned stale_copy(int error_b, std::span<const std::byte> copy_b, const Block& chosen,
                    Status (*decode)(std::span<const std::byte>, Block&)) {
  Block b;
  return error_b == 0 && decode(copy_b, b).ok() && b.update == chosen.update ? 0 : 1;
}

}  // namespace

Task<Status> read_superblock(Device& log, Superblock& into, unsigned& stale) {
  if (log.traits().size < kSuperblockCopyB + kSuperblockLength) co_return Status::of(Code::NOT_A_LOG, kLogDevice);
  if (const std::uint32_t unit = transfer_unit(log.traits()); unit > kMinimumRecordSize) {
    co_return Status::of(Code::BLOCK_TOO_LARGE, kLogDevice, 0, unit);
  }
  AlignedBuffer copy_a(kSuperblockLength), copy_b(kSuperblockLength);
  const int error_a = co_await log.read(kSuperblockCopyA, copy_a.span());
  const int error_b = co_await log.read(kSuperblockCopyB, copy_b.span());
  if (error_a != 0 && error_b != 0) co_return Status::of(Code::READ_FAILED, kLogDevice, error_a);
  const std::span<const std::byte> unreadable;
  const Status status =
      choose_superblock(error_a == 0 ? copy_a.span() : unreadable, error_b == 0 ? copy_b.span() : unreadable, into);
  if (status.ok()) stale = stale_copy(error_b, copy_b.span(), into, decode_superblock);
  co_return status;
}

Task<FoundLabel> read_label(Device& image, std::uint64_t position) {
  FoundLabel result;
  if (const std::uint32_t unit = transfer_unit(image.traits()); unit > kLabelCopyLength) {
    result.found = Status::of(Code::BLOCK_TOO_LARGE, kNoImage, 0, unit);
    co_return result;
  }
  if (image.traits().size < position + kLabelAreaLength) {
    result.found = Status::of(Code::TRUNCATED_IMAGE, kNoImage, 0, image.traits().size);
    co_return result;
  }
  AlignedBuffer copy_a(kLabelCopyLength), copy_b(kLabelCopyLength);
  const int error_a = co_await image.read(position, copy_a.span());
  const int error_b = co_await image.read(position + kLabelCopyDistance, copy_b.span());
  if (error_a != 0 && error_b != 0) {
    result.found = Status::of(Code::READ_FAILED, kNoImage, error_a, position);
    co_return result;
  }
  const std::span<const std::byte> unreadable;
  result.found =
      choose_label(error_a == 0 ? copy_a.span() : unreadable, error_b == 0 ? copy_b.span() : unreadable, result.label);
  if (result.found.ok()) result.stale = stale_copy(error_b, copy_b.span(), result.label, decode_label);
  co_return result;
}

Task<RingReading> read_ring(Device& log, const Superblock& superblock) {
  const RingGeometry& ring = superblock.ring;
  RingReading reading;
  AlignedBuffer bytes = AlignedBuffer::try_make(ring.length());
  if (bytes.size() == 0) {
    reading.status = Status::of(Code::NO_MEMORY, kLogDevice, ENOMEM);
    co_return reading;
  }
  std::vector<bool> unreadable(ring.record_count, false);
  constexpr std::uint64_t kChunk = 1024 * 1024;
  for (std::uint64_t at = 0; at < ring.length(); at += kChunk) {
    const std::uint64_t length = std::min(kChunk, ring.length() - at);
    if (co_await log.read(ring.position + at, bytes.span().subspan(at, length)) == 0) continue;
    for (std::uint64_t record = at; record < at + length; record += ring.record_size) {
      const int error = co_await log.read(ring.position + record, bytes.span().subspan(record, ring.record_size));
      unreadable[record / ring.record_size] = error != 0;
    }
  }
  RingIdentity identity;
  identity.log_uuid = superblock.log_uuid;
  identity.record_size = ring.record_size;
  identity.record_count = ring.record_count;
  identity.in_flight_limit = ring.in_flight_limit;
  identity.opening = static_cast<std::uint32_t>(superblock.open_count);
  identity.first_sequence = superblock.first_sequence;
  reading.scan = scan_ring(identity, bytes.span(), unreadable);
  reading.highest_sequence = reading.scan.sequence;
  if (reading.scan.damaged) {
    for (std::uint32_t slot = 0; slot < ring.record_count; ++slot) {
      if (unreadable[slot]) continue;
      const Slot found = decode_slot(superblock.log_uuid,
                                     bytes.span().subspan(std::size_t{slot} * ring.record_size, ring.record_size));
      for (const SectorStamp& stamp : found.stamps)
        reading.highest_sequence = std::max(reading.highest_sequence, stamp.sequence);
    }
  }
  co_return reading;
}

}  // namespace blockmirror
