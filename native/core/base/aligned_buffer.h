// Memory for direct I/O that the core itself needs: records, superblocks, labels, copies.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>

#include "assert.h"
#include "held_memory.h"

namespace blockmirror {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // Zeroed. The alignment satisfies every device: no memory alignment in the field exceeds a page.
  explicit AlignedBuffer(std::size_t length) {
    *this = try_make(length);
    BLOCKMIRROR_ASSERT(memory_ != nullptr, "out of memory for an I/O buffer");
  }
  // For lengths that a disk claims: one of length 0 when there is not that much memory.
  static AlignedBuffer try_make(std::size_t length) {
    AlignedBuffer made;
    const std::size_t rounded = (length + kAlignment - 1) / kAlignment * kAlignment;
    made.memory_ = {static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded)), Free{rounded}};
    if (made.memory_ == nullptr) return made;
    std::memset(made.memory_.get(), 0, rounded);
    made.length_ = length;
    return made;
  }
  std::span<std::byte> span() { return {memory_.get(), length_}; }
  std::span<const std::byte> span() const { return {memory_.get(), length_}; }
  std::span<std::byte> first(std::size_t length) { return span().first(length); }
  std::size_t size() const { return length_; }

  static constexpr std::size_t kAlignment = 4096;

 private:
  struct Free {
    std::size_t length;  // bytes
    void operator()(std::byte* memory) const {
      constexpr HeldMemory::Release kFree{[](void*, std::byte* begin, std::size_t) { std::free(begin); }};
      HeldMemory::of_this_thread().let_go(memory, length, kFree);
    }
  };
  std::unique_ptr<std::byte, Free> memory_;
  std::size_t length_ = 0;
};

}  // namespace blockmirror
