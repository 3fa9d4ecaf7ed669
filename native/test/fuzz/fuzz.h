// What the fuzz targets share: one input is cut into blocks and a byte of flags.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "../../core/format/block_seal.h"
#include "../../core/format/label.h"
#include "../../core/format/record.h"
#include "../../core/format/superblock.h"

namespace blockmirror::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size)
      : bytes_(reinterpret_cast<const std::byte*>(data), size), flags_(size == 0 ? 0 : data[size - 1]) {
    if (size > 0) bytes_ = bytes_.first(size - 1);
  }
  // Two copies of a block, sealed by flags 0 and 1: what lies behind the checksum is not reached otherwise. By flags 2 and
  // 3 they cannot be read.
  std::array<std::vector<std::byte>, 2> copies(std::size_t length) const {
    std::array<std::vector<std::byte>, 2> both;
    for (unsigned i = 0; i < both.size(); ++i) {
      if (flag(i + 2)) continue;
      both[i] = block(i, length);
      if (flag(i)) seal_block(both[i]);
    }
    return both;
  }
  bool flag(unsigned index) const { return (flags_ >> index & 1) != 0; }
  // The index-th part of that length; zeroes where the input is too short, and the first part again where it ends before.
  std::vector<std::byte> block(std::size_t index, std::size_t length) const {
    std::vector<std::byte> block(length);
    std::size_t from = index * length;
    if (from >= bytes_.size()) from = 0;
    const std::size_t count = std::min(length, bytes_.size() - from);
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(from), count, block.begin());
    return block;
  }

 private:
  std::span<const std::byte> bytes_;
  unsigned flags_;
};

}  // namespace blockmirror::fuzz
