#include "crc32c.h"

#include <array>
#include <cstring>

#include "assert.h"
#include "bytes.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace blockmirror {
namespace {

inline constexpr std::uint32_t kPolynomial = 0x82f63b78;  // Castagnoli, bits reversed

// Slicing by eight: table[k][b] is the checksum of byte b followed by k zero bytes.
using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (std::size_t slice = 1; slice < tables.size(); ++slice) {
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      std::uint32_t before = tables[slice - 1][byte];
      tables[slice][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

}  // namespace

std::uint32_t crc32c_by_table(std::span<const std::byte> bytes, std::uint32_t seed) {
  std::uint32_t crc = ~seed;
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, at += 8) {
    std::uint32_t low = crc ^ load_little_endian<std::uint32_t>(at);
    std::uint32_t high = load_little_endian<std::uint32_t>(at + 4);
    crc = kTables[7][low & 0xff] ^ kTables[6][(low >> 8) & 0xff] ^ kTables[5][(low >> 16) & 0xff] ^
          kTables[4][low >> 24] ^ kTables[3][high & 0xff] ^ kTables[2][(high >> 8) & 0xff] ^
          kTables[1][(high >> 16) & 0xff] ^ kTables[0][high >> 24];
  }
  for (; left > 0; --left, ++at) crc = (crc >> 8) ^ kTables[0][(crc ^ static_cast<std::uint32_t>(*at)) & 0xff];
  return ~crc;
}

#if defined(__x86_64__)

bool crc32c_has_instruction() { return __builtin_cpu_supports("sse4.2"); }

__attribute__((target("sse4.2"))) std::uint32_t crc32c_by_instruction(std::span<const std::byte> bytes,
                                                                      std::uint32_t seed) {
  std::uint64_t crc = ~seed;
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, at += 8) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof(word));
    crc = _mm_crc32_u64(crc, word);
  }
  auto narrow = static_cast<std::uint32_t>(crc);
  for (; left > 0; --left, ++at) narrow = _mm_crc32_u8(narrow, static_cast<std::uint8_t>(*at));
  return ~narrow;
}

#elif defined(__aarch64__)

bool crc32c_has_instruction() { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }

__attribute__((target("+crc"))) std::uint32_t crc32c_by_instruction(std::span<const std::byte> bytes,
                                                                    std::uint32_t seed) {
  std::uint32_t crc = ~seed;
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, at += 8) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof(word));
    crc = __crc32cd(crc, word);
  }
  for (; left > 0; --left, ++at) crc = __crc32cb(crc, static_cast<std::uint8_t>(*at));
  return ~crc;
}

#else

bool crc32c_has_instruction() { return false; }

std::uint32_t crc32c_by_instruction(std::span<const std::byte>, std::uint32_t) {
  BLOCKMIRROR_ASSERT(false, "this machine has no CRC32C instruction");
}

#endif

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed) {
  static const bool has_instruction = crc32c_has_instruction();
  return has_instruction ? crc32c_by_instruction(bytes, seed) : crc32c_by_table(bytes, seed);
}

}  // namespace blockmirror
