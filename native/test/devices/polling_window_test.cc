#include "../../devices/polling_window.h"

#include <doctest/doctest.h>

using namespace blockmirror;

namespace {
unsigned waits_skipped(PollingWindow& window) {
  unsigned skipped = 0;
  while (!window.opens()) ++skipped;
  return skipped;
}
}  // namespace

TEST_CASE("polling window: while something comes, every wait looks again") {
  PollingWindow window;
  for (int i = 0; i < 10; ++i) {
    CHECK(window.opens());
    window.closed(true);
  }
}

TEST_CASE("polling window: windows in which nothing came are followed by ever longer pauses, up to a bound") {
  PollingWindow window;
  unsigned expected = 0;
  for (int i = 0; i < 12; ++i) {
    CHECK(waits_skipped(window) == expected);
    window.closed(false);
    expected = std::min(2 * expected + 1, PollingWindow::kMostSkipped);
  }
}

TEST_CASE("polling window: one in which something came starts afresh") {
  PollingWindow window;
  for (int i = 0; i < 5; ++i) {
    waits_skipped(window);
    window.closed(false);
  }
  waits_skipped(window);
  window.closed(true);
  CHECK(window.opens());
}
