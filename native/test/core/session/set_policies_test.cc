// What a mirror goes by, changed: while nobody has it open, and while it runs.
#include <doctest/doctest.h>

#include "../../../core/session/policy_change.h"
#include "../../support/recovery_steps.h"
#include "../../support/running_mirror.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr std::uint64_t kBlock = 4096;
constexpr std::uint64_t kMillisecond_ns = 1'000'000;

class Rig : public RunningMirror {
 public:
  explicit Rig(const Options& options = {.slaves = 2, .size = 32 * kMiB}) : RunningMirror(options) { prove(); }
  Outcome set(const PolicyChange& change) { return run(session->set_policies(change)); }
  Policies durable_policies() const { return durable_superblock(*log).policies; }
  void hold_superblock() {
    log->decide = [this](const DeviceRequest& request) { return is_superblock(request) ? hold_fate() : Fate{}; };
  }
  void lose(unsigned slave) {
    images[slave]->decide = [](const DeviceRequest&) { return error_fate(); };
  }
  // The mirror, block after block of its first `length` bytes, each in a region that stays live.
  void write_regions(std::uint64_t length) {
    AlignedBuffer bytes(kMiB);
    for (std::uint64_t position = 0; position < length; position += kMiB) {
      REQUIRE(run(session->write({position, kMiB}, bytes.span(), false, nullptr)).ok());
    }
  }
  std::uint64_t live() const { return session->snapshot().coverage_bytes; }

 private:
  using Fate = SimulatedDevice::Fate;
};

}  // namespace

TEST_CASE("set: every policy is stored, and what is not named stays as it was") {
  Rig mirror;
  const PolicyChange changes[] = {{.minimum_in_sync = 2},
                                  {.rejoin = RejoinPolicy::manual},
                                  {.device_timeout_ms = 5000},
                                  {.wait_for_images_ms = kWaitForever},
                                  {.resync_rate = 100 * kMiB}};
  Policies expected;
  for (const PolicyChange& change : changes) {
    apply_change(change, expected);
    REQUIRE(mirror.set(change).ok());
    CHECK(mirror.durable_policies() == expected);
  }
  CHECK(expected == Policies{.minimum_in_sync = 2,
                             .rejoin = RejoinPolicy::manual,
                             .device_timeout_ms = 5000,
                             .resync_rate = 100 * kMiB,
                             .wait_for_images_ms = kWaitForever});
  REQUIRE(mirror.run(mirror.session->close()).ok());
  REQUIRE(mirror.open().ok());
  CHECK(mirror.session->superblock().policies == expected);
  CHECK(mirror.session->snapshot().device_timeout_ms == 5000);
}

TEST_CASE("set: what can not be is refused whole, and changes nothing") {
  Rig mirror;
  const Policies before = mirror.durable_policies();
  const PolicyChange changes[] = {{.minimum_in_sync = 0},
                                  {.minimum_in_sync = 4},
                                  {.device_timeout_ms = kLargestSetting + 1},
                                  {.wait_for_images_ms = kLargestSetting + 1},
                                  {.resync_rate = kLargestSetting + 1},
                                  {.recovery_budget = kMinimumRecoveryBudget - 1},
                                  {.recovery_budget = kMaximumRecoveryBudget + 1}};
  for (PolicyChange change : changes) {
    change.rejoin = RejoinPolicy::manual;
    CHECK(mirror.set(change).code == Code::OUT_OF_RANGE);
  }
  CHECK(mirror.durable_policies() == before);
  CHECK(mirror.session->superblock().policies == before);
}

TEST_CASE("set: a mirror that nobody has open has no recovery budget to be changed") {
  Rig mirror;
  REQUIRE(mirror.run(mirror.session->close()).ok());
  mirror.new_session();
  REQUIRE(mirror.run(mirror.session->load_superblock()).ok());
  CHECK(mirror.set({.rejoin = RejoinPolicy::manual, .recovery_budget = kMiB}).code == Code::WRONG_PHASE);
  CHECK(mirror.durable_policies().rejoin == RejoinPolicy::automatic);
}

