// Steps 4 and 5 of claim 1, and what may go wrong in them.

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>

#include "../../../core/images/differences.h"
#include "../../support/bad_block.h"
#include "../../support/recovery_steps.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

using Pending = RunningMirror::Pending;

constexpr Extent kPortion{256 * 1024, 16384};
constexpr std::byte kOld{1};
constexpr std::byte kNew{2};

bool holds(const SimulatedDevice& image, std::byte value) {
  const std::span<const std::byte> bytes = image.durable().subspan(kPortion.position, kPortion.length);
  return std::all_of(bytes.begin(), bytes.end(), [&](std::byte byte) { return byte == value; });
}

// A mirror that lost its power in a write from old to new which only the images of `updated` have.
struct CutOff : RunningMirror {
  CutOff(unsigned slaves, ImageSet updated, bool proven = false) : RunningMirror({.slaves = slaves}) {
    if (proven) prove();
    REQUIRE(write(kPortion, static_cast<unsigned char>(kOld), true).ok());
    REQUIRE(run(session->retire_all()).ok());
    for (unsigned i = 0; i < images.size(); ++i) {
      if ((updated & image_bit(i)) == 0) images[i]->decide = [](const DeviceRequest&) { return hold_fate(); };
    }
    Pending& write = start_write(kPortion, static_cast<unsigned char>(kNew), true);
    advance();
    acknowledged = write.ended();
    crash(0);
    heal();
    for (unsigned i = 0; i < images.size(); ++i)
      REQUIRE(holds(*images[i], (updated & image_bit(i)) != 0 ? kNew : kOld));
  }
  bool acknowledged = false;
};

// Of that mirror, in phase recovering.
void begin_recovery(RunningMirror& mirror) {
  mirror.new_session();
  REQUIRE(mirror.run(mirror.session->load_superblock()).ok());
  REQUIRE(mirror.run(mirror.session->assess(mirror.assessment)).ok());
  REQUIRE(mirror.run(mirror.session->activate({})).ok());
  REQUIRE(mirror.session->phase() == Phase::recovering);
}
// Claim 1: after a crash that left the new bytes on `updated`, both images of the mirror hold `value`.
void check_case_of_claim_1(ImageSet updated, std::byte value) {
  CutOff mirror(1, updated);
  CHECK(mirror.acknowledged == (updated == 0b11));
  REQUIRE(mirror.open().ok());
  const bool differed = updated == 0b01 || updated == 0b10;
  CHECK(mirror.bytes_differed == (differed ? kPortion.length : 0));
  CHECK(holds(*mirror.images[0], value));
  CHECK(holds(*mirror.images[1], value));
}
Outcome copy_debt(RunningMirror& mirror, bool only_differing = false) {
  RecoverySteps steps;
  steps.only_differing = only_differing;
  return mirror.run(steps.copy(*mirror.session));
}
ResyncOrder order_of(const RunningMirror& mirror, CopyWay way = {}) {
  ResyncOrder order;
  order.slaves = mirror.session->snapshot().recovering;
  order.way = way;
  return order;
}

}  // namespace

TEST_CASE("claim 1, the slave was updated and the master not: the slave is rolled back") {
  check_case_of_claim_1(0b10, kOld);
}

TEST_CASE("claim 1, neither was updated: both hold the old bytes") { check_case_of_claim_1(0b00, kOld); }

TEST_CASE("claim 1, both were updated: both hold the new bytes") { check_case_of_claim_1(0b11, kNew); }

TEST_CASE("claim 1, the master was updated and the slave not: the slave is rolled forward") {
  check_case_of_claim_1(0b01, kNew);
}

TEST_CASE("claim 1, slaves in different cases at once: each becomes what the master is") {
  for (ImageSet updated = 0; updated < 16; ++updated) {
    CAPTURE(updated);
    CutOff mirror(3, updated);
    REQUIRE(mirror.assessment.debt.contains(kPortion) == false);
    REQUIRE(mirror.open().ok());
    CHECK(mirror.assessment.debt.contains(kPortion));
    for (auto& image : mirror.images) CHECK(holds(*image, (updated & 1u) != 0 ? kNew : kOld));
    CHECK(mirror.images_equal());
  }
}

