#include "recovery.h"

#include <algorithm>
#include <cstring>

#include "mutation.h"

namespace blockmirror {
namespace {

std::uint64_t differing_bytes(const std::byte* a, const std::byte* b, std::size_t length) {
  if (std::memcmp(a, b, length) == 0) return 0;
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < length; ++i) count += a[i] != b[i] ? 1 : 0;
  return count;
}

DeviceRequest request_of(Operation operation, Extent extent, std::byte* memory) {
  DeviceRequest request;
  request.operation = operation;
  request.position = extent.position;
  request.length = extent.length;
  request.memory = memory;
  return request;
}

}  // namespace

std::uint64_t compare_block_of(const Superblock& superblock) {
  return std::max<std::uint64_t>(kSmallestCompareBlock, superblock.block_size);
}

DifferingRun next_differing_run(const std::byte* a, const std::byte* b, std::uint64_t from, std::uint64_t length,
                                std::uint64_t block) {
  DifferingRun run{length, length, 0};
  for (std::uint64_t at = from; at < length; at += block) {
    const std::uint64_t size = std::min(block, length - at);
    const std::uint64_t bytes = differing_bytes(a + at, b + at, size);
    if (bytes == 0 && run.bytes > 0) break;
    if (bytes == 0) continue;
    if (run.bytes == 0) run.begin = at;
    run.end = at + size;
    run.bytes += bytes;
  }
  return run;
}

void count_differences(Extent piece, std::uint64_t block, ImageSet slaves, const PieceMemory& memory,
                       CompareResult& into) {
  for (unsigned i = 1; i < kMaxImages; ++i) {
    if ((slaves & image_bit(i)) == 0) continue;
    for (std::uint64_t at = 0; at < piece.length;) {
      const DifferingRun run = next_differing_run(memory[0], memory[i], at, piece.length, block);
      at = run.end;
      if (run.bytes == 0) break;
      into.bytes_differed[i - 1] += run.bytes;
      if (into.differences.size() == kReportedDifferences) continue;
      into.differences.push_back({i - 1, {piece.position + run.begin, run.end - run.begin}});
    }
  }
}

Recovery::Recovery(Membership& membership, PieceRunner& pieces, const Superblock& superblock, ExtentSet debt,
                   bool needs_slave)
    : membership_(membership),
      pieces_(pieces),
      mirror_size_(superblock.size),
      compare_block_(compare_block_of(superblock)),
      needs_slave_(needs_slave),
      debt_(debt),
      uncopied_(std::move(debt)) {}

Task<Status> Recovery::flush_master() {
  if (master_error_ == 0 && !mutated(Mutation::read_before_master_flush))
    master_error_ = co_await membership_.images()[0]->flush();
  co_return master_error_ == 0 ? Status::success() : Status::of(Code::MASTER_FAILED, 0, master_error_);
}

Task<Status> Recovery::flush_slaves() {
  const std::uint64_t ended = copies_ended_;  // a copy that ends while the flush runs is not of it
  const ImageSet slaves = mutated(Mutation::debt_retired_early) ? ImageSet{0} : membership_.receiving_slaves();
  ParallelOperation everywhere(membership_.images(), slaves, request_of(Operation::flush, {}, nullptr));
  const ParallelOperation::Results results = co_await everywhere;
  const Status status = co_await membership_.settle(results, Code::MASTER_FAILED);
  if (status.ok()) copies_flushed_ = std::max(copies_flushed_, ended);
  co_return status;
}

// One step's copying, shared by its pieces.
class Recovery::Copying final : public PieceWork {
 public:
  Copying(Recovery& recovery, bool compare, bool only_differing, CopyResult& into)
      : recovery_(recovery), compare_(compare), only_differing_(only_differing), into_(into) {}

  // Whether there is memory for the slaves' bytes too.
  bool reads_slaves() const { return compare_ || mutated(Mutation::recover_wrong_direction); }

  Task<Status> work_on(Extent piece, const PieceMemory& memory) override {
    const Status status = co_await copy(piece, memory);
    if (status.ok()) recovery_.uncopied_.remove(piece);
    co_return status;
  }

