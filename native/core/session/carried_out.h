// What the format can say and this program does not carry out yet. A log that says so is refused as a whole, by name
// (UNKNOWN_FEATURE), before anything is attached: half of it would be forgotten by the first write.
#pragma once

#include "../base/outcome.h"
#include "../format/superblock.h"

namespace blockmirror {

Outcome judge_carried_out(const Superblock& superblock);

}  // namespace blockmirror
