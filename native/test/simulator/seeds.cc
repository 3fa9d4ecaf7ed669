// The plan that a seed draws: a world, up to three lives, what the user does in each, what breaks, where the crash comes.
// First what every seed has, then what only some have, each of those by a generator of its own (plan_draws.h).
#include <algorithm>

#include "plan_draws.h"

namespace blockmirror::simulator {
namespace {

World draw_world(Random& random) {
  World world;
  world.slaves = 1 + static_cast<unsigned>(random.below(3));
  world.ring_records = random.one_in(3) ? 16 : 8;
  world.mirror_size = random.one_in(3) ? 1024 * 1024 + 64 * 1024 : 256 * 1024;
  world.recovery_budget = random.one_in(3) ? 64 * 1024 * 1024 : 1024 * 1024;
  return world;
}

Action draw_action(Random& random, const World& world, std::uint64_t content) {
  static constexpr Action::Kind kKinds[] = {
      Action::Kind::write,         Action::Kind::write,         Action::Kind::write, Action::Kind::write,
      Action::Kind::durable_write, Action::Kind::durable_write, Action::Kind::flush, Action::Kind::discard,
      Action::Kind::read,          Action::Kind::retire,        Action::Kind::quiet};
  Action action;
  action.kind = kKinds[random.below(std::size(kKinds))];
  action.content = content;
  // Few places, so that writes meet; the last ones of the mirror among them.
  const std::uint32_t sectors = static_cast<std::uint32_t>(world.mirror_size / kSimulatedSector);
  const std::uint32_t places[] = {0, 3, 8, 64, 100, sectors / 2, sectors - 16, sectors - 9};
  action.sector = places[random.below(std::size(places))] + static_cast<std::uint32_t>(random.below(8));
  action.sectors = 1 + static_cast<std::uint32_t>(random.below(random.one_in(4) ? 9 : 2));
  const std::uint32_t region_end = (action.sector / kRegionSectors + 1) * kRegionSectors;
  action.sectors = std::min({action.sectors, sectors - action.sector, region_end - action.sector});
  return action;
}

PlannedFault draw_fault(Random& random, const World& world) {
  static constexpr Fault kFaultsOfDevices[] = {Fault::write_error,    Fault::write_error, Fault::flush_error,
                                               Fault::short_transfer, Fault::try_again,   Fault::stops_answering,
                                               Fault::device_reset,   Fault::shared_disk, Fault::read_error};
  PlannedFault fault;
  fault.fault = kFaultsOfDevices[random.below(std::size(kFaultsOfDevices))];
  fault.disk = static_cast<unsigned>(random.below(world.slaves + 2));
  if (!random.one_in(3)) fault.disk = 2 + static_cast<unsigned>(random.below(world.slaves));
  if (fault.fault == Fault::write_error && random.one_in(3)) fault.disk = 0;
  if (fault.fault == Fault::shared_disk && world.slaves < 2) fault.fault = Fault::device_reset;
  fault.ordinal = static_cast<unsigned>(random.below(fault.fault == Fault::flush_error ? 2 : 6));
  return fault;
}

PlannedFault draw_media_fault(Random& random, const World& world) {
  static constexpr Fault kFaultsOfMedia[] = {
      Fault::stale_log_record,      Fault::stale_log_record, Fault::damaged_log_sector,
      Fault::unreadable_log_sector, Fault::stale_log_record, Fault::damaged_superblock_copy,
      Fault::damaged_label_copy,    Fault::restored_image,   Fault::restored_log};
  PlannedFault fault;
  fault.fault = kFaultsOfMedia[random.below(std::size(kFaultsOfMedia))];
  fault.disk = 1 + static_cast<unsigned>(random.below(world.slaves + 1));
  fault.ordinal = static_cast<unsigned>(random.next() % 4096);
  return fault;
}

// What every other draw leaves as it is: what kind of disks the mirror lies on, and whether its slaves are proven.
void draw_shape(std::uint64_t seed, World& world) {
  static constexpr std::uint32_t kRecordSizes[] = {4096, 4096, 8192, 65536};
  Random random(seed * 43 + 23);
  world.proven = random.one_in(2);
  world.block_size = random.one_in(4) ? 4096 : 512;
  world.record_size = kRecordSizes[random.below(std::size(kRecordSizes))];
}

// In one of sixteen seeds the history is kept, and in some of those its ring is about to be full. Not drawn: those seeds are none
// by which a mutation is known to be caught.
void choose_history(std::uint64_t seed, World& world) {
  world.history = seed % 16 == 14;
  if (world.history && seed % 64 == 46) world.events_before = kStoredEvents - 3;
}

// How many images in sync the mirror asks for: in two thirds the master alone is enough. Drawn when it is known how many
// slaves there are.
void draw_minimum(std::uint64_t seed, World& world) {
  Random random(seed * 73 + 59);
  if (!random.one_in(3)) return;
  world.minimum_in_sync = random.one_in(4) ? world.slaves + 1 : 2;
}

}  // namespace

SeedPlan draw_plan(const SeedCase& seed_case, unsigned* items) {
  Random random(seed_case.seed), later(seed_case.seed * 5 + 2);
  const Additions additions(later);
  unsigned item = 0;
  const IsKept is_kept = [&] {
    return std::find(seed_case.without.begin(), seed_case.without.end(), item++) == seed_case.without.end();
  };
  SeedPlan plan;
  plan.world = draw_world(random);
  plan.world.new_owners = true;
  if (additions.older_generation) plan.world.slaves = 3;
  draw_shape(seed_case.seed, plan.world);
  draw_minimum(seed_case.seed, plan.world);
  choose_history(seed_case.seed, plan.world);
  Streams streams(seed_case.seed);
  if (streams.any) widen_world(streams, plan.world);
  const std::uint64_t lives = std::max<std::uint64_t>(1 + random.below(3), additions.older_generation ? 2 : 1);
  for (std::uint64_t i = 0; i < lives; ++i) {
    LifePlan life;
    life.concurrency = 1 + static_cast<unsigned>(random.below(6));
    life.read_back = random.one_in(4);
    const std::uint64_t actions = 2 + random.below(10);
    for (std::uint64_t j = 0; j < actions; ++j) {
      const Action action = draw_action(random, plan.world, 1000 * (i + 1) + j);
      if (is_kept()) life.actions.push_back(action);
    }
    const std::uint64_t faults = random.one_in(2) ? 0 : 1 + random.below(2);
    for (std::uint64_t j = 0; j < faults; ++j) {
      const PlannedFault fault = draw_fault(random, plan.world);
      if (is_kept()) life.faults.push_back(fault);
    }
    SeedPlan::End end;
    end.after_events = random.one_in(4) ? ~0ull : 20 + random.below(160);
    end.lost = random.one_in(3) ? 0 : all_caches(plan.world);
    if (random.one_in(6)) end.lost = 1u << (1 + random.below(plan.world.slaves + 1));
    if (random.one_in(2)) {
      const PlannedFault fault = draw_media_fault(random, plan.world);
      if (is_kept()) end.media.push_back(fault);
    }
    plan.lives.push_back(std::move(life));
    plan.ends.push_back(std::move(end));
  }
  draw_additions(later, additions, plan, is_kept);
  draw_streams(streams, plan, is_kept);
  draw_partial_writes(seed_case.seed, plan, is_kept);
  draw_unreadable(seed_case.seed, plan, is_kept);
  draw_early_faults(seed_case.seed, plan, is_kept);
  draw_verifies(seed_case.seed, plan, is_kept);
  draw_losses(seed_case.seed, plan, is_kept);
  draw_aborts(seed_case.seed, plan, is_kept);
  draw_forgetful(seed_case.seed, plan, is_kept);
  draw_rot_and_repair(seed_case.seed, plan, is_kept);
  draw_lies(seed_case.seed, plan, is_kept);
  draw_failed_repairs(seed_case.seed, plan, is_kept);
  draw_absurd_numbers(seed_case.seed, plan, is_kept);
  draw_returns(seed_case.seed, plan, is_kept);
  draw_alone(seed_case.seed, plan, is_kept);
  draw_hangs(seed_case.seed, plan, is_kept);
  draw_departures(seed_case.seed, plan, is_kept);
  draw_recoveries_beside(seed_case.seed, plan);
  draw_verify_repairs(seed_case.seed, plan);
  draw_takes(seed_case.seed, plan, is_kept);
  align_requests(plan);
  // No two writes of a run have the same contents, though one life was made after another.
  for (std::size_t i = 0; i < plan.lives.size(); ++i) {
    for (Action& action : plan.lives[i].actions) {
      if (action.kind != Action::Kind::take) action.content += 100'000 * i;
    }
  }
  plan.world.spoils =
      std::any_of(plan.lives.begin(), plan.lives.end(), [](const LifePlan& life) { return !life.spoilt.empty(); });
  unsigned number = 0;
  for (LifePlan& life : plan.lives) {
    for (PlannedFault& fault : life.faults) {
      for (const auto& [changed, ordinal] : seed_case.ordinals) {
        if (changed == number) fault.ordinal = ordinal;
      }
      ++number;
    }
  }
  if (items != nullptr) *items = item;
  return plan;
}

}  // namespace blockmirror::simulator
