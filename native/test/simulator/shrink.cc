#include "shrink.h"

#include <algorithm>

namespace blockmirror::simulator {
namespace {

constexpr unsigned kReplaySeconds = 600;
constexpr unsigned kShrinkSeconds = 20;  // for one attempt

}  // namespace

void run_case(const std::string& test_case, HashSet& states, Verdict& verdict) {
  SeedCase seed_case;
  if (parse_case(test_case, seed_case)) return run_seed(seed_case, states, verdict);
  const std::string created = "create:";
  if (test_case.starts_with(created))
    return run_create(std::strtoull(test_case.c_str() + created.size(), nullptr, 10), states, verdict);
  const std::vector<Configuration> configurations = small_configurations();
  const std::string prefix = "small:";
  if (!test_case.starts_with(prefix)) return verdict.fail("usage", "no such case: " + test_case);
  const std::size_t index = std::strtoul(test_case.c_str() + prefix.size(), nullptr, 10);
  if (index >= configurations.size()) return verdict.fail("usage", "no such case: " + test_case);
  run_small(configurations[index], states, verdict, [] { return true; });
}

IsolatedRun replay(const std::string& test_case) {
  return run_isolated(
      [&](Progress& progress) {
        static Verdict verdict;
        HashSet states;
        verdict.tracing = true;
        progress.begin(test_case, verdict);
        run_case(test_case, states, verdict);
      },
      kReplaySeconds);
}

namespace {

bool still_fails(const SeedCase& candidate, const std::string& oracle) {
  const IsolatedRun run = run_isolated(
      [&](Progress& progress) {
        static Verdict verdict;
        HashSet states;
        progress.begin(text_of(candidate), verdict);
        run_seed(candidate, states, verdict);
      },
      kShrinkSeconds);
  return run.failed && run.failure.oracle == oracle;
}

// Faults that strike earlier leave less of a history before them.
void lower_ordinals(SeedCase& shortest, const std::string& oracle) {
  std::vector<unsigned> ordinals;
  for (const LifePlan& life : draw_plan(shortest).lives) {
    for (const PlannedFault& fault : life.faults) ordinals.push_back(fault.ordinal);
  }
  for (unsigned fault = 0; fault < ordinals.size(); ++fault) {
    for (unsigned ordinal = 0; ordinal < ordinals[fault]; ++ordinal) {
      SeedCase candidate = shortest;
      candidate.ordinals.push_back({fault, ordinal});
      if (!still_fails(candidate, oracle)) continue;
      shortest = candidate;
      break;
    }
  }
}

}  // namespace

SeedCase shrink(const SeedCase& seed_case, const std::string& oracle) {
  unsigned items = 0;
  draw_plan(seed_case, &items);
  SeedCase shortest = seed_case;
  // Backwards: what comes last depends on nothing after it. Two rounds, since one item may keep another in.
  for (int round = 0; round < 2; ++round) {
    for (unsigned item = items; item-- > 0;) {
      if (std::find(shortest.without.begin(), shortest.without.end(), item) != shortest.without.end()) continue;
      SeedCase candidate = shortest;
      candidate.without.push_back(item);
      if (still_fails(candidate, oracle)) shortest = candidate;
    }
  }
  std::sort(shortest.without.begin(), shortest.without.end());
  lower_ordinals(shortest, oracle);
  return shortest;
}

}  // namespace blockmirror::simulator
