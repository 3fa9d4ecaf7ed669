// What the master cannot read: served from a slave, rewritten under an intent, read back, told, and bounded.
#include "../../../core/images/master_repair.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>

#include "../../support/bad_block.h"
#include "../../support/boundary_oracle.h"
#include "../../support/recovery_steps.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

using Pending = RunningMirror::Pending;
using Kind = BadBlock::Kind;

constexpr Extent kBlock{8192, 4096};

// Images in sync, proven, that hold `fill` in the first 64 KiB, everything retired.
struct Proven : RunningMirror {
  explicit Proven(unsigned slaves = 1) : RunningMirror({.slaves = slaves}) {
    prove();
    REQUIRE(write({0, 65536}, 7, true).ok());
    REQUIRE(run(session->retire_all()).ok());
  }
  const Counters counters() const { return session->snapshot().counters; }
  // Reads and says whether every byte is the expected one.
  bool reads(Extent extent, unsigned char fill) {
    Pending& read = start_read(extent);
    advance();
    const std::span<const std::byte> bytes = read.bytes.span();
    return read.succeeded() &&
           std::all_of(bytes.begin(), bytes.end(), [&](std::byte byte) { return byte == std::byte{fill}; });
  }
};

}  // namespace

TEST_CASE("a block that the master cannot read is served from a slave, rewritten, and told") {
  Proven mirror;
  BadBlock bad(*mirror.images[0], kBlock);
  CHECK(mirror.reads({0, 65536}, 7));
  CHECK_FALSE(bad.bad());
  CHECK(bad.writes() == 1);
  CHECK(mirror.counters().repairs == 1);
  CHECK(mirror.counters().repairsFailed == 0);
  CHECK(mirror.counters().reads == 1);
  const RecentRepairs recent = mirror.session->snapshot().recent_repairs;
  CHECK(recent.count == 1);
  CHECK(recent.repairs[0].image == 0);
  CHECK(recent.repairs[0].from == 1);
  CHECK(recent.repairs[0].extent == kBlock);
  CHECK(mirror.reads(kBlock, 7));
  CHECK(mirror.counters().repairs == 1);
}

TEST_CASE("a read of a part of a block that cannot be read repairs the whole block, up to the mirror's end") {
  Proven mirror;
  {
    BadBlock bad(*mirror.images[0], kBlock);
    CHECK(mirror.reads({8192 + 512, 1024}, 7));
    CHECK_FALSE(bad.bad());
  }
  const std::uint64_t size = mirror.session->superblock().size;
  REQUIRE(mirror.write({size - 4096, 4096}, 9, true).ok());
  BadBlock bad(*mirror.images[0], {size - 512, 512});
  CHECK(mirror.reads({size - 512, 512}, 9));
  CHECK_FALSE(bad.bad());
}

TEST_CASE("the error names the block that cannot be read, when nobody can serve it") {
  Proven mirror;
  BadBlock bad(*mirror.images[0], kBlock), too(*mirror.images[1], kBlock);
  Pending& read = mirror.start_read({0, 65536});
  mirror.advance();
  CHECK(read.code() == Code::READ_FAILED);
  CHECK(read.outcome->image == 0);
  CHECK(read.outcome->position == kBlock.position);
  CHECK(read.outcome->system_error == kIoError);
  CHECK(bad.writes() == 0);
  CHECK(mirror.session->phase() == Phase::running);
}

TEST_CASE("I10: a slave that is only assumed to be equal serves nothing") {
  RunningMirror mirror({});
  REQUIRE(mirror.write({0, 65536}, 7, true).ok());
  BadBlock bad(*mirror.images[0], kBlock);
  Pending& read = mirror.start_read({0, 65536});
  mirror.advance();
  CHECK(read.code() == Code::READ_FAILED);
  CHECK(bad.writes() == 0);
}

TEST_CASE("the next slave in sync serves what the first cannot, and a failed one is not asked") {
  Proven mirror(3);
  mirror.images[1]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::write ? error_fate() : SimulatedDevice::Fate{};
  };
  REQUIRE(mirror.write({0, 65536}, 8, true).ok());
  mirror.heal();
  unsigned asked = 0;
  mirror.images[1]->on_submit = [&](const DeviceRequest&) { ++asked; };
  BadBlock bad(*mirror.images[0], kBlock), too(*mirror.images[2], kBlock);
  CHECK(mirror.reads({0, 65536}, 8));
  CHECK(asked == 0);
  CHECK(mirror.session->snapshot().recent_repairs.repairs[0].from == 3);
  mirror.images[1]->on_submit = nullptr;
}

