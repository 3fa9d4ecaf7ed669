// The running mirror: order at the boundary of the devices, waiting without end, errors of the master and the log.
#include "../../../core/mirror/mirror.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "../../support/boundary_oracle.h"
#include "../../support/running_mirror.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

using Pending = RunningMirror::Pending;

constexpr std::uint64_t kQuarterSecond = 250'000'000;

bool all_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; });
}

// One request after another, as long as `more` holds: a client of a queue depth of its own.
struct Load {
  unsigned running = 0;
  std::uint64_t requests = 0;
  std::uint64_t failed = 0;
};
template <typename Next>
Task<void> client(RunningMirror& mirror, Load& load, Next next) {
  ++load.running;
  AlignedBuffer bytes(kRegionLength);
  while (std::optional<DeviceRequest> request = next()) {
    const Extent extent{request->position, request->length};
    Outcome outcome;
    if (request->operation == Operation::write) {
      mirror.runtime.random(bytes.first(16));
      outcome = co_await mirror.session->write(extent, bytes.first(extent.length), request->durable, nullptr);
    } else if (request->operation == Operation::read) {
      outcome = co_await mirror.session->read(extent, bytes.first(extent.length));
    } else if (request->operation == Operation::write_zeroes) {
      outcome = co_await mirror.session->discard(extent);
    } else {
      outcome = co_await mirror.session->flush();
    }
    ++load.requests;
    load.failed += outcome.ok() ? 0 : 1;
  }
  --load.running;
}

DeviceRequest write_of(Extent extent, bool durable = false) {
  DeviceRequest request;
  request.operation = Operation::write;
  request.position = extent.position;
  request.length = extent.length;
  request.durable = durable;
  return request;
}

// A random request inside one region; overlaps are frequent.
DeviceRequest random_request(RunningMirror& mirror) {
  const Superblock& superblock = mirror.session->superblock();
  const std::uint64_t block = superblock.block_size;
  const std::uint64_t position = mirror.runtime.draw(superblock.size / block) * block;
  const std::uint64_t end = std::min(superblock.size, (position / kRegionLength + 1) * kRegionLength);
  const std::uint64_t most =
      std::min<std::uint64_t>((end - position) / block, mirror.runtime.draw(20) == 0 ? 4096 : 24);
  DeviceRequest request = write_of({position, (1 + mirror.runtime.draw(most)) * block}, mirror.runtime.draw(5) == 0);
  switch (mirror.runtime.draw(12)) {
    case 0:
    case 1:
      request.operation = Operation::read;
      break;
    case 2:
      request.operation = Operation::write_zeroes;
      break;
    case 3:
      request.operation = Operation::flush;
      break;
    default:
      break;
  }
  return request;
}

struct Shape {
  const char* name;
  std::uint64_t size;
  std::uint32_t logical;
  std::uint32_t physical;
  std::uint32_t ring_records;
  std::uint64_t budget;
  unsigned slaves;
};

constexpr Shape kShapes[] = {
    {"512/4096, smallest ring and budget", 6 * kMiB, 512, 4096, kMinimumRingRecords, kMinimumRecoveryBudget, 1},
    {"512/512, three slaves", 6 * kMiB, 512, 512, 16, 2 * kMiB, 3},
    {"4096/4096, an odd size", 5 * kMiB + 3 * 4096, 4096, 4096, 32, kDefaultRecoveryBudget, 2},
    {"512/16384, an odd size", 3 * kMiB + 1536, 512, 16384, kMinimumRingRecords, kMinimumRecoveryBudget, 2},
};

class ShapedMirror : public RunningMirror {
 public:
  explicit ShapedMirror(const Shape& shape, std::uint64_t seed)
      : RunningMirror({.seed = seed,
                       .slaves = shape.slaves,
                       .size = shape.size,
                       .ring_records = shape.ring_records,
                       .recovery_budget = shape.budget,
                       .logical_block_size = shape.logical,
                       .physical_block_size = shape.physical}) {}
};

}  // namespace