TEST_CASE("writes torn at any sector on any image are made equal") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    RunningMirror mirror({.seed = seed, .slaves = 2});
    for (auto& image : mirror.images) image->decide = [](const DeviceRequest&) { return hold_fate(); };
    mirror.start_write({0, 65536}, 3);
    mirror.start_write({kMiB, 65536}, 4);
    mirror.advance();
    mirror.crash(50);
    mirror.heal();
    CHECK_FALSE(mirror.images_equal());
    REQUIRE(mirror.open().ok());
    CHECK(mirror.images_equal());
  }
}

TEST_CASE("assess writes nothing, and can be asked again with the same answer") {
  CutOff mirror(1, 0b01);
  unsigned writes = 0;
  auto count = [&](const DeviceRequest& request) { writes += request.operation == Operation::read ? 0 : 1; };
  mirror.log->on_submit = count;
  for (auto& image : mirror.images) image->on_submit = count;
  mirror.new_session();
  REQUIRE(mirror.run(mirror.session->load_superblock()).ok());
  Assessment first, second;
  REQUIRE(mirror.run(mirror.session->assess(first)).ok());
  REQUIRE(mirror.run(mirror.session->assess(second)).ok());
  CHECK(writes == 0);
  CHECK(first.debt.extents() == second.debt.extents());
  CHECK(first.debt.extents() == std::vector<Extent>{kPortion});
  CHECK_FALSE(first.clean);
  mirror.log->on_submit = nullptr;
  for (auto& image : mirror.images) image->on_submit = nullptr;
}

TEST_CASE("recovery writes to slaves only, and only what the log names") {
  CutOff mirror(2, 0b011);
  bool strays = false;
  mirror.images[0]->on_submit = [&](const DeviceRequest& request) {
    strays |= request.operation == Operation::write && mirror.is_data(request);
  };
  for (unsigned i : {1u, 2u}) {
    mirror.images[i]->on_submit = [&](const DeviceRequest& request) {
      const bool data = request.operation == Operation::write && mirror.is_data(request);
      strays |= data && !kPortion.contains({request.position, request.length});
    };
  }
  REQUIRE(mirror.open().ok());
  CHECK_FALSE(strays);
  for (auto& image : mirror.images) image->on_submit = nullptr;
}

TEST_CASE("only what differs is rewritten when asked so, whatever the block size") {
  for (std::uint32_t block : {512u, 4096u}) {
    CAPTURE(block);
    RunningMirror mirror({.slaves = 2, .logical_block_size = block, .physical_block_size = 16384});
    mirror.images[2]->decide = [](const DeviceRequest&) { return hold_fate(); };
    for (std::uint64_t at = 0; at < 256; at += 3) mirror.start_write({at * 4096, 4096}, 7, true);
    mirror.advance();
    mirror.crash(0);
    mirror.heal();
    begin_recovery(mirror);
    std::uint64_t written = 0;
    mirror.images[2]->on_submit = [&](const DeviceRequest& request) {
      written += request.operation == Operation::write && mirror.is_data(request) ? request.length : 0;
    };
    REQUIRE(copy_debt(mirror, true).ok());
    CHECK(written > 0);
    CHECK(written <= 86 * 4096);
    CHECK(mirror.images_equal());
    mirror.images[2]->on_submit = nullptr;
  }
}

TEST_CASE("without comparing the slaves are not read, and each becomes what the master is") {
  for (ImageSet updated = 0; updated < 8; ++updated) {
    CAPTURE(updated);
    CutOff mirror(2, updated);
    begin_recovery(mirror);
    unsigned read = 0;
    for (unsigned i : {1u, 2u}) {
      mirror.images[i]->on_submit = [&](const DeviceRequest& request) {
        read += request.operation == Operation::read ? 1 : 0;
      };
    }
    RecoverySteps steps;
    steps.compare = false;
    REQUIRE(mirror.run(steps.copy(*mirror.session)).ok());
    CHECK(read == 0);
    CHECK(steps.bytes_differed == 0);
    CHECK(steps.bytes_copied == 2 * mirror.assessment.debt.bytes());
    for (auto& image : mirror.images) CHECK(holds(*image, (updated & 1u) != 0 ? kNew : kOld));
    for (auto& image : mirror.images) image->on_submit = nullptr;
  }
}

