#include "../../../core/base/task.h"

#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include "../../../core/base/device.h"
#include "../../../devices/simulated/simulated_device.h"

using namespace blockmirror;

namespace {

Task<int> answer(std::vector<int>* trace = nullptr) {
  if (trace != nullptr) trace->push_back(1);
  co_return 42;
}

Task<int> depth_of(unsigned depth) {
  if (depth == 0) co_return 0;
  co_return 1 + co_await depth_of(depth - 1);
}

template <typename T>
Task<void> store(Task<T> task, T& into, bool& ended) {
  into = co_await std::move(task);
  ended = true;
}

}  // namespace

TEST_CASE("a task does nothing until it is awaited") {
  std::vector<int> trace;
  {
    Task<int> task = answer(&trace);
    CHECK(trace.empty());
  }
  CHECK(trace.empty());
  int value = 0;
  bool ended = false;
  spawn(store(answer(&trace), value, ended));
  CHECK(ended);
  CHECK(value == 42);
  CHECK(trace.size() == 1);
}

TEST_CASE("a task that ends at once, awaited a million times in a row, does not grow the stack") {
#if !defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  // Symmetric transfer is a tail call, which the compiler makes only when it optimises and no sanitizer adds to it.
  MESSAGE("SKIPPED: only an optimised build without sanitizers has tail calls");
  return;
#endif
  auto loop = [](std::uint64_t& sum) -> Task<void> {
    for (int i = 0; i < 1'000'000; ++i) sum += static_cast<std::uint64_t>(co_await answer());
  };
  std::uint64_t sum = 0;
  spawn(loop(sum));
  CHECK(sum == 42'000'000);
}

TEST_CASE("a long chain of awaiting tasks returns through all of them") {
  int depth = 0;
  bool ended = false;
  spawn(store(depth_of(1000), depth, ended));
  CHECK(ended);
  CHECK(depth == 1000);
}

TEST_CASE("a task returns values that can only be moved") {
  auto make = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(7); };
  auto use = [&](int& into) -> Task<void> {
    std::unique_ptr<int> value = co_await make();
    into = *value;
  };
  int value = 0;
  spawn(use(value));
  CHECK(value == 7);
}

TEST_CASE("those who wait for a condition are resumed by the loop, in the order in which they came") {
  SimulatedRuntime runtime(1);
  Condition condition(runtime);
  std::vector<int> resumed;
  auto waiter = [&](int name) -> Task<void> {
    co_await condition.wait();
    resumed.push_back(name);
  };
  for (int i = 0; i < 4; ++i) spawn(waiter(i));
  condition.wake_one();
  CHECK(resumed.empty());
  runtime.run_ready();
  CHECK(resumed == std::vector<int>{0});
  condition.wake_all();
  runtime.run_ready();
  CHECK(resumed == std::vector<int>{0, 1, 2, 3});
  CHECK_FALSE(condition.has_waiters());
}

TEST_CASE("a turn of the loop is bounded though coroutines keep waking each other") {
  SimulatedRuntime runtime(1);
  Condition condition(runtime);
  bool stop = false;
  unsigned turns = 0;
  auto endless = [&]() -> Task<void> {
    while (!stop) {
      ++turns;
      auto wait = condition.wait();
      condition.wake_all();
      co_await wait;
    }
  };
  spawn(endless());
  spawn(endless());
  condition.wake_all();
  CHECK(runtime.run_ready(100) <= 100);
  stop = true;
  condition.wake_all();
  while (runtime.has_ready()) runtime.run_ready();
  condition.wake_all();
  while (runtime.has_ready()) runtime.run_ready();
  CHECK(turns <= 110);
}

TEST_CASE("a signal that was raised while nobody waited is not lost, and counts once") {
  SimulatedRuntime runtime(1);
  Signal signal(runtime);
  unsigned rounds = 0;
  bool stop = false;
  auto consumer = [&]() -> Task<void> {
    while (!stop) {
      while (!signal.take()) co_await signal.wait();
      ++rounds;
    }
  };
  signal.raise();
  signal.raise();
  spawn(consumer());
  CHECK(rounds == 1);
  signal.raise();
  signal.raise();
  while (runtime.has_ready()) runtime.run_ready();
  CHECK(rounds == 2);
  stop = true;
  signal.raise();
  while (runtime.has_ready()) runtime.run_ready();
  CHECK(rounds == 3);
}

TEST_CASE("a parallel operation submits to all images before any completes, and ends with the last") {
  SimulatedRuntime runtime(1);
  std::vector<std::unique_ptr<SimulatedDevice>> devices;
  std::vector<Device*> images;
  unsigned submitted = 0, submitted_when_first_settled = 0;
  for (int i = 0; i < 3; ++i) {
    devices.push_back(std::make_unique<SimulatedDevice>(runtime, 8192));
    images.push_back(devices.back().get());
    devices.back()->on_submit = [&](const DeviceRequest&) { ++submitted; };
    devices.back()->on_settle = [&](const DeviceRequest&, int) {
      if (submitted_when_first_settled == 0) submitted_when_first_settled = submitted;
    };
  }
  devices[0]->decide = [](const DeviceRequest&) { return SimulatedDevice::Fate{0, 0, true}; };
  devices[2]->decide = [](const DeviceRequest&) { return SimulatedDevice::Fate{28, 10, false}; };
  bool ended = false;
  ParallelOperation::Results results;
  auto operate = [&]() -> Task<void> {
    DeviceRequest model;
    model.operation = Operation::write_zeroes;
    model.length = 4096;
    ParallelOperation everywhere(images, ImageSet{7}, model);
    results = co_await everywhere;
    ended = true;
  };
  spawn(operate());
  runtime.run_until_quiet();
  CHECK_FALSE(ended);
  devices[0]->release_held();
  runtime.run_until_quiet();
  REQUIRE(ended);
  CHECK(submitted_when_first_settled == 3);
  CHECK(results.failed == image_bit(2));
  CHECK(results.errors[2] == 28);
}

TEST_CASE("a parallel operation on no image ends at once") {
  bool ended = false;
  auto operate = [&]() -> Task<void> {
    const std::span<Device* const> none;
    const DeviceRequest model;
    ParallelOperation nowhere(none, 0, model);
    const ParallelOperation::Results results = co_await nowhere;
    ended = results.failed == 0;
  };
  spawn(operate());
  CHECK(ended);
}
