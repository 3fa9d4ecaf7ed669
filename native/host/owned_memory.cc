#include "owned_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <limits>
#include <mutex>
#include <unordered_map>

#include "../core/base/assert.h"
#include "../core/base/data_buffer.h"

namespace blockmirror {

namespace {

struct Blocks {
  std::mutex mutex;
  std::unordered_map<const void*, OwnedMemory*> by_address;
};

// Never destroyed: a thread that was left to itself may drop its share while the process ends.
Blocks& blocks() {
  static Blocks& all = *new Blocks;
  return all;
}

std::uint64_t mapped_length(std::uint64_t length) {
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return (length + page - 1) / page * page;
}

}  // namespace

OwnedMemory* OwnedMemory::make(std::uint64_t length) {
  BLOCKMIRROR_ASSERT(length > 0, "a block has a length");
  if (length > std::numeric_limits<std::uint64_t>::max() / 2) return nullptr;
  void* mapped = ::mmap(nullptr, mapped_length(length), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  keep_from_dumps(mapped, mapped_length(length));
  auto* made = new OwnedMemory(static_cast<std::byte*>(mapped), length);
  std::lock_guard lock(blocks().mutex);
  blocks().by_address.emplace(mapped, made);
  return made;
}

OwnedMemory::~OwnedMemory() { ::munmap(memory_, mapped_length(length_)); }

OwnedMemory* OwnedMemory::find(const void* begin) {
  std::lock_guard lock(blocks().mutex);
  auto found = blocks().by_address.find(begin);
  if (found == blocks().by_address.end()) return nullptr;
  found->second->share();
  return found->second;
}

void OwnedMemory::drop() {
  // Not the last one: nobody can find the block without a share of somebody's.
  std::uint32_t shares = shares_.load(std::memory_order_relaxed);
  while (shares > 1) {
    if (shares_.compare_exchange_weak(shares, shares - 1, std::memory_order_acq_rel, std::memory_order_relaxed)) return;
  }
  {
    // Whoever finds it meanwhile makes this one not the last.
    std::lock_guard lock(blocks().mutex);
    if (shares_.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    blocks().by_address.erase(memory_);
  }
  BLOCKMIRROR_ASSERT(!in_use(), "memory was let go while a request uses it");
  delete this;
}

std::uint64_t OwnedMemory::count() {
  std::lock_guard lock(blocks().mutex);
  return blocks().by_address.size();
}

}  // namespace blockmirror
