// An opening without a slave that is not there, or is not what it should be: what it misses is owed, and it comes back.
#include "../../../core/session/left_out.h"

#include <doctest/doctest.h>

#include "../../support/recovery_steps.h"
#include "../../support/running_mirror.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr unsigned kGone = 1;
constexpr std::uint64_t kBlock = 4096;

class Rig : public RunningMirror {
 public:
  Rig() : RunningMirror({.slaves = 2, .size = 8 * kMiB}) { prove(); }

  // Opens with what is there, as far as it may.
  Outcome open_without(ImageSet left_out, bool attached = false) {
    new_session();
    if (!attached) {
      std::vector<Device*> devices;
      for (auto& image : images) devices.push_back(image.get());
      devices[kGone] = nullptr;
      session->set_images(devices);
    }
    Outcome outcome = run(session->load_superblock());
    if (outcome.ok()) outcome = run(session->assess(assessment));
    ActivateOptions options;
    options.left_out = left_out;
    if (outcome.ok()) outcome = run(session->activate(options));
    if (outcome.ok() && session->phase() == Phase::recovering) outcome = recover();
    return outcome;
  }
  const ImageRecord& gone() const { return session->superblock().images[kGone]; }
  std::uint64_t take_back() {
    REQUIRE(run(session->rejoin(kGone, false)).ok());
    std::uint64_t copied = 0;
    for (ResyncResult step;; copied += step.bytes_copied) {
      REQUIRE(run(session->resync({image_bit(kGone), kResyncBytes}, step)).ok());
      if (step.bytes_left == 0) return copied + step.bytes_copied;
    }
  }
  void close() { REQUIRE(run(session->close()).ok()); }
};

}  // namespace

TEST_CASE("left out: without its being asked for, an absent slave refuses the opening") {
  Rig mirror;
  mirror.close();
  CHECK(mirror.open_without(0).code == Code::OPEN_FAILED);
  REQUIRE(mirror.open().ok());
}

TEST_CASE("left out: an absent slave is behind, dated, and costs what was written without it") {
  Rig mirror;
  mirror.close();
  REQUIRE(mirror.open_without(image_bit(kGone)).ok());
  CHECK(mirror.gone().state == ImageState::behind);
  CHECK(mirror.gone().fracture.cause == FractureCause::absent);
  CHECK(mirror.durable_state(kGone) == ImageState::behind);
  REQUIRE(mirror.write({9 * kBlock, kBlock}, 1).ok());
  REQUIRE(mirror.write({900 * kBlock, kBlock}, 2).ok());
  mirror.close();
  REQUIRE(mirror.open().ok());
  CHECK(mirror.take_back() == 2 * kBlock);
  CHECK(mirror.images_equal());
}

TEST_CASE("left out: an opening and a close without a write cost nothing") {
  Rig mirror;
  mirror.close();
  REQUIRE(mirror.open_without(image_bit(kGone)).ok());
  mirror.close();
  REQUIRE(mirror.open_without(0).ok());
  mirror.close();
  REQUIRE(mirror.open().ok());
  CHECK(mirror.take_back() == 0);
  CHECK(mirror.gone().state == ImageState::in_sync);
}

TEST_CASE("left out: after a crash it owes what the crash left as well") {
  Rig mirror;
  REQUIRE(mirror.write({5 * kBlock, kBlock}, 1).ok());
  mirror.crash(0);
  REQUIRE(mirror.open_without(image_bit(kGone)).ok());
  REQUIRE(mirror.write({100 * kBlock, kBlock}, 2).ok());
  mirror.close();
  REQUIRE(mirror.open().ok());
  CHECK(mirror.take_back() >= 2 * kBlock);
  CHECK(mirror.images_equal());
}

TEST_CASE("left out: another disk in its place is never written, and the right one comes back later") {
  Rig mirror;
  mirror.close();
  const std::vector<std::byte> right = durable_copy(*mirror.images[kGone]);
  overwrite(mirror, *mirror.images[kGone], 0, std::vector<std::byte>(right.size(), std::byte{0x5a}));
  unsigned writes = 0;
  mirror.images[kGone]->on_submit = [&](const DeviceRequest& request) {
    writes += request.operation == Operation::read || request.operation == Operation::flush ? 0 : 1;
  };
  REQUIRE(mirror.open_without(image_bit(kGone), true).ok());
  CHECK(mirror.gone().fracture.cause == FractureCause::blank);
  REQUIRE(mirror.write({9 * kBlock, kBlock}, 1).ok());
  mirror.close();
  CHECK(writes == 0);
  mirror.images[kGone]->on_submit = nullptr;
  overwrite(mirror, *mirror.images[kGone], 0, right);
  REQUIRE(mirror.open().ok());
  CHECK(mirror.take_back() == kBlock);
  CHECK(mirror.images_equal());
}

