// Writes that begin or end inside of a block: whoever else writes that block, no acknowledged byte is lost (I6).
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "../../../core/mirror/mirror.h"
#include "../../support/running_mirror.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

using Pending = RunningMirror::Pending;

constexpr std::uint64_t kBlock = 512;

// A write of any bytes, with the memory that the host would have made for it.
class PartialWriter {
 public:
  explicit PartialWriter(RunningMirror& mirror) : mirror_(mirror) {}
  Pending& start(Extent named, unsigned char fill, bool durable = false) {
    const Extent extent = named.widened(kBlock);
    const PartialBlocks partial{static_cast<std::uint32_t>(named.position - extent.position),
                                static_cast<std::uint32_t>(extent.end() - named.end())};
    AlignedBuffer& bytes = memory_.emplace_back(extent.length);
    std::memset(bytes.span().data(), 0xee, extent.length);  // what must not reach an image
    std::memset(bytes.span().data() + partial.head, fill, named.length);
    return mirror_.start_task(mirror_.session->write_partial(extent, bytes.span(), partial, durable, nullptr));
  }

 private:
  RunningMirror& mirror_;
  std::vector<AlignedBuffer> memory_ = reserved();
  static std::vector<AlignedBuffer> reserved() {
    std::vector<AlignedBuffer> memory;
    memory.reserve(4096);  // memory of a write stays where it is
    return memory;
  }
};

bool holds(RunningMirror& mirror, Extent extent, unsigned char fill) {
  return std::all_of(mirror.images.begin(), mirror.images.end(), [&](auto& image) {
    const auto bytes = image->content().subspan(extent.position, extent.length);
    return std::all_of(bytes.begin(), bytes.end(), [&](std::byte byte) { return byte == std::byte{fill}; });
  });
}

}  // namespace

TEST_CASE("partial blocks: what a write does not name keeps its content, on every image") {
  struct Case {
    const char* what;
    Extent named;
  };
  for (const Case& each : {Case{"inside of one block", {1024 + 100, 300}}, Case{"over one boundary", {1024 + 100, 500}},
                           Case{"head and tail with whole blocks between", {1000, 3000}}, Case{"a head", {1030, 506}},
                           Case{"a tail", {1024, 515}}, Case{"one byte", {1535, 1}}}) {
    CAPTURE(each.what);
    RunningMirror mirror({.slaves = 2});
    PartialWriter writer(mirror);
    REQUIRE(mirror.write({0, 8192}, 1).ok());
    Pending& write = writer.start(each.named, 2);
    mirror.advance();
    CHECK(write.succeeded());
    CHECK(holds(mirror, {0, each.named.position}, 1));
    CHECK(holds(mirror, each.named, 2));
    CHECK(holds(mirror, {each.named.end(), 8192 - each.named.end()}, 1));
    CHECK(mirror.session->snapshot().counters.bytesWritten == 8192 + each.named.length);
  }
}

TEST_CASE("I6: writers of bytes of one block that come together all keep theirs, whatever the order of answers") {
  RunningMirror mirror({.seed = 11, .slaves = 2});
  mirror.random_latencies();
  for (unsigned round = 0; round < 60; ++round) {
    PartialWriter writer(mirror);
    constexpr std::uint64_t kShare = 37;  // bytes; thirteen writers in one block, one of which reaches into the next
    std::vector<Pending*> writes;
    for (std::uint64_t i = 0; i < 14; ++i)
      writes.push_back(&writer.start({4096 + i * kShare, kShare}, static_cast<unsigned char>(1 + round + i)));
    Pending& whole = mirror.start_write({5120, 512}, 9);
    mirror.advance();
    CHECK(whole.succeeded());
    for (std::uint64_t i = 0; i < writes.size(); ++i) {
      CHECK(writes[i]->succeeded());
      CHECK(holds(mirror, {4096 + i * kShare, kShare}, static_cast<unsigned char>(1 + round + i)));
    }
  }
  CHECK(mirror.images_equal());
}

TEST_CASE("I6: a partial block is read only when the write before it is over") {
  RunningMirror mirror({});
  PartialWriter writer(mirror);
  mirror.images[0]->decide = [](const DeviceRequest& request) {
    return request.operation == Operation::write ? hold_fate() : SimulatedDevice::Fate{};
  };
  Pending& first = writer.start({4096, 100}, 1);
  Pending& second = writer.start({4196, 100}, 2);
  mirror.advance();
  CHECK_FALSE(second.ended());
  CHECK(mirror.images[0]->in_flight() == 1);
  mirror.heal();
  mirror.advance();
  CHECK((first.succeeded() && second.succeeded()));
  CHECK(holds(mirror, {4096, 100}, 1));
  CHECK(holds(mirror, {4196, 100}, 2));
}

TEST_CASE(
    "partial blocks: when the master cannot be read nothing is logged or written, and the position is the block's") {
  RunningMirror mirror({});
  PartialWriter writer(mirror);
  mirror.images[0]->decide = [](const DeviceRequest& request) {
    const bool meets =
        request.operation == Operation::read && Extent{8704, 512}.overlaps({request.position, request.length});
    return meets ? error_fate() : SimulatedDevice::Fate{};
  };
  const std::uint64_t logged = mirror.session->snapshot().counters.intentsLogged;
  Pending& write = writer.start({8200, 600}, 1);
  mirror.advance();
  CHECK(write.code() == Code::READ_FAILED);
  CHECK(write.outcome->position == 8192);
  CHECK(mirror.session->phase() == Phase::running);
  CHECK(mirror.session->snapshot().counters.intentsLogged == logged);
  CHECK(holds(mirror, {8192, 1024}, 0));
  mirror.heal();
  Pending& again = writer.start({8200, 600}, 1);
  mirror.advance();
  CHECK(again.succeeded());
}

TEST_CASE("partial blocks: a write whose blocks are being read stops with the mirror when the master fails meanwhile") {
  RunningMirror mirror({});
  PartialWriter writer(mirror);
  mirror.images[0]->decide = [](const DeviceRequest& request) {
    if (request.operation == Operation::read) return hold_fate();
    return request.position == 65536 ? error_fate() : SimulatedDevice::Fate{};
  };
  Pending& write = writer.start({100, 100}, 1);
  Pending& failing = mirror.start_write({65536, 4096}, 1);
  mirror.advance();
  CHECK(failing.code() == Code::MASTER_FAILED);
  mirror.heal();
  mirror.advance();
  CHECK(write.code() == Code::MASTER_FAILED);
  CHECK(holds(mirror, {0, 512}, 0));
}

TEST_CASE("partial blocks: a durable write of bytes survives a power loss together with the rest of its block") {
  RunningMirror mirror({});
  PartialWriter writer(mirror);
  REQUIRE(mirror.write({0, 512}, 1, true).ok());
  Pending& write = writer.start({10, 20}, 2, true);
  mirror.advance();
  REQUIRE(write.succeeded());
  mirror.crash(0);
  REQUIRE(mirror.open().ok());
  CHECK(holds(mirror, {0, 10}, 1));
  CHECK(holds(mirror, {10, 20}, 2));
  CHECK(holds(mirror, {30, 482}, 1));
}
