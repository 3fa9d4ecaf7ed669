#include "session.h"

#include <algorithm>
#include <optional>

#include "formatter.h"
#include "label.h"
#include "log_reader.h"
#include "membership.h"
#include "mirror.h"
#include "recovery.h"

namespace blockmirror {
namespace {

constexpr std::size_t kDamageLines = 64;

bool one_of(Phase phase, std::initializer_list<Phase> allowed) {
  return std::find(allowed.begin(), allowed.end(), phase) != allowed.end();
}

class Step {
 public:
  Step(unsigned& count, Condition& ended) : count_(count), ended_(ended) { ++count_; }
  ~Step() {
    if (--count_ == 0) ended_.wake_all();
  }
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

 private:
  unsigned& count_;
  Condition& ended_;
};

Status wrong_phase() { return Status::of(Code::WRONG_PHASE); }

}  // namespace

struct Session::State {
  explicit State(Runtime& with) : runtime(with), membership(with, superblock, counters) {}

  Runtime& runtime;
  Phase phase = Phase::idle;
  Superblock superblock;
  Counters counters;
  Membership membership;

  // What the last assess found; activate acts on it and on nothing older.
  bool assessed = false;
  bool clean = false;
  bool ring_damaged = false;
  std::uint64_t scanned_sequence = 0;
  std::uint64_t scanned_tail = 0;
  std::uint64_t highest_sequence = 0;
  ExtentSet debt;
  std::vector<Status> verdicts;

  std::uint64_t recovery_budget = kDefaultRecoveryBudget;
  std::optional<Recovery> recovery;
  std::optional<Mirror> mirror;
  // Recovery steps under way; close() waits for them.
  unsigned steps_in_flight = 0;
  Condition steps_ended{runtime};

  std::uint64_t next_sequence = 0;  // of the incarnation that activate or format began

