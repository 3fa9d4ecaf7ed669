// The decision table of the ring, and why it is right. One row decides each slot.
//
// Let N be record_count, W in_flight_limit, F first_sequence of this opening. A complete record is *acceptable* when it
// stands in its slot (sequence mod N), and its opening fits: this one from F on, an earlier one below F, 0 with nothing
// in it below N (blank, of formatting).
//   H     newest acceptable complete record
//   tail  largest tail that any acceptable complete record states: intents below it are retired
//   D     sequences that were certainly durable: for this opening the largest durable_through that its records state,
//         at least F - 1, at least H - W (H was submitted only because H - W was durable); for what is below F likewise
//         from the records below F, and F - 1 where a record from F on states a tail below F (p5).
// Each slot owes one sequence S, the one in (H - N, H] that falls on it. X is the newest sequence on any of its
// sectors.
//
//   #  sectors              X                and                                        verdict
//   1  unreadable/broken    -                                                           damage
//   2  a stamp is foreign   -                                                           damage
//   3  complete             any              not acceptable                             damage
//   4  mixed                S + N            X <= H + W and S < tail                    torn: next lap, in flight
//   5  any                  above S          otherwise                                  damage
//   6  complete             S                S >= tail                                  live
//   7  any                  up to S          S < tail                                   retired
//   8  mixed                S                S > D                                      torn: this lap, in flight
//   9  any                  below S          S > D                                      torn: nothing of S landed
//   10 any                  up to S          otherwise                                  damage
// A stamp is foreign when its sequence does not fall on the slot or its opening is later than the superblock's. And the
// ring as a whole is damaged when nothing acceptable is in it, when H < F - 1 (F - 1 was there when this opening
// began), when H - N >= tail (what still counts was overwritten), or when openings, generations or durable_through fall
// from one acceptable record to a later one.
//
// Writers promise (IntentLog, Session):
//   p1  S is submitted only when every record of its opening up to S - W is durable.
//   p2  S is submitted only when a durable record states a tail above S - N.
//   p3  Data moves under S only when S is durable.
//   p4  An opening starts at H + 1 of a scan that found no damage, after a flush of the log. After damage the debt is
//       everything, and the ring is rewritten in full, further on, before anything is retired.
//   p5  An opening whose scan found a gap (rule 8 or 9) states a tail >= F in every record: what came before is in the
//       fracture maps, durably, before its first record is submitted. Without a gap its records may leave the tail where
//       it was until the maps hold what it names: all of it is durable then, as D below F says.
//   p6  No request of an earlier opening lands any more (I11: it was awaited, or is fenced off).
//
// Why no live durable record is dropped (I13). Let R be durable, not retired, perhaps with data under it. Its slot was
// written after it only by R + N, and by p2 R would then be retired; so the slot holds R complete, or the device broke
// its word. R <= H, being complete and acceptable itself, and R > H - N, since H was submitted under p2. So S = R: rule
// 6, live. If the device broke its word: unreadable or garbage is rule 1; sectors of an older time where R <= D is rule
// 10. What is left is R in (D, H], at most W - 1 records, acknowledged and then replaced by valid sectors of their own
// slot's past: the log cannot tell that from a write that never landed.
//
// Why the newest record is not missed. Had H + 1 been durable, it would be acceptable, unless its slot is broken (rule
// 1) or shows sectors of H + 1 while the record before it in that slot still counts (rule 5). A device that takes back
// its newest records without a trace leaves an older state of the whole ring, which is a legal one; F - 1 and the
// sealed sequence, both in the superblock, catch what reaches back beyond an opening.
//
// Why a tail is never believed too far. It is read only from complete acceptable records, and such a record passes only
// what is retired, carried in itself, or stated by records durable before it (I13), whether it was acknowledged or not.
//
// Why no crash is called damage. Records in flight lie within W above the durable ones, and those are complete. So each
// slot is complete with S; or in flight as S, and S > D since D names only durable ones (rules 8, 9); or in flight as
// S + N, where p2 gives S < tail by a durable record and p1 gives S + N <= H + W (rule 4); or was lost in an earlier
// crash and is retired since (p5, rule 7). The last kind leaves sectors of any earlier lap behind, hence "up to" and
// "below" in the table, and not S - N alone. Rule 3: (S, an older opening) with S >= F was not complete when this
// opening scanned the ring, and by p6 nothing lands later. Rule 4 takes sectors of S + N under several openings,
// because every opening begins at the same H + 1 until one of its records is complete.
//
// A broken slot counts as damage even where nothing live could be in it: it costs a full compare, after which the ring
// is rewritten, instead of a proof about what a device that returns garbage would never do.
#include "ring_scan.h"

