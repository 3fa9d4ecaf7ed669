// The oracle for order, at the boundary of the devices: it sees requests as they are submitted and as they settle, reads
// the log's records with its own decoder, and knows nothing of the engine's state.
//
//   I1   no data write is submitted before a durable record covers its blocks, and none that a submitted tail has passed
//   I2   no tail passes a block with a write under way, or written since the last flush of any image that succeeded, and
//        none of an image that has answered with an error counts from then on, the master's least of all;
//        I13 nor one whose newer statement is not durable yet; a log is sealed with nothing live in it or on its way
//   I4   nothing is acknowledged, a datasync neither, after a write or a flush of the master failed
//   I5   what is acknowledged is on every image that claims to be in sync, and a missed slave stands as failed in both
//        copies of the superblock, with the new generation in the labels of the others
//   I3   the debt of a recovery is let go only when each slave was flushed after the last copy to it
//   I6   overlapping data writes are never under way together, and none beside what a verify reads, or what is taken of a slave
//   I7   the memory of a write does not change while it is under way
//   budget  no crash from now on could leave more to copy than the recovery budget
//   minInSync  no write and no datasync is acknowledged while fewer images are in sync than it asks for, those that failed
//        or are being resynced not counted
//   I8   no slave is recorded as failed, or as taken out, without a new generation, which names the one before; at the end of an opening
//        both copies of each label are of that opening; nothing is written to the data of a slave that was out before
//        superblock and label say, durably, that it is being resynced
//   I10  nothing is taken of a slave that is out
//   I10  while the mirror runs no slave is read in the place of the master that is not proven to be in sync, or that a
//        verify found different
//   I11  an image that failed a write or a flush of an opening is not in sync at its end; nothing is retired that such an
//        image may not hold before its failure is durable; a mirror is not sealed with an image that receives writes and
//        whose file had lost blocks before the close began
//   I15  nothing is asked of a slave while it owes an answer that is past its deadline
//   I14  of a slave that went out in this life a resync copies nothing but what it missed, or had not flushed; of one that
//        its operator took out in sync, nothing but what was written since
//   I12  nothing is acknowledged after a record failed; no sequence is written twice in one life
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "log_decoder.h"
#include "machine.h"

namespace blockmirror::simulator {

struct Geometry {
  std::uint64_t mirror_size = 0;
  std::uint64_t ring_position = 0;
  std::uint32_t record_size = 0;
  std::uint32_t record_count = 0;
  std::vector<std::uint64_t> label_positions;  // by image
  bool in_ring(std::uint64_t position) const {
    const std::uint64_t length = std::uint64_t{record_size} * record_count;
    return position >= ring_position && position < ring_position + length;
  }
};

class OrderChecker : public Watcher {
 public:
  using Violation = std::function<void(const char* invariant, std::string words)>;
  OrderChecker(const Geometry& geometry, std::uint64_t recovery_budget, unsigned minimum_in_sync, Violation violation);

  void attach(const Disks& disks) { disks_ = &disks; }
  // Of a write or flush of that image, whoever has heard of it.
  bool has_failed(unsigned image) const { return images_[image].out; }
  // The mirror takes requests from here on; what recovery wrote before is judged by its outcome.
  void mirror_runs();

  void submitted(unsigned disk, const DeviceRequest& request) override;
  void settled(unsigned disk, const DeviceRequest& request, int error) override;
  void cache_lost(unsigned disk) override;
  void loss_told(unsigned disk) override;
  void changed(unsigned disk, const DeviceRequest& request) override;
  void asked_while_late(unsigned disk) override;
  // A slave went out by its deadline: what it answers to these requests counts for nothing.
  void timed_out(unsigned image, const std::vector<const DeviceRequest*>& late);
  // A slave was taken out by its operator, flushed: of what it holds nothing is missed.
  void fractured(unsigned image);
  // A slave that is out may come back from here on, and has: whichever comes first, this or a write to it.
  void rejoins(unsigned image, bool full);
  void returned(unsigned image);
  // A verify that repairs may find that sector of it different: a resync may copy its block.
  void may_repair(unsigned image, std::uint64_t sector) {
    images_[image].missed[sector * kSimulatedSector / kBlock] = true;
  }
  // A crash left it owing, and it is being paid. `debt`: what the ring names, where that is all of it; else null.
  void crashed(unsigned image, const ExtentSet* debt);
  // The ring as the opening found it.
  void scanned(std::uint64_t tail) { scanned_tail_ = tail; }
  bool came_back(unsigned image) const { return images_[image].returned != 0; }
  bool is_under_way(std::uint64_t sector) const;  // a write of it, of any image
  // A close begins, and the files of these disks have lost blocks.
  void closes(std::uint32_t lost_blocks) { lost_at_close_ = lost_blocks; }
  // What that slave holds there is taken for the content of the mirror, and no more.
  void takes(unsigned image, Extent extent) { sources_.push_back({image, extent}); }
  void taken(unsigned image, Extent extent);
  // A verify reads that piece of every image; an empty one: none.
  void compares(Extent piece) { compared_ = piece; }
  // Whether a verify has reported that the image differs from the master, and nothing since may have shown it equal.
  void differs(unsigned image, bool does) { images_[image].differs = does; }
  // A write that was asked for was called off: no image holds anything of it.
  void aborted(std::uint64_t position, const std::vector<SectorRef>& contents);
  // A write is asked for. True when it is the first of a region that was covered ahead of it.
  bool asked(Extent extent);
  // Regions that records stated in whole before a write asked for any of it.
  std::uint64_t regions_ahead() const { return regions_ahead_; }
  // A write of that extent was acknowledged: `contents` at `position` must be on every image that claims to be in sync.
  void acknowledged(Extent written, std::uint64_t position, const std::vector<SectorRef>& contents, bool durable);

