// Reads that the master does not answer, and what is rewritten for them. docs/ARCHITECTURE.md says why a slave may.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "../base/data_buffer.h"
#include "../base/mutation.h"
#include "mirror.h"

namespace blockmirror {

bool Mirror::is_unmended(Extent extent) const {
  return std::any_of(unmended_.begin(), unmended_.end(), [&](const Extent& block) { return block.overlaps(extent); });
}

// A write reached every image that receives, the master included: whole blocks of it hold what they should again.
void Mirror::note_written(Extent extent) {
  std::erase_if(unmended_, [&](const Extent& block) { return extent.contains(block); });
}

Task<Outcome> Mirror::read_mended(Extent extent, std::span<std::byte> into, std::vector<Repair>* repairs) {
  while (repairs_under_way_ >= kRepairsAtOnce) co_await repair_ended_.wait();
  ++repairs_under_way_;
  Outcome outcome;
  {
    const auto mode = mutated(Mutation::repair_beside_writes) ? RangeLock::Mode::shared : RangeLock::Mode::exclusive;
    RangeLock::Guard held(ranges_, extent.widened(repair_.block_length()), mode);  // I6
    co_await held;
    outcome = co_await read_held(extent, into, repairs);
  }
  --repairs_under_way_;
  repair_ended_.wake_one();
  co_return outcome;
}

Task<Outcome> Mirror::read_held(Extent extent, std::span<std::byte> into, std::vector<Repair>* repairs) {
  if (stopped_.code == Code::MASTER_FAILED) co_return stopped_;
  // Somebody may have written it since it failed, and a bus that was reset answers again.
  if (!is_unmended(extent) && co_await membership_.master_device().read(extent.position, into) == 0) {
    co_return Outcome::success();
  }
  const std::uint64_t length = repair_.block_length();
  DataBuffer buffer(length);
  if (buffer.empty()) co_return Outcome::of(Code::NO_MEMORY, kNoImage, ENOMEM);
  const Extent wide = extent.widened(length).clipped(size_);
  for (std::uint64_t at = wide.position; at < wide.end(); at += length) {
    const Extent block{at, std::min(length, wide.end() - at)};
    const Outcome outcome = co_await read_block(block, buffer.first(block.length), repairs);
    if (!outcome.ok()) co_return outcome;
    const std::uint64_t begin = std::max(block.position, extent.position), end = std::min(block.end(), extent.end());
    std::memcpy(into.data() + (begin - extent.position), buffer.span().data() + (begin - at), end - begin);
  }
  co_return Outcome::success();
}

Task<Outcome> Mirror::read_block(Extent block, std::span<std::byte> into, std::vector<Repair>* repairs) {
  int error = EIO;
  if (!is_unmended(block)) {
    error = co_await membership_.master_device().read(block.position, into);
    if (error == 0) co_return Outcome::success();
  }
  const ImageSet slaves = membership_.receiving_slaves();
  ImageIndex from = kNoImage;
  co_await repair_.read_slave(block, without(slaves, debts_.owing_in(slaves, block)), into, from);
  // What a crash left owed by all of them: what any of them holds is as right as what the master held (I3), once the master
  // holds it for certain, and as long as nobody has read there (I4). With a slave that was paid there, or never wrote there,
  // only that one may stand in.
  const bool unpaid = chooses_ && from == kNoImage && slaves != 0 && debts_.owing_all_of(slaves, block) == slaves;
  if (unpaid) co_await repair_.read_slave(block, slaves, into, from);
  if (stopped_.code == Code::MASTER_FAILED) co_return stopped_;
  if (from == kNoImage) {
    repair_.note_unreadable(block, error);
    co_return membership_.of_master(Code::READ_FAILED, error, block.position);
  }
  const bool mended = !is_unmended(block) && co_await mend(block, into, from);
  if (stopped_.code == Code::MASTER_FAILED) co_return stopped_;
  if (mended && repairs != nullptr && repairs->size() < kReportedRepairs) {
    repairs->push_back({membership_.master(), static_cast<unsigned>(from), block});
  }
  if (unpaid && !mended) co_return membership_.of_master(Code::READ_FAILED, error, block.position);
  co_return Outcome::success();
}

// The bytes stay right whatever happens to that slave meanwhile: the range is held, so nobody writes it.
Task<bool> Mirror::mend(Extent block, std::span<const std::byte> bytes, ImageIndex from) {
  if (!may_go_on().ok()) co_return false;  // it stays as it is
  IntentLog::Lease lease;
  if (!mutated(Mutation::repair_without_intent)) {
    const Outcome covered = co_await intents_.cover(block.widened(repair_.block_length()), lease);  // I1
    if (!covered.ok()) co_return false;
  }
  note_activity();
  bool mended = false;
  if (may_go_on().ok()) {
    ++writes_in_flight_;
    const Outcome outcome = co_await repair_.rewrite(block, bytes, from);
    --writes_in_flight_;
    mended = outcome.ok();
    const bool tried = outcome.code != Code::NO_MEMORY;
    if (!outcome.ok() && tried) settle_failed_repair(block, outcome);
    co_await note_master_failure();
  }
  intents_.settle(lease);
  co_return mended;
}

// A device whose write failed may have lost its cache with it, and a later flush would then succeed without what was
// acknowledged (I4): that stops the mirror as the failure of any write does. A block that was written and still cannot be
// read has each sector either rewritten with what it has to hold, or as unreadable as before. Whatever it answers from here
// on is not believed (I11) until a write has replaced all of it.
void Mirror::settle_failed_repair(Extent block, const Outcome& outcome) {
  unmended_.push_back(block);
  const bool overlooked = outcome.code == Code::MASTER_FAILED && mutated(Mutation::lying_master_copied);
  if (outcome.code == Code::MASTER_FAILED && !overlooked) return stop(outcome);
  const bool forgiven = overlooked || outcome.code == Code::READ_FAILED || mutated(Mutation::repair_failure_forgiven);
  const bool tolerated = forgiven && ++failed_repairs_ < kFailedRepairs;
  if (tolerated) return;
  stop(membership_.of_master(Code::MASTER_FAILED, outcome.system_error, block.position));
}

}  // namespace blockmirror
