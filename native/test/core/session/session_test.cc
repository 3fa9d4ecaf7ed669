// A mirror's life: formatting, opening, power losses, damage, foreign and restored devices, the order of steps.
#include "../../../core/session/session.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../../../core/format/record.h"
#include "../../support/boundary_oracle.h"
#include "../../support/limited_address_space.h"
#include "../../support/recovery_steps.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

using Pending = RunningMirror::Pending;

Code open_code(SimulatedMirror& mirror) {
  const Outcome outcome = mirror.open();
  const Code code = outcome.code;
  if (!outcome.ok()) (void)mirror.run(mirror.session->close());
  return code;
}

// Every step that a session in that phase must refuse, and with what.
void check_only(SimulatedMirror& mirror, std::initializer_list<const char*> allowed, Code otherwise) {
  Session& session = *mirror.session;
  Assessment assessment;
  ResyncResult resynced;
  CompareResult compared;
  AlignedBuffer bytes(4096);
  auto is_allowed = [&](const char* name) {
    return std::any_of(allowed.begin(), allowed.end(), [&](const char* one) { return std::string(one) == name; });
  };
  auto check = [&](const char* name, auto make) {
    if (is_allowed(name)) return;
    CAPTURE(name);
    const Code code = mirror.run(make()).code;
    CHECK((code == otherwise || code == Code::NOT_RECOVERED || code == Code::CLOSED));
    if (otherwise == Code::CLOSED) CHECK(code == Code::CLOSED);
  };
  check("load", [&] { return session.load_superblock(); });
  check("plan_format", [&] { return session.plan_format({}); });
  check("format", [&] { return session.format(); });
  check("assess", [&] { return session.assess(assessment); });
  check("activate", [&] { return session.activate({}); });
  check("resync", [&] { return session.resync({}, resynced); });
  check("recover", [&] { return session.end_recovery({}); });
  check("compare", [&] { return session.compare({{0, 4096}}, {}, compared); });
  check("run", [&] { return session.record_verify({}); });
  check("run", [&] { return session.retire_all(); });
  check("run", [&] { return session.write({0, 4096}, bytes.span(), false, nullptr); });
  check("run", [&] { return session.read({0, 4096}, bytes.span()); });
  check("run", [&] { return session.discard({0, 4096}); });
  check("run", [&] { return session.flush(); });
}

// A mirror that crashed with one live intent whose slave lags, and with a ring in which a sector was destroyed.
struct DamagedMirror : RunningMirror {
  static constexpr Extent kLagging{kMiB, 8192};
  static constexpr Extent kUnlogged{2 * kMiB, 4096};

  explicit DamagedMirror(std::uint64_t seed = 1) : RunningMirror({.seed = seed, .ring_records = 16}) {
    REQUIRE(write({0, kMiB}, 1, true).ok());
    REQUIRE(run(session->retire_all()).ok());
    images[1]->decide = [](const DeviceRequest&) { return hold_fate(); };
    start_write(kLagging, 2, true);
    advance();
    const RingGeometry ring = session->superblock().ring;
    const std::uint64_t slot = session->snapshot().sequence % ring.record_count;
    crash(0);
    heal();
    std::vector<std::byte> garbage(512, std::byte{0xEE});
    overwrite(*this, *log, ring.position + slot * ring.record_size + 1024, garbage);
    // Nothing names this difference any more; only a full compare finds it.
    overwrite(*this, *images[1], kUnlogged.position, std::vector<std::byte>(kUnlogged.length, std::byte{9}));
  }
};

// Closed cleanly, then its ring (not its superblock) put back to what it was before this opening: only the seal knows.
struct RestoredRing : RunningMirror {
  RestoredRing() : RunningMirror({.ring_records = 16}) {
    const RingGeometry ring = session->superblock().ring;
    std::vector<std::byte> old(log->durable().begin() + static_cast<std::ptrdiff_t>(ring.position),
                               log->durable().begin() + static_cast<std::ptrdiff_t>(ring.position + ring.length()));
    for (std::uint64_t i = 0; i < 3; ++i) REQUIRE(write({i * kMiB, 4096}, 2, true).ok());
    REQUIRE(run(session->close()).ok());
    overwrite(*this, *log, ring.position, old);
    overwrite(*this, *images[1], kMiB, std::vector<std::byte>(4096, std::byte{9}));
  }
};

}  // namespace

TEST_CASE("a created mirror opens clean and its images are equal") {
  SimulatedMirror mirror({});
  mirror.images[0]->content()[12345] = std::byte{7};
  REQUIRE(mirror.create().ok());
  CHECK(mirror.images_equal());
  REQUIRE(mirror.open().ok());
  CHECK(mirror.assessment.clean);
  CHECK(mirror.session->phase() == Phase::running);
}

