#include "mirror.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "../base/data_buffer.h"
#include "../base/mutation.h"

namespace blockmirror {

Mirror::Mirror(Runtime& runtime, Membership& membership, Debts& debts, MasterRepair& repair,
               const Superblock& superblock, const IntentLogStart& start, Counters& counters)
    : runtime_(runtime),
      membership_(membership),
      debts_(debts),
      repair_(repair),
      counters_(counters),
      size_(superblock.size),
      block_size_(superblock.block_size),
      physical_block_size_(superblock.physical_block_size),
      intents_(runtime, membership.log(), start, counters),
      ranges_(runtime, kRegionLength),
      admission_(runtime),
      drained_(runtime),
      flush_ended_(runtime),
      repair_ended_(runtime),
      admission_opened_(runtime),
      landed_(runtime),
      maps_written_(runtime),
      retirement_wanted_(runtime),
      retirement_ended_(runtime) {
  intents_.set_generation(superblock.generation.counter);
  intents_.on_retirement_wanted(retirement_wanted_);
  if (debts_.any_map()) (void)intents_.require_maps();
  quiet_timer_.fire = &Mirror::quiet_timer_fired;
  quiet_timer_.context = this;
  spawn(retirement_loop());
}

Mirror::~Mirror() {
  BLOCKMIRROR_ASSERT(loop_ended_ && requests_in_flight_ == 0, "the mirror was destroyed with requests in flight");
  runtime_.disarm(quiet_timer_);
}

class Mirror::RequestInFlight {
 public:
  explicit RequestInFlight(Mirror& mirror) : mirror_(mirror) { ++mirror_.requests_in_flight_; }
  ~RequestInFlight() {
    if (--mirror_.requests_in_flight_ > 0) return;
    mirror_.drained_.wake_all();
    if (mirror_.closing_) mirror_.retirement_wanted_.raise();
  }
  RequestInFlight(const RequestInFlight&) = delete;
  RequestInFlight& operator=(const RequestInFlight&) = delete;

