// OwnedMemory: memory that a caller fills and hands over, for a device to read it as it lies.
//
// It belongs to the process and not to JavaScript: a store of V8's is freed when its environment ends, whatever a device
// still does with it, and then holds the bytes of somebody else (I7). Everybody who needs a block has a share: the
// ArrayBuffer over it, and each request until the engine is done with it, however late that is.
//
// Invariants:
//  - A block begins at a page, is zeroed when it is made, and stays mapped while anybody has a share.
//  - Shares are taken and dropped by any thread. `uses` are those of requests: while there are any a device may read the
//    block, and nobody may be given it to change.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace blockmirror {

class OwnedMemory {
 public:
  // With one share, the caller's; null when there is no memory. length > 0.
  static OwnedMemory* make(std::uint64_t length);
  // The block that begins at this address, with a new share; null when there is none.
  static OwnedMemory* find(const void* begin);

  void share() { shares_.fetch_add(1, std::memory_order_relaxed); }
  void drop();

  // A share of a request.
  void begin_use() {
    share();
    uses_.fetch_add(1, std::memory_order_relaxed);
  }
  void end_use() {
    uses_.fetch_sub(1, std::memory_order_release);
    drop();
  }
  bool in_use() const { return uses_.load(std::memory_order_acquire) > 0; }

  std::span<std::byte> bytes() const { return {memory_, length_}; }

  // Blocks that somebody has a share of, in this process.
  static std::uint64_t count();

 private:
  OwnedMemory(std::byte* memory, std::uint64_t length) : memory_(memory), length_(length) {}
  ~OwnedMemory();
  OwnedMemory(const OwnedMemory&) = delete;
  OwnedMemory& operator=(const OwnedMemory&) = delete;

  std::byte* const memory_;
  const std::uint64_t length_;  // as asked for
  std::atomic<std::uint32_t> shares_{1};
  std::atomic<std::uint32_t> uses_{0};
};

}  // namespace blockmirror
