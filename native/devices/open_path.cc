#include "open_path.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace blockmirror {

namespace {

// openat2(2) by number: the headers of some supported systems are older than it. -1 and errno, as it answers.
int open_through_no_link(int folder, const char* path, int flags, mode_t mode) {
  constexpr long kOpenat2 = 437;  // on every architecture
  constexpr std::uint64_t kNoSymlinks = 0x04;
  struct {
    std::uint64_t flags, mode, resolve;
  } how{static_cast<std::uint64_t>(flags), mode, kNoSymlinks};
  return static_cast<int>(::syscall(kOpenat2, folder, path, &how, sizeof how));
}

}  // namespace

int open_path(int folder, const std::string& path, int flags, mode_t mode, bool resolved) {
  flags |= (flags & O_PATH) != 0 ? O_CLOEXEC : O_CLOEXEC | O_NOCTTY;  // openat2(2) takes no flag that O_PATH ignores
  if (!resolved) return ::openat(folder, path.c_str(), flags, mode);
  const int descriptor = open_through_no_link(folder, path.c_str(), flags, mode);
  const bool refused = descriptor < 0 && (errno == ENOSYS || errno == EPERM);
  return refused ? ::openat(folder, path.c_str(), flags | O_NOFOLLOW, mode) : descriptor;
}

int stat_path(const std::string& path, bool resolved, struct stat& into) {
  if (::fstatat(AT_FDCWD, path.c_str(), &into, resolved ? AT_SYMLINK_NOFOLLOW : 0) != 0) return -1;
  if (!S_ISLNK(into.st_mode)) return 0;
  errno = ELOOP;
  return -1;
}

}  // namespace blockmirror
