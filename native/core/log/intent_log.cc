#include "intent_log.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "../base/headroom.h"
#include "../base/mutation.h"

namespace blockmirror {

IntentLog::IntentLog(Runtime& runtime, Device& device, const IntentLogStart& start, Counters& counters)
    : runtime_(runtime),
      device_(device),
      counters_(counters),
      log_uuid_(start.log_uuid),
      ring_(start.ring),
      opening_(start.opening),
      budget_(start.recovery_budget),
      capacity_units_(record_capacity(start.ring.record_size)),
      mirror_regions_(start.regions),
      granularity_(start.recovery_budget),
      first_sequence_(start.next_sequence),
      live_before_(start.live_before),
      next_sequence_(start.next_sequence),
      durable_through_(start.next_sequence - 1),
      durable_tail_(start.tail),
      newest_tail_(start.tail),
      records_(std::min(start.ring.in_flight_limit, kMostRecordsInFlight)),
      work_(runtime),
      record_settled_(runtime),
      budget_freed_(runtime),
      budget_turn_(runtime),
      budget_fits_(runtime) {
  BLOCKMIRROR_ASSERT(budget_ >= kMinimumRecoveryBudget, "the recovery budget is below one region");
  for (RecordInFlight& record : records_) {
    record.buffer = AlignedBuffer(ring_.record_size);
    record.stated.reserve(capacity_units_);
    record.intents.reserve(capacity_units_);
  }
  loop_ended_ = false;
  spawn(writer_loop());
}

IntentLog::~IntentLog() { BLOCKMIRROR_ASSERT(loop_ended_ && in_flight_ == 0, "the log was destroyed while it works"); }

// --- cover and settle: the foreground

Task<Outcome> IntentLog::cover(Extent extent, Lease& lease) {
  const BlockSet needed = Coverage::blocks_of(extent);
  Region& region = coverage_.find_or_add(extent.position / kRegionLength);
  ++region.pins;
  bool logged = false;
  while (failure_.ok() && (region.barred || !region.covered.contains(needed))) {
    logged = true;
    if (!region.barred && !is_asked_for(region, needed) && (budget_turn_taken_ || !reserve_blocks(region, needed))) {
      ++counters_.budgetWaits;
      co_await wait_for_budget(region, needed);
      continue;
    }
    struct WaitForRegion : Waiter {
      Region& region;
      explicit WaitForRegion(Region& of) : region(of) {}
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> waiting) {
        handle = waiting;
        region.waiters.push(*this);
      }
      void await_resume() const noexcept {}
    } wait(region);
    co_await wait;
  }
  --region.pins;
  if (!failure_.ok()) {
    coverage_.release_if_idle(region);
    co_return failure_;
  }
  if (!logged) {
    ++counters_.coveredWrites;
    region.referenced = true;
  }
  if (region.touches == 0) cover_ahead(region, needed);
  ++region.touches;
  ++region.leases;
  lease.region = &region;
  lease.blocks = needed;
  co_return Outcome::success();
}

void IntentLog::settle(Lease& lease) {
  Region* region = lease.region;
  if (region == nullptr) return;
  lease.region = nullptr;
  BLOCKMIRROR_ASSERT(region->leases > 0, "a lease was settled twice");
  --region->leases;
  region->note_settled(lease.blocks, flush_epoch_, safe_mark_);
  if (wants_retirement()) want_retirement();
}

// First come, first served: otherwise small requests would take for ever the room that a large one waits for.
Task<void> IntentLog::wait_for_budget(Region& region, const BlockSet& needed) {
  if (budget_turn_taken_) co_await budget_turn_.wait();
  budget_turn_taken_ = true;
  while (failure_.ok() && !is_asked_for(region, needed) && !reserve_blocks(region, needed)) {
    starves_for_budget_ = true;
    want_retirement();
    co_await budget_freed_.wait();
  }
  starves_for_budget_ = false;
  if (!starves()) lift_bars();
  if (budget_turn_.has_waiters()) {
    budget_turn_.wake_one();
  } else {
    budget_turn_taken_ = false;
  }
}

