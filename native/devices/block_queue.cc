#include "block_queue.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace blockmirror {

namespace {

constexpr std::size_t kAttributeLength = 64;

// First line of a sysfs attribute, empty when it cannot be read.
std::string read_attribute(const std::string& directory, const char* name) {
  const int descriptor = ::open((directory + name).c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return {};
  char text[kAttributeLength];
  ssize_t length = -1;
  do {
    length = ::read(descriptor, text, sizeof text);
  } while (length < 0 && errno == EINTR);
  ::close(descriptor);
  if (length <= 0) return {};
  std::string_view line(text, static_cast<std::size_t>(length));
  return std::string(line.substr(0, line.find('\n')));
}

std::uint32_t read_number(const std::string& directory, const char* name) {
  return static_cast<std::uint32_t>(std::strtoul(read_attribute(directory, name).c_str(), nullptr, 10));
}

std::string queue_directory(dev_t device) {
  char base[64];
  std::snprintf(base, sizeof base, "/sys/dev/block/%u:%u/", major(device), minor(device));
  const std::string own = std::string(base) + "queue/";
  if (::access(own.c_str(), X_OK) == 0) return own;
  // A partition has no queue; the link leads into its disk's directory, where the parent has.
  const std::string parent = std::string(base) + "../queue/";
  if (::access(parent.c_str(), X_OK) == 0) return parent;
  return {};
}

}  // namespace

BlockQueue query_block_queue(dev_t device) {
  BlockQueue queue;
  const std::string directory = queue_directory(device);
  if (directory.empty()) return queue;
  queue.known = true;
  queue.volatile_cache = read_attribute(directory, "write_cache") != "write through";
  queue.native_force_unit_access = read_attribute(directory, "fua") == "1";
  queue.logical_block_size = read_number(directory, "logical_block_size");
  queue.physical_block_size = read_number(directory, "physical_block_size");
  return queue;
}

}  // namespace blockmirror