 private:
  Task<Status> copy(Extent piece, const PieceMemory& memory) {
    Membership& membership = recovery_.membership_;
    const ImageSet slaves = membership.receiving_slaves();
    if (slaves == 0) co_return recovery_.needs_slave_ ? Status::of(Code::NO_SLAVE) : Status::success();
    const ImageSet read_from = reads_slaves() ? static_cast<ImageSet>(slaves | 1u) : ImageSet{1};
    ParallelOperation reads(membership.images(), read_from, request_of(Operation::read, piece, nullptr));
    for (unsigned i = 0; i < kMaxImages; ++i) reads.set_memory(i, memory[i]);
    const ParallelOperation::Results results = co_await reads;
    if ((results.failed & 1u) != 0) co_return Status::of(Code::READ_FAILED, 0, results.errors[0], piece.position);
    if (results.failed != 0) {
      const Status status = co_await membership.settle(results, Code::MASTER_FAILED);
      if (!status.ok()) co_return status;
    }
    const ImageSet targets = slaves & static_cast<ImageSet>(~results.failed);
    if (only_differing_) co_return co_await write_what_differs(piece, targets, memory);
    if (compare_) count(piece, targets, memory);
    const unsigned from = mutated(Mutation::recover_wrong_direction) ? 1 : 0;
    co_return co_await recovery_.write_slaves(piece, targets, memory[from], into_);
  }

  void count(Extent piece, ImageSet slaves, const PieceMemory& memory) {
    for (unsigned i = 1; i < kMaxImages; ++i) {
      if ((slaves & image_bit(i)) == 0) continue;
      into_.bytes_differed[i - 1] += differing_bytes(memory[0], memory[i], piece.length);
    }
  }

  Task<Status> write_what_differs(Extent piece, ImageSet slaves, const PieceMemory& memory) {
    for (unsigned i = 1; i < kMaxImages; ++i) {
      if ((slaves & image_bit(i)) == 0) continue;
      for (std::uint64_t at = 0; at < piece.length;) {
        const DifferingRun run = next_differing_run(memory[0], memory[i], at, piece.length, recovery_.compare_block_);
        at = run.end;
        if (run.bytes == 0) break;
        into_.bytes_differed[i - 1] += run.bytes;
        const Extent extent{piece.position + run.begin, run.end - run.begin};
        const Status status = co_await recovery_.write_slaves(extent, image_bit(i), memory[0] + run.begin, into_);
        if (!status.ok()) co_return status;
      }
    }
    co_return Status::success();
  }

  Recovery& recovery_;
  const bool compare_;
  const bool only_differing_;
  CopyResult& into_;
};

Task<Status> Recovery::copy(std::span<const Extent> extents, bool compare, bool only_differing, CopyResult& into) {
  into.bytes_differed.assign(membership_.images().size() - 1, 0);
  into.bytes_copied.assign(membership_.images().size() - 1, 0);
  for (const Extent& extent : extents) BLOCKMIRROR_ASSERT(extent.end() <= mirror_size_, "a copy reaches too far");
  Copying copying(*this, compare || only_differing, only_differing, into);
  const ImageSet slaves = copying.reads_slaves() ? membership_.receiving_slaves() : ImageSet{0};
  ++copies_begun_;
  const Status status = co_await pieces_.run(extents, static_cast<ImageSet>(slaves | 1u), copying);
  ++copies_ended_;
  co_return status;
}

Task<Status> Recovery::write_slaves(Extent piece, ImageSet slaves, std::byte* bytes, CopyResult& into) {
  slaves &= membership_.receiving_slaves();
  if (mutated(Mutation::drop_last_sector)) piece.length -= 512;
  if (mutated(Mutation::recover_wrong_direction)) slaves = 1;
  ParallelOperation writes(membership_.images(), slaves, request_of(Operation::write, piece, bytes));
  const ParallelOperation::Results results = co_await writes;
  for (unsigned i = 1; i < membership_.images().size(); ++i) {
    if (((slaves & ~results.failed) & image_bit(i)) != 0) into.bytes_copied[i - 1] += piece.length;
  }
  const Status status = co_await membership_.settle(results, Code::MASTER_FAILED);
  if (!status.ok()) co_return status;
  const bool pointless = needs_slave_ && membership_.receiving_slaves() == 0;
  co_return pointless ? Status::of(Code::NO_SLAVE) : Status::success();
}

}  // namespace blockmirror
