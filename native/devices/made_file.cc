#include "made_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "allocation.h"
#include "open_path.h"

namespace blockmirror {

namespace {

constexpr mode_t kMode = 0600;

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string link_of(int descriptor) { return "/proc/self/fd/" + std::to_string(descriptor); }

// -1 where the file system (or this kernel, or a masked /proc, by which it would get its name) knows no nameless files.
int open_nameless(int folder) {
  const int descriptor = ::openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, kMode);
  if (descriptor < 0 || ::access(link_of(descriptor).c_str(), F_OK) == 0) return descriptor;
  ::close(descriptor);
  return -1;
}

Outcome open_failed(int error) { return Outcome::of(Code::OPEN_FAILED, kNoImage, error); }

Outcome prepare(int descriptor, std::uint64_t length) {
  // The umask, and a default access control list of the folder, had their say.
  if (::fchmod(descriptor, kMode) != 0) return open_failed(errno);
  if (const int error = allocate_zeroes(descriptor, length); error != 0) return open_failed(error);
  const int flags = ::fcntl(descriptor, F_GETFL);
  const bool direct = flags >= 0 && ::fcntl(descriptor, F_SETFL, flags | O_DIRECT) == 0;
  return direct ? Outcome::success() : Outcome::of(Code::NO_DIRECT_IO, kNoImage, errno);
}

}  // namespace

MadeFile& MadeFile::operator=(MadeFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(folder_, other.folder_);
  std::swap(name_, other.name_);
  std::swap(named_, other.named_);
  std::swap(was_there_, other.was_there_);
  return *this;
}

MadeFile::~MadeFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (folder_ >= 0) ::close(folder_);
}

Outcome MadeFile::make(const std::string& path, std::uint64_t length, OpenFile& file, MadeFile& made, bool resolved) {
  MadeFile result;
  result.name_ = path.substr(path.find_last_of('/') + 1);
  if (result.name_.empty()) return open_failed(EISDIR);
  result.folder_ = open_path(AT_FDCWD, folder_of(path), O_RDONLY | O_DIRECTORY, 0, resolved);
  if (result.folder_ < 0) return open_failed(errno);
  const Outcome outcome = result.make_here(path, length, file);
  if (outcome.ok()) made = std::move(result);
  return outcome;
}

Outcome MadeFile::make_here(const std::string& path, std::uint64_t length, OpenFile& file) {
  struct stat there {};
  if (::fstatat(folder_, name_.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0) return open_failed(EEXIST);
  descriptor_ = open_nameless(folder_);
  const bool named = descriptor_ < 0;
  if (named) descriptor_ = ::openat(folder_, name_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, kMode);
  if (descriptor_ < 0) return open_failed(errno);
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    // Not removed: it is in the hands of whoever holds it.
    return Outcome::of(errno == EWOULDBLOCK ? Code::BUSY : Code::OPEN_FAILED, kNoImage, errno);
  }
  named_ = named;
  const int kept = ::fcntl(descriptor_, F_DUPFD_CLOEXEC, 0);
  if (kept < 0) return Outcome::of(Code::NO_MEMORY, kNoImage, errno);
  Outcome outcome = prepare(kept, length);
  if (outcome.ok()) outcome = OpenFile::adopt(kept, path, file);
  if (outcome.ok()) return outcome;
  ::close(kept);
  if (named_) remove_own();
  return outcome;
}

Outcome MadeFile::keep(const OpenFile& lengthened, MadeFile& made) {
  MadeFile result;
  result.descriptor_ = ::fcntl(lengthened.descriptor(), F_DUPFD_CLOEXEC, 0);
  if (result.descriptor_ < 0) return Outcome::of(Code::OPEN_FAILED, kNoImage, errno);
  result.named_ = true;
  result.was_there_ = true;
  made = std::move(result);
  return Outcome::success();
}

void MadeFile::undo() {
  if (descriptor_ < 0 || !named_ || ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) return;
  if (was_there_) {
    static_cast<void>(::ftruncate(descriptor_, 0));
  } else {
    remove_own();
  }
}

Outcome MadeFile::link() {
  if (descriptor_ < 0 || was_there_) return Outcome::success();
  if (!named_ && ::linkat(AT_FDCWD, link_of(descriptor_).c_str(), folder_, name_.c_str(), AT_SYMLINK_FOLLOW) != 0) {
    return open_failed(errno);
  }
  named_ = true;
  return ::fsync(folder_) == 0 ? Outcome::success() : open_failed(errno);
}

void MadeFile::remove_own() const {
  struct stat ours {
  }, there{};
  const bool same = ::fstat(descriptor_, &ours) == 0 &&
                    ::fstatat(folder_, name_.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
                    ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
  if (same) ::unlinkat(folder_, name_.c_str(), 0);
}

}  // namespace blockmirror