TEST_CASE("a step copies no more than it was asked to, in whole units") {
  CutOff mirror(1, 0b01);
  begin_recovery(mirror);
  ResyncOrder order = order_of(mirror);
  order.longest = 4096;
  ResyncResult step;
  REQUIRE(mirror.run(mirror.session->resync(order, step)).ok());
  CHECK(step.copied.bytes_copied == std::vector<std::uint64_t>{0, 4096});
  CHECK(step.bytes_left == kPortion.length - 4096);
}

TEST_CASE("runs of blocks that differ are found one after the other, with the bytes that do") {
  std::vector<std::byte> a(5 * 4096), b(5 * 4096);
  b[0] = b[4095] = b[4096] = std::byte{1};
  b[3 * 4096 + 7] = std::byte{1};
  auto run = [&](std::uint64_t from) { return next_differing_run(a.data(), b.data(), from, a.size(), 4096); };
  CHECK(run(0).begin == 0);
  CHECK(run(0).end == 8192);
  CHECK(run(0).bytes == 3);
  CHECK(run(8192).begin == 3 * 4096);
  CHECK(run(8192).end == 4 * 4096);
  CHECK(run(8192).bytes == 1);
  CHECK(run(4 * 4096).bytes == 0);
  CHECK(run(4 * 4096).end == a.size());
}

TEST_CASE("the debt is not let go before all of it was copied and flushed, nor twice") {
  CutOff mirror(1, 0b01);
  begin_recovery(mirror);
  auto end = [&] { return mirror.run(mirror.session->end_recovery({})).code; };
  CHECK(end() == Code::WRONG_PHASE);
  ResyncOrder order = order_of(mirror);
  order.longest = 4096;
  ResyncResult step;
  REQUIRE(mirror.run(mirror.session->resync(order, step)).ok());
  CHECK(mirror.session->snapshot().uncertain_bytes == kPortion.length - 4096);
  CHECK(end() == Code::WRONG_PHASE);
  REQUIRE(copy_debt(mirror).ok());
  CHECK(end() == Code::ok);
  CHECK(mirror.session->phase() == Phase::running);
  CHECK(end() == Code::WRONG_PHASE);
}

TEST_CASE("the debt is not let go while a step of the resync runs, and nothing else runs while it is") {
  CutOff mirror(1, 0b01);
  begin_recovery(mirror);
  mirror.images[1]->decide = [](const DeviceRequest&) { return hold_fate(); };
  ResyncResult step;
  Pending& copy = mirror.start_task(mirror.session->resync(order_of(mirror), step));
  mirror.advance();
  CHECK(mirror.run(mirror.session->end_recovery({})).code == Code::WRONG_PHASE);
  mirror.heal();
  mirror.advance();
  CHECK(copy.succeeded());
  mirror.log->decide = [](const DeviceRequest&) { return hold_fate(); };
  Pending& first = mirror.start_task(mirror.session->end_recovery({}));
  mirror.advance();
  CHECK(mirror.run(mirror.session->end_recovery({})).code == Code::WRONG_PHASE);
  CHECK(mirror.run(mirror.session->resync(order_of(mirror), step)).code == Code::WRONG_PHASE);
  mirror.heal();
  mirror.advance();
  CHECK(first.succeeded());
}

