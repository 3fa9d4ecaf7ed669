// HugeBuffer: memory for large requests, in huge pages where the system gives them.
//
// A request of 1 MiB over pages of 4 KiB has 256 segments, which many block drivers take in no single request (virtio-blk
// takes 254), so that the kernel splits it; over huge pages it has one. It made copying a quarter faster
// (docs/PERFORMANCE.md). What is not used costs no memory; it goes back to the system with the buffer. Zeroed; holds users' bytes (data_buffer.h).
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "data_buffer.h"
#include "held_memory.h"

namespace blockmirror {

class HugeBuffer {
 public:
  static constexpr std::size_t kHugePage = 2 * 1024 * 1024;

  HugeBuffer() = default;
  explicit HugeBuffer(std::size_t length) : mapped_(length + kHugePage) {
    mapping_ = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping_ == MAP_FAILED) {  // the address space is limited: empty()
      mapping_ = nullptr;
      return;
    }
    const auto address = reinterpret_cast<std::uintptr_t>(mapping_);
    memory_ = static_cast<std::byte*>(mapping_) + (kHugePage - address % kHugePage) % kHugePage;
    (void)::madvise(memory_, length, MADV_HUGEPAGE);  // small pages do as well, slower
    keep_private(memory_, length);
  }
  HugeBuffer(HugeBuffer&& other) noexcept
      : mapping_(std::exchange(other.mapping_, nullptr)),
        mapped_(std::exchange(other.mapped_, 0)),
        memory_(std::exchange(other.memory_, nullptr)) {}
  HugeBuffer& operator=(HugeBuffer&& other) noexcept {
    std::swap(mapping_, other.mapping_);
    std::swap(mapped_, other.mapped_);
    std::swap(memory_, other.memory_);
    return *this;
  }
  HugeBuffer(const HugeBuffer&) = delete;
  HugeBuffer& operator=(const HugeBuffer&) = delete;
  ~HugeBuffer() {
    if (mapping_ == nullptr) return;
    constexpr HeldMemory::Release kUnmap{[](void*, std::byte* begin, std::size_t length) { ::munmap(begin, length); }};
    HeldMemory::of_this_thread().let_go(static_cast<std::byte*>(mapping_), mapped_, kUnmap);
  }

  std::byte* data() const { return memory_; }
  bool empty() const { return memory_ == nullptr; }

 private:
  void* mapping_ = nullptr;
  std::size_t mapped_ = 0;
  std::byte* memory_ = nullptr;
};

}  // namespace blockmirror