TEST_CASE("I4: a slave whose write or flush failed serves nothing, though the master has not answered yet") {
  for (Operation operation : {Operation::write, Operation::flush}) {
    for (bool before : {true, false}) {
      CAPTURE(static_cast<int>(operation));
      CAPTURE(before);
      Proven mirror(1);
      bool held = true, failed = false;
      mirror.images[0]->decide = [&](const DeviceRequest& request) {
        const bool bad = request.operation == Operation::read && kBlock.overlaps({request.position, request.length});
        if (bad) return error_fate();
        return request.operation == operation && held ? hold_fate() : SimulatedDevice::Fate{};
      };
      mirror.images[1]->decide = [&](const DeviceRequest& request) {
        if (request.operation == Operation::read) return before ? SimulatedDevice::Fate{} : hold_fate();
        if (request.operation != operation || failed) return SimulatedDevice::Fate{};
        failed = true;
        return error_fate();
      };
      const auto fail = [&] {
        Pending& request = operation == Operation::write ? mirror.start_write({kMiB, 4096}, 1) : mirror.start_flush();
        mirror.advance();
        REQUIRE_FALSE(request.ended());
      };
      if (before) fail();
      Pending& read = mirror.start_read(kBlock);
      mirror.advance();
      if (!before) {
        fail();
        mirror.images[1]->release_held();
        mirror.advance();
      }
      CHECK(read.code() == Code::READ_FAILED);
      held = false;
      mirror.images[0]->release_held();
      mirror.advance();
      CHECK(mirror.durable_state(1) == ImageState::failed);
    }
  }
}

TEST_CASE("I1, I2, I6: a repair is a write like any other to whoever watches the devices") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    RunningMirror mirror({.seed = seed, .slaves = 2});
    mirror.prove();
    REQUIRE(mirror.write({0, 65536}, 7, true).ok());
    REQUIRE(mirror.run(mirror.session->retire_all()).ok());
    BoundaryOracle oracle(mirror);
    mirror.random_latencies();
    std::vector<bool> bad(16, true);
    mirror.images[0]->decide = [&](const DeviceRequest& request) {
      SimulatedDevice::Fate fate = after(1000 + mirror.runtime.draw(100'000));
      if (!mirror.is_data(request)) return fate;
      const std::uint64_t last = std::min<std::uint64_t>(16, (request.position + request.length + 4095) / 4096);
      for (std::uint64_t block = request.position / 4096; block < last; ++block) {
        if (request.operation == Operation::read && bad[block]) fate.error = kIoError;
        if (request.operation != Operation::read && request.length >= 4096) bad[block] = false;
      }
      return fate;
    };
    std::vector<Pending*> requests;
    for (unsigned i = 0; i < 24; ++i) {
      const Extent extent{mirror.runtime.draw(15) * 4096, 4096 * (1 + mirror.runtime.draw(2))};
      requests.push_back(mirror.runtime.draw(3) == 0 ? &mirror.start_write(extent, 7) : &mirror.start_read(extent));
    }
    mirror.advance(100'000'000);
    for (Pending* request : requests) {
      REQUIRE(request->succeeded());
      if (request->bytes.size() > 0) CHECK(request->bytes.span()[0] == std::byte{7});
    }
    CHECK(mirror.session->snapshot().counters.repairs > 0);
    REQUIRE(mirror.run(mirror.session->retire_all()).ok());
    CHECK(oracle.complaint() == "");
    CHECK(mirror.images_equal());
    CHECK(oracle.retirements > 0);
  }
}

TEST_CASE("I6: what is written while a repair waits for its intent is not overwritten by it") {
  Proven mirror;
  BadBlock bad(*mirror.images[0], kBlock);
  mirror.log->decide = [&](const DeviceRequest& request) {
    return mirror.is_ring(request) ? hold_fate() : SimulatedDevice::Fate{};
  };
  Pending& read = mirror.start_read(kBlock);
  mirror.advance();
  Pending& write = mirror.start_write(kBlock, 9);
  mirror.advance();
  CHECK_FALSE(read.ended());
  CHECK_FALSE(write.ended());
  mirror.log->decide = nullptr;
  mirror.log->release_held();
  mirror.advance();
  CHECK(read.succeeded());
  CHECK(read.bytes.span()[0] == std::byte{7});
  CHECK(write.succeeded());
  CHECK(mirror.images[0]->content()[kBlock.position] == std::byte{9});
  CHECK(mirror.images_equal());
}