bool IntentLog::reserve_blocks(Region& region, const BlockSet& needed) {
  const BlockSet have = region.covered | region.pending;
  const std::uint64_t budget_blocks = budget_ / kIntentBlockLength;
  BlockSet wanted = granularity_.widen(needed, have, region.touches, coverage_.live_blocks());
  if (coverage_.live_blocks() + wanted.count() > budget_blocks) wanted = needed - have;
  const bool fits = coverage_.live_blocks() + wanted.count() <= budget_blocks;
  if (fits) {
    coverage_.add_live(wanted.count());
    region.pending = region.pending | wanted;
    enqueue(region);
  }
  if (wants_retirement()) want_retirement();
  return fits;
}

// A sequential stream pays one record for many regions, and waits for none: when it enters a region from the one before,
// and less than half of what is covered ahead of it is left, the next ones are asked for. The last eighth of the budget
// is left to writes that are here already, while retirement makes room.
void IntentLog::cover_ahead(const Region& region, const BlockSet& needed) {
  const unsigned ahead = granularity_.regions_ahead();
  if (ahead == 0 || region.index == 0 || !needed.test(0) || starves()) return;
  const Region* before = coverage_.find(region.index - 1);
  if (before == nullptr || before->touches == 0 || !before->covered.test(kIntentBitmapBlocks - 1)) return;
  const Region* half_way = coverage_.find(region.index + (ahead + 1) / 2);
  if (half_way != nullptr && is_asked_for(*half_way, BlockSet::all())) return;
  for (std::uint64_t index = region.index + 1; index <= region.index + ahead && index < mirror_regions_; ++index) {
    const std::uint64_t live_then = (coverage_.live_blocks() + kIntentBitmapBlocks) * kIntentBlockLength;
    if (live_then > ahead_mark() && !mutated(Mutation::ahead_over_budget)) return;
    Region& next = coverage_.find_or_add(index);
    const BlockSet wanted = BlockSet::all() - (next.covered | next.pending);
    if (next.barred || wanted.empty()) continue;
    coverage_.add_live(wanted.count());
    next.pending = next.pending | wanted;
    if (mutated(Mutation::ahead_before_durable)) next.covered = next.covered | wanted;
    enqueue(next);
  }
}

void IntentLog::enqueue(Region& region) {
  if (!region.queued) {
    region.queued = true;
    queue_.push_back(&region);
  }
  work_.wake_all();
}

// --- composing records

Task<void> IntentLog::writer_loop() {
  while (!shutting_down_) {
    while (RecordInFlight* record = compose()) spawn(write_record(*record));
    BLOCKMIRROR_ASSERT(free_slots() > 0 || in_flight_ > 0, "the ring is full and nothing can empty it");
    co_await work_.wait();
  }
  loop_ended_ = true;
  record_settled_.wake_all();
}

std::uint64_t IntentLog::oldest_in_flight() const {
  std::uint64_t oldest = next_sequence_;
  for (const RecordInFlight& record : records_) {
    if (record.busy && !mutated(Mutation::tail_past_flight)) oldest = std::min(oldest, record.sequence);
  }
  return oldest;
}

std::uint64_t IntentLog::tail_if_composed_now() const {
  std::uint64_t tail = oldest_in_flight();
  if (const Region* oldest = coverage_.oldest()) tail = std::min(tail, oldest->sequence);
  return std::max(std::min(tail, tail_limit_), durable_tail_);
}

// I7: of each record in flight a memory of its own.
std::span<std::byte> IntentLog::memory_of(RecordInFlight& record) {
  return mutated(Mutation::records_share_buffer) ? records_.front().buffer.span() : record.buffer.span();
}

