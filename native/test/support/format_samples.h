// Samples of what stands on a disk, and the means to damage them on purpose. Used by the format's tests and by the
// golden vectors; every number is written out, so that two fields that were exchanged would show.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "../../core/base/bytes.h"
#include "../../core/base/crc32c.h"
#include "../../core/format/fracture_map.h"
#include "../../core/format/history.h"
#include "../../core/format/label.h"
#include "../../core/format/record.h"
#include "../../core/format/superblock.h"

namespace blockmirror::test {

inline constexpr std::uint64_t kTestMiB = 1024 * 1024;

inline Uuid uuid_of(std::uint8_t first) {
  Uuid uuid;
  for (std::size_t i = 0; i < uuid.bytes.size(); ++i) uuid.bytes[i] = static_cast<std::byte>(first + i);
  return uuid;
}

inline Superblock sample_superblock() {
  Superblock sample;
  sample.compatible_features = 0x8000000000000001;
  sample.update = 41;
  sample.mirror_uuid = uuid_of(0x10);
  sample.log_uuid = uuid_of(0x20);
  sample.size = 64 * kTestMiB;
  sample.block_size = 512;
  sample.physical_block_size = 4096;
  sample.ring = {kRingPosition, 4096, 8, 2};
  sample.log_size = log_length(8, 4096, sample.size);
  sample.maps = planned_maps(kRingPosition + 8 * 4096, sample.size);
  sample.max_images = kDefaultMapSlots;
  sample.generation = {3, uuid_of(0x30), uuid_of(0x31)};
  sample.history[0] = {2, uuid_of(0x31)};
  sample.history[1] = {1, uuid_of(0x32)};
  sample.open_count = 5;
  sample.incarnation = uuid_of(0x40);
  sample.previous_incarnation = uuid_of(0x41);
  sample.lifecycle = Lifecycle::open;
  sample.first_sequence = 20;
  sample.sealed_sequence = 19;
  sample.owner = {"host.example", uuid_of(0x50), 4321, 1700000001234, 123456, 4026531836};
  sample.created_at_ms = 1690000000123;
  sample.last_recovery = {1700000000999, 7, 1048576, 524288, 1500, true, false};
  sample.last_verify = {1700000002000, 134217728, 4096, 512};
  const char* const paths[] = {"/dev/disk/by-id/master", "/dev/disk/by-id/slave-1", "images/slave-2.img"};
  const char* const names[] = {"master", "slave-1", "slave-2"};
  for (unsigned i = 0; i < 3; ++i) {
    ImageRecord image;
    image.uuid = uuid_of(static_cast<std::uint8_t>(0x60 + i));
    image.state = i == 2 ? ImageState::failed : ImageState::in_sync;
    image.path_kind = i == 2 ? PathKind::relative : PathKind::absolute;
    image.error = i == 2 ? 5 : 0;
    image.changed_at_ms = i == 2 ? 1700000001500 : 0;
    image.bytes_differed = i == 1 ? 4096 : 0;
    image.name = names[i];
    image.path = paths[i];
    image.device_size = (66 + i) * kTestMiB + 512 * i;
    image.label_position = (65 + i) * kTestMiB;
    if (i == 2) {
      image.debt = DebtKind::everything;
      image.fracture = {FractureCause::write_error, 1700000001500, {2, uuid_of(0x31)}, 4, uuid_of(0x41), 15, {}};
    }
    sample.images.push_back(image);
  }
  return sample;
}

// The map of image 1 of sample_with_roles.
inline MapIdentity sample_map(const Superblock& superblock) {
  return {superblock.log_uuid, superblock.images[1].uuid, 1, superblock.images[1].map_id};
}

// Everything that the format can say: an image removed, another master, a slave reached by a URI and one behind with a
// map, a label in the log, a grow, a set of two logs, one that came and one that goes, all policies.
inline Superblock sample_with_roles() {
  Superblock sample = sample_superblock();
  sample.generation = {9, uuid_of(0x33), uuid_of(0x34)};
  sample.max_images = 5;
  sample.log_size = log_length(8, 4096, sample.size, sample.max_images);
  sample.lifecycle = Lifecycle::opening;
  sample.pending_size = 64 * kTestMiB + 4096;
  sample.log_state = LogState::moved;
  sample.paired_log = {uuid_of(0x21), PathKind::absolute, "/dev/disk/by-id/log-2"};
  sample.paired_state = PairedLogState::lost;
  sample.predecessor = {uuid_of(0x22), PathKind::relative, "former.log"};
  sample.moved_to = {uuid_of(0x23), PathKind::absolute, "/srv/next.log"};
  sample.policies = {2, RejoinPolicy::manual, MasterFailurePolicy::promote, 5000, 240000, 104857600, 60000};
  sample.images.resize(5);
  sample.images[0] = ImageRecord{};
  sample.images[0].state = ImageState::synchronizing;
  ImageRecord& behind = sample.images[1];
  behind.state = ImageState::behind;
  behind.debt = DebtKind::map;
  behind.map_id = uuid_of(0x70);
  behind.error = 0;
  behind.fracture = {
      FractureCause::operator_request, 1700000003000, {8, uuid_of(0x34)}, 5, uuid_of(0x40), 19, uuid_of(0x71)};
  behind.told = {39, uuid_of(0x40)};
  behind.telling = {40, uuid_of(0x40)};
  behind.window_bytes = 4194304;
  behind.rate = 52428800;
  behind.partition_uuid = uuid_of(0x72);
  behind.serial = "S3Z8NB0K123456A";
  ImageRecord& remote = sample.images[3];
  remote = sample.images[2];
  sample.images[2] = sample_superblock().images[0];
  sample.images[2].held_label = true;
  sample.images[2].label_position = held_label_position(2);
  sample.images[2].device_size = sample.size;
  sample.master = 2;
  remote.uuid = uuid_of(0x63);
  remote.state = ImageState::inconsistent;
  remote.path_kind = PathKind::uri;
  remote.path = "nbd://192.0.2.7:10809/slave-2";
  remote.volatile_allowed = true;
  remote.resync = {uuid_of(0x73), ResyncKind::full_compare, 33554432, 1700000004000};
  remote.suspect_until_ms = 1700000005000;
  ImageRecord& last = sample.images[4];
  last = behind;
  last.uuid = uuid_of(0x64);
  last.name = "slave-4";
  last.path = "slave-4.img";
  last.path_kind = PathKind::relative;
  last.state = ImageState::synchronizing;
  last.debt = DebtKind::none;
  last.map_id = {};
  last.fracture = {};
  last.resync = {uuid_of(0x74), ResyncKind::debt, 4096, 1700000006000};
  return sample;
}

// The label that belongs to image `index` of that superblock.
inline Label label_for(const Superblock& superblock, unsigned index) {
  Label label = label_of(superblock, index);
  label.compatible_features = superblock.compatible_features;
  label.sealed = superblock.lifecycle == Lifecycle::sealed;
  label.written_at_ms = 1700000001235;
  label.log_path_kind = PathKind::relative;
  label.log_path = "mirror.log";
  return label;
}

inline Intent extent_intent(std::uint64_t position, std::uint64_t length) {
  Intent intent;
  intent.extent = {position, length};
  return intent;
}

inline Intent bitmap_intent(std::uint64_t position, const IntentBitmap& bitmap) {
  Intent intent;
  intent.kind = Intent::Kind::bitmap;
  intent.extent = {position, kTestMiB};
  intent.bitmap = bitmap;
  return intent;
}

inline std::vector<std::byte> encoded(const Superblock& superblock) {
  std::vector<std::byte> bytes(kSuperblockLength);
  encode_superblock(superblock, bytes);
  return bytes;
}

inline std::vector<std::byte> encoded(const Label& label) {
  std::vector<std::byte> bytes(kLabelCopyLength);
  encode_label(label, bytes);
  return bytes;
}

inline std::vector<std::byte> encoded(const Uuid& log_uuid, const RecordHeader& header, std::span<const Intent> intents,
                                      std::size_t length = kMinimumRecordSize) {
  std::vector<std::byte> bytes(length);
  encode_record(log_uuid, header, intents, bytes);
  return bytes;
}

// A superblock or label that was changed by hand gets a checksum that holds again: what is refused then is the content.
inline void reseal(std::span<std::byte> block) {
  store_little_endian<std::uint32_t>(block.data() + 12, 0);
  store_little_endian(block.data() + 12, crc32c(block));
}

// The same for one sector of a record, `index` from its start.
inline void reseal_sector(const Uuid& log_uuid, std::uint32_t index, std::span<std::byte> record) {
  std::span<std::byte> sector = record.subspan(std::size_t{index} * kSectorLength, kSectorLength);
  std::byte number[4];
  store_little_endian(number, index);
  const std::uint32_t crc = crc32c(sector.first(508), crc32c(number, crc32c(log_uuid.bytes)));
  store_little_endian(sector.data() + 508, crc);
}

// xorshift64*: small, seeded, the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {}
  std::uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1d;
  }
  std::uint64_t below(std::uint64_t limit) { return next() % limit; }
  bool one_in(std::uint64_t count) { return below(count) == 0; }

 private:
  std::uint64_t state_;
};

}  // namespace blockmirror::test
