// A verify that repairs: what it found is owed, durably, before it answers, and is copied from the master like any debt.
#include <doctest/doctest.h>

#include <cstring>

#include "../../../core/mirror/comparison.h"
#include "../../support/running_mirror.h"

namespace blockmirror::test {
namespace {

using Sums = std::vector<std::uint64_t>;
constexpr std::uint64_t kSize = 4 * kMiB;
constexpr std::uint64_t kBlock = 4096;
constexpr CompareOrder kRepair{.all = false, .repair = true};

class Rig : public RunningMirror {
 public:
  explicit Rig(unsigned slaves = 2, std::uint64_t seed = 1, unsigned minimum = 1)
      : RunningMirror({.seed = seed, .slaves = slaves, .size = kSize, .minimum_in_sync = minimum}) {
    prove();
  }
  void rot(unsigned image, std::uint64_t block) { images[image]->content()[block * kBlock + 5] ^= std::byte{1}; }
  Outcome repair(Extent extent = {0, kMiB}) { return run(session->compare({extent}, kRepair, found)); }
  ImageState state(unsigned image) const { return session->superblock().images[image].state; }
  std::uint64_t resync(unsigned slave = 1) {
    std::uint64_t copied = 0;
    for (ResyncResult step;;) {
      REQUIRE(run(session->resync({image_bit(slave)}, step)).ok());
      copied += step.bytes_copied;
      if (step.bytes_left == 0) return copied;
    }
  }
  CompareResult found;
};

}  // namespace

TEST_CASE("repair: what differs is owed in superblock, map and label when it is told, and nothing else is copied") {
  Rig mirror;
  for (const std::uint64_t block : {3u, 4u, 200u}) mirror.rot(1, block);
  REQUIRE(mirror.repair().ok());
  CHECK(mirror.found.bytes_owed == Sums{0, 3, 0});
  const Superblock superblock = durable_superblock(*mirror.log);
  CHECK(superblock.images[1].state == ImageState::synchronizing);
  CHECK(superblock.images[1].debt == DebtKind::map);
  CHECK(superblock.images[1].fracture.cause == FractureCause::differs);
  CHECK(superblock.images[2].state == ImageState::in_sync);
  CHECK(mirror.label_of(1).state == ImageState::synchronizing);
  CHECK(mirror.label_of(1).generation.counter == superblock.generation.counter);
  CHECK(mirror.resync() == 3 * kBlock);
  CHECK(mirror.durable_state(1) == ImageState::in_sync);
  CHECK(mirror.images_equal());
}

TEST_CASE("repair: without it nothing is owed, and no state changes") {
  Rig mirror;
  mirror.rot(1, 3);
  REQUIRE(mirror.run(mirror.session->compare({{0, kMiB}}, {}, mirror.found)).ok());
  CHECK(mirror.found.bytes_owed == Sums{0, 0, 0});
  CHECK(mirror.durable_state(1) == ImageState::in_sync);
}

TEST_CASE("repair: what one step found stays owed beside what the next one finds") {
  Rig mirror;
  mirror.rot(1, 3);
  mirror.rot(1, 300);
  REQUIRE(mirror.repair().ok());
  const Uuid map = mirror.session->superblock().images[1].map_id;
  REQUIRE(mirror.repair({kMiB, kMiB}).ok());
  CHECK(mirror.session->superblock().images[1].map_id == map);
  mirror.crash();
  REQUIRE(mirror.open().ok());
  CHECK(mirror.state(1) == ImageState::synchronizing);
  CHECK(mirror.resync() == 2 * kBlock);
  CHECK(mirror.images_equal());
}

TEST_CASE(
    "repair: after a crash at any moment a slave that counts as synchronizing owes every difference that was told") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    Rig mirror(1, seed);
    mirror.random_latencies();
    for (std::uint64_t block = 0; block < 40; ++block) mirror.rot(1, block * 5);
    RunningMirror::Pending& comparing = mirror.start_task(mirror.session->compare({{0, kMiB}}, kRepair, mirror.found));
    mirror.start_write({seed % 200 * kBlock, 3 * kBlock}, static_cast<unsigned char>(seed));
    mirror.advance(mirror.runtime.draw(2'000'000));
    const bool told = comparing.succeeded();
    mirror.crash();
    mirror.heal();
    REQUIRE(mirror.open().ok());
    if (told) CHECK(mirror.state(1) == ImageState::synchronizing);
    if (mirror.state(1) != ImageState::synchronizing) continue;  // as it was before
    mirror.resync();
    CHECK(mirror.images_equal());
  }
}

TEST_CASE("repair: a slave that is being repaired does not count for minInSync, and receives every write") {
  Rig mirror(1, 1, 2);
  mirror.rot(1, 3);
  REQUIRE(mirror.repair().ok());
  CHECK(mirror.write({0, kBlock}, 7).code == Code::TOO_FEW_IN_SYNC);
  mirror.resync();
  REQUIRE(mirror.write({0, kBlock}, 7).ok());
  CHECK(mirror.images_equal());
}

