#include "resync.h"

#include <algorithm>
#include <array>

#include "../base/assert.h"
#include "../base/mutation.h"
#include "../images/differences.h"

namespace blockmirror {

Resync::Resync(Mirror& mirror, Membership& membership, Debts& debts, PieceRunner& pieces, Superblock& superblock)
    : mirror_(mirror), membership_(membership), debts_(debts), pieces_(pieces), superblock_(superblock) {
  chosen_.reserve(kResyncExtents);
  copied_.reserve(kResyncExtents);
}

ImageSet Resync::resyncing(ImageSet slaves) const {
  ImageSet set = 0;
  for (const unsigned i : indices_of(slaves & membership_.receiving_slaves())) {
    if (superblock_.images[i].state == ImageState::synchronizing) set |= image_bit(i);
  }
  return set;
}

// The first that any of them owes from the cursor on, as far as each of them owes all of it, or none: one pass over the master
// serves them all, and each gets what it misses and no more.
Extent Resync::next_owed(ImageSet slaves) const {
  std::array<Extent, kMaxImages> owed;
  Extent next{superblock_.size, 0};
  for (const unsigned i : indices_of(slaves)) {
    owed[i] = debts_.of(i).next(cursor_, kCopyLength);
    if (!owed[i].empty() && owed[i].position < next.position) next = owed[i];
  }
  for (const unsigned i : indices_of(slaves)) {
    if (owed[i].empty()) continue;
    const bool owes = owed[i].position == next.position;
    next.length = std::min(next.length, owes ? owed[i].length : owed[i].position - next.position);
  }
  return next;
}

// What any of them owes from the cursor on, in the order of the mirror.
void Resync::choose(ImageSet slaves, std::uint64_t longest) {
  chosen_.clear();
  std::uint64_t bytes = 0;
  while (chosen_.size() < kResyncExtents && bytes < longest) {
    Extent next = next_owed(slaves);
    if (next.empty()) break;
    // Whole units, whatever the limit: a part of one pays nothing.
    const std::uint64_t unit = superblock_.maps.unit;
    const std::uint64_t room = std::max(unit, (longest - bytes) / unit * unit);
    next.length = std::min(next.length, room);
    chosen_.push_back(next);
    bytes += next.length;
    cursor_ = next.end();
  }
}

// A slave that an opening found synchronizing: what it owes may stand in a map that nobody has read yet. A debt of everything
// is paid in order: what lies behind its frontier would be copied, and not be paid.
void Resync::begin_pass(ImageSet slaves) {
  for (const unsigned i : indices_of(slaves)) cursor_ = std::min(cursor_, debts_.of(i).owed_from());
}

Task<Outcome> Resync::step(const ResyncOrder& order, ResyncResult& into) {
  into = ResyncResult{};
  into.copied.bytes_differed.assign(superblock_.images.size(), 0);
  into.copied.bytes_copied.assign(superblock_.images.size(), 0);
  for (const unsigned i : indices_of(superblock_.slaves())) {
    if ((resyncing(order.slaves) & image_bit(i)) != 0) co_await debts_.load(i);
  }
  const ImageSet slaves = resyncing(order.slaves);
  std::array<Uuid, kMaxImages> ids;
  for (const unsigned i : indices_of(superblock_.slaves())) ids[i] = superblock_.images[i].resync.id;
  begin_pass(slaves);
  choose(slaves, order.longest);
  if (chosen_.empty()) {
    cursor_ = 0;  // once around: what was written meanwhile by a slave that failed and came back lies anywhere
    choose(slaves, order.longest);
  }
  Outcome outcome = co_await copy(order, slaves, into);
  ImageSet flushed = slaves;
  const bool early = mutated(Mutation::paid_before_flush);
  if (outcome.ok() && !copied_.empty() && !early) outcome = co_await mirror_.flush_slaves(slaves, flushed);
  if (outcome.ok() && order.read_back) outcome = co_await read_back(slaves, into);
  if (!outcome.ok()) co_return outcome;
  ImageSet same = resyncing(flushed);
  for (const unsigned i : indices_of(same)) {
    if (superblock_.images[i].resync.id != ids[i]) same &= static_cast<ImageSet>(~image_bit(i));
  }
  pay(same);
  count_copied(ids, into.copied);
  outcome = co_await take_back(same, into);
  if (early) outcome = co_await mirror_.flush_slaves(slaves, flushed);
  if (outcome.ok()) outcome = co_await note_cursors(same);
  for (const unsigned i : indices_of(resyncing(order.slaves))) {
    into.bytes_left = std::max(into.bytes_left, debts_.of(i).bytes());
  }
  co_return outcome;
}

// --- copying

class Resync::Copying final : public PieceWork {
 public:
  Copying(Resync& resync, const ResyncOrder& order, ImageSet slaves, ResyncResult& into)
      : resync_(resync), way_(order.way), slaves_(slaves), into_(into) {}

  Task<Outcome> work_on(Extent piece, const PieceMemory& memory) override {
    Copied copied{piece, 0};
    const ImageSet owing = resync_.debts_.owing_in(slaves_, piece);
    const Outcome outcome =
        co_await resync_.mirror_.copy_to_slaves(piece, owing, way_, memory, into_.copied, copied.slaves);
    if (outcome.code == Code::READ_FAILED) {
      if (into_.unreadable.ok()) into_.unreadable = outcome;
      into_.bytes_unreadable += piece.length;
      resync_.copied_.push_back({piece, 0, true});
      co_return Outcome::success();
    }
    if (outcome.ok() && copied.slaves != 0) resync_.copied_.push_back(copied);
    co_return outcome;
  }

