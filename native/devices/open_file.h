// Opening the file or block device behind a Device: O_DIRECT, O_CLOEXEC, exclusive, and what it is.
//
// Invariants: I9, one opener. An exclusive OpenFile holds O_EXCL on a block device and an flock (LOCK_EX) on either
// kind, and what keeps others from its bytes by another path (exclusion.h); nobody else's OpenFile succeeds before it
// closes. A kill leaves locks behind for a moment while io_uring lets go of its descriptors, so EBUSY and EWOULDBLOCK
// are retried, bounded, before BUSY is answered.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>

#include "../core/device.h"
#include "../core/status.h"
#include "exclusion.h"

namespace blockmirror {

struct OpenFileOptions {
  bool read_only = false;
  bool exclusive = true;
  // What must hold of a regular file: every block allocated (a hole is an allocation, and so an ENOSPC, in the write
  // path). Files that create() makes are written or preallocated in full first.
  bool require_allocated = true;
  unsigned busy_retry_ms = 2000;
};

class OpenFile {
 public:
  OpenFile() = default;
  OpenFile(OpenFile&& other) noexcept { *this = std::move(other); }
  OpenFile& operator=(OpenFile&& other) noexcept;
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile();

  // OPEN_FAILED, BUSY, USE_UNKNOWN, NO_DIRECT_IO, READ_ONLY_DEVICE, HOLE, each with its errno.
  static Status open(const std::string& path, const OpenFileOptions& options, OpenFile& into);

  int descriptor() const { return descriptor_; }
  bool is_open() const { return descriptor_ >= 0; }
  const std::string& path() const { return path_; }
  const DeviceTraits& traits() const { return traits_; }
  // Same device or same file, by whatever path: st_rdev of a block device, st_dev and st_ino of a file.
  bool same_as(const OpenFile& other) const;

 private:
  Status describe(mode_t expected, const OpenFileOptions& options);

  int descriptor_ = -1;
  std::string path_;
  DeviceTraits traits_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  bool locked_ = false;
  Exclusion exclusion_;
};

}  // namespace blockmirror
