// The intent log alone, over a simulated log: what a scan of its durable bytes yields is the truth that counts.
#include "../../../core/log/intent_log.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>

#include "../../support/intent_log_rig.h"

using namespace blockmirror;
using blockmirror::test::IntentLogRig;
using blockmirror::test::RingState;

namespace {

constexpr std::uint64_t kBlock = kIntentBlockLength;

Extent block_of(std::uint64_t region, std::uint64_t block, std::uint64_t count = 1) {
  return {region * kRegionLength + block * kBlock, count * kBlock};
}

std::uint64_t ring_slot(const IntentLogRig& rig, const DeviceRequest& request) {
  return (request.position - rig.superblock.ring.position) / rig.superblock.ring.record_size;
}

}  // namespace

TEST_CASE("I1: a cover is granted only when a record that holds it is durable") {
  IntentLogRig rig;
  rig.hold_log();
  IntentLogRig::Cover& cover = rig.cover(block_of(3, 5));
  rig.settle_all_devices();
  CHECK_FALSE(cover.outcome.has_value());
  rig.release_log();
  REQUIRE(cover.outcome.has_value());
  CHECK(cover.outcome->ok());
  CHECK(rig.scan().covered.contains(block_of(3, 5)));
}

TEST_CASE("a covered extent needs no log write") {
  IntentLogRig rig;
  REQUIRE(rig.touch(block_of(3, 5, 4)).ok());
  const std::uint64_t records = rig.counters.logRecords;
  IntentLogRig::Cover& cover = rig.cover(block_of(3, 6, 2));
  REQUIRE(cover.outcome.has_value());
  CHECK(cover.outcome->ok());
  CHECK(rig.counters.logRecords == records);
  CHECK(rig.counters.coveredWrites == 1);
}

TEST_CASE("group commit: intents of one turn share one record") {
  IntentLogRig rig;
  for (std::uint64_t region = 0; region < 100; ++region) rig.cover(block_of(region, region));
  rig.settle_all_devices();
  CHECK(rig.counters.logRecords == 1);
  CHECK(rig.counters.intentsLogged == 100);
  CHECK(rig.scan().covered.bytes() == 100 * kBlock);
}

TEST_CASE("group commit: intents that arrive while as many records as may be are in flight share the next one") {
  IntentLogRig rig;
  rig.hold_log();
  for (std::uint64_t region = 0; region < kRecordsInFlight; ++region) {
    rig.cover(block_of(region, 0));
    rig.settle_all_devices();
  }
  CHECK(rig.device.in_flight() == kRecordsInFlight);
  std::vector<IntentLogRig::Cover*> later;
  for (std::uint64_t region = 100; region < 150; ++region) {
    later.push_back(&rig.cover(block_of(region, 0)));
    rig.settle_all_devices();
  }
  CHECK(rig.device.in_flight() == kRecordsInFlight);
  rig.release_log();
  CHECK(rig.counters.logRecords == kRecordsInFlight + 1);
  for (IntentLogRig::Cover* cover : later) REQUIRE(cover->outcome.has_value());
}

TEST_CASE("a retirement leaves alone what is leased, and what was written since the flush began") {
  IntentLogRig rig;
  IntentLogRig::Cover& leased = rig.cover(block_of(1, 0));
  REQUIRE(rig.touch(block_of(2, 0)).ok());
  IntentLogRig::Cover& late = rig.cover(block_of(3, 0));
  rig.settle_all_devices();
  const std::uint64_t mark = rig.log->flush_begins();
  rig.log->settle(late.lease);
  rig.log->flush_succeeded(mark);
  REQUIRE(rig.retire(rig.everything()).ok());
  const RingState state = rig.scan();
  CHECK(state.covered.contains(block_of(1, 0)));
  CHECK_FALSE(state.covered.contains(block_of(2, 0)));
  CHECK(state.covered.contains(block_of(3, 0)));
  CHECK(rig.log->live_bytes() == 2 * kBlock);
  rig.log->settle(leased.lease);
}

TEST_CASE("I2: a flush that did not succeed retires nothing") {
  IntentLogRig rig;
  REQUIRE(rig.touch(block_of(1, 0)).ok());
  rig.log->flush_begins();
  REQUIRE(rig.retire(rig.everything()).ok());
  CHECK(rig.scan().covered.contains(block_of(1, 0)));
}

