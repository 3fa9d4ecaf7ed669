// Recovery: claim 1 of US 6,671,705, steps 4 and 5: copy the logged portions from the master to every slave.
//
// I3, master wins: a portion is copied whatever the two hold, which is right in all four cases: the slave was updated
// and the master not (the slave is rolled back), neither, both, the master and not the slave (rolled forward).
// What a crash left is recovery debt, a set of its own. It shrinks by copying alone; it may be retired when it was
// copied whole and every slave was flushed after the last copy. A crash in the middle costs only time: the debt is in
// the log until it is retired. I11: a slave that errors is failed the moment it answers, and durably before the step
// ends; recovery goes on for the others. An error of the master ends it. Reads are the exception, since what was read is
// going to be overwritten: bytes that a slave cannot read are overwritten like any others, and fail it only when they
// cannot be read back; a block that the master cannot read is taken from a slave in sync, written to the master and read
// back before anything is copied from it, and recorded (docs/ARCHITECTURE.md says why that is a legal outcome).
#pragma once

#include <cstdint>
#include <vector>

#include "../base/device.h"
#include "../base/extent.h"
#include "../base/outcome.h"
#include "../base/task.h"
#include "../format/superblock.h"
#include "master_repair.h"
#include "membership.h"
#include "piece_runner.h"
#include "results.h"

namespace blockmirror {

class Recovery final : private FailureListener {
 public:
  // `needs_slave`: whether to go on is pointless with no slave left. It is for a mirror that is being made; the debt of
  // an existing one then means nothing any more, every slave being failed, durably, as a whole.
  Recovery(Membership& membership, PieceRunner& pieces, MasterRepair& repair, const Superblock& superblock,
           ExtentSet debt, bool needs_slave);

  // Not yet copied. Bytes of it are uncertain: the images may really differ there.
  const ExtentSet& uncopied() const { return uncopied_; }

  // I4: what a read returned once, from the master's volatile cache, must not be rolled back by a later power loss that
  // finds the slaves newer. Before anything is copied or read.
  Task<Outcome> flush_master();
  Task<Outcome> copy(std::span<const Extent> extents, bool compare, bool only_differing, CopyResult& into);
  Task<Outcome> flush_slaves();
  // Reads back what was copied.
  Task<Outcome> read_back(std::span<const Extent> extents, CompareResult& into);
  bool may_retire() const {
    return uncopied_.empty() && copies_begun_ == copies_ended_ && copies_flushed_ == copies_ended_ &&
           master_error_ == 0;
  }

 private:
  class Copying;
  class ReadingBack;
  Task<Outcome> mend_master(Extent piece, std::byte* bytes, std::vector<Repair>* repairs);
  Outcome may_read_master() const;
  void image_failed(unsigned image, Operation operation, int error) override;
  Task<Outcome> settle_slaves(ParallelOperation::Results results);
  Task<Outcome> write_slaves(Extent piece, ImageSet slaves, std::byte* bytes, CopyResult& into);

  Membership& membership_;
  PieceRunner& pieces_;
  MasterRepair& repair_;
  const std::uint64_t mirror_size_;
  const std::uint64_t compare_block_;
  const bool needs_slave_;
  ExtentSet debt_;
  ExtentSet uncopied_;
  int master_error_ = 0;  // of a flush, never retried (I11); or kWrongBytes: nothing is read of it any more
  std::uint64_t copies_begun_ = 0;
  std::uint64_t copies_ended_ = 0;
  std::uint64_t copies_flushed_ = 0;  // copies that had ended when the last flush that succeeded began
};

// What is counted and rewritten as one: 4 KiB, or the largest block if that is larger.
std::uint64_t compare_block_of(const Superblock& superblock);

// Blocks side by side that differ: where in the piece they begin and end, and how many of their bytes do.
struct DifferingRun {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;  // of the piece, when there is no further run: then it is empty
  std::uint64_t bytes = 0;
};
// The first run at or after `from`. Pure.
DifferingRun next_differing_run(const std::byte* a, const std::byte* b, std::uint64_t from, std::uint64_t length,
                                std::uint64_t block);

// Adds what differs in a piece that was read of master and slaves. Shared by reading back (recovery) and comparing (running).
void count_differences(Extent piece, std::uint64_t block, ImageSet slaves, const PieceMemory& memory,
                       CompareResult& into);
// Takes out what was counted for slaves that take no part any more.
void forget_slaves(ImageSet slaves, CompareResult& into);
inline constexpr std::uint64_t kSmallestCompareBlock = 4096;
inline constexpr std::size_t kReportedDifferences = 1000;  // of one step; all are counted

}  // namespace blockmirror