TEST_CASE("a rewrite that does not help leaves the read served, is counted, and is not tried again") {
  Proven mirror;
  BadBlock bad(*mirror.images[0], kBlock, Kind::stubborn);
  CHECK(mirror.reads({0, 65536}, 7));
  CHECK(mirror.counters().repairs == 0);
  CHECK(mirror.counters().repairsFailed == 1);
  CHECK(mirror.session->snapshot().recent_repairs.count == 0);
  const unsigned reads = bad.reads(), writes = bad.writes();
  CHECK(mirror.reads({0, 65536}, 7));
  CHECK(mirror.reads(kBlock, 7));
  CHECK(bad.reads() == reads);
  CHECK(bad.writes() == writes);
  CHECK(mirror.session->phase() == Phase::running);
}

TEST_CASE("I4, I11: a rewrite that the master answers with an error stops the mirror: its cache may be gone with it") {
  Proven mirror;
  REQUIRE(mirror.write({kMiB, 4096}, 9).ok());  // acknowledged, and in the cache alone
  BadBlock bad(*mirror.images[0], kBlock, Kind::refusing);
  Pending& read = mirror.start_read(kBlock);
  mirror.advance();
  CHECK(read.code() == Code::MASTER_FAILED);
  CHECK(mirror.counters().repairsFailed == 1);
  CHECK(mirror.run(mirror.session->flush()).code == Code::MASTER_FAILED);
  CHECK(mirror.session->phase() == Phase::stopped);
  CHECK(durable_superblock(*mirror.log).images[0].error == kIoError);
}

TEST_CASE("I11: a block whose rewrite failed is not believed before a write has replaced all of it") {
  Proven mirror;
  BadBlock bad(*mirror.images[0], kBlock, Kind::stubborn);
  CHECK(mirror.reads(kBlock, 7));
  bad.heal();  // it answers again, and nobody knows with what
  mirror.images[0]->content()[kBlock.position + 1024] = std::byte{66};
  REQUIRE(mirror.write({kBlock.position, 512}, 7).ok());
  CHECK(mirror.reads(kBlock, 7));
  REQUIRE(mirror.write(kBlock, 9).ok());
  CHECK(mirror.reads(kBlock, 9));
  const unsigned before = bad.reads();
  mirror.images[1]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::read ? error_fate() : SimulatedDevice::Fate{};
  };
  CHECK(mirror.reads(kBlock, 9));  // from the master again
  CHECK(bad.reads() == before);
}

TEST_CASE("a master of which many blocks cannot be repaired is dying, and stops the mirror") {
  Proven mirror;
  mirror.images[0]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::read && request.position < 65536 ? error_fate() : SimulatedDevice::Fate{};
  };
  unsigned served = 0;
  while (served < 16 && mirror.reads({served * 4096, 4096}, 7)) ++served;
  CHECK(served == 7);
  CHECK(mirror.counters().repairsFailed == 8);
  CHECK(mirror.session->phase() == Phase::stopped);
  const Outcome stopped = mirror.session->snapshot().stopped;
  CHECK(stopped.code == Code::MASTER_FAILED);
  CHECK(stopped.position == 7 * 4096);
  CHECK(durable_superblock(*mirror.log).images[0].error == kIoError);
  CHECK(mirror.write({0, 4096}, 1).code == Code::MASTER_FAILED);
}

TEST_CASE("a master that returns other bytes than were written has failed") {
  Proven mirror;
  BadBlock bad(*mirror.images[0], kBlock, Kind::lying);
  Pending& read = mirror.start_read(kBlock);
  mirror.advance();
  CHECK(read.code() == Code::MASTER_FAILED);
  CHECK(mirror.session->phase() == Phase::stopped);
}

TEST_CASE("I4: what a master returned that nobody wrote is copied over no slave by a later opening") {
  Proven mirror(2);
  {
    BadBlock bad(*mirror.images[0], kBlock, Kind::lying);
    CHECK_FALSE(mirror.reads(kBlock, 7));
    CHECK(durable_superblock(*mirror.log).images[0].error == kWrongBytes);
    REQUIRE(mirror.run(mirror.session->close()).ok());
  }
  for (unsigned attempt = 0; attempt < 2; ++attempt) {
    mirror.new_session();
    REQUIRE(mirror.run(mirror.session->load_superblock()).ok());
    REQUIRE(mirror.run(mirror.session->assess(mirror.assessment)).ok());
    CHECK(mirror.assessment.images[0].code == Code::MASTER_FAILED);
    CHECK(mirror.assessment.images[0].system_error == kWrongBytes);
    CHECK(mirror.assessment.images[1].ok());
    CHECK(mirror.run(mirror.session->activate({})).code == Code::MASTER_FAILED);
    REQUIRE(mirror.run(mirror.session->close()).ok());
  }
  CHECK(mirror.images[0]->content()[kBlock.position] != std::byte{7});
  CHECK(mirror.images[1]->content()[kBlock.position] == std::byte{7});
  CHECK(mirror.images[2]->content()[kBlock.position] == std::byte{7});
}