TEST_CASE("set: a lower minInSync lets writes through when it is durable, and not before") {
  Rig mirror;
  REQUIRE(mirror.set({.minimum_in_sync = 3}).ok());
  mirror.lose(1);
  REQUIRE(mirror.write({0, kBlock}, 1).code == Code::TOO_FEW_IN_SYNC);
  mirror.hold_superblock();
  auto& set = mirror.start_task(mirror.session->set_policies({.minimum_in_sync = 2}));
  mirror.advance();
  CHECK_FALSE(set.ended());
  CHECK(mirror.write({0, kBlock}, 2).code == Code::TOO_FEW_IN_SYNC);
  mirror.log->decide = nullptr;
  mirror.log->release_held();
  mirror.advance();
  CHECK(set.succeeded());
  CHECK(mirror.durable_policies().minimum_in_sync == 2);
  CHECK(mirror.write({0, kBlock}, 3).ok());
}

TEST_CASE("set: a higher minInSync refuses writes from the moment on in which it is asked for") {
  Rig mirror;
  mirror.lose(1);
  REQUIRE(mirror.write({0, kBlock}, 1).ok());
  mirror.hold_superblock();
  auto& set = mirror.start_task(mirror.session->set_policies({.minimum_in_sync = 3}));
  mirror.advance();
  CHECK_FALSE(set.ended());
  CHECK(mirror.write({0, kBlock}, 2).code == Code::TOO_FEW_IN_SYNC);
}

TEST_CASE("set: what is changed of a running mirror holds in place of what its opening asked for") {
  Rig mirror;
  REQUIRE(mirror.run(mirror.session->close()).ok());
  mirror.new_session();
  mirror.session->set_device_timeout(7000 * kMillisecond_ns);
  REQUIRE(mirror.run(mirror.session->load_superblock()).ok());
  REQUIRE(mirror.run(mirror.session->assess(mirror.assessment)).ok());
  ActivateOptions options;
  options.minimum_in_sync = 3;
  REQUIRE(mirror.run(mirror.session->activate(options)).ok());
  REQUIRE(mirror.set({.rejoin = RejoinPolicy::manual}).ok());
  CHECK(mirror.session->snapshot().minimum_in_sync == 3);
  CHECK(mirror.session->snapshot().device_timeout_ms == 7000);
  REQUIRE(mirror.set({.minimum_in_sync = 1, .device_timeout_ms = 2000}).ok());
  CHECK(mirror.session->snapshot().minimum_in_sync == 1);
  CHECK(mirror.session->snapshot().device_timeout_ms == 2000);
}

TEST_CASE("set: two changes at once are both durable, one after the other") {
  Rig mirror;
  mirror.hold_superblock();
  auto& first = mirror.start_task(mirror.session->set_policies({.minimum_in_sync = 2}));
  auto& second =
      mirror.start_task(mirror.session->set_policies({.minimum_in_sync = 1, .rejoin = RejoinPolicy::manual}));
  mirror.advance();
  mirror.heal();
  mirror.advance();
  CHECK(first.succeeded());
  CHECK(second.succeeded());
  CHECK(mirror.durable_policies().minimum_in_sync == 1);
  CHECK(mirror.durable_policies().rejoin == RejoinPolicy::manual);
  CHECK(mirror.session->snapshot().minimum_in_sync == 1);
}

TEST_CASE("set: a change that the log cannot take stops the mirror, and is answered so") {
  Rig mirror;
  mirror.log->decide = [](const DeviceRequest&) { return error_fate(); };
  CHECK(mirror.set({.minimum_in_sync = 2}).code == Code::LOG_FAILED);
  CHECK(mirror.session->phase() == Phase::stopped);
}