TEST_CASE("what was written is read back, and reaches every image") {
  SimulatedMirror mirror({.slaves = 3});
  REQUIRE(mirror.create().ok());
  REQUIRE(mirror.open().ok());
  REQUIRE(mirror.write({8192, 4096}, 0xAB).ok());
  AlignedBuffer bytes(4096);
  REQUIRE(mirror.run(mirror.session->read({8192, 4096}, bytes.span())).ok());
  CHECK(bytes.span()[17] == std::byte{0xAB});
  CHECK(mirror.images_equal());
}

TEST_CASE("after power losses under random load: images equal, debt within the budget, nothing durable lost") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    RunningMirror mirror({.seed = seed, .slaves = 2, .ring_records = 16, .recovery_budget = kMinimumRecoveryBudget});
    REQUIRE(mirror.run(mirror.session->close()).ok());
    std::vector<unsigned char> acknowledged(1000, 0);  // by block: what a durable write promised
    std::vector<bool> uncertain(1000, false);
    for (int crash = 0; crash < 4; ++crash) {
      CAPTURE(crash);
      mirror.heal();
      REQUIRE(mirror.open().ok());
      CHECK(mirror.images_equal());
      CHECK_FALSE(mirror.assessment.damaged);
      CHECK(mirror.assessment.debt.bytes() <= kMinimumRecoveryBudget);
      for (std::uint64_t block = 0; block < 1000; ++block) {
        const auto found = static_cast<unsigned char>(mirror.images[0]->content()[block * 4096]);
        if (!uncertain[block]) REQUIRE(found == acknowledged[block]);
        acknowledged[block] = found;
        uncertain[block] = false;
      }
      mirror.random_latencies();
      struct Sent {
        std::uint64_t block;
        bool durable;
        Pending* write;
      };
      std::vector<Sent> writes;
      for (int i = 0; i < 200; ++i) {
        const std::uint64_t block = mirror.runtime.draw(1000);
        if (uncertain[block]) continue;  // one write a block: its outcome can be told
        uncertain[block] = true;
        const auto fill = static_cast<unsigned char>(1 + mirror.runtime.draw(255));
        const bool durable = mirror.runtime.draw(2) == 0;
        writes.push_back({block, durable, &mirror.start_write({block * 4096, 4096}, fill, durable)});
      }
      for (std::uint64_t steps = mirror.runtime.draw(1500); steps > 0; --steps) mirror.runtime.step();
      std::vector<Sent> promised;
      for (const Sent& sent : writes) {
        if (sent.write->succeeded()) promised.push_back(sent);
      }
      const bool flushed = mirror.runtime.draw(2) == 0 && mirror.run(mirror.session->flush()).ok();
      if (!flushed) std::erase_if(promised, [](const Sent& sent) { return !sent.durable; });
      for (const Sent& sent : promised) {
        acknowledged[sent.block] = static_cast<unsigned char>(sent.write->bytes.span()[0]);
        uncertain[sent.block] = false;
      }
      mirror.crash();
    }
  }
}

TEST_CASE("a mirror whose size is no multiple of a region, of large physical blocks, survives power losses") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    CAPTURE(seed);
    RunningMirror mirror({.seed = seed,
                          .size = 2 * kMiB + 1536,
                          .ring_records = kMinimumRingRecords,
                          .recovery_budget = kMinimumRecoveryBudget,
                          .physical_block_size = 16384});
    const std::uint64_t size = mirror.session->superblock().size;
    for (int crash = 0; crash < 4; ++crash) {
      mirror.random_latencies();
      mirror.start_write({size - 512, 512}, 1);
      for (int i = 0; i < 60; ++i)
        mirror.start_write({mirror.runtime.draw(size / 512) * 512, 512}, static_cast<unsigned char>(i));
      for (std::uint64_t steps = mirror.runtime.draw(300); steps > 0; --steps) mirror.runtime.step();
      mirror.crash();
      mirror.heal();
      REQUIRE(mirror.open().ok());
      CHECK_FALSE(mirror.assessment.damaged);
      for (const Extent& extent : mirror.assessment.debt.extents()) {
        CHECK(extent.end() <= size);
        CHECK(extent.position % 16384 == 0);
        CHECK((extent.end() % 16384 == 0 || extent.end() == size));
      }
      CHECK(std::equal(mirror.images[0]->content().begin(),
                       mirror.images[0]->content().begin() + static_cast<std::ptrdiff_t>(size),
                       mirror.images[1]->content().begin()));
    }
  }
}

