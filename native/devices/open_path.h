// Opening by a path, where what is opened must be what the path was found to name.
//
// Invariant: a path that is `resolved` (somebody followed its links before, and judged them) is opened through no
// symbolic link at all: whoever put one anywhere on it since then gets ELOOP. Linux before 5.6, and a seccomp profile
// without openat2(2), can say so of the last part alone.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <string>

namespace blockmirror {

// As openat(2) with O_CLOEXEC and O_NOCTTY: a descriptor, or -1 and errno.
int open_path(int folder, const std::string& path, int flags, mode_t mode, bool resolved);

// As stat(2); of a resolved path that is a link now: -1 and ELOOP.
int stat_path(const std::string& path, bool resolved, struct stat& into);

}  // namespace blockmirror
