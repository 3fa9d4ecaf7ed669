// Write-intent log: makes intents durable before data moves, and retires them after a flush.
//
// Invariants:
//  - I1: cover() returns only when every block of the extent stands in a durable record that no submitted tail has
//    passed; the lease it gives keeps the blocks from being retired until settle().
//  - I2: a region is retired only when no lease is held and its last write settled before a flush of every in-sync
//    image began that has since succeeded (flush_begins, flush_succeeded). Its blocks stop covering the moment the
//    record that retires them is composed.
//  - I2, I14: as long as a fractured slave's debt is held by a map, no region is retired whose missed blocks the maps do not
//    hold, and no tail passes the one at the fracture before its map was begun (require_maps, maps_durable).
//  - I12: a record that failed fails everybody in its group and the whole log; its sequence is not used again.
//  - I13: `tail` of a record passes only statements that are retired, or carried by the record itself; a slot is reused
//    only when a durable tail has passed it. The last slots are kept for records that move the tail, so that a full
//    ring always empties.
//  - Nobody starves: room in the budget is given first come first served, and when a pass made no room because its
//    regions are written without pause, the oldest of them are barred: no new lease until they are retired.
// Group commit: records are composed at the end of a loop turn, so that all intents of a turn, and those that arrive
// while the records in flight are being written, share one.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "../base/aligned_buffer.h"
#include "../base/counters.h"
#include "../base/device.h"
#include "../base/extent.h"
#include "../base/limits.h"
#include "../base/outcome.h"
#include "../base/runtime.h"
#include "../base/task.h"
#include "../format/record.h"
#include "../format/superblock.h"
#include "coverage.h"
#include "granularity.h"

namespace blockmirror {

// A log may allow more at once (in_flight_limit); we write fewer, so that what a disk says takes no memory of ours.
inline constexpr std::uint32_t kMostRecordsInFlight = 64;

struct IntentLogStart {
  Uuid log_uuid;
  RingGeometry ring;
  std::uint32_t opening = 0;
  std::uint64_t next_sequence = 0;  // first record to write
  std::uint64_t tail = 0;           // durable tail of the ring as it was scanned
  bool live_before = false;         // the scan found live intents behind it
  std::uint64_t recovery_budget = kDefaultRecoveryBudget;
  std::uint64_t regions = UINT64_MAX;  // of the mirror: nothing behind them is covered ahead of a stream
};

class IntentLog {
 public:
  IntentLog(Runtime& runtime, Device& device, const IntentLogStart& start, Counters& counters);
  ~IntentLog();
  IntentLog(const IntentLog&) = delete;
  IntentLog& operator=(const IntentLog&) = delete;

  struct Lease {
    Region* region = nullptr;
    BlockSet blocks;  // that the write may change
  };
  // `extent` lies inside one region and is widened to the largest physical block by the caller.
  Task<Outcome> cover(Extent extent, Lease& lease);
  void settle(Lease& lease);

  // A flush of every in-sync image is about to be submitted; the number goes to flush_succeeded if it succeeds on all.
  std::uint64_t flush_begins() { return ++flush_epoch_; }
  void flush_succeeded(std::uint64_t mark);

  // A slave was fractured: from here on nothing is retired and no tail moves until maps_durable(). The tail is what its
  // fracture has to state: a scan that finds no newer one needs no map of it.
  std::uint64_t require_maps();
  // The debts are about to be written to the maps as they are now; the number goes to maps_durable() when they are durable
  // and no slave was fractured meanwhile.
  std::uint64_t maps_begin() { return ++flush_epoch_; }
  void maps_durable(std::uint64_t mark);
  // No slave has a debt that a map holds.
  void maps_not_needed();
  // Blocks of settled writes that no flush of all images is known to hold: what an image that goes out now may have lost.
  // Of writes that have not settled their own settlement tells.
  template <typename Visitor>
  void for_each_unflushed(Visitor visit) const {
    coverage_.for_each([&](const Region& region) {
      const BlockSet blocks = region.unflushed(safe_mark_);
      if (!blocks.empty()) visit(region.index, blocks);
    });
  }

  struct RetirementGoal {
    std::uint64_t live_blocks = 0;  // go on until no more than these are live
    std::uint64_t tail = 0;         // and the tail has reached this sequence
    bool spare_hot = true;          // carry regions that were written again since they were last stated
  };
  // One pass over what was stated when it began: retires what may be, carries the rest. Reports LOG_FAILED.
  Task<Outcome> retire(RetirementGoal goal);
  // A record without an intent, for its tail: with nothing live it is itself.
  Task<Outcome> write_empty_record();
  // The ring still names what was live before this opening, and no retirement has a reason to write a record.
  bool names_what_was_before() const { return live_before_ && durable_tail_ < first_sequence_; }
  void set_generation(std::uint64_t counter) { generation_ = counter; }

  // The recovery budget from now on. Answers when what is live fits into it, or the log failed: until then no region gains
  // a block, and those that are written without pause are barred, so that they drain.
  Task<Outcome> set_budget(std::uint64_t bytes);
  std::uint64_t budget() const { return budget_; }

  // Whether the background should retire now: budget or ring are running low.
  bool wants_retirement() const;
  RetirementGoal goal_under_pressure() const;
  void on_retirement_wanted(Signal& signal) { retirement_wanted_ = &signal; }
  // Somebody waits for room in the budget or the ring, which only a retirement makes.
  bool starves() const { return starves_for_budget_ || starves_for_ring_ || over_budget(); }
  // After a pass that left somebody starving. Raises the wish for another pass when it barred anything new.
  void bar_oldest();

