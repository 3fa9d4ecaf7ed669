#include "open_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "allocation.h"
#include "block_queue.h"
#include "busy_retry.h"
#include "open_path.h"

namespace blockmirror {

namespace {

constexpr std::uint32_t kMostMemoryAlignment = 4096;  // bytes; a page, which all our buffers have
constexpr std::uint32_t kDefaultBlockSize = 4096;     // bytes, where nobody knows better
constexpr unsigned kAttempts = 8;  // each but the last met a path that was replaced while its lock was waited for

Outcome open_failed(int error) { return Outcome::of(Code::OPEN_FAILED, kNoImage, error); }

// Whether the path still leads to what was opened.
bool names(const std::string& path, bool resolved, int descriptor) {
  struct stat opened {
  }, there{};
  return ::fstat(descriptor, &opened) == 0 && stat_path(path, resolved, there) == 0 && opened.st_dev == there.st_dev &&
         opened.st_ino == there.st_ino;
}

// Before open(2): opening a FIFO blocks, opening a tape rewinds it, and a watchdog once opened restarts the machine.
int check_type(mode_t mode) {
  if (S_ISDIR(mode)) return EISDIR;
  return S_ISREG(mode) || S_ISBLK(mode) ? 0 : EINVAL;
}

// File systems whose regular files are the kernel's doors: to open or read one may take messages away from whom they are
// for, wait for ever, or show the memory. The numbers are of <linux/magic.h>; some supported systems lack a few.
bool is_of_the_kernel(const struct statfs& where) {
  constexpr std::uint32_t kKinds[] = {
      0x9fa0,      // proc
      0x62656572,  // sysfs
      0x64626720,  // debugfs
      0x74726163,  // tracefs
      0x73636673,  // securityfs
      0x27e0eb,    // cgroup
      0x63677270,  // cgroup2
      0x62656570,  // configfs
      0xcafe4a11,  // bpf
      0xde5e81e4,  // efivarfs
      0xf97cff8c,  // selinuxfs
  };
  return std::find(std::begin(kKinds), std::end(kKinds), static_cast<std::uint32_t>(where.f_type)) != std::end(kKinds);
}

int check_kind(int descriptor, struct stat& status) {
  struct statfs where {};
  if (::fstat(descriptor, &status) != 0) return errno;
  if (const int error = check_type(status.st_mode); error != 0) return error;
  return S_ISREG(status.st_mode) && ::fstatfs(descriptor, &where) == 0 && is_of_the_kernel(where) ? EINVAL : 0;
}

// A path, held without being opened (O_PATH): what is looked at, and then opened, is one thing, whatever is put at the
// path in between. Where /proc is masked it is opened by its path; check_opened() then still finds what it is.
class HeldPath {
 public:
  explicit HeldPath(int descriptor) : descriptor_(descriptor) {}
  HeldPath(const HeldPath&) = delete;
  HeldPath& operator=(const HeldPath&) = delete;
  ~HeldPath() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int descriptor() const { return descriptor_; }
  int open(const std::string& path, int flags, bool resolved) const {
    const std::string held = "/proc/self/fd/" + std::to_string(descriptor_);
    const int descriptor = ::open(held.c_str(), flags | O_CLOEXEC | O_NOCTTY);
    return descriptor < 0 && errno == ENOENT ? open_path(AT_FDCWD, path, flags, 0, resolved) : descriptor;
  }

 private:
  int descriptor_;
};

// Nothing was waited for (O_NONBLOCK), and what was opened decides. The flag goes again: io_uring would not wait for the
// disk.
int check_opened(int descriptor) {
  struct stat status {};
  if (const int error = check_kind(descriptor, status); error != 0) return error;
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0 || ::fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK) != 0) return errno;
  return 0;
}

bool block_device_is_read_only(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) return false;
  int read_only = 0;
  const bool known = ::ioctl(descriptor, BLKROGET, &read_only) == 0;
  ::close(descriptor);
  return known && read_only != 0;
}

Outcome explain_open_error(const std::string& path, mode_t mode, int error) {
  if (error == EBUSY || error == EWOULDBLOCK) return Outcome::of(Code::BUSY, kNoImage, error);
  if (error == EINVAL) return Outcome::of(Code::NO_DIRECT_IO, kNoImage, error);  // the one flag open(2) can refuse so
  if (error == EROFS) return Outcome::of(Code::READ_ONLY_DEVICE, kNoImage, error);
  if ((error == EACCES || error == EPERM) && S_ISBLK(mode) && block_device_is_read_only(path)) {
    return Outcome::of(Code::READ_ONLY_DEVICE, kNoImage, EROFS);
  }
  return open_failed(error);
}

