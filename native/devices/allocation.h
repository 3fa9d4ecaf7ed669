// Whether every byte of a regular file has blocks on the disk.
//
// Preallocated, unwritten extents count as allocated: writing them needs no new space, hence no ENOSPC. SEEK_HOLE
// takes them for holes, so FIEMAP is asked; where a file system has no FIEMAP, SEEK_HOLE decides, on the safe side.
#pragma once

#include <cstdint>

namespace blockmirror {

struct Allocation {
  int error = 0;  // errno of the query, 0: the rest is meaningful
  bool complete = false;
  std::uint64_t first_hole = 0;  // bytes, when not complete
};

Allocation query_allocation(int descriptor, std::uint64_t size);

}  // namespace blockmirror
