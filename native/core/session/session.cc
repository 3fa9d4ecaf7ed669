#include "session.h"

#include <algorithm>
#include <cerrno>
#include <optional>

#include "../base/headroom.h"
#include "../base/mutation.h"
#include "../base/spare_memory.h"
#include "../format/label.h"
#include "../images/master_repair.h"
#include "../images/membership.h"
#include "../images/piece_runner.h"
#include "../images/recovery.h"
#include "../log/log_reader.h"
#include "../mirror/comparison.h"
#include "../mirror/mirror.h"
#include "carried_out.h"
#include "formatter.h"

namespace blockmirror {
namespace {

// Copies of the debt that a recovery has beside the one that is told.
constexpr std::size_t kCopiesOfDebt = 4;
// More than a running mirror takes when it begins: four records in flight of 64 KiB, their intents, regions.
constexpr std::size_t kMirrorMemory = 4 * kMiB;

bool one_of(Phase phase, std::initializer_list<Phase> allowed) {
  return std::find(allowed.begin(), allowed.end(), phase) != allowed.end();
}

class StepUnderWay {
 public:
  StepUnderWay(unsigned& count, Condition& ended) : count_(count), ended_(ended) { ++count_; }
  ~StepUnderWay() {
    if (--count_ == 0) ended_.wake_all();
  }
  StepUnderWay(const StepUnderWay&) = delete;
  StepUnderWay& operator=(const StepUnderWay&) = delete;

 private:
  unsigned& count_;
  Condition& ended_;
};

Outcome wrong_phase() { return Outcome::of(Code::WRONG_PHASE); }
Outcome no_memory() { return Outcome::of(Code::NO_MEMORY, kLogDevice, ENOMEM); }

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

// What a slave may be failed for at an opening, where the caller decides so.
bool is_loss(const Outcome& verdict) {
  return verdict.code == Code::LOST_ALLOCATION || verdict.code == Code::TRUNCATED_IMAGE;
}

}  // namespace

struct Session::State {
  explicit State(Runtime& with) : runtime(with), membership(with, superblock, counters) {}

  Runtime& runtime;
  Phase phase = Phase::idle;
  Superblock superblock;
  Counters counters;
  Membership membership;
  MasterRepair repair{membership, superblock, counters};

  std::optional<RingReader> scanning;

  // What the last assess found; activate acts on it and on nothing older.
  bool assessed = false;
  bool clean = false;
  bool ring_damaged = false;
  std::uint64_t scanned_sequence = 0;
  std::uint64_t scanned_tail = 0;
  std::uint64_t highest_sequence = 0;
  ExtentSet debt;
  std::vector<Outcome> verdicts;
  bool assume_identical = false;  // of the plan

  std::uint64_t recovery_budget = kDefaultRecoveryBudget;
  PieceRunner pieces{runtime};
  std::optional<Recovery> recovery;
  std::optional<Mirror> mirror;
  // Steps under way; close() waits for them, and refuses those that come later.
  unsigned steps_in_flight = 0;
  Condition steps_ended{runtime};
  bool retiring_debt = false;  // from here to the running mirror no other step may see half of it
  bool closing = false;
  Outcome close_outcome;
  Condition closed{runtime};
  Outcome broken;  // a flush of the master failed: never retried (I11)

  std::uint64_t next_sequence = 0;  // of the incarnation that activate or format began

