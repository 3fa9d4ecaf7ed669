// PieceRunner: long work (copying, comparing) cut into pieces, many of them at once in bounded memory.
//
// Invariants:
//  - At most kCopyLanes pieces are under way, and kCopyBytes of them (of each image), over all runs together. Small
//    pieces need more company than large ones to keep a disk busy.
//  - Pieces start in the order of their extents, runs in the order in which they came: a large piece waits until there
//    is room for it, and none overtakes it.
//  - After a piece failed no further one of that run starts; run() returns when all that it started have ended.
//  - Nothing is allocated for a piece: one buffer for each image, cut into blocks, is made when a run first needs it and
//    goes when nothing runs.
//  - I7, I15: a buffer that a hung request still names is not used for another piece: the pieces after it have new ones. An
//    image that hangs gets no request until it has answered all, so that it makes for one set of buffers at most.
// A piece never reaches over a multiple of kRegionLength, so that its range is one lock.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "../base/device.h"
#include "../base/extent.h"
#include "../base/huge_buffer.h"
#include "../base/limits.h"
#include "../base/outcome.h"
#include "../base/runtime.h"
#include "../base/task.h"

namespace blockmirror {

// Which blocks of a buffer are taken. Pure: the first that fit, side by side.
class BlockMap {
 public:
  static constexpr std::uint64_t kBlock = 4096;
  static constexpr unsigned kNone = UINT32_MAX;

  // The first block of a place for `length` bytes, which is taken now; kNone when there is none.
  unsigned take(std::uint64_t length);
  void give_back(unsigned first, std::uint64_t length);
  bool empty() const { return used_.none(); }

 private:
  static unsigned blocks_of(std::uint64_t length) { return static_cast<unsigned>((length + kBlock - 1) / kBlock); }
  std::bitset<kCopyBytes / kBlock> used_;
};

// Memory of a piece, by image; null for an image that the run did not name.
using PieceMemory = std::array<std::byte*, kMaxImages>;

class PieceWork {
 public:
  virtual Task<Outcome> work_on(Extent piece, const PieceMemory& memory) = 0;

 protected:
  ~PieceWork() = default;
};

class PieceRunner {
 public:
  explicit PieceRunner(Runtime& runtime) : runtime_(runtime), room_(runtime), turn_over_(runtime) {}
  ~PieceRunner() { BLOCKMIRROR_ASSERT(pieces_ == 0, "pieces were left under way"); }
  PieceRunner(const PieceRunner&) = delete;
  PieceRunner& operator=(const PieceRunner&) = delete;

  // The first error of a piece. `images`: those that a piece needs memory for. Extents and work stay until it returns.
  Task<Outcome> run(std::span<const Extent> extents, ImageSet images, PieceWork& work);

 private:
  struct Run;
  struct Buffers {
    BlockMap blocks;
    std::array<HugeBuffer, kMaxImages> of_image;
  };
  Task<void> start_pieces(Run& run, Extent extent);
  Task<void> work_on(Run& run, Extent piece, unsigned block);
  bool make_buffers(ImageSet images);  // false: the address space is limited
  static bool is_held(const Buffers& buffers, ImageSet images, unsigned block, std::uint64_t length);

  Runtime& runtime_;
  std::shared_ptr<Buffers> buffers_ = std::make_shared<Buffers>();  // of the pieces that start from here on
  unsigned pieces_ = 0;                                             // under way
  unsigned runs_ = 0;
  Condition room_;  // a piece ended
  std::uint64_t next_turn_ = 0;
  std::uint64_t serving_ = 0;  // the turn of the run that starts pieces
  Condition turn_over_;
};

}  // namespace blockmirror
