// A slave's map on the log: what is written is what another opening reads, through power losses, torn writes and damage.
#include "../../../core/images/durable_map.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "../../../core/base/limits.h"
#include "../../../devices/simulated/simulated_device.h"
#include "../../support/format_samples.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr std::uint64_t kPlace = 1024 * 1024;                                       // of the slot on the log
constexpr MapShape kShape{std::uint64_t{kMapSectorUnits} * 4096 * 40 + 512, 4096};  // 41 sectors
constexpr std::uint64_t kReach = std::uint64_t{kMapSectorUnits} * 4096;             // of a sector, bytes

class Rig {
 public:
  Rig() : log(runtime, 2 * kPlace), debt(kShape.size, kShape.unit) {
    place.identity.log_uuid = uuid_of(1);
    place.identity.image_uuid = uuid_of(2);
    place.identity.image = 1;
    place.identity.map_id = uuid_of(3);
    place.shape = kShape;
    place.position = kPlace;
    place.incarnation = uuid_of(4);
    std::vector<std::byte> blank(kShape.sectors() * kMapSectorLength);
    for (std::uint64_t sector = 0; sector < kShape.sectors(); ++sector) {
      encode_blank_map_sector(place.identity.log_uuid, 1, sector,
                              std::span(blank).subspan(sector * kMapSectorLength, kMapSectorLength));
    }
    REQUIRE(run(format(blank)) == 0);
  }

  template <typename T>
  T run(Task<T> task) {
    std::optional<T> result;
    spawn(keep(std::move(task), result));
    REQUIRE(runtime.run_until([&] { return result.has_value(); }));
    return *result;
  }
  std::unique_ptr<DurableMap> make(bool fresh) {
    return std::make_unique<DurableMap>(runtime, log, buffers, place, fresh);
  }
  // What another opening finds.
  Debt read(bool needed = true) {
    Debt found(kShape.size, kShape.unit);
    const auto map = make(false);
    run(loading(*map, needed, found));
    return found;
  }

  SimulatedRuntime runtime{7};
  SimulatedDevice log;
  MapBuffers buffers;
  DurableMap::Place place;
  Debt debt;

 private:
  template <typename T>
  static Task<void> keep(Task<T> task, std::optional<T>& into) {
    into = co_await std::move(task);
  }
  Task<int> format(std::span<const std::byte> blank) {
    co_return co_await log.write(kPlace + kMapHeaderArea, blank, true);
  }
  static Task<bool> loading(DurableMap& map, bool needed, Debt& into) {
    co_await map.load(needed, into);
    co_return true;
  }
};

std::vector<Extent> all_of(const Debt& debt) {
  std::vector<Extent> extents;
  for (Extent extent = debt.next(0, kShape.size); !extent.empty(); extent = debt.next(extent.end(), kShape.size))
    extents.push_back(extent);
  return extents;
}

}  // namespace

TEST_CASE("map: what was written is what another opening reads") {
  Rig rig;
  rig.debt.owe({4096, 8192});
  rig.debt.owe({kReach - 4096, 8192});
  rig.debt.owe({kShape.size - 1, 1});
  const auto map = rig.make(true);
  REQUIRE(rig.run(map->write(rig.debt)).ok());
  CHECK_FALSE(rig.debt.has_changes());
  CHECK(all_of(rig.read()) == all_of(rig.debt));

  rig.debt.owe({9 * kReach, kReach});
  rig.debt.pay({4096, 8192});
  REQUIRE(rig.run(map->write(rig.debt)).ok());
  CHECK(all_of(rig.read()) == all_of(rig.debt));
}

TEST_CASE("map: one that was read goes on where it stood") {
  Rig rig;
  rig.debt.owe({0, 4096});
  REQUIRE(rig.run(rig.make(true)->write(rig.debt)).ok());
  const auto map = rig.make(false);
  Debt later(kShape.size, kShape.unit);
  later.owe({kRegionLength, 4096});
  rig.run([](DurableMap& of, Debt& into) -> Task<bool> {
    co_await of.load(true, into);
    co_return true;
  }(*map, later));
  CHECK(later.bytes() == 8192);
  REQUIRE(rig.run(map->write(later)).ok());
  CHECK(all_of(rig.read()) == all_of(later));
}

TEST_CASE("map: one that was not begun is nothing while the tail stands, and everything once it has passed") {
  Rig rig;
  CHECK(rig.read(false).owes_nothing());
  CHECK(rig.read(true).owed_from() == 0);
  CHECK(rig.read(true).owes_everything());
}

TEST_CASE("map: one of an earlier fracture says nothing about this one") {
  Rig rig;
  rig.debt.owe({0, 5 * kReach});
  REQUIRE(rig.run(rig.make(true)->write(rig.debt)).ok());
  rig.place.identity.map_id = uuid_of(9);
  CHECK(rig.read(true).owes_everything());
  Debt fresh(kShape.size, kShape.unit);
  fresh.owe({3 * kReach, 4096});
  REQUIRE(rig.run(rig.make(true)->write(fresh)).ok());
  CHECK(all_of(rig.read()) == all_of(fresh));
}

