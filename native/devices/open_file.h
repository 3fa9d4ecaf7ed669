// Opening the file or block device behind a Device: O_DIRECT, O_CLOEXEC, exclusive, and what it is.
//
// Invariants: I9, one opener. An exclusive OpenFile holds O_EXCL on a block device and an flock (LOCK_EX) on either
// kind, and what keeps others from its bytes by another path (exclusion.h); nobody else's OpenFile succeeds before it
// closes. A kill leaves locks behind for a moment while io_uring lets go of its descriptors, so EBUSY and EWOULDBLOCK
// are retried, bounded, before BUSY is answered.
// What was opened exclusively is what the path names once the lock is had: who waited for a file that was removed or
// replaced meanwhile gets the new one, or the error of its path.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>

#include "../core/base/device.h"
#include "../core/base/outcome.h"
#include "exclusion.h"

namespace blockmirror {

struct OpenFileOptions {
  bool read_only = false;
  bool exclusive = true;
  // What must hold of a regular file: every block allocated, and its own (a hole or a shared block is an allocation, and
  // so an ENOSPC, in the write path). Files that create() makes are written or preallocated in full first.
  bool require_allocated = true;
  // It is an image of a mirror already: what it lost is no reason to refuse it here, but damage to be judged.
  bool member = false;
  unsigned busy_retry_ms = 2000;
  // Its links were followed, and judged, before: it is opened through none (open_path.h).
  bool resolved = false;
  // Above 0: a regular file that is empty gets this length once it is held (allocate_zeroes), exclusively.
  std::uint64_t length_if_empty = 0;
};

// Whose the file, or the node of the device, is: of what is open, not of what its path led to before.
struct Ownership {
  uid_t user = 0;
  gid_t group = 0;
  mode_t mode = 0;  // permission bits
};

class OpenFile {
 public:
  OpenFile() = default;
  OpenFile(OpenFile&& other) noexcept { *this = std::move(other); }
  OpenFile& operator=(OpenFile&& other) noexcept;
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile();

  // OPEN_FAILED, BUSY, USE_UNKNOWN, NO_DIRECT_IO, READ_ONLY_DEVICE, HOLE, BLOCK_TOO_LARGE, each with its errno.
  static Outcome open(const std::string& path, const OpenFileOptions& options, OpenFile& into);
  // Takes a descriptor over that the caller has opened as above, with O_DIRECT and under its lock. After an error it is
  // the caller's still.
  static Outcome adopt(int descriptor, const std::string& path, OpenFile& into);

  int descriptor() const { return descriptor_; }
  bool is_open() const { return descriptor_ >= 0; }
  const std::string& path() const { return path_; }
  const DeviceTraits& traits() const { return traits_; }
  // Its requests are answered by another process.
  bool on_fuse() const { return on_fuse_; }
  bool lengthened() const { return lengthened_; }  // it was empty, see length_if_empty
  // Empty again, if it was lengthened.
  void shorten();
  // Where it lies, by whatever path: st_rdev and 0 of a block device, st_dev and st_ino of a file.
  dev_t device() const { return device_; }
  ino_t inode() const { return inode_; }
  const Ownership& ownership() const { return ownership_; }
  // What a member lost, when it was opened or since; of anything else nothing.
  // A file whose size and count of blocks have not fallen since they were last looked at has lost nothing. Where they
  // have (xfs and btrfs also give up blocks of their own), the extents decide; that takes at most a hundredth of the time.
  AllocationLoss allocation_loss();
  // Same device or same file, by whatever path: st_rdev of a block device, st_dev and st_ino of a file.
  bool same_as(const OpenFile& other) const;

 private:
  static Outcome open_once(const std::string& path, const OpenFileOptions& options, std::uint64_t deadline_ms,
                           OpenFile& into, bool& replaced);
  int lengthen(std::uint64_t length);
  Outcome describe(mode_t expected, const OpenFileOptions& options);
  void look_at_extents();

  int descriptor_ = -1;
  std::string path_;
  DeviceTraits traits_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  Ownership ownership_;
  bool locked_ = false;
  Exclusion exclusion_;
  bool member_file_ = false;
  AllocationLoss loss_;
  std::int64_t blocks_ = 0;  // st_blocks when they were last looked at
  std::uint64_t next_look_ms_ = 0;
  bool lengthened_ = false;
  bool on_fuse_ = false;
};

}  // namespace blockmirror
