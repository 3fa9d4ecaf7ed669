// A slave that comes back costs what it missed: its debt through failures, closes, crashes and restored copies, and its
// resync under load.
#include "../../../core/mirror/resync.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "../../support/recovery_steps.h"
#include "../../support/running_mirror.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr unsigned kGone = 1;  // the slave that goes out
constexpr ImageSet kGoneSet = 1u << kGone;
constexpr std::uint64_t kBlock = 4096;

Extent block_at(std::uint64_t index) { return {index * kBlock, kBlock}; }

class Rig : public RunningMirror {
 public:
  explicit Rig(std::uint64_t seed = 1) : RunningMirror({.seed = seed, .slaves = 2, .size = 16 * kMiB}) { prove(); }

  // The next write of that slave fails.
  void lose(unsigned slave, std::uint64_t block) {
    images[slave]->decide = [this](const DeviceRequest& request) {
      return is_data(request) ? error_fate() : after(1000);
    };
    REQUIRE(write(block_at(block), 0xee).ok());
    images[slave]->decide = nullptr;
    REQUIRE_FALSE(rights_of(state(slave)).receives);
  }
  ImageState state(unsigned image) const { return session->superblock().images[image].state; }
  void put(std::initializer_list<std::uint64_t> blocks, unsigned char fill) {
    for (const std::uint64_t block : blocks) REQUIRE(write(block_at(block), fill).ok());
  }
  Outcome rejoin(unsigned slave = kGone, bool full = false) { return run(session->rejoin(slave, full)); }
  // To its end, or until it makes no progress.
  std::uint64_t resync(ImageSet slaves = kGoneSet, std::uint64_t longest = kResyncBytes) {
    std::uint64_t copied = 0;
    for (ResyncResult step;; copied += step.bytes_copied) {
      REQUIRE(run(session->resync({slaves, longest}, step)).ok());
      last = step;
      if (step.bytes_left == 0 || (step.bytes_copied == 0 && step.in_sync == 0)) return copied + step.bytes_copied;
    }
  }
  void reopen() {
    REQUIRE(run(session->close()).ok());
    REQUIRE(open().ok());
  }
  ResyncResult last;
};

}  // namespace

TEST_CASE("resync: a slave that comes back gets exactly the blocks that were written without it") {
  Rig mirror;
  mirror.put({1, 2, 3}, 0x11);
  REQUIRE(mirror.run(mirror.session->flush()).ok());
  mirror.lose(kGone, 7);
  mirror.put({7, 300, 301, 300}, 0x22);
  REQUIRE(mirror.rejoin().ok());
  CHECK(mirror.state(kGone) == ImageState::synchronizing);
  CHECK(mirror.resync() == 3 * kBlock);
  CHECK(mirror.state(kGone) == ImageState::in_sync);
  CHECK(mirror.durable_state(kGone) == ImageState::in_sync);
  CHECK(mirror.images_equal());
}

TEST_CASE("resync: of two slaves in one pass each gets what it missed, and no more") {
  Rig mirror;
  mirror.put({1, 2, 3}, 0x11);
  REQUIRE(mirror.run(mirror.session->flush()).ok());
  mirror.lose(2, 600);
  mirror.put({10, 11, 12, 13}, 0x22);
  mirror.lose(kGone, 12);
  mirror.put({13, 14}, 0x33);
  for (const bool everything : {false, true}) {
    CAPTURE(everything);
    REQUIRE(mirror.rejoin(2, everything).ok());
    REQUIRE(mirror.rejoin(kGone).ok());
    std::array<std::uint64_t, 3> copied{};
    for (bool left = true; left;) {
      ResyncResult step;
      REQUIRE(mirror.run(mirror.session->resync({0b0110, kResyncBytes}, step)).ok());
      for (const unsigned slave : {1u, 2u}) copied[slave] += step.copied.bytes_copied[slave];
      left = step.bytes_left > 0;
    }
    // What the first was written just before it failed was not flushed, and is owed too: of the megabyte around it nothing.
    CHECK(copied[kGone] <= 8 * kBlock);
    CHECK(copied[kGone] >= (everything ? 1 : 3) * kBlock);
    CHECK(copied[2] == (everything ? 16 * kMiB : 6 * kBlock));
    CHECK(mirror.images_equal());
    mirror.lose(kGone, 20);
    mirror.lose(2, 21);
  }
}

