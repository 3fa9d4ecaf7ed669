#include "../../../core/mirror/comparison.h"

#include <doctest/doctest.h>

#include "../../support/copy_steps.h"
#include "../../support/running_mirror.h"

namespace blockmirror::test {
namespace {

using Sums = std::vector<std::uint64_t>;
constexpr std::uint64_t kSize = 4 * kMiB;

// A verify of the whole mirror as lib/life/verification.ts does it, and what it recorded.
Outcome verify(RunningMirror& mirror, VerifyResult& found, bool all = false) {
  const std::size_t images = mirror.images.size();
  found = {Sums(images, 0), Sums(images, 0)};
  for (std::vector<Extent>& extents : copy_steps(mirror.whole())) {
    CompareResult result;
    const Outcome outcome = mirror.run(mirror.session->compare(std::move(extents), {.all = all}, result));
    if (!outcome.ok()) return outcome;
    for (std::size_t i = 0; i < images; ++i) {
      found.bytes_compared[i] += result.bytes_compared[i];
      found.bytes_differed[i] += result.bytes_differed[i] - result.bytes_expected[i];
    }
  }
  return mirror.run(mirror.session->record_verify(found));
}

Superblock after_close(RunningMirror& mirror) {
  REQUIRE(mirror.run(mirror.session->close()).ok());
  const Superblock superblock = durable_superblock(*mirror.log);
  REQUIRE(mirror.open().ok());
  return superblock;
}

std::uint64_t remembered(const RunningMirror& mirror, unsigned image) {
  return durable_superblock(*mirror.log).images[image].bytes_differed;
}

SimulatedDevice::Fate fails(const DeviceRequest& request, Operation operation) {
  return request.operation == operation ? error_fate() : SimulatedDevice::Fate{};
}

}  // namespace

TEST_CASE("a verify that finds a mirror equal makes assumed slaves in sync, in superblock and labels") {
  RunningMirror mirror({.slaves = 2});
  mirror.advance();
  CHECK(mirror.durable_state(1) == ImageState::assumed);
  VerifyResult found;
  REQUIRE(verify(mirror, found).ok());
  CHECK(found.bytes_compared == Sums{0, kSize, kSize});
  for (unsigned image : {1u, 2u}) {
    CHECK(mirror.durable_state(image) == ImageState::in_sync);
    CHECK(mirror.label_of(image).state == ImageState::in_sync);
  }
  const VerifySummary summary = after_close(mirror).last_verify;
  CHECK(summary.finished_at_ms > 0);
  CHECK(summary.bytes_compared == kSize);
  CHECK(summary.bytes_differed == 0);
  CHECK(mirror.assessment.clean);
}

TEST_CASE("a difference is remembered, across openings, until the slave is verified equal") {
  RunningMirror mirror({.slaves = 2});
  std::byte& byte = mirror.images[1]->content()[kMiB + 70000];
  byte ^= std::byte{1};
  VerifyResult found;
  REQUIRE(verify(mirror, found).ok());
  CHECK(found.bytes_differed == Sums{0, 1, 0});
  CHECK(remembered(mirror, 1) == 1);
  CHECK(remembered(mirror, 2) == 0);
  CHECK(mirror.durable_state(1) == ImageState::assumed);  // it still receives every write, or it would drift further
  CHECK(mirror.durable_state(2) == ImageState::in_sync);
  CHECK(mirror.session->snapshot().bytes_differed[1] == 1);
  CHECK(mirror.session->snapshot().last_verify.bytes_differed == 1);
  CHECK(after_close(mirror).images[1].bytes_differed == 1);
  CHECK(mirror.session->snapshot().bytes_differed[1] == 1);

  byte ^= std::byte{1};
  REQUIRE(verify(mirror, found).ok());
  CHECK(remembered(mirror, 1) == 0);
  CHECK(mirror.durable_state(1) == ImageState::in_sync);
  CHECK(durable_superblock(*mirror.log).last_verify.bytes_differed == 0);
}

TEST_CASE("a slave that differs does not stand in for the master, nor one that is only assumed") {
  RunningMirror mirror({.slaves = 2});
  Superblock superblock = mirror.session->superblock();
  Counters counters;
  Membership membership(mirror.runtime, superblock, counters);
  membership.set_images({mirror.images[0].get(), mirror.images[1].get(), nullptr});
  CHECK_FALSE(membership.may_serve(1));
  for (ImageRecord& image : superblock.images) image.state = ImageState::in_sync;
  CHECK(membership.may_serve(1));
  CHECK_FALSE(membership.may_serve(2));
  CHECK_FALSE(membership.may_serve(0));
  superblock.images[1].bytes_differed = 1;
  CHECK_FALSE(membership.may_serve(1));
}

TEST_CASE("a verify that was cut off remembers what it found and forgets nothing") {
  RunningMirror mirror({.slaves = 2});
  REQUIRE(mirror.run(mirror.session->record_verify({{0, kMiB, kMiB}, {0, 0, 5}})).ok());
  CHECK(remembered(mirror, 1) == 0);
  CHECK(remembered(mirror, 2) == 5);
  CHECK(mirror.durable_state(1) == ImageState::assumed);
  REQUIRE(mirror.run(mirror.session->record_verify({{0, kMiB, kMiB}, {0, 0, 0}})).ok());
  CHECK(remembered(mirror, 2) == 5);
  CHECK(durable_superblock(*mirror.log).last_verify.finished_at_ms == 0);
}

TEST_CASE("a verify in which a slave was not compared all over is none of the whole mirror") {
  RunningMirror mirror({.slaves = 2});
  REQUIRE(mirror.run(mirror.session->record_verify({{0, kSize, kMiB}, {0, 0, 0}})).ok());
  CHECK(mirror.durable_state(1) == ImageState::in_sync);
  CHECK(mirror.durable_state(2) == ImageState::assumed);
  CHECK(durable_superblock(*mirror.log).last_verify.finished_at_ms == 0);
}

TEST_CASE("a verify of other slaves than the mirror has is refused") {
  RunningMirror mirror({.slaves = 2});
  CHECK(mirror.run(mirror.session->record_verify({{0, kSize}, {0, 0, 0}})).code == Code::WRONG_PHASE);
  CHECK(mirror.run(mirror.session->record_verify({{0, kSize, 0}, {0, 0}})).code == Code::WRONG_PHASE);
}

TEST_CASE("a slave that fails during a comparison was not compared from there on, and differs nowhere") {
  RunningMirror mirror({.slaves = 2});
  REQUIRE(mirror.write({0, kMiB}, 1).ok());
  unsigned reads = 0;
  mirror.images[0]->decide = [&](const DeviceRequest& request) {
    return request.operation == Operation::read && reads++ == 0 ? hold_fate() : SimulatedDevice::Fate{};
  };
  mirror.images[1]->decide = [](const DeviceRequest& request) { return fails(request, Operation::write); };
  RunningMirror::Pending& write = mirror.start_write({3 * kMiB, 4096}, 9);
  CompareResult result;
  std::vector<Extent> extents;
  for (std::uint64_t i = 0; i < 4; ++i) extents.push_back({i * kMiB, kMiB});
  RunningMirror::Pending& compared = mirror.start_task(mirror.session->compare(extents, {}, result));
  mirror.advance();
  mirror.images[0]->release_held();
  mirror.advance();
  REQUIRE(write.succeeded());
  REQUIRE(compared.succeeded());
  CHECK(mirror.durable_state(1) == ImageState::failed);
  CHECK(result.bytes_differed == Sums{0, 0, 0});
  CHECK(result.bytes_compared[1] < kSize);
  CHECK(result.bytes_compared[2] == kSize);
}

TEST_CASE("a failed slave is compared on request alone, and stays failed whatever is found") {
  RunningMirror mirror({.slaves = 2});
  mirror.images[1]->decide = [](const DeviceRequest& request) { return fails(request, Operation::write); };
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  mirror.heal();
  VerifyResult found;
  REQUIRE(verify(mirror, found).ok());
  CHECK(found.bytes_compared == Sums{0, 0, kSize});
  REQUIRE(verify(mirror, found, true).ok());
  CHECK(found.bytes_compared == Sums{0, kSize, kSize});
  CHECK(found.bytes_differed == Sums{0, 4096, 0});
  CHECK(mirror.durable_state(1) == ImageState::failed);
  CHECK(remembered(mirror, 1) == 0);
}

TEST_CASE("slaves that hold the same where the master holds something else are told, unless both missed writes") {
  RunningMirror mirror({.slaves = 3});
  REQUIRE(mirror.write({0, 65536}, 1).ok());
  mirror.images[0]->content()[10] ^= std::byte{1};    // one byte of the master: all three agree
  mirror.images[1]->content()[5000] ^= std::byte{1};  // one of a slave
  CompareResult result;
  REQUIRE(mirror.run(mirror.session->compare({{0, 65536}}, {}, result)).ok());
  CHECK(result.bytes_differed == Sums{0, 2, 1, 1});
  CHECK(result.bytes_shared == Sums{0, 1, 1, 1});
  REQUIRE(result.differences.size() == 4);
  CHECK(result.differences[0].extent == Extent{0, 4096});
  CHECK(result.differences[0].agreeing == (image_bit(2) | image_bit(3)));
  CHECK(result.differences[1].extent == Extent{4096, 4096});
  CHECK(result.differences[1].agreeing == 0);

  for (unsigned slave : {2u, 3u}) {
    mirror.images[slave]->decide = [](const DeviceRequest& request) { return fails(request, Operation::write); };
  }
  REQUIRE(mirror.write({0, 65536}, 2).ok());
  mirror.heal();
  REQUIRE(mirror.run(mirror.session->compare({{0, 65536}}, {.all = true}, result)).ok());
  CHECK(result.bytes_differed == Sums{0, 0, 65536, 65536});
  CHECK(result.bytes_shared == Sums{0, 0, 0, 0});
}

TEST_CASE("blocks that differ side by side are one difference, and each byte counts once") {
  RunningMirror mirror({});
  for (std::uint64_t at : {4096u, 8192u, 8193u, 12288u, 20480u}) mirror.images[1]->content()[at] ^= std::byte{1};
  CompareResult result;
  REQUIRE(mirror.run(mirror.session->compare({{0, 65536}}, {}, result)).ok());
  CHECK(result.bytes_differed == Sums{0, 5});
  REQUIRE(result.differences.size() == 2);
  CHECK(result.differences[0].extent == Extent{4096, 12288});
  CHECK(result.differences[1].extent == Extent{20480, 4096});
}

TEST_CASE("a comparison ends where the master cannot be read") {
  RunningMirror mirror({});
  mirror.images[0]->decide = [](const DeviceRequest& request) { return fails(request, Operation::read); };
  CompareResult result;
  const Outcome outcome = mirror.run(mirror.session->compare({{kMiB, kMiB}}, {}, result));
  CHECK(outcome.code == Code::READ_FAILED);
  CHECK(outcome.image == 0);
  CHECK(result.bytes_compared == Sums{0, 0});
}

// An unclean mirror, assessed and activated, and not recovered: block 0 of the mirror was being written.
class Unrecovered : public RunningMirror {
 public:
  Unrecovered() : RunningMirror({}) {
    start_write({0, 4096}, 7);
    advance(100'000);
    crash(0);
    new_session();
    REQUIRE(run(session->load_superblock()).ok());
    REQUIRE(run(session->assess(assessment)).ok());
    REQUIRE(run(session->activate({})).ok());
    REQUIRE(session->phase() == Phase::recovering);
    REQUIRE(assessment.debt.contains({0, 4096}));
  }
};

TEST_CASE("of an unclean mirror only what differs outside of the live intents is remembered") {
  Unrecovered mirror;
  mirror.images[1]->content()[10] ^= std::byte{1};
  mirror.images[1]->content()[kMiB + 10] ^= std::byte{1};
  CompareResult result;
  REQUIRE(mirror.run(mirror.session->compare({{0, kMiB}, {kMiB, kMiB}}, {}, result)).ok());
  CHECK(result.bytes_differed == Sums{0, 2});
  CHECK(result.bytes_expected == Sums{0, 1});
  REQUIRE(result.differences.size() == 2);
  CHECK(result.differences[0].expected);
  CHECK_FALSE(result.differences[1].expected);
  VerifyResult found;
  REQUIRE(verify(mirror, found).ok());
  CHECK(found.bytes_differed == Sums{0, 1});
  CHECK(remembered(mirror, 1) == 1);
  REQUIRE(mirror.recover().ok());
  CHECK(remembered(mirror, 1) == 1);
  REQUIRE(verify(mirror, found).ok());
  CHECK(found.bytes_differed == Sums{0, 1});
}

TEST_CASE("an unclean mirror that is found equal is not called verified before it was recovered") {
  Unrecovered mirror;
  VerifyResult found;
  REQUIRE(verify(mirror, found).ok());
  CHECK(found.bytes_differed == Sums{0, 0});
  REQUIRE(mirror.recover().ok());
  CHECK(mirror.durable_state(1) == ImageState::assumed);
}

TEST_CASE("a recovery that copies everything ends what a verify remembered") {
  RunningMirror mirror({});
  mirror.images[1]->content()[kMiB + 10] ^= std::byte{1};
  VerifyResult found;
  REQUIRE(verify(mirror, found).ok());
  REQUIRE(mirror.write({0, 4096}, 3).ok());
  const RingGeometry ring = mirror.session->superblock().ring;
  mirror.crash(100);
  for (std::uint32_t record = 0; record < ring.record_count; ++record) {
    mirror.log->content()[ring.position + record * ring.record_size + 100] ^= std::byte{1};
  }
  REQUIRE(mirror.open().ok());
  CHECK(mirror.assessment.damaged);
  CHECK(mirror.images_equal());
  CHECK(remembered(mirror, 1) == 0);
}

TEST_CASE("a close that meets a verify being recorded waits for it, and the next open is clean") {
  for (unsigned steps = 0; steps < 12; ++steps) {
    CAPTURE(steps);
    RunningMirror mirror({});
    RunningMirror::Pending& recorded = mirror.start_task(mirror.session->record_verify({{0, kSize}, {0, 0}}));
    for (unsigned i = 0; i < steps; ++i) mirror.runtime.step();
    RunningMirror::Pending& close = mirror.start_close();
    mirror.advance();
    CHECK(recorded.succeeded());
    CHECK(close.succeeded());
    REQUIRE(mirror.open().ok());
    CHECK(mirror.assessment.clean);
    CHECK(mirror.durable_state(1) == ImageState::in_sync);
  }
}

TEST_CASE("a verify that cannot be recorded stops the mirror") {
  RunningMirror mirror({});
  mirror.log->decide = [](const DeviceRequest&) { return error_fate(); };
  CHECK(mirror.run(mirror.session->record_verify({{0, kSize}, {0, 0}})).code == Code::LOG_FAILED);
  mirror.heal();
  CHECK(mirror.write({0, 4096}, 1).code == Code::LOG_FAILED);
}

}  // namespace blockmirror::test
