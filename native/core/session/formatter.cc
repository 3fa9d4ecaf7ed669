#include "formatter.h"

#include <algorithm>
#include <cerrno>

#include "../base/aligned_buffer.h"
#include "../base/headroom.h"
#include "../base/mutation.h"
#include "../format/fracture_map.h"
#include "../format/label.h"
#include "../format/record.h"
#include "policy_change.h"

namespace blockmirror {
namespace {

constexpr std::uint64_t kFormatChunk = 1024 * 1024;  // bytes written at once

Outcome no_memory(ImageIndex device) { return Outcome::of(Code::NO_MEMORY, device, ENOMEM); }

Task<Outcome> write_blank_ring(Device& log, const Superblock& superblock) {
  const RingGeometry& ring = superblock.ring;
  AlignedBuffer chunk = AlignedBuffer::try_make(kFormatChunk);
  if (chunk.size() == 0) co_return no_memory(kLogDevice);
  const std::uint32_t per_chunk = static_cast<std::uint32_t>(kFormatChunk / ring.record_size);
  for (std::uint32_t slot = 0; slot < ring.record_count; slot += per_chunk) {
    const std::uint32_t count = std::min(per_chunk, ring.record_count - slot);
    for (std::uint32_t i = 0; i < count; ++i) {
      auto bytes = chunk.span().subspan(std::size_t{i} * ring.record_size, ring.record_size);
      encode_blank_record(superblock.log_uuid, slot + i, ring.record_count, bytes);
    }
    const std::uint64_t position = ring.position + std::uint64_t{slot} * ring.record_size;
    const int error = co_await log.write(position, chunk.first(std::size_t{count} * ring.record_size));
    if (error != 0) co_return Outcome::of(Code::WRITE_FAILED, kLogDevice, error, position);
  }
  co_return Outcome::success();
}

// The bytes of the log from `position` on, behind the ring: whole sectors of no map where the maps are, else zeroes.
void fill_behind_ring(const Superblock& superblock, std::uint64_t position, std::span<std::byte> into) {
  std::fill(into.begin(), into.end(), std::byte{0});
  const std::uint64_t sectors = superblock.map_shape().sectors();
  for (std::size_t at = 0; at < into.size(); at += kMapSectorLength) {
    if (position + at < superblock.maps.position) continue;
    const std::uint64_t in_maps = position + at - superblock.maps.position;
    const auto image = static_cast<unsigned>(in_maps / superblock.maps.slot_length);
    const std::uint64_t in_slot = in_maps % superblock.maps.slot_length;
    if (image >= superblock.max_images || in_slot < kMapHeaderArea) continue;
    const std::uint64_t sector = (in_slot - kMapHeaderArea) / kMapSectorLength;
    if (sector >= sectors) continue;
    encode_blank_map_sector(superblock.log_uuid, image, sector, into.subspan(at, kMapSectorLength));
  }
}

Task<Outcome> write_blank_maps(Device& log, const Superblock& superblock) {
  AlignedBuffer chunk = AlignedBuffer::try_make(kFormatChunk);
  if (chunk.size() == 0) co_return no_memory(kLogDevice);
  std::uint64_t position = superblock.ring.position + superblock.ring.length();
  while (position < superblock.log_size) {
    const std::uint64_t length = std::min(kFormatChunk, superblock.log_size - position);
    const std::span<std::byte> bytes = chunk.first(length);
    fill_behind_ring(superblock, position, bytes);
    const int error = co_await log.write(position, bytes);
    if (error != 0) co_return Outcome::of(Code::WRITE_FAILED, kLogDevice, error, position);
    position += length;
  }
  co_return Outcome::success();
}

Task<Outcome> flush_log(Device& log) {
  const int error = co_await log.flush();
  co_return error == 0 ? Outcome::success() : Outcome::of(Code::WRITE_FAILED, kLogDevice, error);
}

// What an image held there before is nobody's any more. The places of the two copies are left to write_labels: until a
// new label stands there the old one, if there is any, says what the image was.
Task<Outcome> blank_label_areas(Membership& membership, const Superblock& superblock) {
  const ImageSet receiving = membership.receiving();
  for (unsigned i = 0; i < membership.images().size(); ++i) {
    if ((receiving & image_bit(i)) == 0) continue;
    const std::uint64_t before = mutated(Mutation::create_over_data) ? 2 * kLabelCopyLength : 0;
    const std::uint64_t copy_a = superblock.images[i].label_position - before;
    const std::uint64_t copy_b = copy_a + kLabelCopyDistance;
    for (const std::uint64_t copy : {copy_a, copy_b}) {
      const Extent rest{copy + kLabelCopyLength, kLabelCopyDistance - kLabelCopyLength};
      const Outcome outcome = co_await write_zeroes(*membership.images()[i], static_cast<ImageIndex>(i), rest);
      if (outcome.ok()) continue;
      if (i == membership.master()) {
        co_return membership.of_master(Code::MASTER_FAILED, outcome.system_error, outcome.position);
      }
      membership.fail(i, outcome.system_error, FractureCause::write_error);
      break;
    }
  }
  co_return Outcome::success();
}

// I8: a slave that is about to be overwritten says so from the plan on.
void begin_first_copy(Runtime& runtime, const Superblock& superblock, ImageRecord& image) {
  const std::uint64_t now = storable_date(superblock.created_at_ms);
  image.state = ImageState::synchronizing;
  image.debt = DebtKind::everything;
  image.fracture.cause = FractureCause::added;
  image.fracture.at_ms = now;
  image.fracture.generation = {superblock.generation.counter, superblock.generation.id};
  image.fracture.open_count = superblock.open_count;
  image.fracture.incarnation = superblock.incarnation;
  runtime.random(image.resync.id.bytes);
  image.resync.kind = ResyncKind::full_copy;
  image.resync.began_at_ms = now;
}

std::uint64_t largest_size(std::span<Device* const> images) {
  std::uint64_t size = ~0ull;
  for (const Device* image : images) size = std::min(size, label_position(image->traits().size));
  return size;
}

}  // namespace

Task<Outcome> write_zeroes(Device& device, ImageIndex image, Extent extent) {
  AlignedBuffer zeroes = AlignedBuffer::try_make(kFormatChunk);
  if (zeroes.size() == 0) co_return no_memory(image);
  for (std::uint64_t at = extent.position; at < extent.end(); at += kFormatChunk) {
    const std::uint64_t length = std::min(kFormatChunk, extent.end() - at);
    const int error = co_await device.write(at, zeroes.first(length));
    if (error != 0) co_return Outcome::of(Code::WRITE_FAILED, image, error, at);
  }
  co_return Outcome::success();
}

Outcome plan_superblock(Runtime& runtime, const FormatOptions& options, const Device& log,
                        std::span<Device* const> images, Superblock& into) {
  into = Superblock{};
  runtime.random(into.mirror_uuid.bytes);
  runtime.random(into.log_uuid.bytes);
  runtime.random(into.generation.id.bytes);
  runtime.random(into.incarnation.bytes);
  into.generation.counter = 1;
  into.open_count = 1;
  into.lifecycle = Lifecycle::creating;
  into.created_at_ms = runtime.wall_clock_ms();

  into.block_size = 512;
  into.physical_block_size = 512;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const DeviceTraits& traits = images[i]->traits();
    into.block_size = std::max(into.block_size, transfer_unit(traits));
    into.physical_block_size = std::max({into.physical_block_size, into.block_size, traits.physical_block_size});
    if (into.block_size > kLabelCopyLength || into.physical_block_size > kMaximumPhysicalBlockSize) {
      const std::uint32_t block = std::max(into.block_size, into.physical_block_size);
      return Outcome::of(Code::BLOCK_TOO_LARGE, static_cast<ImageIndex>(i), 0, block);
    }
  }
  const std::uint64_t largest = largest_size(images) / into.block_size * into.block_size;
  into.size = options.size == 0 ? largest : options.size;
  if (into.size == 0 || into.size > largest) {
    const auto smallest = std::min_element(images.begin(), images.end(), [](const Device* a, const Device* b) {
      return a->traits().size < b->traits().size;
    });
    return Outcome::of(Code::TOO_SMALL, static_cast<ImageIndex>(smallest - images.begin()), 0, largest);
  }
  if (into.size % into.block_size != 0) return Outcome::of(Code::MISALIGNED, kNoImage, 0, into.block_size);

