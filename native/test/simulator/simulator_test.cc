// A share of the simulator for the sanitizers and for everyday work, and what it once found in the engine. The whole of it
// is `npm run certify`.
#include <doctest/doctest.h>

#include <algorithm>

#include "runs.h"

using namespace blockmirror;
using namespace blockmirror::simulator;

namespace {

// By configuration or seed, so that a failure can be replayed by `npm run certify -- --replay CASE`.
void check_seeds(std::uint64_t first, std::uint64_t last) {
  HashSet states;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    Verdict verdict;
    run_seed({seed, {}}, states, verdict);
    CAPTURE(seed);
    CAPTURE(verdict.failure.words);
    REQUIRE(verdict.failure.oracle == "");
  }
  CHECK(states.size() > last - first);
}

void check_seed(std::uint64_t seed) { check_seeds(seed, seed); }

}  // namespace

TEST_CASE("no crash of drawn runs loses, mixes up or invents a sector") { check_seeds(1, 40); }

// Longer ones: `npm run certify -- --walk OPERATIONS --seed S`.
TEST_CASE("a mirror that has lived hundreds of lives, with faults and crashes in each, is equal in the end") {
  for (const std::uint64_t seed : {2, 3, 5, 10}) {
    Verdict verdict;
    const WalkCounts counts = run_walk(seed, 2000, verdict);
    CAPTURE(seed);
    CAPTURE(verdict.failure.words);
    CHECK(verdict.failure.oracle == "");
    CHECK(counts.crashes > 10);
    CHECK(verdict.counts.resyncs > 10);
  }
}

TEST_CASE("two writes in turn survive every crash, and every crash of a recovery that is cut") {
  HashSet states;
  Verdict verdict;
  Configuration configuration = small_configurations().front();
  configuration.effort.cut_one_in = 1024;
  const SmallRun run = run_small(configuration, states, verdict, [] { return true; });
  CAPTURE(verdict.failure.words);
  CHECK_FALSE(verdict.failed);
  CHECK(run.every_order);
  CHECK(run.every_subset);
  CHECK(verdict.counts.recoveries > 1000);
}

// Found by the simulator, each with the mutation that brings it back and the seed that finds it again. Who changes what is
// drawn finds them anew: `certify_mutated --hunt NAME` says the seed.
TEST_CASE(
    "seed 9, labels_share_number: a fracture, a seal that is cut between two copies of a label, and the mirror "
    "opens") {
  check_seed(9);
}
TEST_CASE(
    "seed 2, label_numbers_forgotten: labels numbered beyond the superblock by a fracture and a seal never meet "
    "their number again") {
  check_seed(2);
}
TEST_CASE(
    "seed 70, log_not_flushed_at_opening: records in the log's cache at a kill, built upon by an opening, outlive a "
    "power loss") {
  check_seed(70);
}
TEST_CASE(
    "seeds 85 and 91141, repair_failure_forgiven: a repair whose write fails may have cost the master its cache") {
  check_seed(85);
  check_seed(91141);
}
TEST_CASE("seed 17, torn_copy_last: a copy of the superblock that may be torn is written before the whole one") {
  check_seed(17);
}
TEST_CASE(
    "seed 111006, failure_counts_late: a slave whose write failed serves nothing while the master has not answered") {
  check_seed(111006);
}

TEST_CASE(
    "seed 2990: a flush in between counts for nothing on a master that failed a write and lost its cache with it") {
  check_seed(2990);
}

TEST_CASE("a create that is cut off or meets a fault leaves no mirror, or one that opens, and may be run again") {
  HashSet states;
  Verdict verdict;
  for (std::uint64_t number = 0; number < 12; ++number) {
    CAPTURE(number);
    run_create(number, states, verdict);
    CAPTURE(verdict.failure.words);
    REQUIRE(verdict.failure.oracle == "");
  }
  CHECK(verdict.counts.creates > 100);
  CHECK(verdict.counts.create_crash_states > verdict.counts.creates);
  CHECK(verdict.counts.creates_again > 100);
}

