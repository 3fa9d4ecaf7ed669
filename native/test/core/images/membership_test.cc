// Which images are in sync, and that every change of it is on the disk before anybody relies on it (I5, I8, I11).
#include "../../../core/images/membership.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../../support/boundary_oracle.h"
#include "../../support/recovery_steps.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

using Pending = RunningMirror::Pending;

// Writes of data to that image fail; labels and reads do not.
void fail_data_writes(RunningMirror& mirror, unsigned image, std::uint64_t delay_ns = 1000) {
  mirror.images[image]->decide = [&mirror, delay_ns](const DeviceRequest& request) {
    const bool fails = request.operation == Operation::write && mirror.is_data(request);
    return fails ? SimulatedDevice::Fate{kIoError, delay_ns, false} : SimulatedDevice::Fate{};
  };
}

// What must be on the disk when the loss of `failed` was acknowledged.
void check_fracture_is_durable(const RunningMirror& mirror, std::initializer_list<unsigned> failed) {
  const Superblock superblock = durable_superblock(*mirror.log);
  for (unsigned image = 0; image < mirror.images.size(); ++image) {
    CAPTURE(image);
    const bool has_failed = std::find(failed.begin(), failed.end(), image) != failed.end();
    CHECK((superblock.images[image].state == ImageState::failed) == has_failed);
    if (!has_failed) CHECK(mirror.label_of(image).generation == superblock.generation);
    if (has_failed) CHECK(mirror.label_of(image).generation.counter < superblock.generation.counter);
  }
}

}  // namespace

TEST_CASE("I5: a write that a slave missed is acknowledged when the fracture is in both superblocks and all labels") {
  RunningMirror mirror({.slaves = 3});
  const Generation before = durable_superblock(*mirror.log).generation;
  fail_data_writes(mirror, 2);
  std::vector<std::string> steps;
  auto hold = [&](const char* step) {
    return [&, step](const DeviceRequest& request) {
      const bool holds = mirror.is_label(request);
      if (holds) steps.push_back(step);
      return holds ? hold_fate() : SimulatedDevice::Fate{};
    };
  };
  mirror.log->decide = [&](const DeviceRequest& request) {
    if (!mirror.is_superblock(request)) return SimulatedDevice::Fate{};
    steps.push_back(request.position == kSuperblockCopyA ? "A" : "B");
    return hold_fate();
  };
  mirror.images[0]->decide = hold("master");
  mirror.images[1]->decide = hold("slave1");
  mirror.images[3]->decide = hold("slave3");
  Pending& write = mirror.start_write({0, 4096}, 1);
  mirror.advance(1'000'000);
  Pending& flush = mirror.start_flush();
  for (int step = 0; step < 4; ++step) {
    mirror.advance(1'000'000);
    CHECK_FALSE(write.ended());
    CHECK_FALSE(flush.ended());
    mirror.log->release_held();
    for (auto& image : mirror.images) image->release_held();
  }
  mirror.advance(1'000'000);
  CHECK(write.succeeded());
  CHECK(flush.succeeded());
  std::string order;
  for (const std::string& step : steps) order += step + " ";
  CHECK(order == "A B master slave1 slave3 master slave1 slave3 ");
  check_fracture_is_durable(mirror, {2});
  const Generation after = durable_superblock(*mirror.log).generation;
  CHECK(after.counter == before.counter + 1);
  CHECK(after.parent == before.id);
  CHECK(durable_superblock(*mirror.log).history[0] == GenerationMark{before.counter, before.id});
  CHECK(mirror.session->snapshot().errors[2] == kIoError);
}

