#include "../../devices/io_uring/scarcity.h"

#include <doctest/doctest.h>

using namespace blockmirror;

namespace {

constexpr std::uint64_t kLimit_ns = 1'000;

}  // namespace

TEST_CASE("scarcity: what waits without a break is over the limit when that has passed, and not before") {
  Scarcity scarcity(kLimit_ns);
  CHECK_FALSE(scarcity.is_over_limit(5'000, true));
  CHECK_FALSE(scarcity.is_over_limit(5'999, true));
  CHECK(scarcity.is_over_limit(6'000, true));
}

TEST_CASE("scarcity: after the limit the next requests have all of it again") {
  Scarcity scarcity(kLimit_ns);
  CHECK_FALSE(scarcity.is_over_limit(0, true));
  CHECK(scarcity.is_over_limit(1'000, true));
  CHECK_FALSE(scarcity.is_over_limit(1'001, true));
  CHECK_FALSE(scarcity.is_over_limit(2'000, true));
  CHECK(scarcity.is_over_limit(2'001, true));
}

TEST_CASE("scarcity: while no request waits its time does not run") {
  Scarcity scarcity(kLimit_ns);
  CHECK_FALSE(scarcity.is_over_limit(0, false));
  CHECK_FALSE(scarcity.is_over_limit(9'000, false));
  CHECK_FALSE(scarcity.is_over_limit(9'500, true));
  CHECK_FALSE(scarcity.is_over_limit(10'400, true));
  CHECK(scarcity.is_over_limit(10'500, true));
}

TEST_CASE("scarcity: once the kernel took something the time begins anew") {
  Scarcity scarcity(kLimit_ns);
  CHECK_FALSE(scarcity.is_over_limit(0, true));
  scarcity.end();
  CHECK_FALSE(scarcity.is_over_limit(1'500, true));
  CHECK(scarcity.is_over_limit(2'500, true));
}

TEST_CASE("scarcity: pauses grow to the longest one, and begin anew once the kernel took something") {
  Scarcity scarcity;
  std::uint64_t pause_ns = scarcity.next_pause_ns();
  CHECK(pause_ns == Scarcity::kFirstPause_ns);
  for (unsigned i = 0; i < 16; ++i) {
    const std::uint64_t next_ns = scarcity.next_pause_ns();
    CHECK(next_ns == std::min(2 * pause_ns, Scarcity::kLongestPause_ns));
    pause_ns = next_ns;
  }
  CHECK(pause_ns == Scarcity::kLongestPause_ns);
  scarcity.end();
  CHECK(scarcity.next_pause_ns() == Scarcity::kFirstPause_ns);
}
