// The loop itself: wake-ups, timers, order and bounds, on both kinds of reactor.
#include "../../devices/reactor.h"

#include <sys/resource.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "../../core/base/task.h"
#include "loop.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr std::uint64_t kMillisecond = 1000000;  // ns

// Fails the test instead of hanging it when a wake-up is lost.
class Watchdog {
 public:
  Watchdog(Reactor& reactor, std::uint64_t after_ns) : reactor_(reactor) {
    timer_.context = this;
    timer_.fire = [](void* context) { static_cast<Watchdog*>(context)->barked = true; };
    reactor_.arm(timer_, reactor_.now_ns() + after_ns);
  }
  ~Watchdog() { reactor_.disarm(timer_); }
  bool barked = false;

 private:
  Reactor& reactor_;
  Timer timer_;
};

struct FiredAt {
  Reactor* reactor = nullptr;
  std::vector<int>* order = nullptr;
  int name = 0;
  std::uint64_t at = 0;
  Timer timer;

  void arm(std::uint64_t deadline) {
    timer.context = this;
    timer.fire = [](void* context) {
      auto* self = static_cast<FiredAt*>(context);
      self->at = self->reactor->now_ns();
      self->order->push_back(self->name);
    };
    reactor->arm(timer, deadline);
  }
};

Task<void> wait_then_record(Condition& condition, std::vector<int>& order, int name) {
  co_await condition.wait();
  order.push_back(name);
}

}  // namespace

TEST_CASE_TEMPLATE("reactor: no wake-up is lost", Kind, OnIoUring, OnThreads, PollingIoUring, PollingThreads) {
  Loop loop(Kind::kKind, 64, Kind::kPolling);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  constexpr std::uint32_t kMessages = 100000;
  std::atomic<std::uint32_t> sent = 0, received = 0;
  std::atomic<bool> give_up = false;
  std::thread sender([&] {
    for (std::uint32_t i = 1; i <= kMessages; ++i) {
      // Each message waits for the one before, so that the loop sleeps, or is about to, again and again.
      while (received.load(std::memory_order_acquire) != i - 1 && !give_up) std::this_thread::yield();
      for (std::uint32_t spin = 0; spin < i % 97; ++spin) std::atomic_signal_fence(std::memory_order_seq_cst);
      sent.store(i, std::memory_order_release);
      loop->wake();
    }
  });
  {
    Watchdog watchdog(*loop, 60000 * kMillisecond);
    while (received.load(std::memory_order_relaxed) < kMessages && !watchdog.barked) {
      received.store(sent.load(std::memory_order_acquire), std::memory_order_release);
      if (received.load(std::memory_order_relaxed) < kMessages) loop->turn(true);
    }
    CHECK_FALSE(watchdog.barked);
  }
  give_up = true;
  sender.join();
  CHECK(received == kMessages);
}

TEST_CASE_TEMPLATE("reactor: wake-ups from many threads at once all arrive while I/O runs", Kind, OnIoUring, OnThreads,
                   PollingIoUring, PollingThreads) {
  Loop loop(Kind::kKind, 64, Kind::kPolling);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  TemporaryDirectory directory;
  make_file(directory / "image", 1024 * 1024);
  auto device = loop.open(directory / "image");
  constexpr unsigned kThreads = 4, kEach = 20000;
  std::atomic<unsigned> sent = 0;
  std::vector<std::thread> senders;
  for (unsigned t = 0; t < kThreads; ++t) {
    senders.emplace_back([&] {
      for (unsigned i = 0; i < kEach; ++i) {
        sent.fetch_add(1);
        loop->wake();
        if (i % 64 == 0) std::this_thread::yield();
      }
    });
  }
  {
    Watchdog watchdog(*loop, 60000 * kMillisecond);
    AlignedBuffer buffer(4096);
    while (sent.load() < kThreads * kEach && !watchdog.barked) {
      CHECK(loop.read(*device, 0, buffer.span()) == 0);
      if (sent.load() < kThreads * kEach) loop->turn(true);
    }
    CHECK_FALSE(watchdog.barked);
  }
  for (std::thread& sender : senders) sender.join();
}

TEST_CASE_TEMPLATE("reactor: a wake-up before the sleep ends it at once", Kind, OnIoUring, OnThreads, PollingIoUring,
                   PollingThreads) {
  Loop loop(Kind::kKind, 64, Kind::kPolling);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  Watchdog watchdog(*loop, 60000 * kMillisecond);
  loop->wake();
  loop->wake();
  loop->turn(true);
  CHECK_FALSE(watchdog.barked);
}