// statx(2) by number: the libc headers of some supported systems are older than STATX_DIOALIGN (Linux 6.1).
struct DirectIoAlignment {
  bool known = false;
  std::uint32_t memory = 0;  // bytes, 0: this file takes no direct I/O
  std::uint32_t offset = 0;
};

DirectIoAlignment query_direct_io_alignment(int descriptor) {
  constexpr unsigned kDirectIoAlignment = 0x2000;  // STATX_DIOALIGN
  constexpr std::size_t kMaskAt = 0x00, kMemoryAt = 0x98, kOffsetAt = 0x9c;
  alignas(std::uint64_t) unsigned char answer[256] = {};
  DirectIoAlignment alignment;
  if (::syscall(SYS_statx, descriptor, "", AT_EMPTY_PATH, kDirectIoAlignment, answer) != 0) return alignment;
  std::uint32_t mask = 0;
  std::memcpy(&mask, answer + kMaskAt, sizeof mask);
  alignment.known = (mask & kDirectIoAlignment) != 0;
  std::memcpy(&alignment.memory, answer + kMemoryAt, sizeof alignment.memory);
  std::memcpy(&alignment.offset, answer + kOffsetAt, sizeof alignment.offset);
  return alignment;
}

std::uint32_t usable_block_size(std::uint32_t size, std::uint32_t otherwise) {
  return size != 0 && std::has_single_bit(size) ? size : otherwise;
}

int query_block_device(int descriptor, const struct stat& status, DeviceTraits& traits) {
  int logical = 0, read_only = 0;
  unsigned physical = 0;
  if (::ioctl(descriptor, BLKGETSIZE64, &traits.size) != 0) return errno;
  if (::ioctl(descriptor, BLKSSZGET, &logical) != 0) return errno;
  if (::ioctl(descriptor, BLKPBSZGET, &physical) != 0) return errno;
  if (::ioctl(descriptor, BLKROGET, &read_only) != 0) return errno;
  const BlockQueue queue = query_block_queue(status.st_rdev);
  traits.block_device = true;
  traits.read_only = read_only != 0;
  traits.logical_block_size = usable_block_size(static_cast<std::uint32_t>(logical), kDefaultBlockSize);
  traits.physical_block_size = usable_block_size(physical, kDefaultBlockSize);
  traits.volatile_cache = queue.volatile_cache;
  traits.force_unit_access = queue.native_force_unit_access ? ForceUnitAccess::native : ForceUnitAccess::emulated;
  return 0;
}

// The block sizes are those of the disk below, where the file system has just one. Its cache is not: even on a disk
// without one, what a direct write completed may need a journal commit before it is found again after power loss.
void describe_regular_file(const struct stat& status, DeviceTraits& traits) {
  const BlockQueue queue = query_block_queue(status.st_dev);
  traits.block_device = false;
  traits.size = static_cast<std::uint64_t>(status.st_size);
  traits.logical_block_size = usable_block_size(queue.logical_block_size, 0);
  traits.physical_block_size = usable_block_size(queue.physical_block_size, kDefaultBlockSize);
  traits.volatile_cache = true;
  traits.force_unit_access = queue.native_force_unit_access ? ForceUnitAccess::native : ForceUnitAccess::emulated;
}