TEST_CASE("resync: what the slave was written and not flushed when it failed is owed too") {
  Rig mirror;
  mirror.put({1, 2}, 0x11);
  mirror.images[kGone]->lose_cache();
  mirror.lose(kGone, 7);
  REQUIRE(mirror.rejoin().ok());
  CHECK(mirror.resync() == 3 * kBlock);
  CHECK(mirror.images_equal());
}

TEST_CASE("resync: a close and openings in between cost nothing, however often") {
  Rig mirror;
  REQUIRE(mirror.run(mirror.session->flush()).ok());
  mirror.lose(kGone, 7);
  mirror.put({100}, 0x22);
  mirror.reopen();
  mirror.put({2000}, 0x33);
  mirror.reopen();
  mirror.reopen();
  REQUIRE(mirror.rejoin().ok());
  CHECK(mirror.resync() == 3 * kBlock);
  CHECK(mirror.images_equal());
}

TEST_CASE("resync: after a crash at any moment nothing that the slave missed is forgotten") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    Rig mirror(seed);
    mirror.random_latencies();
    mirror.lose(kGone, 7);
    std::mt19937_64 random(seed);
    for (unsigned i = 0; i < 60; ++i)
      (void)mirror.start_write(block_at(random() % 4000), static_cast<unsigned char>(i));
    for (unsigned i = random() % 400; i > 0; --i) mirror.runtime.step();
    mirror.crash();
    mirror.heal();
    REQUIRE(mirror.open().ok());
    mirror.put({9}, 0x44);
    REQUIRE(mirror.rejoin().ok());
    mirror.resync();
    CHECK(mirror.state(kGone) == ImageState::in_sync);
    CHECK(mirror.images_equal());
  }
}

TEST_CASE("resync: a crash in its middle resumes it, and ends equal") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    Rig mirror(seed);
    mirror.lose(kGone, 7);
    for (std::uint64_t i = 0; i < 40; ++i) mirror.put({i * 97}, static_cast<unsigned char>(i));
    REQUIRE(mirror.rejoin().ok());
    mirror.random_latencies();
    ResyncResult step;
    std::optional<Outcome> ended;
    mirror.start(mirror.session->resync({kGoneSet, 8 * kBlock}, step), ended);
    for (std::uint64_t i = seed * 3; i > 0; --i) mirror.runtime.step();
    (void)mirror.start_write(block_at(5), 0x55);
    for (std::uint64_t i = seed; i > 0; --i) mirror.runtime.step();
    mirror.crash();
    mirror.heal();
    REQUIRE(mirror.open().ok());
    CHECK(mirror.state(kGone) == ImageState::synchronizing);
    mirror.resync();
    CHECK(mirror.state(kGone) == ImageState::in_sync);
    CHECK(mirror.images_equal());
  }
}

TEST_CASE("resync: a slave restored from an older copy owes everything") {
  Rig mirror;
  const std::vector<std::byte> old = durable_copy(*mirror.images[kGone]);
  mirror.put({1, 2, 3}, 0x11);
  mirror.reopen();  // its label moves on
  mirror.lose(kGone, 7);
  overwrite(mirror, *mirror.images[kGone], 0, old);
  REQUIRE(mirror.rejoin().ok());
  CHECK(mirror.resync() == 16 * kMiB);
  CHECK(mirror.images_equal());
}

TEST_CASE("resync: one that was cut off, and closed, goes on from there at the next opening") {
  Rig mirror;
  REQUIRE(mirror.run(mirror.session->flush()).ok());
  mirror.lose(kGone, 7);
  for (std::uint64_t i = 1; i < 20; ++i) mirror.put({i * 97}, 0x22);
  REQUIRE(mirror.rejoin().ok());
  ResyncResult step;
  REQUIRE(mirror.run(mirror.session->resync({kGoneSet, 8 * kBlock}, step)).ok());
  mirror.reopen();
  CHECK(mirror.state(kGone) == ImageState::synchronizing);
  CHECK_FALSE(mirror.session->snapshot().debts[kGone].known);
  REQUIRE(mirror.run(mirror.session->read_debts()).ok());
  CHECK(mirror.session->snapshot().debts[kGone].bytes == 12 * kBlock);
  mirror.reopen();
  CHECK(mirror.resync() == 12 * kBlock);
  CHECK(mirror.images_equal());
}

