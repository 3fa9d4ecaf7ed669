// An operator takes slaves out: one point in time, all of it, dated; and they come back for what they missed.
#include <doctest/doctest.h>

#include "../../support/recovery_steps.h"
#include "../../support/running_mirror.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr std::uint64_t kBlock = 4096;

class Rig : public RunningMirror {
 public:
  explicit Rig(std::uint64_t seed = 1) : RunningMirror({.seed = seed, .slaves = 3, .size = 8 * kMiB}) { prove(); }
  const ImageRecord& image(unsigned index) const { return session->superblock().images[index]; }
  Outcome fracture(ImageSet slaves) { return run(session->fracture(slaves, result)); }
  FractureResult result;
};

}  // namespace

TEST_CASE("fracture: slaves taken out together are one point in time, in the log and in their labels") {
  Rig mirror;
  REQUIRE(mirror.write({0, kBlock}, 1).ok());
  REQUIRE(mirror.fracture(0b0110).ok());
  CHECK(mirror.result.common);
  for (const unsigned slave : {1u, 2u}) {
    CHECK(mirror.durable_state(slave) == ImageState::behind);
    CHECK(mirror.image(slave).fracture.cause == FractureCause::operator_request);
    CHECK(mirror.image(slave).fracture.barrier == mirror.image(1).fracture.barrier);
    CHECK(mirror.label_of(slave).state == ImageState::behind);
    CHECK(mirror.label_of(slave).generation == mirror.session->superblock().generation);
  }
  CHECK_FALSE(mirror.image(1).fracture.barrier.is_zero());
  CHECK(mirror.durable_state(3) == ImageState::in_sync);
}

TEST_CASE("fracture: no write that begins after it reaches them, and each that ended before it is there, durably") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    Rig mirror(seed);
    mirror.random_latencies();
    std::vector<RunningMirror::Pending*> before;
    for (unsigned i = 0; i < 20; ++i) before.push_back(&mirror.start_write({i * kBlock, kBlock}, 0x11));
    for (std::uint64_t i = seed * 2; i > 0; --i) mirror.runtime.step();
    std::vector<bool> ended;
    for (const auto* write : before) ended.push_back(write->succeeded());
    std::optional<Outcome> fractured;
    FractureResult result;
    mirror.start(mirror.session->fracture(0b0110, result), fractured);
    for (unsigned i = 0; i < 20; ++i) (void)mirror.start_write({(100 + i) * kBlock, kBlock}, 0x22);
    REQUIRE(mirror.runtime.run_until([&] { return fractured.has_value(); }));
    REQUIRE(fractured->ok());
    CHECK(result.common);
    mirror.runtime.run_until_quiet();
    const auto one = mirror.images[1]->durable(), other = mirror.images[2]->durable();
    CHECK(std::memcmp(one.data(), other.data(), 8 * kMiB) == 0);
    for (unsigned i = 0; i < 20; ++i) {
      if (ended[i]) CHECK(one[i * kBlock] == std::byte{0x11});
    }
  }
}

TEST_CASE("fracture: a slave that was taken out costs what was written since, and no more") {
  Rig mirror;
  REQUIRE(mirror.write({0, kBlock}, 1).ok());
  REQUIRE(mirror.fracture(0b0010).ok());
  REQUIRE(mirror.write({5 * kBlock, 2 * kBlock}, 2).ok());
  REQUIRE(mirror.run(mirror.session->rejoin(1, false)).ok());
  ResyncResult step;
  REQUIRE(mirror.run(mirror.session->resync({0b0010, kResyncBytes}, step)).ok());
  CHECK(step.bytes_copied == 2 * kBlock);
  CHECK(step.in_sync == 0b0010);
  CHECK(mirror.images_equal());
}

