// FieldWriter and FieldReader: a block's fields in the order of the disk, named once for both directions.
//
// A block has one template that names its fields, `block_fields(fields, block)`. With a FieldWriter it encodes, with a
// FieldReader it decodes; so the two can never differ in an offset or a width. What a field may hold is not asked here, but
// for what would not fit the type: that is the judges' business, after decoding and before encoding.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "../base/bytes.h"
#include "../base/identity.h"

namespace blockmirror {

class FieldWriter {
 public:
  explicit FieldWriter(std::span<std::byte> into) : writer_(into) {}
  ByteWriter& bytes() { return writer_; }

  template <std::unsigned_integral T>
  void number(const T& value) {
    writer_.number(value);
  }
  void error(const std::int32_t& value) { writer_.u32(static_cast<std::uint32_t>(value)); }
  void uuid(const Uuid& value) { writer_.uuid(value); }
  void flag(const bool& value) { writer_.u8(value ? 1 : 0); }
  template <typename Enum>
  void choice(const Enum& value, Enum) {
    writer_.u8(static_cast<std::uint8_t>(value));
  }
  void text(const std::string& value, std::size_t width) { writer_.text(value, width); }
  void zeroes_until(std::size_t position) { writer_.zeroes_until(position); }

 private:
  ByteWriter writer_;
};

class FieldReader {
 public:
  explicit FieldReader(std::span<const std::byte> from) : reader_(from) {}
  ByteReader& bytes() { return reader_; }
  const char* reason() const { return reader_.reason(); }

  template <std::unsigned_integral T>
  void number(T& value) {
    value = reader_.number<T>();
  }
  void error(std::int32_t& value) { value = static_cast<std::int32_t>(reader_.u32()); }
  void uuid(Uuid& value) { value = reader_.uuid(); }
  void flag(bool& value) { value = reader_.flag(); }
  template <typename Enum>
  void choice(Enum& value, Enum last) {
    value = reader_.choice(last);
  }
  void text(std::string& value, std::size_t width) { value = reader_.text(width); }
  void zeroes_until(std::size_t position) { reader_.zeroes_until(position); }

 private:
  ByteReader reader_;
};

}  // namespace blockmirror
