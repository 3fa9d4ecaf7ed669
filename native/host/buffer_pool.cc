#include "buffer_pool.h"

#include <sys/mman.h>

#include <bit>

#include "../core/base/assert.h"
#include "../core/base/data_buffer.h"

namespace blockmirror {

namespace {

constexpr std::uint64_t kHugePage = 2 * 1024 * 1024;

unsigned class_of(std::uint64_t length) {
  std::uint64_t blocks = (length + BufferPool::kSmallestBlock - 1) / BufferPool::kSmallestBlock;
  return static_cast<unsigned>(std::bit_width(blocks - 1));
}

std::uint64_t block_length(unsigned block_class) { return BufferPool::kSmallestBlock << block_class; }

}  // namespace

std::unique_ptr<BufferPool> BufferPool::make(std::uint64_t total_bytes, std::uint64_t registered_bytes) {
  BLOCKMIRROR_ASSERT(total_bytes % kLargestBlock == 0 && registered_bytes % kLargestBlock == 0, "whole chunks");
  BLOCKMIRROR_ASSERT(registered_bytes <= total_bytes, "the registered part is part of the pool");
  std::uint64_t asked = total_bytes + kHugePage;
  void* mapped = mmap(nullptr, asked, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto address = reinterpret_cast<std::uintptr_t>(mapped);
  std::uintptr_t aligned = (address + kHugePage - 1) & ~(kHugePage - 1);
  if (aligned > address) munmap(mapped, aligned - address);
  std::uint64_t length = asked - (aligned - address);
  auto* memory = reinterpret_cast<std::byte*>(aligned);
  // Fewer pages to pin and to walk; only a wish, an error changes nothing.
  if (registered_bytes > 0) madvise(memory, registered_bytes, MADV_HUGEPAGE);
  keep_private(memory, total_bytes);
  auto chunks = static_cast<std::uint32_t>(total_bytes / kLargestBlock);
  auto registered_chunks = static_cast<std::uint32_t>(registered_bytes / kLargestBlock);
  return std::unique_ptr<BufferPool>(new BufferPool(memory, length, chunks, registered_chunks));
}

BufferPool::BufferPool(std::byte* memory, std::uint64_t mapped_bytes, std::uint32_t chunks,
                       std::uint32_t registered_chunks)
    : memory_(memory), mapped_bytes_(mapped_bytes), registered_chunks_(registered_chunks), chunks_(chunks) {
  free_chunks_.fill(kNone);
  for (auto& lists : partly_used_) lists.fill(kNone);
  for (std::uint32_t i = chunks; i-- > 0;) link(free_chunks_[part_of(i)], i);
}

BufferPool::~BufferPool() { munmap(memory_, mapped_bytes_); }

std::byte* BufferPool::allocate(std::uint64_t length) {
  BLOCKMIRROR_ASSERT(length > 0 && length <= kLargestBlock, "a block holds one part");
  unsigned block_class = class_of(length);
  std::uint32_t index = usable_chunk(block_class);
  if (index == kNone) return nullptr;
  Chunk& chunk = chunks_[index];
  unsigned word = 0;
  while (chunk.free_blocks[word] == 0) ++word;
  auto bit = static_cast<unsigned>(std::countr_zero(chunk.free_blocks[word]));
  chunk.free_blocks[word] &= chunk.free_blocks[word] - 1;
  if (++chunk.used == kLargestBlock / block_length(block_class))
    unlink(partly_used_[block_class][part_of(index)], index);
  bytes_in_use_ += block_length(block_class);
  return memory_ + index * kLargestBlock + (word * 64 + bit) * block_length(block_class);
}

void BufferPool::release(std::byte* block) {
  auto offset = static_cast<std::uint64_t>(block - memory_);
  auto index = static_cast<std::uint32_t>(offset / kLargestBlock);
  BLOCKMIRROR_ASSERT(index < chunks_.size(), "a block of another pool");
  Chunk& chunk = chunks_[index];
  std::uint64_t length = block_length(chunk.block_class);
  std::uint64_t number = offset % kLargestBlock / length;
  std::uint64_t mask = std::uint64_t{1} << (number % 64);
  BLOCKMIRROR_ASSERT(chunk.used > 0 && (chunk.free_blocks[number / 64] & mask) == 0, "a block was released twice");
  chunk.free_blocks[number / 64] |= mask;
  bytes_in_use_ -= length;
  std::uint32_t& partly_used = partly_used_[chunk.block_class][part_of(index)];
  bool was_full = chunk.used == kLargestBlock / length;
  if (--chunk.used == 0) {
    if (!was_full) unlink(partly_used, index);
    link(free_chunks_[part_of(index)], index);
  } else if (was_full) {
    link(partly_used, index);
  }
}

std::uint32_t BufferPool::usable_chunk(unsigned block_class) {
  for (unsigned part = 0; part < kParts; ++part) {
    if (partly_used_[block_class][part] != kNone) return partly_used_[block_class][part];
    std::uint32_t index = free_chunks_[part];
    if (index == kNone) continue;
    unlink(free_chunks_[part], index);
    start_chunk(index, block_class);
    link(partly_used_[block_class][part], index);
    return index;
  }
  return kNone;
}

void BufferPool::start_chunk(std::uint32_t index, unsigned block_class) {
  Chunk& chunk = chunks_[index];
  std::uint64_t blocks = kLargestBlock / block_length(block_class);
  chunk.block_class = block_class;
  chunk.used = 0;
  for (unsigned word = 0; word < kWords; ++word) {
    std::uint64_t left = blocks > word * 64 ? blocks - word * 64 : 0;
    chunk.free_blocks[word] = left >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << left) - 1;
  }
}

void BufferPool::link(std::uint32_t& head, std::uint32_t index) {
  chunks_[index].previous = kNone;
  chunks_[index].next = head;
  if (head != kNone) chunks_[head].previous = index;
  head = index;
}

void BufferPool::unlink(std::uint32_t& head, std::uint32_t index) {
  Chunk& chunk = chunks_[index];
  (chunk.previous == kNone ? head : chunks_[chunk.previous].next) = chunk.next;
  if (chunk.next != kNone) chunks_[chunk.next].previous = chunk.previous;
}

}  // namespace blockmirror