TEST_CASE("an extent stops covering the moment the record that retires it is submitted") {
  IntentLogRig rig;
  REQUIRE(rig.touch(block_of(1, 0)).ok());
  rig.flush_images();
  rig.hold_log();
  std::optional<Outcome> retired;
  rig.start_retirement(rig.everything(), retired);
  rig.settle_all_devices();
  REQUIRE(rig.device.in_flight() == 1);
  IntentLogRig::Cover& cover = rig.cover(block_of(1, 0));
  rig.settle_all_devices();
  CHECK_FALSE(cover.outcome.has_value());
  rig.release_log();
  rig.release_log();
  REQUIRE(cover.outcome.has_value());
  CHECK(rig.scan().covered.contains(block_of(1, 0)));
  CHECK(rig.log->live_bytes() == kBlock);
}

TEST_CASE("whoever was woken by a record gets its lease before a retirement that waited for the same record") {
  IntentLogRig rig;
  REQUIRE(rig.touch(block_of(1, 0)).ok());
  rig.flush_images();
  rig.hold_log();
  IntentLogRig::Cover& cover = rig.cover(block_of(1, 1));
  rig.settle_all_devices();
  std::optional<Outcome> retired;
  rig.start_retirement(rig.everything(), retired);
  rig.settle_all_devices();
  rig.release_log();
  REQUIRE(cover.outcome.has_value());
  REQUIRE(retired.has_value());
  CHECK(rig.scan().covered.contains(block_of(1, 1)));
  rig.log->settle(cover.lease);
}

TEST_CASE("I13: what is leased is carried forward, and the slots behind it come free") {
  IntentLogRig rig(8);
  IntentLogRig::Cover& leased = rig.cover(block_of(1, 7, 3));
  rig.settle_all_devices();
  for (std::uint64_t region = 10; region < 13; ++region) REQUIRE(rig.touch(block_of(region, 0)).ok());
  const std::uint64_t tail = rig.log->durable_tail();
  rig.flush_images();
  REQUIRE(rig.retire(rig.everything()).ok());
  CHECK(rig.log->durable_tail() > tail + 3);
  CHECK(rig.scan().covered.extents() == std::vector<Extent>{block_of(1, 7, 3)});
  CHECK(rig.counters.regionsCarried == 1);
  CHECK(rig.counters.regionsRetired == 3);
  rig.log->settle(leased.lease);
}

TEST_CASE("a pass under pressure carries a region that was written again, and retires it when it was not since") {
  IntentLogRig rig;
  REQUIRE(rig.touch(block_of(1, 0)).ok());
  REQUIRE(rig.touch(block_of(1, 0)).ok());
  rig.flush_images();
  REQUIRE(rig.retire({0, rig.log->next_sequence(), true}).ok());
  CHECK(rig.scan().covered.contains(block_of(1, 0)));
  REQUIRE(rig.retire({0, rig.log->next_sequence(), true}).ok());
  CHECK(rig.scan().covered.empty());
}

TEST_CASE("the tail never passes a record in flight, though a later one landed") {
  IntentLogRig rig;
  std::uint64_t held = 0;
  rig.device.decide = [&](const DeviceRequest&) { return SimulatedDevice::Fate{0, 0, held++ == 0}; };
  IntentLogRig::Cover& first = rig.cover(block_of(1, 0));
  rig.settle_all_devices();
  for (std::uint64_t region = 2; region < 5; ++region) REQUIRE(rig.touch(block_of(region, 0)).ok());
  CHECK_FALSE(first.outcome.has_value());
  rig.flush_images();
  std::optional<Outcome> retired;
  rig.start_retirement(rig.everything(), retired);
  rig.settle_all_devices();
  CHECK(rig.log->durable_tail() <= rig.superblock.first_sequence);
  rig.release_log();
  REQUIRE(first.outcome.has_value());
  CHECK(rig.scan().covered.contains(block_of(1, 0)));
}