#include <algorithm>
#include <new>
#include <utility>

#include "../base/mutation.h"

namespace blockmirror {

// What pass one keeps of a slot.
struct RingScanner::Finding {
  SlotState state = SlotState::broken;
  bool acceptable = false;   // complete, in its place, of a fitting opening
  bool foreign = false;      // a stamp that can not be there
  bool live = false;         // once judged
  std::uint64_t newest = 0;  // sequence, over all sectors
  RecordHeader header;       // when complete
  const char* reason = "cannot be read";
};

struct RingScanner::Horizon {
  bool any = false;
  std::uint64_t newest = 0;  // H
  std::uint64_t tail = 0;
  std::uint64_t durable_before = 0;  // D below F
  std::uint64_t durable_now = 0;     // D from F on
};

enum class RingScanner::Verdict : std::uint8_t { live, retired, torn, missing, damage };
struct RingScanner::Judgement {
  Verdict verdict;
  const char* reason;
};

namespace {

std::uint64_t less(std::uint64_t from, std::uint64_t amount) { return from > amount ? from - amount : 0; }

bool is_blank(const Record& record, std::uint32_t record_count) {
  const RecordHeader& header = record.header;
  return header.opening == 0 && header.sequence < record_count && header.generation == 0 && record.intents.empty() &&
         header.durable_through == record_count - 1 && header.tail == record_count;
}

bool is_acceptable(const RingIdentity& identity, const Record& record) {
  const RecordHeader& header = record.header;
  if (header.opening == 0 || header.sequence < identity.record_count) return is_blank(record, identity.record_count);
  return header.sequence >= identity.first_sequence ? header.opening == identity.opening
                                                    : header.opening < identity.opening;
}

}  // namespace

RingIdentity ring_identity_of(const Superblock& superblock) {
  RingIdentity identity;
  identity.log_uuid = superblock.log_uuid;
  identity.record_size = superblock.ring.record_size;
  identity.record_count = superblock.ring.record_count;
  identity.in_flight_limit = superblock.ring.in_flight_limit;
  identity.opening = static_cast<std::uint32_t>(superblock.open_count);
  identity.first_sequence = superblock.first_sequence;
  return identity;
}

void RingScanner::FreeFindings::operator()(Finding* findings) const { delete[] findings; }

bool RingScanner::begin(const RingIdentity& identity) {
  static_assert(sizeof(Finding) + sizeof(std::uint32_t) <= kSlotMemory);
  BLOCKMIRROR_ASSERT(identity.record_count >= kMinimumRecordCount, "a ring has a least number of records");
  BLOCKMIRROR_ASSERT(identity.in_flight_limit >= 1 && identity.in_flight_limit <= identity.record_count / 2,
                     "the windows in flight of two laps must not meet");
  BLOCKMIRROR_ASSERT(identity.first_sequence >= identity.record_count, "the first lap is formatting's");
  BLOCKMIRROR_ASSERT(std::uint64_t{identity.record_size} * identity.record_count <= kMaximumRingLength,
                     "the length of a ring is limited");
  identity_ = identity;
  findings_.reset(new (std::nothrow) Finding[identity.record_count]);
  order_.reset(new (std::nothrow) std::uint32_t[identity.record_count]);
  return findings_ != nullptr && order_ != nullptr;
}

void RingScanner::note_unreadable(std::uint32_t slot) {
  BLOCKMIRROR_ASSERT(slot < identity_.record_count, "a slot of this ring");
  findings_[slot] = Finding{};
}

void RingScanner::look_at(std::uint32_t slot, std::span<const std::byte> bytes) {
  BLOCKMIRROR_ASSERT(slot < identity_.record_count && bytes.size() == identity_.record_size, "a slot of this ring");
  const Slot decoded = decode_slot(identity_.log_uuid, bytes);
  Finding finding;
  finding.state = decoded.state;
  finding.reason = decoded.reason;
  for (const SectorStamp& stamp : decoded.stamps) {
    finding.newest = std::max(finding.newest, stamp.sequence);
    if (stamp.sequence % identity_.record_count != slot || stamp.opening > identity_.opening) finding.foreign = true;
  }
  if (finding.state == SlotState::complete) {
    finding.header = decoded.record.header;
    finding.acceptable = !finding.foreign && is_acceptable(identity_, decoded.record);
  }
  findings_[slot] = finding;
}

RingScanner::Horizon RingScanner::find_horizon() const {
  Horizon horizon;
  std::uint64_t newest_before = 0;
  for (std::uint32_t slot = 0; slot < identity_.record_count; ++slot) {
    if (!findings_[slot].acceptable) continue;
    const RecordHeader& header = findings_[slot].header;
    const bool now = header.sequence >= identity_.first_sequence;
    horizon.any = true;
    horizon.newest = std::max(horizon.newest, header.sequence);
    horizon.tail = std::max(horizon.tail, header.tail);
    std::uint64_t& durable = now ? horizon.durable_now : horizon.durable_before;
    durable = std::max(durable, header.durable_through);
    if (now && header.tail < identity_.first_sequence) horizon.durable_before = identity_.first_sequence - 1;
    if (!now) newest_before = std::max(newest_before, header.sequence);
  }
  horizon.durable_before = std::max(horizon.durable_before, less(newest_before, identity_.in_flight_limit));
  horizon.durable_now = std::max(horizon.durable_now, identity_.first_sequence - 1);
  if (horizon.newest >= identity_.first_sequence) {
    horizon.durable_now = std::max(horizon.durable_now, less(horizon.newest, identity_.in_flight_limit));
  }
  if (!horizon.any) {
    horizon.newest = horizon.durable_before = identity_.first_sequence - 1;
    horizon.tail = identity_.first_sequence;
  }
  return horizon;
}

// The sequence in (H - N, H] that falls on the slot; below the first lap there is none, and the slot's own number
// stands.
std::uint64_t RingScanner::owed_sequence(std::uint32_t slot) const {
  const std::uint64_t lap = scan_.sequence / identity_.record_count * identity_.record_count;
  const std::uint64_t sequence = lap + slot;
  return sequence > scan_.sequence && lap > 0 ? sequence - identity_.record_count : sequence;
}

RingScanner::Judgement RingScanner::judge_slot(const Horizon& horizon, const Finding& found, std::uint64_t owed) const {
  const std::uint64_t next_lap = owed + identity_.record_count;
  const std::uint64_t durable = owed >= identity_.first_sequence ? horizon.durable_now : horizon.durable_before;
  const bool complete = found.state == SlotState::complete;
  const bool retired = owed < horizon.tail;
  if (found.state == SlotState::broken && !mutated(Mutation::overlook_damage)) return {Verdict::damage, found.reason};
  if (found.foreign) return {Verdict::damage, "a sector that does not belong into this slot of this opening"};
  if (complete && !found.acceptable) return {Verdict::damage, "a record of an opening that did not write it"};
  if (!complete && found.newest == next_lap && found.newest <= horizon.newest + identity_.in_flight_limit && retired) {
    return {Verdict::torn, ""};
  }
  if (found.newest > owed)
    return {Verdict::damage, "overwritten while it still counted, or from beyond the window in flight"};
  if (complete && found.newest < owed && mutated(Mutation::trust_stale_record)) return {Verdict::live, ""};
  if (complete && found.newest == owed && (!retired || mutated(Mutation::trust_retired_record)))
    return {Verdict::live, ""};
  if (retired) return {Verdict::retired, ""};
  if (owed > durable) return {Verdict::missing, ""};
  return {Verdict::damage, "a durable record is gone, or torn long after it was written"};
}

// What contradicts between the acceptable records, in order of sequence.
void RingScanner::judge_order() {
  std::uint32_t count = 0;
  for (std::uint32_t slot = 0; slot < identity_.record_count; ++slot) {
    if (findings_[slot].acceptable) order_[count++] = slot;
  }
  std::sort(order_.get(), order_.get() + count, [this](std::uint32_t one, std::uint32_t other) {
    return findings_[one].header.sequence < findings_[other].header.sequence;
  });
  for (std::uint32_t i = 1; i < count; ++i) {
    const RecordHeader &earlier = findings_[order_[i - 1]].header, &later = findings_[order_[i]].header;
    if (earlier.opening <= later.opening && earlier.generation <= later.generation &&
        earlier.durable_through <= later.durable_through) {
      continue;
    }
    add_damage(order_[i], later.sequence, "contradicts the record before it");
  }
}

void RingScanner::judge_horizon() {
  const auto slot = static_cast<std::uint32_t>(scan_.sequence % identity_.record_count);
  if (scan_.sequence + 1 < identity_.first_sequence) {
    const auto missing = static_cast<std::uint32_t>((identity_.first_sequence - 1) % identity_.record_count);
    add_damage(missing, identity_.first_sequence - 1, "the last record before this opening is gone");
  }
  if (scan_.tail + identity_.record_count <= scan_.sequence) {
    add_damage(slot, scan_.sequence, "records that still counted were overwritten");
  }
  if (scan_.tail > scan_.sequence + 1) {
    add_damage(slot, scan_.sequence, "the newest record is gone: a tail points beyond it");
  }
}

void RingScanner::add_damage(std::uint32_t slot, std::uint64_t expected_sequence, const char* reason) {
  scan_.damaged = true;
  ++scan_.damage_count;
  if (scan_.damage.size() < kReportedDamage) scan_.damage.push_back({slot, expected_sequence, reason});
}

void RingScanner::judge() {
  const Horizon horizon = find_horizon();
  scan_ = RingScan{};
  scan_.sequence = scan_.highest_sequence = horizon.newest;
  scan_.tail = horizon.tail;
  scan_.durable_through = horizon.newest >= identity_.first_sequence ? horizon.durable_now : horizon.durable_before;
  scan_.damaged = !horizon.any;
  bool forget = mutated(Mutation::forget_live_record);
  for (std::uint32_t rank = 0; rank < identity_.record_count; ++rank) {
    const std::uint32_t slot = slot_of_rank(rank);
    Finding& finding = findings_[slot];
    const std::uint64_t owed = owed_sequence(slot);
    const Judgement judgement = judge_slot(horizon, finding, owed);
    scan_.highest_sequence = std::max(scan_.highest_sequence, finding.newest);
    if (judgement.verdict == Verdict::live) finding.live = !std::exchange(forget, false);
    const bool missing = judgement.verdict == Verdict::missing;
    if (judgement.verdict == Verdict::torn || missing) ++scan_.torn_records;
    scan_.has_gaps = scan_.has_gaps || missing;
    if (judgement.verdict == Verdict::damage) add_damage(slot, owed, judgement.reason);
  }
  judge_order();
  judge_horizon();
}

std::uint32_t RingScanner::slot_of_rank(std::uint32_t rank) const {
  if (scan_.sequence < identity_.record_count) return rank;
  return static_cast<std::uint32_t>((scan_.sequence + 1 + rank) % identity_.record_count);
}

bool RingScanner::is_live(std::uint32_t slot) const { return findings_[slot].live; }
std::uint64_t RingScanner::sequence_of(std::uint32_t slot) const { return owed_sequence(slot); }

void RingScanner::take_live(std::uint32_t slot, std::span<const std::byte> bytes, std::vector<Intent>& into) {
  into.clear();
  Slot decoded = decode_slot(identity_.log_uuid, bytes);
  const RecordHeader &now = decoded.record.header, &then = findings_[slot].header;
  const bool same =
      decoded.state == SlotState::complete && now.sequence == then.sequence && now.opening == then.opening;
  if (!same) return add_damage(slot, owed_sequence(slot), "changed while it was read");
  into = std::move(decoded.record.intents);
  if (!into.empty()) ++scan_.live_records;
}

void RingScanner::note_lost(std::uint32_t slot) { add_damage(slot, owed_sequence(slot), "could not be read again"); }

}  // namespace blockmirror
