// Offsets and the reason for each rule: docs/FORMAT.md. The order of the calls below is the order on the disk.
#include "superblock.h"

#include <algorithm>
#include <bit>
#include <initializer_list>
#include <string_view>

#include "../base/bytes.h"
#include "../base/extent.h"
#include "../base/headroom.h"
#include "../base/mutation.h"
#include "block_seal.h"
#include "label.h"
#include "record.h"

namespace blockmirror {
namespace {

constexpr BlockSeal kSeal{"BLKMIRLG", Code::NOT_A_LOG, Code::LOG_DAMAGED, kLogDevice,
                          kSuperblockCopyB - kSuperblockCopyA};

constexpr std::size_t kHistoryOffset = 256;
constexpr std::size_t kOwnerOffset = 640;
constexpr std::size_t kRecoveryOffset = 736;
constexpr std::size_t kVerifyOffset = 784;
constexpr std::size_t kHeaderLength = 4096;
constexpr std::size_t kImageEntryLength = 1024;
constexpr std::size_t kImageNameOffset = 64;
constexpr std::size_t kImagePathOffset = 128;
constexpr std::uint64_t kMapAlignment = 4096;
constexpr std::int32_t kLargestErrno = 4095;  // of Linux (MAX_ERRNO)

static_assert(kHeaderLength + kMaxImages * kImageEntryLength == kSuperblockLength);
static_assert(kHistoryOffset + kGenerationHistory * 24 == kOwnerOffset);
static_assert(kImagePathOffset + kImagePathLength + 1 <= kImageEntryLength);
static_assert(kSuperblockCopyB + kSuperblockLength <= kHistoryPosition);
static_assert(kHistoryPosition + kHistoryLength <= kHeldLabelsPosition);
static_assert(kHeldLabelsPosition + kHeldLabelsLength <= kRingPosition);

void encode_image(const ImageRecord& image, std::span<std::byte> entry) {
  ByteWriter writer(entry);
  writer.uuid(image.uuid);
  writer.u8(static_cast<std::uint8_t>(image.role));
  writer.u8(static_cast<std::uint8_t>(image.state));
  writer.u8(static_cast<std::uint8_t>(image.path_kind));
  writer.zeroes_until(24);
  writer.u64(image.device_size);
  writer.u64(image.label_position);
  writer.u64(image.map_position);
  writer.u64(image.map_length);
  writer.u32(static_cast<std::uint32_t>(image.error));
  writer.zeroes_until(kImageNameOffset);
  writer.text(image.name, kImageNameLength + 1);
  writer.u64(image.changed_at_ms);
  writer.u64(image.bytes_differed);
  writer.zeroes_until(kImagePathOffset);
  writer.text(image.path, kImagePathLength + 1);
  writer.zeroes_until(entry.size());
}

const char* decode_image(std::span<const std::byte> entry, ImageRecord& into) {
  ByteReader reader(entry);
  into.uuid = reader.uuid();
  into.role = reader.choice(Role::slave);
  into.state = reader.choice(ImageState::failed);
  into.path_kind = reader.choice(PathKind::relative);
  reader.zeroes_until(24);
  into.device_size = reader.u64();
  into.label_position = reader.u64();
  into.map_position = reader.u64();
  into.map_length = reader.u64();
  into.error = static_cast<std::int32_t>(reader.u32());
  reader.zeroes_until(kImageNameOffset);
  into.name = reader.text(kImageNameLength + 1);
  into.changed_at_ms = reader.u64();
  into.bytes_differed = reader.u64();
  reader.zeroes_until(kImagePathOffset);
  into.path = reader.text(kImagePathLength + 1);
  reader.zeroes_until(entry.size());
  return reader.reason();
}

void encode_owner(const Owner& owner, ByteWriter& writer) {
  writer.uuid(owner.boot_id);
  writer.u32(owner.process);
  writer.u32(0);
  writer.u64(owner.started_at_ms);
  writer.text(owner.host, kHostNameLength + 1);
}

void decode_owner(ByteReader& reader, Owner& into) {
  into.boot_id = reader.uuid();
  into.process = reader.u32();
  if (reader.u32() != 0) reader.fail("a reserved byte is not zero");
  into.started_at_ms = reader.u64();
  into.host = reader.text(kHostNameLength + 1);
}

void encode_recovery(const RecoverySummary& summary, ByteWriter& writer) {
  writer.u64(summary.finished_at_ms);
  writer.u64(summary.live_intents);
  writer.u64(summary.bytes_covered);
  writer.u64(summary.bytes_copied);
  writer.u64(summary.duration_ms);
  writer.u8(summary.read_back ? 1 : 0);
  writer.u8(summary.full_compare ? 1 : 0);
}

void decode_recovery(ByteReader& reader, RecoverySummary& into) {
  into.finished_at_ms = reader.u64();
  into.live_intents = reader.u64();
  into.bytes_covered = reader.u64();
  into.bytes_copied = reader.u64();
  into.duration_ms = reader.u64();
  into.read_back = reader.flag();
  into.full_compare = reader.flag();
}

// Who the owner's process is beyond its number, and what the last verify found.
void encode_verify(const Superblock& superblock, ByteWriter& writer) {
  writer.u64(superblock.owner.process_started);
  writer.u64(superblock.owner.pid_namespace);
  writer.u64(superblock.last_verify.finished_at_ms);
  writer.u64(superblock.last_verify.bytes_compared);
  writer.u64(superblock.last_verify.bytes_differed);
}

void decode_verify(ByteReader& reader, Superblock& into) {
  into.owner.process_started = reader.u64();
  into.owner.pid_namespace = reader.u64();
  into.last_verify.finished_at_ms = reader.u64();
  into.last_verify.bytes_compared = reader.u64();
  into.last_verify.bytes_differed = reader.u64();
}

std::uint32_t decode_header(ByteReader& reader, Superblock& into) {
  decode_preamble(reader, into.compatible_features, into.incompatible_features, into.update);
  into.created_at_ms = reader.u64();
  into.mirror_uuid = reader.uuid();
  into.log_uuid = reader.uuid();
  into.size = reader.u64();
  into.block_size = reader.u32();
  into.physical_block_size = reader.u32();
  into.log_size = reader.u64();
  into.ring.position = reader.u64();
  into.ring.record_size = reader.u32();
  into.ring.record_count = reader.u32();
  into.ring.in_flight_limit = reader.u32();
  std::uint32_t image_count = reader.u32();
  into.generation = decode_generation(reader);
  into.open_count = reader.u64();
  into.incarnation = reader.uuid();
  into.previous_incarnation = reader.uuid();
  into.first_sequence = reader.u64();
  into.sealed_sequence = reader.u64();
  into.lifecycle = reader.choice(Lifecycle::sealed);
  reader.zeroes_until(kHistoryOffset);
  decode_generation_history(reader, into.history);
  decode_owner(reader, into.owner);
  decode_recovery(reader, into.last_recovery);
  reader.zeroes_until(kVerifyOffset);
  decode_verify(reader, into);
  reader.zeroes_until(kHeaderLength);
  return image_count;
}

bool is_block(std::uint32_t bytes, std::uint32_t smallest, std::uint32_t largest) {
  return std::has_single_bit(bytes) && bytes >= smallest && bytes <= largest;
}

// Inside [first, last) without any sum that could wrap.
bool lies_within(Extent extent, std::uint64_t first, std::uint64_t last) {
  return first <= last && extent.position >= first && extent.position <= last &&
         extent.length <= last - extent.position;
}

const char* judge_sizes(const Superblock& superblock) {
  if (!is_block(superblock.block_size, kSectorLength, kMaximumBlockSize) ||
      !is_block(superblock.physical_block_size, superblock.block_size, kMaximumPhysicalBlockSize)) {
    return "a block size is not valid";
  }
  const bool size =
      superblock.size > 0 && superblock.size < kPositionLimit && superblock.size % superblock.block_size == 0;
  return size ? nullptr : "the size of the mirror is not valid";
}

const char* judge_ring(const Superblock& superblock) {
  const RingGeometry& ring = superblock.ring;
  const bool records = is_block(ring.record_size, kMinimumRecordSize, kMaximumRecordSize) &&
                       ring.record_count >= kMinimumRecordCount && ring.length() <= kMaximumRingLength;
  if (!records) return "the count or the size of the ring's records is not valid";
  if (ring.in_flight_limit < 1 || ring.in_flight_limit > ring.record_count / 2) {
    return "the records in flight are too many or none";
  }
  const bool fits = ring.position % ring.record_size == 0 && superblock.log_size < kPositionLimit &&
                    superblock.log_size >= log_length(ring.record_count, ring.record_size) &&
                    lies_within({ring.position, ring.length()}, kRingPosition, superblock.log_size);
  return fits ? nullptr : "the ring does not lie inside of the log";
}

const char* judge_opening(const Superblock& superblock, Bound bound) {
  if (superblock.open_count == 0) {
    return superblock.lifecycle == Lifecycle::creating ? nullptr : "a mirror in use that was never opened";
  }
  if (!kOpenings.allows(superblock.open_count, bound)) return "the open count is used up";
  if (superblock.incarnation.is_zero()) return "an opening without an incarnation";
  if (!kSequences.allows(superblock.first_sequence, bound)) {
    return "the first sequence is beyond what a mirror can reach";
  }
  if (!kSequences.allows(superblock.sealed_sequence, bound)) {
    return "the sealed sequence is beyond what a mirror can reach";
  }
  if (superblock.first_sequence < superblock.ring.record_count) return "the first sequence is one of formatting";
  const bool sealed_early =
      superblock.lifecycle == Lifecycle::sealed && superblock.sealed_sequence + 1 < superblock.first_sequence;
  return sealed_early ? "sealed before its first record" : nullptr;
}

bool is_date(std::uint64_t ms) { return ms <= kLatestDate; }

bool is_count(std::initializer_list<std::uint64_t> counts) {
  return std::all_of(counts.begin(), counts.end(), [](std::uint64_t count) { return count <= kLargestCount; });
}

// What is there to be shown, and to find the last owner by.
const char* judge_history(const Superblock& superblock) {
  const Owner& owner = superblock.owner;
  const RecoverySummary& recovery = superblock.last_recovery;
  const VerifySummary& verify = superblock.last_verify;
  if (!is_date(superblock.created_at_ms)) return "the date of the create is not valid";
  if (!is_date(owner.started_at_ms)) return "the date of the opening is not valid";
  if (!is_date(recovery.finished_at_ms)) return "the date of the last recovery is not valid";
  if (!is_date(verify.finished_at_ms)) return "the date of the last verify is not valid";
  if (!is_host(owner.host)) return "the host of the owner is no name";
  if (owner.process > kLargestProcess || !is_count({owner.process_started, owner.pid_namespace})) {
    return "the process of the owner is not valid";
  }
  if (!is_count({recovery.live_intents, recovery.bytes_covered, recovery.bytes_copied, recovery.duration_ms})) {
    return "the last recovery counted more than there is";
  }
  return is_count({verify.bytes_compared, verify.bytes_differed}) ? nullptr
                                                                  : "the last verify counted more than there is";
}

bool component_is_valid(std::string_view component) {
  return !component.empty() && component != "." && component != "..";
}

const char* judge_image(const Superblock& superblock, unsigned index) {
  const ImageRecord& image = superblock.images[index];
  if (image.uuid.is_zero()) return "an image without a UUID";
  if ((image.role == Role::master) != (index == 0)) return "the role of an image is not that of its place";
  if (image.error < 0 || image.error > kLargestErrno) return "the error of an image is not valid";
  if (!is_date(image.changed_at_ms)) return "the date of an image's state is not valid";
  if (!is_count({image.bytes_differed})) return "an image differs by more than there is";
  if (!is_image_name(image.name)) return "the name of an image is not valid";
  if (!path_is_valid(image.path, image.path_kind)) return "the path of an image is not valid";
  // The label of no image is anywhere but at its end: a log that says otherwise would have us write into what it names.
  if (image.device_size >= kPositionLimit || image.label_position != label_position(image.device_size) ||
      !lies_within({image.label_position, kLabelAreaLength}, superblock.size, image.device_size)) {
    return "the label of an image does not lie behind the mirror";
  }
  if (image.map_length == 0) return image.map_position == 0 ? nullptr : "a fracture map without a length";
  const std::uint64_t after_ring = superblock.ring.position + superblock.ring.length();
  const bool map = image.map_position % kMapAlignment == 0 && image.map_length % kMapAlignment == 0 &&
                   lies_within({image.map_position, image.map_length}, after_ring, superblock.log_size);
  return map ? nullptr : "a fracture map does not lie behind the ring";
}

// A failed slave keeps the path that it had: another image may have it since.
bool paths_differ(const ImageRecord& one, const ImageRecord& other) {
  const bool left_out = one.state == ImageState::failed || other.state == ImageState::failed;
  return left_out || one.path != other.path || one.path_kind != other.path_kind;
}

const char* judge_pair(const ImageRecord& one, const ImageRecord& other) {
  const Extent map{one.map_position, one.map_length}, other_map{other.map_position, other.map_length};
  if (one.uuid == other.uuid) return "two images have one UUID";
  if (one.name == other.name) return "two images have one name";
  if (!paths_differ(one, other)) return "two images have one path";
  return map.overlaps(other_map) ? "two fracture maps overlap" : nullptr;
}

const char* judge_images(const Superblock& superblock) {
  if (superblock.images.size() < 2 || superblock.images.size() > kMaxImages) return "too many images, or too few";
  for (unsigned i = 0; i < superblock.images.size(); ++i) {
    if (const char* reason = judge_image(superblock, i)) return reason;
    for (unsigned j = 0; j < i; ++j) {
      if (const char* reason = judge_pair(superblock.images[i], superblock.images[j])) return reason;
    }
  }
  return nullptr;
}

// What contradicts, in plain words; null when nothing does. Asked before encoding (asserted) and after decoding
// (answered): we never write what we would not read, but for numbers that a life adds to (headroom.h).
const char* judge(const Superblock& superblock, Bound bound) {
  if ((superblock.incompatible_features & ~kKnownIncompatibleFeatures) != 0) return "a feature that is not known";
  if (!kUpdates.allows(superblock.update, bound) && !mutated(Mutation::used_up_number_accepted)) {
    return "the update number is beyond what a mirror can reach";
  }
  if (superblock.mirror_uuid.is_zero() || superblock.log_uuid.is_zero()) return "a mirror without a UUID";
  if (const char* reason = judge_sizes(superblock)) return reason;
  if (const char* reason = judge_ring(superblock)) return reason;
  if (const char* reason = judge_generation(superblock.generation, superblock.history, bound)) return reason;
  if (const char* reason = judge_opening(superblock, bound)) return reason;
  if (const char* reason = judge_history(superblock)) return reason;
  return judge_images(superblock);
}

}  // namespace

// What a log names lies where its text says, and no text leads out of the folder that it starts from.
bool path_is_valid(const std::string& path, PathKind kind) {
  if (path.empty() || path.size() > kImagePathLength || path.find('\0') != std::string::npos) return false;
  if ((path.front() == '/') != (kind == PathKind::absolute)) return false;
  std::string_view rest = path;
  if (kind == PathKind::absolute) rest.remove_prefix(1);
  for (std::size_t slash = rest.find('/'); slash != std::string_view::npos; slash = rest.find('/')) {
    if (!component_is_valid(rest.substr(0, slash))) return false;
    rest.remove_prefix(slash + 1);
  }
  return component_is_valid(rest);
}

void encode_superblock(const Superblock& superblock, std::span<std::byte> into) {
  BLOCKMIRROR_ASSERT(into.size() == kSuperblockLength, "a superblock copy has one length");
  BLOCKMIRROR_ASSERT(judge(superblock, Bound::written) == nullptr,
                     "a superblock that no reader would accept must not be written");
  ByteWriter writer(into);
  encode_preamble(kSeal, superblock.compatible_features, superblock.incompatible_features, superblock.update, writer);
  writer.u64(superblock.created_at_ms);
  writer.uuid(superblock.mirror_uuid);
  writer.uuid(superblock.log_uuid);
  writer.u64(superblock.size);
  writer.u32(superblock.block_size);
  writer.u32(superblock.physical_block_size);
  writer.u64(superblock.log_size);
  writer.u64(superblock.ring.position);
  writer.u32(superblock.ring.record_size);
  writer.u32(superblock.ring.record_count);
  writer.u32(superblock.ring.in_flight_limit);
  writer.u32(static_cast<std::uint32_t>(superblock.images.size()));
  encode_generation(superblock.generation, writer);
  writer.u64(superblock.open_count);
  writer.uuid(superblock.incarnation);
  writer.uuid(superblock.previous_incarnation);
  writer.u64(superblock.first_sequence);
  writer.u64(superblock.sealed_sequence);
  writer.u8(static_cast<std::uint8_t>(superblock.lifecycle));
  writer.zeroes_until(kHistoryOffset);
  encode_generation_history(superblock.history, writer);
  encode_owner(superblock.owner, writer);
  BLOCKMIRROR_ASSERT(writer.position() == kRecoveryOffset, "the owner ends where the last recovery starts");
  encode_recovery(superblock.last_recovery, writer);
  writer.zeroes_until(kVerifyOffset);
  encode_verify(superblock, writer);
  writer.zeroes_until(into.size());
  for (std::size_t i = 0; i < superblock.images.size(); ++i) {
    encode_image(superblock.images[i], into.subspan(kHeaderLength + i * kImageEntryLength, kImageEntryLength));
  }
  seal_block(into);
}

Outcome decode_superblock(std::span<const std::byte> copy, Superblock& into) {
  const auto damaged = [](const char* reason) { return Outcome::damaged(Code::LOG_DAMAGED, kLogDevice, reason); };
  if (copy.size() != kSuperblockLength) return damaged("a copy of another length");
  if (const Outcome outcome = check_block(kSeal, copy); !outcome.ok()) return outcome;
  Superblock found;
  ByteReader reader(copy);
  const std::uint32_t image_count = decode_header(reader, found);
  if (!reader.ok()) return damaged(reader.reason());
  if (image_count > kMaxImages) return damaged("too many images, or too few");
  found.images.resize(image_count);
  for (std::size_t i = 0; i < kMaxImages; ++i) {
    std::span<const std::byte> entry = copy.subspan(kHeaderLength + i * kImageEntryLength, kImageEntryLength);
    if (i >= image_count) {
      if (!ByteReader::all_zero(entry)) return damaged("a reserved byte is not zero");
    } else if (const char* reason = decode_image(entry, found.images[i])) {
      return damaged(reason);
    }
  }
  if (const char* reason = judge(found, Bound::read)) return damaged(reason);
  into = std::move(found);
  return Outcome::success();
}

// A create takes a log over by writing copy A, then copy B. Cut off between them, the log is the new mirror's.
bool is_taken_over(std::span<const std::byte> copy_a, std::span<const std::byte> copy_b, Superblock& into) {
  Superblock taken, former;
  if (!decode_superblock(copy_a, taken).ok() || !decode_superblock(copy_b, former).ok()) return false;
  if (taken.log_uuid == former.log_uuid || taken.lifecycle != Lifecycle::creating) return false;
  into = std::move(taken);
  return true;
}

Outcome choose_superblock(std::span<const std::byte> copy_a, std::span<const std::byte> copy_b, Superblock& into) {
  if (is_taken_over(copy_a, copy_b, into)) return Outcome::success();
  return choose_copy(kSeal, copy_a, copy_b, into, decode_superblock);
}

std::uint64_t log_length(std::uint32_t record_count, std::uint32_t record_size) {
  return map_position(record_count, record_size, kMaxImages);
}

std::uint64_t map_position(std::uint32_t record_count, std::uint32_t record_size, unsigned index) {
  BLOCKMIRROR_ASSERT(index >= 1, "the master has no fracture map");
  std::uint64_t ring_end = kRingPosition + std::uint64_t{record_count} * record_size;
  return (ring_end + kMapLength - 1) / kMapLength * kMapLength + (index - 1) * kMapLength;
}

}  // namespace blockmirror
