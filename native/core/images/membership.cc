#include "membership.h"

#include <algorithm>
#include <bit>
#include <cerrno>

#include "../base/headroom.h"
#include "../base/mutation.h"

namespace blockmirror {
namespace {

// A resync that ends is the return of a slave that was out, the repair of one that differed, or the end of what a crash left.
EventKind kind_of_return(FractureCause cause) {
  if (cause == FractureCause::none) return EventKind::resync_ended;
  return cause == FractureCause::differs ? EventKind::repaired : EventKind::rejoined;
}

}  // namespace

Membership::Membership(Runtime& runtime, Superblock& superblock, Counters& counters)
    : runtime_(runtime), superblock_(superblock), counters_(counters), unlocked_(runtime), recorded_(runtime) {}

ImageSet Membership::receiving() const {
  ImageSet set = 0;
  for (unsigned i = 0; i < superblock_.images.size() && i < images_.size(); ++i) {
    if (rights_of(superblock_.images[i].state).receives && is_attached(i)) set |= image_bit(i);
  }
  return set & static_cast<ImageSet>(~held_back_);
}

ImageSet Membership::in_sync() const {
  ImageSet set = receiving();
  for (unsigned i = 0; i < superblock_.images.size(); ++i) {
    const ImageState state = superblock_.images[i].state;
    const bool counts = mutated(Mutation::debt_counts_for_minimum) && state == ImageState::synchronizing;
    if (!rights_of(state).in_sync && !counts) set &= static_cast<ImageSet>(~image_bit(i));
  }
  return set;
}

unsigned Membership::minimum_in_sync() const {
  return std::max<unsigned>(superblock_.policies.minimum_in_sync, required_in_sync_);
}

bool Membership::enough_in_sync(ImageSet without) const {
  const auto left = static_cast<unsigned>(in_sync() & ~without);
  return static_cast<unsigned>(std::popcount(left)) >= minimum_in_sync();
}

ImageSet Membership::attached() const {
  ImageSet set = 0;
  for (unsigned i = 0; i < superblock_.images.size() && i < images_.size(); ++i) {
    if (is_attached(i)) set |= image_bit(i);
  }
  return set;
}

bool Membership::may_serve(unsigned slave) const {
  const ImageRecord& image = superblock_.images[slave];
  const bool differs = image.bytes_differed != 0 && !mutated(Mutation::differing_slave_serves);
  // After a crash an image in sync is being resynced where the last opening wrote; else it holds what it held.
  const bool crashed = is_after_crash(image) && image.resync.kind != ResyncKind::debt_of_assumed;
  const bool proven = (rights_of(image.state).serves || crashed) && !differs;
  return slave != master() && proven && (receiving() & image_bit(slave)) != 0;
}

// --- history

Event Membership::event_of(EventKind kind, unsigned image) const {
  const ImageRecord& record = superblock_.images[image];
  Event event;
  event.kind = kind;
  event.image = static_cast<std::uint8_t>(image);
  event.before = event.after = record.state;
  event.generation = superblock_.generation.counter;
  event.open_count = superblock_.open_count;
  event.name = record.name;
  return event;
}

// Of the change that has just been made in memory.
Event Membership::change_of(EventKind kind, unsigned image, ImageState from, FractureCause cause) const {
  Event event = event_of(kind, image);
  event.at_ms = superblock_.images[image].changed_at_ms;
  event.before = from;
  event.cause = cause;
  return event;
}

void Membership::note(Event event) {
  if (history_ == nullptr || !history_->is_kept()) return;
  if (mutated(Mutation::history_before_it_happened)) return history_->tell(std::move(event));
  event.before = state_before(event.image, event.before);
  if (noted_.size() == kNotedEvents) return history_->lose();
  noted_.push_back({changes_, false, std::move(event)});
}

// A state that no superblock ever had has not happened: what was noted of it goes, and the next change begins before it.
ImageState Membership::state_before(unsigned image, ImageState from) {
  std::erase_if(noted_, [&](const Noted& noted) {
    const bool never = !noted.encoded && noted.event.image == image;
    if (never) from = noted.event.before;
    return never;
  });
  return from;
}

void Membership::tell_durable() {
  const auto waits = std::find_if(noted_.begin(), noted_.end(), [&](const Noted& noted) {
    return !noted.encoded || noted.change > changes_durable_;
  });
  for (auto noted = noted_.begin(); noted != waits; ++noted) {
    noted->event.generation = superblock_.generation.counter;
    noted->event.open_count = superblock_.open_count;
    history_->tell(std::move(noted->event));
  }
  noted_.erase(noted_.begin(), waits);
}

// --- changes of state

// One that is out already keeps the fracture that it has: what it misses counts from there.
void Membership::take_out(unsigned slave, ImageEvent event, FractureCause cause, int error) {
  BLOCKMIRROR_ASSERT((slaves() & image_bit(slave)) != 0, "only a slave can be taken out");
  ImageRecord& image = superblock_.images[slave];
  const ImageState from = image.state;
  transitions_.count(from, event);
  image.state = next_state(from, event);
  if (!rights_of(from).receives) return;
  image.error = error;
  image.changed_at_ms = storable_date(runtime_.wall_clock_ms());
  const DebtKind recorded = image.debt;
  if (image.fracture.cause == FractureCause::none) {
    const GenerationMark last{superblock_.generation.counter, superblock_.generation.id};
    image.fracture = {cause, image.changed_at_ms, last, superblock_.open_count, superblock_.incarnation, 0, {}};
  } else {
    image.fracture.cause = cause;
    image.fracture.barrier = {};
  }
  if (recorded == DebtKind::none) {
    image.debt = DebtKind::everything;
    image.map_id = {};
  }
  errors_[slave] = error;
  ++changes_;
  ++counters_.fractures;
  Event told = change_of(EventKind::fractured, slave, from, cause);
  told.error = error;
  note(std::move(told));
  if (listener_ != nullptr) listener_->slave_left(slave, from, recorded);
}

Task<Outcome> Membership::begin_resync(unsigned slave, ResyncKind kind, std::uint64_t owed) {
  ImageRecord& image = superblock_.images[slave];
  const ImageState from = image.state;
  BLOCKMIRROR_ASSERT(image.debt != DebtKind::none, "a resync of a slave that owes nothing");
  transitions_.count(image.state, ImageEvent::resync_began);
  image.state = next_state(image.state, ImageEvent::resync_began);
  image.changed_at_ms = storable_date(runtime_.wall_clock_ms());
  image.fracture.barrier = {};  // from here on it is no point in time
  image.resync = {};
  runtime_.random(image.resync.id.bytes);
  image.resync.kind = kind;
  image.resync.began_at_ms = image.changed_at_ms;
  image.error = 0;
  errors_[slave] = 0;
  held_back_ |= image_bit(slave);
  Event begun = change_of(EventKind::resync_begun, slave, state_before(slave, from), image.fracture.cause);
  begun.bytes = owed;
  Outcome outcome = co_await write_superblock();
  begun.generation = superblock_.generation.counter;
  if (outcome.ok() && history_ != nullptr) history_->tell(std::move(begun));
  const bool told = !mutated(Mutation::resync_label_not_told);
  if (outcome.ok() && told) outcome = co_await write_labels(image_bit(slave), false);
  held_back_ &= static_cast<ImageSet>(~image_bit(slave));
  if (outcome.ok() && !durable()) outcome = co_await make_durable();
  co_return outcome;
}

// It misses no write: its fracture dates from when it last counted. A tail of 0: no live intent names what differs, so that
// the map is needed whatever the scan finds (I14).
void Membership::begin_repair(unsigned slave, std::uint64_t owed) {
  ImageRecord& image = superblock_.images[slave];
  const ImageState from = image.state;
  const bool assumed = from == ImageState::assumed;
  transitions_.count(image.state, ImageEvent::differed);
  image.state = next_state(image.state, ImageEvent::differed);
  image.changed_at_ms = storable_date(runtime_.wall_clock_ms());
  const GenerationMark last{superblock_.generation.counter, superblock_.generation.id};
  image.fracture = {
      FractureCause::differs, image.changed_at_ms, last, superblock_.open_count, superblock_.incarnation, 0, {}};
  image.debt = DebtKind::map;
  runtime_.random(image.map_id.bytes);
  runtime_.random(image.resync.id.bytes);
  image.resync.kind = assumed ? ResyncKind::debt_of_assumed : ResyncKind::debt;
  image.resync.cursor = 0;
  image.resync.began_at_ms = image.changed_at_ms;
  ++changes_;
  Event begun = change_of(EventKind::resync_begun, slave, from, FractureCause::differs);
  begun.bytes = owed;
  note(std::move(begun));
}

Task<Outcome> Membership::part_with(ImageSet slaves, bool& told) {
  Uuid barrier;
  runtime_.random(barrier.bytes);
  for (const unsigned i : indices_of(slaves)) {
    leave(i, FractureCause::operator_request);
    if (superblock_.images[i].state == ImageState::behind) superblock_.images[i].fracture.barrier = barrier;
  }
  parting_ = slaves;
  const Outcome outcome = co_await make_durable();
  told = outcome.ok() && parting_ == slaves;
  parting_ = 0;
  co_return outcome;
}

void Membership::resync_after_crash(unsigned slave, bool everything, std::uint64_t owed) {
  ImageRecord& image = superblock_.images[slave];
  const ImageState from = image.state;
  const bool assumed = from == ImageState::assumed;
  transitions_.count(image.state, ImageEvent::crashed);
  image.state = next_state(image.state, ImageEvent::crashed);
  image.changed_at_ms = storable_date(runtime_.wall_clock_ms());
  image.debt = everything ? DebtKind::everything : DebtKind::none;
  runtime_.random(image.resync.id.bytes);
  image.resync.kind =
      everything ? ResyncKind::full_compare : (assumed ? ResyncKind::debt_of_assumed : ResyncKind::debt);
  image.resync.cursor = 0;
  image.resync.began_at_ms = image.changed_at_ms;
  Event begun = change_of(EventKind::resync_begun, slave, from, FractureCause::none);
  begun.bytes = owed;
  note(std::move(begun));
}

// What a verify found to differ stands in no debt: it is forgotten only when all of the slave was compared or copied.
void Membership::come_back(unsigned slave, std::uint64_t copied) {
  ImageRecord& image = superblock_.images[slave];
  const ImageState from = image.state;
  const ResyncKind kind = image.resync.kind;
  const bool assumed = kind == ResyncKind::debt_of_assumed;
  const ImageEvent event = assumed ? ImageEvent::assumed_again : ImageEvent::resync_ended;
  transitions_.count(image.state, event);
  image.state = next_state(image.state, event);
  image.changed_at_ms = storable_date(runtime_.wall_clock_ms());
  if (kind == ResyncKind::full_compare || kind == ResyncKind::full_copy) image.bytes_differed = 0;
  const FractureCause cause = image.fracture.cause;
  const std::uint64_t began_at_ms = image.resync.began_at_ms;
  image.pay_debt();
  ++changes_;
  // Of the mirror's first copy nothing is told: that it was made says so.
  if (superblock_.lifecycle == Lifecycle::creating) return;
  Event ended = change_of(kind_of_return(cause), slave, from, cause);
  ended.bytes = copied;
  ended.duration_ms = image.changed_at_ms - std::min(image.changed_at_ms, began_at_ms);
  note(std::move(ended));
}

FractureCause Membership::cause_of(Operation operation, int error) {
  if (error == kLostAllocation) return FractureCause::lost_allocation;
  if (error == ETIMEDOUT) return FractureCause::deadline;
  if (operation == Operation::flush) return FractureCause::flush_error;
  return operation == Operation::read ? FractureCause::read_error : FractureCause::write_error;
}

Task<Outcome> Membership::settle(ParallelOperation::Results results, Code master_code) {
  for (const unsigned i : indices_of(results.failed & slaves())) {
    fail(i, results.errors[i], cause_of(results.operation, results.errors[i]));
  }
  if ((results.failed & image_bit(master())) != 0) co_return of_master(master_code, results.errors[master()]);
  if (!durable() && !mutated(Mutation::acknowledge_before_fracture)) co_return co_await make_durable();
  co_return Outcome::success();
}

Task<void> Membership::note_master_failure(int error) {
  superblock_.images[master()].error = error;
  superblock_.images[master()].changed_at_ms = runtime_.wall_clock_ms();
  if (broken_.code != Code::LOG_FAILED) (void)co_await write_superblock();
}

Task<Outcome> Membership::make_durable() {
  while (broken_.ok() && !durable()) {
    if (recording_) {
      co_await recorded_.wait();
      continue;
    }
    recording_ = true;
    (void)co_await record_change();  // an error is in broken_
    recording_ = false;
    recorded_.wake_all();
  }
  co_return broken_;
}

void Membership::new_generation() {
  if (!mutated(Mutation::history_not_kept)) {
    for (std::size_t i = kGenerationHistory - 1; i > 0; --i) superblock_.history[i] = superblock_.history[i - 1];
    superblock_.history[0] = {superblock_.generation.counter, superblock_.generation.id};
  }
  superblock_.generation.parent = superblock_.generation.id;
  ++superblock_.generation.counter;
  runtime_.random(superblock_.generation.id.bytes);
}

// Whoever wrote the superblock while this waited for the lock has recorded the change with it.
Task<Outcome> Membership::record_change() {
  co_await lock();
  Outcome outcome;
  if (!durable()) outcome = co_await record_change_locked();
  unlock();
  co_return outcome;
}

// A slave that fails in here is of the next change: the labels of this one are written before that begins.
Task<Outcome> Membership::record_change_locked() {
  const std::uint64_t changes = changes_;
  new_generation();
  Outcome outcome = co_await write_superblock_locked();
  const ImageSet told =
      mutated(Mutation::fracture_without_labels) ? ImageSet{0} : static_cast<ImageSet>(receiving() | parting_);
  if (outcome.ok()) outcome = co_await write_labels_locked(told, false);
  if (outcome.ok()) changes_durable_ = changes;
  if (outcome.ok()) tell_durable();
  co_return outcome;
}

void Membership::carry_label(unsigned image, const Label& label, unsigned stale) {
  carried_[image] = {label.compatible_features, label.incompatible_features, stale};
}

Task<void> Membership::lock() {
  while (locked_) co_await unlocked_.wait();
  locked_ = true;
}

void Membership::unlock() {
  locked_ = false;
  unlocked_.wake_one();
}

Task<Outcome> Membership::write_superblock() {
  co_await lock();
  Outcome outcome;
  if (durable() || mutated(Mutation::fracture_without_generation)) {
    outcome = co_await write_superblock_locked();
  } else {
    outcome = co_await record_change_locked();
  }
  unlock();
  co_return outcome;
}

Task<Outcome> Membership::write_labels(ImageSet images, bool sealed) {
  co_await lock();
  const Outcome outcome = co_await write_labels_locked(images, sealed);
  unlock();
  co_return outcome;
}

// False when nothing may be written any more. Generations need no such check: a life has fewer fractures than images.
bool Membership::number_update() {
  if (broken_.ok() && !kUpdates.may_grow(superblock_.update, 1)) {
    broken_ = Outcome::of(Code::LOG_FAILED, kLogDevice, EOVERFLOW);
  }
  if (broken_.ok()) ++superblock_.update;
  return broken_.ok();
}

Task<Outcome> Membership::write_superblock_locked() {
  if (!number_update()) co_return broken_;
  // The labels that follow have the next number: a slave that goes out in between is known by either.
  for (unsigned i = 0; i < superblock_.images.size(); ++i) {
    if (((receiving() | parting_) & image_bit(i)) == 0) continue;
    superblock_.images[i].telling = {superblock_.update + 1, superblock_.incarnation};
  }
  encode_superblock(superblock_, superblock_bytes_.span());
  for (Noted& noted : noted_) noted.encoded = true;
  const unsigned first = mutated(Mutation::torn_copy_last) ? 0 : stale_superblock_;
  for (unsigned copy : {first, 1 - first}) {
    const std::uint64_t position = copy == 0 ? kSuperblockCopyA : kSuperblockCopyB;
    const int error = co_await log_->write(position, superblock_bytes_.span(), true);
    if (error != 0) co_return broken_ = Outcome::of(Code::LOG_FAILED, kLogDevice, error, position);
    if (mutated(Mutation::one_superblock_copy)) break;
  }
  co_return Outcome::success();
}

// Out at the moment of its error, as in every other request: the others may be far from theirs (I11).
class Membership::LabelFailures final : public FailureListener {
 public:
  explicit LabelFailures(Membership& membership) : membership_(membership) {}
  void image_failed(unsigned image, Operation, int error) override {
    Membership& m = membership_;
    if (image == m.master()) {
      const std::uint64_t position = m.superblock_.images[image].label_position;
      if (m.broken_.ok()) m.broken_ = m.of_master(Code::MASTER_FAILED, error, position);
      return;
    }
    m.fail(image, error, error == ETIMEDOUT ? FractureCause::deadline : FractureCause::label_error);
    m.parting_ &= static_cast<ImageSet>(~image_bit(image));
  }

