// What the kernel says about memory of this process: the flags of its mappings in /proc/self/smaps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <span>
#include <string>
#include <string_view>

namespace blockmirror::test {

constexpr std::string_view kNotInDumps = "dd";     // VM_DONTDUMP
constexpr std::string_view kNotInChildren = "dc";  // VM_DONTCOPY

// Whether all of this memory, to its last byte, lies in mappings with the flag.
inline bool is_mapped_with(std::string_view flag, std::span<const std::byte> memory) {
  auto at = reinterpret_cast<std::uintptr_t>(memory.data());
  const std::uintptr_t end_of_memory = at + memory.size();
  const std::string word = " " + std::string(flag) + " ";
  std::ifstream mappings("/proc/self/smaps");
  std::uintptr_t end = 0;  // of the mapping, when it begins no later than here
  // In the order of their addresses. A mapping begins with a line of two addresses; its flags are its last line.
  for (std::string line; at < end_of_memory && std::getline(mappings, line);) {
    unsigned long begin = 0, behind = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &behind) == 2) {
      end = begin <= at ? behind : 0;
    } else if (line.starts_with("VmFlags:") && at < end && (line + " ").find(word) != std::string::npos) {
      at = end;
    }
  }
  return at >= end_of_memory;
}

}  // namespace blockmirror::test
