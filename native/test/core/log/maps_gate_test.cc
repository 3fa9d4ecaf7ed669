// The log's gate for fractured slaves: nothing is retired, and no tail moves, that their maps do not hold (I2, I14); and
// what an image that goes out may have lost.
#include <doctest/doctest.h>

#include <map>

#include "../../support/intent_log_rig.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr Extent kFirst{0, 8192};
constexpr Extent kSecond{5 * kRegionLength, 4096};

std::map<std::uint64_t, BlockSet> unflushed_of(const IntentLog& log) {
  std::map<std::uint64_t, BlockSet> all;
  log.for_each_unflushed([&](std::uint64_t region, const BlockSet& blocks) { all[region] = blocks; });
  return all;
}

}  // namespace

TEST_CASE("log: a region is not retired while the maps of a fractured slave do not hold it") {
  IntentLogRig rig;
  REQUIRE(rig.touch(kFirst).ok());
  const std::uint64_t tail = rig.log->require_maps();
  CHECK(tail == rig.log->durable_tail());
  rig.flush_images();
  REQUIRE(rig.retire(rig.everything()).ok());
  CHECK(rig.log->live_bytes() > 0);
  CHECK(rig.log->durable_tail() == tail);
  CHECK(rig.scan().covered.contains(kFirst));

  rig.log->maps_durable(rig.log->maps_begin());
  REQUIRE(rig.retire(rig.everything()).ok());
  CHECK(rig.log->live_bytes() == 0);
  CHECK(rig.log->durable_tail() > tail);
}

TEST_CASE("log: a write that settled after the maps were taken is not retired by a flush alone") {
  IntentLogRig rig;
  rig.log->require_maps();
  REQUIRE(rig.touch(kFirst).ok());
  const std::uint64_t mark = rig.log->maps_begin();
  REQUIRE(rig.touch(kSecond).ok());
  rig.log->maps_durable(mark);
  rig.flush_images();
  REQUIRE(rig.retire(rig.everything()).ok());
  CHECK_FALSE(rig.scan().covered.contains(kFirst));
  CHECK(rig.scan().covered.contains(kSecond));
}

TEST_CASE("log: a fracture while the maps are written keeps the tail, since its own map is not begun") {
  IntentLogRig rig;
  REQUIRE(rig.touch(kFirst).ok());
  rig.flush_images();
  rig.log->require_maps();
  rig.log->maps_durable(rig.log->maps_begin());
  const std::uint64_t tail = rig.log->require_maps();
  REQUIRE(rig.retire(rig.everything()).ok());
  CHECK(rig.log->durable_tail() == tail);
  CHECK(rig.scan().covered.contains(kFirst));
}

TEST_CASE("log: a ring that fills while the maps are awaited keeps its writers waiting and loses nothing") {
  IntentLogRig rig(16);
  rig.log->require_maps();
  std::vector<IntentLogRig::Cover*> covers;
  for (std::uint64_t i = 0; i < 40; ++i) {
    covers.push_back(&rig.cover({i * kRegionLength, 4096}));
    rig.settle_all_devices();
  }
  CHECK_FALSE(covers.back()->outcome.has_value());
  CHECK(rig.log->starves());
  for (IntentLogRig::Cover* cover : covers) {
    if (cover->outcome) rig.log->settle(cover->lease);
  }
  rig.flush_images();
  rig.log->maps_durable(rig.log->maps_begin());
  REQUIRE(rig.retire(rig.log->goal_under_pressure()).ok());
  rig.settle_all_devices();
  CHECK(covers.back()->outcome.has_value());
}

TEST_CASE("log: without a fractured slave no map is asked for") {
  IntentLogRig rig;
  rig.log->require_maps();
  REQUIRE(rig.touch(kFirst).ok());
  rig.log->maps_not_needed();
  rig.flush_images();
  REQUIRE(rig.retire(rig.everything()).ok());
  CHECK(rig.log->live_bytes() == 0);
}

TEST_CASE("log: what an image may have lost is what settled since the last flush, block by block") {
  IntentLogRig rig;
  REQUIRE(rig.touch(kFirst).ok());
  CHECK(unflushed_of(*rig.log) == std::map<std::uint64_t, BlockSet>{{0, BlockSet::of(0, 2)}});
  rig.flush_images();
  CHECK(unflushed_of(*rig.log).empty());
  REQUIRE(rig.touch(kSecond).ok());
  REQUIRE(rig.touch({3 * 4096, 4096}).ok());
  CHECK(unflushed_of(*rig.log) == std::map<std::uint64_t, BlockSet>{{0, BlockSet::of(3, 1)}, {5, BlockSet::of(0, 1)}});
}

TEST_CASE("log: what settled while a flush ran is not taken for flushed, what settled before is") {
  IntentLogRig rig;
  REQUIRE(rig.touch(kFirst).ok());
  const std::uint64_t mark = rig.log->flush_begins();
  REQUIRE(rig.touch({4 * 4096, 4096}).ok());
  CHECK(unflushed_of(*rig.log).at(0) == (BlockSet::of(0, 2) | BlockSet::of(4, 1)));
  rig.log->flush_succeeded(mark);
  CHECK(unflushed_of(*rig.log).at(0) == BlockSet::of(4, 1));
}

TEST_CASE("log: a flush that failed takes nothing from what an image may have lost") {
  IntentLogRig rig;
  REQUIRE(rig.touch(kFirst).ok());
  (void)rig.log->flush_begins();
  REQUIRE(rig.touch({4 * 4096, 4096}).ok());
  (void)rig.log->flush_begins();
  REQUIRE(rig.touch({9 * 4096, 4096}).ok());
  CHECK(unflushed_of(*rig.log).at(0) == (BlockSet::of(0, 2) | BlockSet::of(4, 1) | BlockSet::of(9, 1)));
}
