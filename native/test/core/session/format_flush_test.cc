// What a create flushes before the log calls the mirror ready.
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
