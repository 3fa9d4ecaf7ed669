// Events written to the ring of history: in order, one at a time, durable, and never in anybody's way.
#include "../../../core/log/history_writer.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../../../core/base/headroom.h"
#include "../../../core/images/watched_device.h"
#include "../../../devices/simulated/simulated_device.h"

using namespace blockmirror;

namespace {

constexpr std::uint64_t kSecond_ns = 1'000'000'000;
const Uuid kLog{{std::byte{1}, std::byte{2}, std::byte{3}}};

SimulatedDevice::Fate hold() { return {0, 0, true}; }

struct Rig {
  explicit Rig(std::uint32_t unit = 512) {
    device.mutable_traits().logical_block_size = device.mutable_traits().offset_alignment = unit;
    device.on_submit = [this](const DeviceRequest& request) {
      if (request.operation == Operation::write) writes.push_back(request);
    };
    make_writer();
  }
  ~Rig() {
    device.decide = nullptr;
    device.release_held();
    runtime.run_until_quiet();
    writer.reset();
    if (watched) WatchedDevice::leave(std::move(watched));
  }
  void make_writer() {
    writer = std::make_unique<HistoryWriter>(runtime);
    writer->keep();
  }
  void begin(bool blank = false) { writer->begin(device, kLog, blank); }
  // Until nothing happens any more but timers of the far future.
  void settle(std::uint64_t ns = kSecond_ns) {
    bool reached = false;
    runtime.schedule(runtime.now_ns() + ns, [&] { reached = true; });
    REQUIRE(runtime.run_until([&] { return reached; }));
  }
  // How long it took, ms.
  std::uint64_t drain(std::uint64_t timeout_ns = kSecond_ns) {
    const std::uint64_t began_ns = runtime.now_ns();
    bool ended = false;
    const auto wait = [](HistoryWriter& of, std::uint64_t ns, bool& done) -> Task<void> {
      co_await of.drain(ns);
      done = true;
    };
    spawn(wait(*writer, timeout_ns, ended));
    REQUIRE(runtime.run_until([&] { return ended; }));
    return (runtime.now_ns() - began_ns) / 1'000'000;
  }
  void tell(const std::string& name) {
    Event event;
    event.kind = EventKind::fractured;
    event.image = 1;
    event.name = name;
    writer->tell(event);
  }
  void put(std::uint64_t sequence, const std::string& name) {
    Event event;
    event.sequence = sequence;
    event.at_ms = 1;
    event.name = name;
    encode_event(kLog, event, device.content().subspan(position_of(sequence), kEventLength));
  }
  static std::uint64_t position_of(std::uint64_t sequence) {
    return kHistoryPosition + sequence % kEventSlots * kEventLength;
  }
  HistoryScan scan() { return scan_history(kLog, device.content().subspan(kHistoryPosition, kHistoryLength)); }
  std::vector<std::string> names() {
    std::vector<std::string> names;
    for (const Event& event : scan().events) names.push_back(event.name);
    return names;
  }
  std::vector<std::uint64_t> sequences() {
    std::vector<std::uint64_t> sequences;
    for (const Event& event : scan().events) sequences.push_back(event.sequence);
    return sequences;
  }

  SimulatedRuntime runtime{1};
  SimulatedDevice device{runtime, 2 * 1024 * 1024};
  std::unique_ptr<WatchedDevice> watched;
  std::vector<DeviceRequest> writes;
  std::unique_ptr<HistoryWriter> writer;
};

using Names = std::vector<std::string>;
using Sequences = std::vector<std::uint64_t>;

}  // namespace

