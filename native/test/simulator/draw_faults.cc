// Faults of single devices and of what lies on them, beside the first draw.
#include <algorithm>

#include "plan_draws.h"

namespace blockmirror::simulator {

Additions::Additions(Random& random)
    : returning_device(random.one_in(8)), older_generation(random.one_in(12)), of_log(random.one_in(3)) {}

// A device that is reset and answers again; and a copy of before the generation in which two of three slaves failed.
void draw_additions(Random& random, const Additions& additions, SeedPlan& plan, const IsKept& is_kept) {
  const auto ordinal = [&] { return static_cast<unsigned>(random.below(4)); };
  for (LifePlan& life : plan.lives) life.impatient = random.one_in(4);
  if (additions.returning_device) {
    const unsigned disk = static_cast<unsigned>(random.below(plan.world.slaves + 2));
    LifePlan& life = plan.lives[random.below(plan.lives.size())];
    if (is_kept()) life.faults.push_back({Fault::device_returns, disk, ordinal()});
  }
  if (!additions.older_generation) return;
  for (unsigned slave : {2, 3}) {
    const PlannedFault fault{Fault::write_error, slave, ordinal()};
    if (is_kept()) plan.lives.front().faults.push_back(fault);
  }
  plan.lives.front().close = false;  // a sealed log tells by that alone
  plan.ends.front().after_events = 100 + random.below(100);
  const unsigned survivor = random.one_in(2) ? 1 : 4;
  const Fault kind = additions.of_log ? Fault::restored_log_generation : Fault::restored_image_generation;
  if (is_kept()) plan.ends.front().media = {{kind, survivor, ordinal()}};
}

// Faults that strike while a mirror is opened.
void draw_early_faults(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept) {
  Random random(seed * 29 + 13);
  if (!random.one_in(6)) return;
  static constexpr Fault kFaults[] = {Fault::write_error, Fault::write_error, Fault::write_error, Fault::flush_error};
  for (LifePlan& life : plan.lives) {
    PlannedFault fault;
    fault.fault = kFaults[random.below(std::size(kFaults))];
    fault.early = true;
    fault.disk = random.one_in(4) ? static_cast<unsigned>(random.below(2))
                                  : 2 + static_cast<unsigned>(random.below(plan.world.slaves));
    fault.ordinal = static_cast<unsigned>(random.below(fault.fault == Fault::flush_error ? 2 : 6));
    if (is_kept()) life.faults.push_back(fault);
  }
}

// An older copy of the superblock that claims to be the newest for ever.
void draw_absurd_numbers(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept) {
  Random random(seed * 43 + 31);
  if (!random.one_in(8) || plan.lives.size() < 2) return;
  const PlannedFault fault{Fault::absurd_update_number, 0, static_cast<unsigned>(random.below(64))};
  const std::size_t end = random.below(plan.lives.size() - 1);
  if (is_kept()) plan.ends[end].media.push_back(fault);
}

// The file of an image that loses blocks, and a retirement that has to look for that.
void draw_losses(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept) {
  Random random(seed * 41 + 19);
  if (!random.one_in(8)) return;
  LifePlan& life = plan.lives[random.below(plan.lives.size())];
  const unsigned disk = random.one_in(3) ? 1 : 2 + static_cast<unsigned>(random.below(plan.world.slaves));
  const PlannedFault loss{Fault::lost_allocation, disk, static_cast<unsigned>(random.below(4))};
  if (is_kept()) life.faults.push_back(loss);
  if (random.one_in(2) && is_kept()) life.actions.push_back({Action::Kind::retire, 0, 1, 0});
}

// Devices that hang, with a deadline for every request: until it has passed, until a rejoin was asked for, or for good.
void draw_hangs(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept) {
  Random random(seed * 73 + 53);
  if (!random.one_in(6) || plan.streams) return;
  constexpr std::uint64_t kTimeout_ns = 50'000'000;
  LifePlan& life = plan.lives[random.below(plan.lives.size())];
  life.device_timeout_ns = kTimeout_ns;
  life.concurrency = std::max(life.concurrency, 2u);
  const auto slave = [&] { return 2 + static_cast<unsigned>(random.below(plan.world.slaves)); };
  const auto hang = [&](unsigned disk, bool early) {
    if (is_kept()) life.faults.push_back({Fault::hangs, disk, static_cast<unsigned>(random.below(8)), early});
  };
  hang(random.one_in(5) ? static_cast<unsigned>(random.below(2)) : slave(), random.one_in(6));
  if (random.one_in(3)) hang(slave(), false);
  static constexpr Action::Kind kAfter[] = {Action::Kind::write, Action::Kind::rejoin, Action::Kind::flush,
                                            Action::Kind::rejoin, Action::Kind::retire};
  for (std::uint64_t more = 2 + random.below(4), i = 0; i < more; ++i) {
    Action action{kAfter[random.below(std::size(kAfter))], 0, 8, 1000 + 950 + i};
    if (action.kind == Action::Kind::write) action.sector = 8 * static_cast<std::uint32_t>(random.below(12));
    if (is_kept()) life.actions.push_back(action);
  }
}

}  // namespace blockmirror::simulator