TEST_CASE("of several records in flight the older may be torn while the newer lands: only what was granted counts") {
  for (unsigned torn = 0; torn < 3; ++torn) {
    CAPTURE(torn);
    IntentLogRig rig;
    unsigned submitted = 0;
    rig.device.decide = [&](const DeviceRequest&) { return SimulatedDevice::Fate{0, 0, submitted++ == torn}; };
    std::vector<IntentLogRig::Cover*> covers;
    for (std::uint64_t region = 0; region < 3; ++region) {
      covers.push_back(&rig.cover(block_of(region, 0)));
      rig.settle_all_devices();
    }
    unsigned sector = 0;
    rig.device.lose_power([&] { return sector++ % 2 == 0; });
    const RingState state = rig.scan();
    CHECK_FALSE(state.damaged);
    for (unsigned i = 0; i < 3; ++i) {
      CHECK(covers[i]->outcome.has_value() == (i != torn));
      CHECK(state.covered.contains(block_of(i, 0)) == (i != torn));
    }
    rig.settle_all_devices();
  }
}

TEST_CASE("records say truly up to which sequence the log was durable, and no sequence is beyond the window") {
  IntentLogRig rig(16);
  std::map<std::uint64_t, bool> durable;  // by sequence
  bool lied = false;
  rig.device.on_submit = [&](const DeviceRequest& request) {
    const std::span<const std::byte> bytes(request.memory, request.length);
    const Slot slot = decode_slot(rig.superblock.log_uuid, bytes);
    const RecordHeader& header = slot.record.header;
    lied |= slot.state != SlotState::complete || header.sequence % 16 != ring_slot(rig, request);
    lied |= durable.contains(header.sequence);
    durable[header.sequence] = false;
    for (const auto& [sequence, landed] : durable) lied |= sequence <= header.durable_through && !landed;
    lied |= header.durable_through + rig.superblock.ring.in_flight_limit < header.sequence;
  };
  rig.device.on_settle = [&](const DeviceRequest& request, int) {
    const std::span<const std::byte> bytes(request.memory, request.length);
    durable[decode_slot(rig.superblock.log_uuid, bytes).record.header.sequence] = true;
  };
  std::mt19937 random(4);
  rig.device.decide = [&](const DeviceRequest&) { return SimulatedDevice::Fate{0, random() % 5000, false}; };
  std::vector<IntentLogRig::Cover*> open;
  for (int round = 0; round < 400; ++round) {
    open.push_back(&rig.cover(block_of(random() % 40, random() % 256)));
    for (unsigned steps = random() % 3; steps > 0; --steps) rig.runtime.step();
    if (round % 10 != 9) continue;
    rig.settle_all_devices();
    for (IntentLogRig::Cover* cover : open) rig.log->settle(cover->lease);
    open.clear();
    rig.flush_images();
    REQUIRE(rig.retire(rig.log->goal_under_pressure()).ok());
  }
  CHECK_FALSE(lied);
  CHECK(durable.size() > 60);
}

TEST_CASE("I13: a scan at a quiet point yields exactly what memory holds, over many laps of the smallest ring") {
  for (std::uint32_t records : {kMinimumRingRecords, 64u}) {
    CAPTURE(records);
    IntentLogRig rig(records, kMinimumRecoveryBudget);
    std::mt19937 random(records);
    std::vector<IntentLogRig::Cover*> leased;
    for (int round = 0; round < 2000; ++round) {
      IntentLogRig::Cover& cover = rig.cover(block_of(random() % 60, random() % 250, 1 + random() % 3));
      rig.settle_all_devices();
      if (cover.outcome) leased.push_back(&cover);
      if (leased.size() > 10 || !cover.outcome) {
        std::shuffle(leased.begin(), leased.end(), random);
        for (int i = 0; i < 8 && !leased.empty(); ++i) {
          rig.log->settle(leased.back()->lease);
          leased.pop_back();
        }
      }
      if (rig.log->wants_retirement() || !cover.outcome) {
        rig.flush_images();
        REQUIRE(rig.retire(rig.log->goal_under_pressure()).ok());
        if (!cover.outcome) {
          rig.flush_images();
          REQUIRE(rig.retire(rig.everything()).ok());
        }
        REQUIRE(cover.outcome.has_value());
        if (std::find(leased.begin(), leased.end(), &cover) == leased.end()) leased.push_back(&cover);
      }
      const RingState state = rig.scan();
      REQUIRE_FALSE(state.damaged);
      REQUIRE(state.covered.bytes() == rig.log->live_bytes());
      REQUIRE(state.covered.bytes() <= kMinimumRecoveryBudget);
    }
    CHECK(rig.log->next_sequence() > 5 * records);
  }
}

