// Reads what is on the disk at assess time: superblock copies, labels, the whole ring. Writes nothing. A read error is
// not an end but a finding: the copy, or the slot, counts as unreadable and the decision tables take it from there.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "../base/data_buffer.h"
#include "../base/device.h"
#include "../base/extent.h"
#include "../base/extent_gatherer.h"
#include "../base/outcome.h"
#include "../base/task.h"
#include "../format/label.h"
#include "../format/ring_scan.h"
#include "../format/superblock.h"
#include "assessment.h"

namespace blockmirror {

// `stale` becomes the copy that the next write may destroy: the one that is not the newest whole one. 0 is A, 1 is B.
Task<Outcome> read_superblock(Device& log, Superblock& into, unsigned& stale);

struct FoundLabel {
  Outcome found;
  Label label;
  unsigned stale = 0;  // as of a superblock
};
Task<FoundLabel> read_label(Device& image, std::uint64_t position);

// Reads a ring in steps, so that whoever waits can be told how far it is, and can leave.
//
// Memory, whatever the disk says: a buffer of kRingBuffer, RingScanner::kSlotMemory for each slot, the gathered debt, and
// kReportedIntents: below 48 MiB for the longest ring there is (kMaximumRingLength). A ring no longer than the buffer is
// read once; of a longer one those parts a second time that hold live records.
inline constexpr std::uint64_t kRingBuffer = 16 * 1024 * 1024;  // bytes
inline constexpr std::size_t kReportedIntents = 1000;           // told one by one; all are counted and gathered

class RingReader {
 public:
  RingReader(Device& log, const Superblock& superblock);

  // Reads on, about `bytes` more. NO_MEMORY, and then nothing can be concluded. A read error is a finding.
  Task<Outcome> read_on(std::uint64_t bytes);
  bool done() const { return done_; }
  std::uint64_t bytes_read() const { return bytes_read_; }

  // When done.
  const RingScan& scan() const { return scanner_.scan(); }
  std::span<const LiveIntent> live_intents() const { return live_intents_; }  // the first kReportedIntents
  std::uint64_t live_intent_count() const { return live_intent_count_; }
  // What the live intents cover, inside of the mirror and in whole blocks of it.
  ExtentSet take_covered() { return std::move(covered_); }

 private:
  struct Chunk {
    std::uint32_t first = 0;  // slot
    std::uint32_t count = 0;
    bool holds(std::uint32_t slot) const { return slot >= first && slot - first < count; }
  };
  Task<void> load(std::uint32_t slot);
  std::span<std::byte> bytes_of(std::uint32_t slot);
  void look_at_chunk();
  bool take(std::uint32_t slot);

  Device& log_;
  const RingGeometry ring_;
  const RingIdentity identity_;
  const std::uint64_t mirror_size_;
  const std::uint32_t slots_in_buffer_;
  std::optional<DataBuffer> buffer_;
  Chunk chunk_;                   // what the buffer holds
  std::vector<bool> unreadable_;  // of the chunk
  RingScanner scanner_;
  ExtentGatherer gatherer_;
  std::uint32_t next_slot_ = 0;  // first pass
  std::uint32_t next_rank_ = 0;  // second pass
  bool begun_ = false;
  bool done_ = false;
  std::uint64_t bytes_read_ = 0;
  std::vector<Intent> intents_;
  std::vector<LiveIntent> live_intents_;
  std::uint64_t live_intent_count_ = 0;
  ExtentSet covered_;
};

}  // namespace blockmirror