TEST_SUITE("history writer") {
  TEST_CASE("writes what was told before it began, in that order, each durably and in a sector of its own") {
    Rig rig;
    rig.tell("one");
    rig.tell("two");
    rig.settle();
    CHECK(rig.writes.empty());
    rig.begin();
    rig.tell("three");
    rig.settle();
    CHECK(rig.names() == Names{"one", "two", "three"});
    CHECK(rig.sequences() == Sequences{1, 2, 3});
    REQUIRE(rig.writes.size() == 3);
    for (const DeviceRequest& write : rig.writes) {
      CHECK(write.durable);
      CHECK(write.length == kEventLength);
    }
  }

  TEST_CASE("keeps nothing and reads nothing unless it was asked to") {
    Rig rig;
    rig.writer = std::make_unique<HistoryWriter>(rig.runtime);
    rig.tell("one");
    rig.begin();
    rig.settle();
    CHECK(rig.writes.empty());
    CHECK_FALSE(rig.writer->has_begun());
  }

  TEST_CASE("never writes from inside of whoever tells") {
    Rig rig;
    rig.begin(true);
    rig.tell("one");
    CHECK(rig.writes.empty());
  }

  TEST_CASE("does not read the area of a log that was just made") {
    Rig rig;
    unsigned reads = 0;
    rig.device.on_submit = [&](const DeviceRequest& request) { reads += request.operation == Operation::read; };
    rig.begin(true);
    rig.tell("one");
    rig.settle();
    CHECK(reads == 0);
    CHECK(rig.names() == Names{"one"});
  }

  TEST_CASE("goes on behind the newest event that is there") {
    Rig rig;
    rig.put(7, "seven");
    rig.put(8, "eight");
    rig.begin();
    rig.tell("nine");
    rig.settle();
    CHECK(rig.sequences() == Sequences{7, 8, 9});
  }

  TEST_CASE("writes over the oldest when the ring is full") {
    Rig rig;
    for (std::uint64_t sequence = 1; sequence <= kEventSlots; ++sequence) rig.put(sequence, "old");
    rig.begin();
    rig.tell("one");
    rig.tell("two");
    rig.settle();
    const HistoryScan scan = rig.scan();
    REQUIRE(scan.events.size() == kEventSlots);
    CHECK(scan.events.front().sequence == 3);
    CHECK(scan.events.back().sequence == kEventSlots + 2);
    CHECK(scan.events.back().name == "two");
  }

  TEST_CASE("has one write under way at a time") {
    Rig rig;
    rig.begin(true);
    rig.device.decide = [](const DeviceRequest&) { return hold(); };
    rig.tell("one");
    rig.tell("two");
    rig.settle();
    CHECK(rig.device.in_flight() == 1);
    rig.device.release_held();
    rig.settle();
    CHECK(rig.writes.size() == 2);
  }

  TEST_CASE("writes whole blocks of a log of 4 KiB blocks, with the events that stand beside") {
    Rig rig(4096);
    for (std::uint64_t sequence : {8, 9, 10, 11}) rig.put(sequence, "old" + std::to_string(sequence));
    rig.begin();
    rig.tell("new12");
    rig.tell("new13");
    rig.settle();
    REQUIRE(rig.writes.size() == 2);
    CHECK(rig.writes[0].length == 4096);
    CHECK(rig.writes[0].position % 4096 == 0);
    const Names names = rig.names();
    CHECK(names == Names{"old8", "old9", "old10", "old11", "new12", "new13"});
  }

  TEST_CASE("leaves out as many sequences as there are slots that cannot be read") {
    Rig rig;
    rig.put(5, "five");
    const std::uint64_t lost = Rig::position_of(8) / 4096 * 4096;  // slots 8 to 15
    rig.device.decide = [&](const DeviceRequest& request) {
      const bool meets = request.operation == Operation::read && request.position < lost + 4096 &&
                         request.position + request.length > lost;
      return meets ? SimulatedDevice::Fate{EIO, 1000, false} : SimulatedDevice::Fate{};
    };
    rig.begin();
    rig.tell("next");
    rig.settle();
    CHECK(rig.sequences() == Sequences{5, 14});
  }

  TEST_CASE("counts an event that could not be written, and a gap says so") {
    Rig rig;
    rig.begin(true);
    unsigned asked = 0;
    rig.device.decide = [&](const DeviceRequest&) {
      return ++asked == 2 ? SimulatedDevice::Fate{EIO, 1000, false} : SimulatedDevice::Fate{};
    };
    for (const char* name : {"one", "two", "three"}) rig.tell(name);
    rig.settle();
    CHECK(rig.sequences() == Sequences{1, 3});
    CHECK(rig.writer->lost() == 1);
    CHECK_FALSE(rig.writer->has_given_up());
  }

  TEST_CASE("gives up after three failures in a row, and nobody waits for it") {
    Rig rig;
    rig.begin(true);
    rig.device.decide = [](const DeviceRequest&) { return SimulatedDevice::Fate{EIO, 1000, false}; };
    for (const char* name : {"one", "two", "three", "four", "five"}) rig.tell(name);
    rig.settle();
    CHECK(rig.writer->has_given_up());
    CHECK(rig.writer->lost() == 5);
    CHECK(rig.drain() == 0);
    rig.tell("six");
    CHECK(rig.writer->lost() == 6);
    CHECK(rig.writes.size() == 3);
  }

  TEST_CASE("what does not fit in the queue is lost, counted, and leaves a gap") {
    Rig rig;
    rig.begin(true);
    rig.device.decide = [](const DeviceRequest&) { return hold(); };
    for (std::size_t i = 0; i < HistoryWriter::kQueuedEvents + 3; ++i) rig.tell("kept");
    rig.device.decide = nullptr;
    rig.settle();
    rig.device.release_held();
    rig.settle();
    rig.tell("last");
    rig.settle();
    CHECK(rig.writer->lost() == 3);
    const Sequences sequences = rig.sequences();
    REQUIRE(sequences.size() == HistoryWriter::kQueuedEvents + 1);
    CHECK(sequences.back() == HistoryWriter::kQueuedEvents + 4);
  }

  TEST_CASE("a drain waits for what was told, and no longer than it may") {
    Rig rig;
    rig.begin(true);
    rig.device.decide = [](const DeviceRequest&) { return hold(); };
    rig.tell("one");
    CHECK(rig.drain(3 * kSecond_ns) == 3000);
    rig.device.decide = nullptr;
    rig.device.release_held();
    CHECK(rig.drain(3 * kSecond_ns) < 10);
    CHECK(rig.names() == Names{"one"});
  }

  TEST_CASE("leaves a write that the log has not answered with its memory to the log") {
    Rig rig;
    rig.watched = std::make_unique<WatchedDevice>(rig.runtime, rig.device, WatchedDevice::PastDeadline::tell, nullptr);
    rig.writer->begin(*rig.watched, kLog, true);
    rig.device.decide = [](const DeviceRequest&) { return hold(); };
    rig.tell("one");
    rig.settle();
    rig.writer.reset();
    WatchedDevice::leave(std::move(rig.watched));
    rig.device.release_held();
    rig.settle();
    CHECK(rig.names() == Names{"one"});
    rig.make_writer();
  }

  TEST_CASE("begins no write while it is held back, and waits for the one under way") {
    Rig rig;
    rig.begin(true);
    rig.writer->hold_back();
    rig.tell("one");
    rig.settle();
    CHECK(rig.writes.empty());
    rig.writer->go_on();
    rig.settle();
    CHECK(rig.names() == Names{"one"});
    rig.device.decide = [](const DeviceRequest&) { return hold(); };
    rig.tell("two");
    rig.tell("three");
    rig.settle();
    bool landed = false;
    const auto wait = [](HistoryWriter& of, bool& done) -> Task<void> {
      co_await of.landed();
      done = true;
    };
    rig.writer->hold_back();
    spawn(wait(*rig.writer, landed));
    rig.settle();
    CHECK_FALSE(landed);
    rig.device.decide = nullptr;
    rig.device.release_held();
    rig.settle();
    CHECK(landed);
    CHECK(rig.names() == Names{"one", "two"});
    rig.writer->go_on();
    rig.settle();
    CHECK(rig.names() == Names{"one", "two", "three"});
  }

  TEST_CASE("gathers repairs: the first at once, the others of a minute as one") {
    Rig rig;
    rig.begin(true);
    const auto repair = [&](std::uint64_t position) {
      Event event;
      event.kind = EventKind::repaired;
      event.image = 0;
      event.extent = {position, 4096};
      event.bytes = 4096;
      rig.writer->gather(event);
    };
    repair(40960);
    rig.settle();
    for (std::uint64_t i = 0; i < 1000; ++i) repair(8192 + i * 4096);
    rig.settle();
    CHECK(rig.scan().events.size() == 1);
    rig.settle(2 * HistoryWriter::kGatherPeriod_ns);
    HistoryScan scan = rig.scan();
    REQUIRE(scan.events.size() == 2);
    CHECK(scan.events[1].bytes == 1000 * 4096);
    CHECK(scan.events[1].extent == Extent{8192, 1000 * 4096});
    // A period in which nothing came has ended: the next is told at once.
    rig.settle(2 * HistoryWriter::kGatherPeriod_ns);
    repair(0);
    repair(4096);
    rig.settle();
    CHECK(rig.scan().events.size() == 3);
    rig.drain();  // as a close does
    scan = rig.scan();
    REQUIRE(scan.events.size() == 4);
    CHECK(scan.events[3].extent == Extent{4096, 4096});
  }

  TEST_CASE("makes fit what no reader would accept") {
    Rig rig;
    rig.begin(true);
    Event event;
    event.name = std::string(200, 'x');
    event.error = 100'000;
    event.generation = event.open_count = event.bytes = event.duration_ms = ~std::uint64_t{0};
    event.extent = {~std::uint64_t{0}, 1};
    rig.writer->tell(event);
    rig.tell("a\nb");
    rig.settle();
    const HistoryScan scan = rig.scan();
    REQUIRE(scan.events.size() == 2);
    CHECK(scan.events[0].name == std::string(kEventNameLength, 'x'));
    CHECK(scan.events[0].error == 0);
    CHECK(scan.events[0].extent.empty());
    CHECK(scan.events[0].at_ms > 0);
    CHECK(scan.events[1].name.empty());
  }

  TEST_CASE("ends where the sequences end") {
    Rig rig;
    rig.put(kLargestSetting, "last");
    rig.begin();
    rig.tell("one more");
    rig.settle();
    CHECK(rig.writer->has_given_up());
    CHECK(rig.names() == Names{"last"});
  }
}
