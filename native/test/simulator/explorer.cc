#include "explorer.h"

namespace blockmirror::simulator {

namespace {

constexpr std::uint32_t kMendSectors = 2048;  // of a step

}  // namespace

LostCaches all_caches(const World& world) { return (1u << (world.slaves + 2)) - 1; }

void Explorer::crash(const Life& life, unsigned depth) {
  crash_point(life, all_caches(world_), depth);
  crash_point(life, 0, depth);
  for (unsigned disk = 1; effort_.every_cache && disk <= world_.slaves + 1; ++disk)
    crash_point(life, 1u << disk, depth);
}

// What a recovery after that crash will be held to. Equal disks are recovered again under other promises.
Explorer::Promises Explorer::promises_after(const Life& life, LostCaches lost) const {
  Promises promises{life.expectation(), 0};
  Expectation& expectation = promises.expectation;
  expectation.promise = spares_only_durable(world_, lost) ? Promise::durable : life.promise();
  expectation.may_be_live = life.may_be_live();
  expectation.owed_before = life.owed_before();
  expectation.damage_expected = false;
  expectation.differing = life.differing();
  expectation.lost_blocks = life.machine().lost_blocks();
  expectation.history = life.history();
  std::uint64_t hash = life.model().hash(expectation.promise) ^ expectation.history.hash();
  for (std::size_t block = 0; block < expectation.may_be_live.size(); ++block) {
    if (expectation.may_be_live[block]) hash ^= mix_hash(block + 1);
  }
  const unsigned flags = (expectation.damage_possible ? 1u : 0u) | (expectation.refusal_expected ? 2u : 0u) |
                         (expectation.copies_damaged ? 4u : 0u) | expectation.differing << 3 |
                         expectation.lost_blocks << 8;
  promises.hash = mix_hash(hash + flags);
  return promises;
}

void Explorer::crash_point(const Life& life, LostCaches lost, unsigned depth) {
  if (ends()) return;
  const CrashPoint point(life.machine(), lost);
  const Promises promises = promises_after(life, lost);
  if (!explored_.insert(mix_hash(point.signature() + promises.hash) + depth)) return;
  const std::uint64_t limit = depth == effort_.depth ? effort_.states : effort_.recovery_states;
  if (point.states(limit) <= limit) {
    CrashPoint::Choice choice = point.nothing();
    do {
      try_state(life, point, choice, promises, lost, depth);
    } while (!ends() && point.advance(choice));
    return;
  }
  sampled_ = true;
  Random random(point.signature());
  try_state(life, point, point.nothing(), promises, lost, depth);
  try_state(life, point, point.everything(), promises, lost, depth);
  for (std::uint64_t i = 2; i < limit && !ends(); ++i)
    try_state(life, point, point.drawn(random), promises, lost, depth);
}

void Explorer::crash_once(const Life& life, LostCaches lost, Random& random) {
  const CrashPoint point(life.machine(), lost);
  try_state(life, point, point.drawn(random), promises_after(life, lost), lost, effort_.depth);
}

void Explorer::try_state(const Life& life, const CrashPoint& point, const CrashPoint::Choice& choice,
                         const Promises& promises, LostCaches lost, unsigned depth) {
  if (go_on_ && !go_on_()) cut_off_ = true;
  if (ends()) return;
  Counts& counts = verdict_.counts;
  const std::uint64_t state = point.hash(choice);
  ++counts.states_met;
  const bool is_new = states_.insert(state);
  if (is_new) {
    ++counts.crash_states;
    if (depth < effort_.depth) ++counts.recovery_crash_states;
    verdict_.count(lost == 0                    ? Fault::process_death
                   : lost == all_caches(world_) ? Fault::power_loss
                                                : Fault::cache_lost_unseen);
    if (point.tears(choice)) verdict_.count(Fault::torn_write);
    if (lost == 0 && point.lands(choice)) verdict_.count(Fault::late_landing);
  }
  if (!explored_.insert(mix_hash(state ^ promises.hash) + depth)) return;
  Disks disks = point.build(choice);
  if (is_new && depth == effort_.depth) count_cases(life.model(), disks);
  const std::size_t trace = verdict_.trace.size();
  note(point, choice, lost);
  recover(life, std::move(disks), promises.expectation, state, depth);
  verdict_.trace.resize(trace);
}

// A write of a slave that is copied to, a flush of it, or the flush of the master that everything builds upon.
PlannedFault Explorer::fault_of_recovery(std::uint64_t pick) const {
  PlannedFault fault;
  fault.early = true;
  fault.fault = pick % 2 == 0 ? Fault::write_error : Fault::flush_error;
  fault.disk = 2 + static_cast<unsigned>(pick / 16 % world_.slaves);
  if (pick % 4 == 3) fault.disk = 1;
  // The first two writes of an opening are those of the labels.
  if (fault.fault == Fault::write_error) fault.ordinal = static_cast<unsigned>(2 + pick / 256 % 3);
  return fault;
}

void Explorer::recover(const Life& before, Disks disks, const Expectation& expectation, std::uint64_t state,
                       unsigned depth) {
  OldestFirst oldest_first;
  LifePlan plan;
  plan.read_back = state % 16 == 0;
  plan.impatient = state % 16 == 1;
  plan.beside = state % 4 == 2;
  // Whatever is owed shows itself when it is paid: what it leaves different was forgotten.
  plan.actions.push_back({Action::Kind::rejoin, 0, kMendSectors, 0});
  if (effort_.faults && state % 8 == 3) plan.faults.push_back(fault_of_recovery(state / 8));
  const bool cut = depth > 1 && state / 16 % effort_.cut_one_in == 0;
  Life life(world_, geometry_, std::move(disks), before.model(), plan, expectation, before.number() + 1, oldest_first,
            verdict_);
  while (!ends() && life.step()) {
    if (cut) crash(life, depth - 1);
  }
}

// For every write that was not certain yet: who has it, the master, the slave, both or neither?
void Explorer::count_cases(const Model& model, const Disks& disks) {
  const auto holds = [](const Model::Write& write, const SparseDisk& disk) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < write.contents.size(); ++i) count += disk.get(write.sector + i) == write.contents[i];
    return count;
  };
  Cases& cases = verdict_.counts.cases;
  for (const Model::Write& write : model.writes()) {
    if (write.durable) continue;
    const std::size_t all = write.contents.size();
    const std::size_t master = holds(write, disks[1].content());
    for (std::size_t slave = 2; slave < disks.size(); ++slave) {
      const std::size_t its = holds(write, disks[slave].content());
      if ((master != 0 && master != all) || (its != 0 && its != all)) {
        ++cases.torn;
      } else if (master == all) {
        ++(its == all ? cases.both : cases.master_ahead);
      } else {
        ++(its == all ? cases.slave_ahead : cases.neither);
      }
    }
  }
}

void Explorer::note(const CrashPoint& point, const CrashPoint::Choice& choice, LostCaches lost) {
  if (!verdict_.tracing) return;
  verdict_.trace.push_back(point.words(choice, lost == all_caches(world_) ? "CRASH: power is lost"
                                               : lost == 0                ? "CRASH: the process dies"
                                                                          : "CRASH: one disk loses its cache"));
}

}  // namespace blockmirror::simulator