TEST_CASE("a request larger than the room that is left wants a retirement though little is live") {
  IntentLogRig rig(64, kMinimumRecoveryBudget);
  REQUIRE(rig.touch(block_of(0, 0)).ok());
  CHECK_FALSE(rig.log->wants_retirement());
  rig.wanted.take();
  IntentLogRig::Cover& whole = rig.cover(block_of(1, 0, 256));
  rig.settle_all_devices();
  CHECK_FALSE(whole.outcome.has_value());
  CHECK(rig.wanted.raised());
  CHECK(rig.log->wants_retirement());
  CHECK(rig.log->starves());
  rig.flush_images();
  REQUIRE(rig.retire(rig.log->goal_under_pressure()).ok());
  REQUIRE(whole.outcome.has_value());
  CHECK(rig.scan().covered.bytes() == kMinimumRecoveryBudget);
  CHECK(rig.counters.budgetWaits == 1);
  CHECK_FALSE(rig.log->starves());
}

TEST_CASE("room in the budget is given first come, first served: small requests do not overtake a large one") {
  IntentLogRig rig(64, kMinimumRecoveryBudget);
  std::vector<IntentLogRig::Cover*> small;
  for (std::uint64_t region = 0; region < 4; ++region) small.push_back(&rig.cover(block_of(region, 0, 40)));
  rig.settle_all_devices();
  IntentLogRig::Cover& large = rig.cover(block_of(9, 0, 256));
  IntentLogRig::Cover& later = rig.cover(block_of(10, 0, 8));
  rig.settle_all_devices();
  CHECK_FALSE(large.outcome.has_value());
  CHECK_FALSE(later.outcome.has_value());
  for (IntentLogRig::Cover* cover : small) {
    REQUIRE(cover->outcome.has_value());
    rig.log->settle(cover->lease);
    rig.flush_images();
    REQUIRE(rig.retire(rig.log->goal_under_pressure()).ok());
    CHECK_FALSE(later.outcome.has_value());
  }
  REQUIRE(large.outcome.has_value());
  rig.log->settle(large.lease);
  rig.flush_images();
  REQUIRE(rig.retire(rig.log->goal_under_pressure()).ok());
  CHECK(later.outcome.has_value());
}

TEST_CASE("a full ring whose oldest slots hold only superseded statements empties without a retirement") {
  IntentLogRig rig(8);
  for (std::uint64_t region = 0; region < 5; ++region) REQUIRE(rig.touch(block_of(region, 0)).ok());
  // One record states the first regions again; only the next record can tell that the slots before are free.
  std::vector<IntentLogRig::Cover*> covers;
  for (std::uint64_t region = 0; region < 4; ++region) covers.push_back(&rig.cover(block_of(region, 9)));
  rig.settle_all_devices();
  REQUIRE(covers[0]->outcome.has_value());
  IntentLogRig::Cover& cover = rig.cover(block_of(20, 0));
  rig.settle_all_devices();
  CHECK(cover.outcome.has_value());
  CHECK(rig.counters.retirements == 0);
  const RingState state = rig.scan();
  CHECK_FALSE(state.damaged);
  CHECK(state.covered.bytes() == rig.log->live_bytes());
}

TEST_CASE("a region that is never without a lease is barred, and retired, when it keeps somebody waiting") {
  IntentLogRig rig(64, kMinimumRecoveryBudget);
  IntentLogRig::Cover* hot = &rig.cover(block_of(0, 0, 200));
  rig.settle_all_devices();
  IntentLogRig::Cover& cold = rig.cover(block_of(1, 0, 100));
  auto write_hot_again = [&] {
    IntentLogRig::Cover& next = rig.cover(block_of(0, 0));
    rig.settle_all_devices();
    const bool granted = next.outcome.has_value();
    if (hot != nullptr) rig.log->settle(hot->lease);
    hot = granted ? &next : nullptr;
    return granted;
  };
  for (int round = 0; round < 3; ++round) {
    REQUIRE(write_hot_again());
    rig.flush_images();
    REQUIRE(rig.retire(rig.log->goal_under_pressure()).ok());
    CHECK_FALSE(cold.outcome.has_value());
  }
  rig.log->bar_oldest();
  CHECK_FALSE(write_hot_again());
  rig.flush_images();
  REQUIRE(rig.retire(rig.log->goal_under_pressure()).ok());
  CHECK(cold.outcome.has_value());
}