TEST_CASE("I5: a fracture is durable within eight round trips, however many images there are") {
  constexpr std::uint64_t kRoundTrip_ns = 5'000'000;
  for (const ForceUnitAccess fua : {ForceUnitAccess::native, ForceUnitAccess::emulated}) {
    CAPTURE(fua);
    RunningMirror mirror({.slaves = kMaxImages - 1});
    // A durable write of a disk without FUA is a write and a flush.
    const auto of_disk = [&](const DeviceRequest& request) {
      return after(request.durable && fua == ForceUnitAccess::emulated ? 2 * kRoundTrip_ns : kRoundTrip_ns);
    };
    mirror.log->decide = of_disk;
    for (auto& image : mirror.images) image->decide = of_disk;
    fail_data_writes(mirror, 7, kRoundTrip_ns);
    std::uint64_t failed_ns = 0;
    mirror.images[7]->on_settle = [&](const DeviceRequest&, int error) {
      if (error != 0) failed_ns = mirror.runtime.now_ns();
    };
    Pending& write = mirror.start_write({0, 4096}, 1);
    REQUIRE(mirror.runtime.run_until([&] { return write.ended(); }));
    REQUIRE(failed_ns > 0);
    CHECK(write.succeeded());
    CHECK(mirror.runtime.now_ns() - failed_ns <= 8 * kRoundTrip_ns);
    check_fracture_is_durable(mirror, {7});
    mirror.images[7]->on_settle = nullptr;
  }
}

TEST_CASE(
    "I11: an image whose label fails is out while the labels of others are still being written, and gets no other") {
  RunningMirror mirror({.slaves = 3});
  fail_data_writes(mirror, 1);
  unsigned labels_of_failing = 0;
  mirror.images[3]->decide = [&](const DeviceRequest& request) {
    if (!mirror.is_label(request)) return SimulatedDevice::Fate{};
    ++labels_of_failing;
    return error_fate();
  };
  mirror.images[2]->decide = [&](const DeviceRequest& request) {
    return mirror.is_label(request) ? hold_fate() : SimulatedDevice::Fate{};
  };
  Pending& write = mirror.start_write({0, 4096}, 1);
  mirror.advance();
  CHECK(mirror.images[2]->held() == 1);
  CHECK(mirror.session->superblock().images[3].state == ImageState::failed);
  CHECK_FALSE(write.ended());
  mirror.heal();
  mirror.advance();
  CHECK(write.succeeded());
  CHECK(labels_of_failing == 1);
  check_fracture_is_durable(mirror, {1, 3});
}

TEST_CASE("a slave that failed gets nothing more, and the mirror goes on with the others") {
  RunningMirror mirror({.slaves = 2});
  fail_data_writes(mirror, 1);
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  mirror.heal();
  unsigned seen = 0;
  mirror.images[1]->on_submit = [&](const DeviceRequest&) { ++seen; };
  REQUIRE(mirror.write({kMiB, 4096}, 2).ok());
  REQUIRE(mirror.run(mirror.session->flush()).ok());
  REQUIRE(mirror.run(mirror.session->retire_all()).ok());
  CHECK(seen == 0);
  CHECK(mirror.images[2]->content()[kMiB] == std::byte{2});
  CHECK(mirror.session->snapshot().counters.fractures == 1);
  mirror.images[1]->on_submit = nullptr;
}

TEST_CASE("I11: a flush that fails on a slave fails that slave, durably, and the flush succeeds for the others") {
  RunningMirror mirror({.slaves = 2});
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  mirror.images[1]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::flush ? error_fate() : SimulatedDevice::Fate{};
  };
  CHECK(mirror.run(mirror.session->flush()).ok());
  check_fracture_is_durable(mirror, {1});
}

TEST_CASE("a slave that fails in the flush of a retirement is failed durably before anything is retired") {
  RunningMirror mirror({.slaves = 2});
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  mirror.images[1]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::flush ? error_fate() : SimulatedDevice::Fate{};
  };
  bool checked = false;
  mirror.log->on_submit = [&](const DeviceRequest& request) {
    if (!mirror.is_ring(request)) return;
    check_fracture_is_durable(mirror, {1});
    checked = true;
  };
  mirror.advance(750'000'000);
  CHECK(checked);
  CHECK(mirror.session->snapshot().coverage_bytes == 0);
  mirror.log->on_submit = nullptr;
}

