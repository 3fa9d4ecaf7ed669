// Attributes of sysfs, read whole. Nothing here fails: what cannot be read is empty.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace blockmirror {

// The whole text of a small file (up to `limit` bytes), empty when it cannot be read.
std::string read_text(const std::string& path, std::size_t limit = 65536);
// Its first line, without the newline.
std::string read_line(const std::string& path);
std::optional<std::uint64_t> read_whole_number(const std::string& path);

// The folder of a block device's number, whether or not it is there.
std::string block_folder(dev_t number);
// The name of the device that the kernel shows there ("loop0p1"); empty when sysfs does not know it.
std::string block_name(dev_t number);
// 'major:minor' as sysfs and mountinfo print it.
std::optional<dev_t> parse_device_number(std::string_view text);

}  // namespace blockmirror