TEST_CASE("left out: a damaged ring makes everything its debt") {
  Rig mirror;
  mirror.close();
  REQUIRE(mirror.open_without(image_bit(kGone)).ok());
  REQUIRE(mirror.write({9 * kBlock, kBlock}, 1).ok());
  const RingGeometry ring = mirror.session->superblock().ring;
  mirror.crash(0);
  for (std::uint64_t slot = 0; slot < ring.record_count; ++slot)
    overwrite(mirror, *mirror.log, ring.position + slot * ring.record_size,
              std::vector<std::byte>(512, std::byte{0xff}));
  REQUIRE(mirror.open_without(0).ok());
  CHECK(mirror.gone().debt == DebtKind::everything);
  mirror.close();
  REQUIRE(mirror.open().ok());
  CHECK(mirror.take_back() == 8 * kMiB);
  CHECK(mirror.images_equal());
}

TEST_CASE("left out: a slave whose resync had not ended needs no asking") {
  Rig mirror;
  mirror.close();
  REQUIRE(mirror.open_without(image_bit(kGone)).ok());
  for (std::uint64_t i = 0; i < 20; ++i) REQUIRE(mirror.write({i * 7 * kBlock, kBlock}, 1).ok());
  mirror.close();
  REQUIRE(mirror.open().ok());
  REQUIRE(mirror.run(mirror.session->rejoin(kGone, false)).ok());
  ResyncResult step;
  REQUIRE(mirror.run(mirror.session->resync({image_bit(kGone), 4 * kBlock}, step)).ok());
  mirror.close();
  REQUIRE(mirror.open_without(0).ok());
  CHECK(mirror.gone().state == ImageState::inconsistent);
  REQUIRE(mirror.write({1000 * kBlock, kBlock}, 2).ok());
  mirror.close();
  REQUIRE(mirror.open().ok());
  CHECK(mirror.take_back() == 17 * kBlock);
  CHECK(mirror.images_equal());
}

TEST_CASE("left out: what could not be opened is recorded with its errno, and read-only is not absent") {
  Rig mirror;
  mirror.close();
  mirror.new_session();
  std::vector<Device*> devices;
  for (auto& image : mirror.images) devices.push_back(image.get());
  devices[kGone] = nullptr;
  mirror.session->set_images(devices, {{}, Outcome::of(Code::READ_ONLY_DEVICE, kGone, EROFS), {}});
  REQUIRE(mirror.run(mirror.session->load_superblock()).ok());
  REQUIRE(mirror.run(mirror.session->assess(mirror.assessment)).ok());
  CHECK(mirror.assessment.images[kGone].code == Code::READ_ONLY_DEVICE);
  ActivateOptions options;
  options.left_out = image_bit(kGone);
  REQUIRE(mirror.run(mirror.session->activate(options)).ok());
  CHECK(mirror.gone().fracture.cause == FractureCause::label_error);
  CHECK(mirror.gone().error == EROFS);
}

TEST_CASE("left out: no opening takes a slave out below the mirror's minimum, and one that is below it already opens") {
  Rig mirror;
  PolicyChange change;
  change.minimum_in_sync = 3;
  mirror.close();
  mirror.new_session();
  REQUIRE(mirror.run(mirror.session->load_superblock()).ok());
  REQUIRE(mirror.run(mirror.session->set_policies(change)).ok());
  CHECK(mirror.open_without(image_bit(kGone)).code == Code::TOO_FEW_IN_SYNC);
  CHECK(mirror.durable_state(kGone) == ImageState::in_sync);
  mirror.new_session();
  change.minimum_in_sync = 2;
  REQUIRE(mirror.run(mirror.session->load_superblock()).ok());
  REQUIRE(mirror.run(mirror.session->set_policies(change)).ok());
  REQUIRE(mirror.open_without(image_bit(kGone)).ok());
  mirror.close();
  mirror.new_session();
  change.minimum_in_sync = 3;
  REQUIRE(mirror.run(mirror.session->load_superblock()).ok());
  REQUIRE(mirror.run(mirror.session->set_policies(change)).ok());
  REQUIRE(mirror.open_without(0).ok());
}

TEST_CASE("left out: an image that is newer than the log, or parted from it, is never left out") {
  for (const Code code : {Code::STALE_LOG, Code::DIVERGED, Code::MASTER_FAILED, Code::NO_MEMORY}) {
    CHECK_FALSE(find_left_out(code).has_value());
  }
}
