#include "../../devices/timer_queue.h"

#include <doctest/doctest.h>

#include <random>
#include <vector>

using namespace blockmirror;

namespace {

struct Recorder {
  std::vector<int>* fired = nullptr;
  int name = 0;
  Timer timer;

  Recorder(std::vector<int>& into, int number) : fired(&into), name(number) {
    timer.context = this;
    timer.fire = [](void* context) {
      auto* self = static_cast<Recorder*>(context);
      self->fired->push_back(self->name);
    };
  }
  Recorder(const Recorder&) = delete;
};

}  // namespace

TEST_CASE("timer queue: timers fire by deadline, equal ones in the order of arming") {
  std::vector<int> fired;
  Recorder a(fired, 1), b(fired, 2), c(fired, 3), d(fired, 4);
  TimerQueue queue;
  queue.arm(a.timer, 30);
  queue.arm(b.timer, 10);
  queue.arm(c.timer, 10);
  queue.arm(d.timer, 20);
  CHECK(queue.next_deadline() == 10);
  CHECK(queue.fire_due(9) == 0);
  CHECK(queue.fire_due(20) == 3);
  CHECK(fired == std::vector<int>{2, 3, 4});
  CHECK_FALSE(b.timer.armed);
  CHECK(a.timer.armed);
  CHECK(queue.fire_due(1000) == 1);
  CHECK(queue.next_deadline() == TimerQueue::kNever);
}

TEST_CASE("timer queue: arming an armed timer moves it, disarming takes it out") {
  std::vector<int> fired;
  Recorder a(fired, 1), b(fired, 2);
  TimerQueue queue;
  queue.arm(a.timer, 10);
  queue.arm(b.timer, 20);
  queue.arm(a.timer, 30);
  CHECK(queue.fire_due(10) == 0);
  queue.disarm(b.timer);
  queue.disarm(b.timer);
  CHECK(queue.fire_due(100) == 1);
  CHECK(fired == std::vector<int>{1});
}

TEST_CASE("timer queue: a timer that arms itself in the past waits for the next call") {
  struct Again {
    TimerQueue queue;
    Timer timer;
    int fired = 0;
  } again;
  again.timer.context = &again;
  again.timer.fire = [](void* context) {
    auto* self = static_cast<Again*>(context);
    ++self->fired;
    self->queue.arm(self->timer, 1);
  };
  again.queue.arm(again.timer, 5);
  CHECK(again.queue.fire_due(10) == 1);
  CHECK(again.queue.fire_due(10) == 1);
  CHECK(again.fired == 2);
}

TEST_CASE("timer queue: a timer that is disarmed by one due with it does not fire") {
  struct Pair {
    TimerQueue queue;
    Timer first, second;
    int fired = 0;
  } pair;
  pair.first.context = pair.second.context = &pair;
  pair.first.fire = [](void* context) {
    static_cast<Pair*>(context)->queue.disarm(static_cast<Pair*>(context)->second);
  };
  pair.second.fire = [](void* context) { ++static_cast<Pair*>(context)->fired; };
  pair.queue.arm(pair.first, 1);
  pair.queue.arm(pair.second, 2);
  CHECK(pair.queue.fire_due(10) == 1);
  CHECK(pair.fired == 0);
}

TEST_CASE("timer queue: many timers with random deadlines fire sorted") {
  std::mt19937 random(7);
  TimerQueue queue;
  std::vector<Timer> timers(500);
  static std::uint64_t last;
  last = 0;
  for (Timer& timer : timers) {
    timer.context = &timer;
    timer.fire = [](void* context) {
      auto* fired = static_cast<Timer*>(context);
      CHECK(fired->deadline_ns >= last);
      last = fired->deadline_ns;
    };
    queue.arm(timer, random() % 1000);
  }
  for (int i = 0; i < 200; ++i) queue.arm(timers[random() % timers.size()], random() % 1000);
  CHECK(queue.fire_due(999) == timers.size());
}
