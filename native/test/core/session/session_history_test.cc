// What a mirror's life leaves in the history of its log.
#include <doctest/doctest.h>

#include <cerrno>
#include <string>
#include <vector>

#include "../../support/running_mirror.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

using Kinds = std::vector<EventKind>;

class Told : public SimulatedMirror {
 public:
  explicit Told(unsigned slaves = 1) : SimulatedMirror(options_of(slaves)) { keeps_history = true; }
  ~Told() {
    log->decide = nullptr;
    log->release_held();
    for (auto& image : images) image->decide = nullptr, image->release_held();
    if (session && session->phase() != Phase::closed) (void)run(session->close());
    session.reset();
    runtime.run_until_quiet();
  }
  static Options options_of(unsigned slaves) {
    Options options;
    options.slaves = slaves;
    return options;
  }
  std::vector<Event> events() {
    const std::span<const std::byte> area = log->durable().subspan(kHistoryPosition, kHistoryLength);
    return scan_history(session->superblock().log_uuid, area).events;
  }
  // Behind whatever happened.
  void settle() {
    bool reached = false;
    runtime.schedule(runtime.now_ns() + 10'000'000, [&] { reached = true; });
    REQUIRE(runtime.run_until([&] { return reached; }));
  }
  Kinds kinds_since(std::size_t first) {
    Kinds kinds;
    const std::vector<Event> all = events();
    for (std::size_t i = first; i < all.size(); ++i) kinds.push_back(all[i].kind);
    return kinds;
  }
  void fail_slave(unsigned slave) {
    images[slave]->decide = [](const DeviceRequest& request) {
      return request.operation == Operation::write ? error_fate() : SimulatedDevice::Fate{};
    };
    REQUIRE(write({0, 4096}, 1).ok());
    images[slave]->decide = nullptr;
  }
  void resync() {
    for (ResyncResult step;;) {
      ResyncOrder order;
      order.slaves = static_cast<ImageSet>(~1u);
      REQUIRE(run(session->resync(order, step)).ok());
      if (step.bytes_left == 0) return;
    }
  }
};

}  // namespace