TEST_CASE("I3: while the debt is not retired requests are refused, so that no ordinary write can retire it") {
  CutOff mirror(1, 0b01);
  begin_recovery(mirror);
  CHECK(mirror.write({0, 4096}, 1).code == Code::NOT_RECOVERED);
  CHECK(mirror.run(mirror.session->flush()).code == Code::NOT_RECOVERED);
  CHECK(mirror.run(mirror.session->discard({0, 4096})).code == Code::NOT_RECOVERED);
  AlignedBuffer bytes(4096);
  CHECK(mirror.run(mirror.session->read({0, 4096}, bytes.span())).code == Code::NOT_RECOVERED);
}

TEST_CASE("I4: the master is flushed before anything is copied or read") {
  CutOff mirror(1, 0b01);
  bool flushed = false, too_early = false;
  mirror.images[0]->on_settle = [&](const DeviceRequest& request, int) {
    flushed |= request.operation == Operation::flush;
  };
  mirror.images[0]->on_submit = [&](const DeviceRequest& request) {
    too_early |= request.operation == Operation::read && mirror.is_data(request) && !flushed;
  };
  REQUIRE(mirror.open().ok());
  CHECK(flushed);
  CHECK_FALSE(too_early);
  mirror.images[0]->on_submit = nullptr;
  mirror.images[0]->on_settle = nullptr;
}

TEST_CASE(
    "a master that cannot be read, with no slave proven, ends recovery, costs nothing but time, and loses no debt") {
  CutOff mirror(1, 0b01);
  begin_recovery(mirror);
  mirror.images[0]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::read ? error_fate() : SimulatedDevice::Fate{};
  };
  const Outcome outcome = copy_debt(mirror);
  CHECK(outcome.code == Code::READ_FAILED);
  CHECK(outcome.image == 0);
  CHECK(outcome.position == kPortion.position);
  CHECK(mirror.run(mirror.session->end_recovery({})).code == Code::WRONG_PHASE);
  REQUIRE(mirror.run(mirror.session->close()).ok());
  mirror.heal();
  REQUIRE(mirror.open().ok());
  CHECK(mirror.assessment.debt.contains(kPortion));
  CHECK(mirror.images_equal());
}

TEST_CASE("a slave that fails in recovery, in whatever step, is failed durably and the others are recovered") {
  for (Operation operation : {Operation::read, Operation::write, Operation::flush}) {
    CAPTURE(static_cast<int>(operation));
    CutOff mirror(2, 0b001);  // one whose reads all fail cannot be read back either
    begin_recovery(mirror);
    mirror.images[1]->decide = [&](const DeviceRequest& request) {
      return request.operation == operation ? error_fate() : SimulatedDevice::Fate{};
    };
    RecoverySteps steps;
    REQUIRE(mirror.run(steps.recover(*mirror.session)).ok());
    mirror.heal();
    CHECK(mirror.durable_state(1) == ImageState::inconsistent);
    CHECK(mirror.label_of(2).generation == durable_superblock(*mirror.log).generation);
    CHECK(holds(*mirror.images[2], kNew));
    CHECK(mirror.write({0, 4096}, 1).ok());
  }
}

TEST_CASE("when a slave's failed flush cannot be recorded, the debt stays") {
  CutOff mirror(2, 0b001);
  begin_recovery(mirror);
  mirror.images[1]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::flush ? error_fate() : SimulatedDevice::Fate{};
  };
  mirror.log->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::write ? error_fate() : SimulatedDevice::Fate{};
  };
  CHECK(copy_debt(mirror).code == Code::LOG_FAILED);
  mirror.heal();
  CHECK_FALSE(mirror.run(mirror.session->end_recovery({})).ok());
  mirror.crash(0);
  REQUIRE(mirror.open().ok());
  CHECK(mirror.assessment.debt.contains(kPortion));
  CHECK(mirror.images_equal());
}

TEST_CASE("a mirror whose slaves all failed opens after a crash, and goes on with its master") {
  RunningMirror mirror({});
  mirror.images[1]->decide = [](const DeviceRequest&) { return error_fate(); };
  REQUIRE(mirror.write(kPortion, 2, true).ok());
  mirror.heal();
  mirror.crash(0);
  REQUIRE(mirror.open().ok());
  CHECK(mirror.session->phase() == Phase::running);
  CHECK(holds(*mirror.images[0], kNew));
  Pending& read = mirror.start_read({kPortion.position, 4096});
  mirror.advance();
  CHECK(read.succeeded());
  CHECK(mirror.write(kPortion, 3).ok());
}