TEST_CASE(
    "I5: a slave that fails while another's fracture is being recorded is durable before either is acknowledged") {
  for (int moment = 0; moment < 12; ++moment) {
    CAPTURE(moment);
    RunningMirror mirror({.slaves = 3});
    fail_data_writes(mirror, 1);
    fail_data_writes(mirror, 2, 1000 + static_cast<std::uint64_t>(moment) * 500);
    Pending& first = mirror.start_write({0, 4096}, 1);
    Pending& second = mirror.start_write({kMiB, 4096}, 1);
    bool too_early = false;
    while (!first.ended() || !second.ended()) {
      REQUIRE(mirror.runtime.step());
      if (!first.ended() && !second.ended()) continue;
      too_early |= mirror.durable_state(1) != ImageState::failed || mirror.durable_state(2) != ImageState::failed;
    }
    CHECK_FALSE(too_early);
    CHECK(first.succeeded());
    CHECK(second.succeeded());
    check_fracture_is_durable(mirror, {1, 2});
  }
}

TEST_CASE("a slave whose label cannot be written while a fracture is recorded is failed with it") {
  RunningMirror mirror({.slaves = 3});
  fail_data_writes(mirror, 1);
  mirror.images[3]->decide = [&](const DeviceRequest& request) {
    return mirror.is_label(request) ? error_fate() : SimulatedDevice::Fate{};
  };
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  const Superblock superblock = durable_superblock(*mirror.log);
  CHECK(superblock.images[1].state == ImageState::failed);
  CHECK(superblock.images[3].state == ImageState::failed);
  CHECK(mirror.label_of(0).generation == superblock.generation);
  CHECK(mirror.label_of(2).generation == superblock.generation);
  CHECK(mirror.session->snapshot().counters.fractures == 2);
}

TEST_CASE("when a fracture cannot be recorded, nothing is acknowledged any more") {
  struct Case {
    const char* name;
    Code code;
  };
  for (const Case& expected : {Case{"log", Code::LOG_FAILED}, Case{"master", Code::MASTER_FAILED}}) {
    CAPTURE(expected.name);
    RunningMirror mirror({.slaves = 2});
    REQUIRE(mirror.write({0, kMiB}, 1).ok());
    const std::uint64_t generation = durable_superblock(*mirror.log).generation.counter;
    mirror.images[1]->decide = [](const DeviceRequest&) { return error_fate(); };
    if (expected.code == Code::LOG_FAILED) {
      mirror.log->decide = [&](const DeviceRequest& request) {
        return mirror.is_superblock(request) ? error_fate() : SimulatedDevice::Fate{};
      };
    } else {
      mirror.images[0]->decide = [&](const DeviceRequest& request) {
        return mirror.is_label(request) ? error_fate() : SimulatedDevice::Fate{};
      };
    }
    Pending& missed = mirror.start_write({0, 4096}, 2);
    Pending& other = mirror.start_write({8192, 4096}, 2);
    mirror.advance();
    CHECK(missed.code() == expected.code);
    CHECK(other.code() == expected.code);
    mirror.heal();
    CHECK(mirror.write({0, 4096}, 3).code == expected.code);
    CHECK(mirror.run(mirror.session->flush()).code == expected.code);
    CHECK(mirror.session->phase() == Phase::stopped);
    if (expected.code == Code::LOG_FAILED) CHECK(durable_superblock(*mirror.log).generation.counter == generation);
  }
}

TEST_CASE("the write in which the last slave fails is acknowledged, and the master goes on alone") {
  RunningMirror mirror({.slaves = 2});
  fail_data_writes(mirror, 1);
  fail_data_writes(mirror, 2);
  CHECK(mirror.write({0, 4096}, 1).ok());
  check_fracture_is_durable(mirror, {1, 2});
  CHECK(mirror.write({0, 4096}, 2).ok());
  CHECK(mirror.run(mirror.session->discard({4096, 4096})).ok());
  Pending& read = mirror.start_read({0, 4096});
  mirror.advance();
  CHECK(read.succeeded());
  CHECK(read.bytes.span()[0] == std::byte{2});
  CHECK(mirror.run(mirror.session->flush()).ok());
  CHECK(mirror.run(mirror.session->close()).ok());
}