TEST_CASE("each phase allows its own steps and answers WRONG_PHASE, NOT_RECOVERED or CLOSED to the others") {
  RunningMirror mirror({});
  check_only(mirror, {"compare", "resync", "run"}, Code::WRONG_PHASE);
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  mirror.crash();
  mirror.new_session();
  check_only(mirror, {"load"}, Code::WRONG_PHASE);
  REQUIRE(mirror.run(mirror.session->load_superblock()).ok());
  CHECK(mirror.run(mirror.session->activate({})).code == Code::WRONG_PHASE);
  check_only(mirror, {"assess"}, Code::WRONG_PHASE);
  REQUIRE(mirror.run(mirror.session->assess(mirror.assessment)).ok());
  REQUIRE(mirror.run(mirror.session->activate({})).ok());
  check_only(mirror, {"recover", "resync", "compare"}, Code::WRONG_PHASE);
  REQUIRE(mirror.run(mirror.session->close()).ok());
  check_only(mirror, {}, Code::CLOSED);
}

TEST_CASE("a close waits for the step under way, and the steps that come during it are refused") {
  RunningMirror mirror({});
  mirror.images[1]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::read ? hold_fate() : SimulatedDevice::Fate{};
  };
  CompareResult result;
  Pending& comparing = mirror.start_task(mirror.session->compare({{0, kMiB}}, {}, result));
  mirror.advance();
  Pending& close = mirror.start_close();
  mirror.advance();
  CHECK_FALSE(close.ended());
  check_only(mirror, {"run"}, Code::CLOSED);
  mirror.heal();
  mirror.advance();
  CHECK(comparing.succeeded());
  CHECK(close.succeeded());
}

TEST_CASE("a comparison that starts at any moment of a close is refused or waited for") {
  for (unsigned steps = 0; steps < 30; ++steps) {
    CAPTURE(steps);
    RunningMirror mirror({});
    REQUIRE(mirror.write({0, 4096}, 1).ok());
    Pending& close = mirror.start_close();
    for (unsigned i = 0; i < steps; ++i) mirror.runtime.step();
    CompareResult result;
    Pending& comparing = mirror.start_task(mirror.session->compare({{0, kMiB}}, {}, result));
    mirror.advance();
    CHECK(close.succeeded());
    CHECK(comparing.code() == Code::CLOSED);
  }
}

TEST_CASE("a comparison finds what differs in a running mirror, and waits for writes to the range") {
  RunningMirror mirror({.slaves = 2});
  REQUIRE(mirror.write({0, kMiB}, 1).ok());
  mirror.images[2]->content()[70000] = std::byte{2};
  CompareResult result;
  REQUIRE(mirror.run(mirror.session->compare({{0, kMiB}}, {}, result)).ok());
  CHECK(result.bytes_differed == std::vector<std::uint64_t>{0, 0, 1});
  REQUIRE(result.differences.size() == 1);
  CHECK(result.differences[0].extent == Extent{69632, 4096});
  CHECK(mirror.run(mirror.session->compare({{4 * kMiB - 4096, 8192}}, {}, result)).code == Code::OUT_OF_RANGE);
  CHECK(mirror.run(mirror.session->compare({{0, 0}}, {}, result)).code == Code::OUT_OF_RANGE);

  mirror.images[1]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::write ? hold_fate() : SimulatedDevice::Fate{};
  };
  mirror.start_write({4096, 4096}, 5);
  Pending& comparing = mirror.start_task(mirror.session->compare({{0, 16384}}, {}, result));
  mirror.advance();
  CHECK_FALSE(comparing.ended());
  mirror.heal();
  mirror.advance();
  CHECK(comparing.succeeded());
  CHECK(result.differences.empty());
}

TEST_CASE("a comparison that cannot read a slave says which and where, fails nobody, and goes on with the others") {
  RunningMirror mirror({.slaves = 2});
  mirror.images[2]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::read ? error_fate() : SimulatedDevice::Fate{};
  };
  CompareResult result;
  mirror.images[1]->content()[70000] = std::byte{2};
  REQUIRE(mirror.run(mirror.session->compare({{0, kMiB}, {kMiB, kMiB}}, {}, result)).ok());
  CHECK(result.bytes_compared == std::vector<std::uint64_t>{0, 2 * kMiB, 0});
  CHECK(result.bytes_differed == std::vector<std::uint64_t>{0, 1, 0});
  CHECK(result.unread[1].ok());
  CHECK(result.unread[2].code == Code::READ_FAILED);
  CHECK(result.unread[2].image == 2);
  CHECK(result.unread[2].system_error == kIoError);
  CHECK(result.unread[2].position == 0);
  CHECK(mirror.session->snapshot().states[2] == ImageState::assumed);
}

