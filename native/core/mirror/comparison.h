// Comparison: what a verify reads and counts in one step, and what its end changes in the superblock.
//
// Invariants:
//  - I6: a piece is read of all images at once, under one lock of its range.
//  - I10: a slave counts as compared only where it was read. One that failed meanwhile missed writes, so that it takes no
//    part from then on, and an error of a slave is no difference.
//  - A difference of a slave that receives, and owes nothing there, is read twice before it counts: what a cable or a
//    controller garbled once is none.
//  - A difference is forgotten only when the slave was found equal over the whole mirror, or was copied in full.
//  - Nothing is written to an image.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "../base/device.h"
#include "../base/extent.h"
#include "../base/outcome.h"
#include "../base/task.h"
#include "../format/superblock.h"
#include "../images/membership.h"
#include "../images/piece_runner.h"
#include "../images/results.h"
#include "mirror.h"

namespace blockmirror {

class Comparison final : public PieceWork {
 public:
  // `debts`: what slaves that receive owe is expected to differ. `images`: the master and the slaves to compare with it, whether
  // they receive writes or not.
  Comparison(Membership& membership, const Superblock& superblock, Mirror& mirror, const Debts& debts, ImageSet images,
             CompareResult& into);

  Task<Outcome> work_on(Extent piece, const PieceMemory& memory) override;
  // Where that slave, which received writes, differs and did not owe: blocks side by side are one. In no order.
  const std::vector<Extent>& found(unsigned slave) const { return found_[slave]; }

 private:
  ImageSet compared(Extent piece, const ParallelOperation::Results& results);
  bool is_news(ImageSet slaves, Extent piece, const PieceMemory& memory) const;
  ImageIndex find_alone(unsigned slave, ImageSet slaves, std::uint64_t at, std::uint64_t length,
                        const PieceMemory& memory) const;
  void count(unsigned slave, Extent piece, ImageSet slaves, const PieceMemory& memory);
  void add(Difference difference, std::uint64_t bytes);

  Membership& membership_;
  Mirror& mirror_;
  const unsigned master_;
  const Debts& debts_;
  const std::uint64_t block_;
  const ImageSet images_;
  const ImageSet on_request_;  // slaves among them that receive no writes
  CompareResult& into_;
  std::array<std::vector<Extent>, kMaxImages> found_;
};

// What a verify that went over `found` changes: pure but for the superblock in memory. `receiving`: slaves that received
// every write until now. `proves`: the mirror runs, so that equal means in sync.
struct VerifyChange {
  bool superblock = false;  // is to be written
  bool labels = false;      // and these: an image is in another state
};
VerifyChange apply_verify(const VerifyResult& found, ImageSet receiving, bool proves, std::uint64_t now_ms,
                          Superblock& superblock);
}  // namespace blockmirror
