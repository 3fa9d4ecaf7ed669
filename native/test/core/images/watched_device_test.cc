// Deadlines of requests to one device (I15).
#include "../../../core/images/watched_device.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <vector>

#include "../../../core/base/aligned_buffer.h"
#include "../../../devices/simulated/simulated_device.h"

using namespace blockmirror;

namespace {

constexpr std::uint64_t kTimeout_ns = 50'000'000;

struct Rig {
  explicit Rig(WatchedDevice::PastDeadline past_deadline) {
    watched = std::make_unique<WatchedDevice>(runtime, device, past_deadline, &latency);
    watched->set_timeout(kTimeout_ns);
  }
  ~Rig() {
    device.release_held();
    runtime.run_until_quiet();
  }

  struct Request : DeviceRequest {
    std::optional<int> answer;
    std::uint64_t answered_at_ns = 0;
    Rig* rig = nullptr;
  };
  Request& ask(Operation operation, std::byte* memory = nullptr) {
    requests.push_back(std::make_unique<Request>());
    Request& request = *requests.back();
    request.rig = this;
    request.operation = operation;
    request.memory = memory;
    request.length = operation == Operation::flush ? 0 : 4096;
    request.on_complete = [](DeviceRequest& done) {
      auto& self = static_cast<Request&>(done);
      REQUIRE_FALSE(self.answer.has_value());
      self.answer = done.error;
      self.answered_at_ns = self.rig->runtime.now_ns();
    };
    watched->submit(request);
    return request;
  }
  void hang() {
    device.decide = [](const DeviceRequest&) { return SimulatedDevice::Fate{0, 0, true}; };
  }
  void recover() {
    device.decide = nullptr;
    device.release_held();
  }
  void advance(std::uint64_t ns) {
    bool reached = false;
    runtime.schedule(runtime.now_ns() + ns, [&] { reached = true; });
    REQUIRE(runtime.run_until([&] { return reached; }));
  }

  SimulatedRuntime runtime{1};
  SimulatedDevice device{runtime, 1 << 20};
  DeviceLatency latency;
  std::unique_ptr<WatchedDevice> watched;
  std::vector<std::unique_ptr<Request>> requests;
};

}  // namespace

TEST_CASE("deadline: what is answered in time is passed on, and counted") {
  const auto rig = std::make_unique<Rig>(WatchedDevice::PastDeadline::answer);
  rig->device.decide = [](const DeviceRequest&) { return SimulatedDevice::Fate{EIO, 2'000'000, false}; };
  const Rig::Request& request = rig->ask(Operation::flush);
  CHECK(rig->watched->owed() == 1);
  rig->advance(10 * kTimeout_ns);
  CHECK(request.answer == EIO);
  CHECK_FALSE(rig->watched->stalled());
  CHECK(rig->watched->owed() == 0);
  CHECK(rig->latency.flush.since_open().count == 1);
  CHECK(rig->latency.flush.since_open().longest_ns == 2'000'000);
  CHECK(rig->latency.write.since_open().count == 0);
}

TEST_CASE(
    "deadline: of a slave all that is under way is answered ETIMEDOUT when the oldest is past it, and no sooner") {
  const auto rig = std::make_unique<Rig>(WatchedDevice::PastDeadline::answer);
  rig->hang();
  const Rig::Request& oldest = rig->ask(Operation::flush);
  rig->advance(kTimeout_ns / 2);
  const Rig::Request& younger = rig->ask(Operation::flush);
  rig->advance(kTimeout_ns / 2 - 1);
  CHECK_FALSE(oldest.answer.has_value());
  rig->advance(2);
  CHECK(oldest.answer == ETIMEDOUT);
  CHECK(younger.answer == ETIMEDOUT);
  CHECK(oldest.answered_at_ns == kTimeout_ns);
  CHECK(rig->watched->stalled());
}