TEST_CASE_TEMPLATE("reactor: timers end the sleep, fire in order and never early", Kind, OnIoUring, OnThreads,
                   PollingIoUring, PollingThreads) {
  Loop loop(Kind::kKind, 64, Kind::kPolling);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  std::vector<int> order;
  std::array<FiredAt, 4> timers;
  const std::uint64_t start = loop->now_ns();
  const std::uint64_t after_ms[] = {30, 5, 0, 15};
  for (int i = 0; i < 4; ++i) {
    timers[i].reactor = &*loop;
    timers[i].order = &order;
    timers[i].name = i;
    timers[i].arm(start + after_ms[i] * kMillisecond);
  }
  while (order.size() < 4) loop->turn(true);
  CHECK(order == std::vector<int>{2, 1, 3, 0});
  for (int i = 0; i < 4; ++i) CHECK(timers[i].at >= start + after_ms[i] * kMillisecond);
}

TEST_CASE_TEMPLATE("reactor: a turn that may not sleep returns with nothing to do", Kind, OnIoUring, OnThreads,
                   PollingIoUring, PollingThreads) {
  Loop loop(Kind::kKind, 64, Kind::kPolling);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  for (int i = 0; i < 1000; ++i) loop->turn(false);
  CHECK(loop->requests_in_flight() == 0);
}

TEST_CASE_TEMPLATE("reactor: a turn that ran something returns before it sleeps", Kind, OnIoUring, OnThreads,
                   PollingIoUring, PollingThreads) {
  Loop loop(Kind::kKind, 64, Kind::kPolling);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  std::vector<int> order;
  FiredAt timer{.reactor = &*loop, .order = &order, .name = 1, .at = 0, .timer = {}};
  timer.arm(loop->now_ns());
  loop->turn(true);  // would hang here if it slept: no other timer is armed
  CHECK(order == std::vector<int>{1});
}

TEST_CASE_TEMPLATE("reactor: completions are never delivered from inside submit", Kind, OnIoUring, OnThreads,
                   PollingIoUring, PollingThreads) {
  Loop loop(Kind::kKind, 64, Kind::kPolling);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  TemporaryDirectory directory;
  make_file(directory / "image", 65536);
  auto device = loop.open(directory / "image");
  DeviceRequest nothing;
  bool done = false;
  nothing.context = &done;
  nothing.on_complete = [](DeviceRequest& request) { *static_cast<bool*>(request.context) = true; };
  device->submit(nothing);  // a read of no bytes has nothing to wait for
  CHECK_FALSE(done);
  CHECK(loop->requests_in_flight() == 1);
  while (!done) loop->turn(true);
  CHECK(nothing.error == 0);
  CHECK(loop->requests_in_flight() == 0);
}

TEST_CASE_TEMPLATE("reactor: with a depth of one, requests complete in the order of submission", Kind, OnIoUring,
                   OnThreads, PollingIoUring, PollingThreads) {
  Loop loop(Kind::kKind, 1, Kind::kPolling);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  TemporaryDirectory directory;
  make_file(directory / "image", 1024 * 1024);
  auto device = loop.open(directory / "image");
  constexpr unsigned kCount = 200;
  struct Ordered {
    DeviceRequest request;
    std::vector<unsigned>* order = nullptr;
    unsigned index = 0;
  };
  std::vector<unsigned> order;
  std::vector<Ordered> requests(kCount);
  AlignedBuffer memory(kCount * 512);
  for (unsigned i = 0; i < kCount; ++i) {
    Ordered& one = requests[i];
    one.order = &order;
    one.index = i;
    one.request.operation = i % 2 == 0 ? Operation::write : Operation::read;
    one.request.position = (i * 7919u % 256u) * device->traits().offset_alignment;
    one.request.length = device->traits().offset_alignment;
    one.request.memory = memory.span().data();
    one.request.context = &one;
    one.request.on_complete = [](DeviceRequest& request) {
      auto* self = static_cast<Ordered*>(request.context);
      CHECK(request.error == 0);
      self->order->push_back(self->index);
    };
    device->submit(one.request);
  }
  CHECK(loop->requests_in_flight() == kCount);
  while (order.size() < kCount) loop->turn(true);
  CHECK(std::is_sorted(order.begin(), order.end()));
  CHECK(loop->requests_in_flight() == 0);
}

