#include "../../devices/polling_window.h"

#include <doctest/doctest.h>

#include <limits>
#include <vector>

using namespace blockmirror;

namespace {

constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

// Time passes in offers alone.
struct FakeHost {
  PollingWindow window;
  std::uint64_t now_ns = 1'000'000;
  std::uint64_t offer_ns = 1'000;   // how long each takes
  std::uint64_t comes_ns = kNever;  // something is there from then on
  std::uint64_t deadline_ns = kNever;
  unsigned offers = 0;

  bool look() {
    return window.look(
        deadline_ns, [&] { return now_ns; }, [&] { return now_ns >= comes_ns; },
        [&] {
          now_ns += offer_ns;
          ++offers;
        });
  }
  unsigned waits_skipped() {
    unsigned skipped = 0;
    while (!window.opens()) ++skipped;
    return skipped;
  }
};

}  // namespace

TEST_CASE("polling window: while something comes, every wait looks again") {
  FakeHost host;
  for (int i = 0; i < 10; ++i) {
    CHECK(host.waits_skipped() == 0);
    host.comes_ns = host.now_ns + 20'000;
    CHECK(host.look());
  }
  CHECK(host.offers == 10 * 20);
}

TEST_CASE("polling window: what is there already needs no offer") {
  FakeHost host;
  host.comes_ns = 0;
  CHECK(host.look());
  CHECK(host.offers == 0);
}

TEST_CASE("polling window: it closes after its length, or at the deadline") {
  FakeHost host;
  CHECK(!host.look());
  CHECK(host.offers == PollingWindow::kLength_ns / host.offer_ns);
  host.offers = 0;
  host.deadline_ns = host.now_ns + 7'000;
  CHECK(!host.look());
  CHECK(host.offers == 7);
}

TEST_CASE("polling window: windows in which nothing came are followed by ever longer pauses, up to a bound") {
  FakeHost host;
  unsigned expected = 0;
  for (int i = 0; i < 12; ++i) {
    CHECK(host.waits_skipped() == expected);
    CHECK(!host.look());
    expected = std::min(2 * expected + 1, PollingWindow::kMostSkipped);
  }
}

TEST_CASE("polling window: one in which something came starts afresh") {
  FakeHost host;
  for (int i = 0; i < 5; ++i) {
    host.waits_skipped();
    CHECK(!host.look());
  }
  host.waits_skipped();
  host.comes_ns = host.now_ns;
  CHECK(host.look());
  CHECK(host.waits_skipped() == 0);
}

TEST_CASE("polling window: one long offer that brought nothing closes it, and the next 256 waits sleep") {
  FakeHost host;
  host.offer_ns = PollingWindow::kLongestOffer_ns + 1;
  CHECK(!host.look());
  CHECK(host.offers == 1);
  CHECK(host.waits_skipped() == PollingWindow::kSkippedWhenCrowded);
  CHECK(PollingWindow::kSkippedWhenCrowded == 256);
}

TEST_CASE("polling window: an offer that brought something may be as long as a request takes, but no slice") {
  FakeHost host;
  host.offer_ns = PollingWindow::kSlice_ns;
  host.comes_ns = host.now_ns + host.offer_ns;
  CHECK(host.look());
  CHECK(host.waits_skipped() == 0);

  host.offer_ns = PollingWindow::kSlice_ns + 1;
  host.comes_ns = host.now_ns + host.offer_ns;
  CHECK(host.look());
  CHECK(host.waits_skipped() == PollingWindow::kSkippedWhenCrowded);
}

TEST_CASE("polling window: after a crowded moment it looks again like any other") {
  FakeHost host;
  host.offer_ns = 3'000'000;
  CHECK(!host.look());
  CHECK(host.waits_skipped() == PollingWindow::kSkippedWhenCrowded);
  host.offer_ns = 1'000;
  host.comes_ns = host.now_ns + 10'000;
  CHECK(host.look());
  CHECK(host.waits_skipped() == 0);
}
