// CRC32C (Castagnoli, RFC 3720): the checksum of everything we write of our own.
//
// Invariants:
//  - Chainable: crc32c(b, crc32c(a)) is the checksum of a followed by b; the seed of a fresh one is 0.
//  - Every path gives the same number; the choice between them is made once, at run time.
//
// Why our own: both machines we ship for have the instruction (SSE4.2, the ARMv8 CRC extension), a dozen lines use it,
// and the record path needs nothing else of a library. ISA-L would be the alternative; Debian has it as a shared
// library only, and a prebuilt binary inside an npm package must not need what the user's machine may lack. Streams
// interleaved three ways are left out: a log record is 4 KiB, half a microsecond at 8 bytes per instruction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace blockmirror {

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed = 0);

// The two paths by name, so that a test can hold them against each other.
bool crc32c_has_instruction();
std::uint32_t crc32c_by_instruction(std::span<const std::byte> bytes, std::uint32_t seed);  // only when it is there
std::uint32_t crc32c_by_table(std::span<const std::byte> bytes, std::uint32_t seed);

}  // namespace blockmirror