 private:
  Resync& resync_;
  const CopyWay way_;
  const ImageSet slaves_;
  ResyncResult& into_;
};

Task<Outcome> Resync::copy(const ResyncOrder& order, ImageSet slaves, ResyncResult& into) {
  copied_.clear();
  if (chosen_.empty()) co_return Outcome::success();
  Copying copying(*this, order, slaves, into);
  const bool reads = order.way.compare || order.way.only_differing || mutated(Mutation::recover_wrong_direction);
  const ImageSet images = static_cast<ImageSet>(image_bit(superblock_.master) | (reads ? slaves : 0));
  const Outcome outcome = co_await pieces_.run(chosen_, images, copying);
  for (const std::uint64_t bytes : into.copied.bytes_copied) into.bytes_copied += bytes;
  co_return outcome;
}

// --- reading back

class Resync::ReadingBack final : public PieceWork {
 public:
  ReadingBack(Resync& resync, ImageSet slaves, ResyncResult& into)
      : resync_(resync), slaves_(slaves), block_(compare_block_of(resync.superblock_)), into_(into) {}

  Task<Outcome> work_on(Extent piece, const PieceMemory& memory) override {
    const ImageSet slaves = slaves_ & resync_.membership_.receiving_slaves();
    const unsigned master = resync_.superblock_.master;
    const ImageSet images = slaves | image_bit(master);
    ParallelOperation::Results results = co_await resync_.mirror_.read_images(piece, images, memory);
    if ((results.failed & image_bit(master)) != 0) {
      co_return resync_.membership_.of_master(Code::READ_FAILED, results.errors[master], piece.position);
    }
    const Outcome outcome = co_await resync_.mirror_.fail_slaves(results);
    if (!outcome.ok()) co_return outcome;
    for (const unsigned i : indices_of(without(slaves, results.failed))) {
      const DifferingRun run = next_differing_run(memory[master], memory[i], 0, piece.length, block_);
      if (run.bytes == 0) continue;
      if (into_.bytes_read_back_differing == 0)
        into_.read_back_difference.slave = i,
        into_.read_back_difference.extent = {piece.position + run.begin, run.end - run.begin};
      into_.bytes_read_back_differing += run.bytes;
      resync_.not_copied(i, piece);
    }
    co_return Outcome::success();
  }

 private:
  Resync& resync_;
  const ImageSet slaves_;
  const std::uint64_t block_;
  ResyncResult& into_;
};

Task<Outcome> Resync::read_back(ImageSet slaves, ResyncResult& into) {
  std::vector<Extent> extents;
  for (const Copied& copy : copied_) {
    if (copy.slaves != 0) extents.push_back(copy.extent);
  }
  ReadingBack reading(*this, slaves, into);
  co_return co_await pieces_.run(extents, static_cast<ImageSet>(slaves | image_bit(superblock_.master)), reading);
}

void Resync::not_copied(unsigned slave, Extent extent) {
  for (Copied& copy : copied_) {
    if (copy.extent.overlaps(extent)) copy.slaves &= static_cast<ImageSet>(~image_bit(slave));
  }
}

// --- paying

// Copies end in any order; a debt of everything is paid in that of the mirror, past what could not be read.
void Resync::pay(ImageSet slaves) {
  std::sort(copied_.begin(), copied_.end(),
            [](const Copied& a, const Copied& b) { return a.extent.position < b.extent.position; });
  for (const Copied& copy : copied_) {
    for (const unsigned i : indices_of(slaves)) {
      if (copy.unreadable) debts_.of(i).set_aside(copy.extent);
      if ((copy.slaves & image_bit(i)) != 0) debts_.of(i).pay(copy.extent);
    }
  }
}

// Over all steps of one resync, to be told when it ends.
void Resync::count_copied(const std::array<Uuid, kMaxImages>& ids, const CopyResult& copied) {
  for (const unsigned i : indices_of(superblock_.slaves())) {
    if (counted_ids_[i] != ids[i]) copied_of_[i] = 0;
    counted_ids_[i] = ids[i];
    copied_of_[i] += copied.bytes_copied[i];
  }
}

// How far a resync of everything is: after a crash it goes on from there. What was set aside is in no map, so that nothing
// behind it may be called paid (I14).
Task<Outcome> Resync::note_cursors(ImageSet slaves) {
  bool far = false;
  for (const unsigned i : indices_of(resyncing(slaves))) {
    if (!debts_.of(i).owes_everything()) continue;
    const std::uint64_t cursor = superblock_.images[i].resync.cursor;
    far = far || debts_.of(i).paid_to() >= cursor + kCursorDistance;
  }
  if (!far) co_return Outcome::success();
  for (const unsigned i : indices_of(slaves)) {
    if (!debts_.of(i).owes_everything()) continue;
    superblock_.images[i].resync.cursor = debts_.of(i).paid_to();
  }
  co_return co_await mirror_.record_progress();
}

// In one turn: it owes nothing, and from here on it counts. A crash before the new generation is durable finds it
// synchronizing, with a map of which nothing is left.
Task<Outcome> Resync::take_back(ImageSet slaves, ResyncResult& into) {
  for (const unsigned i : indices_of(slaves)) {
    if (!debts_.of(i).owes_nothing()) continue;
    BLOCKMIRROR_ASSERT(debts_.knows(i), "a slave was taken back before its map was read");  // I10, I14
    membership_.come_back(i, copied_of_[i]);
    debts_.end(i);
    into.in_sync |= image_bit(i);
  }
  if (into.in_sync == 0) co_return Outcome::success();
  co_return co_await mirror_.record_changes();
}

}  // namespace blockmirror