TEST_CASE("formatting is refused when an image, the log or its blocks do not fit") {
  auto format = [](SimulatedMirror& mirror, std::uint64_t size) {
    mirror.new_session();
    FormatOptions options;
    options.size = size;
    options.ring_records = 64;
    options.images = {{"master", "/m", PathKind::absolute}, {"slave", "/s", PathKind::absolute}};
    return mirror.run(mirror.session->plan_format(options));
  };
  SimulatedMirror mirror({});
  CHECK(format(mirror, 64 * kMiB).code == Code::TOO_SMALL);
  CHECK(format(mirror, kMiB + 100).code == Code::MISALIGNED);
  mirror.images[1]->mutable_traits().offset_alignment = 16384;
  const Outcome wide = format(mirror, kMiB);
  CHECK(wide.code == Code::BLOCK_TOO_LARGE);
  CHECK(wide.image == 1);
  CHECK(wide.position == 16384);
  mirror.images[1]->mutable_traits().offset_alignment = 512;
  mirror.log->mutable_traits().physical_block_size = 128 * 1024;
  CHECK(format(mirror, kMiB).image == kLogDevice);
  mirror.log->mutable_traits().physical_block_size = 4096;
  mirror.log->mutable_traits().size = 600 * 1024;
  const Outcome small = format(mirror, kMiB);
  CHECK(small.code == Code::TOO_SMALL);
  CHECK(small.image == kLogDevice);
}

TEST_CASE("the size of a mirror is the largest that all images allow, when none is given") {
  SimulatedMirror mirror({});
  mirror.images[1]->mutable_traits().size -= kMiB;
  mirror.new_session();
  FormatOptions options;
  options.ring_records = 64;
  options.assume_identical = true;
  options.images = {{"master", "/m", PathKind::absolute}, {"slave", "/s", PathKind::absolute}};
  REQUIRE(mirror.run(mirror.session->plan_format(options)).ok());
  CHECK(mirror.session->superblock().size == 4 * kMiB);
}

TEST_CASE("a create that fails or crashes at any moment leaves no mirror, or a whole one") {
  unsigned unfinished = 0, finished = 0;
  for (unsigned steps = 0; steps < 200 && finished < 3; steps += 3) {
    CAPTURE(steps);
    SimulatedMirror mirror({.seed = steps + 1, .size = kMiB, .ring_records = 16});
    mirror.new_session();
    FormatOptions options;
    options.size = kMiB;
    options.ring_records = 16;
    options.images = {{"master", "/m", PathKind::absolute}, {"slave", "/s", PathKind::absolute}};
    RecoverySteps recovery;
    recovery.assessment.debt.add({0, kMiB});
    auto create = [&]() -> Task<Outcome> {
      Outcome outcome = co_await mirror.session->plan_format(options);
      if (outcome.ok()) outcome = co_await mirror.session->format();
      if (outcome.ok()) outcome = co_await recovery.recover(*mirror.session);
      co_return outcome;
    };
    mirror.images[0]->content()[5000] = std::byte{4};
    overwrite(mirror, *mirror.images[0], 4096, std::vector<std::byte>(4096, std::byte{4}));
    std::optional<Outcome> created;
    mirror.start(create(), created);
    for (unsigned i = 0; i < steps && !created; ++i) mirror.runtime.step();
    mirror.crash();
    mirror.new_session();
    const Outcome loaded = mirror.run(mirror.session->load_superblock());
    if (!loaded.ok()) {
      CHECK((loaded.code == Code::NOT_A_LOG || loaded.code == Code::LOG_DAMAGED));
      ++unfinished;
      continue;
    }
    if (mirror.session->superblock().lifecycle == Lifecycle::creating) {
      REQUIRE(mirror.run(mirror.session->assess(mirror.assessment)).ok());
      CHECK(mirror.run(mirror.session->activate({})).code == Code::WRONG_PHASE);
      ++unfinished;
      continue;
    }
    (void)mirror.run(mirror.session->close());
    REQUIRE(mirror.open().ok());
    CHECK(mirror.images_equal());
    ++finished;
  }
  CHECK(unfinished > 6);
  CHECK(finished > 0);
}

TEST_CASE("a create of which a slave fails, fails, names it, and leaves no mirror") {
  for (const unsigned slaves : {1u, 2u}) {
    SimulatedMirror mirror({.slaves = slaves});
    mirror.images[slaves]->decide = [](const DeviceRequest& request) {
      return request.operation == Operation::write && request.position < 4 * kMiB ? error_fate()
                                                                                  : SimulatedDevice::Fate{};
    };
    const Outcome outcome = mirror.create();
    CHECK(outcome.code == Code::SLAVE_FAILED);
    CHECK(outcome.image == static_cast<ImageIndex>(slaves));
    CHECK(outcome.system_error == EIO);
    CHECK(durable_superblock(*mirror.log).lifecycle == Lifecycle::creating);
  }
}