TEST_CASE("a log that fails when the debt is retired fails the step, and the next open pays the debt again") {
  CutOff mirror(1, 0b01);
  begin_recovery(mirror);
  REQUIRE(copy_debt(mirror).ok());
  mirror.log->decide = [](const DeviceRequest&) { return error_fate(); };
  CHECK(mirror.run(mirror.session->end_recovery({})).code == Code::LOG_FAILED);
  CHECK(mirror.session->phase() == Phase::stopped);
  CHECK(mirror.write({0, 4096}, 1).code == Code::LOG_FAILED);
  mirror.heal();
  mirror.crash(0);
  REQUIRE(mirror.open().ok());
  CHECK(mirror.assessment.debt.contains(kPortion));
}

TEST_CASE(
    "a crash after any event of opening and recovery, and again in the recovery of that, ends with equal images") {
  bool through = false;
  for (unsigned steps = 0; !through; ++steps) {
    CAPTURE(steps);
    CutOff mirror(2, 0b011);
    for (unsigned cuts = 0; cuts < 2; ++cuts) {
      mirror.new_session();
      RecoverySteps recovery;
      Pending& opened = mirror.start_task(recovery.open(*mirror.session));
      for (unsigned i = 0; i < steps + cuts * 3; ++i) mirror.runtime.step();
      through = opened.ended();
      mirror.crash(50);
    }
    const Outcome opened = mirror.open();
    CAPTURE(static_cast<int>(opened.code));
    REQUIRE(opened.ok());
    CHECK_FALSE(mirror.assessment.damaged);
    CHECK(mirror.images_equal());
    CHECK(holds(*mirror.images[0], kNew));
    REQUIRE(steps < 500);
  }
}

TEST_CASE("a recovered mirror that loses power at once again has no debt") {
  CutOff mirror(1, 0b01);
  REQUIRE(mirror.open().ok());
  mirror.crash(0);
  REQUIRE(mirror.open().ok());
  CHECK_FALSE(mirror.assessment.clean);
  CHECK(mirror.assessment.debt.empty());
}

TEST_CASE("what is read back otherwise than it was copied is told, and stays owed") {
  CutOff mirror(2, 0b011);
  begin_recovery(mirror);
  mirror.images[2]->on_settle = [&](const DeviceRequest& request, int) {
    if (request.operation == Operation::write && mirror.is_data(request))
      mirror.images[2]->content()[request.position + 4096] ^= std::byte{0xff};
  };
  ResyncOrder order = order_of(mirror);
  order.read_back = true;
  ResyncResult step;
  REQUIRE(mirror.run(mirror.session->resync(order, step)).ok());
  CHECK(step.bytes_read_back_differing == 1);
  CHECK(step.read_back_difference.slave == 2);
  CHECK(step.read_back_difference.extent == Extent{kPortion.position + 4096, 4096});
  CHECK(step.bytes_left == kPortion.length);
  CHECK(mirror.session->snapshot().recovering == 0b100);
  mirror.images[2]->on_settle = nullptr;
  REQUIRE(mirror.run(mirror.session->resync(order, step)).ok());
  CHECK(step.bytes_read_back_differing == 0);
  CHECK(mirror.session->snapshot().recovering == 0);
  CHECK(mirror.images_equal());
}

// --- what cannot be read

namespace {

constexpr Extent kBad{kPortion.position + 4096, 4096};

bool block_holds(const SimulatedDevice& image, std::byte value) {
  const std::span<const std::byte> bytes = image.durable().subspan(kBad.position, kBad.length);
  return std::all_of(bytes.begin(), bytes.end(), [&](std::byte byte) { return byte == value; });
}

}  // namespace

