// Copying what a device is going to read, past the caches.
//
// Nobody on this side looks at those bytes again, and the memory was last read by a device: an ordinary store would
// first fetch every line that it is about to overwrite, and drive out what the caches hold. Large copies, of which
// nothing would stay in a cache anyway, took less than half of the processor time this way (docs/PERFORMANCE.md);
// small ones are faster through the cache. Once the call returns every other thread sees the bytes.
#pragma once

#include <cstddef>

namespace blockmirror {

inline constexpr std::size_t kStreamedCopyLength = 64 * 1024;  // bytes, from which on it pays

// The ranges must not overlap.
void copy_out(std::byte* into, const std::byte* from, std::size_t length);

}  // namespace blockmirror
