// Sectors that cannot be read, or that lie about what was written to them: what the master asks its slaves for.
#include <algorithm>

#include "plan_draws.h"

namespace blockmirror::simulator {

// Sectors that cannot be read, and reads that meet them.
void draw_unreadable(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept) {
  Random random(seed * 23 + 11);
  if (!random.one_in(5)) return;
  plan.world.proven = !random.one_in(4);
  const std::uint64_t sectors = plan.world.mirror_size / kSimulatedSector;
  const std::uint64_t places[] = {0, 3, 8, 64, 100, sectors / 2, sectors - 16};
  for (LifePlan& life : plan.lives) {
    const std::uint64_t spoilt = 1 + random.below(4);
    for (std::uint64_t i = 0; i < spoilt; ++i) {
      const std::uint64_t sector = places[random.below(std::size(places))] + random.below(8);
      const bool for_good = random.one_in(6);
      const bool both = random.one_in(8);
      const unsigned disk = random.one_in(6) ? 2 + static_cast<unsigned>(random.below(plan.world.slaves)) : 1;
      Action read;
      read.kind = Action::Kind::read;
      read.sectors = 1 + static_cast<std::uint32_t>(random.below(12));
      read.sector = static_cast<std::uint32_t>(std::min(sector, sectors - read.sectors));
      const std::uint32_t region_end = (read.sector / kRegionSectors + 1) * kRegionSectors;
      read.sectors = std::min(read.sectors, region_end - read.sector);
      const auto at = life.actions.begin() + static_cast<std::ptrdiff_t>(random.below(life.actions.size() + 1));
      if (!is_kept()) continue;
      life.spoilt.push_back({disk, sector, for_good});
      if (both) life.spoilt.push_back({disk == 1 ? 2u : 1u, sector, false});
      life.actions.insert(at, read);
    }
  }
}

// Sectors of the master that lie about a repair, in places that are written, so that a recovery meets them too.
void draw_lies(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept) {
  Random random(seed * 61 + 41);
  if (!random.one_in(10)) return;
  plan.world.proven = true;
  static constexpr std::uint32_t kPlaces[] = {0, 8, 64, 96};
  for (LifePlan& life : plan.lives) {
    const std::uint32_t sector = kPlaces[random.below(std::size(kPlaces))];
    const std::uint64_t spoilt = sector + random.below(8);
    const Action read{Action::Kind::read, sector, 8, 0};
    const auto at = life.actions.begin() + static_cast<std::ptrdiff_t>(random.below(life.actions.size() + 1));
    if (!is_kept()) continue;
    std::erase_if(life.spoilt, [&](const SpoiltSector& other) { return other.sector == spoilt; });
    life.spoilt.push_back({1, spoilt, false, true});
    if (random.one_in(2)) life.actions.insert(at, read);
  }
}

// A repair that the master answers with an error, in the life of other writes: what it had not flushed may be gone, and
// the user asks for what relies on it.
void draw_failed_repairs(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept) {
  Random random(seed * 67 + 43);
  if (!random.one_in(10) || plan.streams) return;
  plan.world.proven = true;
  static constexpr std::uint32_t kPlaces[] = {0, 8, 64, 96};
  const std::size_t number = random.below(plan.lives.size());
  LifePlan& life = plan.lives[number];
  const std::uint32_t sector = kPlaces[random.below(std::size(kPlaces))];
  const std::uint64_t spoilt = sector + random.below(8);
  if (random.one_in(2)) plan.ends[number].after_events = ~0ull;
  const auto at = life.actions.begin() + static_cast<std::ptrdiff_t>(random.below(life.actions.size() + 1));
  if (!is_kept()) return;
  life.spoilt.push_back({1, spoilt, false});
  life.faults.push_back({Fault::repair_error, 1, 0});
  life.actions.insert(at, {Action::Kind::read, sector, 8, 0});
  for (Action::Kind kind : {Action::Kind::flush, Action::Kind::retire}) life.actions.push_back({kind, 0, 1, 0});
}

}  // namespace blockmirror::simulator
