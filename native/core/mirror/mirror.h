// Mirror: the running mirror. Its write path is claim 1 of US 6,671,705, steps 1 to 3:
// receive a write that names a portion; keep a log of entries naming the portions; only after the entry is stored,
// start the write to the master and to every slave, in parallel.
//
// Invariants:
//  - I1, I6: a write holds its range, then a lease on a durable intent, then goes to all receiving images at once.
//  - I4, I5: it is acknowledged when all receiving images have it and every fracture so far is durable.
//  - I6: the bytes of a partial block that a write does not name are read and written back under its own lock, so that
//    two writers of one block never undo one another.
//  - I5, I14: what a slave that is out misses is owed before the write is submitted; what one that goes out may have lost,
//    when it does. Their maps are written before anything of it is retired.
//  - minInSync: a write is admitted, and acknowledged, only while that many images are in sync, the master counted. A write
//    during which a slave goes out, so that too few are left, is answered TOO_FEW_IN_SYNC once the fracture is durable (I5):
//    it stands on the master and on those in sync, is owed by the slave that went, and is never undone, so that what was
//    read of it stays (I4). To its caller it is a failed write like any other; of a partial block the bytes that it does not
//    name hold what they held. datasync flushes, and answers the same: an acknowledged write may be durable on fewer.
//    Without any slave the master goes on under the same intents: every slave owes them.
//  - I2: retirement follows a flush of all receiving images. Before it each of them is asked what its file lost: a loss
//    fails the image as an error would, for what it held there is gone without an error (I11).
//  - I11: a failed write or flush of the master stops the mirror; of a slave, fails that slave. Never retried. Both the
//    moment the image answers, while others may not have answered yet: it may have lost its cache in the same reset, and a
//    flush of it that succeeds afterwards says nothing about what was in it. So whoever looks after that, before it relies
//    on a flush, a dsync or a read, finds the mirror stopped, or a fracture that must be durable first (I2, I4, I5).
//  - I12: once the log failed, nothing is acknowledged, covered or not.
//  - A block that the master cannot read is served from a slave in sync, under the range held alone, and rewritten under
//    a live intent (master_repair.h). kFailedRepairs rewrites that did not help stop the mirror: the master is dying.
//    One that the device answered with an error stops it at once, like any other write (I11).
//  - A write may take its bytes from a slave that receives writes and owes none of them (write_from()): read under the range
//    that the write holds, and asked again when it is submitted, it is a write like any other (I6, I10).
// Bounded: kAdmitted requests hold or wait for a range, the others wait before that; kRepairsAtOnce repairs run.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "../base/call_off.h"
#include "../base/counters.h"
#include "../base/device.h"
#include "../base/extent.h"
#include "../base/limits.h"
#include "../base/outcome.h"
#include "../base/runtime.h"
#include "../base/task.h"
#include "../format/superblock.h"
#include "../images/debts.h"
#include "../images/master_repair.h"
#include "../images/membership.h"
#include "../images/piece_runner.h"
#include "../images/range_lock.h"
#include "../images/results.h"
#include "../log/intent_log.h"

namespace blockmirror {

class Mirror final : private FailureListener {
 public:
  Mirror(Runtime& runtime, Membership& membership, Debts& debts, MasterRepair& repair, const Superblock& superblock,
         const IntentLogStart& start, Counters& counters);
  ~Mirror();
  Mirror(const Mirror&) = delete;
  Mirror& operator=(const Mirror&) = delete;

  Task<Outcome> write(Extent extent, std::span<const std::byte> bytes, bool durable, CallOff* call_off);
  Task<Outcome> write_partial(Extent extent, std::span<std::byte> bytes, PartialBlocks partial, bool durable,
                              CallOff* call_off);
  Task<Outcome> discard(Extent extent);
  // A write of what that slave holds there, durable on every image when it answers. UNUSABLE_SOURCE: the slave receives no
  // writes, or owes any of it; READ_FAILED of that slave: nothing was written. The extent lies inside one region; `memory` has
  // room for it, of the master and of that slave.
  Task<Outcome> write_from(unsigned slave, Extent extent, const PieceMemory& memory, SourceResult& into);
  Task<Outcome> read(Extent extent, std::span<std::byte> into);
  Task<Outcome> flush();
  Task<Outcome> retire_all();
  // Reads every image of `images` into its buffer under one shared lock of the range; what the master cannot read is
  // mended first.
  Task<ParallelOperation::Results> read_images(Extent extent, ImageSet images, std::span<std::byte* const> into);

