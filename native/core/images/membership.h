// Membership: which images are in sync, and making every change of that durable before anybody relies on it.
//
// Invariants:
//  - I5, I11: fail() stops sending to an image at once: when its error arrives, not when the other images have answered.
//    make_durable() returns only when the new generation and the image's state are in both copies of the superblock and in
//    the labels of all images still in sync. No write that missed an image is acknowledged before.
//  - I8: a change of the set makes a new generation, whose parent is the one before; the history is bounded. Whoever
//    writes the superblock while a change waits writes that generation with it, and then the labels.
//  - I12: what failed to be written to the log, or to the master's label, is not written again, and failure() says so
//    from then on.
//  - I10: an image in sync has every acknowledged write. One with debt, synchronizing, has not, and does not count for
//    minInSync; the master always counts.
//  - I10: an image never comes back by itself; only a later resync or create may make it in_sync again.
//  - A change of state is told to the history when it is durable, not before; in memory it waits, kNotedEvents at most.
//  - I8: of the two copies of a superblock or label the one that is not the newest whole one is written first. A power loss
//    in a write may have torn it, and one in the next write must not tear the other.
// The order is log first, then labels: a label may be one generation behind the log after a crash, never ahead of it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "../base/aligned_buffer.h"
#include "../base/counters.h"
#include "../base/device.h"
#include "../base/outcome.h"
#include "../base/runtime.h"
#include "../base/task.h"
#include "../format/history.h"
#include "../format/label.h"
#include "../format/superblock.h"
#include "../log/history_writer.h"
#include "image_states.h"

namespace blockmirror {

// Is told that a slave stops receiving writes, in the turn in which it does, before anything else goes on: from then on what
// it misses is owed (I5). Its entry has its new state and its fracture; the debt, the map and the tail are the listener's.
class FractureListener {
 public:
  // `from`: its state until then. `recorded`: what its entry said of its debt until then.
  virtual void slave_left(unsigned slave, ImageState from, DebtKind recorded) = 0;

 protected:
  ~FractureListener() = default;
};

class Membership {
 public:
  Membership(Runtime& runtime, Superblock& superblock, Counters& counters);

  // Whether there is memory for superblock and labels. It is taken once: a fracture must not fail for want of it (I5).
  bool has_memory() const { return superblock_bytes_.size() > 0 && label_bytes_.size() > 0; }

  void set_log(Device& log) { log_ = &log; }
  // Without one a slave that leaves owes everything.
  void on_fracture(FractureListener& listener) { listener_ = &listener; }
  // Without one nothing is told.
  void tell_history(HistoryWriter& history) { history_ = &history; }
  HistoryWriter* history() const { return history_; }
  // What is known of such an event: the image as it is now, generation and opening.
  Event event_of(EventKind kind, unsigned image) const;
  // Tells what was noted of changes that are durable by now.
  void tell_durable();
  void set_images(std::vector<Device*> images) { images_ = std::move(images); }

  Device& log() const { return *log_; }
  bool has_log() const { return log_ != nullptr; }
  std::span<Device* const> images() const { return images_; }
  // Images that get every write: in sync, assumed, or being made (create).
  ImageSet receiving() const;
  ImageSet receiving_slaves() const { return receiving() & superblock_.slaves(); }
  unsigned master() const { return superblock_.master; }
  Device& master_device() const { return *images_[master()]; }
  Outcome of_master(Code code, int error, std::uint64_t position = 0) const {
    return Outcome::of(code, static_cast<ImageIndex>(master()), error, position);
  }
  ImageSet slaves() const { return superblock_.slaves(); }
  // Those that have every acknowledged write (StateRights::in_sync), the master among them.
  ImageSet in_sync() const;
  // Of this opening: what the log says, or more when the opener asked for more.
  unsigned minimum_in_sync() const;
  void require_in_sync(unsigned images) { required_in_sync_ = images; }
  // Whether writes may go on once these slaves are out too.
  bool enough_in_sync(ImageSet without = 0) const;
  ImageSet attached() const;
  // Whether there is a device behind it now.
  bool is_attached(unsigned image) const {
    return image < images_.size() && images_[image] != nullptr && images_[image]->is_present();
  }
  // Whether that slave may stand in where the master cannot be read, and nothing is owed: it was in sync when this opening
  // began or came to be since, and is not known to differ from it.
  bool may_serve(unsigned slave) const;
  int error_of(unsigned image) const { return errors_[image]; }
  std::uint64_t generation() const { return superblock_.generation.counter; }

