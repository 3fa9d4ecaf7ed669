// MasterRepair: what the master cannot read is taken from a slave that is in sync, written back, and read again.
//
// Invariants:
//  - A slave gives bytes only while it is in sync, or was when a crash left it a debt: never one that is assumed, away or
//    back from having been away, nor one of which a write or flush has failed while the other images have not answered yet.
//  - The caller holds the block alone (I6), and an intent that covers it is durable until the rewrite has settled (I1):
//    a live one while the mirror runs, the debt itself in a recovery. Where the images may differ (in a recovery) the
//    master's block must not stay as it was: the recovery ends unless the rewrite was read back.
//  - Never the other way round: what the master can read is right, whatever a slave holds.
//  - A rewrite counts as a repair only when it was read back as written. A master that returns other bytes than were
//    written, without an error, has failed, for later openings too (judge_label.cc): they would copy them to the slaves.
//  - The last kRecentRepairs are kept for whoever wants to tell; all are counted.
#pragma once

#include <cstdint>
#include <span>

#include "../base/counters.h"
#include "../base/device.h"
#include "../base/extent.h"
#include "../base/outcome.h"
#include "../base/task.h"
#include "../format/superblock.h"
#include "membership.h"
#include "results.h"

namespace blockmirror {

class MasterRepair {
 public:
  MasterRepair(Membership& membership, const Superblock& superblock, Counters& counters)
      : membership_(membership), superblock_(superblock), counters_(counters) {}
  MasterRepair(const MasterRepair&) = delete;
  MasterRepair& operator=(const MasterRepair&) = delete;

  // What is repaired as one: at least the largest physical block, so that no device has to read in order to write it.
  std::uint64_t block_length() const;

  // From the first of those slaves that may serve and can read it; `from` is that slave, or kNoImage.
  Task<void> read_slave(Extent block, ImageSet slaves, std::span<std::byte> into, ImageIndex& from);
  // Durable, and read back. READ_FAILED: the block is as unreadable as before. WRITE_FAILED: it may be, and the device may
  // have lost its cache. MASTER_FAILED: it holds what nobody wrote. NO_MEMORY: nothing was done.
  Task<Outcome> rewrite(Extent block, std::span<const std::byte> bytes, ImageIndex from);

  void note(const Repair& repair);
  // Of the master, and nobody can give what stood there.
  void note_unreadable(Extent block, int error);
  const RecentRepairs& recent() const { return recent_; }

 private:
  Membership& membership_;
  const Superblock& superblock_;
  Counters& counters_;
  RecentRepairs recent_;
};

}  // namespace blockmirror