  // Refuses new requests, waits for those accepted, retires everything, ends the background work.
  Task<Outcome> close();

  // Takes slaves out at one point in time: no write is under way, and all are flushed, when they go. `into.common`: every one
  // of them holds that point, and its label says so. A slave that fails meanwhile is out by its own error.
  // TOO_FEW_IN_SYNC: fewer images than minInSync would be left; none was taken out.
  Task<Outcome> fracture(ImageSet slaves, FractureResult& into);

  // Of a recovery before the first request, of a crash that no opening has served requests over: what the master cannot read of
  // the debt may be chosen from a slave.
  void choose_from_slaves(bool may) { chooses_ = may; }

  // --- for a resync

  // Copies what the master holds there to those slaves that still receive, under the range (I3, I6). `copied`: to which.
  // READ_FAILED: the master cannot read it, and no slave may stand in. `memory` has room for it, of the master, and of the
  // slaves where they are compared. `into` has an entry for each slave.
  Task<Outcome> copy_to_slaves(Extent piece, ImageSet slaves, CopyWay way, const PieceMemory& memory, CopyResult& into,
                               ImageSet& copied);
  // A slave that fails it is out. `flushed`: those that were flushed.
  Task<Outcome> flush_slaves(ImageSet slaves, ImageSet& flushed);
  // Those among them that erred are out, durably.
  Task<Outcome> fail_slaves(ParallelOperation::Results results);
  // Makes changes of membership durable, as the settlement of a request does.
  Task<Outcome> record_changes() { return settle({}); }
  // Writes the superblock as it is. A failure stops the mirror.
  Task<Outcome> record_progress();
  // Until every write that was under way has ended: after it no request of before may land on an image any more (I11).
  Task<void> writes_landed();
  // Until an operator's fracture that is under way has been answered: a slave does not come back before it is told to be out.
  Task<void> fracture_ended();
  // From the one to the other a slave is on its way back, and no fracture that names it begins: it would be told to be out
  // while it is about to receive writes. False: it is on its way already.
  bool begin_return(unsigned slave);
  void end_return(unsigned slave);

  // A slave has just been fractured, and its debt begins: what it may have lost is owed. The newest tail so far.
  std::uint64_t begin_debt(unsigned slave);
  // Writes the maps of all that are out, so that the log may retire what they missed (I14). A failure stops the mirror.
  Task<Outcome> write_maps();

  IntentLog& log() { return intents_; }
  const IntentLog& log() const { return intents_; }
  const Outcome& stopped() const { return stopped_; }
  void stop(Outcome outcome);
  std::uint64_t requests_in_flight() const { return requests_in_flight_; }