IntentLog::RecordInFlight* IntentLog::compose() {
  const bool queue_waits = queue_head_ < queue_.size();
  if (!failure_.ok() || (!queue_waits && !order_ && !empty_record_wanted_)) return nullptr;
  if (order_ && order_->ended && !queue_waits && !empty_record_wanted_) return nullptr;
  if (in_flight_ == records_.size() || next_sequence_ > durable_through_ + records_.size()) return nullptr;
  if (free_slots() == 0) return nullptr;
  if (!kSequences.may_grow(next_sequence_, 1)) {
    fail(Outcome::of(Code::LOG_FAILED, kLogDevice, EOVERFLOW));
    return nullptr;
  }

  auto free = std::find_if(records_.begin(), records_.end(), [](const RecordInFlight& record) { return !record.busy; });
  RecordInFlight& record = *free;
  record.stated.clear();
  record.intents.clear();
  record.retired_blocks = 0;
  record.of_pass = false;
  record.sequence = next_sequence_;
  record.tail = tail_if_composed_now();
  unsigned units_left = capacity_units_;
  bool worth_writing = std::exchange(empty_record_wanted_, false);
  if (order_ && !order_->ended) {
    const std::uint64_t tail_before = record.tail;
    compose_retirement(record, units_left);
    record.of_pass = record.tail > tail_before;
    worth_writing |= record.of_pass;
  }
  if (queue_waits && free_slots() > kReservedSlots) {
    compose_queue(record, units_left);
    worth_writing |= !record.stated.empty();
    starves_for_ring_ = false;
    if (!starves()) lift_bars();
  } else if (queue_waits) {
    if (!starves_for_ring_) {
      starves_for_ring_ = true;
      ++counters_.ringWaits;
      want_retirement();
    }
    // Statements made since may have left slots behind that no tail has passed yet; nothing else would say so.
    worth_writing |= record.tail > newest_tail_;
  }
  if (!worth_writing) return nullptr;

  RecordHeader header{record.sequence, opening_, generation_, durable_through_, record.tail};
  encode_record(log_uuid_, header, record.intents, memory_of(record));
  BLOCKMIRROR_ASSERT(record.tail <= tail_limit_ || record.tail <= newest_tail_,
                     "a tail passes what no map holds");  // I14
  record.busy = true;
  newest_tail_ = std::max(newest_tail_, record.tail);
  ++in_flight_;
  ++next_sequence_;
  ++counters_.logRecords;
  counters_.logBytes += ring_.record_size;
  counters_.intentsLogged += record.intents.size();
  return &record;
}

// How far a retirement record could move the tail: over whole groups of regions that one record stated, from the
// oldest, until the goal is reached, a region's newest statement is still being written (the tail must not pass what
// only that holds), or what must be carried would not fit. What one record stated fits into one record again, so that a
// pass that is not held up by a record in flight always frees at least the slot that it takes.
IntentLog::Reach IntentLog::reach(unsigned units_left) const {
  const std::uint64_t limit = std::min({order_->limit, oldest_in_flight(), tail_limit_});
  const RetirementGoal& goal = order_->goal;
  std::uint64_t live = coverage_.live_blocks();
  for (const RecordInFlight& other : records_) live -= other.busy ? other.retired_blocks : 0;
  const Region* region = coverage_.oldest();
  while (region != nullptr && region->sequence < limit) {
    const std::uint64_t group = region->sequence;
    if (live <= goal.live_blocks && group >= goal.tail) return {group, true};
    for (; region != nullptr && region->sequence == group; region = region->newer) {
      if (region->records_in_flight > 0) return {group, false};
      if (may_retire(*region)) {
        live -= region->covered.count();
        continue;
      }
      const unsigned units = intent_units(region->covered);
      if (units > units_left) return {group, false};
      units_left -= units;
    }
  }
  return {region == nullptr ? limit : std::min(region->sequence, limit), true};
}

bool IntentLog::may_retire(const Region& region) const {
  const bool settled = region.leases == 0 || mutated(Mutation::retire_under_way);
  const std::uint64_t safe = safe_mark_ + (mutated(Mutation::retire_on_earlier_flush) ? 1 : 0);
  const bool flushed = settled && (region.last_settlement < safe || mutated(Mutation::retire_before_flush));  // I2
  const bool mapped = region.last_settlement < maps_mark_;                                                    // I14
  return flushed && mapped && !(order_->goal.spare_hot && region.referenced);
}