TEST_CASE("a create whose slave cannot take one of its labels fails, and leaves no mirror") {
  for (unsigned at = 0; at < 4; ++at) {  // of the format, then of the end, copy A and B
    CAPTURE(at);
    SimulatedMirror mirror({.slaves = 2});
    unsigned labels = 0;
    mirror.images[2]->decide = [&](const DeviceRequest& request) {
      const bool label = request.operation == Operation::write && request.position >= 4 * kMiB;
      return label && labels++ == at ? error_fate() : SimulatedDevice::Fate{};
    };
    const Outcome outcome = mirror.create();
    CHECK(labels == at + 1);
    CHECK(outcome.code == Code::SLAVE_FAILED);
    CHECK(outcome.image == 2);
    CHECK(durable_superblock(*mirror.log).lifecycle == Lifecycle::creating);
  }
}

TEST_CASE("the plan of a create is durable before a byte of the images or of the ring is written") {
  SimulatedMirror mirror({});
  mirror.new_session();
  bool early = false;
  for (auto& image : mirror.images) {
    image->on_submit = [&](const DeviceRequest& request) { early |= request.operation != Operation::read; };
  }
  mirror.log->on_submit = [&](const DeviceRequest& request) {
    early |= request.operation == Operation::write && request.position >= kRingPosition;
  };
  FormatOptions options;
  options.size = kMiB;
  options.ring_records = 64;
  options.images = {{"master", "/m", PathKind::absolute}, {"slave", "/s", PathKind::absolute}};
  REQUIRE(mirror.run(mirror.session->plan_format(options)).ok());
  CHECK_FALSE(early);
  const Superblock plan = durable_superblock(*mirror.log);
  CHECK(plan.lifecycle == Lifecycle::creating);
  CHECK(plan.images[1].path == "/s");
  CHECK(plan.images[1].state == ImageState::synchronizing);
  // Nothing in the ring counts yet: what stood there before is no damage.
  mirror.crash();
  mirror.new_session();
  REQUIRE(mirror.run(mirror.session->load_superblock()).ok());
  Assessment assessment;
  REQUIRE(mirror.run(mirror.session->assess(assessment)).ok());
  CHECK_FALSE(assessment.damaged);
  CHECK(assessment.debt.bytes() == kMiB);
}

TEST_CASE("formatting refuses a ring of fewer or more records than a superblock holds") {
  SimulatedMirror mirror({});
  for (const std::uint32_t records : {0u, kMinimumRingRecords - 1, kMaximumRecordCount + 1, 0xffffffffu}) {
    mirror.new_session();
    FormatOptions options;
    options.size = kMiB;
    options.ring_records = records;
    options.images = {{"master", "/m", PathKind::absolute}, {"slave", "/s", PathKind::absolute}};
    const Outcome outcome = mirror.run(mirror.session->plan_format(options));
    CHECK(outcome.code == Code::OUT_OF_RANGE);
    CHECK(outcome.image == kLogDevice);
  }
}

TEST_CASE("an opening flushes the log before it writes anything that builds upon what was scanned") {
  RunningMirror mirror({});
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  mirror.crash();
  bool flushed = false, too_early = false;
  mirror.log->on_settle = [&](const DeviceRequest& request, int) { flushed |= request.operation == Operation::flush; };
  mirror.log->on_submit = [&](const DeviceRequest& request) {
    too_early |= request.operation == Operation::write && !flushed;
  };
  REQUIRE(mirror.open().ok());
  CHECK(flushed);
  CHECK_FALSE(too_early);
  REQUIRE(mirror.run(mirror.session->close()).ok());
  mirror.log->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::flush ? error_fate() : SimulatedDevice::Fate{};
  };
  CHECK(open_code(mirror) == Code::LOG_FAILED);
  mirror.log->on_submit = nullptr;
  mirror.log->on_settle = nullptr;
}

TEST_CASE("I8: a crash after any event of an opening, again and again, leaves a mirror that opens") {
  for (bool clean : {true, false}) {
    bool through = false;
    for (unsigned steps = 1; !through; ++steps) {
      CAPTURE(clean);
      CAPTURE(steps);
      RunningMirror mirror({.seed = steps, .slaves = 2});
      REQUIRE(mirror.write({0, 4096}, 1, true).ok());
      if (clean) {
        REQUIRE(mirror.run(mirror.session->close()).ok());
      } else {
        mirror.crash();
      }
      for (unsigned cut = 0; cut < 3; ++cut) {
        mirror.new_session();
        RecoverySteps recovery;
        Pending& opened = mirror.start_task(recovery.open(*mirror.session));
        for (unsigned i = 0; i < steps + cut; ++i) mirror.runtime.step();
        through = opened.ended();
        mirror.crash();
      }
      const Outcome opened = mirror.open();
      CAPTURE(static_cast<int>(opened.code));
      REQUIRE(opened.ok());
      CHECK_FALSE(mirror.assessment.damaged);
      CHECK(mirror.images_equal());
      REQUIRE(steps < 300);
    }
  }
}

