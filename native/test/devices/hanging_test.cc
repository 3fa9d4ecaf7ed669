// Devices that hang hold up nothing but themselves (I15): over files that do not answer their writes.
#include <doctest/doctest.h>
#include <linux/fuse.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "../../core/base/aligned_buffer.h"
#include "../../core/images/watched_device.h"
#include "../../devices/threads/threads_reactor.h"
#include "../support/hanging_file.h"
#include "loop.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr unsigned kDepth = ThreadsReactor::kWorkers;
constexpr std::uint64_t kTimeout_ns = 50'000'000;

std::size_t workers() {
  std::size_t count = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::ifstream(task.path() / "comm") >> name;
    count += name == "blockmirror-io" ? 1 : 0;
  }
  return count;
}

// Writes of 4 KiB at once, over and over the same bytes.
class Writes {
 public:
  Writes(Device& device, unsigned count) : requests_(count), bytes_(count * std::size_t{4096}) {
    for (unsigned i = 0; i < count; ++i) {
      DeviceRequest& request = requests_[i];
      request.operation = Operation::write;
      request.position = i * std::uint64_t{4096};
      request.length = 4096;
      request.memory = bytes_.span().data() + request.position;
      request.context = this;
      request.on_complete = [](DeviceRequest& done) { ++static_cast<Writes*>(done.context)->ended_; };
      device.submit(request);
    }
  }
  bool ended() const { return ended_ == requests_.size(); }
  bool all_answered(int error) const {
    return std::all_of(requests_.begin(), requests_.end(), [&](const auto& one) { return one.error == error; });
  }

 private:
  std::vector<DeviceRequest> requests_;
  AlignedBuffer bytes_;
  unsigned ended_ = 0;
};

template <typename Holds>
bool turns_until(Loop& loop, Holds holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    loop->turn(false);
  }
  return true;
}

// A slave on a file that takes no write, watched as in a session.
struct HangingSlave {
  explicit HangingSlave(Loop& loop) {
    if (!file.why_not().empty()) return;
    device = loop.open(file.path(), {.member = true});
    watched = std::make_unique<WatchedDevice>(*loop, *device, WatchedDevice::PastDeadline::answer, nullptr);
    watched->set_timeout(kTimeout_ns);
  }
  HangingFile file{FUSE_WRITE};
  std::unique_ptr<Device> device;
  std::unique_ptr<WatchedDevice> watched;
};

}  // namespace

TEST_CASE("hanging: slaves that hang one after another take no worker from the others, and each is replaced once") {
  Loop loop(DeviceKind::threads, kDepth);
  TemporaryDirectory folder;
  make_file(folder / "image", 1024 * 1024);
  const std::unique_ptr<Device> good = loop.open(folder / "image");
  std::vector<std::unique_ptr<HangingSlave>> slaves;
  std::vector<std::unique_ptr<Writes>> lost;
  unsigned hanging = 0;
  // Each had a share of the workers that there were when it came.
  for (unsigned i = 0; i < 8; ++i) {
    slaves.push_back(std::make_unique<HangingSlave>(loop));
    if (!slaves[i]->file.why_not().empty()) {
      MESSAGE("SKIPPED: " << slaves[i]->file.why_not());
      return;
    }
    lost.push_back(std::make_unique<Writes>(*slaves[i]->watched, kDepth));
    REQUIRE(turns_until(loop, [&] { return lost[i]->ended(); }));
    CHECK(lost[i]->all_answered(ETIMEDOUT));
    hanging += slaves[i]->watched->owed();
  }
  REQUIRE(hanging > ThreadsReactor::kWorkers);
  CHECK(workers() == ThreadsReactor::kWorkers + hanging);
  for (unsigned again = 0; again < 8; ++again) {
    Writes writes(*good, kDepth);
    REQUIRE(turns_until(loop, [&] { return writes.ended(); }));
    CHECK(writes.all_answered(0));
  }
  for (const auto& slave : slaves) slave->file.let_go();
  REQUIRE(turns_until(loop, [&] { return loop->requests_in_flight() == 0; }));
  CHECK(turns_until(loop, [&] { return workers() == ThreadsReactor::kWorkers; }));
}

TEST_CASE("hanging: a slave that hangs and comes back, again and again, leaves no workers behind") {
  Loop loop(DeviceKind::threads, kDepth);
  HangingSlave slave(loop);
  if (!slave.file.why_not().empty()) {
    MESSAGE("SKIPPED: " << slave.file.why_not());
    return;
  }
  for (unsigned round = 0; round < 5; ++round) {
    slave.file.hold_again();
    Writes lost(*slave.watched, kDepth);
    REQUIRE(turns_until(loop, [&] { return lost.ended(); }));
    CHECK(workers() > ThreadsReactor::kWorkers);
    CHECK(workers() <= 2 * ThreadsReactor::kWorkers);
    slave.file.let_go();
    REQUIRE(turns_until(loop, [&] { return slave.watched->is_idle(); }));
    CHECK(turns_until(loop, [&] { return workers() == ThreadsReactor::kWorkers; }));
    Writes taken(*slave.watched, kDepth);
    REQUIRE(turns_until(loop, [&] { return taken.ended(); }));
    CHECK(taken.all_answered(0));
  }
}

TEST_CASE_TEMPLATE("hanging: what a slave had not begun by its deadline never begins", Kind, OnIoUring, OnThreads) {
  Loop loop(Kind::kKind, kDepth);
  if (!loop.available()) {
    MESSAGE("SKIPPED: " << loop.why_not());
    return;
  }
  TemporaryDirectory folder;
  make_file(folder / "image", 1024 * 1024);
  const std::unique_ptr<Device> good = loop.open(folder / "image");
  HangingSlave slave(loop);
  if (!slave.file.why_not().empty()) {
    MESSAGE("SKIPPED: " << slave.file.why_not());
    return;
  }
  Writes lost(*slave.watched, kDepth);
  REQUIRE(turns_until(loop, [&] { return lost.ended(); }));
  CHECK(slave.watched->owed() == kDepth / 2);
  slave.file.let_go();
  REQUIRE(turns_until(loop, [&] { return slave.watched->is_idle(); }));
  CHECK(slave.file.written() == kDepth / 2);
  Writes taken(*slave.watched, kDepth);
  REQUIRE(turns_until(loop, [&] { return taken.ended(); }));
  CHECK(taken.all_answered(0));
}
