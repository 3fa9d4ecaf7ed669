#include "../../host/copy_out.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

using namespace blockmirror;

namespace {

std::byte pattern(std::size_t index) { return static_cast<std::byte>((index * 2654435761u) >> 13); }

}  // namespace

TEST_CASE("copy out: every length around the limits and every alignment arrives whole, and nothing around it changes") {
  constexpr std::size_t kMargin = 128;
  const std::size_t lengths[] = {0,
                                 1,
                                 63,
                                 4096,
                                 kStreamedCopyLength - 1,
                                 kStreamedCopyLength,
                                 kStreamedCopyLength + 1,
                                 kStreamedCopyLength + 63,
                                 kStreamedCopyLength + 64,
                                 1024 * 1024};
  std::vector<std::byte> source(1024 * 1024 + 2 * kMargin), target(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) source[i] = pattern(i);
  constexpr std::byte kUntouched{0xa5};
  for (const std::size_t length : lengths) {
    for (const std::size_t shift : {0u, 1u, 15u, 16u, 48u, 63u}) {
      for (const std::size_t from : {0u, 1u, 16u}) {
        CAPTURE(length);
        CAPTURE(shift);
        CAPTURE(from);
        std::fill(target.begin(), target.end(), kUntouched);
        const std::size_t at = kMargin + shift;
        copy_out(target.data() + at, source.data() + from, length);
        CHECK(std::equal(target.begin() + at, target.begin() + at + length, source.begin() + from));
        CHECK(std::all_of(target.begin(), target.begin() + at, [&](std::byte b) { return b == kUntouched; }));
        CHECK(std::all_of(target.begin() + at + length, target.end(), [&](std::byte b) { return b == kUntouched; }));
      }
    }
  }
}