TEST_CASE("I1 I2 I6 I13: under a random load of overlapping requests the boundary oracle has nothing to complain of") {
  for (const Shape& shape : kShapes) {
    CAPTURE(shape.name);
    ShapedMirror mirror(shape, 17);
    BoundaryOracle oracle(mirror, shape.budget);
    mirror.random_latencies();
    Load load;
    std::uint64_t left = 1500;
    auto next = [&]() -> std::optional<DeviceRequest> {
      if (left == 0) return std::nullopt;
      --left;
      return random_request(mirror);
    };
    for (int i = 0; i < 48; ++i) spawn(client(mirror, load, next));
    REQUIRE(mirror.runtime.run_until([&] { return load.running == 0; }));
    CHECK(load.requests == 1500);
    CHECK(load.failed == 0);
    CHECK(oracle.complaint() == "");
    CHECK(oracle.image_writes > 1000);
    CHECK(mirror.images_equal());
    mirror.advance(4 * kQuarterSecond);
    CHECK(oracle.complaint() == "");
    CHECK(oracle.retirements > 0);
    REQUIRE(mirror.run(mirror.session->close()).ok());
    CHECK(mirror.images_equal());
  }
}

TEST_CASE("a thousand writers at once get through the smallest ring and budget, with no help from the quiet period") {
  RunningMirror mirror(
      {.size = 64 * kMiB, .ring_records = kMinimumRingRecords, .recovery_budget = kMinimumRecoveryBudget});
  std::vector<Pending*> writes;
  for (std::uint64_t i = 0; i < 1000; ++i)
    writes.push_back(&mirror.start_write({(i * 37) % 64 * kMiB + i % 250 * 4096, i % 30 == 0 ? 20480u : 4096u}, 1));
  const std::uint64_t began = mirror.runtime.now_ns();
  REQUIRE(mirror.runtime.run_until(
      [&] { return std::all_of(writes.begin(), writes.end(), [](Pending* write) { return write->ended(); }); }));
  CHECK(mirror.runtime.now_ns() - began < kQuarterSecond);
  for (Pending* write : writes) REQUIRE(write->succeeded());
  CHECK(mirror.images_equal());
}

TEST_CASE("a request as large as the budget gets its room at once though hardly anything is live") {
  RunningMirror mirror({.recovery_budget = kMinimumRecoveryBudget});
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  Pending& whole = mirror.start_write({kMiB, kMiB}, 2);
  mirror.advance();
  CHECK(whole.succeeded());
}

