// Who decides what happens next: the only source of nondeterminism in the simulator.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../../devices/simulated/sparse_disk.h"

namespace blockmirror::simulator {

// A small generator whose state is one number, so that starting one costs nothing.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(mix_hash(seed + 0x9e3779b97f4a7c15ull)) {}
  std::uint64_t next() { return mix_hash(state_ += 0x9e3779b97f4a7c15ull); }
  std::uint64_t below(std::uint64_t bound) { return bound < 2 ? 0 : next() % bound; }
  bool one_in(std::uint64_t count) { return below(count) == 0; }

 private:
  std::uint64_t state_;
};

class Chooser {
 public:
  virtual ~Chooser() = default;
  // One of `options` > 0 things that may happen next; 0 is the one that waits longest.
  virtual unsigned choose(unsigned options) = 0;
};

class OldestFirst : public Chooser {
 public:
  unsigned choose(unsigned) override { return 0; }
};

// Any order; some seeds prefer the oldest, so that slow and fast devices both occur.
class RandomOrder : public Chooser {
 public:
  explicit RandomOrder(std::uint64_t seed) : random_(seed), patience_(random_.below(4)) {}
  unsigned choose(unsigned options) override {
    if (patience_ > 0 && random_.below(patience_ + 1) > 0) return 0;
    return static_cast<unsigned>(random_.below(options));
  }

 private:
  Random random_;
  std::uint64_t patience_;
};

// Every order, one after the other: a depth-first walk over the tree of choices.
class EveryOrder : public Chooser {
 public:
  unsigned choose(unsigned options) override {
    if (depth_ == path_.size()) path_.push_back({0, options});
    return path_[depth_++].taken;
  }
  // To the next order; false when all were taken.
  bool advance() {
    depth_ = 0;
    while (!path_.empty() && path_.back().taken + 1 == path_.back().options) path_.pop_back();
    if (path_.empty()) return false;
    ++path_.back().taken;
    return true;
  }

 private:
  struct Choice {
    unsigned taken;
    unsigned options;
  };
  std::vector<Choice> path_;
  std::size_t depth_ = 0;
};

}  // namespace blockmirror::simulator
