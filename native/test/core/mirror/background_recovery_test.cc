// A mirror that runs at once after a crash, and pays what the crash left while it does.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "../../../core/mirror/resync.h"
#include "../../support/recovery_steps.h"
#include "../../support/running_mirror.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr std::uint64_t kBlock = 4096;
constexpr ImageSet kSlaveSet = 0b110;

Extent block_at(std::uint64_t index) { return {index * kBlock, kBlock}; }

class Rig : public RunningMirror {
 public:
  explicit Rig(std::uint64_t seed = 1, bool proven = true)
      : RunningMirror({.seed = seed, .slaves = 2, .size = 16 * kMiB}) {
    if (proven) prove();
    background = true;
  }
  // Writes these blocks, and loses power before any of it was flushed: what lands differs from image to image.
  void crash_with(std::initializer_list<std::uint64_t> blocks) {
    for (const std::uint64_t block : blocks) REQUIRE(write(block_at(block), 0x11).ok());
    crash(50);
  }
  ImageState state(unsigned image) const { return session->superblock().images[image].state; }
  const ImageRecord& record(unsigned image) const { return session->superblock().images[image]; }
  std::uint64_t resync(ImageSet slaves = kSlaveSet) {
    std::uint64_t copied = 0;
    for (ResyncResult step;; copied += step.bytes_copied) {
      REQUIRE(run(session->resync({slaves, kResyncBytes}, step)).ok());
      if (step.bytes_left == 0 || (step.bytes_copied == 0 && step.in_sync == 0)) return copied + step.bytes_copied;
    }
  }
  bool is_equal_at(Extent extent) const {
    return std::all_of(images.begin() + 1, images.end(), [&](const auto& image) {
      return std::equal(image->content().begin() + static_cast<std::ptrdiff_t>(extent.position),
                        image->content().begin() + static_cast<std::ptrdiff_t>(extent.end()),
                        images[0]->content().begin() + static_cast<std::ptrdiff_t>(extent.position));
    });
  }
};

}  // namespace

TEST_CASE("background recovery: a mirror takes writes at once, and its slaves say that they are synchronizing") {
  Rig mirror;
  mirror.crash_with({1, 700, 3000});
  REQUIRE(mirror.open().ok());
  CHECK(mirror.session->phase() == Phase::running);
  CHECK(mirror.state(1) == ImageState::synchronizing);
  CHECK(mirror.durable_state(2) == ImageState::synchronizing);
  CHECK(mirror.session->snapshot().uncertain_bytes == 3 * kBlock);
  CHECK(mirror.write(block_at(2000), 0x22).ok());
}

TEST_CASE("background recovery: it copies what the crash left live and nothing else") {
  Rig mirror;
  mirror.crash_with({1, 700, 3000});
  REQUIRE(mirror.open().ok());
  REQUIRE(mirror.write(block_at(2000), 0x22).ok());
  CHECK(mirror.resync() == 2 * 3 * kBlock);
  CHECK(mirror.state(1) == ImageState::in_sync);
  CHECK(mirror.state(2) == ImageState::in_sync);
  CHECK(mirror.images_equal());
  CHECK(mirror.run(mirror.session->end_recovery({})).ok());
}

TEST_CASE("background recovery: a write to what is owed leaves the debt as it is") {
  Rig mirror;
  mirror.crash_with({1, 700});
  REQUIRE(mirror.open().ok());
  REQUIRE(mirror.write({block_at(1).position, 512}, 0x22).ok());
  CHECK(mirror.session->snapshot().uncertain_bytes == 2 * kBlock);
  mirror.resync();
  CHECK(mirror.images_equal());
}

TEST_CASE(
    "background recovery: from the locks to the first acknowledged write there are at most twenty durable writes") {
  Rig mirror;
  mirror.crash_with({1, 700, 3000});
  unsigned durable = 0;
  const auto count = [&](const DeviceRequest& request) {
    durable += request.durable || request.operation == Operation::flush ? 1 : 0;
    return after(1000);
  };
  mirror.log->decide = count;
  for (auto& image : mirror.images) image->decide = count;
  REQUIRE(mirror.open().ok());
  REQUIRE(mirror.write(block_at(2000), 0x22).ok());
  CHECK(durable <= 20);
}

TEST_CASE("background recovery: the tail passes what is owed only when a map holds it") {
  Rig mirror;
  mirror.crash_with({1, 700});
  REQUIRE(mirror.open().ok());
  CHECK(mirror.record(1).debt == DebtKind::none);  // the ring names it
  const std::uint64_t tail = mirror.session->snapshot().tail;
  REQUIRE(mirror.write(block_at(2000), 0x22).ok());
  CHECK(mirror.session->snapshot().tail == tail);
  REQUIRE(mirror.run(mirror.session->retire_all()).ok());
  CHECK(mirror.record(1).debt == DebtKind::map);
  CHECK(durable_superblock(*mirror.log).images[1].debt == DebtKind::map);
  mirror.crash(0);
  REQUIRE(mirror.open().ok());
  REQUIRE(mirror.run(mirror.session->read_debts()).ok());
  CHECK(mirror.session->snapshot().debts[1].bytes >= 2 * kBlock);
  mirror.resync();
  CHECK(mirror.is_equal_at(block_at(1)));
  CHECK(mirror.is_equal_at(block_at(700)));
}