 private:
  class RequestInFlight;  // counts a request in and out
  struct Source;          // the slave that a write takes its bytes from
  // What a write's memory is filled with under its range.
  struct Filling {
    PartialBlocks partial;
    const Source* source = nullptr;
    bool any() const { return partial.any() || source != nullptr; }
  };
  Task<Outcome> write_images(const DeviceRequest& model, Extent extent, Filling filling, CallOff* call_off);
  Task<Outcome> fill(Extent extent, std::byte* bytes, Filling filling);
  Task<Outcome> read_source(Extent extent, const Source& source);
  Task<void> count_changes(Extent extent, const Source& source);
  Outcome may_give(const Source& source, Extent extent) const;
  Task<Outcome> complete_blocks(Extent extent, std::byte* bytes, PartialBlocks partial);
  Task<ParallelOperation::Results> read_images_once(Extent extent, ImageSet images, std::span<std::byte* const> into);
  // After the master failed to read the extent. Takes the range. `repairs`: what was rewritten is told there, if not null.
  Task<Outcome> read_mended(Extent extent, std::span<std::byte> into, std::vector<Repair>* repairs = nullptr);
  // The caller holds the extent, widened to repair_.block_length(), exclusively.
  Task<Outcome> read_held(Extent extent, std::span<std::byte> into, std::vector<Repair>* repairs = nullptr);
  Task<Outcome> read_block(Extent block, std::span<std::byte> into, std::vector<Repair>* repairs);
  // Whether the master holds it again.
  Task<bool> mend(Extent block, std::span<const std::byte> bytes, ImageIndex from);
  void settle_failed_repair(Extent block, const Outcome& outcome);
  Task<Outcome> copy_held(Extent piece, ImageSet slaves, CopyWay way, const PieceMemory& memory, CopyResult& into,
                          ImageSet& copied);
  Task<Outcome> write_copy(Extent extent, ImageSet slaves, std::byte* bytes, CopyResult& into);
  Task<Outcome> write_what_differs(Extent piece, ImageSet slaves, const PieceMemory& memory, CopyResult& into);
  Task<void> read_what_can_be(Extent piece, unsigned slave, const PieceMemory& memory, std::vector<Extent>& unread);
  Task<Outcome> read_back_unread(Extent piece, unsigned slave, const PieceMemory& memory,
                                 const std::vector<Extent>& unread, CopyResult& into);
  void image_failed(unsigned image, Operation operation, int error) override;
  Task<void> note_master_failure();
  bool is_unmended(Extent extent) const;
  void note_written(Extent extent);
  Task<void> admit();
  void leave();
  Outcome may_go_on() const;
  Outcome may_write() const;
  Outcome enough_in_sync() const;
  // Of images that a write was sent to: those that receive no more owe it.
  void owe_lost(ImageSet targets, Extent extent);
  Task<Outcome> flush_images();
  Task<Outcome> settle(ParallelOperation::Results results);
  Task<Outcome> retirement_pass(bool everything);
  Task<Outcome> settle_losses(bool now);
  Task<void> retirement_loop();
  void note_activity();
  void wait_for_quiet();
  static void quiet_timer_fired(void* mirror);

  static constexpr unsigned kAdmitted = 1024;
  static constexpr unsigned kRepairsAtOnce = 4;
  static constexpr unsigned kFailedRepairs = 8;
  // With no write for this long, everything is retired: a quiet mirror needs no recovery at all.
  static constexpr std::uint64_t kQuietPeriod_ns = 250'000'000;

  Runtime& runtime_;
  Membership& membership_;
  Debts& debts_;
  MasterRepair& repair_;
  Counters& counters_;
  const std::uint64_t size_;
  const std::uint32_t block_size_;
  const std::uint32_t physical_block_size_;
  IntentLog intents_;
  RangeLock ranges_;

  Outcome stopped_;
  bool master_failure_noted_ = false;
  bool closing_ = false;
  bool chooses_ = false;
  bool loop_ended_ = false;
  std::uint64_t requests_in_flight_ = 0;
  std::uint64_t writes_in_flight_ = 0;
  unsigned admitted_ = 0;
  Condition admission_;
  Condition drained_;

  bool flush_running_ = false;
  std::uint64_t flushes_begun_ = 0;
  std::uint64_t flushes_ended_ = 0;
  Condition flush_ended_;

  unsigned repairs_under_way_ = 0;
  unsigned failed_repairs_ = 0;
  std::vector<Extent> unmended_;  // blocks whose rewrite failed; the master is not asked for them
  Condition repair_ended_;
  // Under pressure passes follow one another many times a second.
  static constexpr std::uint64_t kLookForLosses_ns = 10'000'000'000;

  std::array<std::uint64_t, 2> landing_{};  // writes under way, by the turn of writes_landed() in which they began
  unsigned landing_turn_ = 0;
  bool awaiting_landing_ = false;
  bool admission_stopped_ = false;  // no write starts on any image
  ImageSet returning_ = 0;
  Condition admission_opened_;
  Condition landed_;
  bool writing_maps_ = false;
  Condition maps_written_;
  bool retiring_ = false;
  std::uint64_t losses_looked_for_ns_ = 0;
  bool quiet_ = false;
  std::uint64_t writes_seen_ = 0;
  std::uint64_t writes_at_last_look_ = 0;
  Timer quiet_timer_;
  Signal retirement_wanted_;
  Condition retirement_ended_;
};

}  // namespace blockmirror
