#include "made_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "allocation.h"

namespace blockmirror {

namespace {

constexpr mode_t kMode = 0666;  // less the umask, as every file

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string link_of(int descriptor) { return "/proc/self/fd/" + std::to_string(descriptor); }

// -1 where the file system (or this kernel, or a masked /proc, by which it would get its name) knows no nameless files.
int open_nameless(const std::string& path) {
  const int descriptor = ::open(folder_of(path).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, kMode);
  if (descriptor < 0 || ::access(link_of(descriptor).c_str(), F_OK) == 0) return descriptor;
  ::close(descriptor);
  return -1;
}

int sync_folder(const std::string& path) {
  const int folder = ::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return errno;
  const int error = ::fsync(folder) == 0 ? 0 : errno;
  ::close(folder);
  return error;
}

void remove_own(const std::string& path, int descriptor) {
  struct stat ours {
  }, there{};
  const bool same = ::fstat(descriptor, &ours) == 0 && ::lstat(path.c_str(), &there) == 0 &&
                    ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
  if (same) ::unlink(path.c_str());
}

}  // namespace

MadeFile& MadeFile::operator=(MadeFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  std::swap(named_, other.named_);
  std::swap(was_there_, other.was_there_);
  return *this;
}

MadeFile::~MadeFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status MadeFile::make(const std::string& path, std::uint64_t length, OpenFile& file, MadeFile& made) {
  struct stat there {};
  if (::lstat(path.c_str(), &there) == 0) return Status::of(Code::OPEN_FAILED, kNoImage, EEXIST);
  int descriptor = open_nameless(path);
  const bool named = descriptor < 0;
  if (named) descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, kMode);
  if (descriptor < 0) return Status::of(Code::OPEN_FAILED, kNoImage, errno);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    ::close(descriptor);  // not removed: it is in the hands of whoever holds it
    return Status::of(error == EWOULDBLOCK ? Code::BUSY : Code::OPEN_FAILED, kNoImage, error);
  }
  const Status status = make_at(path, length, descriptor, named, file, made);
  if (!status.ok()) {
    if (named) remove_own(path, descriptor);
    ::close(descriptor);
  }
  return status;
}

Status MadeFile::make_at(const std::string& path, std::uint64_t length, int descriptor, bool named, OpenFile& file,
                         MadeFile& made) {
  if (const int error = allocate_zeroes(descriptor, length); error != 0) {
    return Status::of(Code::OPEN_FAILED, kNoImage, error);
  }
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0 || ::fcntl(descriptor, F_SETFL, flags | O_DIRECT) != 0) {
    return Status::of(Code::NO_DIRECT_IO, kNoImage, errno);
  }
  const int kept = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (kept < 0) return Status::of(Code::NO_MEMORY, kNoImage, errno);
  const Status status = OpenFile::adopt(descriptor, path, file);
  if (!status.ok()) {
    ::close(kept);
    return status;
  }
  MadeFile result;
  result.descriptor_ = kept;
  result.path_ = path;
  result.named_ = named;
  made = std::move(result);
  return status;
}

Status MadeFile::keep(const OpenFile& lengthened, MadeFile& made) {
  MadeFile result;
  result.descriptor_ = ::fcntl(lengthened.descriptor(), F_DUPFD_CLOEXEC, 0);
  if (result.descriptor_ < 0) return Status::of(Code::OPEN_FAILED, kNoImage, errno);
  result.named_ = true;
  result.was_there_ = true;
  made = std::move(result);
  return Status::success();
}

void MadeFile::undo() {
  if (descriptor_ < 0 || !named_ || ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) return;
  if (was_there_) {
    static_cast<void>(::ftruncate(descriptor_, 0));
  } else {
    remove_own(path_, descriptor_);
  }
}

Status MadeFile::link() {
  if (descriptor_ < 0 || was_there_) return Status::success();
  if (!named_ && ::linkat(AT_FDCWD, link_of(descriptor_).c_str(), AT_FDCWD, path_.c_str(), AT_SYMLINK_FOLLOW) != 0) {
    return Status::of(Code::OPEN_FAILED, kNoImage, errno);
  }
  named_ = true;
  const int error = sync_folder(path_);
  return error == 0 ? Status::success() : Status::of(Code::OPEN_FAILED, kNoImage, error);
}

}  // namespace blockmirror
