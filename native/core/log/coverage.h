// Coverage: the union of live intents, by region of 1 MiB, block of 4 KiB exact. A pure leaf: it holds the state and
// answers questions; whoever asks does the I/O.
//
// Invariants:
//  - I13, a disk scan yields what memory holds: one record states a region in full. Whenever a region gains blocks, all
//    of its blocks are stated again, so that the newest durable statement (`sequence`) alone holds the region and the
//    older ones may vanish.
//  - `covered` blocks are stated by a durable record that no durable or submitted tail has passed; only they may be
//    written without a log write (I1). `pending` blocks are asked for, or stated by a record in flight.
//  - live_blocks() counts covered, pending and retiring blocks: an upper bound of what a scan after a crash yields, and
//    what the recovery budget limits.
//  - `settled` and `settled_before` hold every block of a write that settled and that no flush of all images is known to
//    hold yet (I5): what an image that goes out now may have lost. A flush that succeeded with mark `m` holds all that settled
//    in an epoch below `m`; two sets keep the epochs apart, so that what is told is at most one flush too much.
//  - Durable regions stand in the list `oldest()` in the order of `sequence`.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

#include "../base/assert.h"
#include "../base/extent.h"
#include "../base/runtime.h"
#include "../format/record.h"

namespace blockmirror {

// The blocks of one region as a set of 256 bits.
struct BlockSet {
  IntentBitmap words{};

  static BlockSet of(unsigned first, unsigned count) {
    BlockSet set;
    for (unsigned word = 0; word < set.words.size(); ++word) {
      unsigned low = word * 64;
      if (first >= low + 64 || first + count <= low) continue;
      unsigned from = first > low ? first - low : 0;
      unsigned to = first + count < low + 64 ? first + count - low : 64;
      std::uint64_t mask = to - from == 64 ? ~0ull : ((1ull << (to - from)) - 1);
      set.words[word] = mask << from;
    }
    return set;
  }
  static BlockSet all() { return of(0, kIntentBitmapBlocks); }

  bool contains(const BlockSet& other) const {
    std::uint64_t missing = 0;
    for (unsigned i = 0; i < words.size(); ++i) missing |= other.words[i] & ~words[i];
    return missing == 0;
  }
  bool empty() const { return (words[0] | words[1] | words[2] | words[3]) == 0; }
  unsigned count() const {
    unsigned total = 0;
    for (std::uint64_t word : words) total += static_cast<unsigned>(std::popcount(word));
    return total;
  }
  // Runs of adjacent blocks.
  unsigned runs() const {
    unsigned total = 0;
    std::uint64_t carry = 0;
    for (std::uint64_t word : words) {
      total += static_cast<unsigned>(std::popcount(word & ~((word << 1) | carry)));
      carry = word >> 63;
    }
    return total;
  }
  bool test(unsigned block) const { return (words[block / 64] >> (block % 64)) & 1; }

  friend BlockSet operator|(BlockSet a, const BlockSet& b) {
    for (unsigned i = 0; i < a.words.size(); ++i) a.words[i] |= b.words[i];
    return a;
  }
  friend BlockSet operator-(BlockSet a, const BlockSet& b) {
    for (unsigned i = 0; i < a.words.size(); ++i) a.words[i] &= ~b.words[i];
    return a;
  }
  friend bool operator==(const BlockSet&, const BlockSet&) = default;
};

struct Region {
  std::uint64_t index = 0;  // position / region length
  BlockSet covered;
  BlockSet pending;
  std::uint64_t sequence = 0;           // newest durable record that states it; meaningful while covered is not empty
  std::uint32_t records_in_flight = 0;  // records being written that state it
  std::uint32_t leases = 0;             // writes under way on covered blocks
  std::uint32_t pins = 0;               // coroutines that look at it
  std::uint64_t last_settlement = 0;    // flush epoch when the last write under it settled (I2)
  BlockSet settled;                     // of writes that settled in the epoch `last_settlement`
  BlockSet settled_before;              // of those that settled earlier, the last of them in `settled_before_epoch`
  std::uint64_t settled_before_epoch = 0;
  std::uint32_t touches = 0;  // writes since it was last carried or retired: its heat
  bool referenced = false;    // written again without a log write since it was last stated
  bool listed = false;        // stands in the list of durable regions
  bool queued = false;        // waits to be stated
  bool barred = false;        // takes no new lease until it is retired or the bars are lifted
  WaiterQueue waiters;        // for its pending blocks, or for the end of its bar
  Region* older = nullptr;    // list of durable regions
  Region* newer = nullptr;
  Region* next = nullptr;  // hash chain, free list

  // A write of those blocks settled in that epoch; flushes below `safe` have succeeded.
  void note_settled(const BlockSet& blocks, std::uint64_t epoch, std::uint64_t safe) {
    if (epoch != last_settlement) {
      if (settled_before_epoch < safe) settled_before = BlockSet{};
      if (last_settlement >= safe) settled_before = settled_before | settled;
      settled_before_epoch = last_settlement;
      settled = BlockSet{};
    }
    settled = settled | blocks;
    last_settlement = epoch;
  }
  BlockSet unflushed(std::uint64_t safe) const {
    BlockSet blocks;
    if (last_settlement >= safe) blocks = settled;
    return settled_before_epoch >= safe ? blocks | settled_before : blocks;
  }

  bool idle() const {
    return covered.empty() && pending.empty() && records_in_flight == 0 && leases == 0 && pins == 0 && !queued &&
           !listed;
  }
};

// Intents that state a set of blocks of one region: extents while that is shorter, else one bitmap.
unsigned intent_units(const BlockSet& blocks);
void append_intents(std::uint64_t region_index, const BlockSet& blocks, std::vector<Intent>& into);

class Coverage {
 public:
  Coverage();
  ~Coverage();
  Coverage(const Coverage&) = delete;
  Coverage& operator=(const Coverage&) = delete;

  static BlockSet blocks_of(Extent extent);  // inside one region

  Region* find(std::uint64_t index) const;
  Region& find_or_add(std::uint64_t index);
  // Gives back a region that nothing refers to any more.
  void release_if_idle(Region& region);

  template <typename Visitor>
  void for_each(Visitor visit) const {
    for (const Region* first : buckets_) {
      for (const Region* region = first; region != nullptr; region = region->next) visit(*region);
    }
  }

  // The list of durable regions, oldest statement first.
  Region* oldest() const { return oldest_; }
  // `sequence` became the newest durable statement of the region: moves it to its place.
  void restated(Region& region, std::uint64_t sequence);
  void unlist(Region& region);

  std::uint64_t live_blocks() const { return live_blocks_; }
  void add_live(std::uint64_t blocks) { live_blocks_ += blocks; }
  void subtract_live(std::uint64_t blocks) {
    BLOCKMIRROR_ASSERT(live_blocks_ >= blocks, "more blocks retired than were live");
    live_blocks_ -= blocks;
  }
  std::uint64_t regions() const { return count_; }

 private:
  void grow();
  std::vector<Region*> buckets_;
  std::vector<std::unique_ptr<Region[]>> slabs_;
  Region* free_ = nullptr;
  Region* oldest_ = nullptr;
  Region* newest_ = nullptr;
  std::uint64_t live_blocks_ = 0;
  std::uint64_t count_ = 0;
};

}  // namespace blockmirror
