// Portions of an image: Extent, and ExtentSet, the sorted set of disjoint extents that plans and debts are.
//
// Invariant of ExtentSet: extents are sorted, never empty, never overlapping, never touching (touching ones merge).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <vector>

namespace blockmirror {

struct Extent {
  std::uint64_t position = 0;  // bytes from the start of the mirror, which is byte 0 of every image
  std::uint64_t length = 0;    // bytes

  std::uint64_t end() const { return position + length; }
  bool empty() const { return length == 0; }
  bool overlaps(const Extent& other) const { return position < other.end() && other.position < end(); }
  bool contains(const Extent& other) const { return position <= other.position && other.end() <= end(); }
  // The smallest extent of whole blocks around this one; block is a power of two.
  Extent widened(std::uint64_t block) const {
    std::uint64_t first = position & ~(block - 1);
    std::uint64_t last = (end() + block - 1) & ~(block - 1);
    return {first, last - first};
  }
  Extent clipped(std::uint64_t limit) const {
    if (position >= limit) return {limit, 0};
    return {position, std::min(end(), limit) - position};
  }
  friend bool operator==(const Extent&, const Extent&) = default;
};

// Extents side by side in memory, to be looked at.
struct Extents : std::span<const Extent> {
  using std::span<const Extent>::span;
  Extents(const std::vector<Extent>& all) : std::span<const Extent>(all) {}
  friend bool operator==(const Extents& a, const Extents& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }
};

class ExtentSet {
 public:
  ExtentSet() = default;
  // Of extents that keep the invariant already: sorted, not empty, not touching.
  explicit ExtentSet(std::span<const Extent> sorted) : extents_(sorted.begin(), sorted.end()) {
    for (const Extent& extent : extents_) bytes_ += extent.length;
  }

  void add(Extent extent) {
    if (extent.empty()) return;
    const auto first =
        std::lower_bound(begin(), end(), extent.position,
                         [](const Extent& have, std::uint64_t position) { return have.end() < position; });
    auto last = first;
    std::uint64_t start = extent.position, stop = extent.end();
    for (; last != end() && last->position <= stop; ++last) {
      start = std::min(start, last->position);
      stop = std::max(stop, last->end());
      bytes_ -= last->length;
    }
    const Extent merged{start, stop - start};
    bytes_ += merged.length;
    replace(first, last, {&merged, 1});
  }

  void remove(Extent extent) {
    if (extent.empty()) return;
    const auto first =
        std::lower_bound(begin(), end(), extent.position,
                         [](const Extent& have, std::uint64_t position) { return have.end() <= position; });
    auto last = first;
    std::array<Extent, 2> left;  // of the first and of the last one
    std::size_t count = 0;
    for (; last != end() && last->position < extent.end(); ++last) {
      bytes_ -= last->length;
      if (last->position < extent.position) left[count++] = {last->position, extent.position - last->position};
      if (last->end() > extent.end()) left[count++] = {extent.end(), last->end() - extent.end()};
    }
    for (std::size_t i = 0; i < count; ++i) bytes_ += left[i].length;
    replace(first, last, {left.data(), count});
  }

  bool contains(Extent extent) const {
    const Extents all = extents();
    auto found = std::upper_bound(all.begin(), all.end(), extent.position,
                                  [](std::uint64_t position, const Extent& have) { return position < have.position; });
    return found != all.begin() && std::prev(found)->contains(extent);
  }

  std::uint64_t bytes() const { return bytes_; }

  bool empty() const { return extents().empty(); }
  std::size_t size() const { return extents_.size() - unused_; }
  void clear() {
    extents_.clear();
    unused_ = 0;
    bytes_ = 0;
  }
  Extents extents() const { return {extents_.data() + unused_, size()}; }

 private:
  using Iterator = std::vector<Extent>::iterator;
  Iterator begin() { return extents_.begin() + static_cast<std::ptrdiff_t>(unused_); }
  Iterator end() { return extents_.end(); }

  // What shrinks near the front moves the front: a debt is paid from there, extent by extent, and each of a hundred
  // thousand would otherwise move all that are left.
  void replace(Iterator first, Iterator last, std::span<const Extent> by) {
    const auto there = static_cast<std::size_t>(last - first);
    if (there >= by.size() && first - begin() < end() - last) {
      const auto kept = std::copy_backward(by.begin(), by.end(), last);
      const auto front = std::move_backward(begin(), first, kept);
      unused_ = static_cast<std::size_t>(front - extents_.begin());
      return;
    }
    const std::size_t over = std::min(there, by.size());
    std::copy_n(by.begin(), over, first);
    const Iterator at = extents_.erase(first + static_cast<std::ptrdiff_t>(over), last);
    extents_.insert(at, by.begin() + static_cast<std::ptrdiff_t>(over), by.end());
  }

  std::vector<Extent> extents_;
  std::size_t unused_ = 0;   // at the front
  std::uint64_t bytes_ = 0;  // of all of them
};

// Of a write that begins or ends inside of a block: the bytes of its extent that it does not name. They keep what they
// hold: they are read from the master and written back under the write's own lock (I6).
struct PartialBlocks {
  std::uint32_t head = 0;  // bytes before the first one named
  std::uint32_t tail = 0;  // bytes behind the last one
  bool any() const { return head != 0 || tail != 0; }
};

}  // namespace blockmirror
