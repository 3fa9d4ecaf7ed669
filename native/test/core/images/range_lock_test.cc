#include "../../../core/images/range_lock.h"

#include <doctest/doctest.h>

#include <memory>
#include <random>
#include <vector>

#include "../../../core/base/task.h"
#include "../../../devices/simulated/simulated_runtime.h"

using namespace blockmirror;

namespace {

constexpr std::uint64_t kRegion = 1024 * 1024;
constexpr RangeLock::Mode kShared = RangeLock::Mode::shared;
constexpr RangeLock::Mode kExclusive = RangeLock::Mode::exclusive;

class Ranges {
 public:
  Ranges() : lock(runtime, kRegion) {}
  ~Ranges() {
    while (!held.empty()) release(held.front());
  }

  // Asks for a range; `held` lists the names of those that have theirs, in the order of granting.
  void ask(int name, Extent extent, RangeLock::Mode mode) { spawn(hold(name, extent, mode)); }
  void release(int name) {
    std::erase(held, name);
    releases_.push_back(name);
    wake_.wake_all();
    run();
  }
  void run() {
    while (runtime.has_ready()) runtime.run_ready();
  }
  using Names = std::vector<int>;

  SimulatedRuntime runtime{1};
  RangeLock lock;
  Names held;

 private:
  Task<void> hold(int name, Extent extent, RangeLock::Mode mode) {
    RangeLock::Guard guard(lock, extent, mode);
    co_await guard;
    held.push_back(name);
    while (std::erase(releases_, name) == 0) co_await wake_.wait();
  }
  Names releases_;
  Condition wake_{runtime};
};

}  // namespace

TEST_CASE("ranges that do not overlap are held at once, those that touch as well") {
  Ranges ranges;
  ranges.ask(1, {0, 4096}, kExclusive);
  ranges.ask(2, {4096, 4096}, kExclusive);
  ranges.ask(3, {5 * kRegion, 4096}, kExclusive);
  CHECK(ranges.held == Ranges::Names{1, 2, 3});
}

TEST_CASE("overlapping ranges are granted one after another, in the order in which they came") {
  Ranges ranges;
  ranges.ask(1, {0, 8192}, kExclusive);
  ranges.ask(2, {4096, 8192}, kExclusive);
  ranges.ask(3, {8192, 8192}, kExclusive);
  CHECK(ranges.held == Ranges::Names{1});
  ranges.release(1);
  CHECK(ranges.held == Ranges::Names{2});
  ranges.release(2);
  CHECK(ranges.held == Ranges::Names{3});
}

TEST_CASE("shared holders do not exclude each other, an exclusive one waits for all of them") {
  Ranges ranges;
  ranges.ask(1, {0, 4096}, kShared);
  ranges.ask(2, {0, 4096}, kShared);
  ranges.ask(3, {0, 4096}, kExclusive);
  CHECK(ranges.held == Ranges::Names{1, 2});
  ranges.release(1);
  CHECK(ranges.held == Ranges::Names{2});
  ranges.release(2);
  CHECK(ranges.held == Ranges::Names{3});
}

TEST_CASE("readers that come after a waiting writer do not overtake it") {
  Ranges ranges;
  ranges.ask(1, {0, 4096}, kShared);
  ranges.ask(2, {0, 4096}, kExclusive);
  ranges.ask(3, {0, 4096}, kShared);
  CHECK(ranges.held == Ranges::Names{1});
  ranges.release(1);
  CHECK(ranges.held == Ranges::Names{2});
  ranges.release(2);
  CHECK(ranges.held == Ranges::Names{3});
}

TEST_CASE("a release grants everybody whom it held up and nobody else does") {
  Ranges ranges;
  ranges.ask(1, {0, 65536}, kExclusive);
  ranges.ask(2, {0, 4096}, kExclusive);
  ranges.ask(3, {8192, 4096}, kShared);
  ranges.ask(4, {4096, 8192}, kExclusive);
  ranges.release(1);
  CHECK(ranges.held == Ranges::Names{2, 3});
  ranges.release(3);
  CHECK(ranges.held == Ranges::Names{2, 4});
}

TEST_CASE("regions that share a bucket do not hold each other up") {
  Ranges ranges;
  ranges.ask(1, {7 * kRegion, 4096}, kExclusive);
  ranges.ask(2, {(7 + 1024) * kRegion, 4096}, kExclusive);
  CHECK(ranges.held == Ranges::Names{1, 2});
}

TEST_CASE("whoever waited is resumed by the loop, never from inside the release") {
  Ranges ranges;
  bool resumed = false;
  auto first = std::make_unique<RangeLock::Guard>(ranges.lock, Extent{0, 4096}, kExclusive);
  auto second = [](RangeLock& lock, bool& done) -> Task<void> {
    RangeLock::Guard guard(lock, {0, 4096}, kExclusive);
    co_await guard;
    done = true;
  };
  spawn(second(ranges.lock, resumed));
  first.reset();
  CHECK_FALSE(resumed);
  ranges.run();
  CHECK(resumed);
}

TEST_CASE("among thousands of random ranges no two that conflict are held at once, and everybody is served") {
  SimulatedRuntime runtime(1);
  RangeLock lock(runtime, kRegion);
  Condition turn(runtime);
  struct Held {
    Extent extent;
    RangeLock::Mode mode;
  };
  std::vector<const Held*> held;
  unsigned served = 0;
  bool conflict = false;
  auto holder = [&](Held wish, unsigned turns) -> Task<void> {
    RangeLock::Guard guard(lock, wish.extent, wish.mode);
    co_await guard;
    for (const Held* other : held)
      conflict |= other->extent.overlaps(wish.extent) && (other->mode == kExclusive || wish.mode == kExclusive);
    held.push_back(&wish);
    for (unsigned i = 0; i < turns; ++i) co_await turn.wait();
    std::erase(held, &wish);
    ++served;
  };
  std::mt19937 random(3);
  constexpr unsigned kHolders = 3000;
  for (unsigned i = 0; i < kHolders; ++i) {
    const std::uint64_t region = random() % 3;
    const std::uint64_t first = random() % 60;
    const Held wish{{region * kRegion + first * 4096, (1 + random() % 4) * 4096},
                    random() % 3 == 0 ? kShared : kExclusive};
    spawn(holder(wish, 1 + random() % 3));
  }
  for (unsigned i = 0; i < 10 * kHolders && served < kHolders; ++i) {
    turn.wake_all();
    while (runtime.has_ready()) runtime.run_ready();
  }
  CHECK(served == kHolders);
  CHECK_FALSE(conflict);
}
