// How much an intent covers beyond what its write needs. Pure: counts in, blocks out.
//
// Exact when cold, coarse where hot: a first touch of a region covers only the blocks it writes, so that scattered
// writes leave a recovery as small as themselves; a region that is written again is covered in wide units, so that its
// next writes need no log write. While less than half of the budget is used that happens at the second write (room is
// there to be used: a log write costs a flush of the log's disk), otherwise only for regions that are plainly hot. The
// budget also sets how wide: a unit is at most 1/64 of it, so that a small budget (a small recovery) never goes to a
// handful of coarse units.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "coverage.h"

namespace blockmirror {

class Granularity {
 public:
  explicit Granularity(std::uint64_t budget_bytes) : budget_blocks_(budget_bytes / kIntentBlockLength) {
    std::uint64_t blocks = std::clamp<std::uint64_t>(budget_bytes / 64 / kIntentBlockLength, 1, kIntentBitmapBlocks);
    coarse_blocks_ = static_cast<unsigned>(std::bit_floor(blocks));
    regions_ahead_ = static_cast<unsigned>(
        std::min<std::uint64_t>(budget_blocks_ / kShareAhead / kIntentBitmapBlocks, kMostRegionsAhead));
  }

  // The blocks to cover for a write that needs `needed`, in a region that holds `have` after `touches` writes since it
  // was last retired, with `live_blocks` covered in all.
  BlockSet widen(const BlockSet& needed, const BlockSet& have, std::uint32_t touches, std::uint64_t live_blocks) const {
    const bool roomy = live_blocks + coarse_blocks_ <= budget_blocks_ / 2;
    const unsigned unit = touches >= (roomy ? kAgain : kHot) ? coarse_blocks_ : 1;
    if (unit == 1) return needed - have;
    BlockSet wide;
    for (unsigned block = 0; block < kIntentBitmapBlocks; block += unit) {
      BlockSet candidate = BlockSet::of(block, unit);
      if (!(candidate - needed == candidate)) wide = wide | candidate;
    }
    return wide - have;
  }
  unsigned coarse_blocks() const { return coarse_blocks_; }
  // How many whole regions to cover ahead of a sequential stream; 0 with a small budget.
  unsigned regions_ahead() const { return regions_ahead_; }

 private:
  static constexpr std::uint32_t kAgain = 1;  // writes of the region since it was last retired
  static constexpr std::uint32_t kHot = 8;
  static constexpr std::uint64_t kShareAhead = 8;  // of the budget, at most, ahead of one stream
  static constexpr std::uint64_t kMostRegionsAhead = 8;
  std::uint64_t budget_blocks_;
  unsigned coarse_blocks_;
  unsigned regions_ahead_;
};

}  // namespace blockmirror
