// Images that are the right ones and cannot be used as they are: their file lost allocation, or their sectors grew.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "../../../core/session/session.h"
#include "../../support/recovery_steps.h"
#include "../../support/running_mirror.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

Code open_code(SimulatedMirror& mirror) {
  const Outcome outcome = mirror.open();
  if (!outcome.ok()) (void)mirror.run(mirror.session->close());
  return outcome.code;
}

// An opening as lib/ does it, with the slaves of `lost` given up.
Outcome open_without(RunningMirror& mirror, ImageSet lost) {
  mirror.new_session();
  Outcome outcome = mirror.run(mirror.session->load_superblock());
  if (outcome.ok()) outcome = mirror.run(mirror.session->assess(mirror.assessment));
  if (!outcome.ok()) return outcome;
  ActivateOptions options;
  options.left_out = lost;
  outcome = mirror.run(mirror.session->activate(options));
  if (outcome.ok() && mirror.session->phase() == Phase::recovering) outcome = mirror.recover();
  return outcome;
}

}  // namespace

TEST_CASE("an image whose file lost allocation is judged so, after who it is and before how old it is") {
  RunningMirror mirror({.slaves = 2});
  REQUIRE(mirror.run(mirror.session->close()).ok());
  mirror.images[1]->lose_allocation(12288);
  mirror.new_session();
  REQUIRE(mirror.run(mirror.session->load_superblock()).ok());
  REQUIRE(mirror.run(mirror.session->assess(mirror.assessment)).ok());
  CHECK(mirror.assessment.images[0].ok());
  CHECK(mirror.assessment.images[1].code == Code::LOST_ALLOCATION);
  CHECK(mirror.assessment.images[1].image == 1);
  CHECK(mirror.assessment.images[1].position == 12288);
  CHECK(mirror.assessment.images[2].ok());

  // Without its label nobody can say which image it is.
  overwrite(mirror, *mirror.images[1], mirror.session->superblock().images[1].label_position,
            std::vector<std::byte>(kMiB, std::byte{0}));
  REQUIRE(mirror.run(mirror.session->assess(mirror.assessment)).ok());
  CHECK(mirror.assessment.images[1].code == Code::TRUNCATED_IMAGE);
  std::swap(mirror.images[1], mirror.images[2]);
  mirror.images[1]->lose_allocation(0);
  CHECK(open_code(mirror) == Code::SWAPPED_IMAGES);
}

TEST_CASE("I5 I8: a slave given up for a loss is failed by the opening, with a generation of its own") {
  RunningMirror mirror({.slaves = 2});
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  REQUIRE(mirror.run(mirror.session->close()).ok());
  const std::vector<std::byte> before = durable_copy(*mirror.images[1]);
  mirror.images[1]->lose_allocation(0);
  CHECK(open_without(mirror, 0).code == Code::LOST_ALLOCATION);
  CHECK(open_without(mirror, image_bit(2)).code == Code::LOST_ALLOCATION);
  CHECK(mirror.durable_state(1) == ImageState::assumed);
  REQUIRE(open_without(mirror, image_bit(1)).ok());
  const Superblock durable = durable_superblock(*mirror.log);
  CHECK(durable.images[1].state == ImageState::failed);
  CHECK(durable.images[1].error == static_cast<std::uint32_t>(kLostAllocation));
  CHECK(durable.generation.counter == 2);
  CHECK(mirror.label_of(0).generation.counter == 2);
  CHECK(mirror.label_of(2).generation.counter == 2);
  REQUIRE(mirror.write({0, 4096}, 2).ok());
  REQUIRE(mirror.run(mirror.session->close()).ok());
  CHECK(durable_copy(*mirror.images[1]) == before);  // nothing was written to it, not even a label
  CHECK(open_without(mirror, 0).ok());
}