  const DeviceTraits& log_traits = log.traits();
  const std::uint32_t log_block = transfer_unit(log_traits);
  if (log_block > kMinimumRecordSize || log_traits.physical_block_size > kMaximumRecordSize) {
    return Outcome::of(Code::BLOCK_TOO_LARGE, kLogDevice, 0, std::max(log_block, log_traits.physical_block_size));
  }
  into.ring.position = kRingPosition;
  into.ring.record_size = std::max(kMinimumRecordSize, log_traits.physical_block_size);
  const std::uint64_t most = kMaximumRingLength / into.ring.record_size;
  if (options.ring_records < kMinimumRingRecords || options.ring_records > most) {
    return Outcome::of(Code::OUT_OF_RANGE, kLogDevice, 0, options.ring_records);
  }
  into.ring.record_count = options.ring_records;
  into.ring.in_flight_limit = std::min(kRecordsInFlight, options.ring_records / 4);
  const unsigned least = std::max(kDefaultMapSlots, static_cast<unsigned>(images.size()));
  into.max_images = static_cast<std::uint8_t>(options.max_images == 0 ? least : options.max_images);
  if (into.max_images < std::max<std::size_t>(kMinimumMapSlots, images.size()) || options.max_images > kMaxImages) {
    return Outcome::of(Code::OUT_OF_RANGE, kLogDevice, 0, options.max_images);
  }
  if (const Outcome refused = judge_change(options.policies, images.size()); !refused.ok()) return refused;
  apply_change(options.policies, into.policies);
  into.maps = planned_maps(into.ring.position + into.ring.length(), into.size);
  into.log_size = log_length(into.ring.record_count, into.ring.record_size, into.size, into.max_images);
  if (into.log_size > log_traits.size) return Outcome::of(Code::TOO_SMALL, kLogDevice, 0, into.log_size);
  into.first_sequence = into.ring.record_count;

