// What a crash left in the ring: which records are live, and whether we may believe so. Pure: bytes in, decisions out.
//
// A ring is looked at in two passes, so that no more of it need be in memory than one slot. The first sees each slot once,
// in any order, and keeps kSlotMemory bytes of it; judge() then decides every slot by the table in ring_scan.cc, which
// says also what writers must promise for it, and why it drops no live intent. The second pass hands over the slots that
// hold live records once more, in order of sequence, and gets their intents.
//
// Invariants:
//  - Memory is taken by begin() alone, and by nothing that the ring says: its length is limited (kMaximumRingLength).
//  - A slot that does not hold in the second pass what it held in the first is damage: nothing is concluded from it.
//  - When `damaged`, coverage is unknown: what take_live() gave is then what could still be read, and everything has to
//    be compared.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "record.h"
#include "superblock.h"

namespace blockmirror {

// What a scan must know of the log; it comes from the superblock.
struct RingIdentity {
  Uuid log_uuid;
  std::uint32_t record_size = 0;
  std::uint32_t record_count = 0;
  std::uint32_t in_flight_limit = 0;
  std::uint32_t opening = 0;         // low 32 bits of the superblock's open_count
  std::uint64_t first_sequence = 0;  // of that opening
};
RingIdentity ring_identity_of(const Superblock& superblock);

struct SlotDamage {
  std::uint32_t slot = 0;
  std::uint64_t expected_sequence = 0;
  const char* reason = "";
};
inline constexpr std::size_t kReportedDamage = 64;  // slots and contradictions told one by one; all are counted
struct RingScan {
  bool damaged = false;
  std::vector<SlotDamage> damage;  // the first kReportedDamage
  std::uint64_t damage_count = 0;
  std::uint64_t sequence = 0;  // newest complete record
  std::uint64_t tail = 0;
  std::uint64_t durable_through = 0;
  std::uint32_t torn_records = 0;      // of the tail: dropped, their writes were never started
  bool has_gaps = false;               // some of them lie before the newest record that is complete
  std::uint32_t live_records = 0;      // that hold intents
  std::uint64_t highest_sequence = 0;  // that any sector of a slot that is not broken carries
};

class RingScanner {
 public:
  static constexpr std::size_t kSlotMemory = 72;  // bytes, at most

  // False: there is no memory for a ring of so many slots.
  bool begin(const RingIdentity& identity);

  void look_at(std::uint32_t slot, std::span<const std::byte> bytes);
  void note_unreadable(std::uint32_t slot);

  void judge();

  // Of the second pass: the slot that comes `rank`-th in order of sequence, 0 to record_count - 1.
  std::uint32_t slot_of_rank(std::uint32_t rank) const;
  bool is_live(std::uint32_t slot) const;
  std::uint64_t sequence_of(std::uint32_t slot) const;
  // Fills in the intents of a live slot; none when it does not hold what it held.
  void take_live(std::uint32_t slot, std::span<const std::byte> bytes, std::vector<Intent>& into);
  void note_lost(std::uint32_t slot);

  const RingScan& scan() const { return scan_; }

 private:
  struct Finding;
  struct Horizon;
  enum class Verdict : std::uint8_t;
  struct Judgement;

  Horizon find_horizon() const;
  std::uint64_t owed_sequence(std::uint32_t slot) const;
  Judgement judge_slot(const Horizon& horizon, const Finding& found, std::uint64_t owed) const;
  void judge_order();
  void judge_horizon();
  void add_damage(std::uint32_t slot, std::uint64_t expected_sequence, const char* reason);

  RingIdentity identity_;
  struct FreeFindings {
    void operator()(Finding* findings) const;
  };
  std::unique_ptr<Finding[], FreeFindings> findings_;  // by slot
  std::unique_ptr<std::uint32_t[]> order_;             // slots, for judge_order
  RingScan scan_;
};

}  // namespace blockmirror