TEST_CASE("resync: a snapshot says what a slave owes, since when and why") {
  Rig mirror;
  REQUIRE(mirror.run(mirror.session->flush()).ok());
  CHECK(mirror.session->snapshot().debts[kGone].kind == DebtKind::none);
  mirror.lose(kGone, 7);
  mirror.put({9}, 0x22);
  const SnapshotDebt out = mirror.session->snapshot().debts[kGone];
  CHECK(out.kind == DebtKind::map);
  CHECK(out.known);
  CHECK(out.bytes == 2 * kBlock);
  CHECK(out.cause == FractureCause::write_error);
  REQUIRE(mirror.rejoin().ok());
  CHECK(mirror.session->snapshot().debts[kGone].resync == ResyncKind::debt);
  mirror.resync();
  const SnapshotDebt back = mirror.session->snapshot().debts[kGone];
  CHECK(back.kind == DebtKind::none);
  CHECK(back.bytes == 0);
  CHECK(back.cause == FractureCause::none);
  CHECK(back.resync == ResyncKind::none);
}

TEST_CASE("resync: a look from outside reads what a slave owes, and an opening after it starts anew") {
  Rig mirror;
  REQUIRE(mirror.run(mirror.session->flush()).ok());
  mirror.lose(kGone, 7);
  mirror.put({9, 11}, 0x22);
  REQUIRE(mirror.run(mirror.session->close()).ok());
  mirror.new_session();
  REQUIRE(mirror.run(mirror.session->load_superblock()).ok());
  CHECK(mirror.run(mirror.session->read_debts()).code == Code::WRONG_PHASE);
  Assessment found;
  REQUIRE(mirror.run(mirror.session->assess(found)).ok());
  CHECK_FALSE(mirror.session->snapshot().debts[kGone].known);
  REQUIRE(mirror.run(mirror.session->read_debts()).ok());
  CHECK(mirror.session->snapshot().debts[kGone].known);
  CHECK(mirror.session->snapshot().debts[kGone].bytes == 3 * kBlock);
}

TEST_CASE("resync: a slave that fails in its middle owes what it owed, and comes back again") {
  Rig mirror;
  REQUIRE(mirror.run(mirror.session->flush()).ok());
  mirror.lose(kGone, 7);
  for (std::uint64_t i = 0; i < 20; ++i) mirror.put({i * 97}, 0x22);
  REQUIRE(mirror.rejoin().ok());
  ResyncResult step;
  REQUIRE(mirror.run(mirror.session->resync({kGoneSet, 8 * kBlock}, step)).ok());
  CHECK(step.bytes_copied == 8 * kBlock);
  REQUIRE(mirror.run(mirror.session->flush()).ok());
  mirror.lose(kGone, 1000);
  CHECK(mirror.state(kGone) == ImageState::inconsistent);
  mirror.put({1001}, 0x33);
  REQUIRE(mirror.rejoin().ok());
  CHECK(mirror.resync() == (21 - 8 + 2) * kBlock);
  CHECK(mirror.images_equal());
}

TEST_CASE("resync: writes while it runs reach the slave, and it ends equal") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Rig mirror(seed);
    mirror.lose(kGone, 7);
    for (std::uint64_t i = 0; i < 60; ++i) mirror.put({i * 3}, static_cast<unsigned char>(i));
    REQUIRE(mirror.rejoin().ok());
    mirror.random_latencies();
    std::mt19937_64 random(seed);
    for (ResyncResult step;;) {
      std::optional<Outcome> ended;
      mirror.start(mirror.session->resync({kGoneSet, 8 * kBlock}, step), ended);
      for (unsigned i = 0; i < 8; ++i)
        (void)mirror.start_write(block_at(random() % 200), static_cast<unsigned char>(i));
      REQUIRE(mirror.runtime.run_until([&] { return ended.has_value(); }));
      REQUIRE(ended->ok());
      if (step.bytes_left == 0) break;
    }
    mirror.runtime.run_until_quiet();
    CHECK(mirror.state(kGone) == ImageState::in_sync);
    CHECK(mirror.images_equal());
  }
}