  for (unsigned i = 0; i < images.size(); ++i) {
    ImageRecord image;
    runtime.random(image.uuid.bytes);
    if (i == into.master) {
      image.state = ImageState::in_sync;
    } else {
      begin_first_copy(runtime, into, image);
    }
    image.name = options.images[i].name;
    image.path = options.images[i].path;
    image.path_kind = options.images[i].path_kind;
    image.device_size = images[i]->traits().size;
    image.label_position = label_position(image.device_size);
    into.images.push_back(std::move(image));
  }
  return Outcome::success();
}

Task<Outcome> write_formatted(Membership& membership, Superblock& superblock) {
  Device& log = membership.log();
  const Extent between_superblocks{kSuperblockCopyA + kSuperblockLength,
                                   kSuperblockCopyB - kSuperblockCopyA - kSuperblockLength};
  const std::uint64_t behind_superblocks = kSuperblockCopyB + kSuperblockLength;
  const Extent before_ring{behind_superblocks, superblock.ring.position - behind_superblocks};
  // History and reserved areas too, so that no block of the log is ever a hole.
  Outcome outcome = co_await write_zeroes(log, kLogDevice, between_superblocks);
  if (outcome.ok()) outcome = co_await write_zeroes(log, kLogDevice, before_ring);
  if (outcome.ok() && !mutated(Mutation::create_keeps_ring)) outcome = co_await write_blank_ring(log, superblock);
  if (outcome.ok()) outcome = co_await write_blank_maps(log, superblock);
  if (outcome.ok() && !mutated(Mutation::log_not_flushed_by_create)) outcome = co_await flush_log(log);
  if (outcome.ok()) outcome = co_await blank_label_areas(membership, superblock);
  if (outcome.ok()) outcome = co_await membership.write_labels(membership.receiving(), false);
  co_return outcome;
}

Task<Outcome> rewrite_ring(Device& log, const Superblock& superblock) {
  const RingGeometry& ring = superblock.ring;
  AlignedBuffer chunk = AlignedBuffer::try_make(kFormatChunk);
  if (chunk.size() == 0) co_return no_memory(kLogDevice);
  const std::uint64_t last = superblock.first_sequence + ring.record_count - 1;
  for (std::uint64_t begin = superblock.first_sequence; begin <= last;) {
    // The last record goes alone: only with all others durable before it may it say so, and only then is the ring whole.
    const std::uint64_t end = begin == last ? begin + 1 : std::min(begin + kFormatChunk / ring.record_size, last);
    for (std::uint64_t sequence = begin; sequence < end; ++sequence) {
      RecordHeader header;
      header.sequence = sequence;
      header.opening = static_cast<std::uint32_t>(superblock.open_count);
      header.generation = superblock.generation.counter;
      header.durable_through = begin - 1;
      header.tail = sequence;
      const std::size_t offset = static_cast<std::size_t>(sequence - begin) * ring.record_size;
      encode_record(superblock.log_uuid, header, {}, chunk.span().subspan(offset, ring.record_size));
    }
    // first_sequence is a multiple of the record count: no chunk wraps.
    const std::uint64_t position = ring.position + begin % ring.record_count * ring.record_size;
    const int error = co_await log.write(position, chunk.first((end - begin) * ring.record_size), true);
    if (error != 0) co_return Outcome::of(Code::LOG_FAILED, kLogDevice, error, position);
    begin = end;
  }
  co_return Outcome::success();
}

}  // namespace blockmirror
