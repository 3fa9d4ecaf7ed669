#include "footprint.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "sysfs.h"

namespace blockmirror {

namespace {

constexpr std::uint64_t kSector = 512;  // bytes, the unit of sysfs
constexpr unsigned kDepthLimit = 8;     // partition in loop device in file ...: deeper nesting counts as unknown
constexpr std::size_t kLoopLimit = 65536;
constexpr std::string_view kDeleted = " (deleted)";

std::uint64_t add(std::uint64_t a, std::uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

class Walk {
 public:
  explicit Walk(Footprint& into) : into_(into) {}

  void down(Layer layer, unsigned depth) {
    if (into_.layers.size() >= 256 || depth >= kDepthLimit) return unknown(ENOSYS);
    into_.layers.push_back(layer);
    if (!layer.node.block_device) return;
    const dev_t number = layer.node.device;
    const std::string folder = block_folder(number);
    if (::access(folder.c_str(), X_OK) != 0) return unknown(errno == ENOENT ? ENOSYS : errno);
    if (layer.reached == Layer::Reached::itself) layer.end = read_whole_number(folder + "/size").value_or(0) * kSector;
    into_.layers.back().end = layer.end;
    if (::access((folder + "/partition").c_str(), F_OK) == 0) return to_disk(layer, folder, depth);
    if (::access((folder + "/loop/backing_file").c_str(), F_OK) == 0) return to_backing(layer, depth);
    to_slaves(folder, depth);
  }

 private:
  void unknown(int error) {
    if (into_.unknown == 0) into_.unknown = error;
  }

  void to_disk(const Layer& partition, const std::string& folder, unsigned depth) {
    const auto disk = parse_device_number(read_line(folder + "/../dev"));
    const auto start = read_whole_number(folder + "/start");
    if (!disk || !start) return unknown(ENOSYS);
    down({.node = {.block_device = true, .device = *disk},
          .start = add(partition.start, *start * kSector),
          .end = add(partition.end, *start * kSector),
          .path = "/dev/" + block_name(*disk),
          .reached = Layer::Reached::by_partition},
         depth + 1);
  }

  void to_backing(const Layer& loop, unsigned depth) {
    const std::string name = block_name(loop.node.device);
    const std::string& path = loop.reached == Layer::Reached::itself ? loop.path : "/dev/" + name;
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0) return unknown(errno == EMFILE || errno == ENFILE || errno == ENOMEM ? errno : EACCES);
    struct stat status {};
    loop_info64 info{};
    const bool same = ::fstat(descriptor, &status) == 0 && node_of(status) == loop.node;
    const int error = !same ? ESTALE : ::ioctl(descriptor, LOOP_GET_STATUS64, &info) == 0 ? 0 : errno;
    ::close(descriptor);
    if (error == ENXIO) return;  // detached meanwhile: nothing is below it
    if (error != 0) return unknown(EACCES);
    Layer below;
    below.start = add(loop.start, info.lo_offset);
    below.end = add(loop.end, info.lo_offset);
    below.path = backing_path(name);
    below.reached = Layer::Reached::by_loop;
    if (info.lo_sizelimit != 0) below.end = std::min(below.end, add(info.lo_offset, info.lo_sizelimit));
    below.node.block_device = info.lo_rdevice != 0;
    below.node.device = below.node.block_device ? info.lo_rdevice : info.lo_device;
    below.node.inode = below.node.block_device ? 0 : info.lo_inode;
    below.deleted = below.path.ends_with(kDeleted) && ::access(below.path.c_str(), F_OK) != 0;
    down(std::move(below), depth + 1);
  }

  void to_slaves(const std::string& folder, unsigned depth) {
    DIR* const slaves = ::opendir((folder + "/slaves").c_str());
    if (slaves == nullptr) return;
    while (const dirent* entry = ::readdir(slaves)) {
      if (entry->d_name[0] == '.') continue;
      const auto number = parse_device_number(read_line(folder + "/slaves/" + entry->d_name + "/dev"));
      if (!number) {
        unknown(ENOSYS);
        continue;
      }
      down({.node = {.block_device = true, .device = *number},
            .path = std::string("/dev/") + entry->d_name,
            .reached = Layer::Reached::by_mapping},
           depth + 1);
    }
    ::closedir(slaves);
  }

  Footprint& into_;
};

}  // namespace

Node node_of(const struct stat& status) {
  const bool block = S_ISBLK(status.st_mode);
  return {.block_device = block, .device = block ? status.st_rdev : status.st_dev, .inode = block ? 0 : status.st_ino};
}

Footprint footprint_of(const std::string& path, const struct stat& status) {
  Footprint footprint;
  Walk(footprint).down({.node = node_of(status), .path = path}, 0);
  return footprint;
}

bool overlap(const Footprint& one, const Footprint& other) {
  for (const Layer& a : one.layers) {
    for (const Layer& b : other.layers) {
      if (a.node == b.node && a.start < b.end && b.start < a.end) return true;
    }
  }
  return false;
}

int list_loop_devices(std::vector<std::string>& into) {
  DIR* const folder = ::opendir("/sys/block");
  if (folder == nullptr) return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? errno : ENOSYS;
  struct statfs file_system {};
  const bool masked = ::fstatfs(::dirfd(folder), &file_system) != 0 || file_system.f_type != SYSFS_MAGIC;
  while (const dirent* entry = ::readdir(folder)) {
    const std::string name = entry->d_name;
    if (!name.starts_with("loop") || into.size() >= kLoopLimit) continue;
    if (::access(("/sys/block/" + name + "/loop/backing_file").c_str(), F_OK) == 0) into.push_back(name);
  }
  ::closedir(folder);
  return masked ? ENOSYS : 0;
}

std::string backing_path(const std::string& loop_name) {
  return read_line("/sys/block/" + loop_name + "/loop/backing_file");
}

}  // namespace blockmirror
