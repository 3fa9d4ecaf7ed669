#include "sysfs.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdio>

namespace blockmirror {

std::string read_text(const std::string& path, std::size_t limit) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (descriptor < 0) return {};
  std::string text;
  char chunk[4096];
  while (text.size() < limit) {
    const ssize_t length = ::read(descriptor, chunk, sizeof chunk);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) break;
    text.append(chunk, static_cast<std::size_t>(length));
  }
  ::close(descriptor);
  return text;
}

std::string read_line(const std::string& path) {
  std::string text = read_text(path);
  text.resize(std::min(text.find('\n'), text.size()));
  return text;
}

std::optional<std::uint64_t> read_whole_number(const std::string& path) {
  const std::string line = read_line(path);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), number);
  if (error != std::errc() || end != line.data() + line.size()) return std::nullopt;
  return number;
}

std::string block_folder(dev_t number) {
  char folder[64];
  std::snprintf(folder, sizeof folder, "/sys/dev/block/%u:%u", major(number), minor(number));
  return folder;
}

std::string block_name(dev_t number) {
  char target[PATH_MAX];
  const ssize_t length = ::readlink(block_folder(number).c_str(), target, sizeof target);
  if (length <= 0) return {};
  const std::string_view path(target, static_cast<std::size_t>(length));
  std::string name(path.substr(path.rfind('/') + 1));
  std::replace(name.begin(), name.end(), '!', '/');  // as sysfs writes a slash
  return name;
}

std::optional<dev_t> parse_device_number(std::string_view text) {
  unsigned parts[2] = {};
  const char* at = text.data();
  const char* const end = at + text.size();
  for (unsigned& part : parts) {
    const auto [next, error] = std::from_chars(at, end, part);
    if (error != std::errc()) return std::nullopt;
    at = next;
    if (&part == parts) {
      if (at == end || *at != ':') return std::nullopt;
      ++at;
    }
  }
  if (at != end) return std::nullopt;
  return makedev(parts[0], parts[1]);
}

}  // namespace blockmirror
