// A sequential stream beside the rest, in some of the seeds: a mirror of several regions and a budget that lets the log
// cover ahead.
#include <algorithm>

#include "plan_draws.h"

namespace blockmirror::simulator {
namespace {

// Through the end of `first` into each of the `count` regions after it.
struct Course {
  std::uint32_t first = 0;
  std::uint32_t count = 1;
};

// In small writes around the end of each region.
std::vector<Action> draw_small_writes(Random& random, const World& world, Course course, std::uint64_t content) {
  static constexpr Action::Kind kKinds[] = {Action::Kind::write, Action::Kind::write,         Action::Kind::write,
                                            Action::Kind::write, Action::Kind::durable_write, Action::Kind::discard};
  const std::uint32_t sectors = static_cast<std::uint32_t>(world.mirror_size / kSimulatedSector);
  std::vector<Action> stream;
  const auto length = [&] { return 1 + static_cast<std::uint32_t>(random.below(random.one_in(4) ? 24 : 3)); };
  const auto add = [&](std::uint32_t sector, std::uint32_t count) {
    stream.push_back({kKinds[random.below(std::size(kKinds))], sector, std::min(count, sectors - sector), content++});
  };
  for (std::uint32_t entered = course.first + 1; entered <= course.first + course.count; ++entered) {
    const std::uint32_t last = length();
    add(entered * kRegionSectors - last, last);
    add(entered * kRegionSectors, length());
  }
  return stream;
}

// Region by region, as who discards a whole device does.
std::vector<Action> whole_regions(const World& world, Course course) {
  const std::uint32_t sectors = static_cast<std::uint32_t>(world.mirror_size / kSimulatedSector);
  std::vector<Action> stream;
  for (std::uint32_t region = course.first; region <= course.first + course.count; ++region) {
    const std::uint32_t sector = region * kRegionSectors;
    stream.push_back({Action::Kind::discard, sector, std::min(kRegionSectors, sectors - sector), 0});
  }
  return stream;
}

// How the life of a stream goes, and the stream itself.
std::vector<Action> draw_stream_life(Streams& streams, const World& world, std::uint64_t content, LifePlan& life,
                                     std::uint64_t& after_events) {
  Random& random = streams.random;
  const std::uint32_t ends = static_cast<std::uint32_t>((world.mirror_size - 1) / kSimulatedSector / kRegionSectors);
  Course course;
  life.eager = random.one_in(2);
  life.hasty = random.one_in(2);
  life.concurrency = 1 + static_cast<unsigned>(random.below(4));
  if (random.one_in(2)) life.slow_disk = static_cast<unsigned>(random.below(world.slaves + 2));
  if (random.one_in(2)) after_events = ~0ull;
  if (streams.tight) {
    course = {0, 1 + static_cast<std::uint32_t>(random.below(6))};
    std::vector<Action> stream = whole_regions(world, {9, 4 + static_cast<std::uint32_t>(random.below(3))});
    const std::vector<Action> writes = draw_small_writes(random, world, course, content);
    stream.insert(stream.end(), writes.begin(), writes.end());
    life.eager = true;
    life.concurrency = 8;
    return stream;
  }
  if (random.one_in(3)) {  // closes while the log is busy with what it covers ahead
    course.first = static_cast<std::uint32_t>(random.below(ends - 1));
    life.hasty = true;
    life.slow_disk = 0;
    after_events = ~0ull;
    return draw_small_writes(random, world, course, content);
  }
  course.first = static_cast<std::uint32_t>(random.below(ends));
  course.count = 1 + static_cast<std::uint32_t>(random.below(ends - course.first));
  std::vector<Action> stream =
      random.one_in(5) ? whole_regions(world, course) : draw_small_writes(random, world, course, content);
  if (after_events != ~0ull) after_events += stream.size() * random.below(8);
  return stream;
}

}  // namespace

Streams::Streams(std::uint64_t seed) : random(seed * 17 + 5), any(random.one_in(5)) { tight = any && random.one_in(4); }

void widen_world(Streams& streams, World& world) {
  static constexpr std::uint64_t kMirrorKiB[] = {3 * 1024, 5 * 1024 + 64, 10 * 1024, 16 * 1024};
  static constexpr std::uint64_t kBudgetMiB[] = {8, 8, 16, 64};
  world.mirror_size = kMirrorKiB[streams.tight ? 3 : streams.random.below(std::size(kMirrorKiB))] * 1024;
  world.recovery_budget = kBudgetMiB[streams.tight ? 0 : streams.random.below(std::size(kBudgetMiB))] * 1024 * 1024;
}

// The stream keeps its order; what else the life does comes before it and between.
void draw_streams(Streams& streams, SeedPlan& plan, const IsKept& is_kept) {
  if (!streams.any) return;
  plan.streams = true;
  for (std::size_t i = 0; i < plan.lives.size(); ++i) {
    LifePlan& life = plan.lives[i];
    const std::vector<Action> stream =
        draw_stream_life(streams, plan.world, 1000 * (i + 1) + 500, life, plan.ends[i].after_events);
    std::vector<Action> all;
    std::size_t taken = 0;
    const auto take = [&] { all.push_back(life.actions[taken++]); };
    for (std::size_t before = streams.random.below(life.actions.size() + 1); taken < before;) take();
    for (const Action& action : stream) {
      while (taken < life.actions.size() && streams.random.one_in(4)) take();
      if (is_kept()) all.push_back(action);
    }
    life.actions = std::move(all);
  }
}

}  // namespace blockmirror::simulator
