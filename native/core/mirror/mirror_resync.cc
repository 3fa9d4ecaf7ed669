// What a resync asks of the mirror: copying a portion to slaves under its range, and flushing them.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "../base/mutation.h"
#include "../images/differences.h"
#include "mirror.h"

namespace blockmirror {
namespace {

// After so many blocks that a slave cannot read the rest of the piece is not asked for: each may take seconds.
constexpr std::size_t kUnreadBlocks = 8;

DeviceRequest request_of(Operation operation, Extent extent, std::byte* memory) {
  DeviceRequest request;
  request.operation = operation;
  request.position = extent.position;
  request.length = extent.length;
  request.memory = memory;
  return request;
}

}  // namespace

Task<Outcome> Mirror::copy_to_slaves(Extent piece, ImageSet slaves, CopyWay way, const PieceMemory& memory,
                                     CopyResult& into, ImageSet& copied) {
  copied = 0;
  for (bool mended = false;;) {
    if (!stopped_.ok()) co_return stopped_;
    int error = EIO;
    {
      RangeLock::Guard held(ranges_, piece.widened(physical_block_size_), RangeLock::Mode::shared);  // I6
      if (!mutated(Mutation::resync_takes_no_range)) co_await held;
      if (!is_unmended(piece))
        error = co_await membership_.images()[0]->read(piece.position, {memory[0], piece.length});
      if (error == 0 && stopped_.ok()) co_return co_await copy_held(piece, slaves, way, memory, into, copied);
    }
    if (mended) co_return Outcome::of(Code::READ_FAILED, 0, error, piece.position);
    const Outcome outcome = co_await read_mended(piece, {memory[0], piece.length}, &into.repairs);
    if (!outcome.ok()) co_return outcome;
    mended = true;
  }
}

// The range is held, and memory[0] has what the master holds.
Task<Outcome> Mirror::copy_held(Extent piece, ImageSet slaves, CopyWay way, const PieceMemory& memory, CopyResult& into,
                                ImageSet& copied) {
  const ImageSet targets = slaves & membership_.receiving_slaves();
  std::array<std::vector<Extent>, kMaxImages> unread;
  const bool reads = way.compare || way.only_differing || mutated(Mutation::recover_wrong_direction);
  if (reads) {
    ParallelOperation everywhere(membership_.images(), targets, request_of(Operation::read, piece, nullptr));
    for (unsigned i = 1; i < kMaxImages; ++i) everywhere.set_memory(i, memory[i]);
    const ParallelOperation::Results results = co_await everywhere;
    for (unsigned i = 1; i < kMaxImages; ++i) {
      if ((results.failed & image_bit(i)) != 0) co_await read_what_can_be(piece, i, memory, unread[i]);
    }
  }
  Outcome outcome;
  if (way.only_differing) {
    outcome = co_await write_what_differs(piece, targets, memory, into);
  } else {
    for (unsigned i = 1; way.compare && i < kMaxImages; ++i) {
      if ((targets & image_bit(i)) != 0)
        into.bytes_differed[i - 1] += differing_bytes(memory[0], memory[i], piece.length);
    }
    outcome = co_await write_copy(piece, targets, memory[mutated(Mutation::recover_wrong_direction) ? 1 : 0], into);
  }
  for (unsigned i = 1; i < kMaxImages && outcome.ok(); ++i) {
    if (!unread[i].empty()) outcome = co_await read_back_unread(piece, i, memory, unread[i], into);
  }
  copied = targets & membership_.receiving_slaves();
  co_return outcome;
}

Task<Outcome> Mirror::write_copy(Extent extent, ImageSet slaves, std::byte* bytes, CopyResult& into) {
  slaves &= membership_.receiving_slaves();
  if (mutated(Mutation::drop_last_sector)) extent.length -= 512;
  if (mutated(Mutation::recover_wrong_direction)) slaves = 1;
  ParallelOperation everywhere(membership_.images(), slaves, request_of(Operation::write, extent, bytes));
  const bool ignored = mutated(Mutation::resync_write_failure_ignored);
  if (!ignored) everywhere.report_failures(*this);
  ParallelOperation::Results results = co_await everywhere;
  if (ignored) results.failed = 0;
  for (unsigned i = 1; i < membership_.images().size(); ++i) {
    if ((slaves & ~results.failed & image_bit(i)) != 0) into.bytes_copied[i - 1] += extent.length;
  }
  co_return co_await settle(results);
}

Task<Outcome> Mirror::write_what_differs(Extent piece, ImageSet slaves, const PieceMemory& memory, CopyResult& into) {
  const std::uint64_t block = std::max<std::uint64_t>(kSmallestCompareBlock, block_size_);
  for (unsigned i = 1; i < kMaxImages; ++i) {
    if ((slaves & image_bit(i)) == 0) continue;
    for (std::uint64_t at = 0; at < piece.length;) {
      const DifferingRun run = next_differing_run(memory[0], memory[i], at, piece.length, block);
      at = run.end;
      if (run.bytes == 0) break;
      into.bytes_differed[i - 1] += run.bytes;
      const Extent extent{piece.position + run.begin, run.end - run.begin};
      const Outcome outcome = co_await write_copy(extent, image_bit(i), memory[0] + run.begin, into);
      if (!outcome.ok()) co_return outcome;
    }
  }
  co_return Outcome::success();
}

// What a slave cannot read before it is overwritten counts as different from the master in every byte.
Task<void> Mirror::read_what_can_be(Extent piece, unsigned slave, const PieceMemory& memory,
                                    std::vector<Extent>& unread) {
  const std::uint64_t length = std::max<std::uint64_t>(kSmallestCompareBlock, block_size_);
  for (std::uint64_t at = 0; at < piece.length; at += length) {
    const Extent block{piece.position + at, std::min(length, piece.length - at)};
    std::byte* const bytes = memory[slave] + at;
    const bool asked = unread.size() < kUnreadBlocks;
    if (asked && co_await membership_.images()[slave]->read(block.position, {bytes, block.length}) == 0) continue;
    std::transform(memory[0] + at, memory[0] + at + block.length, bytes, [](std::byte byte) { return ~byte; });
    if (!asked && unread.back().end() == block.position) {
      unread.back().length += block.length;
    } else {
      unread.push_back(block);
    }
  }
}

// It is written now. One that still cannot read it, or reads something else, is out.
Task<Outcome> Mirror::read_back_unread(Extent piece, unsigned slave, const PieceMemory& memory,
                                       const std::vector<Extent>& unread, CopyResult& into) {
  for (const Extent& extent : unread) {
    if ((membership_.receiving() & image_bit(slave)) == 0) break;
    const std::uint64_t at = extent.position - piece.position;
    int error = co_await membership_.images()[slave]->read(extent.position, {memory[slave] + at, extent.length});
    if (error == 0 && std::memcmp(memory[0] + at, memory[slave] + at, extent.length) != 0) error = EIO;
    if (error == 0) {
      repair_.note({slave, 0, extent});
      if (into.repairs.size() < kReportedRepairs) into.repairs.push_back({slave, 0, extent});
      continue;
    }
    ParallelOperation::Results results;
    results.operation = Operation::read;
    results.failed = image_bit(slave);
    results.errors[slave] = error;
    const Outcome outcome = co_await settle(results);
    if (!outcome.ok()) co_return outcome;
  }
  co_return Outcome::success();
}

Task<Outcome> Mirror::flush_slaves(ImageSet slaves, ImageSet& flushed) {
  const ImageSet asked = slaves & membership_.receiving_slaves();
  ParallelOperation everywhere(membership_.images(), asked, request_of(Operation::flush, {}, nullptr));
  const bool ignored = mutated(Mutation::resync_flush_failure_ignored);
  if (!ignored) everywhere.report_failures(*this);
  ParallelOperation::Results results = co_await everywhere;
  if (ignored) results.failed = 0;
  flushed = asked & static_cast<ImageSet>(~results.failed);
  co_return co_await settle(results);
}

Task<Outcome> Mirror::fail_slaves(ParallelOperation::Results results) {
  results.failed &= static_cast<ImageSet>(~1u);
  return settle(results);
}

}  // namespace blockmirror
