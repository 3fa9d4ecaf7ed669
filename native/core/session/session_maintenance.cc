// What is done to a mirror that is there: its policies, comparing its images, and taking slaves back.
#include "../base/mutation.h"
#include "policy_change.h"
#include "state.h"

namespace blockmirror {
namespace {

std::uint64_t bytes_of(const std::vector<Extent>& extents) {
  std::uint64_t bytes = 0;
  for (const Extent& extent : extents) bytes += extent.length;
  return bytes;
}

}  // namespace

// --- policies

Task<Outcome> Session::set_policies(PolicyChange change) {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  while (s.changing_policies) co_await s.policies_changed.wait();
  const Outcome refused = s.may_step({Phase::loaded, Phase::recovering, Phase::running});
  if (!refused.ok()) co_return refused;
  if (s.superblock.lifecycle == Lifecycle::creating) co_return wrong_phase();
  if (change.recovery_budget && !s.mirror) co_return wrong_phase();
  if (const Outcome wrong = judge_change(change, s.superblock.images.size()); !wrong.ok()) co_return wrong;
  s.changing_policies = true;
  const Outcome outcome = co_await s.change_policies(change);
  s.changing_policies = false;
  s.policies_changed.wake_all();
  co_return outcome;
}

// A write that is acknowledged with fewer images in sync than the log says would be a lie to whoever reads the log after a
// crash: a higher minInSync counts from now on, a lower one when it is durable.
Task<Outcome> Session::State::change_policies(const PolicyChange& change) {
  if (change.minimum_in_sync) membership.require_in_sync(membership.minimum_in_sync());
  const Policies before = superblock.policies;
  apply_change(change, superblock.policies);
  if (change.device_timeout_ms) {
    chosen_timeout_ns.reset();
    set_timeouts();
  }
  const bool stored = change.minimum_in_sync || change.rejoin || change.device_timeout_ms ||
                      change.wait_for_images_ms || change.resync_rate;
  Outcome outcome;
  if (stored && mirror) outcome = co_await mirror->record_progress();
  if (stored && !mirror) outcome = co_await membership.write_superblock();
  if (outcome.ok() && change.minimum_in_sync) membership.require_in_sync(0);
  if (outcome.ok()) tell_policies(before);
  if (!outcome.ok() || !change.recovery_budget) co_return outcome;
  recovery_budget = *change.recovery_budget;
  co_return co_await mirror->log().set_budget(recovery_budget);
}

// --- comparing

Task<Outcome> Session::compare(std::vector<Extent> extents, CompareOrder order, CompareResult& into) {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  const Outcome refused = s.may_step({Phase::recovering, Phase::formatting, Phase::running});
  if (!refused.ok()) co_return refused;
  if (order.repair && s.phase != Phase::running) co_return wrong_phase();
  if (const Outcome wrong = s.check_extents(extents); !wrong.ok()) co_return wrong;
  const ImageSet images = order.all ? s.membership.attached() : s.membership.receiving();
  const ImageSet receiving = s.membership.receiving();
  Comparison comparison(s.membership, s.superblock, *s.mirror, s.debts, images, into);
  const Outcome outcome = co_await s.pieces.run(extents, images, comparison);
  s.tell_unread(into);
  if (outcome.ok() && order.repair && !mutated(Mutation::repair_forgets_finds)) {
    const Outcome owed = co_await s.owe_found(comparison, into);
    // I10: one that failed while that was made durable missed writes.
    for (const unsigned i : indices_of(without(receiving, s.membership.receiving()))) into.drop(i);
    co_return owed;
  }
  into.bytes_owed.assign(s.superblock.images.size(), 0);
  co_return outcome;
}

void Session::State::tell_unread(const CompareResult& found) {
  for (const unsigned i : indices_of(superblock.slaves())) {
    if (i >= found.unread.size()) break;
    const Outcome& unread = found.unread[i];
    if (unread.ok()) continue;
    Event event = membership.event_of(EventKind::error, i);
    event.cause = FractureCause::read_error;
    event.error = unread.system_error;
    event.extent = Extent{unread.position, superblock.block_size}.clipped(superblock.size);
    history.gather(std::move(event));
  }
}

// In one turn each slave stops counting as in sync and owes what was found; then that is durable: first its map, for no live
// intent names any of it, then its entry with the new generation, then the labels (I8, I14). A crash before the entry finds
// the slave as it was before this verify; one before the map would find that it owes everything.
Task<Outcome> Session::State::owe_found(const Comparison& comparison, CompareResult& into) {
  bool any = false;
  for (const unsigned i : indices_of(superblock.slaves())) {
    const bool receives = (membership.receiving() & image_bit(i)) != 0;
    if (!receives) into.bytes_owed[i] = 0;  // it failed meanwhile, and what was found of it says nothing
    if (!receives || comparison.found(i).empty()) continue;
    any = true;
    ImageRecord& image = superblock.images[i];
    const bool begins = rights_of(image.state).in_sync;
    if (begins) membership.begin_repair(i, bytes_of(comparison.found(i)));
    for (const Extent& extent : comparison.found(i)) debts.of(i).owe(extent);
    if (begins) debts.begin_map(i);
    // Of everything no map is kept: what lies before the cursor would be forgotten.
    if (image.debt == DebtKind::everything) image.resync.cursor = std::min(image.resync.cursor, debts.of(i).paid_to());
  }
  if (!any || mutated(Mutation::repair_owed_in_memory)) co_return Outcome::success();
  (void)mirror->log().require_maps();
  Outcome outcome = co_await mirror->write_maps();
  if (outcome.ok() && membership.durable()) outcome = co_await mirror->record_progress();
  if (outcome.ok()) outcome = co_await mirror->record_changes();
  co_return outcome;
}

Task<Outcome> Session::record_verify(VerifyResult found) {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  if (const Outcome refused = s.may_step({Phase::recovering, Phase::running}); !refused.ok()) co_return refused;
  const std::size_t images = s.superblock.images.size();
  bool fits = found.bytes_compared.size() == images && found.bytes_differed.size() == images &&
              (found.bytes_repaired.empty() || found.bytes_repaired.size() == images);
  for (std::size_t i = 0; fits && i < images; ++i) fits = found.repaired(i) <= found.bytes_differed[i];
  if (!fits) co_return wrong_phase();
  const VerifyChange change =
      apply_verify(found, s.membership.receiving(), s.phase == Phase::running, s.runtime.wall_clock_ms(), s.superblock);
  Outcome outcome;
  const bool remembers = change.superblock && !mutated(Mutation::verify_difference_forgotten);
  if (remembers) outcome = co_await s.membership.write_superblock();
  if (outcome.ok() && change.labels) outcome = co_await s.membership.write_labels(s.membership.receiving(), false);
  if (outcome.ok() && !s.membership.durable()) outcome = co_await s.membership.make_durable();
  if (!outcome.ok() && s.mirror) s.mirror->stop(outcome);  // half a change of state must not be built upon
  if (outcome.ok()) s.tell_verified(found);
  co_return outcome;
}

// Of each slave that was compared: how much of it, and how much differed.
void Session::State::tell_verified(const VerifyResult& found) {
  for (const unsigned i : indices_of(superblock.slaves())) {
    if (found.bytes_compared[i] == 0) continue;
    Event event = membership.event_of(EventKind::verified, i);
    if (found.bytes_compared[i] == superblock.size) event.extent = whole();
    event.bytes = found.bytes_differed[i];
    history.tell(std::move(event));
  }
}

// --- fracturing

Task<Outcome> Session::fracture(ImageSet slaves, FractureResult& into) {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  if (const Outcome refused = s.may_step({Phase::running}); !refused.ok()) co_return refused;
  if (slaves == 0 || without(slaves, s.superblock.slaves()) != 0) co_return wrong_phase();
  co_return co_await s.mirror->fracture(slaves, into);
}

// --- rejoining

// I11, I15: a request of before may still land on it, after any copy.
Outcome Session::State::refuse_stalled(unsigned slave) const {
  const bool stalled = is_stalled(slave);
  return stalled ? Outcome::of(Code::STALLED, static_cast<ImageIndex>(slave), ETIMEDOUT) : Outcome::success();
}

Task<Outcome> Session::rejoin(unsigned slave, bool full) {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  if (const Outcome refused = s.may_step({Phase::running}); !refused.ok()) co_return refused;
  if (slave >= kMaxImages || (s.superblock.slaves() & image_bit(slave)) == 0) co_return wrong_phase();
  co_await s.mirror->fracture_ended();
  ImageRecord& image = s.superblock.images[slave];
  if (!s.membership.is_attached(slave) || rights_of(image.state).receives) co_return wrong_phase();
  if (const Outcome stalled = s.refuse_stalled(slave); !stalled.ok()) co_return stalled;
  Device* const device = s.membership.images()[slave];
  const FoundLabel found = co_await read_label(*device, image.label_position);
  Outcome verdict = judge_rejoin(s.superblock, slave, found.found, found.label, device->traits());
  verdict.image = static_cast<ImageIndex>(slave);
  if (!verdict.ok()) co_return verdict;
  s.membership.carry_label(slave, found.label, found.stale);
  co_await s.mirror->writes_landed();
  co_await s.debts.load(slave);
  co_await s.mirror->fracture_ended();
  if (const Outcome stalled = s.refuse_stalled(slave); !stalled.ok()) co_return stalled;
  const bool faster = rights_of(image.state).receives || !s.mirror->begin_return(slave);
  if (faster) co_return wrong_phase();  // somebody else was
  // What a verify found stands in no debt.
  const bool differs = image.bytes_differed != 0;
  const bool known = is_as_told(image, found.label) || mutated(Mutation::older_copy_believed);
  if (full || differs || !known) s.debts.of(slave).owe_everything();
  if (s.debts.of(slave).owes_everything()) {
    image.debt = DebtKind::everything;
    image.map_id = Uuid{};
    s.debts.end_map(slave);
  }
  const bool everything = image.debt == DebtKind::everything;
  const Outcome outcome = co_await s.membership.begin_resync(
      slave, everything ? ResyncKind::full_copy : ResyncKind::debt, s.debts.of(slave).bytes());
  s.mirror->end_return(slave);
  if (!outcome.ok()) s.mirror->stop(outcome);  // half a change of state must not be built upon
  co_return outcome;
}

Task<Outcome> Session::resync(ResyncOrder order, ResyncResult& into) {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  const Outcome refused = s.may_step({Phase::recovering, Phase::formatting, Phase::running});
  if (!refused.ok()) co_return refused;
  if (!s.resync) s.resync.emplace(*s.mirror, s.membership, s.debts, s.pieces, s.superblock);
  if (s.resync_running) co_return wrong_phase();
  s.resync_running = true;
  const Outcome outcome = co_await s.resync->step(order, into);
  s.resync_running = false;
  co_return s.with_all_slaves(outcome);
}

// --- content of a slave

namespace {

// One piece: the extent as it is.
class WriteFromSlave final : public PieceWork {
 public:
  WriteFromSlave(Mirror& mirror, unsigned slave, SourceResult& into) : mirror_(mirror), slave_(slave), into_(into) {}
  Task<Outcome> work_on(Extent piece, const PieceMemory& memory) override {
    return mirror_.write_from(slave_, piece, memory, into_);
  }