// Retires or carries every region whose statement the new tail passes.
void IntentLog::compose_retirement(RecordInFlight& record, unsigned& units_left) {
  const auto [tail, ends] = reach(units_left);
  if (ends) {
    order_->ended = true;
    record_settled_.wake_all();
  }
  if (tail <= record.tail) return;
  record.tail = tail;
  order_->last_sequence = record.sequence;
  for (Region* region = coverage_.oldest(); region != nullptr && region->sequence < tail;) {
    Region* newer = region->newer;
    if (may_retire(*region)) {
      record.retired_blocks += region->covered.count();
      region->covered = BlockSet{};
      region->touches = 0;
      lift_bar(*region);
      coverage_.unlist(*region);
      coverage_.release_if_idle(*region);
      ++counters_.regionsRetired;
    } else {
      region->referenced = false;
      if (!mutated(Mutation::carry_nothing)) state(record, *region, region->covered, units_left);
      ++counters_.regionsCarried;
    }
    region = newer;
  }
}

void IntentLog::compose_queue(RecordInFlight& record, unsigned& units_left) {
  while (queue_head_ < queue_.size()) {
    Region& region = *queue_[queue_head_];
    const BlockSet blocks = region.covered | region.pending;
    if (intent_units(blocks) > units_left) break;
    if (!blocks.empty()) state(record, region, blocks, units_left);
    region.queued = false;
    ++queue_head_;
  }
  if (queue_head_ == queue_.size()) {
    queue_.clear();
    queue_head_ = 0;
  } else if (queue_head_ >= 4096) {
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(queue_head_));
    queue_head_ = 0;
  }
}

void IntentLog::state(RecordInFlight& record, Region& region, const BlockSet& blocks, unsigned& units_left) {
  append_intents(region.index, blocks, record.intents);
  units_left -= intent_units(blocks);
  record.stated.push_back({&region, blocks});
  ++region.records_in_flight;
}

// --- writing records

Task<void> IntentLog::write_record(RecordInFlight& record) {
  const std::uint64_t slot = record.sequence % ring_.record_count;
  const int error = co_await device_.write(ring_.position + slot * ring_.record_size, memory_of(record),
                                           !mutated(Mutation::intent_not_durable));
  settle_record(record, error);
}

void IntentLog::settle_record(RecordInFlight& record, int error) {
  --in_flight_;
  if (error != 0 && failure_.ok()) {
    fail(Outcome::of(Code::LOG_FAILED, kLogDevice, error,
                     ring_.position + record.sequence % ring_.record_count * ring_.record_size));
  }
  const bool durable = error == 0 && failure_.ok();
  for (Stated& stated : record.stated) {
    Region& region = *stated.region;
    --region.records_in_flight;
    if (durable) {
      region.covered = region.covered | stated.blocks;
      region.pending = region.pending - stated.blocks;
      coverage_.restated(region, record.sequence);
    }
    wake_waiters_of(region);
  }
  record.busy = false;
  if (durable) {
    durable_tail_ = std::max(durable_tail_, record.tail);
    coverage_.subtract_live(record.retired_blocks);
    advance_durable_through();
    if (record.retired_blocks > 0) budget_freed_.wake_all();
    if (record.retired_blocks > 0 && !over_budget()) budget_fits_.wake_all();
    if (!starves()) lift_bars();
  }
  record_settled_.wake_all();
  work_.wake_all();
  // A pass that only carried must not be the reason for the next one: that would go on as long as its leases are held.
  if (!record.of_pass && wants_retirement()) want_retirement();
}

void IntentLog::advance_durable_through() { durable_through_ = std::max(durable_through_, oldest_in_flight() - 1); }

// --- the budget

Task<Outcome> IntentLog::set_budget(std::uint64_t bytes) {
  BLOCKMIRROR_ASSERT(bytes >= kMinimumRecoveryBudget, "the recovery budget is below one region");
  budget_ = bytes;
  granularity_ = Granularity(bytes);
  budget_freed_.wake_all();
  if (wants_retirement()) want_retirement();
  while (failure_.ok() && over_budget()) co_await budget_fits_.wait();
  co_return failure_;
}

// --- retirement

void IntentLog::flush_succeeded(std::uint64_t mark) { safe_mark_ = std::max(safe_mark_, mark); }

