#include "differences.h"

#include <algorithm>
#include <cstring>

namespace blockmirror {

std::uint64_t differing_bytes(const std::byte* a, const std::byte* b, std::size_t length) {
  if (std::memcmp(a, b, length) == 0) return 0;
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < length; ++i) count += a[i] != b[i] ? 1 : 0;
  return count;
}

std::uint64_t compare_block_of(const Superblock& superblock) {
  return std::max<std::uint64_t>(kSmallestCompareBlock, superblock.block_size);
}

DifferingRun next_differing_run(const std::byte* a, const std::byte* b, std::uint64_t from, std::uint64_t length,
                                std::uint64_t block) {
  DifferingRun run{length, length, 0};
  for (std::uint64_t at = from; at < length; at += block) {
    const std::uint64_t size = std::min(block, length - at);
    const std::uint64_t bytes = differing_bytes(a + at, b + at, size);
    if (bytes == 0 && run.bytes > 0) break;
    if (bytes == 0) continue;
    if (run.bytes == 0) run.begin = at;
    run.end = at + size;
    run.bytes += bytes;
  }
  return run;
}

}  // namespace blockmirror
