#include "comparison.h"

#include <algorithm>
#include <cstring>

#include "../base/mutation.h"
#include "../images/differences.h"

namespace blockmirror {

Comparison::Comparison(Membership& membership, const Superblock& superblock, Mirror& mirror, const Debts& debts,
                       ImageSet images, CompareResult& into)
    : membership_(membership),
      mirror_(mirror),
      master_(membership.master()),
      debts_(debts),
      block_(compare_block_of(superblock)),
      images_(images),
      on_request_(images & static_cast<ImageSet>(~membership.receiving())),
      into_(into) {
  const std::size_t images_known = superblock.images.size();
  into_ = CompareResult{};
  for (auto* sums :
       {&into_.bytes_compared, &into_.bytes_differed, &into_.bytes_expected, &into_.bytes_shared, &into_.bytes_owed}) {
    sums->assign(images_known, 0);
  }
  into_.unread.assign(images_known, Outcome::success());
}

// The second look, beside other requests: the range is held anew for it, so that a write in between changes all images alike.
Task<Outcome> Comparison::work_on(Extent piece, const PieceMemory& memory) {
  ImageSet slaves = 0;
  for (bool again = false;; again = true) {
    const ParallelOperation::Results results = co_await mirror_.read_images(piece, images_, memory);
    if ((results.failed & image_bit(master_)) != 0) {
      co_return membership_.of_master(Code::READ_FAILED, results.errors[master_], piece.position);
    }
    slaves = compared(piece, results);
    if (again || !is_news(slaves, piece, memory)) break;
  }
  for (const unsigned i : indices_of(slaves)) count(i, piece, slaves, memory);
  co_return Outcome::success();
}

// Asked after the reads: a slave that has failed since may have missed a write that the master has.
ImageSet Comparison::compared(Extent piece, const ParallelOperation::Results& results) {
  ImageSet slaves = images_ & (on_request_ | membership_.receiving_slaves());
  if (mutated(Mutation::failed_slave_compared_equal)) slaves = images_ & membership_.slaves();
  for (const unsigned i : indices_of(results.failed & slaves)) {
    if (!into_.unread[i].ok()) continue;
    into_.unread[i] = Outcome::of(Code::READ_FAILED, static_cast<ImageIndex>(i), results.errors[i], piece.position);
  }
  return without(slaves, results.failed);
}

bool Comparison::is_news(ImageSet slaves, Extent piece, const PieceMemory& memory) const {
  slaves &= membership_.receiving_slaves();
  for (const unsigned i : indices_of(without(slaves, debts_.owing_in(slaves, piece)))) {
    if (std::memcmp(memory[master_], memory[i], piece.length) != 0) return true;
  }
  return false;
}

// Of this slave and the master, at least one of which is. Two images never say which of them is wrong, nor do slaves that
// missed the same writes.
ImageIndex Comparison::find_alone(unsigned slave, ImageSet slaves, std::uint64_t at, std::uint64_t length,
                                  const PieceMemory& memory) const {
  const ImageSet others = slaves & static_cast<ImageSet>(~on_request_ & ~image_bit(slave));
  if (others == 0 || (on_request_ & image_bit(slave)) != 0) return kNoImage;
  bool as_master = true;
  bool as_slave = true;
  for (const unsigned i : indices_of(others)) {
    as_master = as_master && std::memcmp(memory[i] + at, memory[master_] + at, length) == 0;
    as_slave = as_slave && std::memcmp(memory[i] + at, memory[slave] + at, length) == 0;
  }
  if (as_master) return static_cast<ImageIndex>(slave);
  return as_slave ? static_cast<ImageIndex>(master_) : kNoImage;
}

void Comparison::count(unsigned slave, Extent piece, ImageSet slaves, const PieceMemory& memory) {
  into_.bytes_compared[slave] += piece.length;
  for (std::uint64_t at = 0; at < piece.length;) {
    const DifferingRun run = next_differing_run(memory[master_], memory[slave], at, piece.length, block_);
    for (at = run.begin; at < run.end; at += block_) {
      const std::uint64_t length = std::min(block_, run.end - at);
      const DifferingRun block = next_differing_run(memory[master_], memory[slave], at, at + length, block_);
      Difference difference{slave, {piece.position + at, length}};
      difference.expected = debts_.owing_in(image_bit(slave) & membership_.receiving(), difference.extent) != 0;
      if (!difference.expected) difference.alone = find_alone(slave, slaves, at, length, memory);
      for (const unsigned i : indices_of(without(slaves, image_bit(slave)))) {
        if (std::memcmp(memory[slave] + at, memory[i] + at, length) == 0) difference.agreeing |= image_bit(i);
      }
      // Slaves that missed the same writes agree too, and that says nothing about the master.
      const ImageSet witnesses = difference.agreeing | image_bit(slave);
      if ((witnesses & static_cast<ImageSet>(~on_request_)) == 0) difference.agreeing = 0;
      add(difference, block.bytes);
    }
    at = run.end;
  }
}

// Blocks side by side that differ in the same way are one difference.
void Comparison::add(Difference difference, std::uint64_t bytes) {
  into_.bytes_differed[difference.slave] += bytes;
  if (difference.expected) into_.bytes_expected[difference.slave] += bytes;
  if (difference.agreeing != 0) into_.bytes_shared[difference.slave] += bytes;
  if (!difference.expected && (on_request_ & image_bit(difference.slave)) == 0) {
    into_.bytes_owed[difference.slave] += bytes;
    std::vector<Extent>& found = found_[difference.slave];
    if (!found.empty() && found.back().end() == difference.extent.position) {
      found.back().length += difference.extent.length;
    } else {
      found.push_back(difference.extent);
    }
  }
  if (!into_.differences.empty()) {
    Difference& last = into_.differences.back();
    const bool alike = last.slave == difference.slave && last.expected == difference.expected &&
                       last.agreeing == difference.agreeing && last.alone == difference.alone;
    if (alike && last.extent.end() == difference.extent.position) {
      last.extent.length += difference.extent.length;
      return;
    }
  }
  if (into_.differences.size() < kReportedDifferences) into_.differences.push_back(difference);
}

VerifyChange apply_verify(const VerifyResult& found, ImageSet receiving, bool proves, std::uint64_t now_ms,
                          Superblock& superblock) {
  VerifyChange change;
  bool whole = false;
  VerifySummary summary{now_ms, superblock.size, 0, 0};
  for (const unsigned i : indices_of(receiving & superblock.slaves())) {
    ImageRecord& image = superblock.images[i];
    if (!rights_of(image.state).in_sync && !is_after_crash(image)) continue;  // its resync copies what differs
    const std::uint64_t differed = found.left(i);
    const bool all = found.bytes_compared[i] == superblock.size;
    std::uint64_t remembered = std::max(image.bytes_differed, differed);
    if (all && proves) remembered = differed;
    change.superblock = change.superblock || remembered != image.bytes_differed;
    image.bytes_differed = remembered;
    if (!all) {
      summary.bytes_compared = 0;
      continue;
    }
    whole = true;
    summary.bytes_differed += found.bytes_differed[i];
    summary.bytes_repaired += found.repaired(i);
    if (proves && differed == 0 && image.state == ImageState::assumed) {
      image.state = ImageState::in_sync;
      image.changed_at_ms = now_ms;
      change.superblock = change.labels = true;
    }
  }
  if (whole && summary.bytes_compared > 0) {
    superblock.last_verify = summary;
    change.superblock = true;
  }
  return change;
}

}  // namespace blockmirror
