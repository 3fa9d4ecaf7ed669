#include "image_states.h"

#include "../base/assert.h"

namespace blockmirror {
namespace {

constexpr const char* kStateNames[] = {"in-sync", "assumed", "behind", "synchronizing", "inconsistent", "failed"};
constexpr const char* kEventNames[] = {"erred",   "left",          "resync began",   "resync ended",
                                       "crashed", "assumed again", "verified equal", "differed"};
static_assert(std::size(kStateNames) == kImageStates && std::size(kEventNames) == kImageEvents);

constexpr bool rights_stand_in_order() {
  for (std::size_t i = 0; i < kImageStates; ++i) {
    if (static_cast<std::size_t>(kStateRights[i].state) != i) return false;
  }
  return true;
}
static_assert(rights_stand_in_order());

// What serves is in sync, and what is in sync receives (I4, I10).
constexpr bool rights_agree() {
  for (const StateRights& rights : kStateRights) {
    if ((rights.serves && !rights.in_sync) || (rights.in_sync && !rights.receives)) return false;
  }
  return true;
}
static_assert(rights_agree());

constexpr bool returns_are_proven() {
  for (const Transition& row : kTransitions) {
    const bool proof = row.event == ImageEvent::resync_ended || row.event == ImageEvent::verified_equal;
    const bool was_out = !rights_of(row.from).in_sync;
    const bool paid = row.event == ImageEvent::resync_ended || row.event == ImageEvent::assumed_again;
    if (rights_of(row.to).in_sync && was_out && !paid) return false;
    if (row.to == ImageState::in_sync && !proof) return false;
  }
  return true;
}
static_assert(returns_are_proven());

}  // namespace

ImageState next_state(ImageState from, ImageEvent event) {
  const std::optional<ImageState> to = find_next(from, event);
  BLOCKMIRROR_ASSERT(to.has_value(), "an event that cannot happen to an image in this state");
  return *to;
}

void TransitionCounts::count(ImageState from, ImageEvent event) {
  for (std::size_t row = 0; row < kTransitions.size(); ++row) {
    if (kTransitions[row].from == from && kTransitions[row].event == event) ++taken_[row];
  }
}

void TransitionCounts::add(const TransitionCounts& other) {
  for (std::size_t row = 0; row < taken_.size(); ++row) taken_[row] += other.taken_[row];
}

const char* name_of(ImageState state) { return kStateNames[static_cast<std::size_t>(state)]; }
const char* name_of(ImageEvent event) { return kEventNames[static_cast<std::size_t>(event)]; }

}  // namespace blockmirror