TEST_CASE("set: a shorter deadline holds for requests that are under way") {
  Rig mirror;
  mirror.images[1]->decide = [](const DeviceRequest&) { return hold_fate(); };
  auto& write = mirror.start_write({0, kBlock}, 1);
  mirror.advance(100 * kMillisecond_ns);
  REQUIRE_FALSE(write.ended());
  REQUIRE(mirror.set({.device_timeout_ms = 50}).ok());
  mirror.advance();
  CHECK(write.succeeded());
  CHECK(durable_superblock(*mirror.log).images[1].fracture.cause == FractureCause::deadline);
}

TEST_CASE("set: a longer deadline ends the stall of a master that is no longer past it") {
  Rig mirror;
  REQUIRE(mirror.set({.device_timeout_ms = 50}).ok());
  mirror.images[0]->decide = [](const DeviceRequest&) { return hold_fate(); };
  (void)mirror.start_write({0, kBlock}, 1);
  mirror.advance(100 * kMillisecond_ns);
  REQUIRE(mirror.session->snapshot().stalls[0].since_ms != 0);
  REQUIRE(mirror.set({.device_timeout_ms = 1000}).ok());
  CHECK(mirror.session->snapshot().stalls[0].since_ms == 0);
  mirror.advance(1000 * kMillisecond_ns);
  CHECK(mirror.session->snapshot().stalls[0].since_ms != 0);
}

TEST_CASE("set: a lower recovery budget is answered when what is live fits into it") {
  Rig mirror;
  mirror.write_regions(16 * kMiB);
  REQUIRE(mirror.live() >= 16 * kMiB);
  REQUIRE(mirror.set({.recovery_budget = 4 * kMiB}).ok());
  CHECK(mirror.live() <= 4 * kMiB);
  CHECK(mirror.session->snapshot().recovery_budget == 4 * kMiB);
  mirror.write_regions(16 * kMiB);
  CHECK(mirror.live() <= 4 * kMiB);
  REQUIRE(mirror.set({.recovery_budget = 64 * kMiB}).ok());
  mirror.write_regions(16 * kMiB);
  CHECK(mirror.live() > 4 * kMiB);
}

TEST_CASE("set: a crash while a lower recovery budget is not reached loses nothing") {
  Rig mirror;
  mirror.write_regions(16 * kMiB);
  for (auto& image : mirror.images) image->decide = [](const DeviceRequest&) { return hold_fate(); };
  auto& set = mirror.start_task(mirror.session->set_policies({.recovery_budget = 4 * kMiB}));
  mirror.advance();
  REQUIRE_FALSE(set.ended());
  mirror.crash();
  mirror.heal();
  REQUIRE(mirror.open().ok());
  CHECK(mirror.images_equal());
}

TEST_CASE("set: a budget that is lowered under writes that never pause is reached, and they go on") {
  Rig mirror;
  mirror.random_latencies();
  bool stop = false;
  unsigned streams = 16;
  std::uint64_t written = 0;
  std::vector<AlignedBuffer> buffers;
  for (unsigned i = 0; i < streams; ++i) buffers.emplace_back(kBlock);
  const auto stream = [&](unsigned index) -> Task<Outcome> {
    for (std::uint64_t turn = 0; !stop; ++turn) {
      const Extent extent{index * kMiB + turn % 256 * kBlock, kBlock};
      const Outcome outcome = co_await mirror.session->write(extent, buffers[index].span(), false, nullptr);
      if (!outcome.ok()) co_return outcome;
      ++written;
    }
    co_return Outcome::success();
  };
  std::vector<RunningMirror::Pending*> all;
  for (unsigned i = 0; i < streams; ++i) all.push_back(&mirror.start_task(stream(i)));
  mirror.advance(100 * kMillisecond_ns);
  REQUIRE(mirror.live() > 2 * kMiB);
  REQUIRE(mirror.set({.recovery_budget = kMiB}).ok());
  CHECK(mirror.live() <= kMiB);
  const std::uint64_t before = written;
  mirror.advance(100 * kMillisecond_ns);
  CHECK(written > before);
  CHECK(mirror.live() <= kMiB);
  stop = true;
  mirror.advance(100 * kMillisecond_ns);
  for (const auto* one : all) CHECK(one->succeeded());
}
