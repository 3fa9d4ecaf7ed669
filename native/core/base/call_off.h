// CallOff: whether somebody wants a write not to be done, and whether it may be on an image by now. Two threads agree on it
// without a lock: whoever wants it called off, and the engine.
//
// Invariants:
//  - give() comes once, before the first image gets the write. Where it answers false no image gets it.
//  - Once reaches_nothing() was true it stays so, and give() will answer false: each side says its own word before it looks at
//    the other's, and all agree on one order of these four steps (sequential consistency).
#pragma once

#include <atomic>

namespace blockmirror {

class CallOff {
 public:
  // At any time, by any thread.
  void ask() { asked_.store(true); }
  bool asked() const { return asked_.load(); }
  // Engine thread alone.
  bool give() {
    given_.store(true);
    return !asked_.load();
  }
  // By whoever has asked: no image has it, and none will.
  bool reaches_nothing() const { return asked_.load() && !given_.load(); }

 private:
  std::atomic<bool> asked_{false};
  std::atomic<bool> given_{false};
};

}  // namespace blockmirror
