// Label of an image: whose it is, which one, of which opening, and what it last knew of the others. Pure: bytes in,
// decisions out.
//
// Lives in the last whole MiB of the image, outside the size the mirror reports, so that the image itself stays plain:
// byte 0 of the mirror is byte 0 of every image. Two copies that never share a physical block.
// I8: UUID, role, generation, incarnation and size are checked at every attach (judge_label).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "../base/identity.h"
#include "../base/outcome.h"
#include "superblock.h"

namespace blockmirror {

inline constexpr std::uint64_t kLabelAreaLength = 1024 * 1024;   // bytes at the end of an image
inline constexpr std::uint64_t kLabelCopyLength = 4096;          // bytes of one copy
inline constexpr std::uint64_t kLabelCopyDistance = 512 * 1024;  // bytes from copy A to copy B

// Where the label area of a device of that size starts; 0 when it has no room.
std::uint64_t label_position(std::uint64_t device_size);

// What a label knows of an image of the mirror, its own included.
struct Peer {
  Uuid uuid;  // zero: the entry is not in use
  ImageState state = ImageState::in_sync;
  std::uint64_t changed_at_ms = 0;
  friend bool operator==(const Peer&, const Peer&) = default;
};

struct Label {
  std::uint64_t compatible_features = 0;
  std::uint64_t incompatible_features = 0;
  std::uint64_t update = 0;
  Uuid mirror_uuid;
  Uuid log_uuid;
  Uuid image_uuid;
  std::uint8_t index = 0;   // of the image
  std::uint8_t master = 0;  // index of the one that was the master
  ImageState state = ImageState::synchronizing;
  bool sealed = false;  // written by a clean close of this incarnation
  std::string name;
  std::uint64_t size = 0;  // bytes of the mirror
  std::uint64_t device_size = 0;
  std::uint64_t label_position = 0;  // absolute
  Generation generation;
  std::array<GenerationMark, kGenerationHistory> history{};
  std::uint64_t open_count = 0;
  Uuid incarnation;
  std::uint64_t written_at_ms = 0;
  Uuid resync_id;  // of a resync that began and has not ended; zero: none
  ResyncKind resync_kind = ResyncKind::none;
  std::uint64_t fractured_at_ms = 0;  // 0: it is not fractured
  Uuid barrier;                       // of an operator's fracture of several slaves at one point in time
  Uuid paired_log_uuid;               // the other of a set of two; zero: none
  std::array<Peer, kMaxImages> peers{};
  PathKind log_path_kind = PathKind::absolute;
  std::string log_path;  // empty: not known

  Role role() const { return index == master ? Role::master : Role::slave; }
};

// What is written onto image `index` of that superblock, but for its features and the seal.
Label label_of(const Superblock& superblock, unsigned index);

void encode_label(const Label& label, std::span<std::byte> into);  // kLabelCopyLength bytes
// NO_LABEL (no magic), LABEL_DAMAGED, UNKNOWN_VERSION (position: which), UNKNOWN_FEATURE.
Outcome decode_label(std::span<const std::byte> copy, Label& into);
// An empty span stands for a copy that cannot be read.
Outcome choose_label(std::span<const std::byte> copy_a, std::span<const std::byte> copy_b, Label& into);

// May this image be attached as superblock.images[index]? The decision table stands in judge_label.cc. It allows a label
// to be one opening behind only while the log is `opening`; hence an opener that finds the log so first brings every
// label to that incarnation, before it starts an opening of its own.
// ok, or NO_LABEL.., FOREIGN_IMAGE, SWAPPED_IMAGES,
// TRUNCATED_IMAGE, STALE_IMAGE, STALE_LOG, DIVERGED. `found` is the outcome of choose_label.
Outcome judge_label(const Superblock& superblock, unsigned index, const Outcome& found, const Label& label,
                    std::uint64_t device_size);

// May a device that was out be taken back as superblock.images[index]? Whatever its openings and generations say: what it
// misses is owed. ok, or what was found instead of a label, FOREIGN_IMAGE, SWAPPED_IMAGES, TRUNCATED_IMAGE, BLOCK_TOO_LARGE.
Outcome judge_rejoin(const Superblock& superblock, unsigned index, const Outcome& found, const Label& label,
                     const DeviceTraits& traits);
// Whether it holds the very label that it was told last: else it is a copy of an earlier day, and its debt does not say what it
// misses (I8, I14).
bool is_as_told(const ImageRecord& image, const Label& label);

}  // namespace blockmirror
