// Runs what a seed draws: its lives one after the other, crashes of each on the way, and what happens to the disks between them.
#include <algorithm>
#include <map>

#include "media.h"
#include "runs.h"

namespace blockmirror::simulator {

Expectation expectation_after(const World& world, const Life& life, LostCaches lost) {
  Expectation expectation;
  expectation.promise = spares_only_durable(world, lost) ? Promise::durable : life.promise();
  expectation.may_be_live = life.may_be_live();
  expectation.rotten = life.expectation().rotten;
  expectation.differing = life.differing();
  expectation.lost_blocks = life.machine().lost_blocks();
  expectation.owed_before = life.owed_before();
  expectation.restored = life.expectation().restored;
  expectation.damage_possible = life.expectation().damage_possible;
  // A copy that was put back is still there when the opening that would have refused it was cut off.
  expectation.refusal_expected = life.expectation().refusal_expected;
  expectation.refusals = life.expectation().refusals;
  expectation.copies_damaged = life.expectation().copies_damaged;
  expectation.history = life.history();
  return expectation;
}

void run_seed(const SeedCase& seed_case, HashSet& states, Verdict& verdict) {
  static std::map<std::uint64_t, Created> created_by_world;  // creating one costs as much as hundreds of recoveries
  SeedPlan plan = draw_plan(seed_case);
  const World& world = plan.world;
  const std::uint64_t key = world.slaves + 16 * world.ring_records + 1024 * world.mirror_size +
                            (world.proven ? 512 : 0) + (world.block_size > 512 ? 8 : 0) +
                            (std::uint64_t{world.record_size} << 40) + (std::uint64_t{world.minimum_in_sync} << 60);
  auto found = created_by_world.find(key);
  if (found == created_by_world.end()) found = created_by_world.emplace(key, create(world)).first;
  const Created& created = found->second;
  Effort effort;
  effort.recovery_states = 4;
  effort.faults = true;
  effort.cut_one_in = plan.streams ? 64 : 32;
  HashSet explored;
  Explorer explorer(world, created.geometry, effort, states, explored, verdict);
  Random random(seed_case.seed * 3 + 1);

  Disks disks = created.disks;
  Model model(disks[1].content(), world.mirror_size / kSimulatedSector);
  Expectation expectation;
  if (world.events_before > 0) expectation.history = fill_history(disks, world.events_before);
  MediaFaults media(created.geometry);
  for (std::size_t i = 0; i < plan.lives.size() && !verdict.failed; ++i) {
    RandomOrder order(seed_case.seed * 7 + i);
    Life life(world, created.geometry, disks, model, plan.lives[i], expectation, i + 1, order, verdict);
    media.next_life();
    const auto of_generation = [](const PlannedFault& fault) {
      return fault.fault == Fault::restored_image_generation || fault.fault == Fault::restored_log_generation;
    };
    const std::vector<PlannedFault>& after = plan.ends[i].media;
    const bool watches = std::any_of(after.begin(), after.end(), of_generation);
    for (std::uint64_t event = 0; event < plan.ends[i].after_events && !verdict.failed && life.step(); ++event) {
      if (random.one_in(3)) continue;
      if (plan.streams && !random.one_in(6)) continue;  // a recovery of megabytes costs as much as dozens of others
      const LostCaches lost = random.one_in(4)   ? 0
                              : random.one_in(6) ? 1u << (1 + random.below(world.slaves + 1))
                                                 : all_caches(world);
      explorer.crash_once(life, lost, random);
      if (watches) media.watch_generation(life.machine().disks());
    }
    if (verdict.failed) return;
    media.remember(disks, life.ran());
    const LostCaches lost = plan.ends[i].lost;
    const CrashPoint point(life.machine(), lost);
    disks = point.build(point.drawn(random));
    model = life.model();
    expectation = expectation_after(world, life, lost);
    if (i + 1 == plan.lives.size()) break;
    if (life.refused()) return;
    for (const PlannedFault& fault : plan.ends[i].media)
      media.strike(fault, disks, plan.lives[i + 1], expectation, verdict);
  }
}

}  // namespace blockmirror::simulator
