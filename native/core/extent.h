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
    }
    first = extents_.erase(first, last);
    extents_.insert(first, Extent{start, end - start});
  }

  void remove(Extent extent) {
    if (extent.empty()) return;
    std::vector<Extent> kept;
    kept.reserve(extents_.size() + 1);
    for (const Extent& have : extents_) {
      if (!have.overlaps(extent)) {
        kept.push_back(have);
        continue;
      }
      if (have.position < extent.position) kept.push_back({have.position, extent.position - have.position});
      if (have.end() > extent.end()) kept.push_back({extent.end(), have.end() - extent.end()});
    }
    extents_ = std::move(kept);
  }

  bool contains(Extent extent) const {
    auto found = std::upper_bound(extents_.begin(), extents_.end(), extent.position,
                                  [](std::uint64_t position, const Extent& have) { return position < have.position; });
    return found != extents_.begin() && std::prev(found)->contains(extent);
  }

  std::uint64_t bytes() const {
    std::uint64_t total = 0;
    for (const Extent& extent : extents_) total += extent.length;
    return total;
  }

  bool empty() const { return extents_.empty(); }
  void clear() { extents_.clear(); }
  const std::vector<Extent>& extents() const { return extents_; }

 private:
  std::vector<Extent> extents_;
};

}  // namespace blockmirror