TEST_CASE("resync: a full one copies everything, in order, and goes on from where it was after a crash") {
  Rig mirror;
  mirror.lose(kGone, 7);
  REQUIRE(mirror.rejoin(kGone, true).ok());
  ResyncResult step;
  REQUIRE(mirror.run(mirror.session->resync({kGoneSet, 4 * kMiB}, step)).ok());
  CHECK(step.bytes_left == 12 * kMiB);
  CHECK(mirror.resync() == 12 * kMiB);
  CHECK(mirror.images_equal());
}

TEST_CASE("resync: two slaves are served by one pass over the master") {
  Rig mirror;
  REQUIRE(mirror.run(mirror.session->flush()).ok());
  mirror.lose(1, 7);
  mirror.put({8}, 0x22);
  REQUIRE(mirror.run(mirror.session->flush()).ok());
  REQUIRE(mirror.rejoin(1).ok());
  mirror.lose(2, 9);
  REQUIRE(mirror.rejoin(2).ok());
  unsigned reads = 0;
  mirror.images[0]->on_submit = [&](const DeviceRequest& request) {
    reads += request.operation == Operation::read && mirror.is_data(request) ? 1 : 0;
  };
  CHECK(mirror.resync(0b110) == 3 * kBlock);
  CHECK(reads == 2);
  CHECK(mirror.images_equal());
}

TEST_CASE("resync: it begins only when superblock and label say so") {
  Rig mirror;
  mirror.lose(kGone, 7);
  bool told = true;
  mirror.images[kGone]->on_submit = [&](const DeviceRequest& request) {
    if (!mirror.is_data(request) || request.operation != Operation::write) return;
    told = told && mirror.durable_state(kGone) == ImageState::synchronizing &&
           mirror.label_of(kGone).state == ImageState::synchronizing;
  };
  std::optional<Outcome> joined;
  mirror.start(mirror.session->rejoin(kGone, false), joined);
  for (unsigned i = 0; i < 20; ++i) (void)mirror.start_write(block_at(i), 0x77);
  REQUIRE(mirror.runtime.run_until([&] { return joined.has_value(); }));
  REQUIRE(joined->ok());
  mirror.resync();
  mirror.runtime.run_until_quiet();
  CHECK(told);
  CHECK(mirror.images_equal());
}

TEST_CASE("resync: a device that is not the slave is refused, and nothing is written to it") {
  Rig mirror;
  mirror.lose(kGone, 7);
  const std::uint64_t label = mirror.session->superblock().images[kGone].label_position;
  overwrite(mirror, *mirror.images[kGone], label, std::vector<std::byte>(kMiB));
  unsigned writes = 0;
  mirror.images[kGone]->on_submit = [&](const DeviceRequest& request) {
    writes += request.operation == Operation::write ? 1 : 0;
  };
  CHECK(mirror.rejoin().code == Code::NO_LABEL);
  CHECK(writes == 0);
}

TEST_CASE("resync: one of everything goes on from where it was, though its copies end in any order") {
  Rig mirror;
  mirror.lose(kGone, 7);
  REQUIRE(mirror.rejoin(kGone, true).ok());
  mirror.random_latencies();
  CHECK(mirror.resync(kGoneSet, 6 * kMiB) == 16 * kMiB);
  CHECK(mirror.images_equal());
}

TEST_CASE("resync: a slave whose file lost bytes owes everything") {
  Rig mirror;
  REQUIRE(mirror.run(mirror.session->flush()).ok());
  mirror.images[kGone]->lose_allocation(5 * kMiB);
  REQUIRE(mirror.run(mirror.session->retire_all()).ok());
  REQUIRE(mirror.state(kGone) == ImageState::failed);
  CHECK(mirror.session->superblock().images[kGone].debt == DebtKind::everything);
}