TEST_CASE("a cold write gets room though regions that are written without pause fill the budget") {
  RunningMirror mirror({.recovery_budget = kMinimumRecoveryBudget});
  BoundaryOracle oracle(mirror, kMinimumRecoveryBudget);
  mirror.random_latencies(500'000);
  REQUIRE(mirror.write({0, 200 * 4096}, 1).ok());
  Load load;
  bool more = true;
  auto hot = [&]() -> std::optional<DeviceRequest> {
    if (!more) return std::nullopt;
    return write_of({mirror.runtime.draw(200) * 4096, 4096});
  };
  for (int i = 0; i < 16; ++i) spawn(client(mirror, load, hot));
  mirror.advance();
  Pending& cold = mirror.start_write({kMiB, 100 * 4096}, 2);
  mirror.advance(50'000'000);
  CHECK(cold.succeeded());
  more = false;
  REQUIRE(mirror.runtime.run_until([&] { return load.running == 0; }));
  CHECK(load.failed == 0);
  CHECK(oracle.complaint() == "");
  CHECK(mirror.images_equal());
}

TEST_CASE("a retirement that only carries what is leased does not run again and again while the leases are held") {
  RunningMirror mirror({.recovery_budget = kMinimumRecoveryBudget});
  mirror.images[1]->decide = [&](const DeviceRequest& request) {
    return mirror.is_data(request) ? hold_fate() : SimulatedDevice::Fate{};
  };
  for (std::uint64_t i = 0; i < 4; ++i) mirror.start_write({i * kMiB, 60 * 4096}, 1);
  Pending& waits = mirror.start_write({0, kMiB}, 2);
  mirror.advance(1'000'000);
  const std::uint64_t records = mirror.session->snapshot().counters.logRecords;
  mirror.advance(100'000'000);
  CHECK(mirror.session->snapshot().counters.logRecords <= records + 4);
  CHECK_FALSE(waits.ended());
  mirror.heal();
  mirror.advance();
  CHECK(waits.succeeded());
}

TEST_CASE("a full ring empties while a flush is slow, with no help from the quiet period") {
  RunningMirror mirror({.size = 16 * kMiB, .ring_records = kMinimumRingRecords});
  mirror.images[0]->decide = [&](const DeviceRequest& request) {
    return request.operation == Operation::flush ? after(5'000'000) : SimulatedDevice::Fate{};
  };
  std::vector<Pending*> writes;
  for (std::uint64_t i = 0; i < 40; ++i) {
    writes.push_back(&mirror.start_write({i % 12 * kMiB + i * 4096, 4096}, 3));
    mirror.advance(100'000);
  }
  mirror.advance(200'000'000);
  for (Pending* write : writes) CHECK(write->succeeded());
}

TEST_CASE("a write is acknowledged when the last image has it, whichever that is") {
  for (unsigned slow = 0; slow < 3; ++slow) {
    CAPTURE(slow);
    RunningMirror mirror({.slaves = 2});
    mirror.images[slow]->decide = [&](const DeviceRequest&) { return hold_fate(); };
    Pending& write = mirror.start_write({4096, 4096}, 7);
    mirror.advance();
    CHECK_FALSE(write.ended());
    for (unsigned i = 0; i < 3; ++i) CHECK((mirror.images[i]->content()[4096] == std::byte{7}) == (i != slow));
    mirror.heal();
    mirror.advance();
    CHECK(write.succeeded());
  }
}

TEST_CASE("I1: no image sees a write before its record is durable, and none of a record that failed") {
  RunningMirror mirror({.slaves = 2});
  unsigned seen = 0;
  for (auto& image : mirror.images) image->on_submit = [&](const DeviceRequest&) { ++seen; };
  mirror.log->decide = [](const DeviceRequest&) { return hold_fate(); };
  Pending& first = mirror.start_write({0, 4096}, 1);
  mirror.advance();
  CHECK(seen == 0);
  mirror.heal();
  mirror.advance();
  CHECK(first.succeeded());
  CHECK(seen == 3);
  mirror.log->decide = [](const DeviceRequest&) { return error_fate(); };
  Pending& second = mirror.start_write({kMiB, 4096}, 1);
  mirror.advance();
  CHECK(second.code() == Code::LOG_FAILED);
  CHECK(seen == 3);
  for (auto& image : mirror.images) image->on_submit = nullptr;
}

TEST_CASE("I12: when the log fails, no write in flight is acknowledged, covered or not, and none is later") {
  RunningMirror mirror({});
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  mirror.images[1]->decide = [](const DeviceRequest&) { return hold_fate(); };
  Pending& covered = mirror.start_write({0, 4096}, 2);
  mirror.advance(1'000'000);
  mirror.log->decide = [](const DeviceRequest&) { return error_fate(28); };
  Pending& logged = mirror.start_write({kMiB, 4096}, 2);
  mirror.advance(1'000'000);
  CHECK(logged.code() == Code::LOG_FAILED);
  CHECK(logged.outcome->system_error == 28);
  CHECK_FALSE(covered.ended());
  mirror.heal();
  mirror.advance(1'000'000);
  CHECK(covered.code() == Code::LOG_FAILED);
  CHECK(mirror.session->phase() == Phase::stopped);
  CHECK(mirror.write({0, 4096}, 3).code == Code::LOG_FAILED);
  CHECK(mirror.run(mirror.session->flush()).code == Code::LOG_FAILED);
  CHECK(mirror.run(mirror.session->retire_all()).code == Code::WRONG_PHASE);
  Pending& read = mirror.start_read({0, 4096});
  mirror.advance(1'000'000);
  CHECK(read.succeeded());
  CHECK(durable_superblock(*mirror.log).lifecycle == Lifecycle::open);
}

TEST_CASE("a write that fails on the master stops the mirror: nothing in flight or later is acknowledged or read") {
  RunningMirror mirror({});
  REQUIRE(mirror.write({0, kMiB}, 1).ok());
  mirror.images[1]->decide = [](const DeviceRequest&) { return hold_fate(); };
  Pending& in_flight = mirror.start_write({0, 4096}, 2);
  mirror.advance(1'000'000);
  mirror.images[1]->decide = nullptr;
  mirror.images[0]->decide = [](const DeviceRequest&) { return error_fate(); };
  Pending& failed = mirror.start_write({8192, 4096}, 2);
  Pending& read_behind_it = mirror.start_read({8192, 4096});
  mirror.advance(1'000'000);
  CHECK(failed.code() == Code::MASTER_FAILED);
  CHECK(failed.outcome->image == 0);
  CHECK(failed.outcome->system_error == kIoError);
  CHECK(read_behind_it.code() == Code::MASTER_FAILED);
  mirror.heal();
  mirror.advance(1'000'000);
  CHECK(in_flight.code() == Code::MASTER_FAILED);
  CHECK(mirror.write({0, 4096}, 3).code == Code::MASTER_FAILED);
  CHECK(mirror.run(mirror.session->flush()).code == Code::MASTER_FAILED);
  CHECK(mirror.run(mirror.session->discard({0, 4096})).code == Code::MASTER_FAILED);
  CHECK(mirror.session->phase() == Phase::stopped);
  CHECK(mirror.session->snapshot().stopped.code == Code::MASTER_FAILED);
}

TEST_CASE("I11: a flush that fails on the master stops the mirror and is never tried again") {
  RunningMirror mirror({});
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  unsigned flushes = 0;
  mirror.images[0]->decide = [&](const DeviceRequest& request) {
    flushes += request.operation == Operation::flush ? 1 : 0;
    return request.operation == Operation::flush ? error_fate() : SimulatedDevice::Fate{};
  };
  CHECK(mirror.run(mirror.session->flush()).code == Code::MASTER_FAILED);
  CHECK(mirror.run(mirror.session->flush()).code == Code::MASTER_FAILED);
  CHECK(mirror.write({0, 4096}, 2).code == Code::MASTER_FAILED);
  CHECK(mirror.run(mirror.session->close()).ok());
  CHECK(flushes == 1);
  CHECK(durable_superblock(*mirror.log).lifecycle == Lifecycle::open);
}

TEST_CASE("a read that fails on the master fails alone") {
  RunningMirror mirror({});
  mirror.images[0]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::read ? error_fate() : SimulatedDevice::Fate{};
  };
  Pending& read = mirror.start_read({8192, 4096});
  mirror.advance();
  CHECK(read.code() == Code::READ_FAILED);
  CHECK(read.outcome->position == 8192);
  CHECK(mirror.session->phase() == Phase::running);
  mirror.heal();
  CHECK(mirror.write({8192, 4096}, 1).ok());
}

TEST_CASE("reads and writes wait for an overlapping write, within one physical block as well") {
  RunningMirror mirror({.physical_block_size = 16384});
  mirror.images[0]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::write ? hold_fate() : SimulatedDevice::Fate{};
  };
  mirror.start_write({0, 512}, 1);
  Pending& neighbour = mirror.start_write({8192, 512}, 2);
  Pending& read = mirror.start_read({4096, 512});
  Pending& apart = mirror.start_read({16384, 512});
  mirror.advance();
  CHECK(apart.succeeded());
  CHECK_FALSE(read.ended());
  CHECK_FALSE(neighbour.ended());
  CHECK(mirror.images[0]->in_flight() == 1);
  mirror.heal();
  mirror.advance();
  CHECK(read.succeeded());
  CHECK(neighbour.succeeded());
  CHECK(mirror.session->snapshot().counters.rangeWaits == 2);
}

