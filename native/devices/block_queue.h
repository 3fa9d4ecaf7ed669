// What sysfs says about the request queue of the block device with a given number (a partition's is its disk's).
//
// Invariant: what sysfs does not say is answered by the cautious value: a volatile cache, no native FUA, blocks of 0
// bytes for "unknown". Nothing here fails.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace blockmirror {

struct BlockQueue {
  bool known = false;          // sysfs has a queue for this device number
  bool volatile_cache = true;  // anything but "write through"
  bool native_force_unit_access = false;
  std::uint32_t logical_block_size = 0;   // bytes, 0: unknown
  std::uint32_t physical_block_size = 0;  // bytes, 0: unknown
};

BlockQueue query_block_queue(dev_t device);

}  // namespace blockmirror
