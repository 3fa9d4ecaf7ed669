#include "piece_runner.h"

#include <algorithm>
#include <cerrno>

namespace blockmirror {

unsigned BlockMap::take(std::uint64_t length) {
  const unsigned wanted = blocks_of(length);
  unsigned found = 0;
  for (unsigned at = 0; at < used_.size(); ++at) {
    found = used_[at] ? 0 : found + 1;
    if (found < wanted) continue;
    const unsigned first = at + 1 - wanted;
    for (unsigned i = first; i <= at; ++i) used_.set(i);
    return first;
  }
  return kNone;
}

void BlockMap::give_back(unsigned first, std::uint64_t length) {
  for (unsigned i = first; i < first + blocks_of(length); ++i) {
    BLOCKMIRROR_ASSERT(used_[i], "a block is given back that nobody has");
    used_.reset(i);
  }
}

struct PieceRunner::Run {
  Run(Runtime& runtime, ImageSet with, PieceWork& by) : images(with), work(by), piece_ended(runtime) {}
  const ImageSet images;
  PieceWork& work;
  Outcome outcome;
  unsigned pieces = 0;  // of this run, under way
  Condition piece_ended;
};

Task<Outcome> PieceRunner::run(std::span<const Extent> extents, ImageSet images, PieceWork& work) {
  Run run(runtime_, images, work);
  ++runs_;
  for (const std::uint64_t turn = next_turn_++; turn != serving_;) co_await turn_over_.wait();
  if (!make_buffers(images)) run.outcome = Outcome::of(Code::NO_MEMORY, kNoImage, ENOMEM);
  for (const Extent& extent : extents) {
    if (!run.outcome.ok()) break;
    co_await start_pieces(run, extent);
  }
  ++serving_;
  turn_over_.wake_all();
  while (run.pieces > 0) co_await run.piece_ended.wait();
  if (--runs_ == 0) buffers_ = std::make_shared<Buffers>();
  co_return run.outcome;
}

Task<void> PieceRunner::start_pieces(Run& run, Extent extent) {
  for (std::uint64_t at = extent.position; at < extent.end();) {
    const Extent piece{at, std::min(extent.end(), (at / kRegionLength + 1) * kRegionLength) - at};
    unsigned block = BlockMap::kNone;
    while (run.outcome.ok() && block == BlockMap::kNone) {
      // Buffers may have been left to a device that hangs, and new ones begun.
      if (!make_buffers(run.images)) run.outcome = Outcome::of(Code::NO_MEMORY, kNoImage, ENOMEM);
      if (run.outcome.ok() && pieces_ < kCopyLanes) block = buffers_->blocks.take(piece.length);
      if (run.outcome.ok() && block == BlockMap::kNone) co_await room_.wait();
    }
    if (block == BlockMap::kNone) co_return;
    ++pieces_;
    ++run.pieces;
    spawn(work_on(run, piece, block));
    at = piece.end();
  }
}

Task<void> PieceRunner::work_on(Run& run, Extent piece, unsigned block) {
  const std::shared_ptr<Buffers> buffers = buffers_;
  PieceMemory memory{};
  for (unsigned i = 0; i < kMaxImages; ++i) {
    if ((run.images & image_bit(i)) != 0) memory[i] = buffers->of_image[i].data() + block * BlockMap::kBlock;
  }
  const Outcome outcome = co_await run.work.work_on(piece, memory);
  if (!outcome.ok() && run.outcome.ok()) run.outcome = outcome;
  if (!is_held(*buffers, run.images, block, piece.length)) {
    buffers->blocks.give_back(block, piece.length);
  } else if (buffers == buffers_) {
    buffers_ = std::make_shared<Buffers>();
  }
  --pieces_;
  room_.wake_all();
  if (--run.pieces == 0) run.piece_ended.wake_all();
}

bool PieceRunner::make_buffers(ImageSet images) {
  for (unsigned i = 0; i < kMaxImages; ++i) {
    HugeBuffer& buffer = buffers_->of_image[i];
    if ((images & image_bit(i)) == 0 || !buffer.empty()) continue;
    buffer = HugeBuffer(kCopyBytes);
    if (buffer.empty()) return false;
  }
  return true;
}

bool PieceRunner::is_held(const Buffers& buffers, ImageSet images, unsigned block, std::uint64_t length) {
  const HeldMemory& held = HeldMemory::of_this_thread();
  if (!held.any()) return false;
  for (unsigned i = 0; i < kMaxImages; ++i) {
    if ((images & image_bit(i)) == 0) continue;
    if (held.holds(buffers.of_image[i].data() + block * BlockMap::kBlock, length)) return true;
  }
  return false;
}

}  // namespace blockmirror
