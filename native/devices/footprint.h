// Footprint: the bytes that a path stands for, layer by layer.
//
// A partition stands for a range of its disk, a loop device for a range of what it was set up over, a mapped device
// (LVM, md, dm-crypt) for its lower devices. Two things share bytes exactly when a layer of the one overlaps a layer
// of the other: that one rule finds the file and a loop device over it, loop devices over one another, a partition of
// a loop device and the file below.
//
// Invariant: what cannot be found out is said (`unknown`, an errno), never left out.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace blockmirror {

// A file or a block device, by whatever path.
struct Node {
  bool block_device = false;
  dev_t device = 0;  // st_rdev of a block device, st_dev of a file
  ino_t inode = 0;   // 0 of a block device
  bool operator==(const Node&) const = default;
};

Node node_of(const struct stat& status);

struct Layer {
  enum class Reached { itself, by_partition, by_loop, by_mapping };
  Node node;
  std::uint64_t start = 0;  // bytes; end is exclusive
  std::uint64_t end = UINT64_MAX;
  std::string path;  // as the kernel tells it; may lead nowhere, or elsewhere, in this mount namespace
  Reached reached = Reached::itself;
  bool deleted = false;  // a file without a name any more: nobody opens it by a path
};

struct Footprint {
  std::vector<Layer> layers;  // from the thing itself downwards
  // 0: all layers are known. ENOSYS: sysfs does not know the device; EACCES: a loop device cannot be asked.
  int unknown = 0;
};

// `path` names the thing; `status` is of the thing itself.
Footprint footprint_of(const std::string& path, const struct stat& status);
bool overlap(const Footprint& one, const Footprint& other);

// The loop devices that are set up, by their names ("loop0"). ENOSYS when sysfs does not tell, or another errno.
int list_loop_devices(std::vector<std::string>& into);
// What a loop device was set up over, as the kernel tells it to whoever asks; empty when it is not set up any more.
std::string backing_path(const std::string& loop_name);

}  // namespace blockmirror