TEST_CASE("without a log a read is still served, and nothing is rewritten") {
  Proven mirror;
  mirror.log->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::write ? error_fate() : SimulatedDevice::Fate{};
  };
  CHECK(mirror.write({kMiB, 4096}, 1).code == Code::LOG_FAILED);
  BadBlock bad(*mirror.images[0], kBlock);
  CHECK(mirror.reads({0, 65536}, 7));
  CHECK(bad.writes() == 0);
  CHECK(mirror.counters().repairs == 0);
}

TEST_CASE("repairs are few at once, and all that ask are served") {
  Proven mirror;
  unsigned at_once = 0, most = 0;
  std::vector<bool> bad(16, true);
  mirror.images[0]->decide = [&](const DeviceRequest& request) {
    SimulatedDevice::Fate fate;
    if (!mirror.is_data(request) || request.position >= 65536) return fate;
    const std::uint64_t block = request.position / 4096;
    if (request.operation == Operation::read && bad[block]) fate.error = kIoError;
    if (request.operation == Operation::write) {
      bad[block] = false;
      most = std::max(most, ++at_once);
      fate.delay_ns = 1'000'000;
      mirror.runtime.schedule(mirror.runtime.now_ns() + 999'999, [&] { --at_once; });
    }
    return fate;
  };
  std::vector<Pending*> reads;
  for (unsigned block = 0; block < 16; ++block) reads.push_back(&mirror.start_read({block * 4096, 4096}));
  mirror.advance(100'000'000);
  for (Pending* read : reads) CHECK(read->succeeded());
  CHECK(most == 4);
  CHECK(mirror.counters().repairs == 16);
}

TEST_CASE("a comparison mends what the master cannot read, and finds no difference") {
  Proven mirror(2);
  BadBlock bad(*mirror.images[0], kBlock);
  CompareResult result;
  REQUIRE(mirror.run(mirror.session->compare({{0, kMiB}}, {}, result)).ok());
  CHECK(result.bytes_differed == std::vector<std::uint64_t>{0, 0, 0});
  CHECK_FALSE(bad.bad());
  CHECK(mirror.counters().repairs == 1);
}

TEST_CASE("a close waits for a repair under way, and the next open is clean") {
  Proven mirror;
  BadBlock bad(*mirror.images[0], kBlock);
  Pending& read = mirror.start_read(kBlock);
  Pending& close = mirror.start_close();
  mirror.advance();
  CHECK(read.succeeded());
  CHECK(close.succeeded());
  REQUIRE(mirror.open().ok());
  CHECK(mirror.assessment.clean);
}

TEST_CASE("a crash after any event of a repair leaves images that are made equal, and the bytes that were served") {
  bool through = false;
  for (unsigned steps = 0; !through; ++steps) {
    CAPTURE(steps);
    Proven mirror(2);
    auto bad = std::make_unique<BadBlock>(*mirror.images[0], kBlock);
    Pending& read = mirror.start_read(kBlock);
    for (unsigned i = 0; i < steps; ++i) mirror.runtime.step();
    through = read.ended();
    mirror.crash(50);
    REQUIRE(mirror.open().ok());
    CHECK(mirror.images_equal());
    CHECK(mirror.reads({0, 65536}, 7));
    REQUIRE(steps < 200);
  }
}

TEST_CASE("what a write keeps of a block that the master cannot read comes from a slave") {
  Proven mirror;
  BadBlock bad(*mirror.images[0], kBlock);
  AlignedBuffer bytes(4096);
  std::memset(bytes.span().data() + 100, 9, 200);
  const PartialBlocks partial{100, 212};
  REQUIRE(mirror.run(mirror.session->write_partial({kBlock.position, 512}, bytes.first(512), partial, false, nullptr))
              .ok());
  CHECK_FALSE(bad.bad());
  CHECK(mirror.counters().repairs == 1);
  CHECK(mirror.reads({kBlock.position + 512, 3584}, 7));
  const std::span<const std::byte> now = mirror.images[0]->content().subspan(kBlock.position, 512);
  CHECK(now[99] == std::byte{7});
  CHECK(now[100] == std::byte{9});
  CHECK(now[299] == std::byte{9});
  CHECK(now[300] == std::byte{7});
  CHECK(mirror.images_equal());
}
