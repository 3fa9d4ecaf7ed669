// The scan of the ring as a step of its own, before assess.
#include <doctest/doctest.h>

#include "../../support/simulated_mirror.h"

using namespace blockmirror;
using namespace blockmirror::test;

TEST_CASE("an assess after steps of the scan finds what an assess alone finds") {
  SimulatedMirror mirror({.ring_records = 64});
  REQUIRE(mirror.create().ok());
  REQUIRE(mirror.open().ok());
  REQUIRE(mirror.write({4096, 8192}, 1).ok());
  mirror.crash();
  mirror.new_session();
  Assessment alone, stepwise;
  REQUIRE(mirror.run(mirror.session->load_superblock()).ok());
  REQUIRE(mirror.run(mirror.session->assess(alone)).ok());
  ScanProgress progress;
  for (unsigned steps = 0; !progress.done; ++steps) {
    REQUIRE(steps < 4);
    REQUIRE(mirror.run(mirror.session->scan_ring(1, progress)).ok());
  }
  CHECK(progress.bytes_done == 64 * 4096);
  CHECK(progress.bytes_total == 64 * 4096);
  REQUIRE(mirror.run(mirror.session->assess(stepwise)).ok());
  CHECK_FALSE(alone.debt.empty());
  CHECK(stepwise.debt.extents() == alone.debt.extents());
  CHECK(stepwise.live_intent_count == alone.live_intent_count);
  CHECK(stepwise.live_records == alone.live_records);
  CHECK(stepwise.sequence == alone.sequence);
  CHECK(stepwise.tail == alone.tail);
}

TEST_CASE("the scan is a step of a mirror whose log is loaded, and of no other phase") {
  SimulatedMirror mirror({.ring_records = 64});
  REQUIRE(mirror.create().ok());
  REQUIRE(mirror.open().ok());
  ScanProgress progress;
  CHECK(mirror.run(mirror.session->scan_ring(1, progress)).code == Code::WRONG_PHASE);
}
