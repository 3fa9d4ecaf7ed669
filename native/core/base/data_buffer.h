// DataBuffer: memory of the core for users' bytes, on their way between devices, and for what is too long for the heap.
// Whole pages of its own, zeroed, that go back to the system with it, and are kept out of core dumps and of children
// (docs/SECURITY.md). Empty when there was no memory for it.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <span>

#include "held_memory.h"

namespace blockmirror {

// For all memory that holds users' bytes: a core dump is read by others, sent away and kept. A wish: an error changes nothing.
inline void keep_from_dumps(void* memory, std::size_t length) { (void)::madvise(memory, length, MADV_DONTDUMP); }
// And where no child has a use for it: one that forks, and then runs another program, must not make these pages
// copy-on-write under the kernel.
inline void keep_private(void* memory, std::size_t length) {
  keep_from_dumps(memory, length);
  (void)::madvise(memory, length, MADV_DONTFORK);
}

class DataBuffer {
 public:
  explicit DataBuffer(std::size_t length) {
    void* const mapped = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return;
    keep_private(mapped, length);
    memory_ = static_cast<std::byte*>(mapped);
    length_ = length;
  }
  DataBuffer(const DataBuffer&) = delete;
  DataBuffer& operator=(const DataBuffer&) = delete;
  ~DataBuffer() {
    if (memory_ == nullptr) return;
    constexpr HeldMemory::Release kUnmap{[](void*, std::byte* begin, std::size_t length) { ::munmap(begin, length); }};
    HeldMemory::of_this_thread().let_go(memory_, length_, kUnmap);
  }

  bool empty() const { return memory_ == nullptr; }
  std::span<std::byte> span() { return {memory_, length_}; }
  std::span<std::byte> first(std::size_t length) { return span().first(length); }

 private:
  std::byte* memory_ = nullptr;
  std::size_t length_ = 0;
};

}  // namespace blockmirror
