#include "../../../core/base/extent_gatherer.h"

#include <doctest/doctest.h>

#include <random>

#include "../../support/limited_address_space.h"

using namespace blockmirror;

namespace {

constexpr std::uint64_t kSize = std::uint64_t{1} << 40;
constexpr std::uint64_t kBlock = 4096;

ExtentSet gathered(ExtentGatherer& gatherer) {
  ExtentSet set;
  REQUIRE(gatherer.finish(set));
  return set;
}

}  // namespace

TEST_CASE("what is gathered is the union, as a sorted set makes it, as long as it is not too much") {
  std::mt19937_64 random(3);
  for (int round = 0; round < 20; ++round) {
    ExtentGatherer gatherer(kSize, 512, 1000);
    ExtentSet expected;
    for (int i = 0; i < 3000; ++i) {
      const Extent extent{random() % 900 * 512, (1 + random() % 3) * 512};
      REQUIRE(gatherer.add(extent));
      expected.add(extent);
    }
    const ExtentSet found = gathered(gatherer);
    REQUIRE(found.extents() == expected.extents());
    REQUIRE(found.bytes() == expected.bytes());
  }
}

TEST_CASE("too many extents become fewer that cover all of them, in whole blocks inside of the mirror") {
  std::mt19937_64 random(5);
  constexpr std::size_t kMost = 64;
  const std::uint64_t size = kSize - 512;
  ExtentGatherer gatherer(size, 512, kMost);
  std::vector<Extent> added;
  for (int i = 0; i < 5000; ++i) {
    added.push_back({random() % (kSize / 512) * 512, 512});
    REQUIRE(gatherer.add(added.back()));
  }
  const ExtentSet found = gathered(gatherer);
  CHECK(found.size() <= kMost);
  for (const Extent& extent : added) {
    const Extent inside = extent.clipped(size);
    if (!inside.empty()) REQUIRE(found.contains(inside));
  }
  for (const Extent& extent : found.extents()) {
    CHECK(extent.position % 512 == 0);
    CHECK(extent.length % 512 == 0);
    CHECK(extent.end() <= size);
  }
}

TEST_CASE("every second block of a mirror is told as the whole of it when it is too much") {
  ExtentGatherer gatherer(kSize, 512, 1000);
  for (std::uint64_t block = 0; block < 100'000; block += 2) REQUIRE(gatherer.add({block * kBlock, kBlock}));
  CHECK(gathered(gatherer).extents() == std::vector<Extent>{{0, 100'000 * kBlock}});
  CHECK(gatherer.grain() == 2 * kBlock);
}

TEST_CASE("with room for one extent alone, what is far apart is everything between") {
  ExtentGatherer gatherer(kSize, 512, 1);
  REQUIRE(gatherer.add({0, 512}));
  REQUIRE(gatherer.add({kSize - 512, 512}));
  CHECK(gathered(gatherer).extents() == std::vector<Extent>{{0, kSize}});
}

TEST_CASE("extents that begin inside of a block of the mirror are widened to whole ones") {
  ExtentGatherer gatherer(kSize, 4096);
  REQUIRE(gatherer.add({512, 512}));
  CHECK(gathered(gatherer).extents() == std::vector<Extent>{{0, 4096}});
}

TEST_CASE("positions near the largest there are do not wrap") {
  const std::uint64_t size = (std::uint64_t{1} << 63) - 512;
  ExtentGatherer gatherer(size, 512, 1);
  REQUIRE(gatherer.add({size - 512, 512}));
  REQUIRE(gatherer.add({size - 4096, 512}));
  REQUIRE(gatherer.add({0, 512}));
  CHECK(gathered(gatherer).extents() == std::vector<Extent>{{0, size}});
}

TEST_CASE("where there is no memory for more extents, they become coarser") {
  if (!test::LimitedAddressSpace::is_possible()) return;
  ExtentGatherer gatherer(kSize, 512);
  std::uint64_t count = 0;
  {
    const test::LimitedAddressSpace limited(2 * 1024 * 1024);
    for (; count < 500'000; ++count) REQUIRE(gatherer.add({count * 8 * kBlock, kBlock}));
  }
  const ExtentSet found = gathered(gatherer);
  CHECK(found.size() < kMostDebtExtents);
  for (std::uint64_t i = 0; i < count; ++i) REQUIRE(found.contains({i * 8 * kBlock, kBlock}));
}
