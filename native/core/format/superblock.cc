// Offsets and the reason for each rule: docs/FORMAT.md. The order of the fields below is the order on the disk.
#include "superblock.h"

#include <algorithm>
#include <bit>
#include <initializer_list>

#include "../base/bytes.h"
#include "../base/extent.h"
#include "../base/headroom.h"
#include "../base/mutation.h"
#include "block_seal.h"
#include "fields.h"
#include "judge_image.h"
#include "record.h"

namespace blockmirror {
namespace {

constexpr CoveredLength kOtherLengths[] = {{1, 20480}};
constexpr BlockSeal kSeal{
    "BLKMIRLG", Code::NOT_A_LOG, Code::LOG_DAMAGED, kLogDevice, kSuperblockCopyB - kSuperblockCopyA, kOtherLengths};

constexpr std::size_t kMapsOffset = 232;
constexpr std::size_t kPoliciesOffset = 264;
constexpr std::size_t kOwnerOffset = 320;
constexpr std::size_t kRecoveryOffset = 432;
constexpr std::size_t kHistoryOffset = 512;
constexpr std::size_t kLogsOffset = 2048;
constexpr std::size_t kLogReferenceLength = 800;
constexpr std::size_t kFractureOffset = 96;
constexpr std::size_t kImagePathOffset = 512;
constexpr std::uint64_t kMapSlotStep = 4096;
constexpr Uuid kNoUuid;

static_assert(kHistoryOffset + kGenerationHistory * 24 == kLogsOffset);
static_assert(kLogsOffset + 3 * kLogReferenceLength + 1024 <= kSuperblockHeaderLength);
static_assert(kImagePathOffset + kImagePathLength + 1 + 256 <= kImageEntryLength);

// --- the fields, in the order of the disk

template <typename Fields, typename Record>
void fracture_fields(Fields& fields, Record& fracture) {
  fields.choice(fracture.cause, FractureCause::differs);
  fields.zeroes_until(kFractureOffset + 8);
  fields.number(fracture.at_ms);
  fields.number(fracture.generation.counter);
  fields.uuid(fracture.generation.id);
  fields.number(fracture.open_count);
  fields.uuid(fracture.incarnation);
  fields.number(fracture.tail);
}

template <typename Fields, typename Image>
void image_flags(Fields& fields, Image& image) {
  std::uint8_t flags = static_cast<std::uint8_t>((image.held_label ? 1 : 0) | (image.volatile_allowed ? 2 : 0));
  fields.number(flags);
  if constexpr (!std::is_const_v<Image>) {
    if (flags > 3) fields.bytes().fail("a field holds a value that is not known");
    image.held_label = (flags & 1) != 0;
    image.volatile_allowed = (flags & 2) != 0;
  }
}

template <typename Fields, typename Image>
void image_fields(Fields& fields, Image& image) {
  fields.uuid(image.uuid);
  fields.choice(image.state, ImageState::failed);
  fields.choice(image.path_kind, PathKind::uri);
  image_flags(fields, image);
  fields.choice(image.debt, DebtKind::everything);
  fields.zeroes_until(24);
  fields.number(image.device_size);
  fields.number(image.label_position);
  fields.text(image.name, kImageNameLength + 1);
  fields.number(image.changed_at_ms);
  fields.number(image.bytes_differed);
  fields.error(image.error);
  fields.zeroes_until(kFractureOffset);
  fracture_fields(fields, image.fracture);
  fields.uuid(image.map_id);
  fields.uuid(image.fracture.barrier);
  fields.uuid(image.resync.id);
  fields.choice(image.resync.kind, ResyncKind::debt_of_assumed);
  fields.zeroes_until(224);
  fields.number(image.resync.cursor);
  fields.number(image.resync.began_at_ms);
  fields.number(image.suspect_until_ms);
  fields.number(image.told.update);
  fields.uuid(image.told.incarnation);
  fields.number(image.telling.update);
  fields.uuid(image.telling.incarnation);
  fields.number(image.window_bytes);
  fields.number(image.rate);
  fields.uuid(image.partition_uuid);
  fields.text(image.serial, kSerialLength + 1);
  fields.zeroes_until(kImagePathOffset);
  fields.text(image.path, kImagePathLength + 1);
  fields.zeroes_until(kImageEntryLength);
}

template <typename Fields, typename Policy>
void policy_fields(Fields& fields, Policy& policies) {
  fields.number(policies.minimum_in_sync);
  fields.choice(policies.rejoin, RejoinPolicy::manual);
  fields.choice(policies.on_master_failure, MasterFailurePolicy::promote);
  fields.zeroes_until(kPoliciesOffset + 8);
  fields.number(policies.device_timeout_ms);
  fields.number(policies.late_window_ms);
  fields.number(policies.resync_rate);
  fields.number(policies.wait_for_images_ms);
}

template <typename Fields, typename Person>
void owner_fields(Fields& fields, Person& owner) {
  fields.uuid(owner.boot_id);
  fields.number(owner.process);
  fields.zeroes_until(kOwnerOffset + 24);
  fields.number(owner.started_at_ms);
  fields.number(owner.process_started);
  fields.number(owner.pid_namespace);
  fields.text(owner.host, kHostNameLength + 1);
}

template <typename Fields, typename Block>
void summary_fields(Fields& fields, Block& superblock) {
  auto& recovery = superblock.last_recovery;
  fields.number(recovery.finished_at_ms);
  fields.number(recovery.live_intents);
  fields.number(recovery.bytes_covered);
  fields.number(recovery.bytes_copied);
  fields.number(recovery.duration_ms);
  fields.flag(recovery.read_back);
  fields.flag(recovery.full_compare);
  fields.zeroes_until(kRecoveryOffset + 48);
  fields.number(superblock.last_verify.finished_at_ms);
  fields.number(superblock.last_verify.bytes_compared);
  fields.number(superblock.last_verify.bytes_differed);
  fields.number(superblock.last_verify.bytes_repaired);
}

// `state`: of the other log of a set; null for the others, which have none.
template <typename Fields, typename Log, typename State>
void log_fields(Fields& fields, std::size_t end, Log& log, State* state) {
  fields.uuid(log.uuid);
  fields.choice(log.path_kind, PathKind::relative);
  if (state != nullptr) fields.choice(*state, PairedLogState::lost);
  fields.zeroes_until(end - (kImagePathLength + 1));
  fields.text(log.path, kImagePathLength + 1);
}

template <typename Fields, typename Block>
void geometry_fields(Fields& fields, Block& superblock) {
  fields.number(superblock.created_at_ms);
  fields.uuid(superblock.mirror_uuid);
  fields.uuid(superblock.log_uuid);
  fields.number(superblock.size);
  fields.number(superblock.block_size);
  fields.number(superblock.physical_block_size);
  fields.number(superblock.log_size);
  fields.number(superblock.ring.position);
  fields.number(superblock.ring.record_size);
  fields.number(superblock.ring.record_count);
  fields.number(superblock.ring.in_flight_limit);
}

template <typename Fields, typename Block>
void opening_fields(Fields& fields, Block& superblock) {
  generation_fields(fields, superblock.generation);
  fields.number(superblock.open_count);
  fields.uuid(superblock.incarnation);
  fields.uuid(superblock.previous_incarnation);
  fields.number(superblock.first_sequence);
  fields.number(superblock.sealed_sequence);
  fields.choice(superblock.lifecycle, Lifecycle::sealed);
  fields.number(superblock.master);
  fields.number(superblock.max_images);
  fields.choice(superblock.log_state, LogState::moved);
  fields.flag(superblock.served_since_crash);
  fields.zeroes_until(kMapsOffset);
}

// Behind the preamble. `count`: of image entries.
template <typename Fields, typename Block, typename Count>
void header_fields(Fields& fields, Block& superblock, Count& count) {
  geometry_fields(fields, superblock);
  fields.number(count);
  opening_fields(fields, superblock);
  fields.number(superblock.pending_size);
  fields.number(superblock.maps.position);
  fields.number(superblock.maps.slot_length);
  fields.number(superblock.maps.unit);
  fields.zeroes_until(kPoliciesOffset);
  policy_fields(fields, superblock.policies);
  fields.zeroes_until(kOwnerOffset);
  owner_fields(fields, superblock.owner);
  fields.zeroes_until(kRecoveryOffset);
  summary_fields(fields, superblock);
  fields.zeroes_until(kHistoryOffset);
  generation_history_fields(fields, superblock.history);
  PairedLogState* const none = nullptr;
  log_fields(fields, kLogsOffset + kLogReferenceLength, superblock.paired_log, &superblock.paired_state);
  log_fields(fields, kLogsOffset + 2 * kLogReferenceLength, superblock.predecessor, none);
  log_fields(fields, kLogsOffset + 3 * kLogReferenceLength, superblock.moved_to, none);
  fields.zeroes_until(kSuperblockHeaderLength);
}

template <typename Byte>
std::span<Byte> entry_of(std::span<Byte> copy, std::size_t image) {
  return copy.subspan(kSuperblockHeaderLength + image * kImageEntryLength, kImageEntryLength);
}

// --- judging

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
  const auto is_size = [&](std::uint64_t size) {
    return size > 0 && size < kPositionLimit && size % superblock.block_size == 0;
  };
  if (!is_size(superblock.size)) return "the size of the mirror is not valid";
  const std::uint64_t pending = superblock.pending_size;
  const bool grows = pending == 0 || (is_size(pending) && pending > superblock.size);
  return grows ? nullptr : "the size that the mirror grows to is not valid";
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
                    lies_within({ring.position, ring.length()}, kRingPosition, superblock.log_size);
  return fits ? nullptr : "the ring does not lie inside of the log";
}

// After judge_sizes and judge_ring.
const char* judge_maps(const Superblock& superblock) {
  const MapGeometry& maps = superblock.maps;
  const unsigned slots = superblock.max_images;
  if (slots < kMinimumMapSlots || slots > kMaxImages) return "the most images are too many, or too few";
  if (!is_block(maps.unit, kSmallestMapUnit, kLargestMapUnit)) return "the unit of the fracture maps is not valid";
  const MapShape shape = superblock.map_shape();
  const bool holds = maps.slot_length % kMapSlotStep == 0 && maps.slot_length <= superblock.log_size / slots &&
                     shape.sectors() <= kLargestMapSectors && shape.length() <= maps.slot_length;
  if (!holds) return "the fracture maps are too short";
  const std::uint64_t ring_end = superblock.ring.position + superblock.ring.length();
  const bool fits = maps.position % kMapSlotStep == 0 &&
                    lies_within({maps.position, slots * maps.slot_length}, ring_end, superblock.log_size);
  return fits ? nullptr : "the fracture maps do not lie behind the ring";
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

const char* judge_log(const Superblock& superblock, const LogReference& log) {
  if (!log.exists()) return log == LogReference{} ? nullptr : "a log without a UUID";
  if (log.uuid == superblock.log_uuid) return "a log that follows itself";
  return log.path_kind != PathKind::uri && path_is_valid(log.path, log.path_kind) ? nullptr
                                                                                  : "the path of a log is not valid";
}

const char* judge_logs(const Superblock& superblock) {
  for (const LogReference* log : {&superblock.paired_log, &superblock.predecessor, &superblock.moved_to}) {
    if (const char* reason = judge_log(superblock, *log)) return reason;
  }
  if (!superblock.paired_log.exists() && superblock.paired_state != PairedLogState::current) return "no log is lost";
  if (superblock.log_state == LogState::arriving && !superblock.predecessor.exists())
    return "a log arrives from nowhere";
  const bool moved = superblock.log_state == LogState::moved;
  return moved == superblock.moved_to.exists() ? nullptr : "a log that moved says where to, and no other does";
}

const char* judge_policies(const Superblock& superblock) {
  const Policies& policies = superblock.policies;
  if (policies.minimum_in_sync < 1 || policies.minimum_in_sync > kMaxImages) {
    return "the least images in sync are too many, or none";
  }
  const bool settings = std::max({policies.device_timeout_ms, policies.late_window_ms, policies.resync_rate,
                                  policies.wait_for_images_ms}) <= kLargestSetting;
  return settings ? nullptr : "a policy is beyond what can be set";
}

bool is_date(std::uint64_t ms) { return ms <= kLatestDate; }

bool is_count(std::initializer_list<std::uint64_t> counts) {
  return std::all_of(counts.begin(), counts.end(), [](std::uint64_t count) { return count <= kLargestCount; });
}

// What is there to be shown, and to find the last owner by.
const char* judge_summaries(const Superblock& superblock) {
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
  return is_count({verify.bytes_compared, verify.bytes_differed, verify.bytes_repaired})
             ? nullptr
             : "the last verify counted more than there is";
}

// What contradicts, in plain words; null when nothing does. Asked before encoding (asserted) and after decoding
// (answered): we never write what we would not read, but for numbers that a life adds to (headroom.h).
const char* judge(const Superblock& superblock, Bound bound) {
  if ((superblock.incompatible_features & ~kKnownIncompatibleFeatures) != 0) return "a feature that is not known";
  if (!kUpdates.allows(superblock.update, bound) && !mutated(Mutation::used_up_number_accepted)) {
    return "the update number is beyond what a mirror can reach";
  }
  if (superblock.mirror_uuid == kNoUuid || superblock.log_uuid == kNoUuid) return "a mirror without a UUID";
  if (const char* reason = judge_sizes(superblock)) return reason;
  if (const char* reason = judge_ring(superblock)) return reason;
  if (const char* reason = judge_maps(superblock)) return reason;
  if (const char* reason = judge_generation(superblock.generation, superblock.history, bound)) return reason;
  if (const char* reason = judge_opening(superblock, bound)) return reason;
  if (const char* reason = judge_logs(superblock)) return reason;
  if (const char* reason = judge_policies(superblock)) return reason;
  if (const char* reason = judge_summaries(superblock)) return reason;
  return judge_images(superblock, bound);
}

const char* decode_entries(std::span<const std::byte> copy, std::uint32_t count, std::vector<ImageRecord>& into) {
  if (count > kMaxImages) return "too many images, or too few";
  into.resize(count);
  for (std::size_t i = 0; i < kMaxImages; ++i) {
    const std::span<const std::byte> entry = entry_of(copy, i);
    if (ByteReader::all_zero(entry)) {
      if (i < count) into[i] = ImageRecord{};
      continue;
    }
    if (i >= count) return "a reserved byte is not zero";
    FieldReader fields(entry);
    image_fields(fields, into[i]);
    if (fields.reason() != nullptr) return fields.reason();
    if (!into[i].in_use()) return "an image without a UUID";
  }
  return nullptr;
}

}  // namespace

void encode_superblock(const Superblock& superblock, std::span<std::byte> into) {
  BLOCKMIRROR_ASSERT(into.size() == kSuperblockLength, "a superblock copy has one length");
  BLOCKMIRROR_ASSERT(judge(superblock, Bound::written) == nullptr,
                     "a superblock that no reader would accept must not be written");
  FieldWriter fields(into);
  encode_preamble(kSeal, superblock.compatible_features, superblock.incompatible_features, superblock.update,
                  fields.bytes());
  const auto count = static_cast<std::uint32_t>(superblock.images.size());
  header_fields(fields, superblock, count);
  fields.zeroes_until(into.size());
  for (std::size_t i = 0; i < superblock.images.size(); ++i) {
    if (!superblock.images[i].in_use()) continue;
    FieldWriter entry(entry_of(into, i));
    image_fields(entry, superblock.images[i]);
  }
  seal_block(into);
}

Outcome decode_superblock(std::span<const std::byte> copy, Superblock& into) {
  const auto damaged = [](const char* reason) { return Outcome::damaged(Code::LOG_DAMAGED, kLogDevice, reason); };
  if (copy.size() != kSuperblockLength) return damaged("a copy of another length");
  if (const Outcome outcome = check_block(kSeal, copy); !outcome.ok()) return outcome;
  Superblock found;
  FieldReader fields(copy);
  decode_preamble(fields.bytes(), found.compatible_features, found.incompatible_features, found.update);
  std::uint32_t count = 0;
  header_fields(fields, found, count);
  if (fields.reason() != nullptr) return damaged(fields.reason());
  if (const char* reason = decode_entries(copy, count, found.images)) return damaged(reason);
  if (const char* reason = judge(found, Bound::read)) return damaged(reason);
  into = std::move(found);
  return Outcome::success();
}

// A create takes a log over by writing copy A, then copy B. Cut off between them, the log is the new mirror's. What was
// there before may be of format 1, which no program of this version ever writes.
bool is_taken_over(std::span<const std::byte> copy_a, std::span<const std::byte> copy_b, Superblock& into) {
  Superblock taken, former;
  if (!decode_superblock(copy_a, taken).ok() || taken.lifecycle != Lifecycle::creating) return false;
  const Outcome outcome = decode_superblock(copy_b, former);
  const bool of_format_1 = outcome.code == Code::UNKNOWN_VERSION && outcome.position == 1;
  if (!of_format_1 && (!outcome.ok() || taken.log_uuid == former.log_uuid)) return false;
  into = std::move(taken);
  return true;
}

Outcome choose_superblock(std::span<const std::byte> copy_a, std::span<const std::byte> copy_b, Superblock& into) {
  if (is_taken_over(copy_a, copy_b, into)) return Outcome::success();
  return choose_copy(kSeal, copy_a, copy_b, into, decode_superblock);
}

}  // namespace blockmirror
