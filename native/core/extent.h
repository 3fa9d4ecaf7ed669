// Portions of an image: Extent, and ExtentSet, the sorted set of disjoint extents that plans and debts are.
//
// Invariant of ExtentSet: extents are sorted, never empty, never overlapping, never touching (touching ones merge).
#pragma once

#include <algorithm>
#include <cstdint>
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

class ExtentSet {
 public:
  void add(Extent extent) {
    if (extent.empty()) return;
    auto first = std::lower_bound(extents_.begin(), extents_.end(), extent.position,
                                  [](const Extent& have, std::uint64_t position) { return have.end() < position; });
    auto last = first;
    std::uint64_t start = extent.position, end = extent.end();
    for (; last != extents_.end() && last->position <= end; ++last) {
      start = std::min(start, last->position);
      end = std::max(end, last->end());
      bytes_ -= last->length;
    }
    first = extents_.erase(first, last);
    extents_.insert(first, Extent{start, end - start});
    bytes_ += end - start;
  }

  void remove(Extent extent) {
    if (extent.empty()) return;
    auto first = std::lower_bound(extents_.begin(), extents_.end(), extent.position,
                                  [](const Extent& have, std::uint64_t position) { return have.end() <= position; });
    auto last = first;
    Extent before, after;  // what stays of the first and of the last one
    for (; last != extents_.end() && last->position < extent.end(); ++last) {
      if (last->position < extent.position) before = {last->position, extent.position - last->position};
      if (last->end() > extent.end()) after = {extent.end(), last->end() - extent.end()};
      bytes_ -= last->length;
    }
    bytes_ += before.length + after.length;
    first = extents_.erase(first, last);
    if (!after.empty()) first = extents_.insert(first, after);
    if (!before.empty()) extents_.insert(first, before);
  }

  bool contains(Extent extent) const {
    auto found = std::upper_bound(extents_.begin(), extents_.end(), extent.position,
                                  [](std::uint64_t position, const Extent& have) { return position < have.position; });
    return found != extents_.begin() && std::prev(found)->contains(extent);
  }

  std::uint64_t bytes() const { return bytes_; }

  bool empty() const { return extents_.empty(); }
  void clear() {
    extents_.clear();
    bytes_ = 0;
  }
  const std::vector<Extent>& extents() const { return extents_; }

 private:
  std::vector<Extent> extents_;
  std::uint64_t bytes_ = 0;  // of all of them
};

}  // namespace blockmirror