TEST_CASE("drawn streams are covered ahead, and find themselves covered") {
  HashSet states;
  Verdict verdict;
  unsigned with_streams = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const SeedCase seed_case{seed, {}};
    if (!draw_plan(seed_case).streams) continue;
    CAPTURE(seed);
    run_seed(seed_case, states, verdict);
    CAPTURE(verdict.failure.words);
    REQUIRE(verdict.failure.oracle == "");
    ++with_streams;
  }
  CHECK(with_streams >= 8);
  CHECK(verdict.counts.lives_ahead >= with_streams / 2);
  CHECK(verdict.counts.regions_ahead > verdict.counts.lives_ahead);
  CHECK(verdict.counts.writes_ahead > 0);
}

TEST_CASE("drawn verifies report, and find slaves that rotted") {
  HashSet states;
  Verdict verdict;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const SeedCase seed_case{seed, {}};
    const SeedPlan plan = draw_plan(seed_case);
    const bool verifies = std::any_of(plan.lives.begin(), plan.lives.end(), [](const LifePlan& life) {
      return std::any_of(life.actions.begin(), life.actions.end(), [](const Action& action) {
        return action.kind == Action::Kind::verify || action.kind == Action::Kind::verify_repair;
      });
    });
    if (!verifies) continue;
    CAPTURE(seed);
    run_seed(seed_case, states, verdict);
    CAPTURE(verdict.failure.words);
    REQUIRE(verdict.failure.oracle == "");
  }
  CHECK(verdict.counts.verifies > 0);
  CHECK(verdict.counts.differences + verdict.counts.repairs_begun > 0);
  CHECK(verdict.counts.verifies_begun >= verdict.counts.verifies);
}

namespace {

struct Fires {
  bool fired = false;
  Timer timer;
  Fires() {
    timer.context = this;
    timer.fire = [](void* context) { static_cast<Fires*>(context)->fired = true; };
  }
};

}  // namespace

TEST_CASE("a timer competes with requests when it is due before a slow one could complete, a distant one does not") {
  Machine machine({VolatileDisk(kMiB)}, 1, nullptr);
  Fires soon, distant;
  CHECK_FALSE(machine.timer_competes());
  machine.arm(distant.timer, 250'000'000);
  CHECK_FALSE(machine.timer_competes());
  machine.arm(soon.timer, 1'000'000);
  CHECK(machine.timer_competes());
  REQUIRE(machine.fire_timer());
  CHECK(soon.fired);
  CHECK_FALSE(distant.fired);
  CHECK(machine.now_ns() == 1'000'000);
  CHECK_FALSE(machine.timer_competes());
  machine.disarm(distant.timer);
  CHECK_FALSE(machine.fire_timer());
}

TEST_CASE("a case is named by its text") {
  SeedCase found;
  REQUIRE(parse_case("12-3.40", found));
  CHECK(found.seed == 12);
  CHECK(found.without == std::vector<unsigned>{3, 40});
  CHECK(text_of(found) == "12-3.40");
  REQUIRE(parse_case("12-3.40@0=2.3=0", found));
  CHECK(found.without == std::vector<unsigned>{3, 40});
  CHECK(found.ordinals == std::vector<std::pair<unsigned, unsigned>>{{0, 2}, {3, 0}});
  CHECK(text_of(found) == "12-3.40@0=2.3=0");
  CHECK_FALSE(parse_case("small:1", found));
}

TEST_CASE("a disk with a volatile cache keeps what was flushed, and of the rest what lands") {
  VolatileDisk disk(4096);
  std::array<std::byte, kSimulatedSector> one, two;
  one.fill(std::byte{1});
  two.fill(std::byte{2});
  disk.write(0, SectorRef::of(one.data()), false);
  const std::uint64_t mark = disk.flush_mark();
  disk.write(1, SectorRef::of(two.data()), false);
  disk.write(2, SectorRef::of(two.data()), true);
  disk.flush(mark);
  CHECK(disk.unflushed().size() == 1);
  disk.lose_cache([](const VolatileDisk::Unflushed&) { return false; });
  CHECK(disk.content().get(0) == SectorRef::of(one.data()));
  CHECK(disk.content().get(1) == SectorRef());
  CHECK(disk.content().get(2) == SectorRef::of(two.data()));
  CHECK(disk.hash() == disk.durable().hash());
}