TEST_CASE("an opening whose labels or superblock cannot be written fails, and the next one succeeds") {
  struct Case {
    const char* name;
    int device;  // image, or -1 for the log
    Code code;
  };
  for (const Case& failing : {Case{"log", -1, Code::LOG_FAILED}, Case{"master", 0, Code::MASTER_FAILED}}) {
    for (unsigned at = 0; at < 4; ++at) {
      CAPTURE(failing.name);
      CAPTURE(at);
      RunningMirror mirror({});
      REQUIRE(mirror.run(mirror.session->close()).ok());
      unsigned writes = 0;
      SimulatedDevice& device = failing.device < 0 ? *mirror.log : *mirror.images[0];
      device.decide = [&](const DeviceRequest& request) {
        if (request.operation != Operation::write) return SimulatedDevice::Fate{};
        return writes++ == at ? error_fate() : SimulatedDevice::Fate{};
      };
      const Code code = open_code(mirror);
      if (failing.device == 0 && at >= 2) {
        CHECK(code == Code::ok);
        continue;
      }
      CHECK(code == failing.code);
      mirror.heal();
      REQUIRE(mirror.open().ok());
      CHECK(mirror.write({0, 4096}, 1).ok());
    }
  }
}

TEST_CASE("a slave that cannot take its label at opening is failed, and the mirror opens without it") {
  RunningMirror mirror({.slaves = 2});
  REQUIRE(mirror.run(mirror.session->close()).ok());
  mirror.images[1]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::write ? error_fate() : SimulatedDevice::Fate{};
  };
  REQUIRE(mirror.open().ok());
  CHECK(mirror.durable_state(1) == ImageState::failed);
  CHECK(mirror.label_of(2).generation == durable_superblock(*mirror.log).generation);
  CHECK(mirror.write({0, 4096}, 1).ok());
}

TEST_CASE("I11: a flush of the master that failed in a create is not tried again, and makes no mirror") {
  SimulatedMirror mirror({});
  mirror.new_session();
  REQUIRE(mirror.run(mirror.session->plan_format(mirror.format_options())).ok());
  mirror.images[0]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::flush ? error_fate() : SimulatedDevice::Fate{};
  };
  CHECK(mirror.run(mirror.session->format()).code == Code::MASTER_FAILED);
  mirror.images[0]->decide = nullptr;
  CHECK(mirror.run(mirror.session->end_recovery({})).code == Code::WRONG_PHASE);
  CHECK(durable_superblock(*mirror.log).lifecycle == Lifecycle::creating);
}

TEST_CASE("a master whose flush fails at opening is not attached, by a second try neither") {
  RunningMirror mirror({});
  REQUIRE(mirror.run(mirror.session->close()).ok());
  mirror.images[0]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::flush ? error_fate() : SimulatedDevice::Fate{};
  };
  CHECK(mirror.open().code == Code::MASTER_FAILED);
  mirror.heal();
  CHECK(mirror.run(mirror.session->activate({})).code == Code::MASTER_FAILED);
}

TEST_CASE("I8: exchanged, foreign, restored and cut images are refused by name") {
  RunningMirror mirror({.slaves = 2});
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  REQUIRE(mirror.run(mirror.session->close()).ok());
  const std::vector<std::byte> old_slave = durable_copy(*mirror.images[1]);
  const std::vector<std::byte> old_master = durable_copy(*mirror.images[0]);
  REQUIRE(mirror.open().ok());
  REQUIRE(mirror.write({0, 4096}, 2).ok());
  REQUIRE(mirror.run(mirror.session->close()).ok());
  const std::vector<std::byte> new_slave = durable_copy(*mirror.images[1]);

  std::swap(mirror.images[1], mirror.images[2]);
  CHECK(open_code(mirror) == Code::SWAPPED_IMAGES);
  std::swap(mirror.images[1], mirror.images[2]);
  std::swap(mirror.images[0], mirror.images[1]);
  CHECK(open_code(mirror) == Code::SWAPPED_IMAGES);
  std::swap(mirror.images[0], mirror.images[1]);

  overwrite(mirror, *mirror.images[1], 0, old_slave);
  CHECK(open_code(mirror) == Code::STALE_IMAGE);
  overwrite(mirror, *mirror.images[1], 0, std::vector<std::byte>(new_slave.size(), std::byte{0}));
  CHECK(open_code(mirror) == Code::NO_LABEL);
  overwrite(mirror, *mirror.images[1], 0, new_slave);

  mirror.images[1]->mutable_traits().size -= kMiB;
  CHECK(open_code(mirror) == Code::TRUNCATED_IMAGE);
  mirror.images[1]->mutable_traits().size += kMiB;

  RunningMirror other({.seed = 99});
  REQUIRE(other.run(other.session->close()).ok());
  overwrite(mirror, *mirror.images[1], 0, durable_copy(*other.images[1]));
  CHECK(open_code(mirror) == Code::FOREIGN_IMAGE);
  overwrite(mirror, *mirror.images[1], 0, new_slave);

  overwrite(mirror, *mirror.images[0], 0, old_master);
  CHECK(open_code(mirror) == Code::STALE_IMAGE);
}

