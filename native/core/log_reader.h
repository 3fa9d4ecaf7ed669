// Reads what is on the disk at assess time: superblock copies, labels, the whole ring. Writes nothing. A read error is
// not an end but a finding: the copy, or the slot, counts as unreadable and the decision tables take it from there.
#pragma once

#include <vector>

#include "device.h"
#include "label.h"
#include "record.h"
#include "superblock.h"
#include "task.h"

namespace blockmirror {

// `stale` becomes the copy that the next write may destroy: the one that is not the newest whole one. 0 is A, 1 is B.
Task<Status> read_superblock(Device& log, Superblock& into, unsigned& stale);

struct FoundLabel {
  Status found;
  Label label;
  unsigned stale = 0;  // as of a superblock
};
Task<FoundLabel> read_label(Device& image, std::uint64_t position);

struct RingReading {
  Status status;  // NO_MEMORY: a ring as long as the log says does not fit, and nothing else is set
  RingScan scan;
  // Largest sequence that any whole sector carries, complete record or not: no later record may use one below it.
  std::uint64_t highest_sequence = 0;
};
Task<RingReading> read_ring(Device& log, const Superblock& superblock);

}  // namespace blockmirror
