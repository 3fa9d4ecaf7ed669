#include "../../../core/base/extent.h"

#include <doctest/doctest.h>

#include <random>

using namespace blockmirror;

TEST_CASE("an extent is widened to whole blocks, and one of whole blocks stays as it is") {
  CHECK(Extent{512, 512}.widened(4096) == Extent{0, 4096});
  CHECK(Extent{4095, 2}.widened(4096) == Extent{0, 8192});
  CHECK(Extent{4096, 8192}.widened(4096) == Extent{4096, 8192});
}

TEST_CASE("an extent is clipped at the limit, to nothing when it lies beyond") {
  CHECK(Extent{4096, 4096}.clipped(6000) == Extent{4096, 1904});
  CHECK(Extent{4096, 4096}.clipped(8192) == Extent{4096, 4096});
  CHECK(Extent{4096, 4096}.clipped(4096).empty());
  CHECK(Extent{8192, 4096}.clipped(4096).empty());
}

TEST_CASE("extents that touch do not overlap, but are one in a set") {
  CHECK_FALSE(Extent{0, 10}.overlaps({10, 10}));
  ExtentSet set;
  set.add({0, 10});
  set.add({20, 10});
  CHECK(set.extents().size() == 2);
  set.add({10, 10});
  REQUIRE(set.extents().size() == 1);
  CHECK(set.extents()[0] == Extent{0, 30});
}

TEST_CASE("removing from the middle of an extent leaves both of its ends") {
  ExtentSet set;
  set.add({0, 100});
  set.remove({40, 20});
  REQUIRE(set.extents().size() == 2);
  CHECK(set.extents()[0] == Extent{0, 40});
  CHECK(set.extents()[1] == Extent{60, 40});
  CHECK(set.bytes() == 80);
}

TEST_CASE("an empty extent neither adds nor removes") {
  ExtentSet set;
  set.add({5, 0});
  CHECK(set.empty());
  set.add({0, 10});
  set.remove({5, 0});
  CHECK(set.extents() == std::vector<Extent>{{0, 10}});
}

TEST_CASE("a set contains only what lies inside one extent") {
  ExtentSet set;
  set.add({10, 10});
  set.add({30, 10});
  CHECK(set.contains({10, 10}));
  CHECK(set.contains({12, 3}));
  CHECK_FALSE(set.contains({9, 2}));
  CHECK_FALSE(set.contains({19, 2}));
  CHECK_FALSE(set.contains({10, 30}));
  CHECK_FALSE(set.contains({0, 1}));
}

TEST_CASE("a set of extents agrees with a set of bits, whatever is added and removed") {
  std::mt19937 random(7);
  ExtentSet set;
  std::vector<bool> bits(200, false);
  for (int round = 0; round < 5000; ++round) {
    const Extent extent{random() % 190, random() % 10};
    const bool adds = random() % 2 == 0;
    adds ? set.add(extent) : set.remove(extent);
    for (std::uint64_t i = extent.position; i < extent.end(); ++i) bits[i] = adds;
    std::uint64_t count = 0;
    for (std::uint64_t i = 0; i < bits.size(); ++i) {
      count += bits[i] ? 1 : 0;
      REQUIRE(set.contains({i, 1}) == bits[i]);
    }
    REQUIRE(set.bytes() == count);
    for (std::size_t i = 1; i < set.extents().size(); ++i)
      REQUIRE(set.extents()[i - 1].end() < set.extents()[i].position);
  }
}
