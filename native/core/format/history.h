// History: a ring of events in the log, each in a sector of its own that proves itself. Pure: bytes in, decisions out.
//
// Invariants:
//  - An event with sequence s stands in slot s mod 1024. Sequences grow from 1; the newest event is found by scanning, so
//    that writing one costs one write.
//  - History is told, never relied on: a sector that is broken, blank or of an earlier lap is left out, and nothing is
//    decided by what is there or missing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "../base/extent.h"
#include "../base/identity.h"
#include "image_record.h"
#include "layout.h"

namespace blockmirror {

inline constexpr std::uint32_t kEventLength = 512;  // bytes
inline constexpr std::uint32_t kEventSlots = kHistoryLength / kEventLength;
inline constexpr std::size_t kEventNameLength = 63;
inline constexpr std::uint8_t kNoEventImage = 0xff;

enum class EventKind : std::uint8_t {
  created = 1,
  opened = 2,
  recovered = 3,
  fractured = 4,
  rejoined = 5,
  resync_begun = 6,
  resync_ended = 7,
  verified = 8,
  repaired = 9,
  error = 10,
  promoted = 11,
  added = 12,
  removed = 13,
  replaced = 14,
  grown = 15,
  moved = 16,
  policy_changed = 17,
  closed = 18,
};

struct Event {
  std::uint64_t sequence = 0;
  std::uint64_t at_ms = 0;
  EventKind kind = EventKind::created;
  std::uint8_t image = kNoEventImage;       // index of its entry then
  ImageState before = ImageState::in_sync;  // where the event has no image, and changed no state: the same twice
  ImageState after = ImageState::in_sync;
  FractureCause cause = FractureCause::none;
  std::int32_t error = 0;  // errno
  std::uint64_t generation = 0;
  std::uint64_t open_count = 0;
  Extent extent;  // of the mirror; length 0: none
  std::uint64_t bytes = 0;
  std::uint64_t duration_ms = 0;
  std::string name;  // of the image, or of the policy
  friend bool operator==(const Event&, const Event&) = default;
};

// `into` is kEventLength bytes.
void encode_event(const Uuid& log_uuid, const Event& event, std::span<std::byte> into);
// Whether it is a whole event that may stand in that slot; `into` is left as it was when not.
bool decode_event(const Uuid& log_uuid, std::uint32_t slot, std::span<const std::byte> sector, Event& into);

struct HistoryScan {
  std::vector<Event> events;  // oldest first
  std::uint64_t newest = 0;   // sequence; 0: there is none
  std::uint32_t broken = 0;   // sectors that are neither blank nor an event
};
// `area`: the ring, or as much of it as could be read, from its start; what could not be read is zero.
HistoryScan scan_history(const Uuid& log_uuid, std::span<const std::byte> area);

}  // namespace blockmirror
