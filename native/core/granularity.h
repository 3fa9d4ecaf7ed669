// How much an intent covers beyond what its write needs. Pure: counts in, blocks out.
//
// Exact when cold, coarse where hot: a first touch of a region covers only the blocks it writes, so that scattered
// writes leave a recovery as small as themselves; a region that keeps being written is covered in wider pieces, so that
// its next writes need no log write. The budget sets how wide: a piece is at most 1/64 of it, so that a small budget
// (a small recovery) never goes to a handful of coarse pieces.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "coverage.h"

namespace blockmirror {

class Granularity {
 public:
  explicit Granularity(std::uint64_t budget_bytes) {
    std::uint64_t blocks = std::clamp<std::uint64_t>(budget_bytes / 64 / kIntentBlockLength, 1, kIntentBitmapBlocks);
    coarse_blocks_ = static_cast<unsigned>(std::bit_floor(blocks));
  }

  // The blocks to cover for a write that needs `needed`, in a region that holds `have` after `touches` writes.
  BlockSet widen(const BlockSet& needed, const BlockSet& have, std::uint32_t touches) const {
    unsigned piece = 1;
    if (touches >= kWarm) piece = std::min(coarse_blocks_, kIntentBitmapBlocks / 8);
    if (touches >= kHot) piece = coarse_blocks_;
    if (piece == 1) return needed - have;
    BlockSet wide;
    for (unsigned block = 0; block < kIntentBitmapBlocks; block += piece) {
      BlockSet candidate = BlockSet::of(block, piece);
      if (!(candidate - needed == candidate)) wide = wide | candidate;
    }
    return wide - have;
  }
  unsigned coarse_blocks() const { return coarse_blocks_; }

 private:
  static constexpr std::uint32_t kWarm = 2;  // writes of the region since it was last retired
  static constexpr std::uint32_t kHot = 8;
  unsigned coarse_blocks_;
};

}  // namespace blockmirror