TEST_CASE("a write that waited while one slave too many failed is refused, and reaches no image") {
  RunningMirror mirror({.slaves = 2, .minimum_in_sync = 2});
  fail_data_writes(mirror, 2);
  fail_data_writes(mirror, 1, 2'000'000);
  Pending& first = mirror.start_write({0, 4096}, 1);
  Pending& behind_it = mirror.start_write({0, 4096}, 2);
  mirror.advance();
  CHECK(first.code() == Code::TOO_FEW_IN_SYNC);
  CHECK(behind_it.code() == Code::TOO_FEW_IN_SYNC);
  CHECK(mirror.images[0]->content()[0] == std::byte{1});
}

TEST_CASE("a slave that fails together with the master is no reason to go on, and recovery makes it equal again") {
  RunningMirror mirror({.slaves = 2});
  REQUIRE(mirror.write({0, 4096}, 1, true).ok());
  fail_data_writes(mirror, 0);
  fail_data_writes(mirror, 1);
  CHECK(mirror.write({0, 4096}, 2).code == Code::MASTER_FAILED);
  mirror.heal();
  mirror.crash();
  REQUIRE(mirror.open().ok());
  CHECK(mirror.images_equal());
}

TEST_CASE("a mirror that lost a slave opens again without it, and a copy of that slave's old life is not believed") {
  RunningMirror mirror({.slaves = 2});
  fail_data_writes(mirror, 1);
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  mirror.heal();
  mirror.crash();
  REQUIRE(mirror.open().ok());
  CHECK(mirror.session->snapshot().states[1] == ImageState::failed);
  REQUIRE(mirror.write({0, 4096}, 2).ok());
  CHECK(mirror.images[1]->content()[0] != std::byte{2});
  CHECK(mirror.images[2]->content()[0] == std::byte{2});
}

TEST_CASE(
    "a crash at any moment of recording a fracture leaves a mirror that opens, and in which nothing acknowledged is "
    "lost") {
  unsigned before = 0, after = 0;
  for (unsigned steps = 0; steps < 40; ++steps) {
    CAPTURE(steps);
    RunningMirror mirror({.seed = steps + 1, .slaves = 2});
    fail_data_writes(mirror, 1);
    Pending& write = mirror.start_write({0, 4096}, 1, true);
    for (unsigned i = 0; i < steps; ++i) mirror.runtime.step();
    const bool acknowledged = write.succeeded();
    mirror.crash();
    mirror.heal();
    REQUIRE(mirror.open().ok());
    const bool failed = mirror.session->snapshot().states[1] == ImageState::failed;
    (failed ? after : before) += 1;
    if (acknowledged) CHECK(failed);
    if (acknowledged) CHECK(mirror.images[2]->content()[0] == std::byte{1});
    for (unsigned i = 1; i < 3; ++i) {
      if (i == 1 && failed) continue;
      CHECK(std::equal(mirror.images[0]->content().begin(), mirror.images[0]->content().begin() + 4 * kMiB,
                       mirror.images[i]->content().begin()));
    }
  }
  CHECK(before > 0);
  CHECK(after > 0);
}

TEST_CASE("a slave whose label cannot be sealed is failed, and the others open clean") {
  for (std::uint64_t copy : {std::uint64_t{0}, kLabelCopyDistance}) {
    CAPTURE(copy);
    RunningMirror mirror({.slaves = 2});
    REQUIRE(mirror.write({0, 4096}, 1).ok());
    const std::uint64_t failing = mirror.session->superblock().images[1].label_position + copy;
    mirror.images[1]->decide = [failing](const DeviceRequest& request) {
      return request.operation == Operation::write && request.position == failing ? error_fate()
                                                                                  : SimulatedDevice::Fate{};
    };
    REQUIRE(mirror.run(mirror.session->close()).ok());
    mirror.heal();
    check_fracture_is_durable(mirror, {1});
    REQUIRE(mirror.open().ok());
    CHECK(mirror.assessment.clean);
    CHECK(mirror.session->snapshot().states[1] == ImageState::failed);
  }
}