  Extent whole() const { return {0, superblock.size}; }
  void start_mirror(std::uint64_t tail);
  Task<Status> begin_incarnation(const ActivateOptions& options);
  Task<Status> finish_format();
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
// ------------------------------------------------------------------------------------------------

Task<Status> Session::load_superblock() {
  State& s = *state_;
  if (s.phase != Phase::idle || !s.membership.has_log()) co_return wrong_phase();
  const Status status = co_await read_superblock(s.membership.log(), s.superblock);
  if (!status.ok()) co_return status;
  if (s.membership.log().traits().size < s.superblock.log_size) {
    co_return Status::of(Code::TOO_SMALL, kLogDevice, 0, s.superblock.log_size);
  }
  s.phase = Phase::loaded;
  co_return Status::success();
}

Task<Status> Session::assess(Assessment& into) {
  State& s = *state_;
  if (s.phase != Phase::loaded) co_return wrong_phase();
  RingReading ring = co_await read_ring(s.membership.log(), s.superblock);
  const RingScan& scan = ring.scan;
  into = Assessment{};
  into.damaged = scan.damaged;
  into.torn_records = scan.torn_records;
  into.sequence = scan.sequence;
  into.tail = scan.tail;
  for (const SlotDamage& damage : scan.damage) {
    if (into.damage.size() == kDamageLines) break;
    into.damage.push_back("record " + std::to_string(damage.expected_sequence) + " in slot " +
                          std::to_string(damage.slot) + ": " + damage.reason);
  }
  for (const SequencedIntent& live : scan.live) {
    ExtentSet covered;
    add_covered(live.intent, covered);
    for (const Extent& extent : covered.extents()) {
      const Extent clipped = extent.clipped(s.superblock.size);
      if (clipped.empty()) continue;
      into.live_intents.push_back({live.sequence, clipped});
      into.debt.add(clipped);
    }
  }
  const bool sealed = s.superblock.lifecycle == Lifecycle::sealed;
  if (sealed && !scan.damaged && (scan.sequence != s.superblock.sealed_sequence || !into.debt.empty())) {
    // The log moved on after it was sealed, or was sealed over live intents: neither is our doing.
    into.damaged = true;
    into.damage.push_back("sealed at record " + std::to_string(s.superblock.sealed_sequence) +
                          ", but the ring ends at " + std::to_string(scan.sequence));
  }
  if (into.damaged || s.superblock.lifecycle == Lifecycle::creating) {
    into.debt.clear();
    into.debt.add(s.whole());
  }
  into.clean = sealed && !into.damaged;
  for (unsigned i = 0; i < s.superblock.images.size(); ++i) {
    Device* device = i < s.membership.images().size() ? s.membership.images()[i] : nullptr;
    if (device == nullptr) {
      const bool expected = s.superblock.images[i].state == ImageState::failed;
      into.images.push_back(expected ? Status::success() : Status::of(Code::OPEN_FAILED, static_cast<ImageIndex>(i)));
      continue;
    }
    const FoundLabel label = co_await read_label(*device, s.superblock.images[i].label_position);
    Status verdict = judge_label(s.superblock, i, label.found, label.label, device->traits().size);
    verdict.image = static_cast<ImageIndex>(i);
    into.images.push_back(verdict);
  }
  s.assessed = true;
  s.clean = into.clean;
  s.ring_damaged = into.damaged;
  s.scanned_sequence = scan.sequence;
  s.scanned_tail = scan.tail;
  s.highest_sequence = ring.highest_sequence;
  s.debt = into.debt;
  s.verdicts = into.images;
  co_return Status::success();
}

// --- activation
// ---------------------------------------------------------------------------------------------------------

// I8: log first (`opening`, which allows labels of this or the last incarnation), then every label, then `open`. Only
// then may anything be written. A restored old image or log shows itself by carrying neither.
Task<Status> Session::State::begin_incarnation(const ActivateOptions& options) {
  Superblock& b = superblock;
  if (b.lifecycle == Lifecycle::opening) {
    // The last opening was cut off with some labels of its incarnation and some of the one before. Finish it first, so
    // that there is never more than one incarnation that a label may lag behind.
    Status status = co_await membership.write_labels(membership.receiving(), false);
    b.lifecycle = Lifecycle::open;
    if (status.ok()) status = co_await membership.write_superblock();
    if (!status.ok()) co_return status;
  }
  if (ring_damaged) {
    // Beyond everything that any sector of the damaged ring says, and a lap more, so that no old record can pass for
    // the last lap of a new one. The ring itself is rewritten when its debt is paid, not before.
    const std::uint64_t laps = highest_sequence / b.ring.record_count + 2;
    next_sequence = laps * b.ring.record_count;
  } else {
    next_sequence = scanned_sequence + 1;
    b.first_sequence = next_sequence;
  }
  b.previous_incarnation = b.incarnation;
  ++b.open_count;
  runtime.random(b.incarnation.bytes);
  b.lifecycle = Lifecycle::opening;
  b.owner = options.owner;
  for (std::size_t i = 0; i < options.found_at.size() && i < b.images.size(); ++i) {
    if (options.found_at[i].path.empty()) continue;
    b.images[i].path = options.found_at[i].path;
    b.images[i].path_kind = options.found_at[i].path_kind;
  }
  Status status = co_await membership.write_superblock();
  if (status.ok()) status = co_await membership.write_labels(membership.receiving(), false);
  if (!status.ok()) co_return status;
  b.lifecycle = Lifecycle::open;
  status = co_await membership.write_superblock();
  if (status.ok() && !membership.durable()) status = co_await membership.make_durable();
  co_return status;
}

Task<Status> Session::activate(ActivateOptions options) {
  State& s = *state_;
  if (s.phase != Phase::loaded || !s.assessed || s.superblock.lifecycle == Lifecycle::creating) co_return wrong_phase();
  for (const Status& verdict : s.verdicts) {
    if (!verdict.ok()) co_return verdict;
  }
  s.recovery_budget = options.recovery_budget;
  const Status status = co_await s.begin_incarnation(options);
  if (!status.ok()) co_return status;
  s.recovery.emplace(s.membership, s.superblock.size, s.debt);
  const Status flushed = co_await s.recovery->flush_master();  // I4: before the first read
  if (!flushed.ok()) co_return flushed;
  if (!s.clean) {
    s.phase = Phase::recovering;
    co_return Status::success();
  }
  s.recovery.reset();
  s.start_mirror(s.scanned_tail);
  co_return Status::success();
}

void Session::State::start_mirror(std::uint64_t tail) {
  IntentLogStart start;
  start.log_uuid = superblock.log_uuid;
  start.ring = superblock.ring;
  start.opening = static_cast<std::uint32_t>(superblock.open_count);
  start.next_sequence = next_sequence;
  start.tail = tail;
  start.recovery_budget = recovery_budget;
  mirror.emplace(runtime, membership, superblock, start, counters);
  phase = Phase::running;
}

// --- formatting
// ---------------------------------------------------------------------------------------------------------

Task<Status> Session::format(FormatOptions options) {
  State& s = *state_;
  const std::size_t count = s.membership.images().size();
  if (s.phase != Phase::idle || !s.membership.has_log() || count < 2 || options.images.size() != count) {
    co_return wrong_phase();
  }
  Status status = plan_superblock(s.runtime, options, s.membership.log(), s.membership.images(), s.superblock);
  if (!status.ok()) co_return status;
  status = co_await write_formatted(s.membership, s.superblock);
  if (!status.ok()) co_return status;
  s.next_sequence = s.superblock.first_sequence;
  s.scanned_tail = s.superblock.ring.record_count;
  ExtentSet debt;
  if (options.assume_identical) {
    for (std::size_t i = 1; i < count; ++i) s.superblock.images[i].state = ImageState::assumed;
  } else {
    debt.add(s.whole());
  }
  s.recovery.emplace(s.membership, s.superblock.size, std::move(debt));
  s.phase = Phase::formatting;
  co_return Status::success();
}

// The labels learn the final states first: until the superblock leaves `creating` there is no mirror to disagree with.
Task<Status> Session::State::finish_format() {
  for (ImageRecord& image : superblock.images) {
    if (image.state == ImageState::synchronizing) image.state = ImageState::in_sync;
  }
  Status status = co_await membership.write_labels(membership.receiving(), false);
  if (!status.ok()) co_return status;
  superblock.lifecycle = Lifecycle::open;
  co_return co_await membership.write_superblock();
}

// --- recovery
// -----------------------------------------------------------------------------------------------------------

Task<Status> Session::recover_flush_master() {
  State& s = *state_;
  Step step(s.steps_in_flight, s.steps_ended);
  if (!one_of(s.phase, {Phase::recovering, Phase::formatting})) co_return wrong_phase();
  co_return co_await s.recovery->flush_master();
}

Task<Status> Session::recover_copy(Extent extent, bool compare, bool only_differing, CopyResult& into) {
  State& s = *state_;
  Step step(s.steps_in_flight, s.steps_ended);
  if (!one_of(s.phase, {Phase::recovering, Phase::formatting})) co_return wrong_phase();
  if (extent.empty() || extent.end() > s.superblock.size || extent.length > kCopyLength) {
    co_return Status::of(Code::OUT_OF_RANGE, kNoImage, 0, extent.position);
  }
  co_return co_await s.recovery->copy(extent, compare, only_differing, into);
}

Task<Status> Session::recover_flush_slaves() {
  State& s = *state_;
  Step step(s.steps_in_flight, s.steps_ended);
  if (!one_of(s.phase, {Phase::recovering, Phase::formatting})) co_return wrong_phase();
  co_return co_await s.recovery->flush_slaves();
}

Task<Status> Session::recover_verify(Extent extent, CompareResult& into) {
  if (!one_of(state_->phase, {Phase::recovering, Phase::formatting})) co_return wrong_phase();
  co_return co_await compare(extent, into);
}

Task<Status> Session::recover_retire(RecoverySummary summary) {
  State& s = *state_;
  Step step(s.steps_in_flight, s.steps_ended);
  if (!one_of(s.phase, {Phase::recovering, Phase::formatting}) || !s.recovery->may_retire()) co_return wrong_phase();
  const bool formatting = s.phase == Phase::formatting;
  std::uint64_t tail = s.scanned_tail;
  if (s.ring_damaged) {
    s.superblock.first_sequence = s.next_sequence;
    Status status = co_await s.membership.write_superblock();
    if (status.ok()) status = co_await rewrite_ring(s.membership.log(), s.superblock);
    if (!status.ok()) co_return status;
    s.next_sequence += s.superblock.ring.record_count;
    tail = s.next_sequence - 1;
    s.ring_damaged = false;
  }
  if (formatting) {
    const Status status = co_await s.finish_format();
    if (!status.ok()) co_return status;
  }
  s.recovery.reset();
  s.debt.clear();
  s.start_mirror(tail);
  Status status = co_await s.mirror->log().write_empty_record();
  if (!status.ok() || formatting) co_return status;
  summary.finished_at_ms = s.runtime.wall_clock_ms();
  s.superblock.last_recovery = summary;
  co_return co_await s.membership.write_superblock();
}

// --- comparing
// ----------------------------------------------------------------------------------------------------------

Task<Status> Session::compare(Extent extent, CompareResult& into) {
  State& s = *state_;
  Step step(s.steps_in_flight, s.steps_ended);
  if (!one_of(s.phase, {Phase::recovering, Phase::formatting, Phase::running})) co_return wrong_phase();
  into = CompareResult{};
  into.bytes_differed.assign(s.superblock.images.size() - 1, 0);
  if (extent.empty() || extent.end() > s.superblock.size || extent.length > kCopyLength) {
    co_return Status::of(Code::OUT_OF_RANGE, kNoImage, 0, extent.position);
  }
  const ImageSet images = s.membership.receiving();
  for (std::uint64_t at = extent.position; at < extent.end();) {
    const Extent piece{at, std::min(extent.end(), (at / kRegionLength + 1) * kRegionLength) - at};
    ImageBuffers buffers(images, piece.length);
    ParallelOperation::Results results;
    if (s.mirror) {
      results = co_await s.mirror->read_images(piece, images, buffers.pointers);
    } else {
      DeviceRequest model;
      model.operation = Operation::read;
      model.position = piece.position;
      model.length = piece.length;
      ParallelOperation everywhere(s.membership.images(), images, model);
      for (unsigned i = 0; i < kMaxImages; ++i) everywhere.set_memory(i, buffers.pointers[i]);
      results = co_await everywhere;
    }
    for (unsigned i = 0; i < s.superblock.images.size(); ++i) {
      if ((results.failed & image_bit(i)) == 0) continue;
      co_return Status::of(Code::READ_FAILED, static_cast<ImageIndex>(i), results.errors[i], piece.position);
    }
    count_differences(piece, images & static_cast<ImageSet>(~1u), buffers, into);
    at = piece.end();
  }
  co_return Status::success();
}

Task<Status> Session::mark_verified() {
  State& s = *state_;
  if (s.phase != Phase::running) co_return wrong_phase();
  for (ImageRecord& image : s.superblock.images) {
    if (image.state == ImageState::assumed) image.state = ImageState::in_sync;
  }
  Status status = co_await s.membership.write_superblock();
  if (status.ok()) status = co_await s.membership.write_labels(s.membership.receiving(), false);
  if (!status.ok()) s.mirror->stop(status);  // half a change of state must not be built upon
  co_return status;
}

Task<Status> Session::retire_all() {
  if (state_->phase != Phase::running) co_return wrong_phase();
  co_return co_await state_->mirror->retire_all();
}

// --- requests
// -----------------------------------------------------------------------------------------------------------

namespace {

// Why a request is not taken in this phase.
Status refusal(Phase phase) {
  switch (phase) {
    case Phase::recovering:
    case Phase::formatting:
      return Status::of(Code::NOT_RECOVERED);
    case Phase::closed:
      return Status::of(Code::CLOSED);
    default:
      return wrong_phase();
  }
}

}  // namespace

Task<Status> Session::write(Extent extent, std::span<const std::byte> bytes, bool durable,
                            const std::atomic<bool>* cancelled) {
  State& s = *state_;
  if (!s.mirror) co_return refusal(s.phase);
  co_return co_await s.mirror->write(extent, bytes, durable, cancelled);
}

Task<Status> Session::discard(Extent extent) {
  State& s = *state_;
  if (!s.mirror) co_return refusal(s.phase);
  co_return co_await s.mirror->discard(extent);
}

Task<Status> Session::read(Extent extent, std::span<std::byte> into) {
  State& s = *state_;
  if (!s.mirror) co_return refusal(s.phase);
  co_return co_await s.mirror->read(extent, into);
}

Task<Status> Session::flush() {
  State& s = *state_;
  if (!s.mirror) co_return refusal(s.phase);
  co_return co_await s.mirror->flush();
}

// --- the end
// ------------------------------------------------------------------------------------------------------------

// Seals labels before the superblock: a sealed log whose label is not sealed has an image of another time.
Task<Status> Session::close() {
  State& s = *state_;
  while (s.steps_in_flight > 0) co_await s.steps_ended.wait();
  if (s.phase == Phase::closed) co_return Status::success();
  s.note_stop();
  const bool stopped = s.phase == Phase::stopped;
  if (!s.mirror) {
    s.recovery.reset();
    s.phase = Phase::closed;
    co_return Status::success();
  }
  Status status = co_await s.mirror->close();
  if (status.ok()) {
    s.superblock.sealed_sequence = s.mirror->log().next_sequence() - 1;
    status = co_await s.membership.write_labels(s.membership.receiving(), true);
  }
  if (status.ok() && !s.membership.durable()) status = co_await s.membership.make_durable();
  if (status.ok()) {
    s.superblock.lifecycle = Lifecycle::sealed;
    status = co_await s.membership.write_superblock();
  }
  s.mirror.reset();
  s.phase = Phase::closed;
  co_return stopped ? Status::success() : status;  // a mirror that had stopped was only let go; it stays unclean
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
  }
  snapshot.generation = s.superblock.generation;
  snapshot.ring_records = s.superblock.ring.record_count;
  snapshot.recovery_budget = s.recovery_budget;
  snapshot.counters = s.counters;
  if (s.recovery) snapshot.uncertain_bytes = s.recovery->uncopied().bytes();
  if (s.mirror) {
    const IntentLog& log = s.mirror->log();
    snapshot.stopped = s.mirror->stopped().ok() ? log.failure() : s.mirror->stopped();
    snapshot.requests_in_flight = s.mirror->requests_in_flight();
    snapshot.writes_in_flight = s.mirror->writes_in_flight();
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
