// Offsets and the reason for each rule: docs/FORMAT.md. The order of the calls below is the order on the disk.
#include "label.h"

#include <algorithm>

#include "../base/bytes.h"
#include "../base/headroom.h"
#include "block_seal.h"
#include "record.h"

namespace blockmirror {
namespace {

constexpr BlockSeal kSeal{"BLKMIRIM", Code::NO_LABEL, Code::LABEL_DAMAGED, kNoImage, kLabelCopyDistance};

constexpr std::size_t kHistoryOffset = 192;

static_assert(2 * kLabelCopyDistance <= kLabelAreaLength);

// As of a superblock: asked before encoding (asserted) and after decoding (answered).
const char* judge(const Label& label, Bound bound) {
  if ((label.incompatible_features & ~kKnownIncompatibleFeatures) != 0) return "a feature that is not known";
  if (!kUpdates.allows(label.update, bound)) return "the update number is beyond what a mirror can reach";
  if (label.mirror_uuid.is_zero() || label.log_uuid.is_zero() || label.image_uuid.is_zero()) return "a UUID is zero";
  if (!is_image_name(label.name)) return "the name of the image is not valid";
  if (label.size == 0 || label.size % kSectorLength != 0) return "the size of the mirror is not valid";
  const bool place = label.device_size < kPositionLimit && label.label_position == label_position(label.device_size) &&
                     label.label_position >= label.size;
  if (!place) return "the label does not lie behind the mirror";
  if (!kOpenings.allows(label.open_count, bound)) return "the open count is used up";
  if (label.open_count != 0 && label.incarnation.is_zero()) return "an opening without an incarnation";
  return judge_generation(label.generation, label.history, bound);
}

}  // namespace

std::uint64_t label_position(std::uint64_t device_size) {
  const std::uint64_t areas = device_size / kLabelAreaLength;
  return areas < 2 ? 0 : (areas - 1) * kLabelAreaLength;
}

void encode_label(const Label& label, std::span<std::byte> into) {
  BLOCKMIRROR_ASSERT(into.size() == kLabelCopyLength, "a label copy has one length");
  BLOCKMIRROR_ASSERT(judge(label, Bound::written) == nullptr,
                     "a label that no reader would accept must not be written");
  ByteWriter writer(into);
  encode_preamble(kSeal, label.compatible_features, label.incompatible_features, label.update, writer);
  writer.uuid(label.mirror_uuid);
  writer.uuid(label.log_uuid);
  writer.uuid(label.image_uuid);
  writer.u8(static_cast<std::uint8_t>(label.role));
  writer.u8(static_cast<std::uint8_t>(label.state));
  writer.u8(label.sealed ? 1 : 0);
  writer.zeroes_until(96);
  writer.u64(label.size);
  writer.u64(label.device_size);
  writer.u64(label.label_position);
  encode_generation(label.generation, writer);
  writer.u64(label.open_count);
  writer.uuid(label.incarnation);
  writer.zeroes_until(kHistoryOffset);
  encode_generation_history(label.history, writer);
  writer.text(label.name, kImageNameLength + 1);
  writer.zeroes_until(into.size());
  seal_block(into);
}

Outcome decode_label(std::span<const std::byte> copy, Label& into) {
  const auto damaged = [](const char* reason) { return Outcome::damaged(Code::LABEL_DAMAGED, kNoImage, reason); };
  if (copy.size() != kLabelCopyLength) return damaged("a copy of another length");
  if (const Outcome outcome = check_block(kSeal, copy); !outcome.ok()) return outcome;
  Label found;
  ByteReader reader(copy);
  decode_preamble(reader, found.compatible_features, found.incompatible_features, found.update);
  found.mirror_uuid = reader.uuid();
  found.log_uuid = reader.uuid();
  found.image_uuid = reader.uuid();
  found.role = reader.choice(Role::slave);
  found.state = reader.choice(ImageState::failed);
  found.sealed = reader.flag();
  reader.zeroes_until(96);
  found.size = reader.u64();
  found.device_size = reader.u64();
  found.label_position = reader.u64();
  found.generation = decode_generation(reader);
  found.open_count = reader.u64();
  found.incarnation = reader.uuid();
  reader.zeroes_until(kHistoryOffset);
  decode_generation_history(reader, found.history);
  found.name = reader.text(kImageNameLength + 1);
  reader.zeroes_until(copy.size());
  if (!reader.ok()) return damaged(reader.reason());
  if (const char* reason = judge(found, Bound::read)) return damaged(reason);
  into = std::move(found);
  return Outcome::success();
}

Outcome choose_label(std::span<const std::byte> copy_a, std::span<const std::byte> copy_b, Label& into) {
  return choose_copy(kSeal, copy_a, copy_b, into, decode_label);
}

}  // namespace blockmirror
