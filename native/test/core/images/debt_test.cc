// What a slave owes: exact to its unit, against a plain model, and nothing forgotten.
#include "../../../core/images/debt.h"

#include <doctest/doctest.h>

#include <random>

#include "../../../core/base/limits.h"

using namespace blockmirror;

namespace {

constexpr std::uint32_t kUnit = 4096;
// Two pages and a half, and a last unit that is short.
constexpr std::uint64_t kSize = std::uint64_t{Debt::kPageUnits} * kUnit * 5 / 2 + 512;

std::vector<Extent> all_of(const Debt& debt) {
  std::vector<Extent> extents;
  for (Extent extent = debt.next(0, kSize); !extent.empty(); extent = debt.next(extent.end(), kSize))
    extents.push_back(extent);
  return extents;
}

}  // namespace

TEST_CASE("a new debt owes nothing") {
  const Debt debt(kSize, kUnit);
  CHECK(debt.owes_nothing());
  CHECK(debt.bytes() == 0);
  CHECK_FALSE(debt.owes({0, kSize}));
  CHECK(debt.next(0, kSize).empty());
}

TEST_CASE("a byte owes its whole unit") {
  Debt debt(kSize, kUnit);
  debt.owe({kUnit + 1, 1});
  CHECK(all_of(debt) == std::vector<Extent>{{kUnit, kUnit}});
  CHECK(debt.owes({2 * kUnit - 512, 512}));
  CHECK_FALSE(debt.owes({2 * kUnit, 512}));
  CHECK(debt.bytes() == kUnit);
}

TEST_CASE("a copy of a part of a unit leaves it owed") {
  Debt debt(kSize, kUnit);
  debt.owe({0, 3 * kUnit});
  debt.pay({512, 3 * kUnit - 1024});
  CHECK(all_of(debt) == std::vector<Extent>{{0, kUnit}, {2 * kUnit, kUnit}});
}

TEST_CASE("the short unit at the end of the mirror is paid by a copy up to the end") {
  Debt debt(kSize, kUnit);
  debt.owe({kSize - 1, 1});
  CHECK(debt.bytes() == 512);
  debt.pay({kSize - 512, 512});
  CHECK(debt.owes_nothing());
}

TEST_CASE("what is owed next lies inside one region and is no longer than was asked for") {
  Debt debt(kSize, kUnit);
  debt.owe({kRegionLength - kUnit, 4 * kUnit});
  CHECK(debt.next(0, kSize) == Extent{kRegionLength - kUnit, kUnit});
  CHECK(debt.next(kRegionLength, 2 * kUnit) == Extent{kRegionLength, 2 * kUnit});
  CHECK(debt.next(kRegionLength + 512, kSize) == Extent{kRegionLength + 512, 3 * kUnit - 512});
}

TEST_CASE("everything is owed from a position on, and paid in order") {
  Debt debt(kSize, kUnit);
  debt.owe_everything();
  CHECK(debt.bytes() == kSize);
  CHECK(debt.owes({kSize - 512, 512}));
  debt.pay({kRegionLength, kRegionLength});
  CHECK(debt.owed_from() == 0);
  debt.pay({0, kRegionLength});
  CHECK(debt.owed_from() == kRegionLength);
  debt.owe({0, 512});
  CHECK(debt.bytes() == kSize - kRegionLength + kUnit);
  CHECK(debt.next(0, kSize) == Extent{0, kUnit});
  CHECK(debt.next(kUnit, kSize) == Extent{kRegionLength, kRegionLength});
  for (std::uint64_t at = kRegionLength; at < kSize; at += kRegionLength) debt.pay({at, kRegionLength});
  CHECK_FALSE(debt.owes_everything());
  CHECK(debt.bytes() == kUnit);
}

TEST_CASE("a page that was settled counts as changed again only when its bits change") {
  Debt debt(kSize, kUnit);
  debt.owe({0, kUnit});
  CHECK(debt.next_changed(0) == 0);
  debt.settle(0);
  CHECK_FALSE(debt.has_changes());
  debt.owe({512, 512});
  CHECK_FALSE(debt.has_changes());
  debt.pay({0, kUnit});
  CHECK(debt.next_changed(0) == 0);
}

TEST_CASE("what a map holds is added and is no change") {
  Debt debt(kSize, kUnit);
  debt.owe({0, kUnit});
  debt.settle(0);
  Debt::Page bits{};
  bits[0] = 3;
  debt.load(0, bits);
  debt.load(1, bits);
  CHECK(debt.bytes() == 4 * kUnit);
  CHECK_FALSE(debt.has_changes());
  CHECK(debt.owes({debt.reach(1).position + kUnit, 1}));
}

TEST_CASE("a new map needs every page that is not blank, and no other") {
  Debt debt(kSize, kUnit);
  debt.owe({0, kUnit});
  debt.owe(debt.reach(2));
  debt.pay({0, kUnit});
  debt.settle(2);
  debt.begin_map();
  CHECK(debt.next_changed(0) == 2);
}

TEST_CASE("a debt is what a plain model of units says, whatever is owed and paid") {
  std::mt19937_64 random(11);
  for (unsigned round = 0; round < 20; ++round) {
    Debt debt(kSize, kUnit);
    const std::uint64_t count = (kSize + kUnit - 1) / kUnit;
    std::vector<bool> model(count);
    for (unsigned step = 0; step < 200; ++step) {
      const std::uint64_t position = random() % kSize;
      const Extent extent = Extent{position, 1 + random() % (step % 3 == 0 ? kSize : 10 * kUnit)}.clipped(kSize);
      const bool owe = random() % 2 == 0;
      for (std::uint64_t unit = position / kUnit; unit <= (extent.end() - 1) / kUnit; ++unit) {
        const Extent whole = Extent{unit * kUnit, kUnit}.clipped(kSize);
        if (owe || extent.contains(whole)) model[unit] = owe;
      }
      owe ? debt.owe(extent) : debt.pay(extent);
    }
    std::uint64_t bytes = 0;
    for (std::uint64_t unit = 0; unit < count; ++unit) {
      const Extent whole = Extent{unit * kUnit, kUnit}.clipped(kSize);
      REQUIRE(debt.owes(whole) == model[unit]);
      bytes += model[unit] ? whole.length : 0;
    }
    CHECK(debt.bytes() == bytes);
    std::uint64_t told = 0;
    for (const Extent& extent : all_of(debt)) told += extent.length;
    CHECK(told == bytes);
  }
}

TEST_CASE("what is set aside is owed by itself, holds up nothing, and is what is not paid up to") {
  Debt debt(kSize, kUnit);
  debt.owe_everything();
  debt.pay({0, kRegionLength});
  debt.set_aside({5 * kRegionLength, kUnit});  // not next: nothing
  CHECK(debt.owed_from() == kRegionLength);
  debt.set_aside({kRegionLength, kUnit});
  debt.pay({kRegionLength + kUnit, kRegionLength - kUnit});
  CHECK(debt.owed_from() == 2 * kRegionLength);
  CHECK(debt.paid_to() == kRegionLength);
  CHECK(debt.owes({kRegionLength, 1}));
  debt.pay({kRegionLength, kUnit});
  CHECK(debt.paid_to() == 2 * kRegionLength);
}
