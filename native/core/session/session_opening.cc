// Opening: loading the log, judging log and images, beginning an incarnation, and what each slave owes from then on.
#include "../base/headroom.h"
#include "../base/mutation.h"
#include "../base/spare_memory.h"
#include "carried_out.h"
#include "left_out.h"
#include "state.h"

namespace blockmirror {
namespace {

// Copies of the debt that a recovery has beside the one that is told.
constexpr std::size_t kCopiesOfDebt = 4;

// An image that is known by its label and lost allocation is damaged. Where the loss took the label too, nothing but the
// path says which image it is: it is as good as cut short.
Outcome judge_allocation(Outcome verdict, const AllocationLoss& loss, std::uint64_t device_size) {
  if (verdict.code == Code::TRUNCATED_IMAGE) verdict.position = device_size;
  if (!loss.lost) return verdict;
  const bool unlabelled = verdict.code == Code::NO_LABEL || verdict.code == Code::LABEL_DAMAGED;
  if (!verdict.ok() && !unlabelled) return verdict;
  return Outcome::of(verdict.ok() ? Code::LOST_ALLOCATION : Code::TRUNCATED_IMAGE, verdict.image, 0, loss.position);
}

// Sectors may have grown since the mirror was made: behind another controller, or copied onto another disk. A block of the
// mirror could then not be written alone.
Outcome judge_sectors(const Outcome& verdict, const DeviceTraits& traits, std::uint32_t block_size) {
  const std::uint32_t unit = transfer_unit(traits);
  if (!verdict.ok() || unit <= block_size) return verdict;
  return Outcome::of(Code::BLOCK_TOO_LARGE, verdict.image, 0, unit);
}

// A device may grow below its label (a volume was extended), and keeps it where the log says. A file that is longer than
// it was is something else, or something was appended to it: no label is believed in the middle of a file, or written.
Outcome judge_end(const Outcome& verdict, const DeviceTraits& traits, const ImageRecord& image) {
  if (!verdict.ok() || traits.block_device || label_position(traits.size) == image.label_position) return verdict;
  return Outcome::of(Code::GROWN_IMAGE, verdict.image, 0, image.device_size);
}

}  // namespace

// --- loading and judging

Task<Outcome> Session::load_superblock() {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  if (const Outcome refused = s.may_step({Phase::idle}); !refused.ok()) co_return refused;
  if (!s.membership.has_log()) co_return wrong_phase();
  if (!s.membership.has_memory()) co_return no_memory();
  unsigned stale = 0;
  const Outcome outcome = co_await read_superblock(s.membership.log(), s.superblock, stale);
  if (!outcome.ok()) co_return outcome;
  if (const Outcome refused = judge_carried_out(s.superblock); !refused.ok()) co_return refused;
  s.membership.set_stale_superblock(stale);
  s.set_timeouts();
  if (s.membership.log().traits().size < s.superblock.log_size) {
    co_return Outcome::of(Code::TOO_SMALL, kLogDevice, 0, s.superblock.log_size);
  }
  s.phase = Phase::loaded;
  co_return Outcome::success();
}

// Of a create that did not finish nothing in the ring counts: it may be of whatever stood there before.
Task<Outcome> Session::State::read_ring(std::uint64_t bytes) {
  if (superblock.lifecycle == Lifecycle::creating) co_return Outcome::success();
  if (!scanning) scanning.emplace(membership.log(), superblock);
  const Outcome outcome = co_await scanning->read_on(bytes);
  if (!outcome.ok()) scanning.reset();
  co_return outcome;
}

Task<Outcome> Session::scan_ring(std::uint64_t bytes, ScanProgress& into) {
  State& s = *state_;
  if (const Outcome refused = s.may_step({Phase::loaded}); !refused.ok()) co_return refused;
  if (s.steps_in_flight > 0) co_return wrong_phase();
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  const Outcome outcome = co_await s.read_ring(bytes);
  if (!outcome.ok()) co_return outcome;
  into.done = !s.scanning || s.scanning->done();
  into.bytes_done = s.scanning ? s.scanning->bytes_read() : 0;
  into.bytes_total = std::max(into.bytes_done, s.scanning ? s.superblock.ring.length() : 0);
  co_return outcome;
}

// What the ring says. False: there is no memory for what it covers.
bool Session::State::tell_ring(Assessment& into) {
  const RingScan& scan = scanning->scan();
  into.damaged = scan.damaged;
  into.torn_records = scan.torn_records;
  into.sequence = scan.sequence;
  into.tail = scan.tail;
  into.live_records = scan.live_records;
  into.damage_count = scan.damage_count;
  for (const SlotDamage& damage : scan.damage) {
    into.damage.push_back("record " + std::to_string(damage.expected_sequence) + " in slot " +
                          std::to_string(damage.slot) + ": " + damage.reason);
  }
  into.live_intents.assign(scanning->live_intents().begin(), scanning->live_intents().end());
  into.live_intent_count = scanning->live_intent_count();
  into.debt = scanning->take_covered();
  highest_sequence = scan.highest_sequence;
  ring_has_gaps = scan.has_gaps;
  return has_spare_memory(kCopiesOfDebt * into.debt.size() * sizeof(Extent));
}

Outcome Session::State::judge_unattached(unsigned image) const {
  if (!rights_of(superblock.images[image].state).receives) return Outcome::success();
  Outcome verdict = image < unopened.size() ? unopened[image] : Outcome::success();
  if (verdict.ok()) verdict = Outcome::of(Code::OPEN_FAILED);
  verdict.image = static_cast<ImageIndex>(image);
  return verdict;
}

Task<Outcome> Session::assess(Assessment& into) {
  State& s = *state_;
  if (const Outcome refused = s.may_step({Phase::loaded}); !refused.ok()) co_return refused;
  if (s.steps_in_flight > 0) co_return wrong_phase();
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  into = Assessment{};
  const Outcome outcome = co_await s.read_ring(UINT64_MAX / 2);
  if (!outcome.ok()) co_return outcome;
  s.highest_sequence = 0;
  s.ring_has_gaps = false;
  const bool creating = !s.scanning;
  const bool told = creating || s.tell_ring(into);
  s.scanning.reset();
  if (!told) co_return no_memory();
  const bool sealed = s.superblock.lifecycle == Lifecycle::sealed;
  if (sealed && !into.damaged && (into.sequence != s.superblock.sealed_sequence || !into.debt.empty())) {
    // The log moved on after it was sealed, or was sealed over live intents: neither is our doing.
    into.damaged = true;
    into.damage.push_back("sealed at record " + std::to_string(s.superblock.sealed_sequence) +
                          ", but the ring ends at " + std::to_string(into.sequence));
    ++into.damage_count;
  }
  const std::uint64_t full_at = into.tail + s.superblock.ring.record_count;
  if (!creating && !into.damaged && into.sequence + 1 >= full_at) {
    // Writers keep the last free slots for records that move the tail; with none free nothing could be retired any more.
    into.damaged = true;
    into.damage.push_back("the ring ends at record " + std::to_string(into.sequence) +
                          " and has no free slot, its tail being " + std::to_string(into.tail));
    ++into.damage_count;
  }
  if (into.damaged || creating) {
    into.debt.clear();
    into.debt.add(s.whole());
  }
  into.clean = sealed && !into.damaged;
  for (unsigned i = 0; i < s.superblock.images.size(); ++i) {
    if (!s.membership.is_attached(i)) {
      into.images.push_back(s.judge_unattached(i));
      continue;
    }
    Device* const device = s.membership.images()[i];
    const FoundLabel label = co_await read_label(*device, s.superblock.images[i].label_position);
    if (label.found.code == Code::NO_MEMORY) co_return label.found;
    Outcome verdict = judge_label(s.superblock, i, label.found, label.label, device->traits().size);
    verdict.image = static_cast<ImageIndex>(i);
    if (rights_of(s.superblock.images[i].state).receives) {
      verdict = judge_end(verdict, device->traits(), s.superblock.images[i]);
      verdict = judge_sectors(verdict, device->traits(), s.superblock.block_size);
      verdict = judge_allocation(verdict, device->allocation_loss(), device->traits().size);
    }
    into.images.push_back(verdict);
    // A fracture and a seal may have numbered labels beyond the superblock; none of these numbers is used again.
    const bool counts = verdict.ok() && label.found.ok() && !mutated(Mutation::label_numbers_forgotten);
    if (counts) s.superblock.update = std::max(s.superblock.update, label.label.update);
    if (label.found.ok()) s.membership.carry_label(i, label.label, label.stale);
  }
  s.assessed = true;
  s.clean = into.clean;
  s.ring_damaged = into.damaged;
  s.scanned_sequence = into.sequence;
  s.scanned_tail = into.tail;
  s.debt = into.debt;
  s.verdicts = into.images;
  co_return Outcome::success();
}

Task<Outcome> Session::read_debts() {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  if (const Outcome refused = s.may_step({Phase::loaded, Phase::running}); !refused.ok()) co_return refused;
  if (s.phase == Phase::loaded) {
    if (!s.assessed || s.superblock.lifecycle == Lifecycle::creating) co_return wrong_phase();
    if (!s.debts.begin(s.membership.log(), s.scanned_tail)) co_return no_memory();
  }
  for (const unsigned i : indices_of(s.superblock.slaves())) co_await s.debts.load(i);
  co_return Outcome::success();
}

// --- activation

// I8: log first (`opening`, which allows labels of this or the last incarnation), then every label, then `open`. Only
// then may anything be written. A restored old image or log shows itself by carrying neither.
Task<Outcome> Session::State::begin_incarnation(const ActivateOptions& options) {
  Superblock& b = superblock;
  // What the scan found may have been in the log's volatile cache when the last opener was killed. The sequences and the
  // tail of this opening build upon it.
  int error = 0;
  if (!mutated(Mutation::log_not_flushed_at_opening)) error = co_await membership.log().flush();
  if (error != 0) co_return Outcome::of(Code::LOG_FAILED, kLogDevice, error);
  if (const Outcome flushed = co_await flush_images(); !flushed.ok()) co_return flushed;
  const bool cut_off = b.lifecycle == Lifecycle::opening;
  if (cut_off || (b.lifecycle == Lifecycle::open && !membership.durable())) {
    // The last opening was cut off with some labels of its incarnation and some of the one before, or a fracture of it with
    // some labels of its generation. Finish it first, so that there is never more than one incarnation, or generation, that
    // a label may lag behind.
    const Outcome outcome = co_await membership.write_labels(membership.receiving(), false);
    if (!outcome.ok()) co_return outcome;
  }
  if (cut_off) {
    b.lifecycle = Lifecycle::open;
    const Outcome outcome = co_await membership.write_superblock();
    if (!outcome.ok()) co_return outcome;
  }
  next_sequence = scanned_sequence + (mutated(Mutation::sequence_used_again) ? 0 : 1);
  if (ring_damaged) {
    // Beyond everything that any sector of the damaged ring says, and a lap more, so that no old record can pass for
    // the last lap of a new one. The ring itself is rewritten when its debt is paid, not before: until then it ends
    // before its first sequence, which is damage to every later scan, even where this one's finding would not recur.
    const std::uint64_t laps = std::max(highest_sequence, b.first_sequence) / b.ring.record_count + 2;
    next_sequence = laps * b.ring.record_count;
  }
  b.first_sequence = next_sequence;
  b.previous_incarnation = b.incarnation;
  ++b.open_count;
  runtime.random(b.incarnation.bytes);
  b.lifecycle = Lifecycle::opening;
  // A torn write destroys as much as the largest physical block that is there now.
  for (unsigned i = 0; i < b.images.size(); ++i) {
    if ((membership.attached() & image_bit(i)) == 0) continue;  // one that is out may come back
    const std::uint32_t block = membership.images()[i]->traits().physical_block_size;
    b.physical_block_size = std::min(std::max(b.physical_block_size, block), kMaximumPhysicalBlockSize);
  }
  b.owner = options.owner;
  b.images[b.master].error = 0;  // of a master that failed in an opening before
  for (std::size_t i = 0; i < options.found_at.size() && i < b.images.size(); ++i) {
    if (options.found_at[i].path.empty()) continue;
    b.images[i].path = options.found_at[i].path;
    b.images[i].path_kind = options.found_at[i].path_kind;
  }
  Outcome outcome = co_await membership.write_superblock();
  const ImageSet told = mutated(Mutation::labels_not_opened) ? ImageSet{0} : membership.receiving();
  if (outcome.ok()) outcome = co_await membership.write_labels(told, false);
  if (!outcome.ok()) co_return outcome;
  b.lifecycle = Lifecycle::open;
  outcome = co_await membership.write_superblock();
  if (outcome.ok() && !membership.durable()) outcome = co_await membership.make_durable();
  co_return outcome;
}

// By what assess found. An opening takes no slave out below minInSync; a mirror that is below it already opens, so that it can
// be repaired.
Outcome Session::State::judge_left_out(ImageSet left_out) {
  ImageSet leaving = 0;
  for (unsigned i = 0; i < verdicts.size(); ++i) {
    if (verdicts[i].ok() && !membership.is_attached(i)) verdicts[i] = judge_unattached(i);
    if (verdicts[i].ok()) continue;
    const bool may_go = (left_out & image_bit(i)) != 0 || superblock.images[i].state == ImageState::synchronizing;
    if (i == superblock.master || !may_go || !find_left_out(verdicts[i].code)) return verdicts[i];
    if (rights_of(superblock.images[i].state).in_sync) leaving |= image_bit(i);
  }
  const bool enough = leaving == 0 || membership.enough_in_sync(leaving);
  return enough ? Outcome::success() : Outcome::of(Code::TOO_FEW_IN_SYNC);
}

Task<Outcome> Session::activate(ActivateOptions options) {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  if (const Outcome refused = s.may_step({Phase::loaded}); !refused.ok()) co_return refused;
  if (!s.assessed || s.superblock.lifecycle == Lifecycle::creating) co_return wrong_phase();
  const unsigned least = s.superblock.policies.minimum_in_sync, asked = options.minimum_in_sync;
  if (asked != 0 && (asked < least || asked > s.superblock.images.size())) {
    co_return Outcome::of(Code::OUT_OF_RANGE, kNoImage, 0, least);
  }
  s.membership.require_in_sync(asked);
  // Before anything is written: the mirror must not end for want of it half way.
  if (!has_spare_memory(kMirrorMemory)) co_return no_memory();
  if (!s.broken.ok()) co_return s.broken;
  if (const Outcome refused = s.judge_left_out(options.left_out); !refused.ok()) co_return refused;
  if (!s.debts.begin(s.membership.log(), s.scanned_tail)) co_return no_memory();
  s.begin_debts();
  for (const unsigned i : indices_of(s.superblock.slaves())) {
    if (!s.verdicts[i].ok()) s.leave_out(i, *find_left_out(s.verdicts[i].code));
  }
  if (!s.clean && !mutated(Mutation::skip_recovery)) {
    s.begin_resyncs_after_crash();
    s.owe_crash_debt(s.debts.owing());
  }
  if (s.recovering() == 0) s.superblock.served_since_crash = false;
  if (s.recovering() != 0 && options.background) s.superblock.served_since_crash = true;
  s.recovery_budget = options.recovery_budget;
  Outcome outcome = co_await s.begin_incarnation(options);
  if (outcome.ok()) outcome = co_await s.start_opened();
  if (!outcome.ok()) co_return outcome;
  s.to_be_recovered = !s.clean || s.recovering() != 0;
  s.phase =
      !s.to_be_recovered || options.background || mutated(Mutation::skip_recovery) ? Phase::running : Phase::recovering;
  s.tell_opened();
  co_return outcome;
}

// I4: what a read returned once, from the master's volatile cache, must not be rolled back by a later power loss that finds
// the slaves newer: before anything is copied or read. And of each image the label that was found may stand in its cache
// alone: before its other copy is written over. A flush that failed is never tried again (I11).
Task<Outcome> Session::State::flush_images() {
  ImageSet flushed = membership.receiving();
  if (mutated(Mutation::read_before_master_flush)) flushed &= superblock.slaves();
  DeviceRequest model;
  model.operation = Operation::flush;
  ParallelOperation everywhere(membership.images(), flushed, model);
  ParallelOperation::Results results = co_await everywhere;
  if (mutated(Mutation::master_flush_failure_ignored)) results.failed &= superblock.slaves();
  for (const unsigned i : indices_of(results.failed & superblock.slaves())) {
    membership.fail(i, results.errors[i], FractureCause::flush_error);
  }
  const unsigned master = superblock.master;
  if ((results.failed & image_bit(master)) != 0) {
    broken = membership.of_master(Code::MASTER_FAILED, results.errors[master]);
  }
  co_return broken;
}

// A ring that is damaged is written anew: that everything is owed is durable in each entry by now (I14).
Task<Outcome> Session::State::start_opened() {
  std::uint64_t tail = scanned_tail;
  if (ring_damaged) {
    const Outcome outcome = co_await write_new_ring();
    if (!outcome.ok()) co_return outcome;
    tail = next_sequence - 1;
  }
  start_mirror(tail);
  mirror->choose_from_slaves(!superblock.served_since_crash);
  if (ring_has_gaps && !ring_damaged) co_return co_await mirror->write_maps();  // format/ring_scan.cc, p5
  co_return Outcome::success();
}

void Session::State::start_mirror(std::uint64_t tail) {
  IntentLogStart start;
  start.log_uuid = superblock.log_uuid;
  start.ring = superblock.ring;
  start.opening = static_cast<std::uint32_t>(superblock.open_count);
  start.next_sequence = next_sequence;
  start.tail = tail;
  start.live_before = tail == scanned_tail && !debt.empty();
  start.recovery_budget = recovery_budget;
  start.regions = (superblock.size + kRegionLength - 1) / kRegionLength;
  mirror.emplace(runtime, membership, debts, repair, superblock, start, counters);
}

// --- debts

// A mirror that is being made keeps no maps: with a slave that failed there is none. What a crash left is owed by whoever
// goes out before it is paid; a damaged ring cannot say what that is.
void Session::State::slave_left(unsigned slave, ImageState from, DebtKind recorded) {
  if (!debts.begun()) return;
  ImageRecord& image = superblock.images[slave];
  // What was only assumed to be equal is proven by no debt: it would come back in sync, and nobody had compared it (I10).
  const bool unproven = from == ImageState::assumed || image.resync.kind == ResyncKind::debt_of_assumed;
  if (unproven || loses_bytes(image.fracture.cause)) debts.of(slave).owe_everything();
  // Of one that was being resynced: what it owed, and what it was written since its last flush. Behind a cursor nothing is
  // kept apart.
  image.resync.cursor = 0;
  if (recorded == DebtKind::everything) debts.of(slave).owe_everything();
  const std::uint64_t tail = mirror ? mirror->begin_debt(slave) : scanned_tail;
  if (!mirror) owe_crash_debt(image_bit(slave));
  if (recorded != DebtKind::none) return;
  image.fracture.tail = tail;
  if (debts.of(slave).owes_everything()) return;
  image.debt = DebtKind::map;
  runtime.random(image.map_id.bytes);
  debts.begin_map(slave);
}

void Session::State::leave_out(unsigned slave, const LeftOut& why) {
  const int error = why.cause == FractureCause::lost_allocation || why.cause == FractureCause::too_small
                        ? kLostAllocation
                        : verdicts[slave].system_error;
  const FractureCause cause = error == ETIMEDOUT ? FractureCause::deadline : why.cause;
  if (why.event == ImageEvent::erred) return membership.fail(slave, error, cause);
  membership.leave(slave, why.cause, verdicts[slave].system_error);
}

// Of slaves that are out already. A damaged ring names no live intent: what they missed may be anywhere, and that is durable
// before the ring is written anew (I14).
void Session::State::begin_debts() {
  const ImageSet out = debts.owing();
  if (!clean) owe_crash_debt(out);
  for (const unsigned i : indices_of(out)) {
    if (!debts.of(i).owes_everything()) continue;
    superblock.images[i].debt = DebtKind::everything;
    superblock.images[i].map_id = Uuid{};
    superblock.images[i].resync.cursor = std::min(superblock.images[i].resync.cursor, debts.of(i).paid_to());
    debts.end_map(i);
  }
}

// What a crash left of those that receive is a resync of each of them, as that of a slave that was away.
void Session::State::begin_resyncs_after_crash() {
  if (clean || debt.empty()) return;
  const bool everything = debt.contains(whole());
  for (const unsigned i : indices_of(superblock.slaves())) {
    const bool receives = (membership.receiving() & image_bit(i)) != 0;
    if (receives && superblock.images[i].debt == DebtKind::none &&
        superblock.images[i].state != ImageState::synchronizing) {
      membership.resync_after_crash(i, everything, debt.bytes());
    }
  }
}

void Session::State::owe_crash_debt(ImageSet slaves) {
  if (debt.contains(whole())) {
    if (mutated(Mutation::damage_forgets_misses)) slaves &= recovering();
    return debts.owe_everything(slaves);
  }
  for (const Extent& extent : debt.extents()) debts.owe(slaves, extent);
}

}  // namespace blockmirror
