#include "../../host/buffer_pool.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

using blockmirror::BufferPool;

namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;

std::uint64_t rounded(std::uint64_t length) {
  std::uint64_t block = BufferPool::kSmallestBlock;
  while (block < length) block *= 2;
  return block;
}

// The kernel's flags of the mapping that holds the address, as two letters each.
std::string mapping_flags(const void* address) {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream mappings("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(mappings, line);) {
    unsigned long begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) inside = at >= begin && at < end;
    if (inside && line.starts_with("VmFlags:")) return line + " ";
  }
  return {};
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

TEST_CASE("buffer pool: a child that forks gets no copy of it, so that the kernel's pages stay ours") {
  auto pool = BufferPool::make(4 * kMiB, 0);
  REQUIRE(pool);
  std::byte* block = pool->allocate(4096);
  std::memset(block, 1, 4096);
  const std::string flags = mapping_flags(block);
  CAPTURE(flags);
  CHECK(flags.find(" dc ") != std::string::npos);  // "do not copy on fork"
}
