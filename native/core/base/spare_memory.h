// Whether there is memory for what is going to be made. The core has no exceptions: a container that finds none ends the
// process. What the disk, an option or a request says how long it is asks here first, and answers NO_MEMORY.
//
// It is an answer of this moment: a thread that takes the rest between the question and the container's own request makes
// it worthless. Under a limit of the process, where it matters, nearly all memory is asked for by this thread or by V8.
#pragma once

#include <sys/mman.h>

#include <cstddef>

namespace blockmirror {

inline bool has_spare_memory(std::size_t bytes) {
  if (bytes == 0) return true;
  void* const mapping = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return false;
  ::munmap(mapping, bytes);
  return true;
}

}  // namespace blockmirror