TEST_CASE("I5: a crash at any point of an opening that gives a slave up leaves a mirror that opens") {
  for (unsigned requests = 0; requests < 40; ++requests) {
    RunningMirror mirror({.slaves = 2});
    REQUIRE(mirror.write({0, 4096}, 1).ok());
    REQUIRE(mirror.run(mirror.session->close()).ok());
    mirror.images[1]->lose_allocation(0);
    unsigned seen = 0;
    auto dead = [&](const DeviceRequest& request) {
      const bool writes = request.operation != Operation::read;
      return writes && seen++ >= requests ? error_fate() : SimulatedDevice::Fate{};
    };
    mirror.log->decide = dead;
    mirror.images[0]->decide = dead;
    const Outcome cut_off = open_without(mirror, image_bit(1));
    mirror.crash(100);
    mirror.heal();
    CAPTURE(requests);
    const Outcome outcome = open_without(mirror, image_bit(1));
    CHECK(outcome.code == Code::ok);
    CHECK(mirror.session->snapshot().states[1] == ImageState::failed);
    if (cut_off.ok()) break;
    REQUIRE(requests < 39);
  }
}

TEST_CASE("a master that lost allocation is never given up") {
  RunningMirror mirror({.slaves = 1});
  REQUIRE(mirror.run(mirror.session->close()).ok());
  mirror.images[0]->lose_allocation(0);
  CHECK(open_without(mirror, 3).code == Code::LOST_ALLOCATION);
}

TEST_CASE("with its only slave given up a mirror opens, and its master takes writes alone") {
  RunningMirror mirror({.slaves = 1});
  REQUIRE(mirror.run(mirror.session->close()).ok());
  mirror.images[1]->lose_allocation(0);
  REQUIRE(open_without(mirror, image_bit(1)).ok());
  CHECK(mirror.write({0, 4096}, 1).ok());
  CHECK(mirror.run(mirror.session->close()).ok());
}

TEST_CASE(
    "an image whose sectors are larger than the blocks of the mirror is refused by name, and opens when they are not") {
  for (const unsigned index : {0u, 1u}) {
    RunningMirror mirror({.slaves = 1, .size = 4 * kMiB - 512});
    REQUIRE(mirror.write({4 * kMiB - 1024, 512}, 1).ok());
    mirror.crash(100);
    DeviceTraits& traits = mirror.images[index]->mutable_traits();
    const DeviceTraits before = traits;
    for (const std::uint32_t sector : {4096u, 16384u, 65536u}) {
      traits.logical_block_size = traits.offset_alignment = traits.physical_block_size = sector;
      const Outcome outcome = mirror.open();
      CHECK(outcome.code == Code::BLOCK_TOO_LARGE);
      CHECK(outcome.image == static_cast<ImageIndex>(index));
      CHECK(outcome.position == sector);
    }
    traits = before;
    REQUIRE(mirror.open().ok());
    CHECK(mirror.images_equal());
  }
}

TEST_CASE("a log whose sectors grew is used while its copies and records are whole sectors, else refused by name") {
  RunningMirror mirror({.slaves = 1});
  REQUIRE(mirror.run(mirror.session->close()).ok());
  DeviceTraits& traits = mirror.log->mutable_traits();
  traits.logical_block_size = traits.offset_alignment = 4096;
  REQUIRE(mirror.open().ok());
  REQUIRE(mirror.write({0, 512}, 1).ok());
  REQUIRE(mirror.run(mirror.session->close()).ok());
  traits.logical_block_size = traits.offset_alignment = 16384;
  const Outcome outcome = mirror.open();
  CHECK(outcome.code == Code::BLOCK_TOO_LARGE);
  CHECK(outcome.image == kLogDevice);
  CHECK(outcome.position == 16384);
}

TEST_CASE("I6: physical blocks that grew since create count from the next opening on") {
  RunningMirror mirror({.slaves = 1, .physical_block_size = 512});
  REQUIRE(mirror.run(mirror.session->close()).ok());
  CHECK(durable_superblock(*mirror.log).physical_block_size == 512);
  mirror.images[1]->mutable_traits().physical_block_size = 16384;
  REQUIRE(mirror.open().ok());
  CHECK(durable_superblock(*mirror.log).physical_block_size == 16384);
  mirror.images[1]->mutable_traits().physical_block_size = 4 * kMiB;
  REQUIRE(mirror.run(mirror.session->close()).ok());
  REQUIRE(mirror.open().ok());
  CHECK(durable_superblock(*mirror.log).physical_block_size == kMaximumPhysicalBlockSize);
}
