// A slave, the master or the log that hangs under a running mirror (I15).
#include <doctest/doctest.h>

#include "../../support/recovery_steps.h"
#include "../../support/running_mirror.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr std::uint64_t kBlock = 4096;
constexpr std::uint64_t kTimeout_ns = 40'000'000;

class Rig : public RunningMirror {
 public:
  explicit Rig() : RunningMirror({.seed = 1, .slaves = 2, .size = 4 * kMiB}) {
    prove();
    session->set_device_timeout(kTimeout_ns);
  }
  void hang(SimulatedDevice& device) {
    device.decide = [](const DeviceRequest&) { return hold_fate(); };
  }
  const ImageRecord& image(unsigned index) const { return session->superblock().images[index]; }
};

}  // namespace

TEST_CASE("deadline: a slave that hangs is fractured by its deadline, and the writes that waited for it go on") {
  Rig mirror;
  mirror.hang(*mirror.images[1]);
  std::vector<RunningMirror::Pending*> writes;
  for (unsigned i = 0; i < 20; ++i) writes.push_back(&mirror.start_write({i * kBlock, kBlock}, 0x21));
  mirror.advance(2 * kTimeout_ns);
  for (const auto* write : writes) CHECK(write->succeeded());
  CHECK(mirror.durable_state(1) == ImageState::failed);
  CHECK(mirror.image(1).fracture.cause == FractureCause::deadline);
  CHECK(mirror.image(1).error == ETIMEDOUT);
  CHECK(mirror.durable_state(2) == ImageState::in_sync);
  CHECK(mirror.session->snapshot().stalls[1].since_ms != 0);
  CHECK(mirror.write({100 * kBlock, kBlock}, 0x22).ok());
}

TEST_CASE("deadline: slaves that hang together go out in one generation") {
  Rig mirror;
  const std::uint64_t before = mirror.session->superblock().generation.counter;
  mirror.hang(*mirror.images[1]);
  RunningMirror::Pending& write = mirror.start_write({0, kBlock}, 0x21);
  mirror.hang(*mirror.images[2]);
  RunningMirror::Pending& other = mirror.start_write({kBlock, kBlock}, 0x21);
  mirror.advance(2 * kTimeout_ns);
  CHECK(write.ended());
  CHECK(other.ended());
  CHECK(mirror.session->superblock().generation.counter <= before + 2);
}

TEST_CASE("deadline: a slave is not taken back while an answer of before is out, and is when it has come") {
  Rig mirror;
  mirror.hang(*mirror.images[1]);
  (void)mirror.start_write({0, kBlock}, 0x21);
  mirror.advance(2 * kTimeout_ns);
  const Outcome refused = mirror.run(mirror.session->rejoin(1, false));
  CHECK(refused.code == Code::STALLED);
  CHECK(refused.image == 1);
  mirror.heal();
  mirror.advance(kTimeout_ns);
  CHECK(mirror.session->snapshot().stalls[1].since_ms == 0);
  REQUIRE(mirror.run(mirror.session->rejoin(1, false)).ok());
  ResyncResult step;
  do {
    REQUIRE(mirror.run(mirror.session->resync({image_bit(1), kMiB}, step)).ok());
  } while (step.bytes_left > 0);
  CHECK(mirror.image(1).state == ImageState::in_sync);
  CHECK(mirror.images_equal());
}

TEST_CASE("deadline: close seals the mirror without a slave that hangs") {
  Rig mirror;
  mirror.hang(*mirror.images[1]);
  (void)mirror.start_write({0, kBlock}, 0x21);
  mirror.advance(2 * kTimeout_ns);
  REQUIRE(mirror.run(mirror.session->close()).ok());
  CHECK(durable_superblock(*mirror.log).lifecycle == Lifecycle::sealed);
  CHECK(mirror.session->owed(1) > 0);
}

TEST_CASE("deadline: the memory of a write is not let go while a slave that hangs may read it") {
  Rig mirror;
  mirror.hang(*mirror.images[1]);
  const std::byte* memory = nullptr;
  {
    AlignedBuffer bytes(kBlock);
    memory = bytes.span().data();
    std::memset(bytes.span().data(), 0x37, kBlock);
    REQUIRE(mirror.run(mirror.session->write({0, kBlock}, bytes.span(), false, nullptr)).ok());
  }
  CHECK(HeldMemory::of_this_thread().holds(memory, kBlock));
  CHECK(memory[0] == std::byte{0x37});
  mirror.heal();
  mirror.advance();
  CHECK_FALSE(HeldMemory::of_this_thread().any());
}

TEST_CASE("deadline: the master and the log are said to be stalled while they are, and the requests wait") {
  Rig mirror;
  mirror.hang(*mirror.log);
  const RunningMirror::Pending& logged = mirror.start_write({0, kBlock}, 0x21);
  mirror.advance(2 * kTimeout_ns);
  CHECK_FALSE(logged.ended());
  CHECK(mirror.session->snapshot().log_stall.since_ms != 0);
  mirror.heal();
  mirror.advance(kTimeout_ns);
  CHECK(logged.succeeded());
  CHECK(mirror.session->snapshot().log_stall.since_ms == 0);
  mirror.hang(*mirror.images[0]);
  const RunningMirror::Pending& written = mirror.start_write({0, kBlock}, 0x22);
  mirror.advance(2 * kTimeout_ns);
  CHECK_FALSE(written.ended());
  CHECK(mirror.session->snapshot().stalls[0].since_ms != 0);
  mirror.heal();
  mirror.advance(kTimeout_ns);
  CHECK(written.succeeded());
}

TEST_CASE("deadline: an opening goes on without a slave whose label is not answered") {
  Rig mirror;
  REQUIRE(mirror.run(mirror.session->close()).ok());
  mirror.hang(*mirror.images[1]);
  mirror.new_session();
  mirror.session->set_device_timeout(kTimeout_ns);
  REQUIRE(mirror.run(mirror.session->load_superblock()).ok());
  REQUIRE(mirror.run(mirror.session->assess(mirror.assessment)).ok());
  CHECK(mirror.assessment.images[1].code == Code::READ_FAILED);
  CHECK(mirror.assessment.images[1].system_error == ETIMEDOUT);
  ActivateOptions activate;
  activate.left_out = image_bit(1);
  REQUIRE(mirror.run(mirror.session->activate(activate)).ok());
  CHECK(mirror.image(1).fracture.cause == FractureCause::deadline);
  CHECK(mirror.image(1).debt == DebtKind::map);
}
