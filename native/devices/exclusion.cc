#include "exclusion.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "busy_retry.h"
#include "footprint.h"
#include "overlay.h"

namespace blockmirror {

namespace {

constexpr int kLook = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

bool ran_out(int error) { return error == EMFILE || error == ENFILE || error == ENOMEM; }

Outcome refused(int error) {
  const bool busy = error == EBUSY || error == EWOULDBLOCK;
  const Code code = busy ? Code::BUSY : ran_out(error) ? Code::OPEN_FAILED : Code::USE_UNKNOWN;
  return Outcome::of(code, kNoImage, error);
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// 0 when nobody else has the regular file open, whoever and by whatever path: a loop device keeps it open. EAGAIN when
// somebody has; another errno when the file system, or who we are, does not allow the question.
int prove_alone(int descriptor, std::uint64_t deadline_ms) {
  // Whoever opens the file in this moment makes the kernel send a signal: one that is ignored by default.
  if (::fcntl(descriptor, F_SETSIG, SIGURG) != 0) return errno;
  const int error =
      retry_while_busy(deadline_ms, [&] { return ::fcntl(descriptor, F_SETLEASE, F_WRLCK) == 0 ? 0 : errno; });
  if (error == 0) ::fcntl(descriptor, F_SETLEASE, F_UNLCK);
  ::fcntl(descriptor, F_SETSIG, 0);
  return error;
}

}  // namespace

class Exclusion::Taking {
 public:
  Taking(int descriptor, const std::string& path, std::uint64_t deadline_ms, Exclusion& into)
      : descriptor_(descriptor), path_(path), deadline_ms_(deadline_ms), into_(into) {}

  Outcome run() {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) return Outcome::of(Code::OPEN_FAILED, kNoImage, errno);
    block_device_ = S_ISBLK(status.st_mode);
    footprint_ = footprint_of(path_, status);
    if (footprint_.unknown != 0) return refused(footprint_.unknown);
    if (!block_device_) {
      if (const int error = lock_twins(descriptor_, footprint_.layers.front(), LOCK_EX); error != 0) {
        return refused(error);
      }
    }
    const std::size_t layers = footprint_.layers.size();  // twins are added behind them
    for (std::size_t i = 1; i < layers && block_device_; ++i) {
      const Layer layer = footprint_.layers[i];
      const int error = layer.node.block_device ? probe_below(layer) : lock_file(layer);
      if (error != 0) return refused(error);
    }
    return look_above();
  }

 private:
  int lock(int descriptor, int mode) {
    return retry_while_busy(deadline_ms_, [&] { return ::flock(descriptor, mode | LOCK_NB) == 0 ? 0 : errno; });
  }

  // Opens the layer where it is said to be; ENOENT when what is there is something else.
  int open_layer(const Layer& layer, int flags, int& descriptor) {
    descriptor = -1;
    const int error = retry_while_busy(deadline_ms_, [&] {
      descriptor = ::open(layer.path.c_str(), kLook | flags);
      return descriptor >= 0 ? 0 : errno;
    });
    if (error != 0) return error;
    struct stat status {};
    if (::fstat(descriptor, &status) == 0 && node_of(status) == layer.node) return 0;
    ::close(descriptor);
    return ENOENT;
  }

  int lock_file(const Layer& layer) {
    if (layer.deleted) return 0;
    int descriptor = -1;
    if (const int error = open_layer(layer, 0, descriptor); error != 0) return error;
    into_.held_.push_back(descriptor);
    if (const int error = lock(descriptor, LOCK_SH); error != 0) return error;
    return lock_twins(descriptor, layer, LOCK_SH);
  }

