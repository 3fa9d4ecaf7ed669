// A model of a writer that keeps its promises (p1..p6 in ring_scan.cc), crashed at random, over and over, on one ring.
//
// After each crash the scan must call it no damage (exactness), must yield every intent that was durable and not
// retired (I13), and nothing below a durable tail (copying too much is safe, but not unbounded). Then the same ring is
// damaged on purpose, and the scan must say so. The model keeps statements of items in sets; it shares nothing with
// IntentLog.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include "../../../core/format/ring_scan.h"
#include "../../support/ring_media.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

class ModelWriter {
 public:
  ModelWriter(std::uint64_t seed, std::uint32_t record_count, std::uint32_t in_flight_limit)
      : media(record_count, in_flight_limit),
        random(seed),
        count_(record_count),
        limit_(in_flight_limit),
        next_(record_count),
        durable_through_(record_count - 1),
        durable_tail_(record_count) {}

  // A turn of the writer: starts a record if it may, or lets one in flight land in full.
  void step() {
    if (!in_flight_.empty() && random.one_in(2)) return settle_one();
    const bool window = next_ <= durable_through_ + limit_;
    const bool room = next_ < durable_tail_ + count_;
    const bool first_is_durable = first_of_opening_ || durable_through_ >= media.identity().first_sequence;  // p5
    if (window && room && first_is_durable) return submit();
    if (!in_flight_.empty()) settle_one();
  }

  // Any subset of the sectors of what is in flight lands; what was durable stays.
  void crash() {
    for (const auto& [sequence, record] : in_flight_) {
      std::uint32_t sectors = static_cast<std::uint32_t>(random.below(256));
      if (random.one_in(4)) sectors = 0;
      if (random.one_in(4)) sectors = 0xff;
      media.land(record.header, record.intents, sectors);
    }
  }

  void check(const ScannedRing& scan) {
    REQUIRE_FALSE(scan.damaged);
    REQUIRE(scan.sequence >= durable_through_);
    REQUIRE(scan.tail >= durable_tail_);
    REQUIRE(scan.durable_through <= durable_through_known_);
    std::set<std::uint64_t> found;
    for (const SequencedIntent& live : scan.live) {
      REQUIRE(live.sequence >= durable_tail_);
      found.insert(live.intent.extent.position);
    }
    for (const auto& [position, item] : items_) {
      if (!item.released && !item.durable_in.empty()) REQUIRE_MESSAGE(found.count(position) == 1, "lost an intent");
    }
  }

  // What the next opener does: everything that the scan found is carried, or copied and so retired, by its first
  // record.
  void reopen(const ScannedRing& scan) {
    in_flight_.clear();
    next_ = scan.sequence + 1;
    durable_through_ = durable_through_known_ = scan.sequence;
    durable_tail_ = scan.tail;
    media.begin_opening(next_);
    std::map<std::uint64_t, Item> kept;
    for (const SequencedIntent& live : scan.live) kept[live.intent.extent.position].durable_in.insert(live.sequence);
    items_ = std::move(kept);
    first_of_opening_ = true;
  }

  // Live records that are durable for certain, by the scan's own lights.
  std::vector<std::uint64_t> durable_live(const ScannedRing& scan) const {
    std::vector<std::uint64_t> sequences = live_sequences(scan);
    std::erase_if(sequences, [&](std::uint64_t sequence) { return sequence > scan.durable_through; });
    return sequences;
  }

  std::uint64_t torn_seen = 0;
  RingMedia media;
  Random random;

 private:
  struct Item {
    std::set<std::uint64_t> durable_in;  // records that state it
    std::uint64_t in_flight_in = 0;      // number of records in flight that state it
    bool released = false;               // its retirement was composed: flushed, so nothing needs it any more
  };
  struct Submitted {
    RecordHeader header;
    std::vector<Intent> intents;
  };

  std::uint64_t oldest_in_flight() const { return in_flight_.empty() ? next_ : in_flight_.begin()->first; }

  // How far a tail may go when the items below it that are not released move into the record itself.
  std::uint64_t choose_tail() {
    std::uint64_t limit = oldest_in_flight();
    for (const auto& [position, item] : items_) {
      if (!item.released && !item.durable_in.empty() && item.in_flight_in > 0) {
        limit = std::min(limit, *item.durable_in.rbegin());
      }
    }
    if (first_of_opening_) return limit;
    const std::uint64_t lowest = std::max(durable_tail_, lowest_needed());
    if (limit <= lowest) return std::min(lowest, limit);
    const bool pressed = next_ + limit_ >= durable_tail_ + count_;
    return pressed ? limit : lowest + random.below(limit - lowest + 1);
  }

  std::uint64_t lowest_needed() const {
    std::uint64_t lowest = oldest_in_flight();
    for (const auto& [position, item] : items_) {
      if (!item.released && !item.durable_in.empty()) lowest = std::min(lowest, *item.durable_in.rbegin());
    }
    return lowest;
  }