Outcome query_traits(int descriptor, const struct stat& status, DeviceTraits& traits) {
  traits = {};
  if (S_ISBLK(status.st_mode)) {
    if (const int error = query_block_device(descriptor, status, traits); error != 0) return open_failed(error);
  } else {
    describe_regular_file(status, traits);
  }
  const DirectIoAlignment alignment = query_direct_io_alignment(descriptor);
  if (alignment.known && (alignment.memory == 0 || alignment.offset == 0)) {
    return Outcome::of(Code::NO_DIRECT_IO, kNoImage, EINVAL);
  }
  // Of xfs on a realtime device, the size of an extent, which need be no power of two.
  const bool usable =
      !alignment.known || (std::has_single_bit(alignment.memory) && std::has_single_bit(alignment.offset) &&
                           alignment.memory <= kMostMemoryAlignment);
  if (!usable) return Outcome::of(Code::BLOCK_TOO_LARGE, kNoImage, 0, std::max(alignment.memory, alignment.offset));
  // Of a file on a disk that sysfs does not tell of (an anonymous device, or /sys is masked) the file itself says it: a
  // guess that is too large would make a mirror of smaller blocks look as if its sectors had grown.
  if (traits.logical_block_size == 0)
    traits.logical_block_size = alignment.known ? alignment.offset : kDefaultBlockSize;
  // Without an answer: what every direct I/O of Linux has accepted, whole logical blocks of the file and in memory.
  traits.memory_alignment =
      alignment.known ? alignment.memory : std::min(traits.logical_block_size, kMostMemoryAlignment);
  traits.offset_alignment = alignment.known ? alignment.offset : traits.logical_block_size;
  traits.logical_block_size = std::max(traits.logical_block_size, traits.offset_alignment);
  traits.physical_block_size = std::max(traits.physical_block_size, traits.logical_block_size);
  // A last fraction of a unit cannot be reached by direct I/O, so it is not offered.
  traits.size -= traits.size % traits.offset_alignment;
  return Outcome::success();
}

}  // namespace

OpenFile& OpenFile::operator=(OpenFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  std::swap(traits_, other.traits_);
  std::swap(device_, other.device_);
  std::swap(inode_, other.inode_);
  std::swap(ownership_, other.ownership_);
  std::swap(locked_, other.locked_);
  std::swap(exclusion_, other.exclusion_);
  std::swap(member_file_, other.member_file_);
  std::swap(loss_, other.loss_);
  std::swap(blocks_, other.blocks_);
  std::swap(next_look_ms_, other.next_look_ms_);
  std::swap(lengthened_, other.lengthened_);
  std::swap(on_fuse_, other.on_fuse_);
  return *this;
}

OpenFile::~OpenFile() {
  if (descriptor_ < 0) return;
  // The lock is let go by hand: the kernel would keep it while an io_uring still holds the file for a moment.
  if (locked_) ::flock(descriptor_, LOCK_UN);
  ::close(descriptor_);
}

Outcome OpenFile::open(const std::string& path, const OpenFileOptions& options, OpenFile& into) {
  const std::uint64_t deadline_ms = monotonic_ms() + options.busy_retry_ms;
  bool replaced = false;
  Outcome outcome;
  for (unsigned attempt = 0; attempt < kAttempts && (attempt == 0 || replaced); ++attempt) {
    outcome = open_once(path, options, deadline_ms, into, replaced);
  }
  return outcome;
}

Outcome OpenFile::adopt(int descriptor, const std::string& path, OpenFile& into) {
  OpenFile adopted;
  adopted.descriptor_ = descriptor;
  adopted.path_ = path;
  Outcome outcome = adopted.describe(S_IFREG, {.require_allocated = false});
  if (!outcome.ok()) {
    adopted.descriptor_ = -1;
    return outcome;
  }
  adopted.locked_ = true;
  into = std::move(adopted);
  return outcome;
}

Outcome OpenFile::open_once(const std::string& path, const OpenFileOptions& options, std::uint64_t deadline_ms,
                            OpenFile& into, bool& replaced) {
  replaced = false;
  struct stat before {};
  const HeldPath held(open_path(AT_FDCWD, path, O_PATH, 0, options.resolved));
  if (held.descriptor() < 0) return open_failed(errno);
  if (const int kind = check_kind(held.descriptor(), before); kind != 0) return open_failed(kind);

  const int access = options.read_only ? O_RDONLY : O_RDWR;
  const int exclusion = options.exclusive && S_ISBLK(before.st_mode) ? O_EXCL : 0;
  OpenFile opened;
  int error = retry_while_busy(deadline_ms, [&] {
    const int flags = access | exclusion | O_DIRECT | O_NONBLOCK;
    opened.descriptor_ = held.open(path, flags, options.resolved);
    return opened.descriptor_ >= 0 ? 0 : errno;
  });
  if (error != 0) return explain_open_error(path, before.st_mode, error);
  if (error = check_opened(opened.descriptor_); error != 0) return open_failed(error);

  if (options.exclusive) {
    error =
        retry_while_busy(deadline_ms, [&] { return ::flock(opened.descriptor_, LOCK_EX | LOCK_NB) == 0 ? 0 : errno; });
    if (error == EWOULDBLOCK) return Outcome::of(Code::BUSY, kNoImage, error);
    if (error != 0) return open_failed(error);
    opened.locked_ = true;
    replaced = !names(path, options.resolved, opened.descriptor_);
    if (replaced) return open_failed(ESTALE);
    Outcome outcome = Exclusion::take(opened.descriptor_, path, deadline_ms, opened.exclusion_);
    if (!outcome.ok()) return outcome;
    if (error = opened.lengthen(options.length_if_empty); error != 0) return open_failed(error);
  }
  opened.path_ = path;
  if (Outcome outcome = opened.describe(before.st_mode, options); !outcome.ok()) {
    opened.shorten();
    return outcome;
  }
  into = std::move(opened);
  return Outcome::success();
}

