// A device fails a write, loses its volatile cache with it, and answers again, while another image has not answered that
// write yet. What it answers from then on proves nothing (I11): not that an earlier write is durable (I2, I4), nor what is
// read of it.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>

#include "../../support/recovery_steps.h"
#include "../../support/running_mirror.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

using Pending = RunningMirror::Pending;

constexpr Extent kBefore{0, 2 * kMiB};                    // acknowledged before, and in the caches alone
constexpr Extent kFailing{2 * kMiB, kMiB};                // the write that fails on one image
constexpr Extent kBeside{3 * kMiB, 4096};                 // written while nobody knows how that one ends
constexpr std::uint64_t kSmallBudget = 7 * kMiB / 2;      // with all of them live a retirement is wanted
constexpr unsigned char kOld = 1, kNew = 2, kLatest = 3;  // what the portions hold

// kBefore holds kNew, in no image durably; the write of kFailing has failed on `failing` and waits for `late`.
class Forgetful : public RunningMirror {
 public:
  Forgetful(unsigned failing_image, unsigned late_image, std::uint64_t budget = kDefaultRecoveryBudget)
      : RunningMirror({.slaves = 2, .recovery_budget = budget}), failing(failing_image), late(late_image) {
    prove();
    for (std::uint64_t at = 0; at < 4 * kMiB; at += kMiB) REQUIRE(write({at, kMiB}, kOld).ok());
    REQUIRE(run(session->flush()).ok());
    REQUIRE(run(session->retire_all()).ok());
    for (std::uint64_t at = 0; at < kBefore.end(); at += kMiB) REQUIRE(write({at, kMiB}, kNew).ok());
    images[failing]->decide = [this](const DeviceRequest& request) {
      // It forgets before it flushes.
      return is_failing_write(request) ? error_fate() : after(request.operation == Operation::flush ? 20'000 : 1000);
    };
    images[failing]->on_settle = [this](const DeviceRequest&, int error) {
      if (error != 0) images[failing]->lose_cache();
    };
    images[late]->decide = [this](const DeviceRequest& request) {
      return is_failing_write(request) ? hold_fate() : SimulatedDevice::Fate{};
    };
  }
  ~Forgetful() { images[failing]->on_settle = nullptr; }

  Pending& fail_write() {
    Pending& write = start_write(kFailing, kNew);
    advance(1'000'000);
    REQUIRE_FALSE(write.ended());
    return write;
  }
  bool fracture_is_durable() const { return durable_state(failing) == ImageState::failed; }
  void late_image_answers() {
    images[late]->decide = nullptr;
    images[late]->release_held();
    advance();
  }
  void crash_and_open() {
    images[failing]->on_settle = nullptr;
    crash(0);
    for (auto& image : images) image->decide = nullptr;
    REQUIRE(open().ok());
  }
  bool holds(unsigned image, Extent extent, unsigned char fill) const {
    const std::span<const std::byte> bytes = images[image]->content().subspan(extent.position, extent.length);
    return std::all_of(bytes.begin(), bytes.end(), [=](std::byte byte) { return byte == std::byte{fill}; });
  }
  // I10: every slave that is in sync is equal to the master.
  bool equal_in_sync() const {
    for (unsigned i = 1; i < images.size(); ++i) {
      if (session->snapshot().states[i] == ImageState::failed) continue;
      if (!std::equal(images[0]->content().begin(), images[0]->content().begin() + 4 * kMiB,
                      images[i]->content().begin())) {
        return false;
      }
    }
    return true;
  }
  bool is_failing_write(const DeviceRequest& request) const {
    return request.operation == Operation::write && request.position == kFailing.position;
  }

  const unsigned failing, late;
};

struct Images {
  unsigned failing, late;
};
constexpr Images kSlaveFails[] = {{1, 0}, {1, 2}};
constexpr Images kMasterFails[] = {{0, 1}, {0, 2}};

}  // namespace

TEST_CASE("I4: a datasync beside a write that a slave failed ends when the fracture of that slave is durable") {
  for (const auto [failing, late] : kSlaveFails) {
    CAPTURE(late);
    Forgetful mirror(failing, late);
    mirror.fail_write();
    CHECK(mirror.run(mirror.session->flush()).ok());
    CHECK(mirror.fracture_is_durable());
    mirror.crash_and_open();
    CHECK(mirror.holds(0, kBefore, kNew));
    CHECK(mirror.holds(2, kBefore, kNew));
    CHECK(mirror.equal_in_sync());
  }
}

TEST_CASE("I4: a datasync beside a write that the master failed fails as that write does") {
  for (const auto [failing, late] : kMasterFails) {
    CAPTURE(late);
    Forgetful mirror(failing, late);
    Pending& write = mirror.fail_write();
    CHECK(mirror.run(mirror.session->flush()).code == Code::MASTER_FAILED);
    mirror.late_image_answers();
    CHECK(write.code() == Code::MASTER_FAILED);
    CHECK(durable_superblock(*mirror.log).images[0].error == kIoError);
    mirror.crash_and_open();
    CHECK(mirror.equal_in_sync());
  }
}

