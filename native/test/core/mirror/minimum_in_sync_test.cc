// minInSync: how many images in sync writes ask for, the master counted, and a master that goes on alone.
#include <doctest/doctest.h>

#include "../../support/recovery_steps.h"
#include "../../support/running_mirror.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr std::uint64_t kBlock = 4096;
constexpr Extent kFirst{0, kBlock};

class Rig : public RunningMirror {
 public:
  explicit Rig(unsigned minimum, unsigned slaves = 2)
      : RunningMirror({.slaves = slaves, .size = 8 * kMiB, .minimum_in_sync = minimum}) {
    prove();
  }
  ImageState state_of(unsigned image) const { return session->superblock().images[image].state; }
  Outcome fracture(ImageSet slaves) { return run(session->fracture(slaves, result)); }
  void lose(unsigned slave) {
    images[slave]->decide = [](const DeviceRequest&) { return error_fate(); };
  }
  Outcome datasync() { return run(session->flush()); }
  Outcome rejoin(unsigned slave) { return run(session->rejoin(slave, false)); }
  ResyncResult resync(ImageSet slaves) {
    ResyncResult step;
    do {
      REQUIRE(run(session->resync({slaves, kResyncBytes}, step)).ok());
    } while (step.in_sync != slaves);
    return step;
  }
  Outcome open_asking_for(unsigned minimum) {
    new_session();
    REQUIRE(run(session->load_superblock()).ok());
    REQUIRE(run(session->assess(assessment)).ok());
    ActivateOptions options;
    options.minimum_in_sync = minimum;
    return run(session->activate(options));
  }
  Outcome set(const PolicyChange& change) {
    new_session();
    REQUIRE(run(session->load_superblock()).ok());
    const Outcome outcome = run(session->set_policies(change));
    REQUIRE(run(session->close()).ok());
    return outcome;
  }
  FractureResult result;
};

}  // namespace

TEST_CASE("minInSync: a write during which too few are left is not acknowledged, and its fracture is durable") {
  for (const bool durable : {false, true}) {
    CAPTURE(durable);
    Rig mirror(2, 1);
    mirror.lose(1);
    CHECK(mirror.write(kFirst, 1, durable).code == Code::TOO_FEW_IN_SYNC);
    CHECK(mirror.durable_state(1) == ImageState::failed);
    CHECK(mirror.write({kBlock, kBlock}, 1).code == Code::TOO_FEW_IN_SYNC);
    CHECK(mirror.images[0]->content()[kBlock] == std::byte{0});
  }
}

TEST_CASE("minInSync: a discard and a write of a part of a block are held to it as any write") {
  Rig mirror(2, 1);
  mirror.lose(1);
  CHECK(mirror.run(mirror.session->discard(kFirst)).code == Code::TOO_FEW_IN_SYNC);
  CHECK(mirror.run(mirror.session->discard(kFirst)).code == Code::TOO_FEW_IN_SYNC);
  AlignedBuffer bytes(512);
  const Outcome part = mirror.run(mirror.session->write_partial({0, 512}, bytes.span(), {100, 100}, false, nullptr));
  CHECK(part.code == Code::TOO_FEW_IN_SYNC);
}

TEST_CASE("minInSync: as many as it asks for are enough") {
  Rig mirror(2);
  mirror.lose(1);
  CHECK(mirror.write(kFirst, 1).ok());
  CHECK(mirror.write(kFirst, 2, true).ok());
  CHECK(mirror.datasync().ok());
}

TEST_CASE("minInSync: datasync flushes what is left, and does not promise as many as it asks for") {
  Rig mirror(2, 1);
  REQUIRE(mirror.write(kFirst, 1).ok());
  mirror.lose(1);
  CHECK(mirror.datasync().code == Code::TOO_FEW_IN_SYNC);
  CHECK(mirror.images[0]->durable()[0] == std::byte{1});
  CHECK(mirror.run(mirror.session->close()).ok());
}

