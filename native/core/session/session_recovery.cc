// Making a mirror, and recovering one: copying, flushing, retiring what a crash or a plan left owed.
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
  for (unsigned i = 1; i < superblock.images.size(); ++i) {
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
  if (!debts.begun() && !debts.begin(membership.log(), tail)) co_return no_memory();
  if (debt.contains(whole())) forget_differences(membership.receiving(), superblock);
  recovery.reset();
  debt.clear();
  start_mirror(tail);
  retiring_debt = false;
  Outcome outcome = co_await mirror->write_maps();  // I14: what slaves that are out owe of this crash too
  if (outcome.ok()) outcome = co_await mirror->log().write_empty_record();
  if (outcome.ok() && !formatting) {
    summary.finished_at_ms = runtime.wall_clock_ms();
    superblock.last_recovery = summary;
    outcome = co_await membership.write_superblock();
  }
  if (outcome.ok() && !membership.durable()) outcome = co_await membership.make_durable();
  if (!outcome.ok()) mirror->stop(outcome);  // I12: it takes requests already
  co_return outcome;
}

Task<Outcome> Session::record_recovery(RecoverySummary summary) {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  if (const Outcome refused = s.may_step({Phase::running}); !refused.ok()) co_return refused;
  if (s.owes_crash_debt()) co_return wrong_phase();
  Outcome outcome = co_await s.mirror->retire_all();
  if (outcome.ok() && s.mirror->log().names_what_was_before()) {
    outcome = co_await s.mirror->log().write_empty_record();
  }
  if (!outcome.ok()) co_return outcome;
  summary.finished_at_ms = s.runtime.wall_clock_ms();
  s.superblock.last_recovery = summary;
  co_return co_await s.mirror->record_progress();
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