TEST_CASE("I8: a log that was put back is refused, and the images stay as they are") {
  RunningMirror mirror({});
  REQUIRE(mirror.run(mirror.session->close()).ok());
  const std::vector<std::byte> old_log = durable_copy(*mirror.log);
  REQUIRE(mirror.open().ok());
  REQUIRE(mirror.write({0, 4096}, 2).ok());
  REQUIRE(mirror.run(mirror.session->close()).ok());
  overwrite(mirror, *mirror.log, 0, old_log);
  const std::vector<std::byte> master = durable_copy(*mirror.images[0]);
  CHECK(open_code(mirror) == Code::STALE_LOG);
  CHECK(master == durable_copy(*mirror.images[0]));
}

TEST_CASE("I8: a slave that failed and whose old bytes are put back stays failed") {
  RunningMirror mirror({.slaves = 2});
  const std::vector<std::byte> before = durable_copy(*mirror.images[1]);
  mirror.images[1]->decide = [](const DeviceRequest&) { return error_fate(); };
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  mirror.heal();
  REQUIRE(mirror.run(mirror.session->close()).ok());
  overwrite(mirror, *mirror.images[1], 0, before);
  REQUIRE(mirror.open().ok());
  CHECK(mirror.session->snapshot().states[1] == ImageState::failed);
  REQUIRE(mirror.write({0, 4096}, 2).ok());
  CHECK(mirror.images[1]->content()[0] == std::byte{0});
}

TEST_CASE("a damaged ring makes the whole mirror debt, only what differs is copied, and the next open is clean") {
  DamagedMirror mirror;
  mirror.new_session();
  RecoverySteps recovery;
  recovery.only_differing = true;
  REQUIRE(mirror.run(recovery.open(*mirror.session)).ok());
  CHECK(recovery.assessment.damaged);
  CHECK_FALSE(recovery.assessment.damage.empty());
  CHECK(recovery.assessment.debt.extents() == std::vector<Extent>{{0, 4 * kMiB}});
  CHECK(mirror.images_equal());
  CHECK(recovery.bytes_copied == DamagedMirror::kLagging.length + DamagedMirror::kUnlogged.length);
  CHECK(mirror.session->phase() == Phase::running);
  for (std::uint64_t i = 0; i < 40; ++i) REQUIRE(mirror.write({i % 4 * kMiB, 4096}, 3).ok());
  REQUIRE(mirror.run(mirror.session->close()).ok());
  REQUIRE(mirror.open().ok());
  CHECK(mirror.assessment.clean);
  CHECK(mirror.images_equal());
}

TEST_CASE("a crash after any event of the recovery of a damaged ring costs another full compare, or nothing") {
  bool through = false;
  unsigned compared_again = 0, nothing_left = 0;
  for (unsigned steps = 0; !through; ++steps) {
    CAPTURE(steps);
    DamagedMirror mirror(steps + 1);
    mirror.new_session();
    RecoverySteps recovery;
    recovery.only_differing = true;
    Pending& opened = mirror.start_task(recovery.open(*mirror.session));
    for (unsigned i = 0; i < steps; ++i) mirror.runtime.step();
    through = opened.ended();
    mirror.crash();
    mirror.heal();
    REQUIRE(mirror.open().ok());
    (mirror.assessment.damaged ? compared_again : nothing_left) += 1;
    CHECK(mirror.images_equal());
    REQUIRE(mirror.write({0, 4096}, 3).ok());
    mirror.crash();
    REQUIRE(mirror.open().ok());
    CHECK_FALSE(mirror.assessment.damaged);
    CHECK(mirror.images_equal());
    REQUIRE(steps < 500);
  }
  CHECK(compared_again > 0);
  CHECK(nothing_left > 0);
}

