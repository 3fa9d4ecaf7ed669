#include "../../host/buffer_pool.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "../support/mapping_flags.h"

using blockmirror::BufferPool;
using namespace blockmirror::test;

namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;

std::uint64_t rounded(std::uint64_t length) {
  std::uint64_t block = BufferPool::kSmallestBlock;
  while (block < length) block *= 2;
  return block;
}

}  // namespace

TEST_CASE("buffer pool: a block is aligned to its size, is as long as was asked, and overlaps no other") {
  auto pool = BufferPool::make(16 * kMiB, 4 * kMiB);
  REQUIRE(pool);
  std::mt19937 random(1);
  std::map<std::byte*, std::uint64_t> blocks;
  for (unsigned step = 0; step < 20000; ++step) {
    if (random() % 3 != 0) {
      std::uint64_t length = 512 * (1 + random() % (random() % 4 == 0 ? 2048 : 16));
      std::byte* block = pool->allocate(length);
      if (block == nullptr) continue;
      CHECK(reinterpret_cast<std::uintptr_t>(block) % rounded(length) == 0);
      auto after = blocks.lower_bound(block);
      if (after != blocks.end()) CHECK(block + length <= after->first);
      if (after != blocks.begin()) CHECK(std::prev(after)->first + std::prev(after)->second <= block);
      blocks[block] = length;
      std::memset(block, 0xa5, length);
    } else if (!blocks.empty()) {
      auto chosen = std::next(blocks.begin(), random() % blocks.size());
      pool->release(chosen->first);
      blocks.erase(chosen);
    }
    std::uint64_t in_use = 0;
    if (step % 1000 == 0) {
      for (const auto& [block, length] : blocks) in_use += rounded(length);
      CHECK(pool->bytes_in_use() == in_use);
    }
  }
  for (const auto& [block, length] : blocks) pool->release(block);
  CHECK(pool->bytes_in_use() == 0);
}

TEST_CASE("buffer pool: hands out every byte of its bound in blocks of one size, and not one more") {
  for (std::uint64_t length : {std::uint64_t{4096}, std::uint64_t{65536}, kMiB}) {
    auto pool = BufferPool::make(8 * kMiB, 2 * kMiB);
    REQUIRE(pool);
    std::vector<std::byte*> blocks;
    while (std::byte* block = pool->allocate(length)) blocks.push_back(block);
    CHECK(blocks.size() == 8 * kMiB / length);
    CHECK(pool->bytes_in_use() == 8 * kMiB);
    pool->release(blocks.back());
    CHECK(pool->allocate(length) == blocks.back());
    CHECK(pool->allocate(512) == nullptr);
  }
}

TEST_CASE("buffer pool: what was given back serves blocks of any other size") {
  auto pool = BufferPool::make(4 * kMiB, 0);
  REQUIRE(pool);
  for (std::uint64_t length = 4096; length <= kMiB; length *= 2) {
    std::vector<std::byte*> blocks;
    while (std::byte* block = pool->allocate(length)) blocks.push_back(block);
    CHECK(blocks.size() == 4 * kMiB / length);
    for (std::byte* block : blocks) pool->release(block);
  }
}

TEST_CASE("buffer pool: the registered part is used first, and again as soon as some of it is free") {
  auto pool = BufferPool::make(4 * kMiB, kMiB);
  REQUIRE(pool);
  std::span<std::byte> registered = pool->registered();
  REQUIRE(registered.size() == kMiB);
  auto inside = [&](std::byte* block) { return block >= registered.data() && block < registered.data() + kMiB; };
  std::vector<std::byte*> blocks;
  for (unsigned i = 0; i < 256; ++i) blocks.push_back(pool->allocate(4096));
  for (std::byte* block : blocks) CHECK(inside(block));
  CHECK_FALSE(inside(pool->allocate(4096)));
  pool->release(blocks[17]);
  CHECK(pool->allocate(4096) == blocks[17]);
}

namespace {

// All of it, from the first block to the end of the last one: the blocks of the largest size, one after the other.
bool pool_is_mapped_with(std::string_view flag) {
  auto pool = BufferPool::make(8 * kMiB, 3 * kMiB);
  REQUIRE(pool);
  bool all = true;
  unsigned blocks = 0;
  while (std::byte* block = pool->allocate(kMiB)) {
    all = all && is_mapped_with(flag, {block, kMiB});
    ++blocks;
  }
  CHECK(blocks == 8);
  return all;
}

}  // namespace

TEST_CASE("buffer pool: a child that forks gets no copy of it, so that the kernel's pages stay ours") {
  CHECK(pool_is_mapped_with(kNotInChildren));
}

TEST_CASE("buffer pool: all of it, the registered part too, is kept out of core dumps") {
  CHECK(pool_is_mapped_with(kNotInDumps));
}
