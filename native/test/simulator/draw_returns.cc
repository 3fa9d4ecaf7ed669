// Slaves that go out and come back: by a fault, by their operator, or because an opening finds no device in their place.
#include <algorithm>

#include "plan_draws.h"

namespace blockmirror::simulator {
namespace {

Action draw_return(Random& random) {
  static constexpr std::uint32_t kSteps[] = {8, 8, 64, 256, 2048};
  Action action{Action::Kind::rejoin, 0, kSteps[random.below(std::size(kSteps))], 0};
  if (random.one_in(8)) action.kind = Action::Kind::rejoin_full;
  if (random.one_in(4)) action.kind = Action::Kind::resync;
  if (random.one_in(3)) action.sector = 1 + static_cast<std::uint32_t>(random.below(4));
  return action;
}

void draw_failures(Random& random, const World& world, LifePlan& life, unsigned slave, const IsKept& is_kept) {
  static constexpr Fault kFails[] = {Fault::write_error, Fault::write_error, Fault::flush_error, Fault::device_returns};
  const auto fail = [&](unsigned disk, unsigned first) {
    const Fault kind = kFails[random.below(std::size(kFails))];
    const unsigned ordinal = first + static_cast<unsigned>(random.below(kind == Fault::flush_error ? 3 : 6));
    if (is_kept()) life.faults.push_back({kind, disk, ordinal});
  };
  fail(slave, 0);
  if (random.one_in(3)) fail(slave, 6);  // again, in the middle of its resync or behind it
  if (world.slaves > 1 && random.one_in(3))
    fail(2 + (slave - 1) % world.slaves, static_cast<unsigned>(random.below(8)));
}

bool puts_back(Fault fault) {
  return fault == Fault::restored_image || fault == Fault::restored_image_generation ||
         fault == Fault::restored_log_generation || fault == Fault::restored_log || fault == Fault::restored_slave;
}

}  // namespace

// Slaves that fail and come back: in the same life or in a later one, in steps of any length, failing again in the middle,
// restored from an older copy before, with the log damaged or not.
void draw_returns(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept) {
  Random random(seed * 71 + 47);
  if (!random.one_in(4) || plan.streams) return;
  while (plan.lives.size() < 2 && !random.one_in(3)) {
    plan.lives.push_back(plan.lives.back());
    plan.ends.push_back(plan.ends.back());
  }
  const unsigned slave = 2 + static_cast<unsigned>(random.below(plan.world.slaves));
  for (std::size_t i = 0; i < plan.lives.size(); ++i) {
    LifePlan& life = plan.lives[i];
    SeedPlan::End& end = plan.ends[i];
    life.concurrency = std::max(life.concurrency, 2u);
    end.after_events = random.one_in(2) ? ~0ull : 60 + random.below(300);
    if (i == 0 || random.one_in(4)) draw_failures(random, plan.world, life, slave, is_kept);
    std::size_t at = random.below(life.actions.size() + 1);
    for (std::uint64_t more = random.below(i == 0 ? 3 : 4); more > 0; --more) {
      const Action action = draw_return(random);
      if (is_kept()) life.actions.insert(life.actions.begin() + static_cast<std::ptrdiff_t>(at++), action);
      at += random.below(life.actions.size() - std::min(at, life.actions.size()) + 1);
      at = std::min(at, life.actions.size());
    }
    if (random.one_in(4) && is_kept())
      end.media.push_back({Fault::restored_slave, slave, static_cast<unsigned>(random.below(4))});
    const PlannedFault damage{Fault::damaged_log_sector, 0, static_cast<unsigned>(random.next() % 4096)};
    if (random.one_in(6) && is_kept()) end.media.push_back(damage);
  }
}

// Every slave goes out, the master goes on alone, and they come back: in that life, or one of them in the next.
void draw_alone(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept) {
  Random random(seed * 79 + 61);
  if (!random.one_in(16) || plan.streams) return;
  plan.world.minimum_in_sync = 1;
  LifePlan& life = plan.lives.front();
  plan.ends.front().after_events = random.one_in(2) ? ~0ull : 60 + random.below(200);
  for (unsigned slave = 0; slave < plan.world.slaves; ++slave) {
    const PlannedFault fault{Fault::write_error, 2 + slave, static_cast<unsigned>(random.below(3))};
    if (is_kept()) life.faults.push_back(fault);
  }
  for (LifePlan& one : plan.lives) {
    const bool first = &one == &life;
    if (!first || random.one_in(2)) {
      const Action action = draw_return(random);
      if (is_kept()) one.actions.insert(first ? one.actions.end() : one.actions.begin(), action);
    }
  }
}

// Operators who take slaves out, several at one barrier or one, for a backup; and openings that find no device in the place
// of a slave. They come back in that life or a later one, by whatever else is drawn.
void draw_departures(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept) {
  Random random(seed * 89 + 71);
  if (!random.one_in(6) || plan.streams) return;
  while (plan.lives.size() < 3 && !random.one_in(3)) {
    plan.lives.push_back(plan.lives.back());
    plan.ends.push_back(plan.ends.back());
  }
  const auto some = [&] { return 1 + static_cast<std::uint32_t>(random.below((1u << plan.world.slaves) - 1)); };
  for (std::size_t i = 0; i < plan.lives.size(); ++i) {
    LifePlan& life = plan.lives[i];
    if (random.one_in(2)) plan.ends[i].after_events = random.one_in(2) ? ~0ull : 80 + random.below(200);
    std::size_t at = random.below(life.actions.size() + 1);
    const auto insert = [&](const Action& action) {
      if (is_kept()) life.actions.insert(life.actions.begin() + static_cast<std::ptrdiff_t>(at++), action);
      at += random.below(life.actions.size() - std::min(at, life.actions.size()) + 1);
      at = std::min(at, life.actions.size());
    };
    if (!random.one_in(3)) insert({Action::Kind::fracture, some(), 1, 0});
    if (random.one_in(2)) insert(draw_return(random));
    if (random.one_in(4)) insert({Action::Kind::fracture, some(), 1, 0});
    const std::uint32_t away = random.one_in(2) ? some() << 1 : 0;
    // A copy that was put back would be away with it.
    const bool judged = i > 0 && std::any_of(plan.ends[i - 1].media.begin(), plan.ends[i - 1].media.end(),
                                             [](const PlannedFault& fault) { return puts_back(fault.fault); });
    if (away != 0 && i > 0 && !judged && is_kept()) life.away = away;
  }
}

// Lives that recover beside their requests.
void draw_recoveries_beside(std::uint64_t seed, SeedPlan& plan) {
  Random random(seed * 83 + 67);
  for (LifePlan& life : plan.lives) life.beside = random.one_in(2);
}

}  // namespace blockmirror::simulator