TEST_CASE_TEMPLATE("reactor: requests submitted by completions go on for ever without a deep stack", Kind, OnIoUring,
                   OnThreads, PollingIoUring, PollingThreads) {
  Loop loop(Kind::kKind, 4, Kind::kPolling);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  TemporaryDirectory directory;
  make_file(directory / "image", 65536);
  auto device = loop.open(directory / "image");
  struct Chain {
    Device* device = nullptr;
    unsigned left = 20000;
    DeviceRequest request;
  } chain;
  chain.device = device.get();
  chain.request.context = &chain;
  chain.request.on_complete = [](DeviceRequest& request) {
    auto* self = static_cast<Chain*>(request.context);
    if (--self->left > 0) self->device->submit(request);
  };
  device->submit(chain.request);
  while (chain.left > 0) loop->turn(true);
  CHECK(loop->requests_in_flight() == 0);
}

TEST_CASE_TEMPLATE("reactor: ready coroutines run from the turn, first in, first out", Kind, OnIoUring, OnThreads,
                   PollingIoUring, PollingThreads) {
  Loop loop(Kind::kKind, 64, Kind::kPolling);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  std::vector<int> order;
  Condition condition(*loop);
  for (int i = 0; i < 5; ++i) spawn(wait_then_record(condition, order, i));
  condition.wake_all();
  CHECK(order.empty());
  loop->turn(true);
  CHECK(order == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE_TEMPLATE("reactor: random bytes fill any length and differ", Kind, OnIoUring, OnThreads, PollingIoUring,
                   PollingThreads) {
  Loop loop(Kind::kKind, 64, Kind::kPolling);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  std::vector<std::byte> first(100000), second(100000);
  loop->random(first);
  loop->random(second);
  CHECK_FALSE(equal(first, second));
  CHECK_FALSE(all_zero(std::span(first).last(64)));
  loop->random({});
}

TEST_CASE_TEMPLATE("reactor: clocks run", Kind, OnIoUring, OnThreads, PollingIoUring, PollingThreads) {
  Loop loop(Kind::kKind, 64, Kind::kPolling);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  const std::uint64_t before = loop->now_ns();
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  CHECK(loop->now_ns() >= before + 2 * kMillisecond);
  using namespace std::chrono;
  const auto wall = duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
  CHECK(std::llabs(static_cast<long long>(loop->wall_clock_ms()) - wall) < 60000);
}

TEST_CASE_TEMPLATE("reactor: goes again and again without leaving anything open", Kind, OnIoUring, OnThreads,
                   PollingIoUring, PollingThreads) {
  auto open_descriptors = [] {
    unsigned count = 0;
    for (int i = 0; i < 256; ++i) count += ::fcntl(i, F_GETFD) >= 0 ? 1 : 0;
    return count;
  };
  TemporaryDirectory directory;
  make_file(directory / "image", 65536);
  const unsigned before = open_descriptors();
  for (int i = 0; i < 30; ++i) {
    Loop loop(Kind::kKind, 64, Kind::kPolling);
    BLOCKMIRROR_SKIP_UNLESS(loop);
    auto device = loop.open(directory / "image");
    AlignedBuffer buffer(4096);
    if (i % 2 == 0) CHECK(loop.read(*device, 0, buffer.span()) == 0);
    loop->turn(false);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("reactor: a missing descriptor or thread is reported, not fatal") {
  TemporaryDirectory directory;
  auto bind_with_limit = [](auto resource, rlim_t limit, bool drop_root, DeviceKind kind) {
    return exit_code_of([&] {
      ReactorOrOutcome made = make_reactor({.kind = kind, .queue_depth = 8});
      if (!made.outcome.ok()) return 200;
      if (drop_root && ::setuid(65534) != 0) return 201;
      const rlimit limits{limit, limit};
      if (::setrlimit(resource, &limits) != 0) return 202;
      const Outcome outcome = made.reactor->bind_to_this_thread();
      return outcome.code == Code::NO_MEMORY ? outcome.system_error : 203;
    });
  };
  CHECK(bind_with_limit(RLIMIT_NOFILE, 0, false, DeviceKind::threads) == EMFILE);
  const KindProbe io_uring(DeviceKind::io_uring);
  if (io_uring.available()) CHECK(bind_with_limit(RLIMIT_NOFILE, 0, false, DeviceKind::io_uring) == EMFILE);
  if (is_root()) CHECK(bind_with_limit(RLIMIT_NPROC, 1, true, DeviceKind::threads) == EAGAIN);
  BLOCKMIRROR_SKIP_UNLESS(io_uring);
  if (!is_root()) skip("the part that gives up root needs root");
}