  // The layer as it is, not one of the footprint's own: twins are added to those.
  int lock_twins(int file, const Layer layer, int mode) {
    for (const std::string& path : overlay_twins(file)) {
      const int descriptor = ::open(path.c_str(), kLook);
      if (descriptor < 0) return errno;
      into_.held_.push_back(descriptor);
      struct stat status {};
      if (::fstat(descriptor, &status) != 0) return errno;
      Layer twin = layer;
      twin.node = node_of(status);
      twin.path = path;
      const bool known = std::any_of(footprint_.layers.begin(), footprint_.layers.end(),
                                     [&](const Layer& other) { return other.node == twin.node; });
      if (known) continue;
      if (const int error = lock(descriptor, mode); error != 0) return error;
      footprint_.layers.push_back(std::move(twin));
    }
    return 0;
  }

  // Whoever has the device below a loop device mounted or claimed, the kernel knows. A disk below its partition, and
  // what is below a mapped device, the kernel itself keeps from others.
  int probe_below(const Layer& layer) {
    if (layer.reached != Layer::Reached::by_loop) return 0;
    int descriptor = -1;
    const int error = open_layer(layer, O_EXCL, descriptor);
    if (error == 0) ::close(descriptor);
    return error;
  }

  Outcome look_above() {
    std::vector<std::string> names;
    int unknown = list_loop_devices(names);
    if (ran_out(unknown)) return refused(unknown);
    for (const std::string& name : names) {
      const std::string path = "/dev/" + name;
      struct stat status {};
      Footprint above;
      if (::stat(path.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) {
        above.unknown = EACCES;
      } else {
        above = footprint_of(path, status);
        if (is_own(node_of(status))) continue;
      }
      if (ran_out(above.unknown)) return refused(above.unknown);
      if (above.unknown != 0 && may_be_over_us(name)) unknown = above.unknown;
      if (!overlap(above, footprint_)) continue;
      if (const int error = claim({.node = node_of(status), .path = path}); error != 0) return refused(error);
    }
    if (unknown == 0) return Outcome::success();
    return block_device_ ? refused(unknown) : prove_or(unknown);
  }

  bool is_own(const Node& node) const {
    return std::any_of(footprint_.layers.begin(), footprint_.layers.end(),
                       [&](const Layer& layer) { return layer.node == node; });
  }

  // Of a loop device that cannot be asked. The kernel tells the present name of what is below it, seen from another
  // mount namespace perhaps: there the folders may have other names, the last part of the path stays.
  bool may_be_over_us(const std::string& loop_name) const {
    const std::string below = base_name(backing_path(loop_name));
    return std::any_of(footprint_.layers.begin(), footprint_.layers.end(),
                       [&](const Layer& layer) { return base_name(layer.path) == below; });
  }

  // Over a file it is kept, so that nobody mounts it meanwhile. Over a block device two of our own may look at once.
  int claim(const Layer& loop) {
    int descriptor = -1;
    const int error = open_layer(loop, O_EXCL, descriptor);
    if (error == ENXIO) return 0;  // detached meanwhile
    if (error != 0) return error;
    if (block_device_) {
      ::close(descriptor);
    } else {
      into_.held_.push_back(descriptor);
    }
    return 0;
  }

  Outcome prove_or(int unknown) const {
    const int error = prove_alone(descriptor_, deadline_ms_);
    return error == 0 ? Outcome::success() : refused(unknown);
  }

  const int descriptor_;
  const std::string& path_;
  const std::uint64_t deadline_ms_;
  Exclusion& into_;
  bool block_device_ = false;
  Footprint footprint_;
};

Exclusion& Exclusion::operator=(Exclusion&& other) noexcept {
  std::swap(held_, other.held_);
  return *this;
}

// Let go by hand: a forked child that has not yet become another program shares the descriptors.
Exclusion::~Exclusion() {
  for (const int descriptor : held_) {
    ::flock(descriptor, LOCK_UN);
    ::close(descriptor);
  }
}

Outcome Exclusion::take(int descriptor, const std::string& path, std::uint64_t deadline_ms, Exclusion& into) {
  return Taking(descriptor, path, deadline_ms, into).run();
}

}  // namespace blockmirror
