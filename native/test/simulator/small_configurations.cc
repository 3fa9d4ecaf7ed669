// The small configurations that the explorer exhausts: few operations, few sectors, a ring that wraps.
#include "runs.h"

namespace blockmirror::simulator {
namespace {

using Kind = Action::Kind;

constexpr std::uint64_t kTwelveSectors = 1u << 12;
constexpr std::uint64_t kTwentySectors = 1u << 20;

Configuration one_slave(std::string name, std::vector<Action> actions, unsigned concurrency) {
  Configuration configuration;
  configuration.name = std::move(name);
  configuration.plan.actions = std::move(actions);
  configuration.plan.concurrency = concurrency;
  // With two records in flight at once there are subsets of sixteen sectors and more; see in_full below.
  configuration.effort.states = kTwelveSectors;
  configuration.effort.recovery_states = kTwelveSectors;
  return configuration;
}

Configuration at(Configuration configuration, unsigned records_before) {
  configuration.name += ", ring at record " + std::to_string(8 + records_before);
  configuration.records_before = records_before;
  return configuration;
}

Configuration cutting_one_recovery_in(unsigned count, Configuration configuration) {
  if (count == 0) {
    configuration.effort.depth = 1;
  } else {
    configuration.effort.cut_one_in = count;
    configuration.name += count == 1 ? ", every recovery cut" : ", one recovery in " + std::to_string(count) + " cut";
  }
  return configuration;
}

Configuration in_full(Configuration configuration) {
  configuration.effort.states = kTwentySectors;
  return configuration;
}

}  // namespace

std::vector<Configuration> small_configurations() {
  const Action first{Kind::write, 0, 1, 1}, second{Kind::write, 8, 1, 2}, wide{Kind::write, 8, 2, 2};
  const Action over{Kind::write, 0, 2, 3}, dsync{Kind::durable_write, 8, 1, 4},
      over_dsync{Kind::durable_write, 0, 1, 5};
  const Action flush{Kind::flush}, retire{Kind::retire}, zeroes{Kind::discard, 0, 2, 0};
  const auto one = one_slave("1 slave, 1 write of 1 sector", {first}, 1);
  const auto two_in_turn = one_slave("1 slave, 2 writes of 1 sector in turn", {first, second}, 1);
  const auto two_at_once = one_slave("1 slave, 2 writes of 1 sector at once", {first, second}, 2);
  const auto wide_at_once = one_slave("1 slave, writes of 1 and 2 sectors at once", {first, wide}, 2);
  const auto overlapping = one_slave("1 slave, 2 overlapping writes at once", {first, over}, 2);
  const auto with_dsync = one_slave("1 slave, a write and one with dsync at once", {first, dsync}, 2);
  const auto with_flush = one_slave("1 slave, a write and a datasync at once", {first, flush}, 2);
  const auto with_retire = one_slave("1 slave, a write while everything is retired", {first, retire, over_dsync}, 2);
  const auto with_discard = one_slave("1 slave, a write and a discard that overlap", {over_dsync, zeroes}, 2);
  std::vector<Configuration> all;
  all.push_back(cutting_one_recovery_in(64, at(two_in_turn, 6)));
  all.push_back(cutting_one_recovery_in(0, at(two_at_once, 7)));
  all.push_back(cutting_one_recovery_in(0, at(with_retire, 3)));
  all.push_back(cutting_one_recovery_in(1, at(one, 7)));
  all.push_back(cutting_one_recovery_in(1, at(two_in_turn, 6)));
  all.push_back(cutting_one_recovery_in(64, at(overlapping, 5)));
  for (unsigned records = 0; records < 8; ++records)
    all.push_back(cutting_one_recovery_in(0, at(two_in_turn, records)));
  for (const Configuration& configuration : {wide_at_once, with_dsync, with_flush, with_discard})
    all.push_back(cutting_one_recovery_in(128, at(configuration, 7)));
  Configuration two_slaves = one_slave("2 slaves, 2 writes of 1 sector in turn", {first, second}, 1);
  two_slaves.world.slaves = 2;
  all.push_back(cutting_one_recovery_in(0, at(two_slaves, 6)));
  Configuration three =
      one_slave("1 slave, 3 writes of 1 sector in turn, two of them overlapping", {first, second, over}, 1);
  all.push_back(cutting_one_recovery_in(128, at(three, 5)));
  all.push_back(cutting_one_recovery_in(0, in_full(at(two_at_once, 7))));
  for (unsigned records = 0; records < 8; ++records)
    all.push_back(cutting_one_recovery_in(0, at(two_at_once, records)));
  return all;
}

Start start_of(const World& world, unsigned records_before) {
  Start start{create(world), Model(SparseDisk(512), 0)};
  Verdict verdict;
  OldestFirst oldest_first;
  LifePlan plan;
  for (unsigned i = 0; i < records_before; ++i) plan.actions.push_back({Action::Kind::write, i * 8, 1, 100 + i});
  plan.concurrency = 1;
  const std::uint64_t sectors = world.mirror_size / kSimulatedSector;
  const Model model(start.created.disks[1].durable(), sectors);
  if (records_before > 0) {
    Life life(world, start.created.geometry, start.created.disks, model, plan, {}, 0, oldest_first, verdict);
    while (life.step()) {
    }
    start.created.disks = life.machine().disks();
  }
  start.model = Model(start.created.disks[1].content(), sectors);
  return start;
}

}  // namespace blockmirror::simulator