  Extent whole() const { return {0, superblock.size}; }
  Outcome may_step(std::initializer_list<Phase> allowed) {
    note_stop();
    if (closing) return Outcome::of(Code::CLOSED);
    return one_of(phase, allowed) && !retiring_debt ? Outcome::success() : wrong_phase();
  }
  Outcome check_extents(const std::vector<Extent>& extents) const {
    for (const Extent& extent : extents) {
      const bool fits = !extent.empty() && extent.length <= kCopyLength && extent.end() <= superblock.size;
      if (!fits) return Outcome::of(Code::OUT_OF_RANGE, kNoImage, 0, extent.position);
    }
    return extents.size() <= kCopyExtents ? Outcome::success() : Outcome::of(Code::OUT_OF_RANGE);
  }
  // A mirror that is being made needs every slave: it would otherwise start degraded, and nobody asked for that.
  Outcome with_all_slaves(Outcome outcome) const {
    const bool being_made = phase == Phase::planned || phase == Phase::formatting;
    if (!being_made || (!outcome.ok() && outcome.code != Code::NO_SLAVE)) return outcome;
    if (mutated(Mutation::create_without_slave)) return outcome;
    for (unsigned i = 1; i < superblock.images.size(); ++i) {
      if (superblock.images[i].state != ImageState::failed) continue;
      return Outcome::of(Code::SLAVE_FAILED, static_cast<ImageIndex>(i), membership.error_of(i));
    }
    return outcome;
  }
  Task<Outcome> read_ring(std::uint64_t bytes);
  bool tell_ring(Assessment& into);
  Task<Outcome> pay_debt(RecoverySummary summary);
  Task<Outcome> write_new_ring();
  Task<Outcome> seal();
  Task<Outcome> shut_down();
  void start_mirror(std::uint64_t tail);
  Task<Outcome> begin_incarnation(const ActivateOptions& options);
  Task<Outcome> flush_assumed();
  Task<Outcome> finish_format();
  void note_stop() {
    if (phase == Phase::running && mirror && (!mirror->stopped().ok() || !mirror->log().failure().ok())) {
      phase = Phase::stopped;
    }
  }
};

Session::Session(Runtime& runtime) : state_(std::make_unique<State>(runtime)) {}
Session::~Session() = default;

Phase Session::phase() const {
  state_->note_stop();
  return state_->phase;
}
const Superblock& Session::superblock() const { return state_->superblock; }
void Session::set_log(Device& log) { state_->membership.set_log(log); }
void Session::set_images(std::vector<Device*> images) { state_->membership.set_images(std::move(images)); }

std::uint32_t Session::memory_alignment() const {
  std::uint32_t alignment = 512;
  for (const Device* image : state_->membership.images()) {
    if (image != nullptr) alignment = std::max(alignment, image->traits().memory_alignment);
  }
  return alignment;
}

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
  return has_spare_memory(kCopiesOfDebt * into.debt.size() * sizeof(Extent));
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
    Device* device = i < s.membership.images().size() ? s.membership.images()[i] : nullptr;
    if (device == nullptr) {
      const bool expected = s.superblock.images[i].state == ImageState::failed;
      into.images.push_back(expected ? Outcome::success() : Outcome::of(Code::OPEN_FAILED, static_cast<ImageIndex>(i)));
      continue;
    }
    const FoundLabel label = co_await read_label(*device, s.superblock.images[i].label_position);
    if (label.found.code == Code::NO_MEMORY) co_return label.found;
    Outcome verdict = judge_label(s.superblock, i, label.found, label.label, device->traits().size);
    verdict.image = static_cast<ImageIndex>(i);
    if (s.superblock.images[i].state != ImageState::failed) {
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
  if (b.lifecycle == Lifecycle::opening) {
    // The last opening was cut off with some labels of its incarnation and some of the one before. Finish it first, so
    // that there is never more than one incarnation that a label may lag behind.
    Outcome outcome = co_await membership.write_labels(membership.receiving(), false);
    if (!outcome.ok()) co_return outcome;
    b.lifecycle = Lifecycle::open;
    outcome = co_await membership.write_superblock();
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
    if ((membership.receiving() & image_bit(i)) == 0) continue;
    const std::uint32_t block = membership.images()[i]->traits().physical_block_size;
    b.physical_block_size = std::min(std::max(b.physical_block_size, block), kMaximumPhysicalBlockSize);
  }
  b.owner = options.owner;
  b.images[0].error = 0;  // of a master that failed in an opening before
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

Task<Outcome> Session::activate(ActivateOptions options) {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  if (const Outcome refused = s.may_step({Phase::loaded}); !refused.ok()) co_return refused;
  if (!s.assessed || s.superblock.lifecycle == Lifecycle::creating) co_return wrong_phase();
  // Before anything is written: the mirror must not end for want of it half way.
  if (!has_spare_memory(kMirrorMemory)) co_return no_memory();
  if (!s.broken.ok()) co_return s.broken;
  for (unsigned i = 0; i < s.verdicts.size(); ++i) {
    const bool given_up = i > 0 && (options.lost & image_bit(i)) != 0 && is_loss(s.verdicts[i]);
    if (!s.verdicts[i].ok() && !given_up) co_return s.verdicts[i];
  }
  for (unsigned i = 1; i < s.verdicts.size(); ++i) {
    if (!s.verdicts[i].ok()) s.membership.fail(i, kLostAllocation, FractureCause::lost_allocation);
  }
  s.recovery_budget = options.recovery_budget;
  const Outcome outcome = co_await s.begin_incarnation(options);
  if (!outcome.ok()) co_return outcome;
  s.recovery.emplace(s.membership, s.pieces, s.repair, s.superblock, s.debt, false);
  s.broken = co_await s.recovery->flush_master();  // I4: before the first read
  if (!s.broken.ok()) co_return s.broken;
  if (!s.clean && !mutated(Mutation::skip_recovery)) {
    s.phase = Phase::recovering;
    co_return Outcome::success();
  }
  s.recovery.reset();
  s.start_mirror(s.scanned_tail);
  co_return Outcome::success();
}

void Session::State::start_mirror(std::uint64_t tail) {
  IntentLogStart start;
  start.log_uuid = superblock.log_uuid;
  start.ring = superblock.ring;
  start.opening = static_cast<std::uint32_t>(superblock.open_count);
  start.next_sequence = next_sequence;
  start.tail = tail;
  start.recovery_budget = recovery_budget;
  start.regions = (superblock.size + kRegionLength - 1) / kRegionLength;
  mirror.emplace(runtime, membership, repair, superblock, start, counters);
  phase = Phase::running;
}

// --- formatting

Task<Outcome> Session::plan_format(FormatOptions options) {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  if (const Outcome refused = s.may_step({Phase::idle}); !refused.ok()) co_return refused;
  const std::size_t count = s.membership.images().size();
  if (!s.membership.has_log() || count < 2 || options.images.size() != count) co_return wrong_phase();
  if (!s.membership.has_memory() || !has_spare_memory(kMirrorMemory)) co_return no_memory();
  Outcome outcome = plan_superblock(s.runtime, options, s.membership.log(), s.membership.images(), s.superblock);
  if (!outcome.ok()) co_return outcome;
  s.assume_identical = options.assume_identical;
  if (!mutated(Mutation::create_without_plan)) outcome = co_await s.membership.write_superblock();
  if (!outcome.ok()) co_return outcome;
  s.phase = Phase::planned;
  co_return outcome;
}

Task<Outcome> Session::format() {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  if (const Outcome refused = s.may_step({Phase::planned}); !refused.ok()) co_return refused;
  Outcome outcome = s.with_all_slaves(co_await write_formatted(s.membership, s.superblock));
  if (!outcome.ok()) co_return outcome;
  s.next_sequence = s.superblock.first_sequence;
  s.scanned_tail = s.superblock.ring.record_count;
  ExtentSet debt;
  const ImageState assumed = mutated(Mutation::assumed_called_in_sync) ? ImageState::in_sync : ImageState::assumed;
  if (s.assume_identical) {
    for (std::size_t i = 1; i < s.superblock.images.size(); ++i) {
      s.superblock.images[i].state = assumed;
      s.superblock.images[i].pay_debt();
    }
  } else {
    debt.add(s.whole());
  }
  s.recovery.emplace(s.membership, s.pieces, s.repair, s.superblock, std::move(debt), true);
  s.phase = Phase::formatting;
  co_return Outcome::success();
}

Task<Outcome> Session::format_flush_master() {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  if (const Outcome refused = s.may_step({Phase::formatting}); !refused.ok()) co_return refused;
  co_return s.with_all_slaves(co_await s.recovery->flush_master());
}

// What is said to be identical nobody copied: it may stand in caches alone, and a power loss would then tell the images
// apart while no intent covers the difference.
Task<Outcome> Session::State::flush_assumed() {
  Outcome outcome = co_await recovery->flush_master();
  if (outcome.ok()) outcome = co_await recovery->flush_slaves();
  co_return with_all_slaves(outcome);
}

// The labels learn the final states first: until the superblock leaves `creating` there is no mirror to disagree with.
Task<Outcome> Session::State::finish_format() {
  if (assume_identical && !mutated(Mutation::assumed_not_flushed)) {
    const Outcome flushed = co_await flush_assumed();
    if (!flushed.ok()) co_return flushed;
  }
  for (ImageRecord& image : superblock.images) {
    if (image.state != ImageState::synchronizing) continue;
    image.state = ImageState::in_sync;
    image.pay_debt();
  }
  const Outcome outcome = with_all_slaves(co_await membership.write_labels(membership.receiving(), false));
  if (!outcome.ok()) co_return outcome;
  superblock.lifecycle = Lifecycle::open;
  co_return co_await membership.write_superblock();
}

// --- recovery

Task<Outcome> Session::recover_copy(std::vector<Extent> extents, bool compare, bool only_differing, CopyResult& into) {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  if (const Outcome refused = s.may_step({Phase::recovering, Phase::formatting}); !refused.ok()) co_return refused;
  if (const Outcome wrong = s.check_extents(extents); !wrong.ok()) co_return wrong;
  co_return s.with_all_slaves(co_await s.recovery->copy(extents, compare, only_differing, into));
}

Task<Outcome> Session::recover_flush_slaves() {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  if (const Outcome refused = s.may_step({Phase::recovering, Phase::formatting}); !refused.ok()) co_return refused;
  if (s.phase == Phase::formatting && mutated(Mutation::ready_before_flush)) (void)co_await s.finish_format();
  co_return s.with_all_slaves(co_await s.recovery->flush_slaves());
}

Task<Outcome> Session::recover_read_back(std::vector<Extent> extents, CompareResult& into) {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  if (const Outcome refused = s.may_step({Phase::recovering, Phase::formatting}); !refused.ok()) co_return refused;
  if (const Outcome wrong = s.check_extents(extents); !wrong.ok()) co_return wrong;
  co_return s.with_all_slaves(co_await s.recovery->read_back(extents, into));
}

Task<Outcome> Session::recover_retire(RecoverySummary summary) {
  State& s = *state_;
  const Outcome refused = s.may_step({Phase::recovering, Phase::formatting});
  if (!refused.ok()) co_return refused;
  // A copy under way would still write when ordinary writes do, and hold no range.
  const bool paid = s.recovery->may_retire() || mutated(Mutation::debt_retired_uncopied);
  if (s.steps_in_flight > 0 || !paid) co_return wrong_phase();
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  s.retiring_debt = true;
  const Outcome outcome = co_await s.pay_debt(std::move(summary));
  s.retiring_debt = false;
  co_return outcome;
}

Task<Outcome> Session::State::pay_debt(RecoverySummary summary) {
  const bool formatting = phase == Phase::formatting;
  std::uint64_t tail = scanned_tail;
  if (!membership.failure().ok()) co_return membership.failure();
  if (const Outcome complete = with_all_slaves(Outcome::success()); !complete.ok()) co_return complete;
  if (!membership.durable()) {
    const Outcome outcome = co_await membership.make_durable();
    if (!outcome.ok()) co_return outcome;
  }
  if (ring_damaged) {
    const Outcome outcome = co_await write_new_ring();
    if (!outcome.ok()) co_return outcome;
    tail = next_sequence - 1;
  }
  if (formatting) {
    const Outcome outcome = co_await finish_format();
    if (!outcome.ok()) co_return outcome;
  }
  if (debt.contains(whole())) forget_differences(membership.receiving(), superblock);
  recovery.reset();
  debt.clear();
  start_mirror(tail);
  retiring_debt = false;
  Outcome outcome = co_await mirror->log().write_empty_record();
  if (outcome.ok() && !formatting) {
    summary.finished_at_ms = runtime.wall_clock_ms();
    superblock.last_recovery = summary;
    outcome = co_await membership.write_superblock();
  }
  if (outcome.ok() && !membership.durable()) outcome = co_await membership.make_durable();
  if (!outcome.ok()) mirror->stop(outcome);  // I12: it takes requests already
  co_return outcome;
}

Task<Outcome> Session::State::write_new_ring() {
  const std::uint64_t laps = 2 * std::uint64_t{superblock.ring.record_count};
  if (!kSequences.may_grow(next_sequence, laps)) co_return Outcome::of(Code::LOG_FAILED, kLogDevice, EOVERFLOW);
  if (superblock.first_sequence != next_sequence) {
    superblock.first_sequence = next_sequence;
    const Outcome outcome = co_await membership.write_superblock();
    if (!outcome.ok()) co_return outcome;
  }
  const Outcome outcome = co_await rewrite_ring(membership.log(), superblock);
  if (!outcome.ok()) {
    next_sequence += laps;  // I12: another attempt is another set of sequences
    co_return outcome;
  }
  next_sequence += superblock.ring.record_count;
  ring_damaged = false;
  co_return Outcome::success();
}

// --- comparing

Task<Outcome> Session::compare(std::vector<Extent> extents, bool all, CompareResult& into) {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  const Outcome refused = s.may_step({Phase::recovering, Phase::formatting, Phase::running});
  if (!refused.ok()) co_return refused;
  if (const Outcome wrong = s.check_extents(extents); !wrong.ok()) co_return wrong;
  const ImageSet images = all ? s.membership.attached() : s.membership.receiving();
  const ExtentSet none;
  const ExtentSet& uncertain = s.recovery ? s.recovery->uncopied() : none;
  Comparison comparison(s.membership, s.superblock, s.mirror ? &*s.mirror : nullptr, uncertain, images, into);
  co_return co_await s.pieces.run(extents, images, comparison);
}

Task<Outcome> Session::record_verify(VerifyResult found) {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  if (const Outcome refused = s.may_step({Phase::recovering, Phase::running}); !refused.ok()) co_return refused;
  const std::size_t slaves = s.superblock.images.size() - 1;
  if (found.bytes_compared.size() != slaves || found.bytes_differed.size() != slaves) co_return wrong_phase();
  const VerifyChange change =
      apply_verify(found, s.membership.receiving(), s.phase == Phase::running, s.runtime.wall_clock_ms(), s.superblock);
  Outcome outcome;
  const bool remembers = change.superblock && !mutated(Mutation::verify_difference_forgotten);
  if (remembers) outcome = co_await s.membership.write_superblock();
  if (outcome.ok() && change.labels) outcome = co_await s.membership.write_labels(s.membership.receiving(), false);
  if (outcome.ok() && !s.membership.durable()) outcome = co_await s.membership.make_durable();
  if (!outcome.ok() && s.mirror) s.mirror->stop(outcome);  // half a change of state must not be built upon
  co_return outcome;
}

Task<Outcome> Session::retire_all() {
  if (const Outcome refused = state_->may_step({Phase::running}); !refused.ok()) co_return refused;
  co_return co_await state_->mirror->retire_all();
}

// --- requests

namespace {

// Why a request is not taken in this phase.
Outcome refusal(Phase phase) {
  switch (phase) {
    case Phase::recovering:
    case Phase::formatting:
      return Outcome::of(Code::NOT_RECOVERED);
    case Phase::closed:
      return Outcome::of(Code::CLOSED);
    default:
      return wrong_phase();
  }
}

}  // namespace

Task<Outcome> Session::write(Extent extent, std::span<const std::byte> bytes, bool durable,
                             const std::atomic<bool>* cancelled) {
  State& s = *state_;
  if (!s.mirror) co_return refusal(s.phase);
  co_return co_await s.mirror->write(extent, bytes, durable, cancelled);
}

Task<Outcome> Session::write_partial(Extent extent, std::span<std::byte> bytes, PartialBlocks partial, bool durable,
                                     const std::atomic<bool>* cancelled) {
  State& s = *state_;
  if (!s.mirror) co_return refusal(s.phase);
  co_return co_await s.mirror->write_partial(extent, bytes, partial, durable, cancelled);
}

Task<Outcome> Session::discard(Extent extent) {
  State& s = *state_;
  if (!s.mirror) co_return refusal(s.phase);
  co_return co_await s.mirror->discard(extent);
}

Task<Outcome> Session::read(Extent extent, std::span<std::byte> into) {
  State& s = *state_;
  if (!s.mirror) co_return refusal(s.phase);
  co_return co_await s.mirror->read(extent, into);
}

Task<Outcome> Session::flush() {
  State& s = *state_;
  if (!s.mirror) co_return refusal(s.phase);
  co_return co_await s.mirror->flush();
}

// --- the end

Task<Outcome> Session::close() {
  State& s = *state_;
  if (s.closing) {
    while (s.phase != Phase::closed) co_await s.closed.wait();
    co_return s.close_outcome;
  }
  s.closing = true;
  while (s.steps_in_flight > 0) co_await s.steps_ended.wait();
  s.close_outcome = co_await s.shut_down();
  s.mirror.reset();
  s.recovery.reset();
  s.phase = Phase::closed;
  s.closed.wake_all();
  co_return s.close_outcome;
}

Task<Outcome> Session::State::shut_down() {
  if (!mirror) co_return Outcome::success();
  note_stop();
  const bool stopped = phase == Phase::stopped;
  Outcome outcome = co_await mirror->close();
  if (outcome.ok()) outcome = co_await seal();
  co_return stopped ? Outcome::success() : outcome;  // a mirror that had stopped was only let go; it stays unclean
}

// Labels before the superblock: a sealed log whose label is not sealed has an image of another time. A slave that fails
// here is a fracture like any other; recording it breaks the seal of the other labels, which are then sealed anew.
Task<Outcome> Session::State::seal() {
  superblock.sealed_sequence = mirror->log().next_sequence() - 1;
  do {
    Outcome outcome;
    if (!membership.durable()) outcome = co_await membership.make_durable();
    if (outcome.ok()) outcome = co_await membership.write_labels(membership.receiving(), true);
    if (!outcome.ok()) co_return outcome;
  } while (!membership.durable());
  superblock.lifecycle = Lifecycle::sealed;
  co_return co_await membership.write_superblock();
}

Snapshot Session::snapshot() const {
  State& s = *state_;
  s.note_stop();
  Snapshot snapshot;
  snapshot.phase = s.phase;
  snapshot.image_count = static_cast<unsigned>(s.superblock.images.size());
  for (unsigned i = 0; i < snapshot.image_count; ++i) {
    snapshot.states[i] = s.superblock.images[i].state;
    snapshot.errors[i] = s.membership.error_of(i);
    snapshot.bytes_differed[i] = s.superblock.images[i].bytes_differed;
    snapshot.changed_at_ms[i] = s.superblock.images[i].changed_at_ms;
  }
  snapshot.last_verify = s.superblock.last_verify;
  snapshot.generation = s.superblock.generation;
  snapshot.ring_records = s.superblock.ring.record_count;
  snapshot.recovery_budget = s.recovery_budget;
  snapshot.counters = s.counters;
  snapshot.recent_repairs = s.repair.recent();
  if (s.recovery) snapshot.uncertain_bytes = s.recovery->uncopied().bytes();
  if (s.mirror) {
    const IntentLog& log = s.mirror->log();
    snapshot.stopped = s.mirror->stopped().ok() ? log.failure() : s.mirror->stopped();
    snapshot.requests_in_flight = s.mirror->requests_in_flight();
    snapshot.sequence = log.next_sequence() - 1;
    snapshot.tail = log.durable_tail();
    snapshot.coverage_bytes = log.live_bytes();
    snapshot.coverage_regions = log.regions();
  } else {
    snapshot.sequence = s.scanned_sequence;
    snapshot.tail = s.scanned_tail;
    snapshot.coverage_bytes = s.debt.bytes();
  }
  return snapshot;
}

}  // namespace blockmirror