 private:
  Mirror& mirror_;
};

Task<void> Mirror::admit() {
  if (admitted_ >= kAdmitted) {
    co_await admission_.wait();  // the place of the one that left was handed over
    co_return;
  }
  ++admitted_;
}

void Mirror::leave() {
  if (admission_.has_waiters()) return admission_.wake_one();
  --admitted_;
}

Outcome Mirror::may_go_on() const {
  if (!stopped_.ok()) return stopped_;
  if (!membership_.failure().ok()) return membership_.failure();
  return intents_.failure();
}

Outcome Mirror::enough_in_sync() const {
  return membership_.enough_in_sync() ? Outcome::success() : Outcome::of(Code::TOO_FEW_IN_SYNC);
}

Outcome Mirror::may_write() const {
  const Outcome outcome = may_go_on();
  return outcome.ok() ? enough_in_sync() : outcome;
}

// --- requests

Task<Outcome> Mirror::write(Extent extent, std::span<const std::byte> bytes, bool durable, CallOff* call_off) {
  return write_partial(extent, {const_cast<std::byte*>(bytes.data()), bytes.size()}, {}, durable, call_off);
}

Task<Outcome> Mirror::write_partial(Extent extent, std::span<std::byte> bytes, PartialBlocks partial, bool durable,
                                    CallOff* call_off) {
  BLOCKMIRROR_ASSERT(bytes.size() == extent.length, "a write's bytes do not match its extent");
  const std::uint64_t kept = std::uint64_t{partial.head} + partial.tail;
  BLOCKMIRROR_ASSERT(kept == 0 || kept < extent.length, "a write names no byte of its extent");
  DeviceRequest model;
  model.operation = Operation::write;
  model.durable = durable && !mutated(Mutation::skip_dsync);
  model.position = extent.position;
  model.length = extent.length;
  model.memory = bytes.data();
  const Outcome outcome = co_await write_images(model, extent, Filling{partial, nullptr}, call_off);
  if (outcome.ok()) {
    ++counters_.writes;
    counters_.bytesWritten += extent.length - kept;
  }
  co_return outcome;
}

Task<Outcome> Mirror::discard(Extent extent) {
  DeviceRequest model;
  model.operation = Operation::write_zeroes;
  model.position = extent.position;
  model.length = extent.length;
  const Outcome outcome = co_await write_images(model, extent, Filling{}, nullptr);
  if (outcome.ok()) {
    ++counters_.discards;
    counters_.bytesDiscarded += extent.length;
  }
  co_return outcome;
}

// Under the lock of the range, so that no other writer of such a block comes in between (I6).
Task<Outcome> Mirror::complete_blocks(Extent extent, std::byte* bytes, PartialBlocks partial) {
  const Extent head = Extent{extent.position, partial.head}.widened(block_size_);
  const Extent tail = Extent{extent.end() - partial.tail, partial.tail}.widened(block_size_);
  DataBuffer block(std::max(head.length, tail.length));
  if (block.empty()) co_return Outcome::of(Code::NO_MEMORY, kNoImage, ENOMEM);
  Outcome outcome;
  if (!head.empty()) {
    outcome = co_await read_held(head, block.first(head.length));
    if (outcome.ok()) std::memcpy(bytes, block.span().data(), partial.head);
  }
  if (outcome.ok() && !tail.empty()) {
    if (head != tail) outcome = co_await read_held(tail, block.first(tail.length));
    const std::byte* kept = block.span().data() + tail.length - partial.tail;
    if (outcome.ok()) std::memcpy(bytes + extent.length - partial.tail, kept, partial.tail);
  }
  co_return outcome;
}

// Before the lease: nothing is logged for a write that cannot be filled.
Task<Outcome> Mirror::fill(Extent extent, std::byte* bytes, Filling filling) {
  return filling.source != nullptr ? read_source(extent, *filling.source)
                                   : complete_blocks(extent, bytes, filling.partial);
}

Task<Outcome> Mirror::write_images(const DeviceRequest& model, Extent extent, Filling filling, CallOff* call_off) {
  BLOCKMIRROR_ASSERT(extent.end() <= size_, "a write reaches past the mirror");
  if (closing_) co_return Outcome::of(Code::CLOSED);
  if (const Outcome refused = may_write(); !refused.ok()) co_return refused;
  RequestInFlight counted(*this);
  co_await admit();
  Outcome outcome;
  {
    const Extent widened = extent.widened(physical_block_size_);
    const Extent locked = filling.partial.any() ? extent.widened(repair_.block_length()) : widened;
    const auto mode = mutated(Mutation::unlock_early) ? RangeLock::Mode::shared : RangeLock::Mode::exclusive;
    RangeLock::Guard held(ranges_, locked, mode);  // I6
    if (!held.granted()) ++counters_.rangeWaits;
    const bool early = filling.any() && mutated(filling.source != nullptr ? Mutation::source_read_before_lock
                                                                          : Mutation::merge_before_lock);
    if (early) outcome = co_await fill(extent, model.memory, filling);
    co_await held;
    if (filling.any() && !early) outcome = co_await fill(extent, model.memory, filling);
    IntentLog::Lease lease;
    if (outcome.ok() && !mutated(Mutation::data_before_intent))
      outcome = co_await intents_.cover(widened, lease);  // I1
    if (outcome.ok()) {
      note_activity();
      outcome = may_write();  // slaves may have failed while it waited
    }
    const auto look_for_abort = [&] {
      const bool aborted = outcome.ok() && call_off != nullptr && !call_off->give();
      if (aborted) outcome = Outcome::of(Code::ABORTED);
    };
    // Here and not before the range is taken: whoever holds one waits for nobody else, and a fracture takes none.
    while (outcome.ok() && admission_stopped_) {
      co_await admission_opened_.wait();
      outcome = may_write();
    }
    if (!mutated(Mutation::abort_after_data)) look_for_abort();
    if (outcome.ok() && filling.source != nullptr) outcome = may_give(*filling.source, widened);
    if (outcome.ok()) {
      ++writes_in_flight_;
      const unsigned landing = landing_turn_;
      ++landing_[landing];
      const ImageSet receiving = membership_.receiving();
      ImageSet targets = receiving;
      if (mutated(Mutation::write_skips_synchronizing)) targets &= static_cast<ImageSet>(~debts_.owing());
      debts_.owe(debts_.owing() & static_cast<ImageSet>(~receiving), widened);
      ParallelOperation everywhere(membership_.images(), targets, model);
      if (!mutated(Mutation::failure_counts_late)) everywhere.report_failures(*this);
      const ParallelOperation::Results results = co_await everywhere;
      // Those that went out meanwhile, by this write or by another, may have lost it.
      owe_lost(targets, widened);
      outcome = co_await settle(results);  // I5, I11
      // And those that went out while this waited for another's fracture: what it wrote is not settled yet, nor flushed.
      owe_lost(targets, widened);
      if (outcome.ok() && !mutated(Mutation::acknowledge_after_log_failure)) outcome = intents_.failure();  // I12
      if (outcome.ok() && !mutated(Mutation::acknowledge_below_minimum)) outcome = enough_in_sync();
      if (outcome.ok() && !unmended_.empty()) note_written(extent);
      --writes_in_flight_;
      if (--landing_[landing] == 0) landed_.wake_all();
    }
    if (mutated(Mutation::abort_after_data)) look_for_abort();
    intents_.settle(lease);
  }
  leave();
  co_return outcome;
}

Task<Outcome> Mirror::read(Extent extent, std::span<std::byte> into) {
  BLOCKMIRROR_ASSERT(into.size() == extent.length && extent.end() <= size_, "a read does not match its extent");
  if (closing_) co_return Outcome::of(Code::CLOSED);
  if (stopped_.code == Code::MASTER_FAILED) co_return stopped_;
  RequestInFlight counted(*this);
  co_await admit();
  Outcome outcome;
  bool answered = false;
  {
    RangeLock::Guard held(ranges_, extent.widened(physical_block_size_), RangeLock::Mode::shared);
    if (!held.granted()) ++counters_.rangeWaits;
    co_await held;
    // I11: the write that failed may have been the one whose range this waited for.
    if (stopped_.code != Code::MASTER_FAILED && !is_unmended(extent)) {
      answered = co_await membership_.master_device().read(extent.position, into) == 0;
    }
  }
  if (!answered && stopped_.code != Code::MASTER_FAILED) outcome = co_await read_mended(extent, into);
  leave();
  if (stopped_.code == Code::MASTER_FAILED) co_return stopped_;
  if (!outcome.ok()) co_return outcome;
  ++counters_.reads;
  counters_.bytesRead += extent.length;
  co_return Outcome::success();
}

Task<ParallelOperation::Results> Mirror::read_images(Extent extent, ImageSet images, std::span<std::byte* const> into) {
  RequestInFlight counted(*this);
  co_await admit();
  ParallelOperation::Results results = co_await read_images_once(extent, images, into);
  const unsigned master = membership_.master();
  if ((results.failed & images & image_bit(master)) != 0 && stopped_.code != Code::MASTER_FAILED) {
    const Outcome mended = co_await read_mended(extent, {into[master], extent.length});
    // The others may have been written since they were read.
    if (mended.ok()) results = co_await read_images_once(extent, images, into);
  }
  if (stopped_.code == Code::MASTER_FAILED) {  // what was read of it is not what it held (I11)
    results.failed |= image_bit(master);
    results.errors[master] = stopped_.system_error;
  }
  leave();
  co_return results;
}

Task<ParallelOperation::Results> Mirror::read_images_once(Extent extent, ImageSet images,
                                                          std::span<std::byte* const> into) {
  RangeLock::Guard held(ranges_, extent.widened(physical_block_size_), RangeLock::Mode::shared);
  if (!mutated(Mutation::verify_without_range)) co_await held;
  DeviceRequest model;
  model.operation = Operation::read;
  model.position = extent.position;
  model.length = extent.length;
  ParallelOperation everywhere(membership_.images(), images, model);
  for (unsigned i = 0; i < into.size(); ++i) everywhere.set_memory(i, into[i]);
  co_return co_await everywhere;
}

Task<Outcome> Mirror::flush() {
  if (closing_) co_return Outcome::of(Code::CLOSED);
  RequestInFlight counted(*this);
  Outcome outcome = co_await flush_images();
  if (outcome.ok()) outcome = intents_.failure();
  if (outcome.ok()) outcome = enough_in_sync();
  if (outcome.ok()) ++counters_.flushes;
  co_return outcome;
}

// One flush serves everybody who asked before it began: a caller that finds one running waits for the next.
Task<Outcome> Mirror::flush_images() {
  const std::uint64_t wanted = flushes_begun_ + 1;
  while (stopped_.ok() && flushes_ended_ < wanted) {
    if (flush_running_) {
      co_await flush_ended_.wait();
      continue;
    }
    flush_running_ = true;
    ++flushes_begun_;
    const std::uint64_t mark = intents_.flush_begins();
    DeviceRequest model;
    model.operation = Operation::flush;
    ImageSet flushed = membership_.receiving();
    if (mutated(Mutation::datasync_master_only)) flushed = image_bit(membership_.master());
    if (mutated(Mutation::flush_skips_synchronizing)) flushed &= static_cast<ImageSet>(~debts_.owing());
    ParallelOperation everywhere(membership_.images(), flushed, model);
    if (!mutated(Mutation::retire_after_failed_flush)) everywhere.report_failures(*this);
    const ParallelOperation::Results results = co_await everywhere;
    Outcome outcome;
    // Not its own errors alone: an image that failed a write while the flush was under way may have answered it without
    // what it had lost. After this the image is out, durably, or the mirror has stopped.
    if (!mutated(Mutation::retire_after_failed_flush)) outcome = co_await settle(results);
    if (outcome.ok()) intents_.flush_succeeded(mark);
    flushes_ended_ = flushes_begun_;
    flush_running_ = false;
    flush_ended_.wake_all();
  }
  co_return stopped_;
}

// --- settlement

Task<Outcome> Mirror::settle(ParallelOperation::Results results) {
  if (mutated(Mutation::retire_while_slave_missed)) results.failed &= image_bit(membership_.master());
  const bool all_well = stopped_.ok() && membership_.durable() && membership_.failure().ok();
  if (results.failed == 0 && all_well) co_return Outcome::success();
  Outcome outcome = co_await membership_.settle(results, Code::MASTER_FAILED);
  if (outcome.ok()) outcome = membership_.failure();  // I12, whoever found it
  if (outcome.ok()) outcome = stopped_;               // another request's error, while this one waited
  if (!outcome.ok()) stop(outcome);
  co_await note_master_failure();
  if (outcome.ok()) intents_.set_generation(membership_.generation());
  co_return outcome;
}

// I11: see mirror.h. The alternative, to look at the end of each flush for images with an error that waits for others,
// leaves every reader of membership to do the same.
void Mirror::image_failed(unsigned image, Operation operation, int error) {
  if (image == membership_.master()) return stop(membership_.of_master(Code::MASTER_FAILED, error));
  if (mutated(Mutation::retire_while_slave_missed)) return;
  membership_.fail(image, error, Membership::cause_of(operation, error));
}

Task<void> Mirror::note_master_failure() {
  if (stopped_.code != Code::MASTER_FAILED || std::exchange(master_failure_noted_, true)) co_return;
  co_await membership_.note_master_failure(stopped_.system_error);
}

void Mirror::stop(Outcome outcome) {
  if (!stopped_.ok()) return;
  stopped_ = outcome;
  intents_.fail(outcome);
  flush_ended_.wake_all();
  retirement_wanted_.raise();
}

// --- an operator's fracture

Task<Outcome> Mirror::fracture(ImageSet slaves, FractureResult& into) {
  into = FractureResult{};
  if (closing_) co_return Outcome::of(Code::CLOSED);
  RequestInFlight counted(*this);
  const bool waits = !mutated(Mutation::fracture_beside_return);
  while (admission_stopped_ || (waits && (returning_ & slaves) != 0)) co_await admission_opened_.wait();
  if (const Outcome refused = may_go_on(); !refused.ok()) co_return refused;
  const ImageSet asked = slaves;
  slaves &= membership_.receiving_slaves();
  // One that does not count takes nothing away, however few are left.
  const auto leaves_too_few = [&] {
    return (membership_.in_sync() & slaves) != 0 && !membership_.enough_in_sync(slaves);
  };
  if (leaves_too_few()) co_return Outcome::of(Code::TOO_FEW_IN_SYNC);
  admission_stopped_ = true;
  const std::uint64_t began = runtime_.now_ns();
  if (!mutated(Mutation::fracture_beside_writes)) co_await writes_landed();
  Outcome outcome;
  if (!mutated(Mutation::fracture_without_flush)) outcome = co_await flush_images();
  // Only those that got through it: an error has taken the others out.
  slaves &= membership_.receiving_slaves();
  const bool too_few = leaves_too_few();
  const bool points = (slaves & debts_.owing()) == 0;  // one that is being resynced holds none
  bool told = false;
  if (outcome.ok() && !too_few) outcome = co_await membership_.part_with(slaves, told);
  if (outcome.ok()) intents_.set_generation(membership_.generation());
  if (!outcome.ok()) stop(outcome);
  if (outcome.ok() && too_few) outcome = Outcome::of(Code::TOO_FEW_IN_SYNC);
  into.common = outcome.ok() && told && points && slaves == asked;
  into.pause_ns = runtime_.now_ns() - began;
  admission_stopped_ = false;
  admission_opened_.wake_all();
  co_return outcome;
}

// --- resync

Task<void> Mirror::fracture_ended() {
  while (admission_stopped_) co_await admission_opened_.wait();
}

bool Mirror::begin_return(unsigned slave) {
  if ((returning_ & image_bit(slave)) != 0) return false;
  returning_ |= image_bit(slave);
  return true;
}

void Mirror::end_return(unsigned slave) {
  returning_ &= static_cast<ImageSet>(~image_bit(slave));
  admission_opened_.wake_all();
}

Task<void> Mirror::writes_landed() {
  while (awaiting_landing_) co_await landed_.wait();
  awaiting_landing_ = true;
  const unsigned before = landing_turn_;
  landing_turn_ = 1 - landing_turn_;
  while (landing_[before] > 0) co_await landed_.wait();
  awaiting_landing_ = false;
  landed_.wake_all();
}

Task<Outcome> Mirror::record_progress() {
  const Outcome outcome = co_await membership_.write_superblock();
  if (!outcome.ok()) stop(outcome);
  co_return outcome;
}

// --- debts

void Mirror::owe_lost(ImageSet targets, Extent extent) {
  const ImageSet gone = targets & static_cast<ImageSet>(~membership_.receiving());
  if (gone != 0) debts_.owe(gone & debts_.owing(), extent);
}

std::uint64_t Mirror::begin_debt(unsigned slave) {
  if (mutated(Mutation::debt_starts_at_failed_write)) return intents_.require_maps();
  intents_.for_each_unflushed([&](std::uint64_t region, const BlockSet& blocks) {
    for (unsigned block = 0; block < kIntentBitmapBlocks; ++block) {
      if (!blocks.test(block)) continue;
      const Extent extent{region * kRegionLength + block * kIntentBlockLength, kIntentBlockLength};
      debts_.of(slave).owe(extent.clipped(size_));
    }
  });
  return intents_.require_maps();
}

// One pass serves everybody who waits. Whoever is fractured while maps are written has a map of its own to be begun.
Task<Outcome> Mirror::write_maps() {
  while (writing_maps_) co_await maps_written_.wait();
  if (!debts_.any_map()) {
    intents_.maps_not_needed();
    co_return Outcome::success();
  }
  writing_maps_ = true;
  // No device may fail a write to the history, and lose its cache with it, between a map's sectors and their flush (I14).
  HistoryWriter* const history = membership_.history();
  if (history != nullptr) history->hold_back();
  if (history != nullptr) co_await history->landed();
  Outcome outcome;
  std::uint64_t changes = 0;
  do {
    changes = membership_.changes();
    const std::uint64_t mark = intents_.maps_begin();
    bool recorded = false;
    outcome = co_await debts_.write_maps(recorded);
    if (outcome.ok() && recorded) outcome = co_await membership_.write_superblock();
    if (outcome.ok() && changes == membership_.changes()) intents_.maps_durable(mark);
  } while (outcome.ok() && changes != membership_.changes());
  writing_maps_ = false;
  if (history != nullptr) history->go_on();
  maps_written_.wake_all();
  if (!outcome.ok()) stop(outcome);
  co_return outcome;
}

// --- retirement

void Mirror::note_activity() {
  ++writes_seen_;
  wait_for_quiet();
}

void Mirror::wait_for_quiet() {
  if (!quiet_timer_.armed) runtime_.arm(quiet_timer_, runtime_.now_ns() + kQuietPeriod_ns);
}

void Mirror::quiet_timer_fired(void* context) {
  auto& mirror = *static_cast<Mirror*>(context);
  const bool active = mirror.writes_in_flight_ > 0 || mirror.writes_seen_ != mirror.writes_at_last_look_;
  mirror.writes_at_last_look_ = mirror.writes_seen_;
  if (active) {
    mirror.runtime_.arm(mirror.quiet_timer_, mirror.runtime_.now_ns() + kQuietPeriod_ns);
    return;
  }
  mirror.quiet_ = true;
  mirror.retirement_wanted_.raise();
}

Task<Outcome> Mirror::retirement_pass(bool everything) {
  while (retiring_) co_await retirement_ended_.wait();
  retiring_ = true;
  const bool starved = intents_.starves();
  Outcome outcome = co_await settle_losses(everything);
  if (outcome.ok()) outcome = co_await flush_images();
  if (outcome.ok()) outcome = co_await write_maps();
  if (outcome.ok()) {
    IntentLog::RetirementGoal goal = intents_.goal_under_pressure();
    if (everything) goal = {0, intents_.next_sequence(), false};
    outcome = co_await intents_.retire(goal);
    if (outcome.ok() && !everything && intents_.wants_retirement()) {
      goal.spare_hot = false;
      outcome = co_await intents_.retire(goal);
    }
    if (outcome.ok() && starved && intents_.starves()) intents_.bar_oldest();
  }
  retiring_ = false;
  retirement_ended_.wake_all();
  co_return outcome;
}

// A file that is cut short or punched answers no error: reads give zeroes, writes find new blocks.
Task<Outcome> Mirror::settle_losses(bool now) {
  if (mutated(Mutation::allocation_loss_ignored)) co_return Outcome::success();
  if (!now && runtime_.now_ns() - losses_looked_for_ns_ < kLookForLosses_ns) co_return Outcome::success();
  losses_looked_for_ns_ = runtime_.now_ns();
  ParallelOperation::Results results;
  const ImageSet asked = membership_.receiving();
  for (unsigned i = 0; i < membership_.images().size(); ++i) {
    if ((asked & image_bit(i)) == 0 || !membership_.images()[i]->allocation_loss().lost) continue;
    results.failed |= image_bit(i);
    results.errors[i] = kLostAllocation;
  }
  if (results.failed == 0) co_return Outcome::success();
  co_return co_await settle(results);
}

Task<void> Mirror::retirement_loop() {
  // Requests accepted before close() may still need room in budget and ring: the loop outlives them.
  while (!closing_ || requests_in_flight_ > 0) {
    const bool quiet = std::exchange(quiet_, false);
    const bool pressed = intents_.wants_retirement();
    if (stopped_.ok() && intents_.failure().ok() && (pressed || (quiet && intents_.live_bytes() > 0))) {
      (void)co_await retirement_pass(quiet);  // a failure has stopped the mirror; there is nobody else to tell
      // Left by a pass of everything: what was still on its way to the log.
      if (quiet && !closing_ && intents_.live_bytes() > 0) wait_for_quiet();
    }
    // Whatever can make another pass worthwhile raises it: a lease or a record that settled, somebody who needs room.
    while (!retirement_wanted_.take()) co_await retirement_wanted_.wait();
  }
  loop_ended_ = true;
  drained_.wake_all();
}

Task<Outcome> Mirror::retire_all() {
  if (closing_) co_return Outcome::of(Code::CLOSED);
  RequestInFlight counted(*this);
  co_return co_await retirement_pass(true);
}

Task<Outcome> Mirror::close() {
  BLOCKMIRROR_ASSERT(!closing_, "a mirror was closed twice");
  closing_ = true;
  retirement_wanted_.raise();
  while (requests_in_flight_ > 0 || !loop_ended_) co_await drained_.wait();
  Outcome outcome = stopped_.ok() ? intents_.failure() : stopped_;
  if (outcome.ok()) outcome = co_await retirement_pass(true);
  // No request is left, but what was covered ahead of a stream may still be on its way to the log.
  while (outcome.ok() && intents_.live_bytes() > 0 && !mutated(Mutation::ahead_left_by_close)) {
    co_await intents_.records_landed();
    outcome = co_await retirement_pass(true);
  }
  // A seal over what an earlier crash left live would look like a log that went on after it.
  if (outcome.ok() && intents_.names_what_was_before()) outcome = co_await intents_.write_empty_record();
  const bool drained = intents_.live_bytes() == 0 || mutated(Mutation::ahead_left_by_close);
  BLOCKMIRROR_ASSERT(!outcome.ok() || drained, "a drained mirror kept live intents");
  co_await intents_.shut_down();
  runtime_.disarm(quiet_timer_);
  co_return outcome;
}

}  // namespace blockmirror
