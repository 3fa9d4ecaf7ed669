#include "../../../core/log/granularity.h"

#include <doctest/doctest.h>

using namespace blockmirror;

namespace {

constexpr std::uint64_t kMebibyte = 1024 * 1024;
const BlockSet kNothing;

}  // namespace

TEST_CASE("a first touch covers exactly what it writes, however much room there is") {
  const Granularity granularity(64 * kMebibyte);
  CHECK(granularity.widen(BlockSet::of(7, 2), kNothing, 0, 0) == BlockSet::of(7, 2));
}

TEST_CASE("while there is room the second write of a region covers a wide piece") {
  const Granularity granularity(64 * kMebibyte);
  CHECK(granularity.widen(BlockSet::of(7, 2), kNothing, 1, 0) == BlockSet::all());
}

TEST_CASE("when half of the budget is used only a hot region is covered wide") {
  const Granularity granularity(64 * kMebibyte);
  const std::uint64_t half = 32 * kMebibyte / kIntentBlockLength;
  CHECK(granularity.widen(BlockSet::of(7, 2), kNothing, 1, half) == BlockSet::of(7, 2));
  CHECK(granularity.widen(BlockSet::of(7, 2), kNothing, 7, half) == BlockSet::of(7, 2));
  CHECK(granularity.widen(BlockSet::of(7, 2), kNothing, 8, half) == BlockSet::all());
}

TEST_CASE("what is covered already is not asked for again") {
  const Granularity granularity(64 * kMebibyte);
  CHECK(granularity.widen(BlockSet::of(0, 4), BlockSet::of(0, 2), 0, 0) == BlockSet::of(2, 2));
  CHECK(granularity.widen(BlockSet::of(0, 4), BlockSet::all(), 9, 0).empty());
}

TEST_CASE("a piece is at most a 64th of the budget, but at least one block and at most a region") {
  CHECK(Granularity(kMebibyte).coarse_blocks() == 4);
  CHECK(Granularity(4096).coarse_blocks() == 1);
  CHECK(Granularity(1024 * kMebibyte).coarse_blocks() == kIntentBitmapBlocks);
  const Granularity small(kMebibyte);
  CHECK(small.widen(BlockSet::of(5, 1), kNothing, 100, 0) == BlockSet::of(4, 4));
}

TEST_CASE("widened pieces hold the need wherever it lies") {
  const Granularity granularity(2 * kMebibyte);
  for (unsigned first = 0; first < kIntentBitmapBlocks; ++first) {
    for (unsigned count : {1u, 3u, 9u, 40u}) {
      if (first + count > kIntentBitmapBlocks) continue;
      for (std::uint32_t touches : {0u, 2u, 8u})
        REQUIRE(
            granularity.widen(BlockSet::of(first, count), kNothing, touches, 0).contains(BlockSet::of(first, count)));
    }
  }
}