TEST_CASE("no caller is served by a flush that began before its call, and those that wait share the next one") {
  RunningMirror mirror({});
  unsigned flushes = 0;
  mirror.images[0]->on_submit = [&](const DeviceRequest& request) {
    flushes += request.operation == Operation::flush ? 1 : 0;
  };
  mirror.images[1]->decide = [](const DeviceRequest&) { return hold_fate(); };
  Pending& first = mirror.start_flush();
  mirror.advance(1'000'000);
  Pending& second = mirror.start_flush();
  Pending& third = mirror.start_flush();
  mirror.advance(1'000'000);
  CHECK(flushes == 1);
  mirror.images[1]->release_held();
  mirror.advance(1'000'000);
  CHECK(first.succeeded());
  CHECK_FALSE(second.ended());
  CHECK_FALSE(third.ended());
  CHECK(flushes == 2);
  mirror.heal();
  mirror.advance(1'000'000);
  CHECK(second.succeeded());
  CHECK(third.succeeded());
  CHECK(flushes == 2);
  mirror.images[0]->on_submit = nullptr;
}

TEST_CASE("I4: what was written before a flush survives a power loss on every image") {
  RunningMirror mirror({.slaves = 2});
  REQUIRE(mirror.write({0, 8192}, 9).ok());
  REQUIRE(mirror.run(mirror.session->flush()).ok());
  REQUIRE(mirror.write({kMiB, 4096}, 8, true).ok());
  for (auto& image : mirror.images) {
    CHECK(image->durable()[4096] == std::byte{9});
    CHECK(image->durable()[kMiB] == std::byte{8});
  }
}

