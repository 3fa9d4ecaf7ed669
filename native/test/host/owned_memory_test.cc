#include "../../host/owned_memory.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

#include "../support/mapping_flags.h"

using namespace blockmirror;

TEST_CASE("owned memory: zeroed, at a page, of the length asked for, and found by its address alone") {
  for (std::uint64_t length : {1, 4096, 5000, 1 << 20}) {
    OwnedMemory* memory = OwnedMemory::make(length);
    REQUIRE(memory != nullptr);
    CHECK(memory->bytes().size() == length);
    CHECK(reinterpret_cast<std::uintptr_t>(memory->bytes().data()) % 4096 == 0);
    CHECK(std::ranges::all_of(memory->bytes(), [](std::byte byte) { return byte == std::byte{0}; }));
    OwnedMemory* found = OwnedMemory::find(memory->bytes().data());
    CHECK(found == memory);
    CHECK(OwnedMemory::find(memory->bytes().data() + 1) == nullptr);
    found->drop();
    memory->drop();
  }
}

TEST_CASE("owned memory: a block is kept out of core dumps to its last byte") {
  for (std::uint64_t length : {1, 4096, 5000, 3 << 20}) {
    OwnedMemory* memory = OwnedMemory::make(length);
    REQUIRE(memory != nullptr);
    CHECK(test::is_mapped_with(test::kNotInDumps, memory->bytes()));
    memory->drop();
  }
}

TEST_CASE("owned memory: more than there is address space for is none, and no error") {
  CHECK(OwnedMemory::make(std::uint64_t{1} << 60) == nullptr);
  CHECK(OwnedMemory::make(UINT64_MAX) == nullptr);
}

TEST_CASE("owned memory: it stays while anybody has a share, and goes with the last") {
  const std::uint64_t before = OwnedMemory::count();
  OwnedMemory* memory = OwnedMemory::make(8192);
  std::byte* const begin = memory->bytes().data();
  memory->begin_use();
  CHECK(memory->in_use());
  memory->drop();
  begin[8191] = std::byte{7};
  CHECK(OwnedMemory::count() == before + 1);
  memory->end_use();
  CHECK(OwnedMemory::count() == before);
  CHECK(OwnedMemory::find(begin) == nullptr);
}

TEST_CASE("owned memory: threads take and drop shares side by side") {
  const std::uint64_t before = OwnedMemory::count();
  std::vector<OwnedMemory*> blocks;
  for (int i = 0; i < 16; ++i) blocks.push_back(OwnedMemory::make(4096));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&blocks] {
      for (int round = 0; round < 2000; ++round) {
        for (OwnedMemory* memory : blocks) {
          OwnedMemory* found = OwnedMemory::find(memory->bytes().data());
          found->begin_use();
          found->drop();
          found->end_use();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (OwnedMemory* memory : blocks) {
    CHECK_FALSE(memory->in_use());
    memory->drop();
  }
  CHECK(OwnedMemory::count() == before);
}