TEST_CASE("a crash at any moment of a close, after a fracture or without one, leaves a mirror that opens") {
  for (bool fractured : {false, true}) {
    unsigned clean = 0, unclean = 0;
    for (unsigned steps = 0; steps < 40; ++steps) {
      CAPTURE(steps);
      CAPTURE(fractured);
      RunningMirror mirror({.seed = steps + 1, .slaves = 2});
      if (fractured) fail_data_writes(mirror, 1);
      REQUIRE(mirror.write({0, 4096}, 1).ok());
      mirror.start_close();
      for (unsigned i = 0; i < steps; ++i) mirror.runtime.step();
      mirror.crash();
      mirror.heal();
      const Outcome opened = mirror.open();
      CAPTURE(static_cast<int>(opened.code));
      REQUIRE(opened.ok());
      (mirror.assessment.clean ? clean : unclean) += 1;
      CHECK(std::equal(mirror.images[0]->content().begin(), mirror.images[0]->content().begin() + 4 * kMiB,
                       mirror.images[2]->content().begin()));
    }
    CHECK(clean > 0);
    CHECK(unclean > 0);
  }
}

TEST_CASE("I8: a fracture at any moment of an opening is never durable without its generation") {
  unsigned fractured = 0;
  bool through = false;
  for (unsigned steps = 1; !through; ++steps) {
    CAPTURE(steps);
    RunningMirror mirror({.seed = steps, .slaves = 3});
    REQUIRE(mirror.run(mirror.session->close()).ok());
    const std::uint64_t before = durable_superblock(*mirror.log).generation.counter;
    // The second one fails while the fracture of the first is on its way to the labels.
    unsigned labels = 0;
    const auto fail = [&](const DeviceRequest& request) {
      return mirror.is_label(request) ? error_fate() : SimulatedDevice::Fate{};
    };
    mirror.images[1]->decide = fail;
    mirror.images[2]->decide = [&](const DeviceRequest& request) {
      return mirror.is_label(request) && ++labels > 2 ? error_fate() : SimulatedDevice::Fate{};
    };
    mirror.new_session();
    RecoverySteps recovery;
    Pending& opened = mirror.start_task(recovery.open(*mirror.session));
    for (unsigned i = 0; i < steps; ++i) mirror.runtime.step();
    through = opened.ended();
    mirror.crash(0);
    mirror.heal();
    const Superblock now = durable_superblock(*mirror.log);
    for (unsigned image : {1u, 2u}) {
      if (now.images[image].state != ImageState::failed) continue;
      ++fractured;
      CHECK(now.generation.counter > before);
      const Label label = durable_label(*mirror.images[image], now.images[image].label_position);
      CHECK(label.generation.counter < now.generation.counter);
    }
    CHECK(now.generation.counter <= before + 2);
    REQUIRE(mirror.open().ok());
    REQUIRE(steps < 200);
  }
  CHECK(fractured > 2);
}

TEST_CASE("I8: what writes the superblock beside a fracture writes its generation too") {
  RunningMirror mirror({.slaves = 2});
  const std::uint64_t before = durable_superblock(*mirror.log).generation.counter;
  bool wrong = false;
  mirror.log->on_settle = [&](const DeviceRequest& request, int) {
    if (!mirror.is_superblock(request)) return;
    const Superblock now = durable_superblock(*mirror.log);
    wrong |= now.images[1].state == ImageState::failed && now.generation.counter == before;
  };
  fail_data_writes(mirror, 1);
  Pending& write = mirror.start_write({0, 4096}, 1);
  for (unsigned i = 0; i < 4; ++i) mirror.runtime.step();
  Pending& marked = mirror.start_task(mirror.session->record_verify(mirror.found_equal()));
  mirror.advance();
  CHECK(write.succeeded());
  CHECK(marked.succeeded());
  CHECK_FALSE(wrong);
  check_fracture_is_durable(mirror, {1});
  CHECK(durable_superblock(*mirror.log).generation.counter == before + 1);
  mirror.log->on_settle = nullptr;
}

