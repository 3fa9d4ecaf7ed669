// The golden vectors of test/format/vectors: what each file holds, made by the encoders, and how such a file is written.
//
// A `.hex` file says `length <bytes>` and then, for every row of 32 bytes that is not zero, its offset and its bytes: small,
// and a change of the format shows as a readable difference. A `.json` file beside it says what a reader must find there.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace blockmirror::test {

struct FormatVector {
  std::string name;
  std::vector<std::byte> bytes;
  std::string expectation;  // JSON
};

std::vector<FormatVector> format_vectors();

std::string to_hex_file(const std::vector<std::byte>& bytes);
// Empty when the text is no such file.
std::vector<std::byte> from_hex_file(const std::string& text);

}  // namespace blockmirror::test