 private:
  Mirror& mirror_;
  const unsigned slave_;
  SourceResult& into_;
};

}  // namespace

Task<Outcome> Session::write_from(unsigned slave, Extent extent, SourceResult& into) {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  into = SourceResult{};
  if (const Outcome refused = s.may_step({Phase::running}); !refused.ok()) co_return refused;
  if (slave >= kMaxImages || (s.superblock.slaves() & image_bit(slave)) == 0) co_return wrong_phase();
  std::vector<Extent> extents(1, extent);
  Outcome outcome = s.check_extents(extents);
  const std::uint64_t block = s.superblock.block_size;
  const bool aligned = extent.position % block == 0 && extent.length % block == 0;
  const bool whole = extent.position / kRegionLength == (extent.end() - 1) / kRegionLength;
  if (outcome.ok() && !(aligned && whole)) outcome = Outcome::of(Code::OUT_OF_RANGE, kNoImage, 0, extent.position);
  if (!outcome.ok()) co_return outcome;
  WriteFromSlave work(*s.mirror, slave, into);
  co_return co_await s.pieces.run(extents, image_bit(s.superblock.master) | image_bit(slave), work);
}

Task<Outcome> Session::retire_all() {
  if (const Outcome refused = state_->may_step({Phase::running}); !refused.ok()) co_return refused;
  co_return co_await state_->mirror->retire_all();
}

}  // namespace blockmirror
