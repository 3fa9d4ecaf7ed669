// ByteWriter and ByteReader: little-endian fields at explicit offsets, as docs/FORMAT.md lists them.
//
// Invariants:
//  - The writer writes our own state into a buffer we sized: stepping outside is a bug and asserts.
//  - The reader reads what a disk returned: stepping outside, or padding that is not zero, fails the reader for good;
//    reason(), what was wrong first, is asked once at the end instead of after every field.
//  - Both only move forward, and every byte that is skipped is written as zero, respectively checked to be zero. A byte
//    that no rule reads could hide damage, or carry something from one version to another unseen.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "assert.h"
#include "identity.h"

namespace blockmirror {

// The conversion compiles to a plain load or store on the little-endian machines we ship for.
template <std::unsigned_integral T>
inline void store_little_endian(std::byte* into, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) into[i] = static_cast<std::byte>(value >> (8 * i));
}

template <std::unsigned_integral T>
inline T load_little_endian(const std::byte* from) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(static_cast<T>(from[i]) << (8 * i));
  return value;
}

class ByteWriter {
 public:
  explicit ByteWriter(std::span<std::byte> into) : into_(into) {}

  template <std::unsigned_integral T>
  void number(T value) {
    store_little_endian(take(sizeof(T)), value);
  }
  void u8(std::uint8_t value) { number(value); }
  void u16(std::uint16_t value) { number(value); }
  void u32(std::uint32_t value) { number(value); }
  void u64(std::uint64_t value) { number(value); }
  void uuid(const Uuid& value) { std::memcpy(take(value.bytes.size()), value.bytes.data(), value.bytes.size()); }

  // Text padded with zeroes to `width` bytes; at least one of them stays zero.
  void text(std::string_view value, std::size_t width) {
    BLOCKMIRROR_ASSERT(value.size() < width, "a text does not fit its field");
    std::byte* field = take(width);
    std::memset(field, 0, width);
    std::memcpy(field, value.data(), value.size());
  }

  void zeroes_until(std::size_t position) {
    BLOCKMIRROR_ASSERT(position >= position_, "fields are written in order");
    std::size_t count = position - position_;
    std::memset(take(count), 0, count);
  }

  std::size_t position() const { return position_; }

 private:
  std::byte* take(std::size_t count) {
    BLOCKMIRROR_ASSERT(count <= into_.size() - position_, "a field reaches past the end of its block");
    std::byte* at = into_.data() + position_;
    position_ += count;
    return at;
  }

  std::span<std::byte> into_;
  std::size_t position_ = 0;
};

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> from) : from_(from) {}

  bool ok() const { return reason_ == nullptr; }
  const char* reason() const { return reason_; }  // in plain words; null: nothing is wrong
  void fail(const char* reason) {
    if (reason_ == nullptr) reason_ = reason;
  }
  std::size_t position() const { return position_; }

  template <std::unsigned_integral T>
  T number() {
    const std::byte* at = take(sizeof(T));
    return at == nullptr ? T{0} : load_little_endian<T>(at);
  }
  std::uint8_t u8() { return number<std::uint8_t>(); }
  std::uint16_t u16() { return number<std::uint16_t>(); }
  std::uint32_t u32() { return number<std::uint32_t>(); }
  std::uint64_t u64() { return number<std::uint64_t>(); }

  Uuid uuid() {
    Uuid value;
    if (const std::byte* at = take(value.bytes.size())) std::memcpy(value.bytes.data(), at, value.bytes.size());
    return value;
  }

  // One of the numbers 0..last.
  template <typename Enum>
  Enum choice(Enum last) {
    std::uint8_t value = u8();
    if (value > static_cast<std::uint8_t>(last)) fail("a field holds a value that is not known");
    return static_cast<Enum>(value);
  }
  bool flag() {
    std::uint8_t value = u8();
    if (value > 1) fail("a field holds a value that is not known");
    return value == 1;
  }

  // Fails unless a zero ends the text inside the field and nothing but zeroes follows.
  std::string text(std::size_t width) {
    const std::byte* at = take(width);
    if (at == nullptr) return {};
    const std::byte* end = std::find(at, at + width, std::byte{0});
    if (end == at + width || !all_zero({end, at + width})) {
      fail("a text does not end inside of its field");
      return {};
    }
    return std::string(reinterpret_cast<const char*>(at), static_cast<std::size_t>(end - at));
  }

  void zeroes_until(std::size_t position) {
    if (position < position_) return fail("fields overlap");
    std::size_t count = position - position_;
    const std::byte* at = take(count);
    if (at != nullptr && !all_zero({at, count})) fail("a reserved byte is not zero");
  }

  static bool all_zero(std::span<const std::byte> bytes) {
    // Compared with itself, moved by one byte: memcmp takes them by the vector, std::all_of byte by byte.
    return bytes.empty() ||
           (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
  }

 private:
  const std::byte* take(std::size_t count) {
    if (!ok()) return nullptr;
    if (count > from_.size() - position_) {
      fail("a field reaches past the end of its block");
      return nullptr;
    }
    const std::byte* at = from_.data() + position_;
    position_ += count;
    return at;
  }

  std::span<const std::byte> from_;
  std::size_t position_ = 0;
  const char* reason_ = nullptr;
};

}  // namespace blockmirror