TEST_CASE("I4: a datasync that was under way when an image failed a write says nothing about that image") {
  for (const auto [failing, late] : {kSlaveFails[0], kSlaveFails[1], kMasterFails[0], kMasterFails[1]}) {
    CAPTURE(failing);
    CAPTURE(late);
    Forgetful mirror(failing, late);
    const auto decide = mirror.images[failing]->decide;
    mirror.images[failing]->decide = [&](const DeviceRequest& request) {
      return request.operation == Operation::flush ? hold_fate() : decide(request);
    };
    Pending& flush = mirror.start_flush();
    mirror.fail_write();
    CHECK_FALSE(flush.succeeded());
    mirror.images[failing]->release_held();
    mirror.advance();
    CHECK(flush.ended());
    CHECK(flush.succeeded() == (failing != 0));
    if (flush.succeeded()) CHECK(mirror.fracture_is_durable());
    mirror.crash_and_open();
    CHECK(mirror.equal_in_sync());
    if (failing != 0) CHECK(mirror.holds(0, kBefore, kNew));
  }
}

TEST_CASE(
    "I5: a write, with dsync or without, is not acknowledged beside one that an image failed and nobody recorded") {
  for (const auto [failing, late] : {kSlaveFails[0], kSlaveFails[1], kMasterFails[0], kMasterFails[1]}) {
    for (const bool durable : {false, true}) {
      CAPTURE(failing);
      CAPTURE(late);
      CAPTURE(durable);
      Forgetful mirror(failing, late);
      // Submitted before the failure, answered after it: where FUA is emulated its bytes may have been in the cache.
      const auto decide = mirror.images[failing]->decide;
      mirror.images[failing]->decide = [&](const DeviceRequest& request) {
        return mirror.is_data(request) && request.position == kBeside.position ? hold_fate() : decide(request);
      };
      Pending& under_way = mirror.start_write(kBeside, kNew, durable);
      mirror.fail_write();
      mirror.images[failing]->decide = nullptr;
      mirror.images[failing]->release_held();
      Pending& later = mirror.start_write({kBeside.end(), 4096}, kNew, durable);
      mirror.advance();
      for (const Pending* write : {&under_way, &later}) {
        CHECK(write->ended());
        CHECK(write->succeeded() == (failing != 0));
      }
      CHECK(mirror.fracture_is_durable() == (failing != 0));
      mirror.crash_and_open();
      CHECK(mirror.equal_in_sync());
      if (failing != 0 && durable) CHECK(mirror.holds(0, kBeside, kNew));
    }
  }
}

TEST_CASE("I2: nothing is retired by a flush of a slave that failed a write before its fracture is durable") {
  for (const auto [failing, late] : kSlaveFails) {
    for (const bool pressed : {false, true}) {
      CAPTURE(late);
      CAPTURE(pressed);
      Forgetful mirror(failing, late, pressed ? kSmallBudget : kDefaultRecoveryBudget);
      bool retired = false, too_early = false;
      const std::uint64_t tail = mirror.session->snapshot().tail;
      mirror.log->on_submit = [&](const DeviceRequest& request) {
        if (!mirror.is_ring(request) || mirror.session->snapshot().counters.regionsRetired <= 4) return;
        retired = true;
        too_early |= !mirror.fracture_is_durable();
      };
      mirror.fail_write();
      if (pressed) {
        mirror.advance();
      } else {
        CHECK(mirror.run(mirror.session->retire_all()).ok());
      }
      CHECK(retired);
      CHECK_FALSE(too_early);
      CHECK(mirror.session->snapshot().tail > tail);
      mirror.log->on_submit = nullptr;
      mirror.crash_and_open();
      CHECK(mirror.equal_in_sync());
      CHECK(mirror.holds(0, kBefore, kNew));
    }
  }
}

TEST_CASE("I2: nothing is retired by a flush of a master that failed a write") {
  for (const auto [failing, late] : kMasterFails) {
    for (const bool pressed : {false, true}) {
      CAPTURE(late);
      CAPTURE(pressed);
      Forgetful mirror(failing, late, pressed ? kSmallBudget : kDefaultRecoveryBudget);
      const std::uint64_t retired = mirror.session->snapshot().counters.regionsRetired;
      mirror.fail_write();
      if (!pressed) CHECK_FALSE(mirror.run(mirror.session->retire_all()).ok());
      mirror.advance();
      CHECK(mirror.session->snapshot().counters.regionsRetired == retired);
      mirror.crash_and_open();
      CHECK(mirror.equal_in_sync());
    }
  }
}

