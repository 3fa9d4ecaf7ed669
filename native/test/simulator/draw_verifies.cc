// Verifies, what they find, and what they repair.
#include <algorithm>

#include "plan_draws.h"

namespace blockmirror::simulator {
namespace {

// Garbage where the master is never unreadable and, but for a write of the life after, nobody writes. Rot that a repair of the
// master may meet before a verify is not drawn: no mirror without checksums knows of it.
constexpr std::uint32_t kRottenPlaces[] = {24, 80, 120};

bool serves_unseen(const SeedPlan& plan) {
  return std::any_of(plan.lives.begin(), plan.lives.end(), [](const LifePlan& life) {
    return std::any_of(life.faults.begin(), life.faults.end(), [](const PlannedFault& fault) {
      const bool reads_fail =
          fault.fault == Fault::read_error || fault.fault == Fault::device_reset || fault.fault == Fault::shared_disk;
      return reads_fail && fault.disk < 2;
    });
  });
}

}  // namespace

// Verifies, and slaves that rot before they are verified.
void draw_verifies(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept) {
  Random random(seed * 37 + 19);
  if (!random.one_in(3) || plan.streams) return;
  const bool spoils = !plan.lives.front().spoilt.empty();
  const bool rots = !serves_unseen(plan) && (spoils || !random.one_in(3));
  // A slave rots, a verify sees it, and then the master has new sectors that cannot be read.
  while (rots && spoils && plan.lives.size() < 3) {
    plan.lives.push_back(plan.lives.back());
    plan.ends.push_back(plan.ends.back());
  }
  for (std::size_t i = 0; i < plan.lives.size(); ++i) {
    LifePlan& life = plan.lives[i];
    const auto insert = [&](const Action& action) {
      const auto at = life.actions.begin() + static_cast<std::ptrdiff_t>(random.below(life.actions.size() + 1));
      if (is_kept()) life.actions.insert(at, action);
    };
    const std::uint32_t place = kRottenPlaces[random.below(std::size(kRottenPlaces))];
    if (random.one_in(3)) insert({Action::Kind::write, place, 8, 1000 * (i + 1) + 900});
    if (!random.one_in(4)) insert({Action::Kind::verify, 0, 1, 0});
    if (random.one_in(2)) plan.ends[i].after_events = ~0ull;
    life.concurrency = std::max(life.concurrency, 2u);
    const unsigned slave = random.one_in(2) ? 2 : 2 + static_cast<unsigned>(random.below(plan.world.slaves));
    const PlannedFault fault{Fault::write_error, slave, static_cast<unsigned>(random.below(6))};
    if (random.one_in(4) && is_kept()) life.faults.push_back(fault);
    const PlannedFault rot{Fault::rotten_sector, slave, place + static_cast<unsigned>(random.below(8))};
    if (rots && is_kept()) plan.ends[i].media.push_back(rot);
  }
}

// Some verifies repair what they find, and then nobody looks at that slave in the place of the master: not where the master has
// sectors that cannot be read.
void draw_verify_repairs(std::uint64_t seed, SeedPlan& plan) {
  Random random(seed * 83 + 61);
  for (LifePlan& life : plan.lives) {
    for (Action& action : life.actions) {
      const bool repairs = random.one_in(2) && life.spoilt.empty();
      if (repairs && action.kind == Action::Kind::verify) action.kind = Action::Kind::verify_repair;
    }
  }
}

// What a slave holds is taken for the content of all images: where it rotted, where it misses something, or anywhere. A sector
// that lies lies about repairs alone, and a take over it looks like one.
void draw_takes(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept) {
  Random random(seed * 97 + 79);
  if (!random.one_in(5) || plan.streams) return;
  static constexpr std::uint32_t kPlaces[] = {0, 0, 8, 64, 96, 24, 80, 120};
  const bool rots = random.one_in(2) && !serves_unseen(plan);
  // One goes out, misses a write, is on its way back, and is asked for what it missed.
  const std::uint32_t slave = static_cast<std::uint32_t>(random.below(plan.world.slaves));
  const std::uint32_t missed = kPlaces[random.below(std::size(kPlaces))];
  const Action course[] = {{Action::Kind::fracture, 1u << slave, 1, 0},
                           {Action::Kind::write, missed, 8, 1970},
                           {Action::Kind::write, 200, 8, 1971},
                           {Action::Kind::rejoin, 1, 8, 0},
                           {Action::Kind::take, missed, 8, slave + 1}};
  std::size_t at_front = 0;
  for (const Action& action : course) {
    std::vector<Action>& first = plan.lives.front().actions;
    if (!rots && is_kept()) first.insert(first.begin() + static_cast<std::ptrdiff_t>(at_front++), action);
  }
  for (std::size_t i = 0; i < plan.lives.size(); ++i) {
    LifePlan& life = plan.lives[i];
    const bool lies = std::any_of(life.spoilt.begin(), life.spoilt.end(), [](const auto& one) { return one.lies; });
    life.concurrency = std::max(life.concurrency, 3u);
    for (std::uint64_t more = 1 + random.below(3); more > 0; --more) {
      Action action{Action::Kind::take, kPlaces[random.below(std::size(kPlaces))], 8, 0};
      if (random.one_in(3)) action.sectors = 16;
      action.content = 1 + random.below(plan.world.slaves);
      const auto at = life.actions.begin() + static_cast<std::ptrdiff_t>(random.below(life.actions.size() + 1));
      if (is_kept() && !lies) life.actions.insert(at, action);
    }
    const std::uint32_t place = kRottenPlaces[random.below(std::size(kRottenPlaces))];
    const PlannedFault rot{Fault::rotten_sector, 2 + static_cast<unsigned>(random.below(plan.world.slaves)),
                           place + static_cast<unsigned>(random.below(8))};
    if (!rots || !life.spoilt.empty() || i + 1 == plan.lives.size()) continue;
    // Nothing else stands in the way of a take there, but for what the slave missed before.
    plan.ends[i].media.clear();
    if (is_kept()) plan.ends[i].media.push_back(rot);
    LifePlan& next = plan.lives[i + 1];
    next.faults.clear();
    const Action action{Action::Kind::take, place, 8, rot.disk - 1};
    if (is_kept()) next.actions.insert(next.actions.begin(), action);
  }
}

// A slave rots, a verify sees it, and the life after that the master has sectors that it cannot read: whoever takes them
// from that slave is wrong. No other draw is as sure to come to it.
void draw_rot_and_repair(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept) {
  Random random(seed * 59 + 37);
  if (!random.one_in(10) || plan.streams) return;
  plan.world.proven = true;
  while (plan.lives.size() < 3) {
    plan.lives.push_back(plan.lives.back());
    plan.ends.push_back(plan.ends.back());
  }
  LifePlan &verifies = plan.lives[1], &repairs = plan.lives[2];
  const unsigned slave = 2 + static_cast<unsigned>(random.below(plan.world.slaves));
  const std::uint32_t place = kRottenPlaces[random.below(std::size(kRottenPlaces))];
  for (LifePlan* life : {&plan.lives[0], &verifies, &repairs}) {
    life->spoilt.clear();
    std::erase_if(life->actions, [&](const Action& action) { return action.kind == Action::Kind::verify; });
  }
  const PlannedFault rot{Fault::rotten_sector, slave, place + static_cast<unsigned>(random.below(8))};
  plan.ends[0].media.clear();
  if (is_kept()) plan.ends[0].media.push_back(rot);
  plan.ends[1].media.clear();
  plan.ends[1].after_events = ~0ull;
  verifies.faults.clear();
  const Action verify{Action::Kind::verify, 0, 1, 0};
  if (is_kept()) verifies.actions.insert(verifies.actions.begin(), verify);
  for (std::uint64_t more = 1 + random.below(3); more > 0; --more) {
    const std::uint32_t sector = 8 * static_cast<std::uint32_t>(random.below(3));
    if (!is_kept()) continue;
    repairs.spoilt.push_back({1, sector + random.below(8), false});
    repairs.actions.insert(repairs.actions.begin(), {Action::Kind::read, sector, 8, 0});
  }
}

}  // namespace blockmirror::simulator