TEST_CASE("map: a header is begun though nothing is owed yet, so that a later tail finds it") {
  Rig rig;
  REQUIRE(rig.run(rig.make(true)->write(rig.debt)).ok());
  CHECK(rig.read(true).owes_nothing());
}

TEST_CASE("map: a sector that is damaged, or cannot be read, owes all that it reaches and no more") {
  Rig rig;
  rig.debt.owe({0, 4096});
  REQUIRE(rig.run(rig.make(true)->write(rig.debt)).ok());
  rig.log.content()[kPlace + MapShape::offset_of(4) + 9] ^= std::byte{1};
  CHECK(all_of(rig.read()).size() == 1 + kReach / kRegionLength);
  CHECK(rig.read().bytes() == 4096 + kReach);

  rig.log.decide = [](const DeviceRequest& request) {
    const std::uint64_t at = kPlace + MapShape::offset_of(16);
    const bool hit =
        request.operation == Operation::read && request.position <= at && at < request.position + request.length;
    return SimulatedDevice::Fate{hit ? EIO : 0, 1000, false};
  };
  CHECK(rig.read().bytes() == 4096 + 2 * kReach);
}

TEST_CASE("map: a header that cannot be read is everything") {
  Rig rig;
  REQUIRE(rig.run(rig.make(true)->write(rig.debt)).ok());
  rig.log.decide = [](const DeviceRequest&) { return SimulatedDevice::Fate{EIO, 1000, false}; };
  CHECK(rig.read(true).owes_everything());
}

TEST_CASE("map: sectors side by side go in one request, and no more of them are out than there are lanes") {
  Rig rig;
  rig.debt.owe({0, kShape.size});
  std::size_t most = 0;
  unsigned writes = 0;
  rig.log.on_submit = [&](const DeviceRequest& request) {
    writes += request.operation == Operation::write ? 1 : 0;
    most = std::max(most, rig.log.in_flight());
  };
  REQUIRE(rig.run(rig.make(true)->write(rig.debt)).ok());
  CHECK(writes == 2);  // the header, and 41 sectors
  CHECK(most <= kMapLanes);
}

TEST_CASE("map: an error of the log is told, and the map is not taken for written") {
  for (unsigned failing = 0; failing < 3; ++failing) {
    Rig rig;
    rig.debt.owe({0, 4096});
    unsigned seen = 0;
    rig.log.decide = [&](const DeviceRequest&) {
      return SimulatedDevice::Fate{seen++ == failing ? EIO : 0, 1000, false};
    };
    CHECK(rig.run(rig.make(true)->write(rig.debt)).code == Code::LOG_FAILED);
  }
}

TEST_CASE("map: a log of 4096-byte blocks is written in whole blocks") {
  Rig rig;
  rig.log.mutable_traits().logical_block_size = 4096;
  rig.log.mutable_traits().offset_alignment = 4096;
  bool aligned = true;
  rig.log.on_submit = [&](const DeviceRequest& request) {
    aligned = aligned && request.position % 4096 == 0 && request.length % 4096 == 0;
  };
  rig.debt.owe({3 * kReach, 4096});
  rig.debt.owe({11 * kReach, 4096});
  REQUIRE(rig.run(rig.make(true)->write(rig.debt)).ok());
  CHECK(all_of(rig.read()) == all_of(rig.debt));
  CHECK(aligned);
}

// A record passes the tail of the fracture only after write() has returned; so a power loss before it may lose what it
// wrote, and one after it nothing.
TEST_CASE("map: after a power loss it owes all that was written, whatever landed of a later pass") {
  std::mt19937_64 random(3);
  for (unsigned round = 0; round < 60; ++round) {
    Rig rig;
    const auto map = rig.make(true);
    for (unsigned i = 0; i < 20; ++i) rig.debt.owe({random() % (kShape.size - 8192), 1 + random() % 8192});
    REQUIRE(rig.run(map->write(rig.debt)).ok());
    const std::vector<Extent> held = all_of(rig.debt);
    Debt more(kShape.size, kShape.unit);
    for (unsigned i = 0; i < 20; ++i) rig.debt.owe({random() % (kShape.size - 8192), 1 + random() % 8192});
    rig.log.decide = [&](const DeviceRequest&) { return SimulatedDevice::Fate{0, 0, random() % 2 == 0}; };
    std::optional<Outcome> cut;
    spawn([](DurableMap& of, Debt& debt, std::optional<Outcome>& into) -> Task<void> {
      into = co_await of.write(debt);
    }(*map, rig.debt, cut));
    rig.runtime.run_until_quiet();
    rig.log.lose_power([&] { return random() % 2 == 0; });
    rig.log.decide = nullptr;
    rig.log.release_held();
    rig.runtime.run_until_quiet();
    rig.log.power_on();
    const Debt found = rig.read();
    for (const Extent& extent : held) CHECK(found.owes(extent));
    CHECK(found.bytes() <= rig.debt.bytes());
  }
}
