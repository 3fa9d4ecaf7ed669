#include "../../../core/images/piece_runner.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "../../../core/base/task.h"
#include "../../../devices/simulated/simulated_runtime.h"
#include "../../support/limited_address_space.h"

using namespace blockmirror;

namespace {

constexpr ImageSet kTwoImages = 0b101;

// Pieces that end when they are told to, and what was seen of them.
class Work final : public PieceWork {
 public:
  explicit Work(Runtime& runtime) : ended_(runtime) {}
  Task<Outcome> work_on(Extent piece, const PieceMemory& memory) override {
    started.push_back(piece);
    running.push_back(piece);
    memories.push_back(memory);
    bytes += piece.length;
    most_bytes = std::max(most_bytes, bytes);
    most_pieces = std::max(most_pieces, running.size());
    while (std::erase(ending_, piece) == 0) co_await ended_.wait();
    std::erase(running, piece);
    bytes -= piece.length;
    co_return piece == failing ? Outcome::of(Code::READ_FAILED, 0, 5, piece.position) : Outcome::success();
  }
  void end(Extent piece) {
    ending_.push_back(piece);
    ended_.wake_all();
  }

  std::vector<Extent> started, running;
  std::vector<PieceMemory> memories;
  std::uint64_t bytes = 0, most_bytes = 0;
  std::size_t most_pieces = 0;
  Extent failing;

 private:
  std::vector<Extent> ending_;
  Condition ended_;
};

struct Runs {
  SimulatedRuntime runtime{1};
  PieceRunner runner{runtime};
  Work work{runtime};

  struct Started {
    std::vector<Extent> extents;
    std::optional<Outcome> outcome;
  };
  Started& start(std::vector<Extent> extents) {
    started.push_back(std::make_unique<Started>(Started{std::move(extents), {}}));
    spawn(finish(*started.back()));
    settle();
    return *started.back();
  }
  void settle() {
    while (runtime.has_ready()) runtime.run_ready();
  }
  void end(Extent piece) {
    work.end(piece);
    settle();
  }
  void end_all() {
    while (!work.running.empty()) end(work.running.front());
  }

  std::vector<std::unique_ptr<Started>> started;

 private:
  Task<void> finish(Started& started) { started.outcome = co_await runner.run(started.extents, kTwoImages, work); }
};

std::vector<Extent> small_extents(std::size_t count) {
  std::vector<Extent> extents;
  for (std::size_t i = 0; i < count; ++i) extents.push_back({i * 65536, 4096});
  return extents;
}

}  // namespace

TEST_CASE("a place is found where enough blocks are free side by side, and can be had again") {
  BlockMap map;
  const unsigned a = map.take(4096), b = map.take(3 * 4096), c = map.take(4096);
  CHECK(a == 0);
  CHECK(b == 1);
  CHECK(c == 4);
  map.give_back(b, 3 * 4096);
  CHECK(map.take(4 * 4096) == 5);
  CHECK(map.take(2 * 4096 + 512) == 1);  // a part of a block takes all of it
  map.give_back(1, 3 * 4096);
  map.give_back(5, 4 * 4096);
  map.give_back(a, 4096);
  map.give_back(c, 4096);
  CHECK(map.empty());
}

TEST_CASE("a place is refused when no such run of blocks is free") {
  BlockMap map;
  CHECK(map.take(kCopyBytes) == 0);
  CHECK(map.take(512) == BlockMap::kNone);
  map.give_back(0, kCopyBytes);
  CHECK(map.take(kCopyBytes) == 0);
}

TEST_CASE("small pieces run as many at once as there are lanes, large ones as there are bytes, all in their order") {
  Runs runs;
  std::vector<Extent> extents = small_extents(100);
  Runs::Started& small = runs.start(extents);
  CHECK(runs.work.running.size() == kCopyLanes);
  runs.end_all();
  CHECK(small.outcome->ok());
  CHECK(runs.work.started == extents);
  CHECK(runs.work.most_pieces == kCopyLanes);

  std::vector<Extent> large;
  for (std::uint64_t i = 0; i < 20; ++i) large.push_back({i * kMiB, kMiB});
  runs.work.started.clear();
  Runs::Started& second = runs.start(large);
  CHECK(runs.work.bytes == kCopyBytes);
  runs.end_all();
  CHECK(second.outcome->ok());
  CHECK(runs.work.started == large);
  CHECK(runs.work.most_bytes == kCopyBytes);
}

