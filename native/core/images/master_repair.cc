#include "master_repair.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "../base/data_buffer.h"
#include "../base/mutation.h"
#include "differences.h"

namespace blockmirror {

std::uint64_t MasterRepair::block_length() const {
  return std::max<std::uint64_t>(compare_block_of(superblock_), superblock_.physical_block_size);
}

Task<void> MasterRepair::read_slave(Extent block, ImageSet slaves, std::span<std::byte> into, ImageIndex& from) {
  from = kNoImage;
  // Not into the caller's memory: a read that is past its deadline may still land.
  for (const unsigned i : indices_of(membership_.slaves() & slaves)) {
    const bool gives = membership_.may_serve(i) || mutated(Mutation::repair_from_unproven_slave);
    if (!gives || (membership_.receiving() & image_bit(i)) == 0) continue;
    DataBuffer found(block.length);
    if (found.empty()) co_return;
    if (co_await membership_.images()[i]->read(block.position, found.span()) != 0) continue;
    // It may have failed a write meanwhile, and lost its cache before this read.
    if (!membership_.may_serve(i) && !mutated(Mutation::repair_from_unproven_slave)) continue;
    std::memcpy(into.data(), found.span().data(), block.length);
    from = static_cast<ImageIndex>(i);
    co_return;
  }
}

Task<Outcome> MasterRepair::rewrite(Extent block, std::span<const std::byte> bytes, ImageIndex from) {
  Device& master = membership_.master_device();
  DataBuffer written(block.length);  // before the write, which must be read back
  if (written.empty()) co_return Outcome::of(Code::NO_MEMORY, kNoImage, ENOMEM);
  int error = co_await master.write(block.position, bytes, true);
  if (error != 0) {
    ++counters_.repairsFailed;
    co_return membership_.of_master(Code::WRITE_FAILED, error, block.position);
  }
  if (!mutated(Mutation::repair_not_read_back)) {
    error = co_await master.read(block.position, written.span());
    if (error == 0 && std::memcmp(written.span().data(), bytes.data(), block.length) != 0) {
      ++counters_.repairsFailed;
      co_return membership_.of_master(Code::MASTER_FAILED, kWrongBytes, block.position);
    }
  }
  if (error != 0) {
    ++counters_.repairsFailed;
    co_return membership_.of_master(Code::READ_FAILED, error, block.position);
  }
  note({membership_.master(), static_cast<unsigned>(from), block});
  co_return Outcome::success();
}

void MasterRepair::note(const Repair& repair) {
  recent_.repairs[recent_.count % kRecentRepairs] = repair;
  ++recent_.count;
  ++counters_.repairs;
  if (membership_.history() == nullptr) return;
  Event event = membership_.event_of(EventKind::repaired, repair.image);
  event.cause = FractureCause::read_error;
  event.extent = repair.extent;
  event.bytes = repair.extent.length;
  membership_.history()->gather(std::move(event));
}

void MasterRepair::note_unreadable(Extent block, int error) {
  if (membership_.history() == nullptr) return;
  Event event = membership_.event_of(EventKind::error, membership_.master());
  event.cause = FractureCause::read_error;
  event.error = error;
  event.extent = block;
  event.bytes = block.length;
  membership_.history()->gather(std::move(event));
}

}  // namespace blockmirror