TEST_CASE("a block of the debt that the master cannot read becomes on all images what the first slave holds") {
  for (ImageSet updated = 0; updated < 8; ++updated) {
    for (bool compare : {false, true}) {
      CAPTURE(updated);
      CAPTURE(compare);
      CutOff mirror(2, updated, true);
      mirror.images[0]->content()[kBad.position] = std::byte{66};
      BadBlock bad(*mirror.images[0], kBad);
      begin_recovery(mirror);
      ResyncResult step;
      REQUIRE(mirror.run(mirror.session->resync(order_of(mirror, {compare, false}), step)).ok());
      const CopyResult& copied = step.copied;
      REQUIRE(mirror.run(mirror.session->end_recovery({})).ok());
      REQUIRE(copied.repairs.size() == 1);
      CHECK(copied.repairs[0].image == 0);
      CHECK(copied.repairs[0].from == 1);
      CHECK(copied.repairs[0].extent == kBad);
      CHECK(mirror.session->snapshot().counters.repairs == 1);
      for (auto& image : mirror.images) CHECK(block_holds(*image, (updated & 2u) != 0 ? kNew : kOld));
      CHECK(mirror.images[0]->durable()[kPortion.position] == ((updated & 1u) != 0 ? kNew : kOld));
      CHECK(mirror.images_equal());
    }
  }
}

TEST_CASE("a block of the debt that nobody can read, or that stays unreadable, ends recovery, and the debt stays") {
  for (unsigned kind = 0; kind < 3; ++kind) {
    CAPTURE(kind);
    CutOff mirror(1, 0b01, true);
    {
      BadBlock bad(*mirror.images[0], kBad, kind == 0 ? BadBlock::Kind::stubborn : BadBlock::Kind::refusing);
      std::optional<BadBlock> too;
      if (kind == 2) too.emplace(*mirror.images[1], kBad);
      begin_recovery(mirror);
      const Outcome outcome = copy_debt(mirror);
      // A write that the master refuses may have cost it its cache.
      CHECK(outcome.code == (kind == 1 ? Code::MASTER_FAILED : Code::READ_FAILED));
      CHECK(outcome.image == 0);
      CHECK(outcome.position == kBad.position);
      CHECK(mirror.run(mirror.session->end_recovery({})).code == Code::WRONG_PHASE);
      CHECK((bad.writes() > 0) == (kind < 2));
    }
    mirror.crash(0);
    REQUIRE(mirror.open().ok());
    CHECK(mirror.assessment.debt.contains(kPortion));
    CHECK(mirror.images_equal());
  }
}

TEST_CASE("I4: a master that returns what nobody wrote ends recovery for good, and no slave gets it") {
  CutOff mirror(1, 0b11, true);
  {
    BadBlock bad(*mirror.images[0], kBad, BadBlock::Kind::lying);
    begin_recovery(mirror);
    CHECK(copy_debt(mirror).code == Code::MASTER_FAILED);
  }
  CHECK_FALSE(copy_debt(mirror).ok());
  CHECK(mirror.run(mirror.session->end_recovery({})).code == Code::WRONG_PHASE);
  CHECK(durable_superblock(*mirror.log).images[0].error == kWrongBytes);
  mirror.crash(0);
  mirror.new_session();
  REQUIRE(mirror.run(mirror.session->load_superblock()).ok());
  REQUIRE(mirror.run(mirror.session->assess(mirror.assessment)).ok());
  CHECK(mirror.run(mirror.session->activate({})).code == Code::MASTER_FAILED);
  CHECK(block_holds(*mirror.images[1], kNew));
}

TEST_CASE("a crash after any event of a recovery that chooses from a slave, and again, ends with equal images") {
  bool through = false;
  for (unsigned steps = 0; !through; ++steps) {
    CAPTURE(steps);
    CutOff mirror(2, 0b011, true);
    BadBlock bad(*mirror.images[0], kBad);
    for (unsigned cuts = 0; cuts < 2; ++cuts) {
      mirror.new_session();
      RecoverySteps recovery;
      Pending& opened = mirror.start_task(recovery.open(*mirror.session));
      for (unsigned i = 0; i < steps + cuts * 3; ++i) mirror.runtime.step();
      through = opened.ended();
      mirror.crash(50);
    }
    REQUIRE(mirror.open().ok());
    CHECK(mirror.images_equal());
    CHECK(block_holds(*mirror.images[0], kNew));
    REQUIRE(steps < 500);
  }
}

