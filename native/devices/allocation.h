// Whether every byte of a regular file has blocks on the disk, and has them for itself.
//
// Preallocated, unwritten extents count as allocated: writing them needs no new space, hence no ENOSPC. SEEK_HOLE
// takes them for holes, so FIEMAP is asked; where a file system has no FIEMAP, SEEK_HOLE decides, on the safe side.
// Blocks that are shared with another file (a reflink, a snapshot) hold the bytes, but a write there needs new ones.
#pragma once

#include <cstdint>

namespace blockmirror {

struct Allocation {
  int error = 0;  // errno of the query, 0: the rest is meaningful
  bool complete = false;
  std::uint64_t first_hole = 0;    // bytes, when not complete
  std::uint64_t shared_bytes = 0;  // before the first hole
  std::uint64_t first_shared = 0;  // bytes, when some are
};

Allocation query_allocation(int descriptor, std::uint64_t size);

// Gives an empty file that length, of zeroes. All its space is allocated before it has a length: a full disk refuses it
// at once, and whoever is killed here leaves a file that is empty or whole. An errno, 0 for none.
int allocate_zeroes(int descriptor, std::uint64_t length);

}  // namespace blockmirror
