// Random walks over everything that takes a slave out and brings it back: at the end of each all images are equal, and
// nothing acknowledged is lost.
#include <doctest/doctest.h>

#include <array>
#include <random>
#include <vector>

#include "../../support/recovery_steps.h"
#include "../../support/running_mirror.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr std::uint64_t kBlock = 4096;
constexpr std::uint64_t kBlocks = 512;  // that are written; each region has some
constexpr unsigned kSlaves = 2;

Extent block_at(std::uint64_t index) { return {index % 4 * kMiB + index / 4 * kBlock, kBlock}; }

class Walk : public RunningMirror {
 public:
  // powered: without a loss of power what each block has to hold is known to the end.
  Walk(std::uint64_t seed, bool powered)
      : RunningMirror({.seed = seed, .slaves = kSlaves, .size = 4 * kMiB, .ring_records = seed % 3 == 0 ? 8u : 32u}),
        random_(seed),
        powered_(powered) {
    prove();
    random_latencies();
    for (unsigned slave = 1; slave <= kSlaves; ++slave) older_[slave] = durable_copy(*images[slave]);
  }

  void step() {
    switch (random_() % 16) {
      case 0:
        return fail(some_slave());
      case 1:
      case 2:
      case 3:
        return rejoin(some_slave());
      case 4:
        return take_out(some_slave());
      case 5:
        return powered_ ? reopen() : lose_power();
      case 6:
        return reopen();
      case 7:
        return restore(some_slave());
      case 8:
        return flush();
      case 9:
      case 10:
        return resync(random_() % 8 == 0 ? 64 * kBlock : 4 * kBlock, false);
      default:
        return writes(1 + random_() % 12);
    }
  }
  // Everybody comes back, and is what the master is.
  void end() {
    heal();
    random_latencies();
    for (unsigned slave = 1; slave <= kSlaves; ++slave) rejoin(slave);
    resync(4 * kMiB, true);
    for (unsigned slave = 1; slave <= kSlaves; ++slave) CHECK(state(slave) == ImageState::in_sync);
    settle();
    note();
    CHECK(images_equal());
    for (std::uint64_t i = 0; i < kBlocks; ++i) {
      if (known_[i] != 0) CHECK(images[0]->content()[block_at(i).position] == std::byte{known_[i]});
    }
  }

 private:
  ImageState state(unsigned image) const { return session->superblock().images[image].state; }
  unsigned some_slave() { return 1 + static_cast<unsigned>(random_() % kSlaves); }
  bool alone(unsigned slave) const {
    for (unsigned other = 1; other <= kSlaves; ++other) {
      if (other != slave && rights_of(state(other)).receives) return false;
    }
    return true;
  }
  void settle() {
    runtime.run_until([&] { return log->in_flight() == 0 && all_ended(); });
  }
  bool all_ended() const {
    for (const auto& write : under_way_) {
      if (!write.pending->ended()) return false;
    }
    return true;
  }
  void note() {
    for (const auto& write : under_way_) known_[write.block] = write.pending->succeeded() ? write.fill : 0;
    under_way_.clear();
  }

  // Distinct blocks, so that what each holds afterwards is known.
  void writes(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t block = random_() % kBlocks;
      bool busy = false;
      for (const auto& write : under_way_) busy = busy || write.block == block;
      if (busy) continue;
      const auto fill = static_cast<unsigned char>(1 + random_() % 255);
      under_way_.push_back({block, fill, &start_write(block_at(block), fill, random_() % 4 == 0)});
    }
    if (random_() % 3 == 0) return;
    settle();
    note();
  }
  void flush() {
    settle();
    note();
    REQUIRE(run(session->flush()).ok());
  }
  void fail(unsigned slave) {
    if (alone(slave) || !rights_of(state(slave)).receives) return;
    const bool with_cache = random_() % 2 == 0;
    images[slave]->decide = [this, slave, with_cache](const DeviceRequest& request) {
      if (!is_data(request)) return after(1000);
      if (with_cache) images[slave]->lose_cache();
      return error_fate();
    };
    writes(1 + random_() % 6);
    settle();
    note();
    random_latencies();
  }
  void rejoin(unsigned slave) {
    if (rights_of(state(slave)).receives) return;
    const Outcome outcome = run(session->rejoin(slave, random_() % 20 == 0));
    REQUIRE(outcome.ok());
  }
  void resync(std::uint64_t longest, bool to_the_end) {
    for (ResyncResult result;;) {
      std::optional<Outcome> ended;
      start(session->resync({0b110, longest}, result), ended);
      if (random_() % 2 == 0 && !to_the_end) writes(3);
      REQUIRE(runtime.run_until([&] { return ended.has_value(); }));
      REQUIRE(ended->ok());
      if (!to_the_end || result.bytes_left == 0) return;
    }
  }
  void take_out(unsigned slave) {
    if (alone(slave) || !rights_of(state(slave)).receives) return;
    FractureResult result;
    REQUIRE(run(session->fracture(image_bit(slave), result)).ok());
  }
  void lose_power() {
    // What was not flushed may be old or new.
    settle();
    for (const auto& write : under_way_) known_[write.block] = 0;
    under_way_.clear();
    known_ = {};
    crash(static_cast<unsigned>(random_() % 101));
    background = random_() % 2 == 0;
    REQUIRE(open().ok());
    random_latencies();
  }
  void reopen() {
    settle();
    note();
    REQUIRE(run(session->close()).ok());
    if (random_() % 2 == 0) {
      const unsigned slave = some_slave();
      older_[slave] = durable_copy(*images[slave]);
    }
    REQUIRE(open().ok());
  }
  // A backup put over a slave that is out. One made since its last label cannot be told from the slave itself
  // (docs/FORMAT.md, what the format cannot see).
  void restore(unsigned slave) {
    const ImageRecord& image = session->superblock().images[slave];
    if (rights_of(image.state).receives || is_as_told(image, label_in(older_[slave], image.label_position))) return;
    settle();
    note();
    overwrite(*this, *images[slave], 0, older_[slave]);
  }

  static Label label_in(std::span<const std::byte> bytes, std::uint64_t position) {
    Label label;
    const Outcome found = choose_label(bytes.subspan(position, kLabelCopyLength),
                                       bytes.subspan(position + kLabelCopyDistance, kLabelCopyLength), label);
    REQUIRE(found.ok());
    return label;
  }

  struct Write {
    std::uint64_t block;
    unsigned char fill;
    Pending* pending;
  };
  std::mt19937_64 random_;
  const bool powered_;
  std::vector<Write> under_way_;
  std::array<unsigned char, kBlocks> known_{};
  std::array<std::vector<std::byte>, kSlaves + 1> older_;
};

}  // namespace

TEST_CASE("a walk of failures, departures, crashes, restored copies and resyncs ends with equal images") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    Walk walk(seed, false);
    for (unsigned i = 0; i < 120; ++i) walk.step();
    walk.end();
  }
}

TEST_CASE("a walk without a loss of power ends with equal images that hold every acknowledged write") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    Walk walk(seed, true);
    for (unsigned i = 0; i < 120; ++i) walk.step();
    walk.end();
  }
}
