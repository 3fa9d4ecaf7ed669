// What the superblock says of one image: who it is, where it is, and how far it is behind the master. Pure.
//
// Invariants:
//  - The index of an entry never changes while its image is of the mirror: maps, labels and the history name images by it.
//    Which image is the master is a field of the superblock; an entry has no role.
//  - I10, I14: an image that is not provably equal to the master has a debt: a map that it names by its random id, or
//    everything. What state goes with which debt, fracture and resync is a table (judge_image.cc).
#pragma once

#include <cstdint>
#include <string>

#include "../base/device.h"
#include "../base/identity.h"

namespace blockmirror {

inline constexpr std::size_t kImagePathLength = 767;  // bytes, without the terminator
inline constexpr std::size_t kSerialLength = 63;

enum class PathKind : std::uint8_t { absolute = 0, relative = 1, uri = 2 };

// In which extents an image may differ from the master, beyond what live intents of the ring name.
enum class DebtKind : std::uint8_t { none = 0, map = 1, everything = 2 };

enum class FractureCause : std::uint8_t {
  none = 0,
  write_error = 1,
  flush_error = 2,
  read_error = 3,
  label_error = 4,
  deadline = 5,
  absent = 6,
  blank = 7,
  foreign = 8,
  stale = 9,
  too_small = 10,
  grown = 11,
  unreadable = 12,
  lost_allocation = 13,
  block_too_large = 14,
  operator_request = 15,
  promoted = 16,
  added = 17,
  flapping = 18,
  differs = 19,  // a verify found it, and its repair is not done
};

// Bytes that the image held are gone, or cannot be read, wherever they are: no set of writes names them.
constexpr bool loses_bytes(FractureCause cause) {
  return cause == FractureCause::lost_allocation || cause == FractureCause::too_small ||
         cause == FractureCause::unreadable || cause == FractureCause::read_error;
}

// debt_of_assumed: of an image that was only assumed to be equal before, and is again when its debt is paid.
enum class ResyncKind : std::uint8_t { none = 0, debt = 1, full_compare = 2, full_copy = 3, debt_of_assumed = 4 };

// Why the image stopped receiving writes, or counting as equal, and the last moment at which it had all of them.
struct Fracture {
  FractureCause cause = FractureCause::none;
  std::uint64_t at_ms = 0;
  GenerationMark generation;     // of which it was last in sync
  std::uint64_t open_count = 0;  // of which it was last in sync
  Uuid incarnation;
  std::uint64_t tail =
      0;         // newest tail composed by then: a scan whose tail has not passed it needs no map; 0: not known
  Uuid barrier;  // of an operator's fracture of several slaves at one point in time; zero: none
  friend bool operator==(const Fracture&, const Fracture&) = default;
};

struct ResyncRecord {
  Uuid id;  // random, durable here and in the image's label before the first copy (I8); zero: none
  ResyncKind kind = ResyncKind::none;
  std::uint64_t cursor = 0;  // bytes of the mirror; what lies before it is paid
  std::uint64_t began_at_ms = 0;
  friend bool operator==(const ResyncRecord&, const ResyncRecord&) = default;
};

// A label as the image was told it: a rejoin finds a restored image by it.
struct ToldLabel {
  std::uint64_t update = 0;
  Uuid incarnation;
  friend bool operator==(const ToldLabel&, const ToldLabel&) = default;
};

struct ImageRecord {
  Uuid uuid;  // zero: the entry is not in use
  ImageState state = ImageState::synchronizing;
  PathKind path_kind = PathKind::absolute;
  bool held_label = false;        // the label stands in the log: the image has no room for one
  bool volatile_allowed = false;  // its server cannot flush, and somebody said that this is to be borne
  DebtKind debt = DebtKind::none;
  std::string name;
  std::string path;
  std::uint64_t device_size = 0;     // bytes, when the image was added
  std::uint64_t label_position = 0;  // absolute, bytes: an image that grew keeps its label; held: in the log
  std::int32_t error = 0;            // errno of its fracture; of the master: that stopped the last opening
  std::uint64_t changed_at_ms = 0;   // when its state changed last; 0: not since the mirror was made
  std::uint64_t bytes_differed = 0;  // found by a verify, and neither mended nor verified equal since
  Fracture fracture;
  Uuid map_id;  // random, of this fracture's map; zero: there is none
  ResyncRecord resync;
  std::uint64_t suspect_until_ms = 0;  // a date; remote: a request of a cut connection may land before it
  ToldLabel told;                      // the last label that was durable on it
  ToldLabel telling;                   // one that is being written
  std::uint64_t window_bytes = 0;      // unanswered bytes at most; 0: no limit
  std::uint64_t rate = 0;              // bytes a second at most; 0: no limit
  Uuid partition_uuid;
  std::string serial;  // serial number or WWN of its device

  bool in_use() const { return !uuid.is_zero(); }
  // It receives every write and owes nothing.
  void pay_debt() {
    debt = DebtKind::none;
    fracture = {};
    map_id = {};
    resync = {};
    error = 0;
  }
};

// It was in sync, or assumed, when an opening ended in the middle of writes, and has not paid yet what that left.
inline bool is_after_crash(const ImageRecord& image) {
  const ResyncKind kind = image.resync.kind;
  const bool of_crash =
      kind == ResyncKind::debt || kind == ResyncKind::full_compare || kind == ResyncKind::debt_of_assumed;
  return image.state == ImageState::synchronizing && image.fracture.cause == FractureCause::none && of_crash;
}

}  // namespace blockmirror
