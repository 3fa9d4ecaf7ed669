// HeldMemory: memory that a device may still read or write although nobody waits for its answer any more (I7, I15).
//
// A request that is past its deadline was answered upwards; the device has not answered it. Whoever owns memory that such a
// request names asks before it reuses or frees it, and leaves it here if it is held: it is let go when the last device that
// may touch it has answered.
//
// Invariants:
//  - One registry for each thread: an engine thread has one mirror, and all its memory is let go on that thread.
//  - What is left is let go once, in the turn in which the last hold over any byte of it ends; never before.
//  - Where nothing is held, which is nearly always, a question costs one look at a pointer.
// Bounded: a device that hangs gets no further request, so that what it holds is what it had in flight.
#pragma once

#include <cstddef>
#include <cstdint>

namespace blockmirror {

class HeldMemory {
 public:
  // Lives in the record of the request that holds.
  struct Hold {
    const std::byte* begin = nullptr;
    std::size_t length = 0;  // bytes; 0: it names no memory
    Hold* previous = nullptr;
    Hold* next = nullptr;
  };
  // How memory is let go: freed, or given back to whoever cut it. Must not resume anything.
  struct Release {
    void (*run)(void* context, std::byte* begin, std::size_t length) = nullptr;
    void* context = nullptr;
  };

  static HeldMemory& of_this_thread();

  void hold(Hold& hold, const std::byte* begin, std::size_t length);
  void end(Hold& hold);

  bool any() const { return holds_ != nullptr; }
  bool holds(const std::byte* begin, std::size_t length) const { return any() && overlaps(begin, length); }
  // Now, where nothing of it is held; else when the last hold over it ends.
  void let_go(std::byte* begin, std::size_t length, Release release);

 private:
  struct Left {
    std::byte* begin;
    std::size_t length;
    Release release;
    Left* next;
  };
  bool overlaps(const std::byte* begin, std::size_t length) const;

  Hold* holds_ = nullptr;
  Left* left_ = nullptr;
};

}  // namespace blockmirror