TEST_CASE("minInSync: what was read of a write that was not acknowledged stays") {
  Rig mirror(2, 1);
  mirror.lose(1);
  CHECK(mirror.write(kFirst, 1).code == Code::TOO_FEW_IN_SYNC);
  RunningMirror::Pending& read = mirror.start_read(kFirst);
  mirror.advance();
  REQUIRE(read.succeeded());
  CHECK(read.bytes.span()[0] == std::byte{1});
  mirror.heal();
  mirror.crash();
  REQUIRE(mirror.open().ok());
  REQUIRE(mirror.rejoin(1).ok());
  (void)mirror.resync(0b10);
  CHECK(mirror.images_equal());
  CHECK(mirror.write(kFirst, 2).ok());
}

TEST_CASE("minInSync: a slave with debt does not count until it is paid") {
  Rig mirror(2, 2);
  mirror.lose(1);
  mirror.lose(2);
  CHECK(mirror.write(kFirst, 1).code == Code::TOO_FEW_IN_SYNC);
  mirror.heal();
  REQUIRE(mirror.rejoin(1).ok());
  CHECK(mirror.state_of(1) == ImageState::synchronizing);
  CHECK(mirror.write(kFirst, 2).code == Code::TOO_FEW_IN_SYNC);
  (void)mirror.resync(0b010);
  CHECK(mirror.write(kFirst, 3).ok());
}

TEST_CASE("minInSync: what a crash left is paid before writes go on, where the mirror recovers while it runs") {
  Rig mirror(2, 1);
  mirror.background = true;
  REQUIRE(mirror.write(kFirst, 1).ok());
  mirror.crash();
  REQUIRE(mirror.open().ok());
  REQUIRE(mirror.state_of(1) == ImageState::synchronizing);
  CHECK(mirror.write(kFirst, 2).code == Code::TOO_FEW_IN_SYNC);
  (void)mirror.resync(0b10);
  CHECK(mirror.write(kFirst, 2).ok());
}

TEST_CASE("minInSync: a slave that is assumed to be equal counts") {
  RunningMirror mirror({.slaves = 1, .minimum_in_sync = 2});
  REQUIRE(mirror.session->superblock().images[1].state == ImageState::assumed);
  CHECK(mirror.write(kFirst, 1).ok());
}

TEST_CASE("a master without slaves logs, retires, closes, crashes, and takes each slave back for what it missed") {
  Rig mirror(1);
  REQUIRE(mirror.fracture(0b110).ok());
  REQUIRE(mirror.write({5 * kBlock, kBlock}, 1).ok());
  CHECK(mirror.session->snapshot().coverage_bytes > 0);
  REQUIRE(mirror.run(mirror.session->retire_all()).ok());
  CHECK(mirror.session->snapshot().coverage_bytes == 0);
  REQUIRE(mirror.write({9 * kBlock, kBlock}, 2, true).ok());
  mirror.crash();
  REQUIRE(mirror.open().ok());
  REQUIRE(mirror.write({20 * kBlock, kBlock}, 3).ok());
  REQUIRE(mirror.run(mirror.session->close()).ok());
  REQUIRE(mirror.open().ok());
  for (const unsigned slave : {1u, 2u}) REQUIRE(mirror.rejoin(slave).ok());
  const ResyncResult step = mirror.resync(0b110);
  CHECK(step.bytes_copied < kMiB);
  CHECK(mirror.images_equal());
}

TEST_CASE("fracture: every slave may go where the master alone is enough") {
  Rig mirror(1);
  REQUIRE(mirror.fracture(0b110).ok());
  CHECK(mirror.result.common);
  CHECK(mirror.write(kFirst, 1).ok());
}

TEST_CASE("fracture: one that would leave too few in sync is refused before anything is done") {
  Rig mirror(2);
  const std::uint64_t generation = durable_superblock(*mirror.log).generation.counter;
  CHECK(mirror.fracture(0b110).code == Code::TOO_FEW_IN_SYNC);
  CHECK(mirror.durable_state(1) == ImageState::in_sync);
  CHECK(durable_superblock(*mirror.log).generation.counter == generation);
  CHECK(mirror.fracture(0b010).ok());
  CHECK(mirror.fracture(0b100).code == Code::TOO_FEW_IN_SYNC);
}

