// BufferPool: the memory in which requests wait, so that the kernel never reads or writes memory that JavaScript owns.
//
// One reservation of address space, touched as it is used, bounded by its size: when it is full, allocate answers null
// and the request is refused. It is cut into chunks of 1 MiB; a chunk in use serves blocks of one power of two, so that
// allocate and release are a few bit operations and a free block is never larger than half wasted. The first part is
// offered to the reactor for registration, and used first.
// Alternatives: a buddy allocator splits and merges eight levels for every 4 KiB request; malloc has neither the
// alignment nor the bound, and its memory cannot be registered.
//
// Invariants: one thread (the JavaScript thread) allocates and releases, hence no lock; a block is aligned to its own
// size, 4 KiB at least; a chunk is in exactly one place: a free list (no block used), a list of its class (some used),
// or no list (all used).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace blockmirror {

class BufferPool {
 public:
  static constexpr std::uint64_t kSmallestBlock = 4096;
  static constexpr std::uint64_t kLargestBlock = 1024 * 1024;  // also the chunk

  // Null when the address space cannot be had. Both are multiples of kLargestBlock.
  static std::unique_ptr<BufferPool> make(std::uint64_t total_bytes, std::uint64_t registered_bytes);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // length in (0, kLargestBlock]; null when the pool is full. The content is what its last user left.
  std::byte* allocate(std::uint64_t length);
  void release(std::byte* block);

  std::span<std::byte> registered() const { return {memory_, registered_chunks_ * kLargestBlock}; }
  std::uint64_t bytes_in_use() const { return bytes_in_use_; }

 private:
  static constexpr unsigned kClasses = 9;  // 4 KiB to 1 MiB
  static constexpr unsigned kWords = kLargestBlock / kSmallestBlock / 64;
  static constexpr std::uint32_t kNone = UINT32_MAX;
  enum Part : unsigned { kRegistered, kOverflow, kParts };

  struct Chunk {
    std::array<std::uint64_t, kWords> free_blocks{};  // bit set: free
    std::uint32_t used = 0;
    std::uint32_t block_class = 0;
    std::uint32_t next = kNone;
    std::uint32_t previous = kNone;
  };

  BufferPool(std::byte* memory, std::uint64_t mapped_bytes, std::uint32_t chunks, std::uint32_t registered_chunks);
  Part part_of(std::uint32_t chunk) const { return chunk < registered_chunks_ ? kRegistered : kOverflow; }
  std::uint32_t usable_chunk(unsigned block_class);
  void start_chunk(std::uint32_t index, unsigned block_class);
  void link(std::uint32_t& head, std::uint32_t index);
  void unlink(std::uint32_t& head, std::uint32_t index);

  std::byte* const memory_;
  const std::uint64_t mapped_bytes_;
  const std::uint32_t registered_chunks_;
  std::vector<Chunk> chunks_;
  std::array<std::uint32_t, kParts> free_chunks_;
  std::array<std::array<std::uint32_t, kParts>, kClasses> partly_used_;
  std::uint64_t bytes_in_use_ = 0;
};

}  // namespace blockmirror
