// A file of an overlay file system has two identities: the one in the merged tree, and that of the real file in the
// upper folder. Locks of one are not seen by the other.
//
// Invariant: nothing here fails. What this mount namespace does not show (the upper folder of a container's own root)
// is not among the twins; docs/ARCHITECTURE.md says what follows from that.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace blockmirror {

struct OverlayMount {
  std::uint64_t id = 0;
  std::string root;   // folder of the overlay that is mounted, "/" for all of it
  std::string point;  // where it is mounted
  std::string upper;  // empty: read-only
};

// The overlays of a /proc/PID/mountinfo. Pure.
std::vector<OverlayMount> parse_overlay_mounts(std::string_view mountinfo);

// Other paths of the same regular file: below a merged file its real one, beside a real file the merged ones.
std::vector<std::string> overlay_twins(int descriptor);

}  // namespace blockmirror