TEST_CASE("bars are lifted when nobody waits for room any more") {
  IntentLogRig rig(64, kMinimumRecoveryBudget);
  IntentLogRig::Cover& old = rig.cover(block_of(0, 0, 100));
  IntentLogRig::Cover& other = rig.cover(block_of(2, 0, 100));
  rig.settle_all_devices();
  IntentLogRig::Cover& waiting = rig.cover(block_of(1, 0, 100));
  rig.settle_all_devices();
  rig.log->bar_oldest();
  IntentLogRig::Cover& barred = rig.cover(block_of(0, 0));
  rig.settle_all_devices();
  CHECK_FALSE(barred.outcome.has_value());
  rig.log->settle(other.lease);
  rig.flush_images();
  REQUIRE(rig.retire(rig.everything()).ok());
  CHECK(waiting.outcome.has_value());
  CHECK(barred.outcome.has_value());
  rig.log->settle(old.lease);
}

TEST_CASE("a sequential stream pays a record for several regions, and after its start waits for none") {
  IntentLogRig rig;
  constexpr std::uint64_t kPart = 32;  // blocks of one write
  constexpr std::uint64_t kStart = 2;  // regions until it is known for a stream
  std::uint64_t records_at_start = 0;
  for (std::uint64_t region = 0; region < 20; ++region) {
    for (std::uint64_t block = 0; block < kIntentBitmapBlocks; block += kPart) {
      IntentLogRig::Cover& cover = rig.cover(block_of(region, block, kPart));
      if (region >= kStart) REQUIRE(cover.outcome.has_value());
      rig.settle_all_devices();
      rig.log->settle(cover.lease);
    }
    if (region == kStart) records_at_start = rig.counters.logRecords;
  }
  CHECK(rig.counters.logRecords - records_at_start <= 5);
  CHECK(rig.scan().covered.contains({0, 20 * kRegionLength}));
}

TEST_CASE("what is covered ahead of a stream ends with the mirror, and leaves the last eighth of the budget") {
  IntentLogRig rig;
  const auto stream_through = [&](std::uint64_t region) {
    REQUIRE(rig.touch(block_of(region, 0, kIntentBitmapBlocks)).ok());
  };
  const std::uint64_t last = IntentLogRig::kRegions - 1;
  for (std::uint64_t region = last - 2; region <= last; ++region) stream_through(region);
  CHECK(rig.scan().covered.extents().back().end() == IntentLogRig::kRegions * kRegionLength);
  const std::uint64_t mark = kDefaultRecoveryBudget - kDefaultRecoveryBudget / 8;
  for (std::uint64_t region = 0; rig.log->live_bytes() < mark; ++region) stream_through(region);
  CHECK(rig.log->live_bytes() == mark);
}

TEST_CASE("a small budget covers nothing ahead, and neither does a scattered load") {
  IntentLogRig small(64, 4 * kMiB);
  for (std::uint64_t region = 0; region < 3; ++region) {
    REQUIRE(small.touch(block_of(region, 0, kIntentBitmapBlocks)).ok());
  }
  CHECK(small.log->live_bytes() == 3 * kRegionLength);
  IntentLogRig scattered;
  for (std::uint64_t region = 0; region < 120; region += 3) REQUIRE(scattered.touch(block_of(region, 0)).ok());
  CHECK(scattered.log->live_bytes() == 40 * kBlock);
}

TEST_CASE("I12: a record that failed fails its whole group, everybody later, covered or not, and the log for good") {
  IntentLogRig rig;
  REQUIRE(rig.touch(block_of(0, 0)).ok());
  std::vector<IntentLogRig::Cover*> group;
  rig.device.decide = [](const DeviceRequest&) { return SimulatedDevice::Fate{5, 1000, false}; };
  for (std::uint64_t region = 1; region < 5; ++region) group.push_back(&rig.cover(block_of(region, 0)));
  rig.settle_all_devices();
  rig.device.decide = nullptr;
  const std::uint64_t records = rig.counters.logRecords;
  group.push_back(&rig.cover(block_of(0, 0)));
  group.push_back(&rig.cover(block_of(9, 0)));
  rig.settle_all_devices();
  for (IntentLogRig::Cover* cover : group) {
    REQUIRE(cover->outcome.has_value());
    CHECK(cover->outcome->code == Code::LOG_FAILED);
    CHECK(cover->outcome->system_error == 5);
    CHECK(cover->outcome->image == kLogDevice);
  }
  CHECK(rig.counters.logRecords == records);
  CHECK(rig.retire(rig.everything()).code == Code::LOG_FAILED);
}

