// Offsets and the reason for each rule: docs/FORMAT.md. The order of the calls below is the order on the disk.
#include "label.h"

#include <algorithm>

#include "block_seal.h"
#include "bytes.h"
#include "record.h"

namespace blockmirror {
namespace {

constexpr BlockSeal kSeal{"BLKMIRIM", Code::NO_LABEL, Code::LABEL_DAMAGED, kNoImage};

constexpr std::size_t kHistoryOffset = 192;

static_assert(2 * kLabelCopyDistance <= kLabelAreaLength);

// Asked before encoding (asserted) and after decoding (answered): we never write what we would not read.
bool is_valid(const Label& label) {
  const bool uuids = !label.mirror_uuid.is_zero() && !label.log_uuid.is_zero() && !label.image_uuid.is_zero();
  const bool name =
      !label.name.empty() && label.name.size() <= kImageNameLength && label.name.find('\0') == std::string::npos;
  const bool sizes = label.size > 0 && label.size % kSectorLength == 0 && label.device_size < kPositionLimit &&
                     label.label_position == label_position(label.device_size) && label.label_position >= label.size;
  const bool opening = label.open_count <= kMaximumOpenCount && (label.open_count == 0 || !label.incarnation.is_zero());
  return (label.incompatible_features & ~kKnownIncompatibleFeatures) == 0 && uuids && name && sizes && opening &&
         generation_is_valid(label.generation, label.history);
}

}  // namespace

std::uint64_t label_position(std::uint64_t device_size) {
  const std::uint64_t areas = device_size / kLabelAreaLength;
  return areas < 2 ? 0 : (areas - 1) * kLabelAreaLength;
}

void encode_label(const Label& label, std::span<std::byte> into) {
  BLOCKMIRROR_ASSERT(into.size() == kLabelCopyLength, "a label copy has one length");
  BLOCKMIRROR_ASSERT(is_valid(label), "a label that no reader would accept must not be written");
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

Status decode_label(std::span<const std::byte> copy, Label& into) {
  if (copy.size() != kLabelCopyLength) return Status::of(Code::LABEL_DAMAGED);
  if (Code code = check_block(kSeal, copy); code != Code::ok) return Status::of(code);
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
  if (!reader.ok() || !is_valid(found)) return Status::of(Code::LABEL_DAMAGED);
  into = std::move(found);
  return Status::success();
}

Status choose_label(std::span<const std::byte> copy_a, std::span<const std::byte> copy_b, Label& into) {
  return choose_copy(kSeal, copy_a, copy_b, into, decode_label);
}

}  // namespace blockmirror