  // Fails everybody who waits and whoever comes later with `outcome`.
  void fail(Outcome outcome);
  const Outcome& failure() const { return failure_; }
  // Until no record is in flight, or the log failed. What is queued may follow.
  Task<void> records_landed();
  // Ends the background work; the log accepts nothing afterwards.
  Task<void> shut_down();

  std::uint64_t live_bytes() const { return coverage_.live_blocks() * kIntentBlockLength; }
  std::uint64_t regions() const { return coverage_.regions(); }
  std::uint64_t next_sequence() const { return next_sequence_; }
  std::uint64_t durable_tail() const { return durable_tail_; }
  std::uint64_t durable_through() const { return durable_through_; }

 private:
  struct Stated {
    Region* region;
    BlockSet blocks;
  };
  struct RecordInFlight {
    AlignedBuffer buffer;
    std::uint64_t sequence = 0;
    std::uint64_t tail = 0;
    std::uint64_t retired_blocks = 0;
    bool busy = false;
    bool of_pass = false;  // moves the tail for the pass under way, which waits for it
    std::vector<Stated> stated;
    std::vector<Intent> intents;
  };
  struct Order {  // the retirement pass under way
    RetirementGoal goal;
    std::uint64_t limit = 0;          // sequences below it belong to the pass
    std::uint64_t last_sequence = 0;  // newest record composed for it
    bool ended = false;
  };

  Task<void> writer_loop();
  Task<void> write_record(RecordInFlight& record);
  RecordInFlight* compose();
  std::span<std::byte> memory_of(RecordInFlight& record);
  void compose_retirement(RecordInFlight& record, unsigned& units_left);
  void compose_queue(RecordInFlight& record, unsigned& units_left);
  void state(RecordInFlight& record, Region& region, const BlockSet& blocks, unsigned& units_left);
  struct Reach {
    std::uint64_t tail;
    bool ends;  // the pass has nothing more to do; otherwise it waits for a record in flight, or needs another record
  };
  Reach reach(unsigned units_left) const;
  bool may_retire(const Region& region) const;
  void settle_record(RecordInFlight& record, int error);
  void advance_durable_through();
  std::uint64_t oldest_in_flight() const;
  // Live bytes at which retirement begins, and up to which regions are covered ahead of a stream.
  std::uint64_t pressure_mark() const { return budget_ - budget_ / 4; }
  std::uint64_t ahead_mark() const { return budget_ - budget_ / 8; }
  std::uint64_t free_slots() const { return durable_tail_ + ring_.record_count - next_sequence_; }
  // Only a budget that was lowered is ever below what is live.
  bool over_budget() const { return live_bytes() > budget_; }
  std::uint64_t tail_if_composed_now() const;
  bool reserve_blocks(Region& region, const BlockSet& needed);
  void cover_ahead(const Region& region, const BlockSet& needed);
  Task<void> wait_for_budget(Region& region, const BlockSet& needed);
  bool is_asked_for(const Region& region, const BlockSet& needed) const {
    return (region.covered | region.pending).contains(needed);
  }
  void want_retirement();
  void wake_waiters_of(Region& region);
  void lift_bar(Region& region);
  void lift_bars();
  void enqueue(Region& region);

  static constexpr std::uint64_t kNoLimit = UINT64_MAX;
  static constexpr std::uint64_t kReservedSlots = 2;  // for records that move the tail

  Runtime& runtime_;
  Device& device_;
  Counters& counters_;
  Uuid log_uuid_;
  RingGeometry ring_;
  std::uint32_t opening_;
  std::uint64_t generation_ = 0;
  std::uint64_t budget_;
  unsigned capacity_units_;
  const std::uint64_t mirror_regions_;
  Granularity granularity_;
  Coverage coverage_;

  const std::uint64_t first_sequence_;
  const bool live_before_;
  std::uint64_t next_sequence_;
  std::uint64_t durable_through_;
  std::uint64_t durable_tail_;
  std::uint64_t newest_tail_;  // of any record composed
  std::vector<RecordInFlight> records_;
  unsigned in_flight_ = 0;
  std::vector<Region*> queue_;  // regions to be stated, first come first
  std::size_t queue_head_ = 0;

  std::uint64_t flush_epoch_ = 0;
  std::uint64_t safe_mark_ = 0;  // newest flush that succeeded on all images
  // What settled in an epoch below it is in the maps of all slaves that missed it; kNoLimit: no map is needed.
  std::uint64_t maps_mark_ = kNoLimit;
  std::uint64_t tail_limit_ = kNoLimit;  // no record states a higher tail
  std::optional<Order> order_;
  bool empty_record_wanted_ = false;

  Outcome failure_;
  bool shutting_down_ = false;
  bool loop_ended_ = true;
  Condition work_;            // the writer may have something to compose
  Condition record_settled_;  // a record became durable or failed
  Condition budget_freed_;    // for the one whose turn it is
  Condition budget_turn_;     // the turn is handed over, first come first served
  Condition budget_fits_;     // what is live fits into it again
  bool budget_turn_taken_ = false;
  bool starves_for_budget_ = false;
  bool starves_for_ring_ = false;
  std::vector<Region*> barred_;
  Signal* retirement_wanted_ = nullptr;
};

}  // namespace blockmirror