  // The image answered with an error: what it holds is unknown from here on (I11). The master is not failed here; its
  // failure stops the mirror.
  void fail(unsigned slave, int error, FractureCause cause) { take_out(slave, ImageEvent::erred, cause, error); }
  // It is not there, or is not what it should be, or the operator took it out: what it held stays a point in time.
  // `error`: the errno with which its device could not be opened; 0: none.
  void leave(unsigned slave, FractureCause cause, int error = 0) { take_out(slave, ImageEvent::left, cause, error); }
  // The operator takes these slaves out together: one generation, one date, one barrier, in the log and in their own labels
  // too. The caller has let no write go on, and flushed them all. False in `told`: a label of theirs does not say so.
  Task<Outcome> part_with(ImageSet slaves, bool& told);
  // How often the set of images in sync has changed since the opening began.
  std::uint64_t changes() const { return changes_; }
  // I8: the slave's resync is durable in superblock and in its own label, and only then it receives writes again: from the
  // turn in which this answers success on, for the turns before it still owes what it missed. A label that fails fails it.
  // `owed`: bytes, to be told.
  Task<Outcome> begin_resync(unsigned slave, ResyncKind kind, std::uint64_t owed = 0);
  // A verify found that the slave, which receives every write, differs, and is to mend it: from this turn on it owes what the
  // caller adds to its debt, and has a map of its own for it. make_durable() makes the new generation, and tells its label.
  void begin_repair(unsigned slave, std::uint64_t owed = 0);
  // What the last opening left live may differ on that slave, or everything may. In memory alone: the superblock and the
  // label that begin this opening make it durable, before the first copy or write (I8). The opening's number and incarnation,
  // which all labels get with it, stand for a new generation here.
  void resync_after_crash(unsigned slave, bool everything, std::uint64_t owed = 0);
  // It owes nothing any more. make_durable() makes the new generation. `copied`: bytes, to be told.
  void come_back(unsigned slave, std::uint64_t copied = 0);
  const TransitionCounts& transitions() const { return transitions_; }
  bool durable() const { return changes_durable_ == changes_; }
  // LOG_FAILED or MASTER_FAILED once a superblock or a label of the master could not be written.
  const Outcome& failure() const { return broken_; }
  // LOG_FAILED or MASTER_FAILED: then nothing may be acknowledged any more.
  Task<Outcome> make_durable();

  static FractureCause cause_of(Operation operation, int error);

  // Fails the slaves that have errors in `results` and reports the master's as `code`, then makes the change durable.
  Task<Outcome> settle(ParallelOperation::Results results, Code master_code);

  // The master failed, and the mirror has stopped. Says so in the log, best effort, for a look from outside: nothing that
  // is acknowledged depends on it. The next opening takes it back.
  Task<void> note_master_failure(int error);

  // Changes of state on the disk exclude each other, so that no label is ever ahead of the log.
  // Both copies, one after the other, durable; with a change that waits, its generation and the labels too.
  Task<Outcome> write_superblock();
  // Both copies of the labels of those images, durable. A slave that cannot take its label is failed.
  Task<Outcome> write_labels(ImageSet images, bool sealed);
  // Which copy of the superblock an opener found torn, old or equal to the other: the first to be written.
  void set_stale_superblock(unsigned copy) { stale_superblock_ = copy; }
  // Of the image's label as it was found: every label that is written carries its feature bits on, and begins with the
  // stale copy.
  void carry_label(unsigned image, const Label& label, unsigned stale);

 private:
  struct Carried {
    std::uint64_t compatible_features = 0;
    std::uint64_t incompatible_features = 0;
    unsigned stale = 0;
  };
  // An event that waits until the change with that number is durable.
  struct Noted {
    std::uint64_t change = 0;
    bool encoded = false;  // a superblock that says so is durable, or being written
    Event event;
  };
  static constexpr std::size_t kNotedEvents = 64;
  class LabelFailures;
  Event change_of(EventKind kind, unsigned image, ImageState from, FractureCause cause) const;
  void note(Event event);
  ImageState state_before(unsigned image, ImageState from);
  void take_out(unsigned slave, ImageEvent event, FractureCause cause, int error);
  Task<Outcome> record_change();
  Task<Outcome> record_change_locked();
  bool number_update();
  Task<Outcome> write_superblock_locked();
  Task<Outcome> write_labels_locked(ImageSet images, bool sealed);
  // Answers those that could not take it.
  Task<ImageSet> write_label_copies(ImageSet images, unsigned turn);
  void encode_labels(ImageSet images, bool sealed);
  std::span<std::byte> label_bytes(unsigned image);
  Task<void> lock();
  void unlock();
  void new_generation();

  Runtime& runtime_;
  Superblock& superblock_;
  Counters& counters_;
  AlignedBuffer superblock_bytes_ = AlignedBuffer::try_make(kSuperblockLength);  // of whoever has the lock, as the next
  AlignedBuffer label_bytes_ = AlignedBuffer::try_make(kMaxImages * kLabelCopyLength);
  Device* log_ = nullptr;
  FractureListener* listener_ = nullptr;
  HistoryWriter* history_ = nullptr;
  std::vector<Noted> noted_;
  TransitionCounts transitions_;
  std::vector<Device*> images_;
  std::array<int, kMaxImages> errors_{};
  std::array<Carried, kMaxImages> carried_{};
  unsigned stale_superblock_ = 0;
  unsigned required_in_sync_ = 0;  // by whoever opened it; 0: what the log says
  ImageSet parting_ = 0;           // they are told why they go
  ImageSet held_back_ = 0;         // their resync is not durable yet: they receive nothing
  std::uint64_t changes_ = 0;
  std::uint64_t changes_durable_ = 0;
  bool locked_ = false;
  bool recording_ = false;
  Outcome broken_;
  Condition unlocked_;
  Condition recorded_;
};

}  // namespace blockmirror
