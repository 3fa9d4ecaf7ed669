// The device of a slave comes and goes beside a mirror that runs.
#include <doctest/doctest.h>
#include <linux/fuse.h>

#include <cerrno>
#include <string>
#include <vector>

#include "../support/hanging_file.h"
#include "engine_client.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

AttachImage attach(std::uint32_t image, const std::string& path) {
  AttachImage command;
  command.image = image;
  command.path = path;
  return command;
}

// A mirror that runs, and its slave taken out.
struct Parted {
  Parted() {
    FractureSlaves fracture;
    fracture.slaves = 2;
    client.run(std::move(fracture));
  }
  bool others_may_open_slave() const {
    OpenFile other;
    return OpenFile::open(files.image(1), {.member = true, .busy_retry_ms = 0}, other).ok();
  }
  void write(unsigned char fill) {
    const std::vector<std::byte> bytes(4096, std::byte{fill});
    client.write(1, bytes, 0);
    REQUIRE(client.collect(1).at(0).outcome.ok());
  }
  Files files;
  Client client{DeviceKind::threads, files};
};

}  // namespace

TEST_CASE("attaching: a slave's device is let go with its lock, comes back, and the slave is brought in sync") {
  Parted mirror;
  CHECK_FALSE(mirror.others_may_open_slave());
  mirror.client.run(DetachImage{1});
  CHECK(mirror.others_may_open_slave());
  mirror.write(7);
  CHECK(mirror.client.run(attach(1, mirror.files.image(1))).facts.descriptor >= 0);
  CHECK_FALSE(mirror.others_may_open_slave());
  mirror.client.run(Rejoin{1, false});
  ResyncStep step;
  step.order.slaves = 2;
  CHECK(mirror.client.run(std::move(step)).result.bytes_left == 0);
  CHECK(mirror.client.engine().snapshot().states[1] == ImageState::in_sync);
  mirror.client.run(Close{});
  CHECK(mirror.files.content(0) == mirror.files.content(1));
  CHECK(mirror.files.content(1)[0] == std::byte{7});
}

TEST_CASE("attaching: the master, a slave that receives, one that has its device, and one that is none are refused") {
  Parted mirror;
  CHECK(mirror.client.ask(attach(0, mirror.files.image(0))).first.code == Code::WRONG_PHASE);
  CHECK(mirror.client.ask(attach(1, mirror.files.image(1))).first.code == Code::WRONG_PHASE);
  CHECK(mirror.client.ask(attach(2, mirror.files.image(1))).first.code == Code::WRONG_PHASE);
  CHECK(mirror.client.ask(DetachImage{0}).first.code == Code::WRONG_PHASE);
  mirror.client.run(Rejoin{1, false});
  CHECK(mirror.client.ask(DetachImage{1}).first.code == Code::WRONG_PHASE);
  mirror.client.run(Close{});
}

TEST_CASE("attaching: what cannot be opened is told with its errno, and another try may succeed") {
  Parted mirror;
  mirror.client.run(DetachImage{1});
  const Outcome outcome = mirror.client.ask(attach(1, mirror.files.image(1) + ".not")).first;
  CHECK(outcome.code == Code::OPEN_FAILED);
  CHECK(outcome.system_error == ENOENT);
  CHECK(outcome.image == 1);
  mirror.client.run(attach(1, mirror.files.image(1)));
  mirror.client.run(Close{});
}

TEST_CASE("attaching: writes go on while a device does not open, and a second try is BUSY until the first is over") {
  HangingFile hanging(FUSE_OPEN);
  if (!hanging.why_not().empty()) {
    MESSAGE("SKIPPED: " << hanging.why_not());
    return;
  }
  Parted mirror;
  mirror.client.run(DetachImage{1});
  mirror.client.submit(0, attach(1, hanging.path()));
  mirror.write(1);
  mirror.client.submit(2, attach(1, hanging.path()));
  const Completion second = mirror.client.collect(1).at(0);
  CHECK(second.ticket == 2);
  CHECK(second.outcome.code == Code::BUSY);
  mirror.write(2);
  mirror.client.submit(3, Close{});
  for (const Completion& one : mirror.client.collect(2)) {
    CHECK(one.outcome.code == (one.ticket == 0 ? Code::CLOSED : Code::ok));
  }
}
