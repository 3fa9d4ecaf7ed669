#include "identity.h"

#include <algorithm>

namespace blockmirror {
namespace {

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

}  // namespace

bool is_image_name(std::string_view name) {
  if (name.empty() || name.size() > kImageNameLength || name == "log" || !is_letter_or_digit(name.front()))
    return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-'; });
}

std::string storable_host(std::string_view host) {
  std::string stored(host.substr(0, kHostNameLength));
  std::replace_if(stored.begin(), stored.end(), is_control, '?');
  return stored;
}

bool is_host(std::string_view host) { return is_printable(host, kHostNameLength); }

bool is_printable(std::string_view text, std::size_t most) {
  return text.size() <= most && std::none_of(text.begin(), text.end(), is_control);
}

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
