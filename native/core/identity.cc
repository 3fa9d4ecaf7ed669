#include "identity.h"

namespace blockmirror {

std::string to_string(const Uuid& uuid) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(36);
  for (std::size_t i = 0; i < uuid.bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text.push_back('-');
    auto value = static_cast<unsigned>(uuid.bytes[i]);
    text.push_back(kDigits[value >> 4]);
    text.push_back(kDigits[value & 15u]);
  }
  return text;
}

}  // namespace blockmirror
