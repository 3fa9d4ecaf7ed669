// Debt: of one slave, the extents in which it may differ from the master. Pure: it holds the set and answers questions;
// whoever asks does the I/O.
//
// Invariants:
//  - I14: an extent leaves the set by pay() alone, which is called after the flush that followed its copy. Only whole units
//    are paid: a copy of a part of one leaves it owed.
//  - "Everything" is a flag and a position, never set bits: all from `owed_from()` to the end is owed, besides the set. What
//    cannot be held for want of memory becomes everything: more is copied, nothing is forgotten.
//  - The set is kept as the sectors of the fracture map are (format/fracture_map.h): a page is what one sector of the map
//    holds, so that writing the map is copying the pages that changed.
// Memory: a page for each 15 MiB (at 4 KiB a unit) in which something is owed, and a pointer for each that there is.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "../base/assert.h"
#include "../base/extent.h"

namespace blockmirror {

class Debt {
 public:
  static constexpr std::uint32_t kPageUnits = 3840;  // bits of a sector of the map
  static constexpr std::size_t kPageWords = kPageUnits / 64;
  using Page = std::array<std::uint64_t, kPageWords>;

  // `size` of the mirror, bytes; `unit` is what a bit stands for: a power of two, in bytes.
  Debt(std::uint64_t size, std::uint32_t unit);

  void owe(Extent extent);
  void owe_everything();
  // The slave holds there what the master holds, and was flushed since. Extents of a debt of everything are paid in order.
  void pay(Extent extent);

  // The extent, next in the order of everything, could not be copied: it is owed by itself, and the rest can go on.
  void set_aside(Extent extent);

  bool owes_nothing() const { return units_ == 0 && owed_from_ == size_; }
  bool owes_everything() const { return owed_from_ < size_; }
  bool owes(Extent extent) const;  // somewhere in it
  bool owes_all_of(Extent extent) const;
  std::uint64_t owed_from() const { return owed_from_; }
  // Nothing before it is owed: how far a resync of everything may say that it is.
  std::uint64_t paid_to() const;
  std::uint64_t bytes() const;  // an upper bound: whole units, the last one clipped
  // The first extent that is owed at or behind `from`, at most `longest` bytes of it and inside one region; empty: none.
  Extent next(std::uint64_t from, std::uint64_t longest) const;

  // --- the map

  std::size_t pages() const { return pages_.size(); }
  Extent reach(std::size_t page) const;
  // Null: all zeroes.
  const Page* page(std::size_t index) const { return pages_[index].get(); }
  // Adds what a sector of the map says. Not a change: the map holds it.
  void load(std::size_t index, const Page& bits);
  // The first page at or behind `from` that is no longer what was last taken by settle(); pages() when there is none.
  std::size_t next_changed(std::size_t from) const;
  bool has_changes() const { return next_changed(0) < pages(); }
  // The page is about to be written to the map as it is now; a change from here on counts again.
  void settle(std::size_t index);
  // A new map begins: every page that is not blank has to be written.
  void begin_map();

 private:
  std::uint64_t unit_of(std::uint64_t position) const { return position / unit_; }
  Page* page_for(std::uint64_t unit);
  void set_units(std::uint64_t first, std::uint64_t last, bool owed);
  std::uint64_t next_unit(std::uint64_t from, bool owed) const;  // unit_count_: none
  void mark_changed(std::size_t page) { changed_[page / 64] |= std::uint64_t{1} << (page % 64); }

  std::uint64_t size_;
  std::uint64_t unit_;
  std::uint64_t unit_count_;
  std::uint64_t units_ = 0;  // bits that are set
  std::uint64_t owed_from_;  // all behind it is owed; size_: the flag is not set
  std::vector<std::unique_ptr<Page>> pages_;
  std::vector<std::uint64_t> changed_;  // a bit for each page
};

}  // namespace blockmirror