TEST_CASE("a large piece waits for room, and none behind it overtakes it") {
  Runs runs;
  std::vector<Extent> extents;
  const std::uint64_t fitting = kCopyBytes / kMiB;
  for (std::uint64_t i = 0; i <= fitting; ++i) extents.push_back({i * kMiB, kMiB});
  extents.push_back({extents.size() * kMiB, 4096});
  runs.start(extents);
  CHECK(runs.work.started.size() == fitting);
  runs.end(extents[1]);
  CHECK(runs.work.started.size() == fitting + 1);
  CHECK(runs.work.started.back() == extents[fitting]);
  runs.end(extents[0]);
  CHECK(runs.work.started.back() == extents[fitting + 1]);
  runs.end_all();
}

TEST_CASE("a piece never reaches over a multiple of the region's length") {
  Runs runs;
  runs.start({{kMiB - 4096, kMiB}});
  CHECK(runs.work.started == std::vector<Extent>{{kMiB - 4096, 4096}, {kMiB, kMiB - 4096}});
  runs.end_all();
}

TEST_CASE("pieces under way have memory of their own, of the images that were asked for alone") {
  Runs runs;
  const std::vector<Extent> extents = small_extents(kCopyLanes);
  runs.start(extents);
  for (unsigned image = 0; image < kMaxImages; ++image) {
    CAPTURE(image);
    std::vector<std::byte*> places;
    for (const PieceMemory& memory : runs.work.memories) {
      CHECK((memory[image] != nullptr) == ((kTwoImages & image_bit(image)) != 0));
      if (memory[image] == nullptr) continue;
      CHECK(reinterpret_cast<std::uintptr_t>(memory[image]) % 4096 == 0);
      std::memset(memory[image], 1, 4096);
      places.push_back(memory[image]);
    }
    std::sort(places.begin(), places.end());
    for (std::size_t i = 1; i < places.size(); ++i) CHECK(places[i] - places[i - 1] >= 4096);
  }
  runs.end_all();
}

TEST_CASE("after a piece failed no further one of its run starts, what runs is waited for, and other runs go on") {
  Runs runs;
  const std::vector<Extent> extents = small_extents(kCopyLanes + 8);
  Runs::Started& first = runs.start(extents);
  Runs::Started& second = runs.start({{kMiB * 64, 4096}});
  runs.work.failing = extents[2];
  runs.end(extents[2]);
  CHECK(runs.work.started.size() == kCopyLanes + 1);
  CHECK(runs.work.started.back() == second.extents[0]);
  CHECK_FALSE(first.outcome.has_value());
  runs.end_all();
  CHECK(first.outcome->code == Code::READ_FAILED);
  CHECK(first.outcome->position == extents[2].position);
  CHECK(second.outcome->ok());
}

TEST_CASE("a run begins when the one before has started its last piece, not when that has ended") {
  Runs runs;
  Runs::Started& first = runs.start(small_extents(kCopyLanes + 1));
  Runs::Started& second = runs.start({{kMiB * 64, 4096}});
  runs.end(first.extents[0]);
  CHECK(runs.work.started.back() == first.extents.back());
  runs.end(first.extents[1]);
  CHECK(runs.work.started.back() == second.extents[0]);
  CHECK_FALSE(first.outcome.has_value());
  runs.end_all();
  CHECK(first.outcome->ok());
  CHECK(second.outcome->ok());
}

TEST_CASE("a run for whose memory there is no address space fails, and the next one has it") {
  if (!test::LimitedAddressSpace::is_possible()) {
    MESSAGE("SKIPPED: a sanitizer needs the address space");
    return;
  }
  Runs runs;
  {
    const test::LimitedAddressSpace limited(8 * kMiB);
    Runs::Started& refused = runs.start({{0, 4096}});
    REQUIRE(refused.outcome.has_value());
    CHECK(refused.outcome->code == Code::NO_MEMORY);
    CHECK(runs.work.started.empty());
  }
  Runs::Started& next = runs.start({{0, 4096}});
  runs.end_all();
  CHECK(next.outcome->ok());
}
