// The small configurations that the explorer exhausts: few operations, few sectors, a ring that wraps.
#include <optional>

#include "runs.h"

namespace blockmirror::simulator {
namespace {

using Kind = Action::Kind;

// With two records in flight at once there are subsets of sixteen sectors and more.
constexpr std::uint64_t kTwentySectors = 1u << 20;
constexpr std::uint32_t kRingRecords = 8;

// What is done: a world, and what its user asks for.
struct Scenario {
  unsigned slaves;
  std::string words;
  std::vector<Action> actions;
  unsigned concurrency;
  std::uint64_t mirror_size = World{}.mirror_size;
  std::uint64_t recovery_budget = World{}.recovery_budget;
  bool proven = false;  // the slaves are in sync, not only assumed to be
  Shape shape = World{}.shape();
  std::optional<std::uint64_t> events = {};  // that stand in the history, which is kept then
};

// A stream through three regions, the last of them short so that its recovery is, and the least budget that covers one
// ahead: what the first two writes have asked for lets the third go without a log write, once it is durable.
Scenario stream_of(std::string words, std::vector<Action> actions, unsigned concurrency) {
  return {1, std::move(words), std::move(actions), concurrency, (2 * 1024 + 32) * 1024, 8 * 1024 * 1024};
}

enum class Cut : unsigned { none = 0, every = 1, one_in_64 = 64 };

// `records_before`: where in the ring it begins; from 8 - n on it wraps with the n-th record.
Configuration configuration_of(const Scenario& scenario, unsigned records_before, Cut cut) {
  Configuration configuration;
  configuration.world.slaves = scenario.slaves;
  configuration.world.mirror_size = scenario.mirror_size;
  configuration.world.recovery_budget = scenario.recovery_budget;
  configuration.world.ring_records = kRingRecords;
  configuration.world.proven = scenario.proven;
  configuration.world.block_size = scenario.shape.image_block;
  configuration.world.record_size = scenario.shape.log_block;
  configuration.world.history = scenario.events.has_value();
  configuration.world.events_before = scenario.events.value_or(0);
  configuration.name = (scenario.slaves == 1 ? "1 slave, " : std::to_string(scenario.slaves) + " slaves, ") +
                       scenario.words + ", ring at record " + std::to_string(kRingRecords + records_before);
  configuration.records_before = records_before;
  configuration.plan.actions = scenario.actions;
  configuration.plan.concurrency = scenario.concurrency;
  configuration.effort.states = kTwentySectors;
  configuration.effort.recovery_states = kTwentySectors;
  configuration.effort.depth = cut == Cut::none ? 1 : 2;
  configuration.effort.cut_one_in = cut == Cut::none ? 1 : static_cast<unsigned>(cut);
  return configuration;
}

Configuration each_cache(Configuration configuration) {
  configuration.effort.every_cache = true;
  configuration.name += ", besides each disk's cache lost alone";
  return configuration;
}

}  // namespace

std::string Configuration::recoveries_cut() const {
  if (effort.depth == 1) return "none";
  return effort.cut_one_in == 1 ? "every" : "one in " + std::to_string(effort.cut_one_in);
}

std::vector<Configuration> small_configurations() {
  const Action first{Kind::write, 0, 1, 1}, second{Kind::write, 8, 1, 2}, wide{Kind::write, 8, 2, 2};
  const Action over{Kind::write, 0, 2, 3}, dsync{Kind::durable_write, 8, 1, 4},
      over_dsync{Kind::durable_write, 0, 1, 5};
  const Action flush{Kind::flush}, retire{Kind::retire}, zeroes{Kind::discard, 0, 2, 0};
  const Scenario one{1, "1 write of 1 sector", {first}, 1};
  const Scenario two_in_turn{1, "2 writes of 1 sector in turn", {first, second}, 1};
  const Scenario two_at_once{1, "2 writes of 1 sector at once", {first, second}, 2};
  const Scenario wide_at_once{1, "writes of 1 and 2 sectors at once", {first, wide}, 2};
  const Scenario overlapping{1, "2 overlapping writes at once", {first, over}, 2};
  const Scenario with_dsync{1, "a write and one with dsync at once", {first, dsync}, 2};
  const Scenario with_flush{1, "a write and a datasync at once", {first, flush}, 2};
  const Scenario with_retire{1, "a write while everything is retired", {first, retire, over_dsync}, 2};
  const Scenario with_discard{1, "a write and a discard that overlap", {over_dsync, zeroes}, 2};
  const Scenario three_in_turn{1, "3 writes in turn, two of them overlapping", {first, second, over}, 1};
  const Scenario three_at_once{1, "3 writes at once, two of them overlapping", {first, second, over}, 3};
  const Scenario three_kinds{1, "a write, one with dsync and a datasync at once", {first, dsync, flush}, 3};
  const Action left{Kind::partial_write, 0, 2, 6}, right{Kind::partial_write, 5, 2, 7};
  const Scenario partial{1, "2 writes of parts of one block at once", {left, right}, 2};
  const Action region_end{Kind::write, 2047, 1, 1}, region_begin{Kind::write, 2048, 1, 2},
      next_begin{Kind::write, 4096, 1, 3};
  const Scenario stream_in_turn =
      stream_of("a stream that is covered ahead, 3 writes in turn", {region_end, region_begin, next_begin}, 1);
  const Scenario stream_at_once =
      stream_of("a stream that is covered ahead, 3 writes at once", {region_end, region_begin, next_begin}, 3);
  const Scenario stream_and_retire =
      stream_of("a stream that is covered ahead while everything is retired", {region_end, region_begin, retire}, 2);
  const Scenario stream_and_close =
      stream_of("a stream that is covered ahead, and a close at any time", {region_end, region_begin}, 1);
  const auto with_two_slaves = [](Scenario scenario) {
    scenario.slaves = 2;
    return scenario;
  };
  const auto proven = [](Scenario scenario, Shape shape) {
    scenario.proven = true;
    scenario.shape = shape;
    scenario.words += ", slaves in sync, blocks of " + std::to_string(shape.image_block) + ", records of " +
                      std::to_string(shape.log_block);
    return scenario;
  };
  const Shape small_blocks{512, 4096}, large_blocks{4096, 4096}, large_records{4096, 8192};
  // The last slots of the ring of events are written, and then the first.
  const auto with_history = [](Scenario scenario, std::uint64_t events) {
    scenario.events = events;
    scenario.words += ", with a history of " + std::to_string(events) + " events";
    return scenario;
  };
  std::vector<Configuration> all;
  const auto add = [&](const Scenario& scenario, unsigned records_before, Cut cut) {
    all.push_back(configuration_of(scenario, records_before, cut));
  };
  // Cheap ones first, of every kind; each takes seconds at most.
  add(two_in_turn, 6, Cut::one_in_64);
  add(proven(with_two_slaves(two_in_turn), large_blocks), 6, Cut::one_in_64);
  add(three_in_turn, 5, Cut::one_in_64);
  add(proven(with_two_slaves(three_in_turn), small_blocks), 5, Cut::none);
  add(stream_in_turn, 5, Cut::none);
  add(overlapping, 5, Cut::one_in_64);
  add(partial, 5, Cut::one_in_64);
  add(with_flush, 7, Cut::one_in_64);
  add(with_discard, 7, Cut::one_in_64);
  add(with_two_slaves(two_in_turn), 6, Cut::one_in_64);
  all.push_back(each_cache(configuration_of(two_in_turn, 6, Cut::none)));
  all.push_back(each_cache(configuration_of(with_two_slaves(two_in_turn), 6, Cut::none)));
  for (unsigned records = 0; records < kRingRecords; ++records) add(two_in_turn, records, Cut::none);
  // Every crash of every recovery.
  add(two_in_turn, 6, Cut::every);
  add(with_history(one, 0), 7, Cut::none);
  add(with_history(one, kStoredEvents - 4), 7, Cut::none);
  // Several records in flight at once, or several orders.
  add(two_at_once, 7, Cut::none);
  add(stream_and_close, 5, Cut::none);
  all.back().plan.hasty = true;
  add(with_retire, 3, Cut::none);
  add(with_dsync, 7, Cut::none);
  add(proven(with_dsync, large_blocks), 7, Cut::none);
  add(wide_at_once, 7, Cut::none);
  add(three_kinds, 5, Cut::none);
  add(with_two_slaves(three_in_turn), 5, Cut::one_in_64);
  add(with_two_slaves(two_at_once), 6, Cut::none);
  add(with_two_slaves(one), 6, Cut::every);
  add(one, 7, Cut::every);
  add(with_two_slaves(stream_in_turn), 5, Cut::one_in_64);
  add(three_at_once, 5, Cut::none);
  add(stream_and_retire, 5, Cut::none);
  add(stream_at_once, 5, Cut::none);
  add(with_two_slaves(three_at_once), 5, Cut::none);
  add(proven(partial, large_blocks), 5, Cut::none);
  // Sixteen sectors of one record that may be torn.
  add(proven(one, large_records), 7, Cut::none);
  add(overlapping, 5, Cut::every);
  add(two_at_once, 7, Cut::one_in_64);
  for (unsigned records = 0; records < kRingRecords; ++records) add(two_at_once, records, Cut::none);
  add(with_two_slaves(two_in_turn), 6, Cut::every);
  add(three_in_turn, 5, Cut::every);
  add(two_at_once, 7, Cut::every);
  return all;
}

SmallRun run_small(const Configuration& configuration, HashSet& states, Verdict& verdict, const Explorer::GoOn& go_on) {
  const Start start = start_of(configuration.world, configuration.records_before);
  Expectation expectation;
  expectation.history = start.history;
  HashSet explored;
  EveryOrder order;
  SmallRun run;
  Explorer explorer(configuration.world, start.created.geometry, configuration.effort, states, explored, verdict,
                    go_on);
  do {
    ++run.orders;
    Life life(configuration.world, start.created.geometry, start.created.disks, start.model, configuration.plan,
              expectation, 1, order, verdict);
    while (!verdict.failed && !explorer.cut_off() && life.step()) explorer.crash(life);
    if (verdict.failed || explorer.cut_off() || !go_on()) return run;
  } while (order.advance());
  run.every_order = true;
  run.every_subset = !explorer.sampled();
  return run;
}

Start start_of(const World& world, unsigned records_before) {
  Start start{create(world), Model(SparseDisk(512), 0)};
  if (world.events_before > 0) start.history = fill_history(start.created.disks, world.events_before);
  Verdict verdict;
  OldestFirst oldest_first;
  LifePlan plan;
  for (unsigned i = 0; i < records_before; ++i) plan.actions.push_back({Action::Kind::write, i * 8, 1, 100 + i});
  plan.concurrency = 1;
  const std::uint64_t sectors = world.mirror_size / kSimulatedSector;
  const Model model(start.created.disks[1].durable(), sectors);
  if (records_before > 0) {
    Expectation expectation;
    expectation.history = start.history;
    Life life(world, start.created.geometry, start.created.disks, model, plan, expectation, 0, oldest_first, verdict);
    while (life.step()) {
    }
    start.created.disks = life.machine().disks();
    start.history = life.history();
  }
  start.model = Model(start.created.disks[1].content(), sectors);
  return start;
}

}  // namespace blockmirror::simulator