TEST_CASE("I2: a close that waits for a write that an image failed retires nothing on the word of that image") {
  for (const auto [failing, late] : {kSlaveFails[0], kSlaveFails[1], kMasterFails[0], kMasterFails[1]}) {
    for (const bool answers : {false, true}) {
      CAPTURE(failing);
      CAPTURE(late);
      CAPTURE(answers);
      Forgetful mirror(failing, late, kSmallBudget);
      Pending& write = mirror.start_write(kFailing, kNew);
      Pending& close = mirror.start_close();
      mirror.advance();
      CHECK_FALSE(close.ended());
      if (answers) {
        mirror.late_image_answers();
        CHECK(write.succeeded() == (failing != 0));
        CHECK(close.outcome->code == (failing == 0 ? Code::MASTER_FAILED : Code::ok));
        CHECK(mirror.fracture_is_durable() == (failing != 0));
      }
      mirror.crash_and_open();
      CHECK(mirror.assessment.clean == (answers && failing != 0));
      CHECK(mirror.equal_in_sync());
      if (failing != 0) CHECK(mirror.holds(0, kBefore, kNew));
    }
  }
}

TEST_CASE("I4: a read is not answered with what a master holds that failed a write and lost its cache") {
  for (const auto [failing, late] : kMasterFails) {
    CAPTURE(late);
    Forgetful mirror(failing, late);
    mirror.fail_write();
    Pending& read = mirror.start_read({kBefore.position, 4096});
    CompareResult compared;
    const Outcome outcome = mirror.run(mirror.session->compare({{0, kMiB}}, {}, compared));
    mirror.advance();
    CHECK(read.code() == Code::MASTER_FAILED);
    CHECK_FALSE(outcome.ok());
    CHECK(compared.differences.empty());
  }
}

TEST_CASE("a comparison beside a write that a slave failed does not count what that slave lost") {
  for (const auto [failing, late] : kSlaveFails) {
    CAPTURE(late);
    Forgetful mirror(failing, late);
    mirror.fail_write();
    CompareResult compared;
    REQUIRE(mirror.run(mirror.session->compare({{0, kMiB}}, {}, compared)).ok());
    CHECK(compared.differences.empty());
    CHECK(compared.bytes_compared[failing] == 0);
    CHECK(compared.bytes_compared[2] == kMiB);
  }
}

TEST_CASE(
    "a crash after any event beside a write that an image failed leaves images that are equal, and what was synced") {
  for (const auto [failing, late] : {kSlaveFails[0], kSlaveFails[1], kMasterFails[0], kMasterFails[1]}) {
    bool through = false;
    for (unsigned steps = 0; !through; ++steps) {
      CAPTURE(failing);
      CAPTURE(late);
      CAPTURE(steps);
      Forgetful mirror(failing, late, kSmallBudget);
      mirror.start_write(kFailing, kNew);
      Pending& flush = mirror.start_flush();
      Pending& beside = mirror.start_write(kBeside, kLatest, true);
      Pending& retirement = mirror.start_task(mirror.session->retire_all());
      for (unsigned i = 0; i < steps; ++i) mirror.runtime.step();
      through = flush.ended() && beside.ended() && retirement.ended();
      const bool synced = flush.succeeded(), durable = beside.succeeded();
      mirror.crash_and_open();
      CHECK(mirror.equal_in_sync());
      if (synced) CHECK(mirror.holds(0, kBefore, kNew));
      if (durable) CHECK(mirror.holds(0, kBeside, kLatest));
      REQUIRE(steps < 200);
    }
  }
}

TEST_CASE("I14: what a slave failed to take in a recovery stays owed, whatever the others are flushed of beside it") {
  RunningMirror mirror({.slaves = 2});
  REQUIRE(mirror.write({0, kMiB}, kNew).ok());
  REQUIRE(mirror.write({kMiB, kMiB}, kNew).ok());
  mirror.crash(50);
  mirror.background = true;
  REQUIRE(mirror.open().ok());
  const auto is_second = [](const DeviceRequest& request) {
    return request.operation == Operation::write && request.position >= kMiB && request.position < 2 * kMiB;
  };
  mirror.images[1]->decide = [&](const DeviceRequest& request) {
    return is_second(request) ? error_fate() : SimulatedDevice::Fate{};
  };
  mirror.images[1]->on_settle = [&](const DeviceRequest&, int error) {
    if (error != 0) mirror.images[1]->lose_cache();
  };
  mirror.images[2]->decide = [&](const DeviceRequest& request) {
    return is_second(request) ? hold_fate() : SimulatedDevice::Fate{};
  };
  ResyncResult step;
  Pending& copy = mirror.start_task(mirror.session->resync({0b110, kResyncBytes}, step));
  mirror.advance();
  CHECK(mirror.run(mirror.session->flush()).ok());
  CHECK_FALSE(copy.ended());
  mirror.images[2]->release_held();
  mirror.images[2]->decide = nullptr;
  mirror.advance();
  CHECK(copy.succeeded());
  CHECK(mirror.durable_state(1) == ImageState::inconsistent);
  CHECK(mirror.session->snapshot().debts[1].bytes >= 2 * kMiB);
  mirror.images[1]->on_settle = nullptr;
  CHECK(std::equal(mirror.images[0]->content().begin(), mirror.images[0]->content().begin() + 4 * kMiB,
                   mirror.images[2]->content().begin()));
}