int OpenFile::lengthen(std::uint64_t length) {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) return errno;
  if (length == 0 || !S_ISREG(status.st_mode) || status.st_size != 0) return 0;
  lengthened_ = true;
  const int error = allocate_zeroes(descriptor_, length);
  if (error != 0) shorten();  // of a disk that is full it may have got a part, behind its end
  return error;
}

void OpenFile::shorten() {
  if (lengthened_) lengthened_ = ::ftruncate(descriptor_, 0) != 0;
}

Outcome OpenFile::describe(mode_t expected, const OpenFileOptions& options) {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) return open_failed(errno);
  // The path was replaced between stat and open: what was opened is not what was checked.
  if ((status.st_mode & S_IFMT) != (expected & S_IFMT)) return open_failed(ESTALE);
  device_ = S_ISBLK(status.st_mode) ? status.st_rdev : status.st_dev;
  inode_ = S_ISBLK(status.st_mode) ? 0 : status.st_ino;
  ownership_ = {status.st_uid, status.st_gid, status.st_mode & 07777};
  if (Outcome queried = query_traits(descriptor_, status, traits_); !queried.ok()) return queried;
  if (traits_.read_only && !options.read_only) return Outcome::of(Code::READ_ONLY_DEVICE, kNoImage, EROFS);
  if (!S_ISREG(status.st_mode)) return Outcome::success();
  struct statfs system {};
  on_fuse_ = ::fstatfs(descriptor_, &system) == 0 && static_cast<std::uint32_t>(system.f_type) == FUSE_SUPER_MAGIC;
  if (options.member) {
    member_file_ = true;
    blocks_ = status.st_blocks;
    look_at_extents();
    return Outcome::success();
  }
  if (!options.require_allocated || lengthened_) return Outcome::success();

  const Allocation allocation = query_allocation(descriptor_, traits_.size);
  if (allocation.error != 0) return open_failed(allocation.error);
  if (allocation.shared_bytes > 0) return Outcome::of(Code::HOLE, kNoImage, 0, allocation.first_shared);
  if (!allocation.complete) return Outcome::of(Code::HOLE, kNoImage, 0, allocation.first_hole);
  return Outcome::success();
}

// Shared blocks are a loss where there is no room to write them anew; else a write finds out.
void OpenFile::look_at_extents() {
  constexpr std::uint64_t kShareOfTime = 100;
  const std::uint64_t begin_ms = monotonic_ms();
  const Allocation allocation = query_allocation(descriptor_, traits_.size);
  next_look_ms_ = monotonic_ms() + kShareOfTime * (monotonic_ms() - begin_ms);
  if (allocation.error != 0) return;  // not known: no loss
  if (!allocation.complete) loss_ = {true, allocation.first_hole};
  if (loss_.lost || allocation.shared_bytes == 0) return;
  struct statvfs room {};
  if (::fstatvfs(descriptor_, &room) != 0) return;
  const std::uint64_t free_bytes = std::uint64_t{room.f_bavail} * room.f_frsize;
  if (free_bytes < allocation.shared_bytes) loss_ = {true, allocation.first_shared};
}

AllocationLoss OpenFile::allocation_loss() {
  if (!member_file_ || loss_.lost) return loss_;
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) return loss_;
  if (static_cast<std::uint64_t>(status.st_size) < traits_.size) {
    loss_ = {true, static_cast<std::uint64_t>(status.st_size)};
    return loss_;
  }
  const bool suspicious = status.st_blocks < blocks_;
  if (suspicious && monotonic_ms() < next_look_ms_) return loss_;
  blocks_ = status.st_blocks;
  if (suspicious) look_at_extents();
  return loss_;
}

bool OpenFile::same_as(const OpenFile& other) const {
  return is_open() && other.is_open() && traits_.block_device == other.traits_.block_device &&
         device_ == other.device_ && inode_ == other.inode_;
}

}  // namespace blockmirror
