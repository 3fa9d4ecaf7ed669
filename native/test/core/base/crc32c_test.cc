#include "../../../core/base/crc32c.h"

#include <doctest/doctest.h>

#include <cstring>
#include <string_view>
#include <vector>

#include "../../support/format_samples.h"

using namespace blockmirror;

namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

struct Answer {
  std::vector<std::byte> bytes;
  std::uint32_t crc;
};

// RFC 3720, B.4, and the check value of the catalogue of CRCs.
std::vector<Answer> known_answers() {
  std::vector<std::byte> zeroes(32), ones(32, std::byte{0xff}), rising(32), falling(32);
  for (unsigned i = 0; i < 32; ++i) {
    rising[i] = static_cast<std::byte>(i);
    falling[i] = static_cast<std::byte>(31 - i);
  }
  const unsigned char read_command[48] = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0,
                                          0x14, 0,    0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
                                          0x28, 0,    0, 0, 0, 0, 0, 0, 2, 0, 0, 0,    0, 0, 0, 0};
  std::vector<std::byte> command(48);
  std::memcpy(command.data(), read_command, 48);
  return {{zeroes, 0x8a9136aa},
          {ones, 0x62a8ab43},
          {rising, 0x46dd794e},
          {falling, 0x113fdb5c},
          {command, 0xd9963a56},
          {bytes_of("123456789"), 0xe3069283},
          {{}, 0}};
}

}  // namespace

TEST_CASE("crc32c gives the known answers of RFC 3720") {
  for (const Answer& answer : known_answers()) CHECK(crc32c(answer.bytes) == answer.crc);
}

TEST_CASE("crc32c gives the known answers without the instruction") {
  for (const Answer& answer : known_answers()) CHECK(crc32c_by_table(answer.bytes, 0) == answer.crc);
}

TEST_CASE("crc32c by instruction and by table agree for every length, alignment and seed") {
  if (!crc32c_has_instruction()) {
    MESSAGE("SKIPPED: this machine has no CRC32C instruction");
    return;
  }
  test::Random random(1);
  std::vector<std::byte> bytes(4096 + 64);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
  for (std::size_t length = 0; length <= 300; ++length) {
    for (std::size_t start = 0; start < 9; ++start) {
      const std::span<const std::byte> part(bytes.data() + start, length);
      const auto seed = static_cast<std::uint32_t>(random.next());
      REQUIRE(crc32c_by_instruction(part, seed) == crc32c_by_table(part, seed));
    }
  }
  CHECK(crc32c_by_instruction(bytes, 7) == crc32c_by_table(bytes, 7));
}

TEST_CASE("crc32c of two parts chained is that of the whole") {
  const std::vector<std::byte> whole = bytes_of("intent before data, retire after flush");
  for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
    const std::span<const std::byte> span(whole);
    REQUIRE(crc32c(span.subspan(cut), crc32c(span.first(cut))) == crc32c(whole));
  }
}