TEST_CASE("deadline: a slave that owes answers is asked nothing, from the loop, until it has given them all") {
  const auto rig = std::make_unique<Rig>(WatchedDevice::PastDeadline::answer);
  rig->hang();
  (void)rig->ask(Operation::flush);
  (void)rig->ask(Operation::flush);
  rig->advance(2 * kTimeout_ns);
  const Rig::Request& refused = rig->ask(Operation::flush);
  CHECK_FALSE(refused.answer.has_value());
  rig->advance(1);
  CHECK(refused.answer == ETIMEDOUT);
  CHECK(rig->device.in_flight() == 2);
  rig->recover();
  rig->advance(10'000);
  CHECK_FALSE(rig->watched->stalled());
  const Rig::Request& asked = rig->ask(Operation::flush);
  rig->advance(10'000);
  CHECK(asked.answer == 0);
}

TEST_CASE(
    "deadline: the memory of a request that is past it is held until the device answers, and a late answer is not "
    "passed on") {
  const auto rig = std::make_unique<Rig>(WatchedDevice::PastDeadline::answer);
  const HeldMemory& held = HeldMemory::of_this_thread();
  AlignedBuffer bytes(4096);
  rig->hang();
  const Rig::Request& request = rig->ask(Operation::read, bytes.span().data());
  CHECK_FALSE(held.any());
  rig->advance(2 * kTimeout_ns);
  CHECK(held.holds(bytes.span().data(), 1));
  rig->recover();
  rig->advance(10'000);
  CHECK(request.answer == ETIMEDOUT);
  CHECK_FALSE(held.any());
}

TEST_CASE("deadline: of the master and the log nothing is answered, they are stalled until the oldest is answered") {
  const auto rig = std::make_unique<Rig>(WatchedDevice::PastDeadline::tell);
  rig->hang();
  const Rig::Request& request = rig->ask(Operation::flush);
  rig->advance(2 * kTimeout_ns);
  CHECK(rig->watched->stalled());
  CHECK_FALSE(request.answer.has_value());
  const Rig::Request& another = rig->ask(Operation::flush);
  CHECK(rig->device.in_flight() == 2);
  rig->recover();
  rig->advance(10'000);
  CHECK(request.answer == 0);
  CHECK(another.answer == 0);
  CHECK_FALSE(rig->watched->stalled());
}

TEST_CASE("deadline: a stall goes on with the next request that is past its deadline, and names what that asks for") {
  const auto rig = std::make_unique<Rig>(WatchedDevice::PastDeadline::tell);
  unsigned asked = 0;
  rig->device.decide = [&](const DeviceRequest&) {
    return asked++ == 0 ? SimulatedDevice::Fate{0, 3 * kTimeout_ns, false} : SimulatedDevice::Fate{0, 0, true};
  };
  AlignedBuffer bytes(4096);
  (void)rig->ask(Operation::flush);
  rig->advance(kTimeout_ns);
  (void)rig->ask(Operation::write, bytes.span().data());
  rig->advance(kTimeout_ns / 2);
  CHECK(rig->watched->stall().operation == Operation::flush);
  rig->advance(5 * kTimeout_ns);
  CHECK(rig->watched->stalled());
  CHECK(rig->watched->stall().operation == Operation::write);
  CHECK(rig->watched->owed() == 1);
}

TEST_CASE("deadline: none means that a device may take as long as it likes") {
  const auto rig = std::make_unique<Rig>(WatchedDevice::PastDeadline::answer);
  rig->watched->set_timeout(0);
  rig->hang();
  const Rig::Request& request = rig->ask(Operation::flush);
  rig->advance(1000 * kTimeout_ns);
  CHECK_FALSE(request.answer.has_value());
  rig->watched->set_timeout(kTimeout_ns);  // holds for what is under way
  rig->advance(1);
  CHECK(request.answer == ETIMEDOUT);
}

TEST_CASE("deadline: a device that is left while it owes answers goes with the last of them") {
  const auto rig = std::make_unique<Rig>(WatchedDevice::PastDeadline::answer);
  AlignedBuffer bytes(4096);
  rig->hang();
  (void)rig->ask(Operation::write, bytes.span().data());
  rig->advance(2 * kTimeout_ns);
  WatchedDevice::leave(std::move(rig->watched));
  CHECK(HeldMemory::of_this_thread().any());
  rig->recover();
  rig->advance(10'000);
  CHECK_FALSE(HeldMemory::of_this_thread().any());
}
