#include "overlay.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <charconv>
#include <climits>
#include <cstdlib>
#include <optional>

#include "sysfs.h"

namespace blockmirror {

namespace {

constexpr std::size_t kMountInfoLimit = 16 * 1024 * 1024;

// The kernel writes blank, tab, newline and backslash as three octal digits.
std::string unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    const char* const digits = text.data() + i + 1;
    if (text[i] == '\\' && i + 3 < text.size() && std::from_chars(digits, digits + 3, value, 8).ptr == digits + 3 &&
        value < 256) {
      plain.push_back(static_cast<char>(value));
      i += 3;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<OverlayMount> parse_line(std::string_view line) {
  const auto fields = split(line, ' ');
  std::size_t separator = 6;
  while (separator < fields.size() && fields[separator] != "-") ++separator;
  if (separator + 3 >= fields.size() || fields[separator + 1] != "overlay") return std::nullopt;
  OverlayMount mount;
  std::from_chars(fields[0].data(), fields[0].data() + fields[0].size(), mount.id);
  mount.root = unescape(fields[3]);
  mount.point = unescape(fields[4]);
  constexpr std::string_view kUpper = "upperdir=";
  for (const std::string_view option : split(fields[separator + 3], ',')) {
    if (option.starts_with(kUpper)) mount.upper = unescape(option.substr(kUpper.size()));
  }
  return mount;
}

std::string path_of(int descriptor) {
  char path[PATH_MAX];
  const ssize_t length = ::readlink(("/proc/self/fd/" + std::to_string(descriptor)).c_str(), path, sizeof path);
  return length <= 0 ? std::string() : std::string(path, static_cast<std::size_t>(length));
}

std::uint64_t mount_of(int descriptor) {
  const std::string text = read_text("/proc/self/fdinfo/" + std::to_string(descriptor));
  constexpr std::string_view kKey = "mnt_id:\t";
  const std::size_t at = text.find(kKey);
  std::uint64_t id = 0;
  if (at == std::string::npos) return 0;
  std::from_chars(text.data() + at + kKey.size(), text.data() + text.size(), id);
  return id;
}

// What is below `folder` of a path, with its slash; nothing when the path is not below it.
std::optional<std::string> below(const std::string& path, const std::string& folder) {
  if (folder == "/") return path;
  if (!path.starts_with(folder) || path.size() <= folder.size() || path[folder.size()] != '/') return std::nullopt;
  return path.substr(folder.size());
}

// An overlay answers what the real file says: its birth, size and owner. Its numbers of device and inode may differ.
bool same_content(int descriptor, const std::string& other) {
  struct statx a {
  }, b{};
  constexpr unsigned kWanted = STATX_BASIC_STATS | STATX_BTIME;
  if (::statx(descriptor, "", AT_EMPTY_PATH, kWanted, &a) != 0) return false;
  if (::statx(AT_FDCWD, other.c_str(), AT_NO_AUTOMOUNT, kWanted, &b) != 0) return false;
  return S_ISREG(b.stx_mode) && a.stx_mode == b.stx_mode && a.stx_uid == b.stx_uid && a.stx_size == b.stx_size &&
         a.stx_btime.tv_sec == b.stx_btime.tv_sec && a.stx_btime.tv_nsec == b.stx_btime.tv_nsec;
}

std::string real_of_merged(int descriptor, const std::string& path, const std::vector<OverlayMount>& mounts) {
  const std::uint64_t id = mount_of(descriptor);
  for (const OverlayMount& mount : mounts) {
    if (mount.id != id || mount.upper.empty()) continue;
    const auto inside = below(path, mount.point);
    if (inside) return mount.upper + (mount.root == "/" ? "" : mount.root) + *inside;
  }
  return {};
}

// By the identity of the folders on the way, not by their names: the upper folder may be bound elsewhere too.
std::string merged_of_real(const std::string& path, const OverlayMount& mount) {
  struct stat upper {};
  if (mount.upper.empty() || ::stat(mount.upper.c_str(), &upper) != 0) return {};
  for (std::size_t at = path.rfind('/'); at != 0 && at != std::string::npos; at = path.rfind('/', at - 1)) {
    struct stat folder {};
    if (::stat(path.substr(0, at).c_str(), &folder) != 0) return {};
    if (folder.st_dev != upper.st_dev || folder.st_ino != upper.st_ino) continue;
    const auto inside = below(path.substr(at), mount.root);
    return inside ? mount.point + *inside : std::string();
  }
  return {};
}

}  // namespace

std::vector<OverlayMount> parse_overlay_mounts(std::string_view mountinfo) {
  std::vector<OverlayMount> mounts;
  for (const std::string_view line : split(mountinfo, '\n')) {
    if (auto mount = parse_line(line)) mounts.push_back(std::move(*mount));
  }
  return mounts;
}

std::vector<std::string> overlay_twins(int descriptor) {
  std::vector<std::string> twins;
  const auto mounts = parse_overlay_mounts(read_text("/proc/self/mountinfo", kMountInfoLimit));
  const std::string path = mounts.empty() ? std::string() : path_of(descriptor);
  struct statfs file_system {};
  if (path.empty() || ::fstatfs(descriptor, &file_system) != 0) return twins;
  if (file_system.f_type == OVERLAYFS_SUPER_MAGIC) {
    twins.push_back(real_of_merged(descriptor, path, mounts));
  }
  // An overlay may be the upper folder's file system of another one, so both are asked.
  for (const OverlayMount& mount : mounts) twins.push_back(merged_of_real(path, mount));
  std::erase_if(twins, [&](const std::string& twin) { return twin.empty() || !same_content(descriptor, twin); });
  return twins;
}

}  // namespace blockmirror
