// The extents of a verify as lib/life/verification.ts gives them to the engine: cut at its limits, many to a step.
#pragma once

#include <algorithm>
#include <vector>

#include "../../core/session/session.h"

namespace blockmirror::test {

inline std::vector<std::vector<Extent>> copy_steps(const ExtentSet& plan) {
  std::vector<std::vector<Extent>> steps;
  std::uint64_t bytes = 0;
  for (const Extent& extent : plan.extents()) {
    for (std::uint64_t at = extent.position; at < extent.end();) {
      const Extent piece{at, std::min(extent.end(), (at / kCopyLength + 1) * kCopyLength) - at};
      if (steps.empty() || steps.back().size() == kCopyExtents || bytes + piece.length > kCopyBytes) {
        steps.emplace_back();
        bytes = 0;
      }
      steps.back().push_back(piece);
      bytes += piece.length;
      at = piece.end();
    }
  }
  return steps;
}

}  // namespace blockmirror::test
