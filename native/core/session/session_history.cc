// What the session itself tells the history, and reading it. Changes of an image's state are told by Membership, when they are
// durable; what the master could not read by MasterRepair.
#include "state.h"

namespace blockmirror {

void Session::keep_history() { state_->history.keep(); }

Event Session::State::event_of(EventKind kind) const {
  Event event;
  event.kind = kind;
  event.generation = superblock.generation.counter;
  event.open_count = superblock.open_count;
  return event;
}

// `bytes`: what a crash left to be copied. Whether there was one says the event before: it is not that of a close.
void Session::State::tell_opened() {
  membership.tell_durable();
  Event event = event_of(EventKind::opened);
  event.bytes = clean ? 0 : debt.bytes();
  history.tell(std::move(event));
  history.begin(membership.log(), superblock.log_uuid, false);
}

// Once, when somebody sees it first: the phase changes with it. A close of a mirror that is not recovered stops nothing.
void Session::State::tell_stop() {
  const Outcome why = mirror->stopped().ok() ? mirror->log().failure() : mirror->stopped();
  if (why.code == Code::CLOSED) return;
  Event event = why.image >= 0 && static_cast<std::size_t>(why.image) < superblock.images.size()
                    ? membership.event_of(EventKind::error, static_cast<unsigned>(why.image))
                    : event_of(EventKind::error);
  event.error = why.system_error;
  history.tell(std::move(event));
}

// Of an opening that failed half way, too: what it has made durable has happened. At most as long as a request may take; where
// devices may take for ever, as long as they may by default.
Task<void> Session::State::end_history() {
  if (history.has_waiting() && !history.has_begun()) history.begin(membership.log(), superblock.log_uuid, false);
  const std::uint64_t longest_ns = timeout_ns() != 0 ? timeout_ns() : Policies{}.device_timeout_ms * 1'000'000;
  co_await history.drain(longest_ns);
}

// By the names that TypeScript and the command line have for them (lib/base/policies.ts).
void Session::State::tell_policies(const Policies& before) {
  const Policies& now = superblock.policies;
  const auto tell = [&](const char* name, std::uint64_t from, std::uint64_t to) {
    if (from == to) return;
    Event event = event_of(EventKind::policy_changed);
    event.name = name;
    event.bytes = to;
    history.tell(std::move(event));
  };
  tell("minInSync", before.minimum_in_sync, now.minimum_in_sync);
  tell("rejoin", static_cast<std::uint64_t>(before.rejoin), static_cast<std::uint64_t>(now.rejoin));
  tell("deviceTimeout", before.device_timeout_ms, now.device_timeout_ms);
  tell("waitForImages", before.wait_for_images_ms, now.wait_for_images_ms);
  tell("resyncRate", before.resync_rate, now.resync_rate);
}

Task<Outcome> Session::read_history(HistoryScan& into) {
  State& s = *state_;
  StepUnderWay step(s.steps_in_flight, s.steps_ended);
  const auto phases = {Phase::loaded, Phase::recovering, Phase::running, Phase::stopped};
  if (const Outcome refused = s.may_step(phases); !refused.ok()) co_return refused;
  if (s.superblock.lifecycle == Lifecycle::creating) co_return wrong_phase();
  if (s.history.has_begun()) co_await s.end_history();
  const Outcome outcome = co_await blockmirror::read_history(s.membership.log(), s.superblock.log_uuid, into);
  co_return outcome;
}

ImageSet Session::owing_in(Extent extent) const {
  const State& s = *state_;
  ImageSet owing = 0;
  for (const unsigned i : indices_of(s.superblock.slaves())) {
    if (s.superblock.images[i].debt == DebtKind::none && s.phase == Phase::loaded) continue;
    if (s.debts.begun()) owing |= s.debts.owing_in(image_bit(i), extent);
  }
  return owing;
}

}  // namespace blockmirror
