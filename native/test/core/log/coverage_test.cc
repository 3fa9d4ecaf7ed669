#include "../../../core/log/coverage.h"

#include <doctest/doctest.h>

#include <random>

using namespace blockmirror;

namespace {

BlockSet random_blocks(std::mt19937_64& random) {
  BlockSet set;
  for (unsigned runs = static_cast<unsigned>(random() % 8); runs > 0; --runs) {
    const unsigned first = static_cast<unsigned>(random() % kIntentBitmapBlocks);
    set = set | BlockSet::of(first, 1 + static_cast<unsigned>(random()) % (kIntentBitmapBlocks - first));
  }
  if (random() % 4 == 0) set.words[random() % 4] &= random();
  return set;
}

std::vector<std::uint64_t> order_of(const Coverage& coverage) {
  std::vector<std::uint64_t> sequences;
  for (const Region* region = coverage.oldest(); region != nullptr; region = region->newer)
    sequences.push_back(region->sequence);
  return sequences;
}

}  // namespace

TEST_CASE("a set of blocks counts and finds what it was made of, across words") {
  for (unsigned first = 0; first < kIntentBitmapBlocks; first += 7) {
    for (unsigned count = 1; first + count <= kIntentBitmapBlocks; count += 13) {
      const BlockSet set = BlockSet::of(first, count);
      REQUIRE(set.count() == count);
      REQUIRE(set.runs() == 1);
      REQUIRE(set.test(first));
      REQUIRE(set.test(first + count - 1));
      if (first > 0) REQUIRE_FALSE(set.test(first - 1));
      if (first + count < kIntentBitmapBlocks) REQUIRE_FALSE(set.test(first + count));
      REQUIRE(BlockSet::all().contains(set));
      REQUIRE((BlockSet::all() - set).count() == kIntentBitmapBlocks - count);
    }
  }
  CHECK(BlockSet{}.empty());
  CHECK(BlockSet::all().count() == kIntentBitmapBlocks);
}

TEST_CASE("runs are counted across the borders of words") {
  CHECK((BlockSet::of(62, 4) | BlockSet::of(100, 1) | BlockSet::of(127, 2)).runs() == 3);
  CHECK(BlockSet{}.runs() == 0);
}

TEST_CASE("blocks of an extent are all that it touches") {
  CHECK(Coverage::blocks_of({4096 * 3 + 512, 512}) == BlockSet::of(3, 1));
  CHECK(Coverage::blocks_of({4096 * 3 + 512, 4096}) == BlockSet::of(3, 2));
  const std::uint64_t region = 5 * 1024 * 1024;
  CHECK(Coverage::blocks_of({region, 1024 * 1024}) == BlockSet::all());
}

TEST_CASE("any set of blocks is stated exactly, in at most three units") {
  std::mt19937_64 random(5);
  for (int round = 0; round < 2000; ++round) {
    const BlockSet blocks = random_blocks(random);
    std::vector<Intent> intents;
    append_intents(9, blocks, intents);
    unsigned units = 0;
    ExtentSet covered;
    for (const Intent& intent : intents) {
      units += intent.units();
      add_covered(intent, covered);
    }
    REQUIRE(units == intent_units(blocks));
    REQUIRE(units <= 3);
    REQUIRE(covered.bytes() == std::uint64_t{blocks.count()} * kIntentBlockLength);
    for (const Extent& extent : covered.extents()) {
      REQUIRE(extent.position / (1024 * 1024) == 9);
      REQUIRE((Coverage::blocks_of(extent) - blocks).empty());
    }
  }
}

TEST_CASE("a region is found until nothing refers to it, and its memory is used again") {
  Coverage coverage;
  Region& region = coverage.find_or_add(42);
  CHECK(coverage.find(42) == &region);
  region.pins = 1;
  coverage.release_if_idle(region);
  CHECK(coverage.find(42) == &region);
  region.pins = 0;
  coverage.release_if_idle(region);
  CHECK(coverage.find(42) == nullptr);
  CHECK(coverage.regions() == 0);
  CHECK(&coverage.find_or_add(43) == &region);
  CHECK(coverage.find(43)->covered.empty());
}

TEST_CASE("thousands of regions are all found, and all can be given back") {
  Coverage coverage;
  for (std::uint64_t index = 0; index < 5000; ++index) coverage.find_or_add(index * 977).pins = 1;
  CHECK(coverage.regions() == 5000);
  for (std::uint64_t index = 0; index < 5000; ++index) {
    Region* region = coverage.find(index * 977);
    REQUIRE(region != nullptr);
    REQUIRE(region->index == index * 977);
    region->pins = 0;
    coverage.release_if_idle(*region);
  }
  CHECK(coverage.regions() == 0);
}

TEST_CASE("durable regions stand in the order of their newest statement, though records become durable out of order") {
  Coverage coverage;
  coverage.restated(coverage.find_or_add(1), 10);
  coverage.restated(coverage.find_or_add(2), 13);
  coverage.restated(coverage.find_or_add(3), 11);
  coverage.restated(coverage.find_or_add(4), 12);
  CHECK(order_of(coverage) == std::vector<std::uint64_t>{10, 11, 12, 13});
  coverage.restated(coverage.find_or_add(1), 14);
  CHECK(order_of(coverage) == std::vector<std::uint64_t>{11, 12, 13, 14});
  coverage.unlist(*coverage.find(4));
  CHECK(order_of(coverage) == std::vector<std::uint64_t>{11, 13, 14});
}

TEST_CASE("an older statement that becomes durable late does not move a region back") {
  Coverage coverage;
  coverage.restated(coverage.find_or_add(1), 20);
  coverage.restated(coverage.find_or_add(1), 19);
  CHECK(order_of(coverage) == std::vector<std::uint64_t>{20});
}

TEST_CASE("a random mix of statements and removals keeps the list in order, with no region lost") {
  std::mt19937_64 random(11);
  Coverage coverage;
  std::vector<std::uint64_t> newest(40, 0);
  for (std::uint64_t sequence = 1; sequence < 3000; ++sequence) {
    const std::uint64_t index = random() % newest.size();
    if (random() % 5 == 0 && newest[index] != 0) {
      coverage.unlist(*coverage.find(index));
      newest[index] = 0;
    } else {
      const std::uint64_t jittered = sequence + random() % 4;
      coverage.restated(coverage.find_or_add(index), jittered);
      newest[index] = std::max(newest[index], jittered);
    }
    std::vector<std::uint64_t> expected;
    for (std::uint64_t value : newest) {
      if (value != 0) expected.push_back(value);
    }
    std::sort(expected.begin(), expected.end());
    REQUIRE(order_of(coverage) == expected);
  }
}
