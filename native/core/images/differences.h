// Where two images differ: pure functions over bytes that were read, shared by the resync and the comparison.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../format/superblock.h"

namespace blockmirror {

inline constexpr std::uint64_t kSmallestCompareBlock = 4096;
inline constexpr std::size_t kReportedDifferences = 1000;  // of one step; all are counted

// What is counted and rewritten as one: 4 KiB, or the largest block if that is larger.
std::uint64_t compare_block_of(const Superblock& superblock);

std::uint64_t differing_bytes(const std::byte* a, const std::byte* b, std::size_t length);

// Blocks side by side that differ: where in the piece they begin and end, and how many of their bytes do.
struct DifferingRun {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;  // of the piece, when there is no further run: then it is empty
  std::uint64_t bytes = 0;
};
// The first run at or after `from`.
DifferingRun next_differing_run(const std::byte* a, const std::byte* b, std::uint64_t from, std::uint64_t length,
                                std::uint64_t block);

}  // namespace blockmirror