namespace {

// Power is lost in the opening's `at`-th write of a copy of the superblock or of a label, and destroys that copy.
bool lose_copy(RunningMirror& mirror, unsigned at) {
  mirror.new_session();
  RecoverySteps recovery;
  unsigned writes = 0;
  SimulatedDevice* hit = nullptr;
  std::uint64_t position = 0, length = 0;
  const auto watch = [&](SimulatedDevice& device, std::uint64_t begin, std::uint64_t end) {
    device.on_submit = [&, begin, end](const DeviceRequest& request) {
      const bool copy = request.operation == Operation::write && request.position >= begin && request.position < end;
      if (!copy || writes++ != at) return;
      hit = &device;
      position = request.position;
      length = request.length;
    };
  };
  watch(*mirror.log, 0, kRingPosition);
  for (auto& image : mirror.images) watch(*image, 4 * kMiB, UINT64_MAX);
  Pending& opened = mirror.start_task(recovery.open(*mirror.session));
  while (hit == nullptr && !opened.ended()) mirror.runtime.step();
  mirror.log->on_submit = nullptr;
  for (auto& image : mirror.images) image->on_submit = nullptr;
  mirror.crash(0);
  if (hit != nullptr) overwrite(mirror, *hit, position, std::vector<std::byte>(length, std::byte{0x5a}));
  return hit != nullptr;
}

}  // namespace

TEST_CASE("I8: two power losses, each in the write of a copy, leave a superblock and labels that are whole") {
  unsigned first = 0;
  for (bool more = true; more; ++first) {
    for (unsigned second = 0;; ++second) {
      CAPTURE(first);
      CAPTURE(second);
      RunningMirror mirror({});
      REQUIRE(mirror.run(mirror.session->close()).ok());
      more = lose_copy(mirror, first);
      const bool reached = lose_copy(mirror, second);
      REQUIRE(mirror.open().ok());
      if (!more || !reached) break;
    }
  }
  CHECK(first >= 8);
}

TEST_CASE("feature bits of a label that are compatible are carried on by every label that is written") {
  RunningMirror mirror({.slaves = 1});
  REQUIRE(mirror.run(mirror.session->close()).ok());
  const std::uint64_t position = mirror.session->superblock().images[1].label_position;
  Label label = mirror.label_of(1);
  label.compatible_features = 0x8000000000000001;
  AlignedBuffer bytes(kLabelCopyLength);
  encode_label(label, bytes.span());
  for (std::uint64_t copy : {std::uint64_t{0}, kLabelCopyDistance})
    overwrite(mirror, *mirror.images[1], position + copy, bytes.span());
  REQUIRE(mirror.open().ok());
  CHECK(mirror.label_of(1).compatible_features == label.compatible_features);
  CHECK(mirror.label_of(0).compatible_features == 0);
  REQUIRE(mirror.run(mirror.session->close()).ok());
  CHECK(mirror.label_of(1).compatible_features == label.compatible_features);
}

TEST_CASE("a failed slave opens beside the mirror whatever its label says") {
  RunningMirror mirror({.slaves = 2});
  fail_data_writes(mirror, 1);
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  mirror.heal();
  REQUIRE(mirror.run(mirror.session->close()).ok());
  Label label = mirror.label_of(1);
  label.open_count += 5;
  AlignedBuffer bytes(kLabelCopyLength);
  encode_label(label, bytes.span());
  const std::uint64_t position = mirror.session->superblock().images[1].label_position;
  for (std::uint64_t copy : {std::uint64_t{0}, kLabelCopyDistance})
    overwrite(mirror, *mirror.images[1], position + copy, bytes.span());
  REQUIRE(mirror.open().ok());
  CHECK(mirror.session->snapshot().states[1] == ImageState::failed);
  CHECK(mirror.write({0, 4096}, 2).ok());
}