  void submit() {
    Submitted record;
    record.header = media.header(next_, durable_through_, std::max(durable_tail_, choose_tail()));
    for (auto& [position, item] : items_) {
      const bool passed = !item.released && !item.durable_in.empty() && *item.durable_in.rbegin() < record.header.tail;
      if (!passed) continue;
      if (random.one_in(3) && record.intents.size() < 100) {
        record.intents.push_back(extent_intent(position, 512));
        ++item.in_flight_in;
      } else {
        item.released = true;
      }
    }
    for (std::uint64_t fresh = random.below(3); fresh > 0; --fresh) {
      const std::uint64_t position = 512 * ++positions_;
      record.intents.push_back(extent_intent(position, 512));
      items_[position].in_flight_in = 1;
    }
    in_flight_[next_++] = std::move(record);
    first_of_opening_ = false;
  }

  void settle_one() {
    auto chosen = in_flight_.begin();
    std::advance(chosen, static_cast<std::ptrdiff_t>(random.below(in_flight_.size())));
    const Submitted& record = chosen->second;
    media.land(record.header, record.intents);
    for (const Intent& intent : record.intents) {
      Item& item = items_[intent.extent.position];
      --item.in_flight_in;
      item.durable_in.insert(record.header.sequence);
    }
    durable_tail_ = std::max(durable_tail_, record.header.tail);
    in_flight_.erase(chosen);
    durable_through_ = oldest_in_flight() - 1;
    durable_through_known_ = durable_through_;
    std::erase_if(items_, [](const auto& entry) { return entry.second.released && entry.second.in_flight_in == 0; });
  }

  std::uint32_t count_;
  std::uint32_t limit_;
  std::uint64_t next_;
  std::uint64_t durable_through_;
  std::uint64_t durable_through_known_ = durable_through_;
  std::uint64_t durable_tail_;
  bool first_of_opening_ = true;
  std::uint64_t positions_ = 0;
  std::map<std::uint64_t, Submitted> in_flight_;
  std::map<std::uint64_t, Item> items_;
};

struct Geometry {
  std::uint32_t count;
  std::uint32_t limit;
};
constexpr Geometry kGeometries[] = {{8, 1}, {8, 2}, {8, 4}, {16, 4}, {16, 8}, {33, 5}};

// Runs openings and crashes; `on_crash(writer, scan)` sees each crash that the scan has passed.
template <typename OnCrash>
void run(std::uint64_t seed, const Geometry& geometry, OnCrash on_crash) {
  CAPTURE(seed);
  CAPTURE(geometry.count);
  CAPTURE(geometry.limit);
  ModelWriter writer(seed, geometry.count, geometry.limit);
  for (int opening = 0; opening < 12; ++opening) {
    // Often only a step or two, so that openings follow each other with little or nothing in between.
    const std::uint64_t steps = writer.random.one_in(3) ? writer.random.below(4) : writer.random.below(120);
    for (std::uint64_t i = 0; i < steps; ++i) writer.step();
    writer.crash();
    const ScannedRing scan = writer.media.scan();
    writer.check(scan);
    on_crash(writer, scan);
    writer.reopen(scan);
    writer.check(writer.media.scan());  // a crash before the new opening wrote anything
  }
}

}  // namespace

TEST_CASE("scan of a crashed ring: never damage, every durable intent, nothing retired durably") {
  std::uint64_t torn = 0, live = 0, crashes = 0;
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    for (const Geometry& geometry : kGeometries) {
      run(seed, geometry, [&](ModelWriter&, const ScannedRing& scan) {
        torn += scan.torn_records;
        live += scan.live.size();
        ++crashes;
      });
    }
  }
  CHECK(crashes == 150 * 6 * 12);
  CHECK(torn > crashes / 4);  // the model does tear
  CHECK(live > crashes);      // and does leave something to lose
}

TEST_CASE("scan of a crashed ring that is damaged besides: always damage") {
  std::uint64_t tried = 0;
  for (std::uint64_t seed = 1001; seed <= 1060; ++seed) {
    for (const Geometry& geometry : kGeometries) {
      run(seed, geometry, [&](ModelWriter& writer, const ScannedRing& scan) {
        RingMedia flipped = writer.media, unreadable = writer.media;
        const std::uint64_t slot = writer.random.below(geometry.count);
        flipped.slot_bytes(slot)[writer.random.below(kMinimumRecordSize)] ^=
            static_cast<std::byte>(1 + writer.random.below(255));
        REQUIRE(flipped.scan().damaged);
        unreadable.make_unreadable(slot);
        REQUIRE(unreadable.scan().damaged);

        const std::vector<std::uint64_t> targets = writer.durable_live(scan);
        if (targets.empty()) return;
        const std::uint64_t target = targets[writer.random.below(targets.size())];
        const auto sectors = static_cast<std::uint32_t>(1 + writer.random.below(254));
        RingMedia stale = writer.media, overwritten = writer.media;
        // What the slot may have held a lap earlier, in part or in full.
        RecordHeader header{target - geometry.count, 0, 0, geometry.count - 1, geometry.count};
        if (header.sequence >= geometry.count) header = {header.sequence, 1, 1, header.sequence - 1, header.sequence};
        if (header.opening < stale.identity().opening || header.sequence >= stale.identity().first_sequence) {
          stale.land(header, {}, writer.random.one_in(2) ? 0xff : sectors);
          REQUIRE(stale.scan().damaged);
          ++tried;
        }
        overwritten.land(overwritten.header(target + geometry.count, scan.sequence, scan.tail), {}, sectors);
        REQUIRE(overwritten.scan().damaged);
      });
    }
  }
  CHECK(tried > 200);
}