TEST_CASE("I12: a failure reaches those who wait for budget, for the ring, for a record in flight, and behind a bar") {
  IntentLogRig rig(8, kMinimumRecoveryBudget);
  IntentLogRig::Cover& held = rig.cover(block_of(0, 0, 200));
  rig.settle_all_devices();
  std::vector<IntentLogRig::Cover*> waiting;
  waiting.push_back(&rig.cover(block_of(1, 0, 100)));
  waiting.push_back(&rig.cover(block_of(2, 0, 100)));
  rig.settle_all_devices();
  rig.log->bar_oldest();
  waiting.push_back(&rig.cover(block_of(0, 0)));
  rig.settle_all_devices();
  for (IntentLogRig::Cover* cover : waiting) CHECK_FALSE(cover->outcome.has_value());
  rig.log->fail(Outcome::of(Code::MASTER_FAILED, 0, 5));
  rig.settle_all_devices();
  for (IntentLogRig::Cover* cover : waiting) {
    REQUIRE(cover->outcome.has_value());
    CHECK(cover->outcome->code == Code::MASTER_FAILED);
  }
  rig.log->settle(held.lease);
}

TEST_CASE("memory of regions is given back when they are retired") {
  IntentLogRig rig(64, 4 * kMinimumRecoveryBudget);
  for (std::uint64_t region = 0; region < 5000; ++region) {
    REQUIRE(rig.touch(block_of(region, region % 256)).ok());
    if (!rig.log->wants_retirement()) continue;
    rig.flush_images();
    REQUIRE(rig.retire(rig.log->goal_under_pressure()).ok());
  }
  CHECK(rig.log->regions() <= 1024);
  rig.flush_images();
  REQUIRE(rig.retire(rig.everything()).ok());
  CHECK(rig.log->regions() == 0);
  CHECK(rig.log->live_bytes() == 0);
  CHECK(rig.scan().covered.empty());
}

TEST_CASE("a region keeps gaining blocks and is always stated in full by its newest record alone") {
  IntentLogRig rig;
  std::mt19937 random(8);
  for (int round = 0; round < 200; ++round) {
    REQUIRE(rig.touch(block_of(5, random() % 256)).ok());
    const RingState state = rig.scan();
    ExtentSet newest;
    for (const test::SequencedIntent& live : state.live) {
      if (live.sequence == state.live.back().sequence) add_covered(live.intent, newest);
    }
    REQUIRE(newest.extents() == state.covered.extents());
  }
}

TEST_CASE("a thousand coverers share the smallest ring and budget, and a pass per wish serves them all") {
  IntentLogRig rig(kMinimumRingRecords, kMinimumRecoveryBudget);
  std::mt19937 random(2);
  std::vector<IntentLogRig::Cover*> covers;
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t count = random() % 20 == 0 ? 256 : 1 + random() % 8;
    covers.push_back(&rig.cover(block_of(random() % 50, count == 256 ? 0 : random() % 200, count)));
  }
  std::vector<bool> settled(covers.size(), false);
  std::size_t done = 0;
  for (int round = 0; round < 5000 && done < covers.size(); ++round) {
    rig.settle_all_devices();
    for (std::size_t i = 0; i < covers.size(); ++i) {
      if (settled[i] || !covers[i]->outcome) continue;
      REQUIRE(covers[i]->outcome->ok());
      rig.log->settle(covers[i]->lease);
      settled[i] = true;
      ++done;
    }
    if (!rig.wanted.take()) continue;
    rig.flush_images();
    REQUIRE(rig.retire(rig.log->goal_under_pressure()).ok());
  }
  CHECK(done == covers.size());
  CHECK_FALSE(rig.scan().damaged);
}
