// Runs drawn from a seed: a world, up to three lives, what the user does in each, what breaks, where the crash comes,
// what happens to the disks before the next opening.
#include <algorithm>
#include <map>

#include "media.h"
#include "runs.h"

namespace blockmirror::simulator {
namespace {

constexpr std::uint32_t kRegionSectors = 2048;  // requests are split at regions by whoever calls the core

World draw_world(Random& random) {
  World world;
  world.slaves = 1 + static_cast<unsigned>(random.below(3));
  world.ring_records = random.one_in(3) ? 16 : 8;
  world.mirror_size = random.one_in(3) ? 1024 * 1024 + 64 * 1024 : 256 * 1024;
  world.recovery_budget = random.one_in(3) ? 64 * 1024 * 1024 : 1024 * 1024;
  return world;
}

Action draw_action(Random& random, const World& world, std::uint64_t content) {
  static constexpr Action::Kind kKinds[] = {
      Action::Kind::write,         Action::Kind::write,         Action::Kind::write, Action::Kind::write,
      Action::Kind::durable_write, Action::Kind::durable_write, Action::Kind::flush, Action::Kind::discard,
      Action::Kind::read,          Action::Kind::retire,        Action::Kind::quiet};
  Action action;
  action.kind = kKinds[random.below(std::size(kKinds))];
  action.content = content;
  // Few places, so that writes meet; the last ones of the mirror among them.
  const std::uint32_t sectors = static_cast<std::uint32_t>(world.mirror_size / kSimulatedSector);
  const std::uint32_t places[] = {0, 3, 8, 64, 100, sectors / 2, sectors - 16, sectors - 9};
  action.sector = places[random.below(std::size(places))] + static_cast<std::uint32_t>(random.below(8));
  action.sectors = 1 + static_cast<std::uint32_t>(random.below(random.one_in(4) ? 9 : 2));
  const std::uint32_t region_end = (action.sector / kRegionSectors + 1) * kRegionSectors;
  action.sectors = std::min({action.sectors, sectors - action.sector, region_end - action.sector});
  return action;
}

PlannedFault draw_fault(Random& random, const World& world) {
  static constexpr Fault kFaultsOfDevices[] = {Fault::write_error,    Fault::write_error, Fault::flush_error,
                                               Fault::short_transfer, Fault::try_again,   Fault::stops_answering,
                                               Fault::device_reset,   Fault::shared_disk, Fault::read_error};
  PlannedFault fault;
  fault.fault = kFaultsOfDevices[random.below(std::size(kFaultsOfDevices))];
  fault.disk = static_cast<unsigned>(random.below(world.slaves + 2));
  if (!random.one_in(3)) fault.disk = 2 + static_cast<unsigned>(random.below(world.slaves));
  if (fault.fault == Fault::write_error && random.one_in(3)) fault.disk = 0;
  if (fault.fault == Fault::shared_disk && world.slaves < 2) fault.fault = Fault::device_reset;
  fault.ordinal = static_cast<unsigned>(random.below(fault.fault == Fault::flush_error ? 2 : 6));
  return fault;
}

PlannedFault draw_media_fault(Random& random, const World& world) {
  static constexpr Fault kFaultsOfMedia[] = {
      Fault::stale_log_record,      Fault::stale_log_record, Fault::damaged_log_sector,
      Fault::unreadable_log_sector, Fault::stale_log_record, Fault::damaged_superblock_copy,
      Fault::damaged_label_copy,    Fault::restored_image,   Fault::restored_log};
  PlannedFault fault;
  fault.fault = kFaultsOfMedia[random.below(std::size(kFaultsOfMedia))];
  fault.disk = 1 + static_cast<unsigned>(random.below(world.slaves + 1));
  fault.ordinal = static_cast<unsigned>(random.next() % 4096);
  return fault;
}

// What was added later is drawn apart, by a generator of its own, so that other seeds keep their meaning.
struct Additions {
  bool returning_device = false;
  bool older_generation = false;  // three slaves of which two fail, then a copy of before
  bool of_log = false;
  explicit Additions(Random& random)
      : returning_device(random.one_in(8)), older_generation(random.one_in(12)), of_log(random.one_in(3)) {}
};

// Sectors that cannot be read, and reads that meet them; faults while a mirror is opened. With generators of their own.
struct Unreadable {
  Random random;
  bool any;
  explicit Unreadable(std::uint64_t seed) : random(seed * 23 + 11), any(random.one_in(5)) {}
};

template <typename IsKept>
void draw_unreadable(Unreadable& unreadable, SeedPlan& plan, IsKept is_kept) {
  if (!unreadable.any) return;
  Random& random = unreadable.random;
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

template <typename IsKept>
void draw_early_faults(std::uint64_t seed, SeedPlan& plan, IsKept is_kept) {
  Random random(seed * 29 + 13);
  if (!random.one_in(6)) return;
  static constexpr Fault kFaults[] = {Fault::write_error, Fault::write_error, Fault::write_error, Fault::flush_error};
  for (LifePlan& life : plan.lives) {
    PlannedFault fault;
    fault.fault = kFaults[random.below(std::size(kFaults))];
    fault.early = true;
    fault.disk = random.one_in(4) ? static_cast<unsigned>(random.below(2))
                                  : 2 + static_cast<unsigned>(random.below(plan.world.slaves));
    fault.ordinal = static_cast<unsigned>(random.below(fault.fault == Fault::flush_error ? 2 : 6));
    if (is_kept()) life.faults.push_back(fault);
  }
}

// A sequential stream beside the rest, in some of the seeds: a mirror of several regions and a budget that lets the log
// cover ahead. It too has a generator of its own, and its items come last.
struct Streams {
  Random random;
  bool any;
  bool tight = false;  // the budget is nearly used up by others
  explicit Streams(std::uint64_t seed) : random(seed * 17 + 5), any(random.one_in(5)) {
    tight = any && random.one_in(4);
  }
};

void widen_world(Streams& streams, World& world) {
  static constexpr std::uint64_t kMirrorKiB[] = {3 * 1024, 5 * 1024 + 64, 10 * 1024, 16 * 1024};
  static constexpr std::uint64_t kBudgetMiB[] = {8, 8, 16, 64};
  world.mirror_size = kMirrorKiB[streams.tight ? 3 : streams.random.below(std::size(kMirrorKiB))] * 1024;
  world.recovery_budget = kBudgetMiB[streams.tight ? 0 : streams.random.below(std::size(kBudgetMiB))] * 1024 * 1024;
}

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

// The stream keeps its order; what else the life does comes before it and between.
template <typename IsKept>
void draw_streams(Streams& streams, SeedPlan& plan, IsKept is_kept) {
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

template <typename IsKept>
void draw_additions(Random& random, const Additions& additions, SeedPlan& plan, IsKept is_kept) {
  const auto ordinal = [&] { return static_cast<unsigned>(random.below(4)); };
  for (LifePlan& life : plan.lives) life.impatient = random.one_in(4);
  if (additions.returning_device) {
    const unsigned disk = static_cast<unsigned>(random.below(plan.world.slaves + 2));
    LifePlan& life = plan.lives[random.below(plan.lives.size())];
    if (is_kept()) life.faults.push_back({Fault::device_returns, disk, ordinal()});
  }
  if (!additions.older_generation) return;
  for (unsigned slave : {2, 3}) {
    const PlannedFault fault{Fault::write_error, slave, ordinal()};
    if (is_kept()) plan.lives.front().faults.push_back(fault);
  }
  plan.lives.front().close = false;  // a sealed log tells by that alone
  plan.ends.front().after_events = 100 + random.below(100);
  const unsigned survivor = random.one_in(2) ? 1 : 4;
  const Fault kind = additions.of_log ? Fault::restored_log_generation : Fault::restored_image_generation;
  if (is_kept()) plan.ends.front().media = {{kind, survivor, ordinal()}};
}

// Some writes of the first blocks name a part of them, and more of those at that: writers that meet in one block. Drawn
// by a generator of its own as well, last of all.
template <typename IsKept>
void draw_partial_writes(std::uint64_t seed, SeedPlan& plan, IsKept is_kept) {
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

// An older copy of the superblock that claims to be the newest for ever. With a generator of its own.
template <typename IsKept>
void draw_absurd_numbers(std::uint64_t seed, SeedPlan& plan, IsKept is_kept) {
  Random random(seed * 43 + 31);
  if (!random.one_in(8) || plan.lives.size() < 2) return;
  const PlannedFault fault{Fault::absurd_update_number, 0, static_cast<unsigned>(random.below(64))};
  const std::size_t end = random.below(plan.lives.size() - 1);
  if (is_kept()) plan.ends[end].media.push_back(fault);
}

// Verifies, and slaves that rot before they are verified: garbage where the master is never unreadable and, but for a
// write of the life after, nobody writes. Rot that a repair of the master may meet before a verify is not drawn: no
// mirror without checksums knows of it. With a generator of its own.
constexpr std::uint32_t kRottenPlaces[] = {24, 80, 120};

bool serves_unseen(const SeedPlan& plan) {
  return std::any_of(plan.lives.begin(), plan.lives.end(), [](const LifePlan& life) {
    return std::any_of(life.faults.begin(), life.faults.end(), [](const PlannedFault& fault) {
      const bool reads_fail =
          fault.fault == Fault::read_error || fault.fault == Fault::device_reset || fault.fault == Fault::shared_disk;
      return reads_fail && fault.disk < 2;
    });
  });
}

template <typename IsKept>
void draw_verifies(std::uint64_t seed, SeedPlan& plan, IsKept is_kept) {
  Random random(seed * 37 + 19);
  if (!random.one_in(3) || plan.streams) return;
  const bool spoils = !plan.lives.front().spoilt.empty();
  const bool rots = !serves_unseen(plan) && (spoils || !random.one_in(3));
  // A slave rots, a verify sees it, and then the master has new sectors that cannot be read.
  while (rots && spoils && plan.lives.size() < 3) {
    plan.lives.push_back(plan.lives.back());
    plan.ends.push_back(plan.ends.back());
  }
  for (std::size_t i = 0; i < plan.lives.size(); ++i) {
    LifePlan& life = plan.lives[i];
    const auto insert = [&](const Action& action) {
      const auto at = life.actions.begin() + static_cast<std::ptrdiff_t>(random.below(life.actions.size() + 1));
      if (is_kept()) life.actions.insert(at, action);
    };
    const std::uint32_t place = kRottenPlaces[random.below(std::size(kRottenPlaces))];
    if (random.one_in(3)) insert({Action::Kind::write, place, 8, 1000 * (i + 1) + 900});
    if (!random.one_in(4)) insert({Action::Kind::verify, 0, 1, 0});
    if (random.one_in(2)) plan.ends[i].after_events = ~0ull;
    life.concurrency = std::max(life.concurrency, 2u);
    const unsigned slave = random.one_in(2) ? 2 : 2 + static_cast<unsigned>(random.below(plan.world.slaves));
    const PlannedFault fault{Fault::write_error, slave, static_cast<unsigned>(random.below(6))};
    if (random.one_in(4) && is_kept()) life.faults.push_back(fault);
    const PlannedFault rot{Fault::rotten_sector, slave, place + static_cast<unsigned>(random.below(8))};
    if (rots && is_kept()) plan.ends[i].media.push_back(rot);
  }
}

// Some verifies repair what they find, and then nobody looks at that slave in the place of the master: not where the master has
// sectors that cannot be read. By a generator of its own.
void draw_verify_repairs(std::uint64_t seed, SeedPlan& plan) {
  Random random(seed * 83 + 61);
  for (LifePlan& life : plan.lives) {
    for (Action& action : life.actions) {
      const bool repairs = random.one_in(2) && life.spoilt.empty();
      if (repairs && action.kind == Action::Kind::verify) action.kind = Action::Kind::verify_repair;
    }
  }
}

// What every other draw leaves as it is: what kind of disks the mirror lies on, and whether its slaves are proven. By a
// generator of its own.
void draw_shape(std::uint64_t seed, World& world) {
  static constexpr std::uint32_t kRecordSizes[] = {4096, 4096, 8192, 65536};
  Random random(seed * 43 + 23);
  world.proven = random.one_in(2);
  world.block_size = random.one_in(4) ? 4096 : 512;
  world.record_size = kRecordSizes[random.below(std::size(kRecordSizes))];
}

// How many images in sync the mirror asks for: in two thirds the master alone is enough. By a generator of its own, when it is
// known how many slaves there are.
void draw_minimum(std::uint64_t seed, World& world) {
  Random random(seed * 73 + 59);
  if (!random.one_in(3)) return;
  world.minimum_in_sync = random.one_in(4) ? world.slaves + 1 : 2;
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

// Writes that are called off, most of them while they wait for the log or for the range.
template <typename IsKept>
void draw_aborts(std::uint64_t seed, SeedPlan& plan, IsKept is_kept) {
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
template <typename IsKept>
void draw_forgetful(std::uint64_t seed, SeedPlan& plan, IsKept is_kept) {
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

// A slave rots, a verify sees it, and the life after that the master has sectors that it cannot read: whoever takes them
// from that slave is wrong. No other draw is as sure to come to it.
template <typename IsKept>
void draw_rot_and_repair(std::uint64_t seed, SeedPlan& plan, IsKept is_kept) {
  Random random(seed * 59 + 37);
  if (!random.one_in(10) || plan.streams) return;
  plan.world.proven = true;
  while (plan.lives.size() < 3) {
    plan.lives.push_back(plan.lives.back());
    plan.ends.push_back(plan.ends.back());
  }
  LifePlan &verifies = plan.lives[1], &repairs = plan.lives[2];
  const unsigned slave = 2 + static_cast<unsigned>(random.below(plan.world.slaves));
  const std::uint32_t place = kRottenPlaces[random.below(std::size(kRottenPlaces))];
  for (LifePlan* life : {&plan.lives[0], &verifies, &repairs}) {
    life->spoilt.clear();
    std::erase_if(life->actions, [&](const Action& action) { return action.kind == Action::Kind::verify; });
  }
  const PlannedFault rot{Fault::rotten_sector, slave, place + static_cast<unsigned>(random.below(8))};
  plan.ends[0].media.clear();
  if (is_kept()) plan.ends[0].media.push_back(rot);
  plan.ends[1].media.clear();
  plan.ends[1].after_events = ~0ull;
  verifies.faults.clear();
  const Action verify{Action::Kind::verify, 0, 1, 0};
  if (is_kept()) verifies.actions.insert(verifies.actions.begin(), verify);
  for (std::uint64_t more = 1 + random.below(3); more > 0; --more) {
    const std::uint32_t sector = 8 * static_cast<std::uint32_t>(random.below(3));
    if (!is_kept()) continue;
    repairs.spoilt.push_back({1, sector + random.below(8), false});
    repairs.actions.insert(repairs.actions.begin(), {Action::Kind::read, sector, 8, 0});
  }
}

// Sectors of the master that lie about a repair, in places that are written, so that a recovery meets them too.
template <typename IsKept>
void draw_lies(std::uint64_t seed, SeedPlan& plan, IsKept is_kept) {
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
template <typename IsKept>
void draw_failed_repairs(std::uint64_t seed, SeedPlan& plan, IsKept is_kept) {
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

template <typename IsKept>
void draw_losses(std::uint64_t seed, SeedPlan& plan, IsKept is_kept) {
  Random random(seed * 41 + 19);
  if (!random.one_in(8)) return;
  LifePlan& life = plan.lives[random.below(plan.lives.size())];
  const unsigned disk = random.one_in(3) ? 1 : 2 + static_cast<unsigned>(random.below(plan.world.slaves));
  const PlannedFault loss{Fault::lost_allocation, disk, static_cast<unsigned>(random.below(4))};
  if (is_kept()) life.faults.push_back(loss);
  if (random.one_in(2) && is_kept()) life.actions.push_back({Action::Kind::retire, 0, 1, 0});
}

// Slaves that fail and come back: in the same life or in a later one, in steps of any length, failing again in the middle,
// restored from an older copy before, with the log damaged or not. With a generator of its own.
struct Returns {
  Random random;
  bool any;
  explicit Returns(std::uint64_t seed) : random(seed * 71 + 47), any(random.one_in(4)) {}
};

Action draw_return(Random& random) {
  static constexpr std::uint32_t kSteps[] = {8, 8, 64, 256, 2048};
  Action action{Action::Kind::rejoin, 0, kSteps[random.below(std::size(kSteps))], 0};
  if (random.one_in(8)) action.kind = Action::Kind::rejoin_full;
  if (random.one_in(4)) action.kind = Action::Kind::resync;
  if (random.one_in(3)) action.sector = 1 + static_cast<std::uint32_t>(random.below(4));
  return action;
}

template <typename IsKept>
void draw_failures(Random& random, const World& world, LifePlan& life, unsigned slave, IsKept is_kept) {
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

template <typename IsKept>
void draw_returns(std::uint64_t seed, SeedPlan& plan, IsKept is_kept) {
  Returns returns(seed);
  if (!returns.any || plan.streams) return;
  Random& random = returns.random;
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

// Every slave goes out, the master goes on alone, and they come back: in that life, or one of them in the next. With a
// generator of its own.
template <typename IsKept>
void draw_alone(std::uint64_t seed, SeedPlan& plan, IsKept is_kept) {
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

bool puts_back(Fault fault) {
  return fault == Fault::restored_image || fault == Fault::restored_image_generation ||
         fault == Fault::restored_log_generation || fault == Fault::restored_log || fault == Fault::restored_slave;
}

// Operators who take slaves out, several at one barrier or one, for a backup; and openings that find no device in the place
// of a slave. They come back in that life or a later one, by whatever else is drawn. With a generator of its own.
template <typename IsKept>
void draw_departures(std::uint64_t seed, SeedPlan& plan, IsKept is_kept) {
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

// Devices that hang, with a deadline for every request: until it has passed, until a rejoin was asked for, or for good. By a
// generator of its own.
template <typename IsKept>
void draw_hangs(std::uint64_t seed, SeedPlan& plan, IsKept is_kept) {
  Random random(seed * 73 + 53);
  if (!random.one_in(6) || plan.streams) return;
  constexpr std::uint64_t kTimeout_ns = 50'000'000;
  LifePlan& life = plan.lives[random.below(plan.lives.size())];
  life.device_timeout_ns = kTimeout_ns;
  life.concurrency = std::max(life.concurrency, 2u);
  const auto slave = [&] { return 2 + static_cast<unsigned>(random.below(plan.world.slaves)); };
  const auto hang = [&](unsigned disk, bool early) {
    if (is_kept()) life.faults.push_back({Fault::hangs, disk, static_cast<unsigned>(random.below(8)), early});
  };
  hang(random.one_in(5) ? static_cast<unsigned>(random.below(2)) : slave(), random.one_in(6));
  if (random.one_in(3)) hang(slave(), false);
  static constexpr Action::Kind kAfter[] = {Action::Kind::write, Action::Kind::rejoin, Action::Kind::flush,
                                            Action::Kind::rejoin, Action::Kind::retire};
  for (std::uint64_t more = 2 + random.below(4), i = 0; i < more; ++i) {
    Action action{kAfter[random.below(std::size(kAfter))], 0, 8, 1000 + 950 + i};
    if (action.kind == Action::Kind::write) action.sector = 8 * static_cast<std::uint32_t>(random.below(12));
    if (is_kept()) life.actions.push_back(action);
  }
}

// Lives that recover beside their requests. With a generator of its own.
void draw_recoveries_beside(std::uint64_t seed, SeedPlan& plan) {
  Random random(seed * 83 + 67);
  for (LifePlan& life : plan.lives) life.beside = random.one_in(2);
}

}  // namespace

SeedPlan draw_plan(const SeedCase& seed_case, unsigned* items) {
  Random random(seed_case.seed), later(seed_case.seed * 5 + 2);
  const Additions additions(later);
  unsigned item = 0;
  const auto is_kept = [&] {
    return std::find(seed_case.without.begin(), seed_case.without.end(), item++) == seed_case.without.end();
  };
  SeedPlan plan;
  plan.world = draw_world(random);
  plan.world.new_owners = true;
  if (additions.older_generation) plan.world.slaves = 3;
  draw_shape(seed_case.seed, plan.world);
  draw_minimum(seed_case.seed, plan.world);
  Streams streams(seed_case.seed);
  if (streams.any) widen_world(streams, plan.world);
  const std::uint64_t lives = std::max<std::uint64_t>(1 + random.below(3), additions.older_generation ? 2 : 1);
  for (std::uint64_t i = 0; i < lives; ++i) {
    LifePlan life;
    life.concurrency = 1 + static_cast<unsigned>(random.below(6));
    life.read_back = random.one_in(4);
    const std::uint64_t actions = 2 + random.below(10);
    for (std::uint64_t j = 0; j < actions; ++j) {
      const Action action = draw_action(random, plan.world, 1000 * (i + 1) + j);
      if (is_kept()) life.actions.push_back(action);
    }
    const std::uint64_t faults = random.one_in(2) ? 0 : 1 + random.below(2);
    for (std::uint64_t j = 0; j < faults; ++j) {
      const PlannedFault fault = draw_fault(random, plan.world);
      if (is_kept()) life.faults.push_back(fault);
    }
    SeedPlan::End end;
    end.after_events = random.one_in(4) ? ~0ull : 20 + random.below(160);
    end.lost = random.one_in(3) ? 0 : all_caches(plan.world);
    if (random.one_in(6)) end.lost = 1u << (1 + random.below(plan.world.slaves + 1));
    if (random.one_in(2)) {
      const PlannedFault fault = draw_media_fault(random, plan.world);
      if (is_kept()) end.media.push_back(fault);
    }
    plan.lives.push_back(std::move(life));
    plan.ends.push_back(std::move(end));
  }
  draw_additions(later, additions, plan, is_kept);
  draw_streams(streams, plan, is_kept);
  draw_partial_writes(seed_case.seed, plan, is_kept);
  Unreadable unreadable(seed_case.seed);
  draw_unreadable(unreadable, plan, is_kept);
  draw_early_faults(seed_case.seed, plan, is_kept);
  draw_verifies(seed_case.seed, plan, is_kept);
  draw_losses(seed_case.seed, plan, is_kept);
  draw_aborts(seed_case.seed, plan, is_kept);
  draw_forgetful(seed_case.seed, plan, is_kept);
  draw_rot_and_repair(seed_case.seed, plan, is_kept);
  draw_lies(seed_case.seed, plan, is_kept);
  draw_failed_repairs(seed_case.seed, plan, is_kept);
  draw_absurd_numbers(seed_case.seed, plan, is_kept);
  draw_returns(seed_case.seed, plan, is_kept);
  draw_alone(seed_case.seed, plan, is_kept);
  draw_hangs(seed_case.seed, plan, is_kept);
  draw_departures(seed_case.seed, plan, is_kept);
  draw_recoveries_beside(seed_case.seed, plan);
  draw_verify_repairs(seed_case.seed, plan);
  align_requests(plan);
  // No two writes of a run have the same contents, though one life was made after another.
  for (std::size_t i = 0; i < plan.lives.size(); ++i) {
    for (Action& action : plan.lives[i].actions) action.content += 100'000 * i;
  }
  plan.world.spoils =
      std::any_of(plan.lives.begin(), plan.lives.end(), [](const LifePlan& life) { return !life.spoilt.empty(); });
  unsigned number = 0;
  for (LifePlan& life : plan.lives) {
    for (PlannedFault& fault : life.faults) {
      for (const auto& [changed, ordinal] : seed_case.ordinals) {
        if (changed == number) fault.ordinal = ordinal;
      }
      ++number;
    }
  }
  if (items != nullptr) *items = item;
  return plan;
}

void run_seed(const SeedCase& seed_case, HashSet& states, Verdict& verdict) {
  static std::map<std::uint64_t, Created> created_by_world;  // creating one costs as much as hundreds of recoveries
  SeedPlan plan = draw_plan(seed_case);
  const World& world = plan.world;
  const std::uint64_t key = world.slaves + 16 * world.ring_records + 1024 * world.mirror_size +
                            (world.proven ? 512 : 0) + (world.block_size > 512 ? 8 : 0) +
                            (std::uint64_t{world.record_size} << 40) + (std::uint64_t{world.minimum_in_sync} << 60);
  auto found = created_by_world.find(key);
  if (found == created_by_world.end()) found = created_by_world.emplace(key, create(world)).first;
  const Created& created = found->second;
  Effort effort;
  effort.recovery_states = 4;
  effort.faults = true;
  effort.cut_one_in = plan.streams ? 64 : 32;
  HashSet explored;
  Explorer explorer(world, created.geometry, effort, states, explored, verdict);
  Random random(seed_case.seed * 3 + 1);

  Disks disks = created.disks;
  Model model(disks[1].content(), world.mirror_size / kSimulatedSector);
  Expectation expectation;
  MediaFaults media(created.geometry);
  for (std::size_t i = 0; i < plan.lives.size() && !verdict.failed; ++i) {
    RandomOrder order(seed_case.seed * 7 + i);
    Life life(world, created.geometry, disks, model, plan.lives[i], expectation, i + 1, order, verdict);
    media.next_life();
    const auto of_generation = [](const PlannedFault& fault) {
      return fault.fault == Fault::restored_image_generation || fault.fault == Fault::restored_log_generation;
    };
    const std::vector<PlannedFault>& after = plan.ends[i].media;
    const bool watches = std::any_of(after.begin(), after.end(), of_generation);
    for (std::uint64_t event = 0; event < plan.ends[i].after_events && !verdict.failed && life.step(); ++event) {
      if (random.one_in(3)) continue;
      if (plan.streams && !random.one_in(6)) continue;  // a recovery of megabytes costs as much as dozens of others
      const LostCaches lost = random.one_in(4)   ? 0
                              : random.one_in(6) ? 1u << (1 + random.below(world.slaves + 1))
                                                 : all_caches(world);
      explorer.crash_once(life, lost, random);
      if (watches) media.watch_generation(life.machine().disks());
    }
    if (verdict.failed) return;
    media.remember(disks, life.ran());
    const LostCaches lost = plan.ends[i].lost;
    const CrashPoint point(life.machine(), lost);
    disks = point.build(point.drawn(random));
    model = life.model();
    expectation = {};
    expectation.promise = spares_only_durable(world, lost) ? Promise::durable : life.promise();
    expectation.may_be_live = life.may_be_live();
    expectation.rotten = life.expectation().rotten;
    expectation.differing = life.differing();
    expectation.lost_blocks = life.machine().lost_blocks();
    expectation.owed_before = life.owed_before();
    expectation.restored = life.expectation().restored;
    expectation.damage_possible = life.expectation().damage_possible;
    // A copy that was put back is still there when the opening that would have refused it was cut off.
    expectation.refusal_expected = life.expectation().refusal_expected;
    expectation.refusals = life.expectation().refusals;
    expectation.copies_damaged = life.expectation().copies_damaged;
    if (i + 1 == plan.lives.size()) break;
    if (life.refused()) return;
    for (const PlannedFault& fault : plan.ends[i].media)
      media.strike(fault, disks, plan.lives[i + 1], expectation, verdict);
  }
}

}  // namespace blockmirror::simulator