TEST_CASE("a quiet mirror retires everything, a cancelled write's intent as well") {
  RunningMirror mirror({});
  for (std::uint64_t i = 0; i < 3; ++i) REQUIRE(mirror.write({i * kMiB, 4096}, 1).ok());
  CHECK(mirror.session->snapshot().coverage_bytes > 0);
  mirror.advance(3 * kQuarterSecond);
  CHECK(mirror.session->snapshot().coverage_bytes == 0);
  CHECK(mirror.session->snapshot().coverage_regions == 0);
  CHECK(scan_of(mirror.session->superblock(), mirror.log->durable()).covered.empty());

  mirror.log->decide = [](const DeviceRequest&) { return hold_fate(); };
  Pending& cancelled = mirror.start_write({0, 4096}, 2);
  mirror.advance();
  cancelled.call_off.ask();
  mirror.heal();
  mirror.advance();
  CHECK(cancelled.code() == Code::ABORTED);
  CHECK(mirror.session->snapshot().coverage_bytes > 0);
  mirror.advance(3 * kQuarterSecond);
  CHECK(mirror.session->snapshot().coverage_bytes == 0);
}

TEST_CASE("a write that is cancelled before the first image is written reaches none") {
  RunningMirror mirror({});
  mirror.log->decide = [](const DeviceRequest&) { return hold_fate(); };
  Pending& write = mirror.start_write({0, 4096}, 1);
  mirror.advance();
  CHECK_FALSE(write.call_off.reaches_nothing());
  write.call_off.ask();
  CHECK(write.call_off.reaches_nothing());
  mirror.heal();
  mirror.advance();
  CHECK(write.code() == Code::ABORTED);
  for (auto& image : mirror.images) CHECK(all_zero(image->content().first(4096)));
  CHECK(mirror.session->snapshot().counters.writes == 0);
}

TEST_CASE("a write that is cancelled after an image was written settles with what came of it") {
  RunningMirror mirror({});
  mirror.images[1]->decide = [](const DeviceRequest&) { return hold_fate(); };
  Pending& write = mirror.start_write({0, 4096}, 1);
  mirror.advance();
  write.call_off.ask();
  CHECK_FALSE(write.call_off.reaches_nothing());
  mirror.heal();
  mirror.advance();
  CHECK(write.succeeded());
}

TEST_CASE("a discard writes zeroes to every image, through the log") {
  RunningMirror mirror({.slaves = 2});
  REQUIRE(mirror.write({0, kMiB}, 5).ok());
  mirror.advance(3 * kQuarterSecond);
  BoundaryOracle oracle(mirror);
  REQUIRE(mirror.run(mirror.session->discard({4096, 65536})).ok());
  CHECK(oracle.complaint() == "");
  CHECK(oracle.image_writes == 3);
  for (auto& image : mirror.images) {
    CHECK(all_zero(image->content().subspan(4096, 65536)));
    CHECK(image->content()[4095] == std::byte{5});
    CHECK(image->content()[4096 + 65536] == std::byte{5});
  }
  CHECK(mirror.session->snapshot().counters.bytesDiscarded == 65536);
}

TEST_CASE("hot writes need no log write, and intents share records") {
  RunningMirror mirror({});
  for (int i = 0; i < 100; ++i) mirror.start_write({i % 50 * 4096u, 4096}, 1);
  mirror.advance();
  const Counters before = mirror.session->snapshot().counters;
  CHECK(before.logRecords <= 4);
  for (int i = 0; i < 100; ++i) REQUIRE(mirror.write({i % 50 * 4096u, 4096}, 2).ok());
  const Counters after = mirror.session->snapshot().counters;
  CHECK(after.logRecords == before.logRecords);
  CHECK(after.coveredWrites == before.coveredWrites + 100);
}

TEST_CASE("counters count what was done, and nothing that failed") {
  RunningMirror mirror({});
  REQUIRE(mirror.write({0, 8192}, 1).ok());
  mirror.start_read({0, 4096});
  mirror.advance();
  REQUIRE(mirror.run(mirror.session->flush()).ok());
  mirror.log->decide = [](const DeviceRequest&) { return error_fate(); };
  CHECK_FALSE(mirror.write({3 * kMiB, 4096}, 1).ok());
  const Counters counters = mirror.session->snapshot().counters;
  CHECK(counters.writes == 1);
  CHECK(counters.bytesWritten == 8192);
  CHECK(counters.reads == 1);
  CHECK(counters.bytesRead == 4096);
  CHECK(counters.flushes == 1);
}

