// The states of an image, what may become of each, and what each may do: tables that the code runs, that docs/STATES.md is
// printed from, and whose rows the simulator counts. Pure.
//
// Invariants:
//  - I10: no row leads back to in_sync but from a resync that ended, or from a verify that found the whole image equal.
//  - I11: an image that erred, or whose resync did not end, is never behind: what it holds is no point in time.
//  - An event that has no row for a state cannot happen in it: next_state() asserts it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "../base/identity.h"

namespace blockmirror {

inline constexpr std::size_t kImageStates = 6;

enum class ImageEvent : std::uint8_t {
  erred,           // a write, a flush or its label failed, or its deadline passed
  left,            // it was in the mirror, and is absent, not the right one, or too small; or the operator took it out
  resync_began,    // durable in the superblock and its label, before the first copy
  resync_ended,    // nothing is owed, and it was flushed since the last copy
  crashed,         // the last opening ended in the middle of writes: what its live intents name is owed
  assumed_again,   // what a crash left is copied, of an image that was only assumed to be equal before it
  verified_equal,  // a verify found all of it equal
  differed,        // a verify that repairs found where it differs: that is owed from now on
};
inline constexpr std::size_t kImageEvents = 8;

struct Transition {
  ImageState from;
  ImageEvent event;
  ImageState to;
  const char* words;
};

// What an image in that state may do.
struct StateRights {
  ImageState state;
  bool receives;  // every write goes to it, and I2 asks for its flush
  bool in_sync;   // it has every acknowledged write, and counts for minInSync
  bool serves;    // stands in for what the master cannot read
  const char* words;
};

inline constexpr std::array<Transition, 19> kTransitions{{
    {ImageState::in_sync, ImageEvent::erred, ImageState::failed, "it answered with an error, or not in time"},
    {ImageState::assumed, ImageEvent::erred, ImageState::failed, "it answered with an error, or not in time"},
    {ImageState::synchronizing, ImageEvent::erred, ImageState::inconsistent, "an error ended its resync"},
    {ImageState::behind, ImageEvent::erred, ImageState::behind, "it gets no writes: what it holds stays"},
    {ImageState::inconsistent, ImageEvent::erred, ImageState::inconsistent, "its content was unknown before"},
    {ImageState::failed, ImageEvent::erred, ImageState::failed, "its content was unknown before"},
    {ImageState::in_sync, ImageEvent::left, ImageState::behind, "it keeps what it held at that moment"},
    {ImageState::assumed, ImageEvent::left, ImageState::behind, "it keeps what it held at that moment"},
    {ImageState::synchronizing, ImageEvent::left, ImageState::inconsistent, "its resync did not end"},
    {ImageState::behind, ImageEvent::resync_began, ImageState::synchronizing, "it gets writes again, and copies"},
    {ImageState::inconsistent, ImageEvent::resync_began, ImageState::synchronizing, "it gets writes again, and copies"},
    {ImageState::failed, ImageEvent::resync_began, ImageState::synchronizing, "it gets writes again, and copies"},
    {ImageState::in_sync, ImageEvent::crashed, ImageState::synchronizing, "what live intents name may differ"},
    {ImageState::assumed, ImageEvent::crashed, ImageState::synchronizing, "what live intents name may differ"},
    {ImageState::synchronizing, ImageEvent::resync_ended, ImageState::in_sync, "it owes nothing, and was flushed"},
    {ImageState::synchronizing, ImageEvent::assumed_again, ImageState::assumed,
     "what a crash left is copied, the rest never compared"},
    {ImageState::assumed, ImageEvent::verified_equal, ImageState::in_sync, "it was compared, all of it"},
    {ImageState::in_sync, ImageEvent::differed, ImageState::synchronizing, "where it differs is owed, and copied"},
    {ImageState::assumed, ImageEvent::differed, ImageState::synchronizing, "where it differs is owed, and copied"},
}};

inline constexpr std::array<StateRights, kImageStates> kStateRights{{
    {ImageState::in_sync, true, true, true, "has every acknowledged write"},
    {ImageState::assumed, true, true, false, "was said to be equal when the mirror was made, and not compared since"},
    {ImageState::behind, false, false, false, "a point in time, dated; what it misses is owed"},
    {ImageState::synchronizing, true, false, false, "gets every write; what it misses is being copied"},
    {ImageState::inconsistent, false, false, false, "a resync began and did not end: no point in time"},
    {ImageState::failed, false, false, false, "returned an error: its content is unknown until it is copied"},
}};

constexpr const StateRights& rights_of(ImageState state) { return kStateRights[static_cast<std::size_t>(state)]; }

// Empty: the event cannot happen in that state.
constexpr std::optional<ImageState> find_next(ImageState from, ImageEvent event) {
  for (const Transition& row : kTransitions) {
    if (row.from == from && row.event == event) return row.to;
  }
  return std::nullopt;
}
ImageState next_state(ImageState from, ImageEvent event);

// How often each row was taken; in the order of kTransitions.
class TransitionCounts {
 public:
  void count(ImageState from, ImageEvent event);
  std::uint64_t of(std::size_t row) const { return taken_[row]; }
  void add(const TransitionCounts& other);

 private:
  std::array<std::uint64_t, kTransitions.size()> taken_{};
};

const char* name_of(ImageState state);
const char* name_of(ImageEvent event);

}  // namespace blockmirror
