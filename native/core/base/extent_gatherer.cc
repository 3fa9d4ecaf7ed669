#include "extent_gatherer.h"

#include <algorithm>
#include <new>

#include "assert.h"
#include "spare_memory.h"

namespace blockmirror {
namespace {

constexpr std::size_t kFirstCapacity = 64;
constexpr std::uint64_t kFirstGrain = 8192;  // two blocks of an intent

}  // namespace

Extent ExtentGatherer::widened(Extent extent) const { return extent.widened(grain_).clipped(size_); }

bool ExtentGatherer::add(Extent extent) {
  extent = extent.clipped(size_);
  if (extent.empty()) return true;
  const Extent wide = widened(extent);
  // Blocks of one region come in their order: most are one with the last.
  if (count_ > 0 && wide.position >= extents_[count_ - 1].position && wide.position <= extents_[count_ - 1].end()) {
    Extent& last = extents_[count_ - 1];
    last.length = std::max(last.end(), wide.end()) - last.position;
    return true;
  }
  if (count_ == capacity_ && !make_room()) return false;
  extents_[count_++] = widened(extent);  // to what the grain is by now
  return true;
}

bool ExtentGatherer::make_room() {
  const std::size_t wanted = std::min(std::max(kFirstCapacity, 2 * capacity_), 2 * most_);
  if (wanted > capacity_) {
    std::unique_ptr<Extent[]> larger(new (std::nothrow) Extent[wanted]);
    if (larger != nullptr) {
      std::copy_n(extents_.get(), count_, larger.get());
      extents_ = std::move(larger);
      capacity_ = wanted;
      return true;
    }
  }
  if (capacity_ == 0) return false;
  // Half of the room is free afterwards: everything is sorted again only when that is full.
  compact(capacity_ / 2);
  return true;
}

void ExtentGatherer::compact(std::size_t most) {
  std::sort(extents_.get(), extents_.get() + count_,
            [](const Extent& one, const Extent& other) { return one.position < other.position; });
  merge();
  while (count_ > most) {
    grain_ = std::max(kFirstGrain, 2 * grain_);
    for (std::size_t i = 0; i < count_; ++i) extents_[i] = widened(extents_[i]);
    merge();
  }
}

// Of sorted ones, which widening leaves sorted.
void ExtentGatherer::merge() {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    Extent* const last = kept == 0 ? nullptr : &extents_[kept - 1];
    if (last != nullptr && extents_[i].position <= last->end()) {
      last->length = std::max(last->end(), extents_[i].end()) - last->position;
    } else {
      extents_[kept++] = extents_[i];
    }
  }
  count_ = kept;
}

bool ExtentGatherer::finish(ExtentSet& into) {
  compact(most_);
  if (!has_spare_memory(count_ * sizeof(Extent))) return false;
  into = ExtentSet(std::span<const Extent>(extents_.get(), count_));
  extents_.reset();
  count_ = capacity_ = 0;
  return true;
}

}  // namespace blockmirror
