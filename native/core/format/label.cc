// Offsets and the reason for each rule: docs/FORMAT.md. The order of the fields below is the order on the disk.
#include "label.h"

#include <algorithm>

#include "../base/bytes.h"
#include "../base/headroom.h"
#include "block_seal.h"
#include "fields.h"
#include "judge_image.h"
#include "record.h"

namespace blockmirror {
namespace {

constexpr BlockSeal kSeal{"BLKMIRIM", Code::NO_LABEL, Code::LABEL_DAMAGED, kNoImage, kLabelCopyDistance, {}};

constexpr std::size_t kNameOffset = 256;
constexpr std::size_t kHistoryOffset = 512;
constexpr std::size_t kPeersOffset = 2048;
constexpr std::size_t kPeerLength = 32;
constexpr std::size_t kLogPathOffset = kPeersOffset + kMaxImages * kPeerLength;

static_assert(2 * kLabelCopyDistance <= kLabelAreaLength);
static_assert(kHistoryOffset + kGenerationHistory * 24 == kPeersOffset);
static_assert(kLogPathOffset + kImagePathLength + 1 + 256 <= kLabelCopyLength);

template <typename Fields, typename Block>
void label_fields(Fields& fields, Block& label) {
  fields.uuid(label.mirror_uuid);
  fields.uuid(label.log_uuid);
  fields.uuid(label.image_uuid);
  fields.number(label.index);
  fields.choice(label.state, ImageState::failed);
  fields.flag(label.sealed);
  fields.number(label.master);
  fields.choice(label.log_path_kind, PathKind::relative);
  fields.choice(label.resync_kind, ResyncKind::debt_of_assumed);
  fields.zeroes_until(96);
  fields.number(label.size);
  fields.number(label.device_size);
  fields.number(label.label_position);
  generation_fields(fields, label.generation);
  fields.number(label.open_count);
  fields.uuid(label.incarnation);
  fields.number(label.written_at_ms);
  fields.uuid(label.resync_id);
  fields.number(label.fractured_at_ms);
  fields.uuid(label.barrier);
  fields.uuid(label.paired_log_uuid);
  fields.zeroes_until(kNameOffset);
  fields.text(label.name, kImageNameLength + 1);
  fields.zeroes_until(kHistoryOffset);
  generation_history_fields(fields, label.history);
  for (std::size_t i = 0; i < kMaxImages; ++i) {
    fields.uuid(label.peers[i].uuid);
    fields.number(label.peers[i].changed_at_ms);
    fields.choice(label.peers[i].state, ImageState::failed);
    fields.zeroes_until(kPeersOffset + (i + 1) * kPeerLength);
  }
  fields.text(label.log_path, kImagePathLength + 1);
  fields.zeroes_until(kLabelCopyLength);
}

const char* judge_peers(const Label& label) {
  if (label.index >= kMaxImages || label.master >= kMaxImages) return "an image has no place among the others";
  for (const Peer& peer : label.peers) {
    if (peer.uuid.is_zero() && peer != Peer{}) return "a label knows of an image without a UUID";
    if (peer.changed_at_ms > kLatestDate) return "the date of an image's state is not valid";
  }
  if (label.peers[label.index].uuid != label.image_uuid) return "an image is not in its own place among the others";
  return label.peers[label.master].uuid.is_zero() ? "there is no master" : nullptr;
}

const char* judge_condition(const Label& label) {
  const bool in_sync = label.state == ImageState::in_sync || label.state == ImageState::assumed;
  if (label.role() == Role::master && !in_sync) return "the master is not in sync";
  if (label.written_at_ms > kLatestDate || label.fractured_at_ms > kLatestDate) return "a date of a label is not valid";
  if (in_sync && label.fractured_at_ms != 0) return "an image in sync has a fracture";
  if (label.fractured_at_ms == 0 && !label.barrier.is_zero()) return "a barrier without a fracture";
  return judge_resync(label.state, {label.resync_id, label.resync_kind, 0, 0});
}

// As of a superblock: asked before encoding (asserted) and after decoding (answered).
const char* judge(const Label& label, Bound bound) {
  if ((label.incompatible_features & ~kKnownIncompatibleFeatures) != 0) return "a feature that is not known";
  if (!kUpdates.allows(label.update, bound)) return "the update number is beyond what a mirror can reach";
  if (label.mirror_uuid.is_zero() || label.log_uuid.is_zero() || label.image_uuid.is_zero()) return "a UUID is zero";
  if (!is_image_name(label.name)) return "the name of the image is not valid";
  if (label.size == 0 || label.size % kSectorLength != 0) return "the size of the mirror is not valid";
  const bool place = label.device_size < kPositionLimit && label.label_position == label_position(label.device_size) &&
                     label.label_position >= label.size;
  const bool held = label.label_position == held_label_position(label.index) && label.device_size >= label.size &&
                    label.device_size < kPositionLimit;
  if (!place && !held) return "the label does not lie behind the mirror";
  if (!kOpenings.allows(label.open_count, bound)) return "the open count is used up";
  if (label.open_count != 0 && label.incarnation.is_zero()) return "an opening without an incarnation";
  const bool path = label.log_path.empty() ? label.log_path_kind == PathKind::absolute
                                           : path_is_valid(label.log_path, label.log_path_kind);
  if (!path) return "the path of the log is not valid";
  if (label.paired_log_uuid == label.log_uuid) return "a log that follows itself";
  if (const char* reason = judge_peers(label)) return reason;
  if (const char* reason = judge_condition(label)) return reason;
  return judge_generation(label.generation, label.history, bound);
}

}  // namespace

std::uint64_t label_position(std::uint64_t device_size) {
  const std::uint64_t areas = device_size / kLabelAreaLength;
  return areas < 2 ? 0 : (areas - 1) * kLabelAreaLength;
}

Label label_of(const Superblock& superblock, unsigned index) {
  const ImageRecord& image = superblock.images[index];
  Label label;
  label.update = superblock.update;
  label.mirror_uuid = superblock.mirror_uuid;
  label.log_uuid = superblock.log_uuid;
  label.image_uuid = image.uuid;
  label.index = static_cast<std::uint8_t>(index);
  label.master = superblock.master;
  label.state = image.state;
  label.name = image.name;
  label.size = superblock.size;
  label.device_size = image.device_size;
  label.label_position = image.label_position;
  label.generation = superblock.generation;
  label.history = superblock.history;
  label.open_count = superblock.open_count;
  label.incarnation = superblock.incarnation;
  label.resync_id = image.resync.id;
  label.resync_kind = image.resync.kind;
  label.fractured_at_ms = image.fracture.at_ms;
  label.barrier = image.fracture.barrier;
  label.paired_log_uuid = superblock.paired_log.uuid;
  for (std::size_t i = 0; i < superblock.images.size(); ++i) {
    const ImageRecord& peer = superblock.images[i];
    if (peer.in_use()) label.peers[i] = {peer.uuid, peer.state, peer.changed_at_ms};
  }
  return label;
}

void encode_label(const Label& label, std::span<std::byte> into) {
  BLOCKMIRROR_ASSERT(into.size() == kLabelCopyLength, "a label copy has one length");
  BLOCKMIRROR_ASSERT(judge(label, Bound::written) == nullptr,
                     "a label that no reader would accept must not be written");
  FieldWriter fields(into);
  encode_preamble(kSeal, label.compatible_features, label.incompatible_features, label.update, fields.bytes());
  label_fields(fields, label);
  seal_block(into);
}

Outcome decode_label(std::span<const std::byte> copy, Label& into) {
  const auto damaged = [](const char* reason) { return Outcome::damaged(Code::LABEL_DAMAGED, kNoImage, reason); };
  if (copy.size() != kLabelCopyLength) return damaged("a copy of another length");
  if (const Outcome outcome = check_block(kSeal, copy); !outcome.ok()) return outcome;
  Label found;
  FieldReader fields(copy);
  decode_preamble(fields.bytes(), found.compatible_features, found.incompatible_features, found.update);
  label_fields(fields, found);
  if (fields.reason() != nullptr) return damaged(fields.reason());
  if (const char* reason = judge(found, Bound::read)) return damaged(reason);
  into = std::move(found);
  return Outcome::success();
}

Outcome choose_label(std::span<const std::byte> copy_a, std::span<const std::byte> copy_b, Label& into) {
  return choose_copy(kSeal, copy_a, copy_b, into, decode_label);
}

}  // namespace blockmirror
