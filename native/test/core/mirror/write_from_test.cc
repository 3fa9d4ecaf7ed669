// A write that takes its bytes from a slave: an ordinary write, of what that slave held while the range was held alone.
#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "../../support/bad_block.h"
#include "../../support/running_mirror.h"

namespace blockmirror::test {
namespace {

constexpr std::uint64_t kBlock = 4096;
constexpr Extent kWhole{0, 64 * kBlock};
constexpr Extent kExtent{8 * kBlock, 4 * kBlock};

// Every image holds 7, but one slave, which holds something else in a part of kExtent, and nobody knows.
class Rig : public RunningMirror {
 public:
  explicit Rig(unsigned slaves = 2, std::uint64_t seed = 1) : RunningMirror({.seed = seed, .slaves = slaves}) {
    prove();
    REQUIRE(write(kWhole, 7, true).ok());
    REQUIRE(run(session->retire_all()).ok());
  }
  void rot(unsigned image) {
    const auto bytes = images[image]->content().subspan(kExtent.position + kBlock, kBlock);
    std::fill(bytes.begin(), bytes.end(), std::byte{9});
  }
  Outcome take(unsigned slave, Extent extent = kExtent) { return run(session->write_from(slave, extent, result)); }
  Pending& start_take(unsigned slave) { return start_task(session->write_from(slave, kExtent, result)); }
  std::byte at(unsigned image, std::uint64_t position) const { return images[image]->content()[position]; }
  std::byte durable_at(unsigned image, std::uint64_t position) const { return images[image]->durable()[position]; }
  SourceResult result;
};

constexpr std::uint64_t kRotten = kExtent.position + kBlock + 5;

}  // namespace

TEST_CASE("write from: every image holds what that slave held, durably when it answers, and what changed is counted") {
  Rig mirror(3);
  mirror.rot(2);
  REQUIRE(mirror.take(2).ok());
  CHECK(mirror.result.bytes_changed == kBlock);
  CHECK(mirror.result.bytes_unread == 0);
  CHECK(mirror.images_equal());
  for (unsigned i = 0; i < 4; ++i) {
    CHECK(mirror.durable_at(i, kRotten) == std::byte{9});
    CHECK(mirror.durable_at(i, kExtent.position) == std::byte{7});
  }
  REQUIRE(mirror.take(2).ok());
  CHECK(mirror.result.bytes_changed == 0);
}

TEST_CASE("write from: an intent names the extent before the first image is written") {
  Rig mirror;
  mirror.rot(1);
  bool written = false;
  for (auto& image : mirror.images) {
    image->decide = [&](const DeviceRequest& request) {
      if (request.operation == Operation::write) written = true;
      return after(1000);
    };
  }
  mirror.log->decide = [&](const DeviceRequest&) { return hold_fate(); };
  Rig::Pending& taking = mirror.start_take(1);
  mirror.advance();
  CHECK_FALSE(taking.ended());
  CHECK_FALSE(written);
  mirror.heal();
  mirror.advance();
  CHECK(taking.succeeded());
}

TEST_CASE(
    "write from: after a crash at any moment the images are equal, each block what it was or what the slave held") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    Rig mirror(2, seed);
    mirror.random_latencies();
    mirror.rot(1);
    Rig::Pending& taking = mirror.start_take(1);
    mirror.advance(mirror.runtime.draw(400'000));
    const bool answered = taking.succeeded();
    mirror.crash();
    mirror.heal();
    REQUIRE(mirror.open().ok());
    const std::byte held = mirror.at(0, kRotten);
    if (answered) CHECK(held == std::byte{9});
    CHECK((held == std::byte{7} || held == std::byte{9}));
    CHECK(mirror.at(2, kRotten) == held);
    if (mirror.session->snapshot().states[1] == ImageState::in_sync && answered) CHECK(mirror.images_equal());
  }
}

TEST_CASE("write from: a slave that is out gives nothing, and nothing is logged or written") {
  Rig mirror;
  FractureResult fractured;
  REQUIRE(mirror.run(mirror.session->fracture(image_bit(1), fractured)).ok());
  mirror.rot(1);
  const Outcome outcome = mirror.take(1);
  CHECK(outcome.code == Code::UNUSABLE_SOURCE);
  CHECK(outcome.image == 1);
  CHECK(mirror.at(0, kRotten) == std::byte{7});
}

TEST_CASE("write from: a slave gives what it does not owe, and nothing else") {
  Rig mirror;
  FractureResult fractured;
  REQUIRE(mirror.run(mirror.session->fracture(image_bit(1), fractured)).ok());
  REQUIRE(mirror.write({kExtent.position, kBlock}, 3).ok());
  REQUIRE(mirror.run(mirror.session->rejoin(1, false)).ok());
  CHECK(mirror.take(1).code == Code::UNUSABLE_SOURCE);
  CHECK(mirror.at(0, kExtent.position) == std::byte{3});
  CHECK(mirror.take(1, {32 * kBlock, kBlock}).ok());
  for (ResyncResult step;;) {
    REQUIRE(mirror.run(mirror.session->resync({image_bit(1)}, step)).ok());
    if (step.bytes_left == 0) break;
  }
  CHECK(mirror.take(1).ok());
  CHECK(mirror.images_equal());
}

TEST_CASE("write from: a slave that cannot be read gives nothing, and stays in the mirror") {
  Rig mirror;
  BadBlock bad(*mirror.images[1], {kExtent.position, kBlock});
  const Outcome outcome = mirror.take(1);
  CHECK(outcome.code == Code::READ_FAILED);
  CHECK(outcome.image == 1);
  CHECK(mirror.session->snapshot().states[1] == ImageState::in_sync);
  CHECK(mirror.take(2).ok());
}

TEST_CASE("write from: a slave that goes out while its content waits for the log is not believed") {
  Rig mirror;
  mirror.rot(1);
  mirror.log->decide = [&](const DeviceRequest& request) {
    return mirror.is_ring(request) ? hold_fate() : after(1000);
  };
  Rig::Pending& taking = mirror.start_take(1);
  mirror.advance();
  mirror.images[1]->decide = [&](const DeviceRequest& request) {
    return request.operation == Operation::flush ? error_fate() : after(1000);
  };
  Rig::Pending& flush = mirror.start_flush();
  mirror.advance();
  mirror.log->decide = nullptr;
  mirror.log->release_held();
  mirror.advance();
  CHECK(flush.ended());
  CHECK(taking.code() == Code::UNUSABLE_SOURCE);
  CHECK(mirror.at(0, kRotten) == std::byte{7});
}

TEST_CASE("write from: a write that comes meanwhile is there afterwards, on every image") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    Rig mirror(2, seed);
    mirror.random_latencies();
    mirror.rot(1);
    Rig::Pending& taking = mirror.start_take(1);
    mirror.advance(mirror.runtime.draw(300'000));
    Rig::Pending& write = mirror.start_write({kExtent.position + kBlock, kBlock}, 5);
    mirror.advance();
    REQUIRE(taking.succeeded());
    REQUIRE(write.succeeded());
    for (unsigned i = 0; i < 3; ++i) CHECK(mirror.at(i, kRotten) == std::byte{5});
  }
}

TEST_CASE("write from: what the master cannot read counts as changed, and the master holds it again") {
  Rig mirror;
  BadBlock bad(*mirror.images[0], {kExtent.position, kBlock});
  mirror.rot(1);
  REQUIRE(mirror.take(1).ok());
  CHECK(mirror.result.bytes_unread == kBlock);
  CHECK(mirror.result.bytes_changed == 2 * kBlock);
  CHECK_FALSE(bad.bad());
  CHECK(mirror.images_equal());
}

TEST_CASE("write from: an extent over two regions, of half a block or past the end is refused, and so is the master") {
  Rig mirror;
  for (const Extent& extent : {Extent{kMiB - kBlock, 2 * kBlock}, Extent{100, 512}, Extent{0, 100}, Extent{0, 0},
                               Extent{kRegionLength * 4, 4096}, Extent{0, kMiB + 4096}}) {
    CAPTURE(extent.position);
    CHECK(mirror.take(1, extent).code == Code::OUT_OF_RANGE);
  }
  CHECK(mirror.take(0).code == Code::WRONG_PHASE);
  CHECK(mirror.take(3).code == Code::WRONG_PHASE);
}

}  // namespace blockmirror::test
