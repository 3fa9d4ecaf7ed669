// What is tried: small configurations in full, then larger ones drawn from seeds. A run is named by a case, a text that
// is all that is needed to do it again.
//
//   small:N            the N-th small configuration
//   SEED               drawn from a seed
//   SEED-1.4.5         the same without the items 1, 4 and 5 of its plan (what shrinking leaves)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "explorer.h"

namespace blockmirror::simulator {

struct Configuration {
  std::string name;
  World world;
  unsigned records_before = 0;  // records that the ring went through already: where in it the run starts
  LifePlan plan;
  Effort effort;
};
// Growing; the first ones are the share of a quick run.
std::vector<Configuration> small_configurations();

struct SmallRun {
  std::uint64_t orders = 0;
  bool every_order = false;   // and not cut off by `orders_limit` or by time
  bool every_subset = false;  // of every crash of the lives, and of the recoveries
};
// `go_on` is asked before every event; once it says no the run ends, unfinished.
template <typename GoOn>
SmallRun run_small(const Configuration& configuration, HashSet& states, Verdict& verdict, GoOn go_on);

// Items of the plan that a seed draws, in order: what may be taken out when a failure is shrunk.
struct SeedPlan {
  World world;
  std::vector<LifePlan> lives;
  struct End {
    std::uint64_t after_events = 0;
    LostCaches lost = 0;
    std::vector<PlannedFault> media;  // what happens to the disks before the next opening
  };
  std::vector<End> ends;  // by life
};
struct SeedCase {
  std::uint64_t seed = 0;
  std::vector<unsigned> without;
};
SeedPlan draw_plan(const SeedCase& seed_case, unsigned* items = nullptr);
void run_seed(const SeedCase& seed_case, HashSet& states, Verdict& verdict);
std::vector<std::string> words_of(const SeedPlan& plan);

std::string text_of(const SeedCase& seed_case);
bool parse_case(const std::string& text, SeedCase& into);

// The state from which a configuration starts: created, written and closed cleanly.
struct Start {
  Created created;
  Model model;
};
Start start_of(const World& world, unsigned records_before);

template <typename GoOn>
SmallRun run_small(const Configuration& configuration, HashSet& states, Verdict& verdict, GoOn go_on) {
  const Start start = start_of(configuration.world, configuration.records_before);
  HashSet explored;
  EveryOrder order;
  SmallRun run;
  Explorer explorer(configuration.world, start.created.geometry, configuration.effort, states, explored, verdict);
  do {
    ++run.orders;
    Life life(configuration.world, start.created.geometry, start.created.disks, start.model, configuration.plan, {}, 1,
              order, verdict);
    bool on_time = true;
    while (!verdict.failed && (on_time = go_on()) && life.step()) explorer.crash(life);
    if (verdict.failed || !on_time) return run;
    if (!order.advance()) {
      run.every_order = true;
      break;
    }
  } while (go_on());
  run.every_subset = !explorer.sampled();
  return run;
}

}  // namespace blockmirror::simulator