  // Whether no slave receives anything.
  bool is_alone() const;

  // A datasync was.
  void flush_acknowledged();

  // Blocks that a scan after a crash now may call live: stated since the last durable tail passed them. This is how much
  // a recovery may copy at most.
  std::vector<bool> may_be_live() const;

 private:
  struct Latest {
    std::uint64_t submitted = 0;
    bool succeeded = false;
  };
  struct Image {
    bool out = false;  // answered with an error: no longer written to
    bool differs = false;
    bool lost = false;  // its cache is gone, and nobody has noticed yet
    bool may_return = false;
    bool crashed = false;        // was in sync before a crash, and is being resynced
    bool owes_all = false;       // or nobody knows what it missed
    std::uint64_t left = 0;      // when its operator took it out; 0: nobody did
    std::uint64_t returned = 0;  // when it came back; 0: it was never out
    std::vector<bool> missed;    // by block; what a resync may copy
    std::vector<Extent> copies;  // of a resync, under way
    std::vector<Extent> under_way;
    std::map<std::pair<std::uint64_t, std::uint64_t>, Latest> latest;  // data writes by position and length, in bytes
    std::vector<std::uint64_t> written;                                // by block: time of the last settlement
    std::uint64_t flushed = 0;  // when the newest flush that succeeded was submitted
    std::vector<std::pair<const DeviceRequest*, std::uint64_t>> flushes;  // under way
    std::vector<Extent> comparisons;                                      // reads under way, in bytes
    std::vector<const DeviceRequest*> late;  // answered upwards at their deadline, not by the device
  };
  struct Block {
    std::uint64_t stated = 0;          // newest record that states it
    std::uint64_t durably_stated = 0;  // newest durable one
    bool covered = false;              // by a durable statement that every tail so far spares or carries itself
  };
  enum class Wish : std::uint8_t { none, ahead, asked };  // of a region: what was made of it so far
  bool is_data(unsigned disk, const DeviceRequest& request) const;
  bool is_record(unsigned disk, const DeviceRequest& request) const;
  Extent blocks_of(const DeviceRequest& request) const;
  void record_submitted(const DeviceRequest& request);
  void judge_budget();
  void find_ahead(const std::vector<bool>& stated);
  void judge_passed(std::uint64_t block, std::uint64_t tail);
  void judge_debt_let_go();
  void judge_seal();
  void judge_history(const DeviceRequest& request, std::uint64_t generation);
  void judge_labels(unsigned image);
  bool is_durably_failed(unsigned image) const;
  bool compares(unsigned disk, const DeviceRequest& request) const;
  bool is_source(unsigned disk, const DeviceRequest& request) const;
  void source_submitted(unsigned image, const DeviceRequest& request);
  void comparison_submitted(unsigned image, const DeviceRequest& request);
  void data_submitted(unsigned image, const DeviceRequest& request);
  bool is_resync_copy(unsigned image, const Extent& blocks) const;
  void copy_submitted(unsigned image, const Extent& blocks);
  void goes_out(Image& image);
  bool is_durably_resynced(unsigned image) const;
  bool is_durably_out(unsigned image) const;
  bool owes_durably(unsigned image) const;
  void judge_fracture(unsigned image);
  void judge_minimum(const char* what);
  bool reached(unsigned image, Extent extent) const;
  std::vector<std::byte> newest_superblock(bool only_whole) const;
  StoredState claimed_state(unsigned image) const;
  std::uint64_t claimed_generation() const;
  bool serves(unsigned disk, const DeviceRequest& request) const;
  void note_master_read(const DeviceRequest& request, bool holds);
  void judge_serving(unsigned image);
  bool is_repair(unsigned disk, const DeviceRequest& request) const;
  void superblock_submitted(const DeviceRequest& request);

  Geometry geometry_;
  std::uint64_t recovery_budget_;
  unsigned minimum_in_sync_;
  Violation violation_;
  const Disks* disks_ = nullptr;
  bool running_ = false;
  std::uint64_t clock_ = 0;
  std::uint64_t tail_ = 0;  // largest submitted
  std::uint64_t durable_tail_ = 0;
  std::uint64_t scanned_tail_ = 0;
  std::uint64_t newest_record_ = 0;  // largest submitted
  bool log_failed_ = false;
  Extent compared_;
  std::vector<std::pair<unsigned, Extent>> sources_;  // slaves that content is taken of
  std::vector<Extent> master_reads_;                  // under way, or that succeeded
  Extent of_master_;                                  // the data write of the master that was submitted last, and when
  std::uint64_t of_master_at_ = 0;
  std::uint32_t lost_at_close_ = 0;  // by disk
  std::vector<Block> blocks_;
  std::vector<Wish> regions_;
  std::uint64_t regions_ahead_ = 0;
  std::vector<Image> images_;
  std::vector<std::pair<const DeviceRequest*, DecodedRecord>> records_under_way_;
};

}  // namespace blockmirror::simulator