TEST_CASE("repair: of a slave that was only assumed to be equal it leaves one that is only assumed") {
  RunningMirror mirror({});
  mirror.advance();
  REQUIRE(mirror.durable_state(1) == ImageState::assumed);
  mirror.images[1]->content()[9] ^= std::byte{1};
  CompareResult found;
  REQUIRE(mirror.run(mirror.session->compare({{0, kMiB}}, kRepair, found)).ok());
  ResyncResult step;
  REQUIRE(mirror.run(mirror.session->resync({image_bit(1)}, step)).ok());
  CHECK(mirror.durable_state(1) == ImageState::assumed);
  REQUIRE(mirror.run(mirror.session->record_verify({{0, 4 * kMiB}, {0, 1}, {0, 1}})).ok());
  CHECK(mirror.durable_state(1) == ImageState::in_sync);
}

TEST_CASE("repair: what was repaired is counted in the last verify, and the slave is not remembered to differ") {
  Rig mirror(1);
  REQUIRE(mirror.run(mirror.session->record_verify({{0, kSize}, {0, 9}, {}})).ok());
  REQUIRE(mirror.session->snapshot().bytes_differed[1] == 9);
  REQUIRE(mirror.run(mirror.session->record_verify({{0, kSize}, {0, 9}, {0, 9}})).ok());
  CHECK(mirror.session->snapshot().bytes_differed[1] == 0);
  const VerifySummary summary = durable_superblock(*mirror.log).last_verify;
  CHECK(summary.bytes_differed == 9);
  CHECK(summary.bytes_repaired == 9);
  CHECK(mirror.run(mirror.session->record_verify({{0, kSize}, {0, 9}, {0, 10}})).code == Code::WRONG_PHASE);
}

TEST_CASE("repair: in a resync of everything what lies before its cursor is owed again, after a crash too") {
  Rig mirror(1);
  FractureResult parted;
  REQUIRE(mirror.run(mirror.session->fracture(image_bit(1), parted)).ok());
  REQUIRE(mirror.run(mirror.session->rejoin(1, true)).ok());
  ResyncResult step;
  REQUIRE(mirror.run(mirror.session->resync({image_bit(1), 2 * kMiB}, step)).ok());
  REQUIRE(mirror.run(mirror.session->flush()).ok());
  mirror.rot(1, 3);
  REQUIRE(mirror.repair().ok());
  CHECK(mirror.found.bytes_owed == Sums{0, 1});
  CHECK(durable_superblock(*mirror.log).images[1].resync.cursor <= 3 * kBlock);
  mirror.crash();
  REQUIRE(mirror.open().ok());
  mirror.resync();
  CHECK(mirror.images_equal());
}

TEST_CASE("repair: a slave that failed while it was compared owes what its failure says, and no repair of it is told") {
  Rig mirror;
  mirror.rot(1, 3);
  unsigned reads = 0;
  mirror.images[0]->decide = [&](const DeviceRequest& request) {
    return request.operation == Operation::read && reads++ == 0 ? hold_fate() : SimulatedDevice::Fate{};
  };
  mirror.images[1]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::write ? error_fate() : SimulatedDevice::Fate{};
  };
  RunningMirror::Pending& comparing = mirror.start_task(mirror.session->compare({{0, kMiB}}, kRepair, mirror.found));
  RunningMirror::Pending& write = mirror.start_write({3 * kMiB, kBlock}, 9);
  mirror.advance();
  mirror.images[0]->release_held();
  mirror.advance();
  REQUIRE(write.succeeded());
  REQUIRE(comparing.succeeded());
  CHECK(mirror.found.bytes_owed == Sums{0, 0, 0});
  CHECK(mirror.durable_state(1) == ImageState::failed);
}

TEST_CASE("verify: what differed once, and not when it was read again, is no difference") {
  Rig mirror(1);
  unsigned reads = 0;
  mirror.images[1]->decide = [&](const DeviceRequest& request) {
    if (request.operation == Operation::read && mirror.is_data(request) && reads++ < 2) mirror.rot(1, 3);
    return SimulatedDevice::Fate{};
  };
  REQUIRE(mirror.repair().ok());
  CHECK(reads == 2);
  CHECK(mirror.found.bytes_differed == Sums{0, 0});
  CHECK(mirror.durable_state(1) == ImageState::in_sync);
}

TEST_CASE("verify: of three images or more the one that stands alone is named, and of two none") {
  Rig mirror(3);
  mirror.rot(1, 1);
  for (const unsigned slave : {1u, 2u, 3u}) mirror.rot(slave, 10);  // all slaves alike: the master alone
  mirror.rot(1, 20);
  mirror.rot(2, 20);  // two against two
  REQUIRE(mirror.run(mirror.session->compare({{0, kMiB}}, {}, mirror.found)).ok());
  std::vector<std::pair<std::uint64_t, ImageIndex>> alone;
  for (const Difference& difference : mirror.found.differences)
    alone.emplace_back(difference.extent.position / kBlock, difference.alone);
  const std::vector<std::pair<std::uint64_t, ImageIndex>> expected{{1, ImageIndex{1}}, {10, ImageIndex{0}},
                                                                   {20, kNoImage},     {10, ImageIndex{0}},
                                                                   {20, kNoImage},     {10, ImageIndex{0}}};
  CHECK(alone == expected);

  Rig pair(1);
  pair.rot(1, 1);
  REQUIRE(pair.run(pair.session->compare({{0, kMiB}}, {}, pair.found)).ok());
  REQUIRE(pair.found.differences.size() == 1);
  CHECK(pair.found.differences[0].alone == kNoImage);
}

}  // namespace blockmirror::test
