#include "resync.h"

#include <algorithm>
#include <array>

#include "../base/assert.h"
#include "../base/mutation.h"

namespace blockmirror {

Resync::Resync(Mirror& mirror, Membership& membership, Debts& debts, PieceRunner& pieces, Superblock& superblock)
    : mirror_(mirror), membership_(membership), debts_(debts), pieces_(pieces), superblock_(superblock) {
  chosen_.reserve(kResyncExtents);
  copied_.reserve(kResyncExtents);
  unreadable_.reserve(kResyncExtents);
}

ImageSet Resync::resyncing(ImageSet slaves) const {
  ImageSet set = 0;
  for (unsigned i = 1; i < superblock_.images.size(); ++i) {
    const bool under_way = superblock_.images[i].state == ImageState::synchronizing;
    if (under_way && (slaves & membership_.receiving() & image_bit(i)) != 0) set |= image_bit(i);
  }
  return set;
}

// What any of them owes from the cursor on, in the order of the mirror: one pass over the master serves them all.
void Resync::choose(ImageSet slaves, std::uint64_t longest) {
  chosen_.clear();
  std::uint64_t bytes = 0;
  while (chosen_.size() < kResyncExtents && bytes < longest) {
    Extent next{superblock_.size, 0};
    for (unsigned i = 1; i < superblock_.images.size(); ++i) {
      if ((slaves & image_bit(i)) == 0) continue;
      const Extent owed = debts_.of(i).next(cursor_, kCopyLength);
      if (!owed.empty() && owed.position < next.position) next = owed;
    }
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

Task<Outcome> Resync::step(ImageSet slaves, std::uint64_t longest, ResyncResult& into) {
  into = ResyncResult{};
  // A slave that an opening found synchronizing: what it owes stands in a map that nobody has read yet.
  for (unsigned i = 1; i < superblock_.images.size(); ++i) {
    if ((resyncing(slaves) & image_bit(i)) != 0) co_await debts_.load(i);
  }
  slaves_ = resyncing(slaves);
  std::array<Uuid, kMaxImages> ids;
  for (unsigned i = 1; i < superblock_.images.size(); ++i) ids[i] = superblock_.images[i].resync.id;
  // A debt of everything is paid in order: what lies behind its frontier would be copied, and not be paid.
  for (unsigned i = 1; i < superblock_.images.size(); ++i) {
    if ((slaves_ & image_bit(i)) != 0) cursor_ = std::min(cursor_, debts_.of(i).owed_from());
  }
  choose(slaves_, longest);
  if (chosen_.empty()) {
    cursor_ = 0;  // once around: what was written meanwhile by a slave that failed and came back lies anywhere
    choose(slaves_, longest);
  }
  copied_.clear();
  unreadable_.clear();
  Outcome outcome;
  if (!chosen_.empty()) outcome = co_await pieces_.run(chosen_, ImageSet{1}, *this);
  for (const Extent& extent : unreadable_) into.bytes_unreadable += extent.length;
  if (!outcome.ok()) co_return outcome;
  ImageSet flushed = slaves_;
  const bool early = mutated(Mutation::paid_before_flush);
  if (!copied_.empty() && !early) outcome = co_await mirror_.flush_slaves(slaves_, flushed);
  if (!outcome.ok()) co_return outcome;
  ImageSet same = resyncing(flushed);
  for (unsigned i = 1; i < superblock_.images.size(); ++i) {
    if (superblock_.images[i].resync.id != ids[i]) same &= static_cast<ImageSet>(~image_bit(i));
  }
  pay(same, into);
  outcome = co_await take_back(same, into);
  if (early) outcome = co_await mirror_.flush_slaves(slaves_, flushed);
  if (outcome.ok()) outcome = co_await note_cursors(same);
  for (unsigned i = 1; i < superblock_.images.size(); ++i) {
    if ((resyncing(slaves) & image_bit(i)) != 0) into.bytes_left = std::max(into.bytes_left, debts_.of(i).bytes());
  }
  co_return outcome;
}

// Copies end in any order; a debt of everything is paid in that of the mirror, past what could not be read.
void Resync::pay(ImageSet slaves, ResyncResult& into) {
  for (const Extent& extent : unreadable_) copied_.push_back({extent, 0});
  std::sort(copied_.begin(), copied_.end(),
            [](const Copied& a, const Copied& b) { return a.extent.position < b.extent.position; });
  for (const Copied& copy : copied_) {
    for (unsigned i = 1; i < superblock_.images.size(); ++i) {
      if ((slaves & image_bit(i)) == 0) continue;
      if (copy.slaves == 0) debts_.of(i).set_aside(copy.extent);
      if ((copy.slaves & image_bit(i)) == 0) continue;
      debts_.of(i).pay(copy.extent);
      into.bytes_copied += copy.extent.length;
    }
  }
}

Task<Outcome> Resync::work_on(Extent piece, const PieceMemory& memory) {
  ImageSet owing = 0;
  for (unsigned i = 1; i < superblock_.images.size(); ++i) {
    if ((slaves_ & image_bit(i)) != 0 && debts_.of(i).owes(piece)) owing |= image_bit(i);
  }
  Copied copied{piece, 0};
  const Outcome outcome = co_await mirror_.copy_to_slaves(piece, owing, memory[0], copied.slaves);
  if (outcome.code == Code::READ_FAILED) {
    unreadable_.push_back(piece);
    co_return Outcome::success();
  }
  if (outcome.ok() && copied.slaves != 0) copied_.push_back(copied);
  co_return outcome;
}

// How far a resync of everything is: after a crash it goes on from there. What was set aside is in no map, so that nothing
// behind it may be called paid (I14).
Task<Outcome> Resync::note_cursors(ImageSet slaves) {
  bool far = false;
  for (unsigned i = 1; i < superblock_.images.size(); ++i) {
    if ((slaves & resyncing(slaves) & image_bit(i)) == 0 || !debts_.of(i).owes_everything()) continue;
    const std::uint64_t cursor = superblock_.images[i].resync.cursor;
    far = far || debts_.of(i).paid_to() >= cursor + kCursorDistance;
  }
  if (!far) co_return Outcome::success();
  for (unsigned i = 1; i < superblock_.images.size(); ++i) {
    if ((slaves & image_bit(i)) == 0 || !debts_.of(i).owes_everything()) continue;
    superblock_.images[i].resync.cursor = debts_.of(i).paid_to();
  }
  co_return co_await mirror_.record_progress();
}

// In one turn: it owes nothing, and from here on it counts. A crash before the new generation is durable finds it
// synchronizing, with a map of which nothing is left.
Task<Outcome> Resync::take_back(ImageSet slaves, ResyncResult& into) {
  for (unsigned i = 1; i < superblock_.images.size(); ++i) {
    if ((slaves & image_bit(i)) == 0 || !debts_.of(i).owes_nothing()) continue;
    BLOCKMIRROR_ASSERT(debts_.knows(i), "a slave was taken back before its map was read");  // I10, I14
    membership_.come_back(i);
    debts_.end(i);
    into.in_sync |= image_bit(i);
  }
  if (into.in_sync == 0) co_return Outcome::success();
  co_return co_await mirror_.record_changes();
}

}  // namespace blockmirror
