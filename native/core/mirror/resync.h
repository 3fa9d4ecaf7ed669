// Resync: pays the debts of slaves: claim 1 of US 6,671,705, steps 4 and 5: copy the logged portions from the master to every
// slave. After a crash before the first request, or while requests go on; of a slave that comes back; of a mirror that is being
// made.
//
// Invariants:
//  - I3, master wins: a portion is copied whatever the two hold, which is right in all four cases: the slave was updated and the
//    master not (the slave is rolled back), neither, both, the master and not the slave (rolled forward). A crash in the middle
//    costs only time.
//  - I3, I6: each portion is read from the master and written to the slaves under its own range, so that no write comes in
//    between. A write to a portion that is owed goes to all images that receive, and leaves the debt as it is.
//  - I14: a portion is paid only after a flush of the slave that was submitted after its copy had ended, and only while the
//    slave is still in the resync that copied it; with `read_back` only where the slave answers what was copied.
//  - A slave is in sync again in the turn in which it owes nothing any more, not before; the new generation follows.
//  - A failed resync never fails the mirror: an error of a slave ends that slave's resync, what the master cannot read is left
//    owed and told. Bytes that a slave cannot read are overwritten like any others, and fail it only when they cannot be read
//    back.
//  - Bounded: kResyncExtents portions between two flushes, copied by PieceRunner in its own memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "../base/device.h"
#include "../base/extent.h"
#include "../base/limits.h"
#include "../base/outcome.h"
#include "../base/task.h"
#include "../format/superblock.h"
#include "../images/debts.h"
#include "../images/membership.h"
#include "../images/piece_runner.h"
#include "mirror.h"

namespace blockmirror {

inline constexpr std::size_t kResyncExtents = 4096;       // between two flushes
inline constexpr std::uint64_t kResyncBytes = 64 * kMiB;  // of each slave, between two flushes
// Of everything: after so much its progress is made durable. Such a write costs as much as some copies.
inline constexpr std::uint64_t kCursorDistance = 1024 * kMiB;

struct ResyncOrder {
  ImageSet slaves = 0;
  std::uint64_t longest = kResyncBytes;  // bytes that this step may copy to each slave
  CopyWay way = {};
  bool read_back = false;  // what was copied is read again after the flush, before it is paid
};

struct ResyncResult {
  ImageSet in_sync = 0;                // slaves that owe nothing any more
  std::uint64_t bytes_copied = 0;      // over all slaves
  std::uint64_t bytes_left = 0;        // of the slave that owes most
  std::uint64_t bytes_unreadable = 0;  // of the master; left owed
  Outcome unreadable;                  // READ_FAILED: the first of them
  CopyResult copied;                   // by slave
  // Of read_back: the first difference of each step. What differs is left owed.
  std::uint64_t bytes_read_back_differing = 0;
  Difference read_back_difference;
};

class Resync final {
 public:
  Resync(Mirror& mirror, Membership& membership, Debts& debts, PieceRunner& pieces, Superblock& superblock);
  Resync(const Resync&) = delete;
  Resync& operator=(const Resync&) = delete;

  // One step: copies what is owed next, of all slaves of the order in one pass over the master, flushes them, and takes those
  // that owe nothing any more back into sync. Success with nothing left in `into.bytes_left`: done. Slaves that went out
  // meanwhile are not in `into.in_sync`, and owe what they owed. The mirror's own failure is answered.
  Task<Outcome> step(const ResyncOrder& order, ResyncResult& into);

 private:
  class Copying;
  class ReadingBack;
  struct Copied {
    Extent extent;
    ImageSet slaves = 0;
    bool unreadable = false;  // by the master
  };
  ImageSet resyncing(ImageSet slaves) const;
  void begin_pass(ImageSet slaves);
  Extent next_owed(ImageSet slaves) const;
  void choose(ImageSet slaves, std::uint64_t longest);
  Task<Outcome> copy(const ResyncOrder& order, ImageSet slaves, ResyncResult& into);
  Task<Outcome> read_back(ImageSet slaves, ResyncResult& into);
  void not_copied(unsigned slave, Extent extent);
  void pay(ImageSet slaves);
  void count_copied(const std::array<Uuid, kMaxImages>& ids, const CopyResult& copied);
  Task<Outcome> take_back(ImageSet slaves, ResyncResult& into);
  Task<Outcome> note_cursors(ImageSet slaves);

  Mirror& mirror_;
  Membership& membership_;
  Debts& debts_;
  PieceRunner& pieces_;
  Superblock& superblock_;
  std::uint64_t cursor_ = 0;  // behind what was tried last: what the master cannot read does not hold up the rest
  std::vector<Extent> chosen_;
  std::vector<Copied> copied_;
  std::array<std::uint64_t, kMaxImages> copied_of_{};  // bytes, by the resync with that id
  std::array<Uuid, kMaxImages> counted_ids_{};
};

}  // namespace blockmirror
