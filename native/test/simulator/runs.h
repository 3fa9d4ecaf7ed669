// What is tried: small configurations in full, then larger ones drawn from seeds. A run is named by a case, a text that
// is all that is needed to do it again.
//
//   small:N            the N-th small configuration
//   create:N           creates, drawn from a number
//   SEED               drawn from a seed
//   SEED-1.4.5         the same without the items 1, 4 and 5 of its plan (what shrinking leaves)
//   SEED-1.4.5@0=2     and with the first fault of what is left striking the second request after the first of its kind
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "explorer.h"

namespace blockmirror::simulator {

struct Configuration {
  std::string name;
  World world;
  unsigned records_before = 0;  // records that the ring went through already: where in it the run starts
  LifePlan plan;
  Effort effort;
  std::string recoveries_cut() const;  // in words
};
// Growing; the first ones are the share of a quick run.
std::vector<Configuration> small_configurations();

struct SmallRun {
  std::uint64_t orders = 0;
  bool every_order = false;   // of requests completing; false when it was cut off
  bool every_subset = false;  // of every crash of the lives, and of the recoveries that were cut
};
// `go_on` is asked before every state; once it says no the run ends, unfinished.
SmallRun run_small(const Configuration& configuration, HashSet& states, Verdict& verdict, const Explorer::GoOn& go_on);

void run_create(std::uint64_t number, HashSet& states, Verdict& verdict);

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
  bool streams = false;   // several regions, and sequential streams through them
};
struct SeedCase {
  std::uint64_t seed = 0;
  std::vector<unsigned> without;
  // Faults of devices, by their place among those that are left, and the ordinals that they have instead.
  std::vector<std::pair<unsigned, unsigned>> ordinals{};
};
SeedPlan draw_plan(const SeedCase& seed_case, unsigned* items = nullptr);
void run_seed(const SeedCase& seed_case, HashSet& states, Verdict& verdict);
std::vector<std::string> words_of(const SeedPlan& plan);
std::string words_of(const PlannedFault& fault);
// What the opening after that life, and a crash that cost those caches, is held to.
Expectation expectation_after(const World& world, const Life& life, LostCaches lost);

// One mirror through as many lives as it takes to do so much (walk.cc). A function of the seed.
struct WalkCounts {
  std::uint64_t operations = 0;
  std::uint64_t lives = 0;
  std::uint64_t closes = 0;
  std::uint64_t crashes = 0;
  std::uint64_t refusals = 0;  // with a reason that the oracle knows
};
WalkCounts run_walk(std::uint64_t seed, std::uint64_t operations, Verdict& verdict);

std::string text_of(const SeedCase& seed_case);
bool parse_case(const std::string& text, SeedCase& into);

// The state from which a configuration starts: created, written and closed cleanly.
struct Start {
  Created created;
  Model model;
  WrittenHistory history = {};
};
Start start_of(const World& world, unsigned records_before);

}  // namespace blockmirror::simulator