TEST_CASE("resync: a slave that a verify found different owes everything") {
  Rig mirror;
  REQUIRE(mirror.run(mirror.session->flush()).ok());
  VerifyResult found = mirror.found_equal();
  found.bytes_differed[kGone] = kBlock;
  REQUIRE(mirror.run(mirror.session->record_verify(found)).ok());
  mirror.lose(kGone, 7);
  REQUIRE(mirror.rejoin().ok());
  CHECK(mirror.resync() == 16 * kMiB);
  CHECK(mirror.session->superblock().images[kGone].bytes_differed == 0);
}

TEST_CASE("resync: what a verify finds different meanwhile is not remembered: it is being copied") {
  Rig mirror;
  REQUIRE(mirror.run(mirror.session->flush()).ok());
  mirror.lose(kGone, 7);
  REQUIRE(mirror.rejoin().ok());
  VerifyResult found = mirror.found_equal();
  found.bytes_differed[kGone] = kBlock;
  REQUIRE(mirror.run(mirror.session->record_verify(found)).ok());
  CHECK(mirror.session->superblock().images[kGone].bytes_differed == 0);
}

TEST_CASE("resync: a slave that was only assumed to be equal is copied whole before it counts as in sync") {
  RunningMirror mirror({.slaves = 2, .size = 4 * kMiB});
  overwrite(mirror, *mirror.images[kGone], 2 * kMiB, std::vector<std::byte>(kBlock, std::byte{9}));  // it was not
  mirror.images[kGone]->decide = [&](const DeviceRequest& request) {
    return mirror.is_data(request) ? error_fate() : after(1000);
  };
  REQUIRE(mirror.write(block_at(7), 1).ok());
  mirror.images[kGone]->decide = nullptr;
  REQUIRE(mirror.run(mirror.session->rejoin(kGone, false)).ok());
  ResyncResult step;
  REQUIRE(mirror.run(mirror.session->resync({kGoneSet, 4 * kMiB}, step)).ok());
  CHECK(step.bytes_copied == 4 * kMiB);
  CHECK(mirror.session->superblock().images[kGone].state == ImageState::in_sync);
  CHECK(mirror.images_equal());
}

TEST_CASE("resync: a full one that comes after another copies each byte once") {
  Rig mirror;
  mirror.lose(kGone, 3000);
  REQUIRE(mirror.rejoin().ok());
  mirror.resync();
  mirror.lose(kGone, 7);
  REQUIRE(mirror.rejoin(kGone, true).ok());
  CHECK(mirror.resync(kGoneSet, kMiB) == 16 * kMiB);
  CHECK(mirror.images_equal());
}

TEST_CASE("resync: what the master cannot read is left owed by a full one, and the rest is copied once") {
  RunningMirror mirror({.slaves = 2, .size = 4 * kMiB});  // the other slave is only assumed: nobody may stand in
  REQUIRE(mirror.run(mirror.session->flush()).ok());
  mirror.images[kGone]->decide = [&](const DeviceRequest& request) {
    return mirror.is_data(request) ? error_fate() : after(1000);
  };
  REQUIRE(mirror.write(block_at(7), 1).ok());
  mirror.images[kGone]->decide = nullptr;
  REQUIRE(mirror.run(mirror.session->rejoin(kGone, true)).ok());
  mirror.images[0]->decide = [&](const DeviceRequest& request) {
    const bool hit =
        request.operation == Operation::read && request.position <= 5000 && 5000 < request.position + request.length;
    return hit ? error_fate() : after(1000);
  };
  std::uint64_t copied = 0;
  ResyncResult step;
  for (unsigned i = 0; i < 20; ++i) {
    REQUIRE(mirror.run(mirror.session->resync({kGoneSet, kMiB}, step)).ok());
    copied += step.bytes_copied;
  }
  CHECK(copied == 3 * kMiB);
  CHECK(step.bytes_left == kMiB);
  CHECK(step.bytes_unreadable == kMiB);
  CHECK(mirror.session->superblock().images[kGone].resync.cursor == 0);
  mirror.images[0]->decide = nullptr;
  REQUIRE(mirror.run(mirror.session->resync({kGoneSet, kMiB}, step)).ok());
  CHECK(step.in_sync == kGoneSet);
  CHECK(mirror.images_equal());
}