TEST_CASE("more requests than may be admitted are served in the order in which they came") {
  RunningMirror mirror({.size = 16 * kMiB});
  mirror.images[0]->decide = [](const DeviceRequest&) { return hold_fate(); };
  std::vector<Pending*> reads;
  for (std::uint64_t i = 0; i < 3000; ++i) reads.push_back(&mirror.start_read({i * 4096, 4096}));
  mirror.advance();
  CHECK(mirror.images[0]->in_flight() == 1024);
  std::uint64_t expected = 1024;
  bool in_order = true, bounded = true;
  mirror.images[0]->on_submit = [&](const DeviceRequest& request) {
    in_order &= request.position == 4096 * expected++;
    bounded &= mirror.images[0]->in_flight() < 1024;
  };
  mirror.heal();
  mirror.advance();
  for (Pending* read : reads) REQUIRE(read->succeeded());
  CHECK(in_order);
  CHECK(bounded);
  Pending& later = mirror.start_read({3000 * 4096, 4096});
  mirror.advance();
  CHECK(later.succeeded());
  CHECK(expected == 3001);
  mirror.images[0]->on_submit = nullptr;
}

TEST_CASE("close waits for requests in flight and for those that wait for room, refuses later ones, and seals") {
  RunningMirror mirror({.recovery_budget = kMinimumRecoveryBudget});
  mirror.images[1]->decide = [&](const DeviceRequest& request) {
    return mirror.is_data(request) ? hold_fate() : SimulatedDevice::Fate{};
  };
  Pending& in_flight = mirror.start_write({0, kMiB}, 1);
  Pending& wants_room = mirror.start_write({kMiB, kMiB}, 2);
  Pending& wants_range = mirror.start_write({0, 4096}, 3);
  mirror.advance();
  Pending& close = mirror.start_close();
  mirror.advance();
  CHECK_FALSE(close.ended());
  CHECK(mirror.write({0, 4096}, 4).code == Code::CLOSED);
  CHECK(mirror.run(mirror.session->flush()).code == Code::CLOSED);
  mirror.heal();
  mirror.advance();
  CHECK(in_flight.succeeded());
  CHECK(wants_room.succeeded());
  CHECK(wants_range.succeeded());
  REQUIRE(close.succeeded());
  CHECK(mirror.session->phase() == Phase::closed);
  CHECK(mirror.images_equal());
  REQUIRE(mirror.open().ok());
  CHECK(mirror.assessment.clean);
}

TEST_CASE("a close while a record that covers ahead of a stream is being written, or waits to be, retires that too") {
  constexpr std::uint64_t kRecord_ns = 20'000'000;
  for (unsigned queued = 0; queued < 2; ++queued) {
    CAPTURE(queued);
    RunningMirror mirror({.size = 32 * kMiB});
    REQUIRE(mirror.write({0, kMiB}, 1).ok());
    mirror.log->decide = [&](const DeviceRequest& request) {
      return mirror.is_ring(request) ? after(kRecord_ns) : SimulatedDevice::Fate{};
    };
    Pending& second = mirror.start_write({kMiB, kMiB}, 2);
    if (queued == 1) {
      // As many records in flight as may be: what is covered ahead waits for one of them.
      for (unsigned i = 0; i < kRecordsInFlight - 1; ++i) {
        mirror.advance(kRecord_ns / 10);
        mirror.start_write({(20 + 2 * i) * kMiB, 4096}, 3);
      }
    }
    while (!second.ended()) mirror.advance(kRecord_ns / 20);
    REQUIRE(second.succeeded());
    CHECK(mirror.session->snapshot().coverage_bytes > 2 * kMiB);
    Pending& close = mirror.start_close();
    mirror.advance(50 * kRecord_ns);
    REQUIRE(close.succeeded());
    REQUIRE(mirror.open().ok());
    CHECK(mirror.assessment.clean);
    CHECK(mirror.assessment.debt.bytes() == 0);
  }
}

