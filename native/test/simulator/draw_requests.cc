// What users ask for in ways that the engine has to take apart: parts of blocks, requests that are called off, requests that
// rely on what a device forgot.
#include <algorithm>

#include "plan_draws.h"

namespace blockmirror::simulator {

// Some writes of the first blocks name a part of them, and more of those at that: writers that meet in one block.
void draw_partial_writes(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept) {
  Random random(seed * 23 + 11);
  if (!random.one_in(3)) return;
  constexpr std::uint32_t kBlockSectors = 8;
  for (std::size_t i = 0; i < plan.lives.size(); ++i) {
    std::vector<Action>& actions = plan.lives[i].actions;
    const std::uint32_t block = kBlockSectors * static_cast<std::uint32_t>(random.below(3));
    for (std::uint64_t more = 2 + random.below(5), j = 0; j < more; ++j) {
      Action action{Action::Kind::partial_write, block, 1, 1000 * (i + 1) + 800 + j};
      action.sector += static_cast<std::uint32_t>(random.below(kBlockSectors));
      action.sectors += static_cast<std::uint32_t>(random.below(random.one_in(3) ? kBlockSectors : 2));
      const auto at = actions.begin() + static_cast<std::ptrdiff_t>(random.below(actions.size() + 1));
      if (is_kept()) actions.insert(at, action);
    }
  }
}

// Writes that are called off, most of them while they wait for the log or for the range.
void draw_aborts(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept) {
  Random random(seed * 47 + 29);
  if (!random.one_in(3)) return;
  for (LifePlan& life : plan.lives) {
    life.concurrency = std::max(life.concurrency, 3u);
    for (std::uint64_t more = 1 + random.below(3); more > 0; --more) {
      const auto at = life.actions.begin() + static_cast<std::ptrdiff_t>(random.below(life.actions.size() + 1));
      if (is_kept()) life.actions.insert(at, {Action::Kind::abort, 0, 1, 0});
    }
  }
}

// A device that fails a write and forgets its cache, while another that got the same write is slow: until that answers the
// engine does not hear the whole of it. Meanwhile the user asks for everything that relies on what was written before.
void draw_forgetful(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept) {
  Random random(seed * 53 + 31);
  if (!random.one_in(6)) return;
  LifePlan& life = plan.lives[random.below(plan.lives.size())];
  const unsigned disk = 1 + static_cast<unsigned>(random.below(plan.world.slaves + 1));
  life.slow_disk = disk == 1 ? 2 : 1;
  life.concurrency = std::max(life.concurrency, 4u);
  const Fault kind = random.one_in(4) ? Fault::write_error : Fault::device_returns;
  if (is_kept()) life.faults.push_back({kind, disk, static_cast<unsigned>(random.below(6))});
  static constexpr Action::Kind kRelies[] = {Action::Kind::flush, Action::Kind::retire, Action::Kind::read,
                                             Action::Kind::retire};
  for (std::uint64_t more = 2 + random.below(3); more > 0; --more) {
    Action action{kRelies[random.below(std::size(kRelies))], 8 * static_cast<std::uint32_t>(random.below(3)), 8, 0};
    const auto at = life.actions.begin() + static_cast<std::ptrdiff_t>(random.below(life.actions.size() + 1));
    if (is_kept()) life.actions.insert(at, action);
  }
  // Where a repair would look for what the master cannot read, while a slave has failed and nobody knows yet.
  if (disk > 1 && plan.world.proven && is_kept())
    life.spoilt.push_back({1, 8 * random.below(3) + random.below(8), false});
}

// Whoever asks for blocks asks for whole ones; only a write may name a part.
void align_requests(SeedPlan& plan) {
  const std::uint32_t block = plan.world.block_size / static_cast<std::uint32_t>(kSimulatedSector);
  for (LifePlan& life : plan.lives) {
    for (Action& action : life.actions) {
      if (action.kind != Action::Kind::discard && action.kind != Action::Kind::read) continue;
      const std::uint32_t end = (action.sector + action.sectors + block - 1) / block * block;
      action.sector -= action.sector % block;
      action.sectors = end - action.sector;
    }
  }
}

}  // namespace blockmirror::simulator