TEST_CASE("fracture: a slave that is on its way back comes back first, and is out when it is told to be") {
  for (unsigned steps = 0; steps < 40; ++steps) {
    CAPTURE(steps);
    Rig mirror;
    REQUIRE(mirror.fracture(0b0010).ok());
    std::optional<Outcome> rejoined, again, fractured;
    FractureResult result;
    mirror.start(mirror.session->rejoin(1, false), rejoined);
    for (unsigned i = 0; i < steps; ++i) mirror.runtime.step();
    mirror.start(mirror.session->rejoin(1, false), again);
    mirror.start(mirror.session->fracture(0b0010, result), fractured);
    REQUIRE(
        mirror.runtime.run_until([&] { return fractured.has_value() && rejoined.has_value() && again.has_value(); }));
    CHECK(fractured->ok());
    CHECK(static_cast<int>(rejoined->ok()) + static_cast<int>(again->ok()) == 1);
    // Whoever asked last is obeyed: the rejoin where the fracture found nothing to take out.
    const bool out = mirror.image(1).state == ImageState::behind || mirror.image(1).state == ImageState::inconsistent;
    const bool on_its_way = mirror.image(1).state == ImageState::synchronizing;
    CHECK((out || on_its_way));
    if (on_its_way) CHECK_FALSE(result.common);
    REQUIRE(mirror.write({0, kBlock}, 7).ok());
    CHECK((mirror.images[1]->content()[0] == std::byte{7}) == on_its_way);
  }
}

TEST_CASE("fracture: one whose flush fails is failed, and there is no common point") {
  Rig mirror;
  mirror.images[1]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::flush ? error_fate() : after(1000);
  };
  REQUIRE(mirror.fracture(0b0110).ok());
  CHECK_FALSE(mirror.result.common);
  CHECK(mirror.image(1).state == ImageState::failed);
  CHECK(mirror.image(2).state == ImageState::behind);
}

TEST_CASE("fracture: one whose label cannot be written is told apart, and the others hold their point") {
  Rig mirror;
  mirror.images[1]->decide = [&](const DeviceRequest& request) {
    return mirror.is_label(request) ? error_fate() : after(1000);
  };
  REQUIRE(mirror.fracture(0b0110).ok());
  CHECK_FALSE(mirror.result.common);
  CHECK(mirror.durable_state(2) == ImageState::behind);
  CHECK(mirror.write({0, kBlock}, 3).ok());
}

TEST_CASE("fracture: an image that is no slave is refused, and nothing is taken out") {
  Rig mirror;
  CHECK(mirror.fracture(0b0001).code == Code::WRONG_PHASE);
  CHECK(mirror.fracture(0b10000).code == Code::WRONG_PHASE);
  CHECK(mirror.durable_state(1) == ImageState::in_sync);
}

TEST_CASE("fracture: a crash at any moment of it leaves a mirror that opens, and every slave comes back equal") {
  for (std::uint64_t steps = 0; steps < 60; ++steps) {
    CAPTURE(steps);
    Rig mirror(steps + 1);
    REQUIRE(mirror.write({0, kBlock}, 1).ok());
    std::optional<Outcome> fractured;
    mirror.start(mirror.session->fracture(0b0110, mirror.result), fractured);
    (void)mirror.start_write({9 * kBlock, kBlock}, 2);
    for (std::uint64_t i = 0; i < steps; ++i) mirror.runtime.step();
    mirror.crash();
    REQUIRE(mirror.open().ok());
    for (const unsigned slave : {1u, 2u}) {
      if (mirror.image(slave).state == ImageState::in_sync) continue;
      REQUIRE(mirror.run(mirror.session->rejoin(slave, false)).ok());
    }
    ResyncResult step;
    REQUIRE(mirror.run(mirror.session->resync({0b0110, 8 * kMiB}, step)).ok());
    CHECK(mirror.images_equal());
  }
}

TEST_CASE("fracture: a slave whose resync had not ended holds no point in time, and no barrier names it") {
  Rig mirror;
  REQUIRE(mirror.fracture(0b0010).ok());
  REQUIRE(mirror.write({5 * kBlock, 20 * kBlock}, 2).ok());
  REQUIRE(mirror.run(mirror.session->rejoin(1, false)).ok());
  REQUIRE(mirror.fracture(0b0110).ok());
  CHECK_FALSE(mirror.result.common);
  CHECK(mirror.image(1).state == ImageState::inconsistent);
  CHECK(mirror.image(1).fracture.barrier.is_zero());
  CHECK_FALSE(mirror.image(2).fracture.barrier.is_zero());
}