TEST_CASE("a slot of the ring that cannot be read is damage, and costs a full compare") {
  RunningMirror mirror({.ring_records = 16});
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  mirror.crash();
  const std::uint64_t bad = kRingPosition + 3 * kMinimumRecordSize;
  mirror.log->decide = [bad](const DeviceRequest& request) {
    const bool meets =
        request.operation == Operation::read && request.position <= bad && bad < request.position + request.length;
    return meets ? error_fate() : SimulatedDevice::Fate{};
  };
  REQUIRE(mirror.open().ok());
  CHECK(mirror.assessment.damaged);
  CHECK(mirror.assessment.debt.bytes() == 4 * kMiB);
  CHECK(mirror.images_equal());
}

TEST_CASE("a sealed log whose ring ends elsewhere is damaged, and stays so when its recovery is cut off") {
  RestoredRing mirror;
  bool through = false;
  for (unsigned steps = 0; !through; ++steps) {
    CAPTURE(steps);
    RestoredRing cut;
    cut.new_session();
    RecoverySteps recovery;
    Pending& opened = cut.start_task(recovery.open(*cut.session));
    for (unsigned i = 0; i < steps; ++i) cut.runtime.step();
    through = opened.ended();
    cut.crash();
    REQUIRE(cut.open().ok());
    CHECK(cut.images_equal());
    REQUIRE(steps < 300);
  }
  REQUIRE(mirror.open().ok());
  CHECK(mirror.assessment.damaged);
  CHECK_FALSE(mirror.assessment.clean);
  CHECK(mirror.images_equal());
}

TEST_CASE("one copy of the superblock or of a label may be lost") {
  RunningMirror mirror({});
  REQUIRE(mirror.run(mirror.session->close()).ok());
  const std::uint64_t label = mirror.session->superblock().images[1].label_position;
  for (std::uint64_t copy : {kSuperblockCopyA, kSuperblockCopyB}) {
    overwrite(mirror, *mirror.log, copy, std::vector<std::byte>(512, std::byte{0xEE}));
    REQUIRE(mirror.open().ok());
    CHECK(mirror.assessment.clean);
    REQUIRE(mirror.run(mirror.session->close()).ok());
  }
  for (std::uint64_t copy : {std::uint64_t{0}, kLabelCopyDistance}) {
    overwrite(mirror, *mirror.images[1], label + copy, std::vector<std::byte>(512, std::byte{0xEE}));
    REQUIRE(mirror.open().ok());
    REQUIRE(mirror.run(mirror.session->close()).ok());
  }
}

TEST_CASE("a copy that cannot be read does not hide the other, and both unreadable are an error") {
  RunningMirror mirror({});
  REQUIRE(mirror.run(mirror.session->close()).ok());
  auto unreadable = [](std::uint64_t position) {
    return [position](const DeviceRequest& request) {
      const bool meets = request.operation == Operation::read && request.position == position;
      return meets ? error_fate() : SimulatedDevice::Fate{};
    };
  };
  mirror.log->decide = unreadable(kSuperblockCopyA);
  mirror.images[1]->decide = unreadable(mirror.session->superblock().images[1].label_position);
  REQUIRE(mirror.open().ok());
  REQUIRE(mirror.run(mirror.session->close()).ok());
  mirror.log->decide = [](const DeviceRequest&) { return error_fate(); };
  CHECK(open_code(mirror) == Code::READ_FAILED);
  mirror.log->decide = nullptr;
  mirror.images[1]->decide = [](const DeviceRequest&) { return error_fate(); };
  CHECK(open_code(mirror) == Code::READ_FAILED);
}

TEST_CASE("many openings and closings in a row stay clean, over many laps of the smallest ring") {
  RunningMirror mirror({.ring_records = kMinimumRingRecords});
  for (unsigned round = 0; round < 60; ++round) {
    for (std::uint64_t i = 0; i < round % 7; ++i) REQUIRE(mirror.write({i % 4 * kMiB + round * 4096, 4096}, 1).ok());
    REQUIRE(mirror.run(mirror.session->close()).ok());
    REQUIRE(mirror.open().ok());
    REQUIRE(mirror.assessment.clean);
  }
  CHECK(mirror.session->superblock().open_count >= 61);
  CHECK(mirror.images_equal());
}

TEST_CASE("a ring for which there is no memory is an error, and the mirror opens where there is") {
  if (!LimitedAddressSpace::is_possible()) {
    MESSAGE("SKIPPED: a sanitizer needs the address space");
    return;
  }
  RunningMirror mirror({.ring_records = 16384});  // 64 MiB: more than malloc takes from what was freed before
  REQUIRE(mirror.run(mirror.session->close()).ok());
  {
    const LimitedAddressSpace limited(8 * kMiB);
    CHECK(open_code(mirror) == Code::NO_MEMORY);
  }
  CHECK(mirror.open().ok());
}