TEST_CASE("a mirror that has become quiet retires what was covered ahead, however slow its log") {
  constexpr std::uint64_t kRecord_ns = 400'000'000;  // longer than the period of quiet
  RunningMirror mirror({.size = 32 * kMiB});
  REQUIRE(mirror.write({0, kMiB}, 1).ok());
  mirror.log->decide = [&](const DeviceRequest& request) {
    return mirror.is_ring(request) ? after(kRecord_ns) : SimulatedDevice::Fate{};
  };
  Pending& second = mirror.start_write({kMiB, kMiB}, 2);
  mirror.advance(20 * kRecord_ns);
  CHECK(second.succeeded());
  CHECK(mirror.session->snapshot().coverage_bytes == 0);
}

TEST_CASE(
    "streams among scattered writes: the order at the boundary holds, and a close or a crash at any moment ends well") {
  constexpr std::uint64_t kSize = 24 * kMiB;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    const std::uint64_t budget = (seed % 3 == 0 ? 64 : 8 * (seed % 3)) * kMiB;
    RunningMirror mirror({.seed = seed, .size = kSize, .ring_records = 16, .recovery_budget = budget});
    {
      BoundaryOracle oracle(mirror, budget);
      mirror.random_latencies(seed % 2 == 0 ? 100'000 : 1'000'000);
      Load load;
      bool more = true;
      std::uint64_t at = 0;
      const std::uint64_t part = (seed % 4 == 0 ? 1024 : 128) * 1024;
      auto stream = [&]() -> std::optional<DeviceRequest> {
        if (!more) return std::nullopt;
        const std::uint64_t position = at;
        at = (at + part) % kSize;
        return write_of({position, part});
      };
      auto scattered = [&]() -> std::optional<DeviceRequest> {
        if (!more) return std::nullopt;
        return write_of({mirror.runtime.draw(kSize / 4096) * 4096, 4096});
      };
      for (int i = 0; i < 4; ++i) spawn(client(mirror, load, stream));
      for (int i = 0; i < 2; ++i) spawn(client(mirror, load, scattered));
      mirror.advance(1'000'000 + mirror.runtime.draw(15'000'000));
      more = false;
      const bool close = seed % 5 != 0;
      if (close) REQUIRE(mirror.runtime.run_until([&] { return load.running == 0; }));
      CHECK(oracle.complaint() == "");
      CHECK(oracle.largest_coverage <= budget);
      if (close) {
        CHECK(load.failed == 0);
        REQUIRE(mirror.run(mirror.session->close()).ok());
        CHECK(oracle.complaint() == "");
      } else {
        mirror.crash();
        REQUIRE(mirror.runtime.run_until([&] { return load.running == 0; }));
      }
    }
    mirror.heal();
    REQUIRE(mirror.open().ok());
    CHECK(mirror.assessment.clean == (seed % 5 != 0));
    CHECK_FALSE(mirror.assessment.damaged);
    CHECK(mirror.images_equal());
  }
}

TEST_CASE("a close that meets a retirement whose flush fails ends, and leaves the mirror unclean") {
  for (int order = 0; order < 2; ++order) {
    CAPTURE(order);
    RunningMirror mirror({.recovery_budget = kMinimumRecoveryBudget});
    mirror.images[0]->decide = [](const DeviceRequest& request) {
      return request.operation == Operation::flush ? SimulatedDevice::Fate{kIoError, 5'000'000, false}
                                                   : SimulatedDevice::Fate{};
    };
    Pending& write = mirror.start_write({0, 220 * 4096}, 1);
    mirror.advance(order == 0 ? 1'000'000 : 100);
    Pending& close = mirror.start_close();
    mirror.advance(100'000'000);
    CHECK(write.ended());
    REQUIRE(close.ended());
    CHECK(durable_superblock(*mirror.log).lifecycle == Lifecycle::open);
  }
}

TEST_CASE("close may be asked for twice, and both get the same answer") {
  RunningMirror mirror({});
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  Pending& first = mirror.start_close();
  Pending& second = mirror.start_close();
  mirror.advance();
  CHECK(first.succeeded());
  CHECK(second.succeeded());
  CHECK(mirror.run(mirror.session->close()).ok());
}