TEST_SUITE("history of a session") {
  TEST_CASE("a mirror is created and closed, opened and closed") {
    Told mirror;
    REQUIRE(mirror.create().ok());
    REQUIRE(mirror.open().ok());
    REQUIRE(mirror.run(mirror.session->close()).ok());
    CHECK(mirror.kinds_since(0) == Kinds{EventKind::created, EventKind::closed, EventKind::opened, EventKind::closed});
    const std::vector<Event> events = mirror.events();
    CHECK(events[0].bytes == mirror.session->superblock().size);
    CHECK(events[2].open_count == 2);
    CHECK(events[2].bytes == 0);
  }

  TEST_CASE("an opening after a crash says what there was to copy, and which slave owes it") {
    Told mirror;
    REQUIRE(mirror.create().ok());
    REQUIRE(mirror.open().ok());
    REQUIRE(mirror.run(mirror.session->record_verify({{0, 4 * kMiB}, {0, 0}})).ok());
    REQUIRE(mirror.write({8192, 4096}, 1).ok());
    mirror.settle();
    const std::size_t before = mirror.events().size();
    mirror.crash(0);
    REQUIRE(mirror.open().ok());
    mirror.settle();
    CHECK(mirror.kinds_since(before) ==
          Kinds{EventKind::resync_begun, EventKind::opened, EventKind::resync_ended, EventKind::recovered});
    const std::vector<Event> events = mirror.events();
    CHECK(events[before].before == ImageState::in_sync);
    CHECK(events[before].after == ImageState::synchronizing);
    CHECK(events[before].bytes == 4096);
    CHECK(events[before + 1].bytes == 4096);
    CHECK(events[before + 2].after == ImageState::in_sync);
    CHECK(events[before + 2].bytes == 4096);
  }

  TEST_CASE("a fracture is told with its cause, errno and generation, and the return with what was copied") {
    Told mirror;
    REQUIRE(mirror.create().ok());
    REQUIRE(mirror.open().ok());
    mirror.settle();
    const std::size_t before = mirror.events().size();
    const std::uint64_t generation = mirror.session->superblock().generation.counter;
    mirror.fail_slave(1);
    mirror.settle();
    REQUIRE(mirror.run(mirror.session->rejoin(1, false)).ok());
    mirror.resync();
    mirror.settle();
    CHECK(mirror.kinds_since(before) == Kinds{EventKind::fractured, EventKind::resync_begun, EventKind::rejoined});
    const std::vector<Event> events = mirror.events();
    const Event &fractured = events[before], &begun = events[before + 1], &rejoined = events[before + 2];
    CHECK(fractured.image == 1);
    CHECK(fractured.name == "slave1");
    CHECK(fractured.before == ImageState::in_sync);
    CHECK(fractured.after == ImageState::failed);
    CHECK(fractured.cause == FractureCause::write_error);
    CHECK(fractured.error == EIO);
    CHECK(fractured.generation == generation + 1);
    CHECK(begun.before == ImageState::failed);
    CHECK(begun.bytes > 0);
    CHECK(rejoined.before == ImageState::synchronizing);
    CHECK(rejoined.after == ImageState::in_sync);
    CHECK(rejoined.cause == FractureCause::write_error);
    CHECK(rejoined.bytes > 0);
    CHECK(rejoined.generation == generation + 2);
  }

  TEST_CASE("nothing that is acknowledged waits for a history that hangs, a fracture neither") {
    Told mirror;
    REQUIRE(mirror.create().ok());
    REQUIRE(mirror.open().ok());
    mirror.settle();
    mirror.log->decide = [](const DeviceRequest& request) {
      const bool history = request.operation == Operation::write && request.position >= kHistoryPosition &&
                           request.position < kHistoryPosition + kHistoryLength;
      return history ? hold_fate() : SimulatedDevice::Fate{};
    };
    const std::uint64_t began_ns = mirror.runtime.now_ns();
    mirror.fail_slave(1);
    CHECK(mirror.write({65536, 4096}, 2, true).ok());
    CHECK(mirror.run(mirror.session->flush()).ok());
    CHECK(mirror.runtime.now_ns() - began_ns < 1'000'000'000);
    CHECK(mirror.log->held() == 1);
  }

  TEST_CASE("a close waits for a history that hangs no longer than for a request, and has sealed the log by then") {
    Told mirror;
    REQUIRE(mirror.create().ok());
    REQUIRE(mirror.open().ok());
    mirror.settle();
    mirror.session->set_device_timeout(2'000'000'000);
    mirror.log->decide = [](const DeviceRequest& request) {
      const bool history = request.operation == Operation::write && request.position >= kHistoryPosition &&
                           request.position < kHistoryPosition + kHistoryLength;
      return history ? hold_fate() : SimulatedDevice::Fate{};
    };
    const std::uint64_t began_ns = mirror.runtime.now_ns();
    CHECK(mirror.run(mirror.session->close()).ok());
    const std::uint64_t took_ns = mirror.runtime.now_ns() - began_ns;
    CHECK(took_ns >= 2'000'000'000);
    CHECK(took_ns < 2'100'000'000);
    CHECK(durable_superblock(*mirror.log).lifecycle == Lifecycle::sealed);
    CHECK(mirror.log->held() == 1);
  }

  TEST_CASE("a history that cannot be written stops nothing") {
    Told mirror;
    REQUIRE(mirror.create().ok());
    REQUIRE(mirror.open().ok());
    mirror.settle();
    const std::size_t before = mirror.events().size();
    mirror.log->decide = [](const DeviceRequest& request) {
      const bool history = request.operation == Operation::write && request.position >= kHistoryPosition &&
                           request.position < kHistoryPosition + kHistoryLength;
      return history ? error_fate() : SimulatedDevice::Fate{};
    };
    mirror.fail_slave(1);
    mirror.settle();
    CHECK(mirror.session->phase() == Phase::running);
    CHECK(mirror.session->snapshot().history_lost == 1);
    mirror.log->decide = nullptr;
    REQUIRE(mirror.run(mirror.session->close()).ok());
    CHECK(mirror.kinds_since(before) == Kinds{EventKind::closed});
    CHECK(mirror.events().back().sequence == before + 2);
  }

  TEST_CASE("a master that fails is told with its errno") {
    Told mirror;
    REQUIRE(mirror.create().ok());
    REQUIRE(mirror.open().ok());
    mirror.settle();
    const std::size_t before = mirror.events().size();
    mirror.images[0]->decide = [](const DeviceRequest& request) {
      return request.operation == Operation::write ? error_fate() : SimulatedDevice::Fate{};
    };
    CHECK(mirror.write({0, 4096}, 1).code == Code::MASTER_FAILED);
    (void)mirror.session->snapshot();
    (void)mirror.run(mirror.session->close());
    REQUIRE(mirror.kinds_since(before) == Kinds{EventKind::error});
    CHECK(mirror.events().back().image == 0);
    CHECK(mirror.events().back().error == EIO);
  }

  TEST_CASE("what a slave gave for the master, and what nobody could give, is told") {
    Told mirror;
    REQUIRE(mirror.create().ok());
    REQUIRE(mirror.open().ok());
    REQUIRE(mirror.run(mirror.session->record_verify({{0, 4 * kMiB}, {0, 0}})).ok());
    mirror.settle();
    const std::size_t before = mirror.events().size();
    bool broken = true;
    mirror.images[0]->decide = [&](const DeviceRequest& request) {
      if (request.operation == Operation::write) broken = false;
      return request.operation == Operation::read && broken ? error_fate() : SimulatedDevice::Fate{};
    };
    AlignedBuffer bytes(4096);
    REQUIRE(mirror.run(mirror.session->read({8192, 4096}, bytes.span())).ok());
    mirror.settle();
    REQUIRE(mirror.kinds_since(before) == Kinds{EventKind::repaired});
    CHECK(mirror.events().back().extent == Extent{8192, 4096});
    const auto unreadable = [](const DeviceRequest& request) {
      return request.operation == Operation::read ? error_fate() : SimulatedDevice::Fate{};
    };
    for (auto& image : mirror.images) image->decide = unreadable;
    CHECK(mirror.run(mirror.session->read({65536, 4096}, bytes.span())).code == Code::READ_FAILED);
    mirror.settle();
    REQUIRE(mirror.kinds_since(before + 1) == Kinds{EventKind::error});
    CHECK(mirror.events().back().extent == Extent{65536, 4096});
  }

  TEST_CASE("a verify is told for each slave, a policy with its new value") {
    Told mirror(2);
    REQUIRE(mirror.create(true).ok());
    REQUIRE(mirror.open().ok());
    mirror.settle();
    std::size_t before = mirror.events().size();
    REQUIRE(mirror.run(mirror.session->record_verify({{0, 4 * kMiB, 4 * kMiB}, {0, 0, 512}})).ok());
    mirror.settle();
    REQUIRE(mirror.kinds_since(before) == Kinds{EventKind::verified, EventKind::verified});
    CHECK(mirror.events().back().image == 2);
    CHECK(mirror.events().back().bytes == 512);
    CHECK(mirror.events().back().extent == Extent{0, 4 * kMiB});
    REQUIRE(mirror.run(mirror.session->close()).ok());
    before = mirror.events().size();
    mirror.new_session();
    REQUIRE(mirror.run(mirror.session->load_superblock()).ok());
    PolicyChange change;
    change.minimum_in_sync = 2;
    REQUIRE(mirror.run(mirror.session->set_policies(change)).ok());
    REQUIRE(mirror.run(mirror.session->close()).ok());
    REQUIRE(mirror.kinds_since(before) == Kinds{EventKind::policy_changed});
    CHECK(mirror.events().back().name == "minInSync");
    CHECK(mirror.events().back().bytes == 2);
  }

  TEST_CASE("the first write of an opening waits for no byte of the history") {
    Told mirror;
    REQUIRE(mirror.create().ok());
    mirror.log->decide = [](const DeviceRequest& request) {
      const bool history = request.operation != Operation::flush && request.position >= kHistoryPosition &&
                           request.position < kHistoryPosition + kHistoryLength;
      return history ? hold_fate() : SimulatedDevice::Fate{};
    };
    REQUIRE(mirror.open().ok());
    CHECK(mirror.write({0, 4096}, 1).ok());
    mirror.log->decide = nullptr;
    mirror.log->release_held();
  }

  TEST_CASE("reading it beside the mirror gives all that was told until then") {
    Told mirror;
    REQUIRE(mirror.create().ok());
    REQUIRE(mirror.open().ok());
    mirror.fail_slave(1);
    HistoryScan scan;
    REQUIRE(mirror.run(mirror.session->read_history(scan)).ok());
    REQUIRE_FALSE(scan.events.empty());
    CHECK(scan.events.back().kind == EventKind::fractured);
  }
}
