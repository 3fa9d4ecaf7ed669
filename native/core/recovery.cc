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

ImageBuffers::ImageBuffers(ImageSet images, std::size_t length) : buffers(kMaxImages), pointers(kMaxImages, nullptr) {
  for (unsigned i = 0; i < kMaxImages; ++i) {
    if ((images & image_bit(i)) == 0) continue;
    buffers[i] = AlignedBuffer(length);
    pointers[i] = buffers[i].span().data();
  }
}

std::uint64_t compare_block_of(const Superblock& superblock) {
  return std::max<std::uint64_t>(kSmallestCompareBlock, superblock.block_size);
}

void count_differences(Extent piece, std::uint64_t block, ImageSet slaves, const ImageBuffers& images,
                       CompareResult& into) {
  for (unsigned i = 1; i < kMaxImages; ++i) {
    if ((slaves & image_bit(i)) == 0) continue;
    bool adjacent = false;
    for (std::uint64_t at = 0; at < piece.length; at += block) {
      const std::uint64_t length = std::min(block, piece.length - at);
      const std::uint64_t bytes = differing_bytes(images.pointers[0] + at, images.pointers[i] + at, length);
      if (bytes == 0) {
        adjacent = false;
        continue;
      }
      into.bytes_differed[i - 1] += bytes;
      if (adjacent) {
        into.differences.back().extent.length += length;
      } else if (into.differences.size() < kReportedDifferences) {
        into.differences.push_back({i - 1, {piece.position + at, length}});
        adjacent = true;
      }
    }
  }
}

Recovery::Recovery(Membership& membership, const Superblock& superblock, ExtentSet debt, bool needs_slave)
    : membership_(membership),
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

Task<Status> Recovery::copy(Extent extent, bool compare, bool only_differing, CopyResult& into) {
  into.bytes_differed.assign(membership_.images().size() - 1, 0);
  into.bytes_copied.assign(membership_.images().size() - 1, 0);
  BLOCKMIRROR_ASSERT(extent.end() <= mirror_size_ && extent.length <= kCopyLength, "a copy reaches too far");
  ++copies_begun_;
  const Status status = co_await copy_piece(extent, compare || only_differing, only_differing, into);
  if (status.ok()) uncopied_.remove(extent);
  ++copies_ended_;
  co_return status;
}

Task<Status> Recovery::copy_piece(Extent piece, bool compare, bool only_differing, CopyResult& into) {
  const ImageSet slaves = membership_.receiving_slaves();
  if (slaves == 0) co_return needs_slave_ ? Status::of(Code::NO_SLAVE) : Status::success();
  const ImageSet read_from = compare ? static_cast<ImageSet>(slaves | 1u) : ImageSet{1};
  ImageBuffers images(read_from, piece.length);
  ParallelOperation reads(membership_.images(), read_from, request_of(Operation::read, piece, nullptr));
  for (unsigned i = 0; i < kMaxImages; ++i) reads.set_memory(i, images.pointers[i]);
  const ParallelOperation::Results results = co_await reads;
  if ((results.failed & 1u) != 0) co_return Status::of(Code::READ_FAILED, 0, results.errors[0], piece.position);
  if (results.failed != 0) {
    const Status status = co_await membership_.settle(results, Code::MASTER_FAILED);
    if (!status.ok()) co_return status;
  }
  const ImageSet targets = slaves & static_cast<ImageSet>(~results.failed);
  CompareResult compared;
  compared.bytes_differed.assign(into.bytes_differed.size(), 0);
  if (compare) count_differences(piece, compare_block_, targets, images, compared);
  for (std::size_t i = 0; i < compared.bytes_differed.size(); ++i) into.bytes_differed[i] += compared.bytes_differed[i];
  const unsigned from = mutated(Mutation::recover_wrong_direction) ? 1 : 0;
  if (!only_differing) co_return co_await write_slaves(piece, targets, images.pointers[from], into);
  for (const Difference& difference : compared.differences) {
    const ImageSet target = targets & image_bit(difference.slave + 1);
    std::byte* bytes = images.pointers[0] + (difference.extent.position - piece.position);
    const Status status = co_await write_slaves(difference.extent, target, bytes, into);
    if (!status.ok()) co_return status;
  }
  co_return Status::success();
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
