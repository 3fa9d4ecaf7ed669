#include "../../core/session.h"

#include <doctest/doctest.h>

#include "../support/simulated_mirror.h"

using namespace blockmirror;
using blockmirror::test::SimulatedMirror;

TEST_CASE("a created mirror opens clean and its images are equal") {
  SimulatedMirror mirror({});
  mirror.images[0]->content()[12345] = std::byte{7};
  REQUIRE(mirror.create().ok());
  CHECK(mirror.images_equal());
  REQUIRE(mirror.open().ok());
  CHECK(mirror.assessment.clean);
  CHECK(mirror.session->phase() == Phase::running);
}

TEST_CASE("what was written is read back, and reaches every image") {
  SimulatedMirror mirror({.slaves = 3});
  REQUIRE(mirror.create().ok());
  REQUIRE(mirror.open().ok());
  REQUIRE(mirror.write({8192, 4096}, 0xAB).ok());
  AlignedBuffer bytes(4096);
  REQUIRE(mirror.run(mirror.session->read({8192, 4096}, bytes.span())).ok());
  CHECK(bytes.span()[17] == std::byte{0xAB});
  CHECK(mirror.images_equal());
}

TEST_CASE("after a power loss under random load recovery makes the images equal, again and again") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    SimulatedMirror mirror({.seed = seed, .slaves = 2, .ring_records = 16, .recovery_budget = kMinimumRecoveryBudget});
    REQUIRE(mirror.create().ok());
    for (int crash = 0; crash < 5; ++crash) {
      CAPTURE(crash);
      REQUIRE(mirror.open().ok());
      CHECK(mirror.images_equal());
      CAPTURE(mirror.assessment.damage.empty() ? std::string() : mirror.assessment.damage[0]);
      CHECK_FALSE(mirror.assessment.damaged);
      for (auto& image : mirror.images) {
        image->decide = [&](const DeviceRequest&) {
          return SimulatedDevice::Fate{0, 1000 + mirror.runtime.draw(100'000), false};
        };
      }
      std::vector<AlignedBuffer> buffers;
      std::vector<std::optional<Status>> results(200);
      for (auto& result : results) {
        const Extent extent{mirror.runtime.draw(1000) * 4096, 4096};
        buffers.emplace_back(extent.length);
        mirror.runtime.random(buffers.back().span().first(64));
        mirror.start(mirror.session->write(extent, buffers.back().span(), mirror.runtime.draw(4) == 0, nullptr),
                     result);
      }
      const std::uint64_t steps = mirror.runtime.draw(1500);
      for (std::uint64_t i = 0; i < steps; ++i) mirror.runtime.step();
      mirror.crash();
    }
    REQUIRE(mirror.open().ok());
    CHECK(mirror.images_equal());
  }
}
