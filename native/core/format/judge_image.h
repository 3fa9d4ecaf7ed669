// Does what a superblock says of its images contradict itself? Asked before encoding (asserted) and after decoding
// (answered): we never write what we would not read. Pure.
#pragma once

#include <string>

#include "../base/headroom.h"
#include "superblock.h"

namespace blockmirror {

// Whether a log takes the path: no empty, `.` or `..` component, and a slash in front where it is absolute alone; or the
// URI of an export: nbd://, nbds:// or nbd+unix://, printable ASCII without spaces.
bool path_is_valid(const std::string& path, PathKind kind);
// What contradicts, in plain words; null when nothing does. Of all images, their entries and each two of them.
const char* judge_images(const Superblock& superblock, Bound bound);
// The same of state and resync alone, as a label has them.
const char* judge_resync(ImageState state, const ResyncRecord& resync);

}  // namespace blockmirror