TEST_CASE("background recovery: crashes one after another forget nothing, and end equal") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    Rig mirror(seed);
    mirror.random_latencies();
    std::mt19937_64 random(seed);
    for (unsigned life = 0; life < 4; ++life) {
      for (unsigned i = 0; i < 30; ++i)
        (void)mirror.start_write(block_at(random() % 4000), static_cast<unsigned char>(random()));
      ResyncResult step;
      std::optional<Outcome> resynced, retired;
      if (life > 0) mirror.start(mirror.session->resync({kSlaveSet, 16 * kBlock}, step), resynced);
      if (random() % 3 == 0) mirror.start(mirror.session->retire_all(), retired);
      for (unsigned i = random() % 400; i > 0; --i) mirror.runtime.step();
      mirror.crash(static_cast<unsigned>(random() % 101));
      mirror.heal();
      REQUIRE(mirror.open().ok());
      mirror.random_latencies();
    }
    mirror.resync();
    CHECK(mirror.state(1) == ImageState::in_sync);
    CHECK(mirror.images_equal());
  }
}

TEST_CASE("background recovery: a close in its middle keeps the debt, and the next opening goes on") {
  Rig mirror;
  mirror.crash_with({1, 700, 3000});
  REQUIRE(mirror.open().ok());
  REQUIRE(mirror.run(mirror.session->close()).ok());
  REQUIRE(mirror.open().ok());
  CHECK(mirror.assessment.clean);
  CHECK(mirror.state(1) == ImageState::synchronizing);
  CHECK(mirror.resync() == 2 * 3 * kBlock);
  CHECK(mirror.images_equal());
}

TEST_CASE("background recovery: a slave that fails before it is paid owes what the crash left too") {
  Rig mirror;
  mirror.crash_with({1, 700});
  REQUIRE(mirror.open().ok());
  mirror.images[1]->decide = [&](const DeviceRequest& request) {
    return mirror.is_data(request) ? error_fate() : after(1000);
  };
  REQUIRE(mirror.write(block_at(2000), 0x22).ok());
  mirror.images[1]->decide = nullptr;
  CHECK(mirror.state(1) == ImageState::inconsistent);
  REQUIRE(mirror.run(mirror.session->rejoin(1, false)).ok());
  CHECK(mirror.resync(0b010) == 3 * kBlock);
  mirror.resync();
  CHECK(mirror.images_equal());
}

TEST_CASE("background recovery: a damaged ring makes everything owed before the first write, and is whole again") {
  Rig mirror;
  mirror.crash_with({1, 700});
  const RingGeometry ring = durable_superblock(*mirror.log).ring;
  overwrite(mirror, *mirror.log, ring.position, std::vector<std::byte>(ring.length(), std::byte{0x5a}));
  REQUIRE(mirror.open().ok());
  REQUIRE(mirror.assessment.damaged);
  CHECK(durable_superblock(*mirror.log).images[1].debt == DebtKind::everything);
  REQUIRE(mirror.write(block_at(2000), 0x22).ok());
  mirror.crash(50);
  REQUIRE(mirror.open().ok());
  CHECK_FALSE(mirror.assessment.damaged);
  mirror.resync();
  CHECK(mirror.state(2) == ImageState::in_sync);
  CHECK(mirror.images_equal());
}

TEST_CASE("background recovery: slaves that were only assumed to be equal are assumed again when it is done") {
  Rig mirror(1, false);
  mirror.crash_with({1, 700});
  REQUIRE(mirror.open().ok());
  CHECK(mirror.state(1) == ImageState::synchronizing);
  mirror.resync();
  CHECK(mirror.state(1) == ImageState::assumed);
}

TEST_CASE("background recovery: an assumed slave that fails before it is paid owes everything") {
  Rig mirror(1, false);
  mirror.crash_with({1, 700});
  REQUIRE(mirror.open().ok());
  mirror.images[1]->decide = [&](const DeviceRequest& request) {
    return mirror.is_data(request) ? error_fate() : after(1000);
  };
  REQUIRE(mirror.write(block_at(2000), 0x22).ok());
  mirror.images[1]->decide = nullptr;
  CHECK(mirror.record(1).debt == DebtKind::everything);
}

TEST_CASE("background recovery: what a verify found to differ is not forgotten by paying what a crash left") {
  Rig mirror;
  VerifyResult found = mirror.found_equal();
  found.bytes_differed[1] = 512;
  REQUIRE(mirror.run(mirror.session->record_verify(found)).ok());
  mirror.crash_with({1});
  REQUIRE(mirror.open().ok());
  mirror.resync();
  CHECK(mirror.record(1).bytes_differed == 512);
}

TEST_CASE("background recovery: it is recorded when every slave has paid, and not before") {
  Rig mirror;
  mirror.crash_with({1});
  REQUIRE(mirror.open().ok());
  CHECK(mirror.run(mirror.session->end_recovery({})).code == Code::WRONG_PHASE);
  mirror.resync();
  REQUIRE(mirror.run(mirror.session->end_recovery({})).ok());
  mirror.crash(0);
  REQUIRE(mirror.open().ok());
  CHECK(mirror.assessment.debt.empty());
}

TEST_CASE("background recovery: while its end is recorded the mirror is compared as ever, and it is ended once") {
  Rig mirror;
  mirror.crash_with({1});
  REQUIRE(mirror.open().ok());
  mirror.resync();
  mirror.log->decide = [](const DeviceRequest&) { return hold_fate(); };
  RunningMirror::Pending& end = mirror.start_task(mirror.session->end_recovery({}));
  mirror.advance();
  REQUIRE_FALSE(end.ended());
  CompareResult compared;
  CHECK(mirror.run(mirror.session->compare({{0, kMiB}}, {}, compared)).ok());
  CHECK(mirror.run(mirror.session->end_recovery({})).code == Code::WRONG_PHASE);
  mirror.heal();
  mirror.advance();
  CHECK(end.succeeded());
}
