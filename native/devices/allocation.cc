#include "allocation.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace blockmirror {

namespace {

constexpr unsigned kExtentsPerCall = 128;

struct ExtentMap {
  alignas(fiemap) std::byte bytes[sizeof(fiemap) + kExtentsPerCall * sizeof(fiemap_extent)];

  fiemap& header() { return *reinterpret_cast<fiemap*>(bytes); }
  const fiemap_extent& extent(unsigned index) {
    return *reinterpret_cast<const fiemap_extent*>(bytes + sizeof(fiemap) + index * sizeof(fiemap_extent));
  }
};

Allocation hole_at(std::uint64_t position, Allocation found = {}) {
  found.complete = false;
  found.first_hole = position;
  return found;
}

Allocation failed(int error) {
  Allocation found;
  found.error = error;
  return found;
}

Allocation query_by_seek(int descriptor, std::uint64_t size) {
  const off_t hole = ::lseek(descriptor, 0, SEEK_HOLE);
  if (hole < 0) return failed(errno);
  if (static_cast<std::uint64_t>(hole) < size) return hole_at(static_cast<std::uint64_t>(hole));
  Allocation found;
  found.complete = true;
  return found;
}

int read_extents(int descriptor, std::uint64_t from, std::uint64_t size, ExtentMap& map) {
  std::memset(&map.header(), 0, sizeof(fiemap));
  map.header().fm_start = from;
  map.header().fm_length = size - from;
  map.header().fm_flags = FIEMAP_FLAG_SYNC;  // delayed allocation is none yet: let it happen, or fail, first
  map.header().fm_extent_count = kExtentsPerCall;
  int status = -1;
  do {
    status = ::ioctl(descriptor, FS_IOC_FIEMAP, &map.header());
  } while (status < 0 && errno == EINTR);
  return status < 0 ? errno : 0;
}

}  // namespace

int allocate_zeroes(int descriptor, std::uint64_t length) {
  int status = 0;
  do {
    status = ::fallocate(descriptor, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(length));
  } while (status != 0 && errno == EINTR);
  // Where there is no such call, the zeroes that are written before anything else allocate it.
  if (status != 0 && errno != EOPNOTSUPP && errno != ENOSYS) return errno;
  return ::ftruncate(descriptor, static_cast<off_t>(length)) == 0 ? 0 : errno;
}

Allocation query_allocation(int descriptor, std::uint64_t size) {
  ExtentMap map;
  Allocation found;
  std::uint64_t allocated_to = 0;
  while (allocated_to < size) {
    const int error = read_extents(descriptor, allocated_to, size, map);
    if (error == EOPNOTSUPP || error == ENOTTY || error == ENOSYS || error == EINVAL || error == EBADR) {
      return query_by_seek(descriptor, size);
    }
    if (error != 0) return failed(error);
    const std::uint64_t before = allocated_to;
    for (unsigned i = 0; i < map.header().fm_mapped_extents; ++i) {
      const fiemap_extent& extent = map.extent(i);
      if (extent.fe_logical > allocated_to) return hole_at(allocated_to, found);
      if ((extent.fe_flags & FIEMAP_EXTENT_DELALLOC) != 0) return hole_at(extent.fe_logical, found);
      const auto end = std::min<std::uint64_t>(extent.fe_logical + extent.fe_length, size);
      if (end <= allocated_to) continue;
      if ((extent.fe_flags & FIEMAP_EXTENT_SHARED) != 0) {
        if (found.shared_bytes == 0) found.first_shared = allocated_to;
        found.shared_bytes += end - allocated_to;
      }
      allocated_to = end;
    }
    if (allocated_to == before) return hole_at(allocated_to, found);
  }
  found.complete = true;
  return found;
}

}  // namespace blockmirror
