// A set of 64-bit hashes in one flat table: ten million of them have to fit and be asked for in nanoseconds.
#pragma once

#include <cstdint>
#include <vector>

namespace blockmirror::simulator {

class HashSet {
 public:
  HashSet() : slots_(1 << 16, 0) {}
  // True when it was not in it. Zero stands for an empty slot and is taken for one.
  bool insert(std::uint64_t hash) {
    if (hash == 0) hash = 1;
    if ((count_ + 1) * 2 > slots_.size()) grow();
    if (!place(slots_, hash)) return false;
    ++count_;
    return true;
  }
  std::uint64_t size() const { return count_; }

 private:
  static bool place(std::vector<std::uint64_t>& slots, std::uint64_t hash) {
    const std::uint64_t mask = slots.size() - 1;
    for (std::uint64_t at = hash & mask;; at = (at + 1) & mask) {
      if (slots[at] == hash) return false;
      if (slots[at] != 0) continue;
      slots[at] = hash;
      return true;
    }
  }
  void grow() {
    std::vector<std::uint64_t> larger(slots_.size() * 2, 0);
    for (std::uint64_t hash : slots_) {
      if (hash != 0) place(larger, hash);
    }
    slots_.swap(larger);
  }
  std::vector<std::uint64_t> slots_;
  std::uint64_t count_ = 0;
};

}  // namespace blockmirror::simulator
