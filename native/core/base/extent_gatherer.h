// ExtentGatherer: the union of any number of extents, in bounded memory.
//
// Extents are gathered as they come and sorted once in a while: n log n, where a set that is kept sorted with each of
// them is n^2. When more than `most` stay apart after merging, neighbours become one: all are widened to a grain of
// 8 KiB, 16 KiB, … until few enough are left, in the end to everything. What comes out covers all that went in, and more
// only where it was too much to be told apart; a debt that is larger than it need be costs time alone (I3, I14).
//
// Invariants: what comes out consists of whole blocks and ends at `size` at most; memory is two times `most` extents at most, less when there is no more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "extent.h"

namespace blockmirror {

// 16 bytes each: 4 MiB for each copy of a debt. With the default budget a crash leaves at most 16384.
inline constexpr std::size_t kMostDebtExtents = 256 * 1024;

class ExtentGatherer {
 public:
  // `block`: a power of two that divides `size`; all extents are widened to whole ones.
  ExtentGatherer(std::uint64_t size, std::uint64_t block, std::size_t most = kMostDebtExtents)
      : size_(size), most_(most), grain_(block) {}

  // False: there is no memory for even a few.
  bool add(Extent extent);
  // The union, sorted; empties the gatherer. False: there is no memory for it.
  bool finish(ExtentSet& into);
  // Bytes to which extents are widened.
  std::uint64_t grain() const { return grain_; }

 private:
  bool make_room();
  void compact(std::size_t most);
  void merge();
  Extent widened(Extent extent) const;

  const std::uint64_t size_;
  const std::size_t most_;
  std::uint64_t grain_;
  std::unique_ptr<Extent[]> extents_;
  std::size_t count_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace blockmirror
