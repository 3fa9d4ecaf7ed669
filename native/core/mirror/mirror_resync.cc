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
  const unsigned master = membership_.master();
  for (bool mended = false;;) {
    if (!stopped_.ok()) co_return stopped_;
    int error = EIO;
    {
      RangeLock::Guard held(ranges_, piece.widened(physical_block_size_), RangeLock::Mode::shared);  // I6
      if (!mutated(Mutation::resync_takes_no_range)) co_await held;
      if (!is_unmended(piece))
        error = co_await membership_.master_device().read(piece.position, {memory[master], piece.length});
      if (error == 0 && stopped_.ok()) co_return co_await copy_held(piece, slaves, way, memory, into, copied);
    }
    if (mended) co_return membership_.of_master(Code::READ_FAILED, error, piece.position);
    const Outcome outcome = co_await read_mended(piece, {memory[master], piece.length}, &into.repairs);
    if (!outcome.ok()) co_return outcome;
    mended = true;
  }
}

// The range is held, and the master's memory has what it holds there.
Task<Outcome> Mirror::copy_held(Extent piece, ImageSet slaves, CopyWay way, const PieceMemory& memory, CopyResult& into,
                                ImageSet& copied) {
  const ImageSet targets = slaves & membership_.receiving_slaves();
  const std::byte* const right = memory[membership_.master()];
  std::array<std::vector<Extent>, kMaxImages> unread;
  const bool reads = way.compare || way.only_differing || mutated(Mutation::recover_wrong_direction);
  if (reads) {
    ParallelOperation everywhere(membership_.images(), targets, request_of(Operation::read, piece, nullptr));
    for (const unsigned i : indices_of(targets)) everywhere.set_memory(i, memory[i]);
    const ParallelOperation::Results results = co_await everywhere;
    for (const unsigned i : indices_of(results.failed)) co_await read_what_can_be(piece, i, memory, unread[i]);
  }
  Outcome outcome;
  if (way.only_differing) {
    outcome = co_await write_what_differs(piece, targets, memory, into);
  } else {
    for (const unsigned i : indices_of(way.compare ? targets : 0)) {
      into.bytes_differed[i] += differing_bytes(right, memory[i], piece.length);
    }
    unsigned from = membership_.master();
    if (mutated(Mutation::recover_wrong_direction) && targets != 0) from = *indices_of(targets).begin();
    outcome = co_await write_copy(piece, targets, memory[from], into);
  }
  for (const unsigned i : indices_of(targets)) {
    if (outcome.ok() && !unread[i].empty()) outcome = co_await read_back_unread(piece, i, memory, unread[i], into);
  }
  copied = targets & membership_.receiving_slaves();
  co_return outcome;
}

Task<Outcome> Mirror::write_copy(Extent extent, ImageSet slaves, std::byte* bytes, CopyResult& into) {
  slaves &= membership_.receiving_slaves();
  if (mutated(Mutation::drop_last_sector)) extent.length -= 512;
  if (mutated(Mutation::recover_wrong_direction)) slaves = image_bit(membership_.master());
  ParallelOperation everywhere(membership_.images(), slaves, request_of(Operation::write, extent, bytes));
  const bool ignored = mutated(Mutation::resync_write_failure_ignored);
  if (!ignored) everywhere.report_failures(*this);
  ParallelOperation::Results results = co_await everywhere;
  if (ignored) results.failed = 0;
  for (const unsigned i : indices_of(without(slaves, results.failed))) into.bytes_copied[i] += extent.length;
  co_return co_await settle(results);
}

Task<Outcome> Mirror::write_what_differs(Extent piece, ImageSet slaves, const PieceMemory& memory, CopyResult& into) {
  const std::uint64_t block = std::max<std::uint64_t>(kSmallestCompareBlock, block_size_);
  std::byte* const right = memory[membership_.master()];
  for (const unsigned i : indices_of(slaves)) {
    for (std::uint64_t at = 0; at < piece.length;) {
      const DifferingRun run = next_differing_run(right, memory[i], at, piece.length, block);
      at = run.end;
      if (run.bytes == 0) break;
      into.bytes_differed[i] += run.bytes;
      const Extent extent{piece.position + run.begin, run.end - run.begin};
      const Outcome outcome = co_await write_copy(extent, image_bit(i), right + run.begin, into);
      if (!outcome.ok()) co_return outcome;
    }
  }
  co_return Outcome::success();
}

// What a slave cannot read before it is overwritten counts as different from the master in every byte.
Task<void> Mirror::read_what_can_be(Extent piece, unsigned slave, const PieceMemory& memory,
                                    std::vector<Extent>& unread) {
  const std::uint64_t length = std::max<std::uint64_t>(kSmallestCompareBlock, block_size_);
  const std::byte* const right = memory[membership_.master()];
  for (std::uint64_t at = 0; at < piece.length; at += length) {
    const Extent block{piece.position + at, std::min(length, piece.length - at)};
    std::byte* const bytes = memory[slave] + at;
    const bool asked = unread.size() < kUnreadBlocks;
    if (asked && co_await membership_.images()[slave]->read(block.position, {bytes, block.length}) == 0) continue;
    std::transform(right + at, right + at + block.length, bytes, [](std::byte byte) { return ~byte; });
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
  const unsigned master = membership_.master();
  for (const Extent& extent : unread) {
    if ((membership_.receiving() & image_bit(slave)) == 0) break;
    const std::uint64_t at = extent.position - piece.position;
    int error = co_await membership_.images()[slave]->read(extent.position, {memory[slave] + at, extent.length});
    if (error == 0 && std::memcmp(memory[master] + at, memory[slave] + at, extent.length) != 0) error = EIO;
    if (error == 0) {
      repair_.note({slave, master, extent});
      if (into.repairs.size() < kReportedRepairs) into.repairs.push_back({slave, master, extent});
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
  flushed = without(asked, results.failed);
  co_return co_await settle(results);
}

Task<Outcome> Mirror::fail_slaves(ParallelOperation::Results results) {
  results.failed &= membership_.slaves();
  return settle(results);
}

}  // namespace blockmirror