TEST_CASE("a block that a slave cannot read before it is overwritten fails nobody, and counts as different") {
  for (bool only_differing : {false, true}) {
    CAPTURE(only_differing);
    CutOff mirror(2, 0b111);
    BadBlock bad(*mirror.images[1], kBad);
    begin_recovery(mirror);
    ResyncResult step;
    REQUIRE(mirror.run(mirror.session->resync(order_of(mirror, {true, only_differing}), step)).ok());
    const CopyResult& copied = step.copied;
    REQUIRE(mirror.run(mirror.session->end_recovery({})).ok());
    CHECK_FALSE(bad.bad());
    CHECK(copied.bytes_differed == std::vector<std::uint64_t>{0, kBad.length, 0});
    REQUIRE(copied.repairs.size() == 1);
    CHECK(copied.repairs[0].image == 1);
    CHECK(copied.repairs[0].from == 0);
    CHECK(copied.repairs[0].extent == kBad);
    CHECK(mirror.session->snapshot().states[1] == ImageState::assumed);
    CHECK(mirror.images_equal());
  }
}

TEST_CASE("a slave whose block cannot be read back after it was overwritten is failed, and recovery goes on") {
  CutOff mirror(2, 0b001);
  BadBlock bad(*mirror.images[1], kBad, BadBlock::Kind::stubborn);
  begin_recovery(mirror);
  RecoverySteps steps;
  REQUIRE(mirror.run(steps.recover(*mirror.session)).ok());
  CHECK(mirror.durable_state(1) == ImageState::inconsistent);
  CHECK(mirror.durable_state(2) == ImageState::assumed);
  CHECK(holds(*mirror.images[2], kNew));
}

TEST_CASE("a slave that cannot be read when the copy is read back is out, and makes no difference") {
  CutOff mirror(2, 0b001);
  begin_recovery(mirror);
  mirror.images[1]->decide = [&](const DeviceRequest& request) {
    return request.operation == Operation::read ? error_fate() : SimulatedDevice::Fate{};
  };
  ResyncOrder order = order_of(mirror);
  order.read_back = true;
  ResyncResult step;
  REQUIRE(mirror.run(mirror.session->resync(order, step)).ok());
  CHECK(step.bytes_read_back_differing == 0);
  CHECK(mirror.durable_state(1) == ImageState::inconsistent);
  CHECK(holds(*mirror.images[2], kNew));
}

TEST_CASE("I12: an error of the log at any write of a recovery's end stops what it leads to") {
  unsigned at = 0;
  for (bool failed = true; failed; ++at) {
    CAPTURE(at);
    CutOff mirror(1, 0b01);
    begin_recovery(mirror);
    unsigned writes = 0;
    mirror.log->decide = [&](const DeviceRequest& request) {
      const bool fails = request.operation == Operation::write && writes++ == at;
      return fails ? error_fate() : SimulatedDevice::Fate{};
    };
    const Outcome outcome = mirror.recover();
    failed = writes > at;
    if (!failed) break;
    CHECK(outcome.code == Code::LOG_FAILED);
    CHECK(mirror.session->phase() == Phase::stopped);
    CHECK(mirror.write({8192, 4096}, 2, true).code == Code::LOG_FAILED);
    CHECK(mirror.run(mirror.session->flush()).code == Code::LOG_FAILED);
    REQUIRE(mirror.run(mirror.session->close()).ok());
    mirror.heal();
    CHECK(durable_superblock(*mirror.log).lifecycle == Lifecycle::open);
    REQUIRE(mirror.open().ok());
    CHECK(mirror.images_equal());
  }
  CHECK(at >= 3);
}
