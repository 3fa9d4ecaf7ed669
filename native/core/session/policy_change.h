// What may be changed of a mirror's policies, and what becomes of them. Pure.
#pragma once

#include <cstddef>

#include "../base/outcome.h"
#include "../format/superblock.h"
#include "options.h"

namespace blockmirror {

// OUT_OF_RANGE: what is asked for can not be. Of a mirror of so many images; `position` is how many.
Outcome judge_change(const PolicyChange& change, std::size_t images);
// Of one that was judged. The recovery budget is no policy of the log.
void apply_change(const PolicyChange& change, Policies& policies);

}  // namespace blockmirror
