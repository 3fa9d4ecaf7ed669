// Exclusion: what keeps everybody else away from the bytes of an open file or block device, by whatever path (I9).
//
// The thing itself is held by its opener (open_file.h: O_EXCL, a lock of its own). Beside that
//  - every file below it (of a loop device, of a partition of one) is locked, shared: parts of one file that share no
//    byte may be used side by side, while whoever opens the file itself locks it alone;
//  - a file's twin in an overlay is locked like the file;
//  - a block device below a loop device, and every loop device over the same bytes, must take an O_EXCL, which the
//    kernel refuses while anybody has it mounted or claimed, in whatever namespace. Over a file they are kept claimed.
// Each side takes its own first and looks at the other's then, so that of two at once never both succeed.
//
// Invariant: what cannot be found out counts as found (USE_UNKNOWN, with the errno that says why), unless the kernel
// proves by a lease that nobody else has the file open.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "../core/base/outcome.h"

namespace blockmirror {

class Exclusion {
 public:
  Exclusion() = default;
  Exclusion(Exclusion&& other) noexcept { *this = std::move(other); }
  Exclusion& operator=(Exclusion&& other) noexcept;
  Exclusion(const Exclusion&) = delete;
  Exclusion& operator=(const Exclusion&) = delete;
  ~Exclusion();

  // For a descriptor that is itself held exclusively. BUSY, USE_UNKNOWN, OPEN_FAILED; what was taken goes with `into`.
  static Outcome take(int descriptor, const std::string& path, std::uint64_t deadline_ms, Exclusion& into);

 private:
  class Taking;
  std::vector<int> held_;
};

}  // namespace blockmirror
