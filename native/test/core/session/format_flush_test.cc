// What a create flushes before the log calls the mirror ready, and an opening before it writes labels.
#include <doctest/doctest.h>

#include "../../../core/session/session.h"
#include "../../support/running_mirror.h"

using namespace blockmirror;
using namespace blockmirror::test;

TEST_CASE("images that are said to be identical, and that cannot be flushed, make no mirror") {
  for (const unsigned image : {0u, 1u}) {
    CAPTURE(image);
    SimulatedMirror mirror({});
    mirror.images[image]->decide = [](const DeviceRequest& request) {
      return request.operation == Operation::flush ? error_fate() : SimulatedDevice::Fate{};
    };
    mirror.new_session();
    FormatOptions options;
    options.assume_identical = true;
    options.ring_records = 64;
    options.images = {{"master", "/m", PathKind::absolute}, {"slave", "/s", PathKind::absolute}};
    REQUIRE(mirror.run(mirror.session->plan_format(options)).ok());
    Outcome outcome = mirror.run(mirror.session->format());
    if (outcome.ok()) outcome = mirror.run(mirror.session->end_recovery({}));
    CHECK(outcome.code == (image == 0 ? Code::MASTER_FAILED : Code::SLAVE_FAILED));
    CHECK(durable_superblock(*mirror.log).lifecycle == Lifecycle::creating);
  }
}

// The copy of a label that was found whole may stand in a cache alone, and its other copy is written over first.
TEST_CASE("an opening flushes each image before it writes that image's label") {
  RunningMirror mirror({.slaves = 2});
  mirror.crash(50);
  unsigned flushed = 0, too_early = 0;
  for (unsigned i = 0; i < 3; ++i) {
    mirror.images[i]->on_settle = [&, i](const DeviceRequest& request, int) {
      if (request.operation == Operation::flush) flushed |= 1u << i;
    };
    mirror.images[i]->on_submit = [&, i](const DeviceRequest& request) {
      if (request.operation == Operation::write && (flushed & 1u << i) == 0) too_early |= 1u << i;
    };
  }
  REQUIRE(mirror.open().ok());
  CHECK(flushed == 0b111);
  CHECK(too_early == 0);
  for (auto& image : mirror.images) image->on_submit = nullptr, image->on_settle = nullptr;
}
