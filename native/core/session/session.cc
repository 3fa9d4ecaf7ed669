#include "session.h"

#include <algorithm>

#include "../base/mutation.h"
#include "state.h"

namespace blockmirror {
Session::Session(Runtime& runtime, DeviceLatencies* latencies) : state_(std::make_unique<State>(runtime)) {
  state_->latencies = latencies;
}
Session::~Session() {
  state_->leave_images();
  if (state_->watched_log) WatchedDevice::leave(std::move(state_->watched_log));
}

Phase Session::phase() const {
  state_->note_stop();
  return state_->phase;
}
const Superblock& Session::superblock() const { return state_->superblock; }

// --- devices

void Session::set_log(Device& log) {
  State& s = *state_;
  if (s.watched_log) WatchedDevice::leave(std::move(s.watched_log));
  s.watched_log = s.watch(log, kMaxImages);
  s.membership.set_log(*s.watched_log);
}

void Session::set_images(std::vector<Device*> images, std::vector<Outcome> unopened) {
  State& s = *state_;
  s.leave_images();
  std::vector<Device*> watched;
  for (std::size_t i = 0; i < images.size(); ++i) {
    s.watched_images.push_back(images[i] == nullptr ? nullptr : s.watch(*images[i], i));
    watched.push_back(s.watched_images.back().get());
  }
  s.membership.set_images(std::move(watched));
  s.unopened = std::move(unopened);
}

void Session::set_device_timeout(std::optional<std::uint64_t> timeout_ns) {
  state_->chosen_timeout_ns = timeout_ns;
  state_->set_timeouts();
}

std::uint32_t Session::owed(unsigned image) const {
  const auto& watched = state_->watched_images;
  return image < watched.size() && watched[image] ? watched[image]->owed() : 0;
}

bool Session::is_stalled(unsigned image) const { return state_->is_stalled(image); }

// The mirror goes on without a slave; without the log or the master it has to wait.
std::unique_ptr<WatchedDevice> Session::State::watch(Device& device, std::size_t image) const {
  const bool slave = image != superblock.master && image < kMaxImages;
  const auto past_deadline = slave ? WatchedDevice::PastDeadline::answer : WatchedDevice::PastDeadline::tell;
  DeviceLatency* const latency = latencies == nullptr ? nullptr : &(*latencies)[image];
  auto watched = std::make_unique<WatchedDevice>(runtime, device, past_deadline, latency);
  watched->set_timeout(timeout_ns());
  return watched;
}

std::uint64_t Session::State::timeout_ns() const {
  constexpr std::uint64_t kLongest_ms = UINT64_MAX / 4 / 1'000'000;  // any sum of two is a time still
  if (chosen_timeout_ns) return std::min(*chosen_timeout_ns, kLongest_ms * 1'000'000);
  return std::min(superblock.policies.device_timeout_ms, kLongest_ms) * 1'000'000;
}

void Session::State::set_timeouts() const {
  if (watched_log) watched_log->set_timeout(timeout_ns());
  for (const auto& watched : watched_images) {
    if (watched) watched->set_timeout(timeout_ns());
  }
}

void Session::State::leave_images() {
  for (auto& watched : watched_images) {
    if (watched) WatchedDevice::leave(std::move(watched));
  }
  watched_images.clear();
}

std::uint32_t Session::memory_alignment() const {
  std::uint32_t alignment = 512;
  for (const Device* image : state_->membership.images()) {
    if (image != nullptr && image->is_present()) alignment = std::max(alignment, image->traits().memory_alignment);
  }
  return alignment;
}

// --- requests

// What a crash left, or a plan, is paid first, unless the opening asked for it behind its back.
Outcome Session::State::takes_requests() const {
  if (one_of(phase, {Phase::recovering, Phase::formatting})) return Outcome::of(Code::NOT_RECOVERED);
  if (mirror) return Outcome::success();
  return phase == Phase::closed ? Outcome::of(Code::CLOSED) : wrong_phase();
}

Task<Outcome> Session::write(Extent extent, std::span<const std::byte> bytes, bool durable, CallOff* call_off) {
  State& s = *state_;
  if (const Outcome refused = s.takes_requests(); !refused.ok()) co_return refused;
  co_return co_await s.mirror->write(extent, bytes, durable, call_off);
}

Task<Outcome> Session::write_partial(Extent extent, std::span<std::byte> bytes, PartialBlocks partial, bool durable,
                                     CallOff* call_off) {
  State& s = *state_;
  if (const Outcome refused = s.takes_requests(); !refused.ok()) co_return refused;
  co_return co_await s.mirror->write_partial(extent, bytes, partial, durable, call_off);
}

Task<Outcome> Session::discard(Extent extent) {
  State& s = *state_;
  if (const Outcome refused = s.takes_requests(); !refused.ok()) co_return refused;
  co_return co_await s.mirror->discard(extent);
}

Task<Outcome> Session::read(Extent extent, std::span<std::byte> into) {
  State& s = *state_;
  if (const Outcome refused = s.takes_requests(); !refused.ok()) co_return refused;
  co_return co_await s.mirror->read(extent, into);
}

Task<Outcome> Session::flush() {
  State& s = *state_;
  if (const Outcome refused = s.takes_requests(); !refused.ok()) co_return refused;
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
  co_await s.end_history();
  s.resync.reset();
  s.mirror.reset();
  s.phase = Phase::closed;
  s.closed.wake_all();
  co_return s.close_outcome;
}

Task<Outcome> Session::State::shut_down() {
  if (!mirror) co_return Outcome::success();
  note_stop();
  // Before it took requests there is nothing to seal: the next opening finds what this one found.
  const bool unfinished = one_of(phase, {Phase::recovering, Phase::formatting});
  if (unfinished) mirror->stop(Outcome::of(Code::CLOSED));
  const bool stopped = unfinished || phase == Phase::stopped;
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
  const Outcome outcome = co_await membership.write_superblock();
  if (outcome.ok()) history.tell(event_of(EventKind::closed));
  co_return outcome;
}

SnapshotDebt Session::State::debt_of(unsigned image) const {
  const ImageRecord& record = superblock.images[image];
  SnapshotDebt debt{record.debt, true, 0, record.fracture.cause, record.fracture.at_ms, record.resync.kind};
  if (record.debt == DebtKind::none) return debt;
  debt.known = debts.knows(image);
  if (debt.known) debt.bytes = debts.of(image).bytes();
  if (debt.known || record.debt == DebtKind::map) return debt;
  debt.known = true;  // before an opening: all that a resync has not passed
  debt.bytes = superblock.size - std::min(superblock.size, record.resync.cursor);
  return debt;
}

ImageSet Session::State::recovering() const {
  ImageSet slaves = 0;
  for (const unsigned i : indices_of(superblock.slaves())) {
    const ImageRecord& image = superblock.images[i];
    const bool being_made = phase == Phase::formatting && image.state == ImageState::synchronizing;
    if (being_made || is_after_crash(image)) slaves |= image_bit(i);
  }
  return slaves;
}

const TransitionCounts& Session::transitions() const { return state_->membership.transitions(); }

Snapshot Session::snapshot() const {
  State& s = *state_;
  s.note_stop();
  Snapshot snapshot;
  snapshot.phase = s.phase;
  snapshot.image_count = static_cast<unsigned>(s.superblock.images.size());
  snapshot.minimum_in_sync = s.membership.minimum_in_sync();
  for (unsigned i = 0; i < snapshot.image_count; ++i) {
    snapshot.states[i] = s.superblock.images[i].state;
    snapshot.errors[i] = s.membership.error_of(i);
    snapshot.bytes_differed[i] = s.superblock.images[i].bytes_differed;
    snapshot.changed_at_ms[i] = s.superblock.images[i].changed_at_ms;
    snapshot.debts[i] = s.debt_of(i);
    if (s.is_stalled(i)) snapshot.stalls[i] = s.watched_images[i]->stall();
  }
  if (s.watched_log) snapshot.log_stall = s.watched_log->stall();
  snapshot.device_timeout_ms = s.timeout_ns() / 1'000'000;
  snapshot.last_verify = s.superblock.last_verify;
  snapshot.generation = s.superblock.generation;
  snapshot.ring_records = s.superblock.ring.record_count;
  snapshot.recovery_budget = s.recovery_budget;
  snapshot.counters = s.counters;
  snapshot.recent_repairs = s.repair.recent();
  snapshot.history_lost = s.history.lost();
  snapshot.recovering = s.recovering();
  for (const unsigned i : indices_of(s.mirror ? snapshot.recovering : 0)) {
    snapshot.uncertain_bytes = std::max(snapshot.uncertain_bytes, s.debts.of(i).bytes());
  }
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
