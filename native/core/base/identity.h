// Identities: UUIDs, generations and the names of things that never change within a mirror's life.
//
// I8: a generation is a counter plus a random id plus its parent's id. The counter alone cannot tell two sides apart
// that both moved on after a split; the id can, and the parent says who descends from whom.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace blockmirror {

struct Uuid {
  std::array<std::byte, 16> bytes{};
  bool is_zero() const { return bytes == std::array<std::byte, 16>{}; }
  friend bool operator==(const Uuid&, const Uuid&) = default;
};

// 8-4-4-4-12 lower-case hexadecimal.
std::string to_string(const Uuid& uuid);

struct Generation {
  std::uint64_t counter = 0;  // grows when the set of in-sync images changes
  Uuid id;
  Uuid parent;
  friend bool operator==(const Generation&, const Generation&) = default;
};

struct GenerationMark {  // one entry of the bounded history
  std::uint64_t counter = 0;
  Uuid id;
  friend bool operator==(const GenerationMark&, const GenerationMark&) = default;
};
inline constexpr unsigned kGenerationHistory = 64;

// What an image may be called: it is a word of the command line (--image NAME=PATH), a key in JavaScript, and shown to
// operators. One rule, for what a create is asked and for what a disk says; lib/ gets it as a pattern.
inline constexpr std::size_t kImageNameLength = 31;  // bytes, without the terminator
inline constexpr std::string_view kImageNamePattern = "^(?!log$)[A-Za-z0-9][A-Za-z0-9._-]{0,30}$";
bool is_image_name(std::string_view name);

// The host name that an owner is known by, as the format takes it: cut to its length, control characters replaced.
inline constexpr std::size_t kHostNameLength = 63;  // bytes
std::string storable_host(std::string_view host);
bool is_host(std::string_view host);
// At most that many bytes, none of them a control character.
bool is_printable(std::string_view text, std::size_t most);

enum class Role : std::uint8_t { master = 0, slave = 1 };

// Durable states. in_sync is shown as `synchronized` or `consistent`, derived from what is in flight (I10).
enum class ImageState : std::uint8_t {
  in_sync = 0,
  assumed = 1,
  behind = 2,
  synchronizing = 3,
  inconsistent = 4,
  failed = 5
};

}  // namespace blockmirror
