#include "log_reader.h"

#include <algorithm>
#include <cerrno>

#include "../base/aligned_buffer.h"

namespace blockmirror {
namespace {

// A, unless only A is as new as what was chosen.
template <typename Block>
unsigned stale_copy(int error_b, std::span<const std::byte> copy_b, const Block& chosen,
                    Outcome (*decode)(std::span<const std::byte>, Block&)) {
  Block b;
  return error_b == 0 && decode(copy_b, b).ok() && b.update == chosen.update ? 0 : 1;
}

}  // namespace

Task<Outcome> read_superblock(Device& log, Superblock& into, unsigned& stale) {
  if (log.traits().size < kSuperblockCopyB + kSuperblockLength) co_return Outcome::of(Code::NOT_A_LOG, kLogDevice);
  if (const std::uint32_t unit = transfer_unit(log.traits()); unit > kMinimumRecordSize) {
    co_return Outcome::of(Code::BLOCK_TOO_LARGE, kLogDevice, 0, unit);
  }
  AlignedBuffer copy_a = AlignedBuffer::try_make(kSuperblockLength);
  AlignedBuffer copy_b = AlignedBuffer::try_make(kSuperblockLength);
  if (copy_a.size() == 0 || copy_b.size() == 0) co_return Outcome::of(Code::NO_MEMORY, kLogDevice, ENOMEM);
  const int error_a = co_await log.read(kSuperblockCopyA, copy_a.span());
  const int error_b = co_await log.read(kSuperblockCopyB, copy_b.span());
  if (error_a != 0 && error_b != 0) co_return Outcome::of(Code::READ_FAILED, kLogDevice, error_a);
  const std::span<const std::byte> unreadable;
  const Outcome outcome =
      choose_superblock(error_a == 0 ? copy_a.span() : unreadable, error_b == 0 ? copy_b.span() : unreadable, into);
  if (outcome.ok()) stale = stale_copy(error_b, copy_b.span(), into, decode_superblock);
  co_return outcome;
}

Task<FoundLabel> read_label(Device& image, std::uint64_t position) {
  FoundLabel result;
  if (const std::uint32_t unit = transfer_unit(image.traits()); unit > kLabelCopyLength) {
    result.found = Outcome::of(Code::BLOCK_TOO_LARGE, kNoImage, 0, unit);
    co_return result;
  }
  if (image.traits().size < position + kLabelAreaLength) {
    result.found = Outcome::of(Code::TRUNCATED_IMAGE, kNoImage, 0, image.traits().size);
    co_return result;
  }
  AlignedBuffer copy_a = AlignedBuffer::try_make(kLabelCopyLength);
  AlignedBuffer copy_b = AlignedBuffer::try_make(kLabelCopyLength);
  if (copy_a.size() == 0 || copy_b.size() == 0) {
    result.found = Outcome::of(Code::NO_MEMORY, kNoImage, ENOMEM);
    co_return result;
  }
  const int error_a = co_await image.read(position, copy_a.span());
  const int error_b = co_await image.read(position + kLabelCopyDistance, copy_b.span());
  if (error_a != 0 && error_b != 0) {
    result.found = Outcome::of(Code::READ_FAILED, kNoImage, error_a, position);
    co_return result;
  }
  const std::span<const std::byte> unreadable;
  result.found =
      choose_label(error_a == 0 ? copy_a.span() : unreadable, error_b == 0 ? copy_b.span() : unreadable, result.label);
  if (result.found.ok()) result.stale = stale_copy(error_b, copy_b.span(), result.label, decode_label);
  co_return result;
}

RingReader::RingReader(Device& log, const Superblock& superblock)
    : log_(log),
      ring_(superblock.ring),
      identity_(ring_identity_of(superblock)),
      mirror_size_(superblock.size),
      slots_in_buffer_(static_cast<std::uint32_t>(std::min(kRingBuffer, ring_.length()) / ring_.record_size)),
      gatherer_(superblock.size, superblock.block_size) {}

std::span<std::byte> RingReader::bytes_of(std::uint32_t slot) {
  return buffer_->span().subspan(std::size_t{slot - chunk_.first} * ring_.record_size, ring_.record_size);
}

// The part of the ring around the slot into the buffer; record by record where it cannot be read as one.
Task<void> RingReader::load(std::uint32_t slot) {
  constexpr std::uint64_t kRequest = 1024 * 1024;
  chunk_.first = slot / slots_in_buffer_ * slots_in_buffer_;
  chunk_.count = std::min(slots_in_buffer_, ring_.record_count - chunk_.first);
  unreadable_.assign(chunk_.count, false);
  const std::uint64_t position = ring_.position + std::uint64_t{chunk_.first} * ring_.record_size;
  const std::uint64_t length = std::uint64_t{chunk_.count} * ring_.record_size;
  for (std::uint64_t at = 0; at < length; at += kRequest) {
    const std::span<std::byte> part = buffer_->span().subspan(at, std::min(kRequest, length - at));
    if (co_await log_.read(position + at, part) == 0) continue;
    for (std::uint64_t record = at; record < at + part.size(); record += ring_.record_size) {
      const int error = co_await log_.read(position + record, buffer_->span().subspan(record, ring_.record_size));
      unreadable_[record / ring_.record_size] = error != 0;
    }
  }
  bytes_read_ += length;
}

void RingReader::look_at_chunk() {
  for (std::uint32_t slot = chunk_.first; slot < chunk_.first + chunk_.count; ++slot) {
    if (unreadable_[slot - chunk_.first]) {
      scanner_.note_unreadable(slot);
    } else {
      scanner_.look_at(slot, bytes_of(slot));
    }
  }
}

bool RingReader::take(std::uint32_t slot) {
  if (unreadable_[slot - chunk_.first]) {
    scanner_.note_lost(slot);
    return true;
  }
  scanner_.take_live(slot, bytes_of(slot), intents_);
  bool room = true;
  for (const Intent& intent : intents_) {
    for_each_covered(intent, [&](const Extent& extent) {
      const Extent clipped = extent.clipped(mirror_size_);
      if (clipped.empty()) return;
      ++live_intent_count_;
      if (live_intents_.size() < kReportedIntents) live_intents_.push_back({scanner_.sequence_of(slot), clipped});
      room = room && gatherer_.add(clipped);
    });
  }
  return room;
}

Task<Outcome> RingReader::read_on(std::uint64_t bytes) {
  const Outcome no_memory = Outcome::of(Code::NO_MEMORY, kLogDevice, ENOMEM);
  if (done_) co_return Outcome::success();
  if (!begun_) {
    buffer_.emplace(std::size_t{slots_in_buffer_} * ring_.record_size);
    if (buffer_->empty() || !scanner_.begin(identity_)) co_return no_memory;
    begun_ = true;
  }
  const std::uint64_t until = bytes_read_ + bytes;
  while (next_slot_ < ring_.record_count && bytes_read_ < until) {
    co_await load(next_slot_);
    look_at_chunk();
    next_slot_ += chunk_.count;
    if (next_slot_ == ring_.record_count) scanner_.judge();
  }
  while (next_slot_ == ring_.record_count && next_rank_ < ring_.record_count) {
    const std::uint32_t slot = scanner_.slot_of_rank(next_rank_);
    if (scanner_.is_live(slot)) {
      if (!chunk_.holds(slot)) {
        if (bytes_read_ >= until) co_return Outcome::success();
        co_await load(slot);
      }
      if (!take(slot)) co_return no_memory;
    }
    ++next_rank_;
  }
  if (next_slot_ < ring_.record_count) co_return Outcome::success();
  done_ = gatherer_.finish(covered_);
  buffer_.reset();
  co_return done_ ? Outcome::success() : no_memory;
}

}  // namespace blockmirror