 private:
  Membership& membership_;
};

std::span<std::byte> Membership::label_bytes(unsigned image) {
  return label_bytes_.span().subspan(std::size_t{image} * kLabelCopyLength, kLabelCopyLength);
}

void Membership::encode_labels(ImageSet images, bool sealed) {
  for (unsigned i = 0; i < images_.size(); ++i) {
    if ((images & image_bit(i)) == 0) continue;
    Label label = label_of(superblock_, i);
    label.sealed = sealed;
    label.written_at_ms = storable_date(runtime_.wall_clock_ms());
    label.compatible_features = carried_[i].compatible_features;
    label.incompatible_features = carried_[i].incompatible_features;
    encode_label(label, label_bytes(i));
  }
}

// `turn` 0: the copy of each image that may be torn; 1: the other.
Task<ImageSet> Membership::write_label_copies(ImageSet images, unsigned turn) {
  DeviceRequest model;
  model.operation = Operation::write;
  model.durable = true;
  model.length = kLabelCopyLength;
  std::array<std::uint64_t, kMaxImages> positions{};
  LabelFailures failures(*this);
  ParallelOperation everywhere(images_, images, model);
  for (unsigned i = 0; i < images_.size(); ++i) {
    if ((images & image_bit(i)) == 0) continue;
    positions[i] = superblock_.images[i].label_position + (turn ^ carried_[i].stale) * kLabelCopyDistance;
    everywhere.set_memory(i, label_bytes(i).data());
  }
  everywhere.set_positions(positions);
  everywhere.report_failures(failures);
  co_return (co_await everywhere).failed;
}

// One copy of every image at once, then the other: at any moment one copy of each label is whole, and an acknowledgement that
// waits for a fracture waits for two writes, however many images there are. The update number is never used for two contents:
// a crash between the copies would leave two that nobody can tell apart.
Task<Outcome> Membership::write_labels_locked(ImageSet images, bool sealed) {
  if (!number_update()) co_return broken_;
  if (mutated(Mutation::labels_share_number)) --superblock_.update;
  encode_labels(images, sealed);
  for (unsigned turn : {0u, 1u}) {
    const ImageSet failed = co_await write_label_copies(images, turn);
    if (!broken_.ok()) co_return broken_;
    images &= static_cast<ImageSet>(~failed);
    if (mutated(Mutation::one_label_copy)) break;
  }
  for (unsigned i = 0; i < images_.size(); ++i) {
    if ((images & image_bit(i)) != 0) superblock_.images[i].told = {superblock_.update, superblock_.incarnation};
  }
  co_return Outcome::success();
}

}  // namespace blockmirror