TEST_CASE("fracture: it is refused when a slave fails under its barrier and too few would be left") {
  Rig mirror(2);
  mirror.images[2]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::flush ? error_fate() : after(1000);
  };
  CHECK(mirror.fracture(0b010).code == Code::TOO_FEW_IN_SYNC);
  CHECK(mirror.durable_state(1) == ImageState::in_sync);
  CHECK(mirror.durable_state(2) == ImageState::failed);
  CHECK(mirror.write(kFirst, 1).ok());
}

TEST_CASE("fracture: a slave that does not count may always go") {
  Rig mirror(2, 1);
  mirror.lose(1);
  CHECK(mirror.write(kFirst, 1).code == Code::TOO_FEW_IN_SYNC);
  mirror.heal();
  REQUIRE(mirror.rejoin(1).ok());
  CHECK(mirror.fracture(0b010).ok());
  CHECK(mirror.state_of(1) == ImageState::inconsistent);
}

TEST_CASE("minInSync: an opening may ask for more, for itself alone, and never for less") {
  Rig mirror(2, 2);
  REQUIRE(mirror.run(mirror.session->close()).ok());
  const Outcome less = mirror.open_asking_for(1);
  CHECK(less.code == Code::OUT_OF_RANGE);
  CHECK(less.position == 2);
  CHECK(mirror.open_asking_for(4).code == Code::OUT_OF_RANGE);
  REQUIRE(mirror.open_asking_for(3).ok());
  CHECK(mirror.session->snapshot().minimum_in_sync == 3);
  mirror.lose(1);
  CHECK(mirror.write(kFirst, 1).code == Code::TOO_FEW_IN_SYNC);
  mirror.heal();
  REQUIRE(mirror.run(mirror.session->close()).ok());
  REQUIRE(mirror.open().ok());
  CHECK(mirror.session->snapshot().minimum_in_sync == 2);
  CHECK(mirror.write(kFirst, 1).ok());
}

TEST_CASE("set: a policy is durable, what was not named stays, and what is out of range changes nothing") {
  Rig mirror(1, 2);
  REQUIRE(mirror.run(mirror.session->close()).ok());
  REQUIRE(mirror.set({.minimum_in_sync = 2}).ok());
  REQUIRE(mirror.set({.rejoin = RejoinPolicy::manual}).ok());
  for (const unsigned wrong : {0u, 4u}) {
    const Outcome refused = mirror.set({.minimum_in_sync = wrong, .rejoin = RejoinPolicy::automatic});
    CHECK(refused.code == Code::OUT_OF_RANGE);
    CHECK(refused.position == 3);
  }
  const Policies policies = durable_superblock(*mirror.log).policies;
  CHECK(policies.minimum_in_sync == 2);
  CHECK(policies.rejoin == RejoinPolicy::manual);
  REQUIRE(mirror.open().ok());
  CHECK(mirror.session->superblock().policies == policies);
}

TEST_CASE("set: a mirror that crashed is recovered after it as before it") {
  Rig mirror(1, 2);
  REQUIRE(mirror.write(kFirst, 1, true).ok());
  mirror.crash();
  REQUIRE(mirror.set({.minimum_in_sync = 2}).ok());
  REQUIRE(mirror.open().ok());
  CHECK(mirror.assessment.debt.contains(kFirst));
  CHECK(mirror.images_equal());
}

TEST_CASE("minInSync: a mirror is not made with one that its images cannot reach") {
  for (const unsigned wrong : {0u, 3u}) {
    SimulatedMirror mirror({.slaves = 1, .minimum_in_sync = wrong});
    CHECK(mirror.create(true).code == Code::OUT_OF_RANGE);
  }
}
