// Which slaves an opening may do without, by what was found in their place: a table that the code runs. Pure.
//
// Invariants:
//  - I8: a log that is older than an image, or parted from it, is never opened by leaving that image out: the newer side
//    would be forgotten.
//  - I11, I14: one that lost bytes is no point in time, and owes everything.
#pragma once

#include <optional>

#include "../base/outcome.h"
#include "../format/image_record.h"
#include "../images/image_states.h"

namespace blockmirror {

struct LeftOut {
  Code verdict;
  ImageEvent event;
  FractureCause cause;
};

// Empty: the mirror is not opened.
std::optional<LeftOut> find_left_out(Code verdict);

}  // namespace blockmirror
