// Making a mirror, and the end of what a crash or a plan left owed. What is owed is paid by resync().
#include "../base/headroom.h"
#include "../base/mutation.h"
#include "../base/spare_memory.h"
#include "formatter.h"
#include "state.h"

namespace blockmirror {
// --- formatting

Outcome Session::State::with_all_slaves(Outcome outcome) const {
  const bool being_made = phase == Phase::planned || phase == Phase::formatting;
  if (!being_made || (!outcome.ok() && outcome.code != Code::TOO_FEW_IN_SYNC)) return outcome;
  if (mutated(Mutation::create_without_slave)) return outcome;
  for (const unsigned i : indices_of(superblock.slaves())) {
    if (rights_of(superblock.images[i].state).receives) continue;
    return Outcome::of(Code::SLAVE_FAILED, static_cast<ImageIndex>(i), membership.error_of(i));
  }
  return outcome;
}

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
  const ImageState assumed = mutated(Mutation::assumed_called_in_sync) ? ImageState::in_sync : ImageState::assumed;
  for (const unsigned i : indices_of(s.assume_identical ? s.superblock.slaves() : 0)) {
    s.superblock.images[i].state = assumed;
    s.superblock.images[i].pay_debt();
  }
  if (!s.debts.begin(s.membership.log(), s.scanned_tail)) co_return no_memory();
  // I4: what the master holds may be in its cache alone, and is about to be copied.
  const int error = co_await s.membership.master_device().flush();
  if (error != 0) co_return s.broken = s.membership.of_master(Code::MASTER_FAILED, error);
  s.start_mirror(s.scanned_tail);
  s.phase = Phase::formatting;
  s.to_be_recovered = true;
  co_return outcome;
}

// The labels learn the final states first: until the superblock leaves `creating` there is no mirror to disagree with.
Task<Outcome> Session::State::finish_format() {
  for (ImageRecord& image : superblock.images) image.changed_at_ms = 0;  // not since the mirror was made
  // What is said to be identical nobody copied: it may stand in caches alone, and a power loss would then tell the images
  // apart while no intent covers the difference.
  Outcome outcome;
  if (assume_identical && !mutated(Mutation::assumed_not_flushed)) outcome = co_await mirror->flush();
  if (outcome.ok()) outcome = co_await membership.write_labels(membership.receiving(), false);
  outcome = with_all_slaves(outcome);
  if (!outcome.ok()) co_return outcome;
  superblock.lifecycle = Lifecycle::open;
  outcome = co_await membership.write_superblock();
  if (!outcome.ok()) co_return outcome;
  Event event = event_of(EventKind::created);
  event.bytes = superblock.size;
  history.tell(std::move(event));
  history.begin(membership.log(), superblock.log_uuid, true);
  co_return outcome;
}

// --- recovery

Task<Outcome> Session::end_recovery(RecoverySummary summary) {
  State& s = *state_;
  const Outcome refused = s.may_step({Phase::recovering, Phase::formatting, Phase::running});
  if (!refused.ok()) co_return refused;
  if (s.resync_running || s.recovering() != 0) co_return wrong_phase();
  if (!std::exchange(s.to_be_recovered, false)) co_return wrong_phase();  // or it is being ended already
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  s.ending_recovery =
      s.phase != Phase::running;  // a mirror that serves requests is compared, fractured, rejoined meanwhile
  const Outcome outcome = co_await s.finish_recovery(std::move(summary));
  s.ending_recovery = false;
  s.to_be_recovered = !outcome.ok();
  co_return outcome;
}

Task<Outcome> Session::State::finish_recovery(RecoverySummary summary) {
  const bool formatting = phase == Phase::formatting;
  Outcome outcome = with_all_slaves(Outcome::success());
  if (outcome.ok() && formatting) outcome = co_await finish_format();
  if (outcome.ok()) outcome = co_await retire_what_was_before();
  if (outcome.ok() && !formatting) {
    summary.finished_at_ms = runtime.wall_clock_ms();
    superblock.last_recovery = summary;
    superblock.served_since_crash = false;
    outcome = co_await membership.write_superblock();
  }
  if (outcome.ok() && !membership.durable()) outcome = co_await membership.make_durable();
  if (!outcome.ok()) mirror->stop(outcome);  // half a change of state must not be built upon
  if (outcome.ok() && !formatting) {
    Event event = event_of(EventKind::recovered);
    event.bytes = summary.bytes_copied;
    event.duration_ms = summary.duration_ms;
    history.tell(std::move(event));
  }
  if (outcome.ok()) {
    phase = Phase::running;
    mirror->choose_from_slaves(false);
  }
  co_return outcome;
}

// I14: what slaves that are out owe of it goes into their maps first.
Task<Outcome> Session::State::retire_what_was_before() {
  Outcome outcome = co_await mirror->retire_all();
  const bool behind = mirror->log().names_what_was_before() || phase == Phase::formatting;
  if (outcome.ok() && behind) outcome = co_await mirror->log().write_empty_record();
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

}  // namespace blockmirror
