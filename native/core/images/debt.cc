#include "debt.h"

#include <algorithm>
#include <new>

#include "../base/limits.h"

namespace blockmirror {
namespace {

// Bits `first` to `last` of a word, both included.
std::uint64_t mask_of(unsigned first, unsigned last) {
  const std::uint64_t above = last == 63 ? ~std::uint64_t{0} : (std::uint64_t{1} << (last + 1)) - 1;
  return above & ~((std::uint64_t{1} << first) - 1);
}

}  // namespace

Debt::Debt(std::uint64_t size, std::uint32_t unit)
    : size_(size), unit_(unit), unit_count_((size + unit - 1) / unit), owed_from_(size) {
  BLOCKMIRROR_ASSERT(size > 0 && std::has_single_bit(unit), "a debt needs a size, and a unit that is a power of two");
  pages_.resize((unit_count_ + kPageUnits - 1) / kPageUnits);
  changed_.resize((pages_.size() + 63) / 64);
}

// Memory for a page is the one thing here that grows with what happens, and no request may fail for want of it.
Debt::Page* Debt::page_for(std::uint64_t unit) {
  std::unique_ptr<Page>& page = pages_[unit / kPageUnits];
  if (!page) page.reset(new (std::nothrow) Page{});
  return page.get();
}

void Debt::set_units(std::uint64_t first, std::uint64_t last, bool owed) {
  for (std::uint64_t unit = first; unit <= last;) {
    const std::uint64_t page_end = (unit / kPageUnits + 1) * kPageUnits;
    const std::uint64_t word_end = std::min(page_end, unit - unit % kPageUnits % 64 + 64);
    const std::uint64_t stop = std::min(last + 1, word_end);
    if (!owed && !pages_[unit / kPageUnits]) {
      unit = page_end;
      continue;
    }
    Page* const page = page_for(unit);
    if (page == nullptr) return owe_everything();
    const auto in_page = static_cast<unsigned>(unit % kPageUnits);
    std::uint64_t& word = (*page)[in_page / 64];
    const std::uint64_t mask = mask_of(in_page % 64, static_cast<unsigned>(in_page % 64 + (stop - unit - 1)));
    const std::uint64_t before = word;
    word = owed ? word | mask : word & ~mask;
    if (word != before) mark_changed(unit / kPageUnits);
    units_ += static_cast<std::uint64_t>(std::popcount(word));
    units_ -= static_cast<std::uint64_t>(std::popcount(before));
    unit = stop;
  }
}

void Debt::owe(Extent extent) {
  BLOCKMIRROR_ASSERT(extent.end() >= extent.position, "an extent wraps");
  extent = extent.clipped(owed_from_);  // the rest is owed already
  if (extent.empty()) return;
  set_units(unit_of(extent.position), unit_of(extent.end() - 1), true);
}

void Debt::owe_everything() { owed_from_ = 0; }

void Debt::pay(Extent extent) {
  extent = extent.clipped(size_);
  if (extent.empty()) return;
  if (owes_everything() && extent.position <= owed_from_ && owed_from_ < extent.end()) owed_from_ = extent.end();
  // A unit of which a part alone was copied stays owed. The last one may be short: the end of the mirror is its end.
  const std::uint64_t first = (extent.position + unit_ - 1) / unit_;
  const std::uint64_t end = extent.end() == size_ ? unit_count_ : extent.end() / unit_;
  if (first < end) set_units(first, end - 1, false);
}

void Debt::set_aside(Extent extent) {
  if (extent.position > owed_from_ || owed_from_ >= extent.end()) return;
  owed_from_ = std::min(extent.end(), size_);
  owe(extent);
}

std::uint64_t Debt::paid_to() const {
  const std::uint64_t unit = next_unit(0, true);
  return unit < unit_count_ ? std::min(owed_from_, unit * unit_) : owed_from_;
}

bool Debt::owes(Extent extent) const {
  extent = extent.clipped(size_);
  if (extent.empty()) return false;
  if (extent.end() > owed_from_) return true;
  return next_unit(unit_of(extent.position), true) <= unit_of(extent.end() - 1);
}

bool Debt::owes_all_of(Extent extent) const {
  extent = extent.clipped(owed_from_);
  return extent.empty() || next_unit(unit_of(extent.position), false) > unit_of(extent.end() - 1);
}

std::uint64_t Debt::bytes() const {
  std::uint64_t bytes = units_ * unit_;
  const std::uint64_t over = unit_count_ * unit_ - size_;
  if (over > 0 && next_unit(unit_count_ - 1, true) < unit_count_) bytes -= over;
  return std::min(size_, bytes + (size_ - owed_from_));
}

// The first unit from `from` on that is owed, or is not.
std::uint64_t Debt::next_unit(std::uint64_t from, bool owed) const {
  for (std::uint64_t unit = from; unit < unit_count_;) {
    const std::uint64_t page_begin = unit / kPageUnits * kPageUnits;
    const Page* const page = pages_[unit / kPageUnits].get();
    if (page == nullptr) {
      if (!owed) return unit;
      unit = page_begin + kPageUnits;
      continue;
    }
    const auto in_page = static_cast<unsigned>(unit - page_begin);
    const std::uint64_t word = owed ? (*page)[in_page / 64] : ~(*page)[in_page / 64];
    const std::uint64_t left = word & ~(mask_of(0, 63) >> 1 >> (63 - in_page % 64));
    if (left != 0) return std::min(unit_count_, page_begin + in_page / 64 * 64 + std::countr_zero(left));
    unit = page_begin + (in_page / 64 + 1) * 64;
  }
  return unit_count_;
}

Extent Debt::next(std::uint64_t from, std::uint64_t longest) const {
  if (from >= size_) return {size_, 0};
  std::uint64_t begin = size_;
  std::uint64_t end = size_;
  const std::uint64_t unit = next_unit(unit_of(from), true);
  if (unit < unit_count_) {
    begin = std::max(from, unit * unit_);
    end = std::min(size_, next_unit(unit, false) * unit_);
  }
  if (owes_everything() && begin >= std::max(from, owed_from_)) {
    begin = std::max(from, owed_from_);
    end = size_;
  }
  const std::uint64_t region_end = (begin / kRegionLength + 1) * kRegionLength;
  return {begin, std::min({end, begin + longest, region_end}) - begin};
}

Extent Debt::reach(std::size_t page) const {
  const std::uint64_t begin = page * kPageUnits * unit_;
  return {begin, std::min(size_, begin + kPageUnits * unit_) - begin};
}

void Debt::load(std::size_t index, const Page& bits) {
  Page* const page = page_for(index * kPageUnits);
  if (page == nullptr) return owe_everything();
  for (std::size_t i = 0; i < kPageWords; ++i) {
    units_ += static_cast<std::uint64_t>(std::popcount(bits[i] & ~(*page)[i]));
    (*page)[i] |= bits[i];
  }
}

std::size_t Debt::next_changed(std::size_t from) const {
  for (std::size_t word = from / 64; word < changed_.size(); ++word) {
    std::uint64_t bits = changed_[word];
    if (word == from / 64) bits &= ~((std::uint64_t{1} << (from % 64)) - 1);
    if (bits != 0) return word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
  }
  return pages_.size();
}

void Debt::settle(std::size_t index) { changed_[index / 64] &= ~(std::uint64_t{1} << (index % 64)); }

void Debt::begin_map() {
  for (std::size_t i = 0; i < pages_.size(); ++i) {
    const bool blank = !pages_[i] || *pages_[i] == Page{};
    if (blank) {
      settle(i);
    } else {
      mark_changed(i);
    }
  }
}

}  // namespace blockmirror