std::uint64_t IntentLog::require_maps() {
  maps_mark_ = 0;
  tail_limit_ = std::min(tail_limit_, newest_tail_);
  return tail_limit_;
}

void IntentLog::maps_durable(std::uint64_t mark) {
  maps_mark_ = mark;
  tail_limit_ = kNoLimit;
}

void IntentLog::maps_not_needed() { maps_mark_ = tail_limit_ = kNoLimit; }

bool IntentLog::wants_retirement() const {
  const bool budget_low = coverage_.live_blocks() * kIntentBlockLength > pressure_mark();
  const bool ring_low = free_slots() < ring_.record_count / 4 + kReservedSlots;
  return budget_low || ring_low || starves();
}

void IntentLog::want_retirement() {
  if (retirement_wanted_ != nullptr) retirement_wanted_->raise();
}

IntentLog::RetirementGoal IntentLog::goal_under_pressure() const {
  RetirementGoal goal;
  // At least the largest request must find room, however small the budget.
  goal.live_blocks = std::min(budget_ / 2, budget_ - kRegionLength) / kIntentBlockLength;
  goal.tail = next_sequence_ - std::min<std::uint64_t>(next_sequence_ - durable_tail_, ring_.record_count / 2);
  return goal;
}

Task<Outcome> IntentLog::retire(RetirementGoal goal) {
  BLOCKMIRROR_ASSERT(!order_, "two retirement passes at once");
  ++counters_.retirements;
  order_ = Order{goal, next_sequence_, 0, false};
  work_.wake_all();
  while (failure_.ok() && !(order_->ended && durable_through_ >= order_->last_sequence))
    co_await record_settled_.wait();
  order_.reset();
  co_return failure_;
}

// A region that is written without pause always holds a lease or was written since the last flush began: it would be
// carried for ever while somebody waits for room. Those barred drain, since a lease waits for nothing but devices; the
// next pass retires them. As many as the largest request may need, and the whole group that holds the oldest slot.
void IntentLog::bar_oldest() {
  std::uint64_t blocks = 0;
  for (const Region* region : barred_) blocks += region->covered.count();
  const Region* const first = coverage_.oldest();
  bool barred_any = false;
  for (Region* region = coverage_.oldest(); region != nullptr; region = region->newer) {
    if (blocks >= kIntentBitmapBlocks && region->sequence != first->sequence) break;
    if (region->barred) continue;
    region->barred = true;
    barred_.push_back(region);
    blocks += region->covered.count();
    barred_any = true;
  }
  if (barred_any) want_retirement();
}

void IntentLog::wake_waiters_of(Region& region) {
  while (Waiter* waiter = region.waiters.pop()) runtime_.make_ready(*waiter);
}

void IntentLog::lift_bar(Region& region) {
  if (!region.barred) return;
  region.barred = false;
  std::erase(barred_, &region);
  wake_waiters_of(region);
}

void IntentLog::lift_bars() {
  while (!barred_.empty()) lift_bar(*barred_.back());
}

Task<Outcome> IntentLog::write_empty_record() {
  const std::uint64_t sequence = next_sequence_;
  empty_record_wanted_ = true;
  work_.wake_all();
  while (failure_.ok() && durable_through_ < sequence) co_await record_settled_.wait();
  co_return failure_;
}

void IntentLog::fail(Outcome outcome) {
  if (!failure_.ok()) return;
  failure_ = outcome;
  for (std::size_t i = queue_head_; i < queue_.size(); ++i) {
    queue_[i]->queued = false;
    wake_waiters_of(*queue_[i]);
  }
  queue_.clear();
  queue_head_ = 0;
  lift_bars();
  budget_freed_.wake_all();
  budget_fits_.wake_all();
  record_settled_.wake_all();
  work_.wake_all();
  want_retirement();
}

Task<void> IntentLog::records_landed() {
  while (failure_.ok() && in_flight_ > 0) co_await record_settled_.wait();
}

Task<void> IntentLog::shut_down() {
  shutting_down_ = true;
  work_.wake_all();
  while (!loop_ended_ || in_flight_ > 0) co_await record_settled_.wait();
}

}  // namespace blockmirror