TEST_CASE("a mirror that has stopped closes whatever was waiting, and stays unclean") {
  RunningMirror mirror({.recovery_budget = kMinimumRecoveryBudget});
  mirror.images[1]->decide = [&](const DeviceRequest& request) {
    return mirror.is_data(request) ? hold_fate() : SimulatedDevice::Fate{};
  };
  std::vector<Pending*> writes;
  for (std::uint64_t i = 0; i < 4; ++i) writes.push_back(&mirror.start_write({i * kMiB, kMiB}, 1));
  mirror.advance();
  mirror.images[0]->decide = [](const DeviceRequest&) { return error_fate(); };
  writes.push_back(&mirror.start_write({0, 4096}, 1));
  Pending& close = mirror.start_close();
  mirror.advance();
  mirror.heal();
  mirror.images[0]->decide = [](const DeviceRequest&) { return error_fate(); };
  mirror.advance();
  REQUIRE(close.ended());
  for (Pending* write : writes) CHECK(write->ended());
  mirror.heal();
  REQUIRE(mirror.open().ok());
  CHECK_FALSE(mirror.assessment.clean);
  CHECK(mirror.images_equal());
}

TEST_CASE("retiring everything by request leaves nothing live, while writes go on elsewhere") {
  RunningMirror mirror({});
  for (std::uint64_t i = 0; i < 3; ++i) REQUIRE(mirror.write({i * kMiB, 4096}, 1).ok());
  mirror.images[1]->decide = [&](const DeviceRequest& request) {
    return mirror.is_data(request) ? hold_fate() : SimulatedDevice::Fate{};
  };
  Pending& held = mirror.start_write({3 * kMiB, 4096}, 1);
  Pending& retired = mirror.start_task(mirror.session->retire_all());
  mirror.advance();
  CHECK(retired.succeeded());
  const ExtentSet covered = scan_of(mirror.session->superblock(), mirror.log->durable()).covered;
  CHECK(covered.contains({3 * kMiB, 4096}));
  CHECK_FALSE(covered.contains({0, 4096}));
  mirror.heal();
  mirror.advance();
  CHECK(held.succeeded());
}

TEST_CASE(
    "a slave whose file lost blocks without an error is failed before anything is retired, durably and by that name") {
  RunningMirror mirror({.slaves = 2});
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  mirror.images[1]->lose_allocation(8192);
  CHECK(mirror.session->snapshot().states[1] == ImageState::assumed);
  REQUIRE(mirror.run(mirror.session->retire_all()).ok());
  CHECK(mirror.session->snapshot().states[1] == ImageState::failed);
  CHECK(mirror.session->snapshot().errors[1] == kLostAllocation);
  const Superblock durable = durable_superblock(*mirror.log);
  CHECK(durable.images[1].state == ImageState::failed);
  CHECK(durable.images[1].error == static_cast<std::uint32_t>(kLostAllocation));
  CHECK(durable.generation.counter == 2);
  CHECK(mirror.label_of(2).generation.counter == 2);
  CHECK(mirror.write({0, 4096}, 2).ok());
}

TEST_CASE("a master whose file lost blocks without an error stops the mirror, and nothing is retired or sealed") {
  RunningMirror mirror({.slaves = 1});
  REQUIRE(mirror.write({0, 4096}, 1).ok());
  mirror.images[0]->lose_allocation(0);
  const Outcome outcome = mirror.run(mirror.session->retire_all());
  CHECK(outcome.code == Code::MASTER_FAILED);
  CHECK(outcome.system_error == kLostAllocation);
  CHECK(mirror.write({4096, 4096}, 2).code == Code::MASTER_FAILED);
  CHECK(mirror.session->snapshot().coverage_bytes > 0);
  (void)mirror.run(mirror.session->close());
  CHECK(durable_superblock(*mirror.log).lifecycle == Lifecycle::open);
}

TEST_CASE("a loss that nothing retired since is found by close, before it seals") {
  RunningMirror mirror({.slaves = 2});
  mirror.images[2]->lose_allocation(0);
  REQUIRE(mirror.run(mirror.session->close()).ok());
  CHECK(mirror.durable_state(2) == ImageState::failed);
  CHECK(durable_superblock(*mirror.log).lifecycle == Lifecycle::sealed);
}

TEST_CASE("under pressure the images are asked what they lost once in ten seconds, not at each retirement") {
  RunningMirror mirror({.slaves = 1, .ring_records = 8, .recovery_budget = kMinimumRecoveryBudget});
  const unsigned asked = mirror.images[1]->losses_asked();
  for (unsigned i = 0; i < 200; ++i) REQUIRE(mirror.write({(i % 4) * kMiB + (i % 250) * 4096, 4096}, 1).ok());
  CHECK(mirror.session->snapshot().counters.retirements > 10);
  CHECK(mirror.images[1]->losses_asked() <= asked + 1);
  mirror.advance(11'000'000'000);
  CHECK(mirror.images[1]->losses_asked() > asked);
}
