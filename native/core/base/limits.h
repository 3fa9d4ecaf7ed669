// What bounds the core: lengths, and how much of anything is under way at once.
//
// Every queue, buffer and piece of long work takes its bound from here, so that the bounds stand beside one another and
// below every module that keeps them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace blockmirror {

inline constexpr std::uint64_t kMiB = 1024 * 1024;
inline constexpr std::uint64_t kRegionLength = kMiB;  // bytes; requests are split at its multiples
// Of copying, reading back and comparing: a step's extents, and what is under way at once over all steps.
inline constexpr std::uint64_t kCopyLength = kMiB;     // bytes of an extent
inline constexpr std::size_t kCopyExtents = 64;        // of a step
inline constexpr unsigned kCopyLanes = 64;             // pieces at once
inline constexpr std::uint64_t kCopyBytes = 4 * kMiB;  // bytes at once, of each image
inline constexpr std::uint64_t kMinimumRecoveryBudget = kMiB;
inline constexpr std::uint64_t kMaximumRecoveryBudget = std::uint64_t{1} << 50;
inline constexpr std::uint64_t kDefaultRecoveryBudget = 64 * kMiB;
inline constexpr std::uint32_t kDefaultRingRecords = 4096;
inline constexpr std::uint32_t kMinimumRingRecords = 8;
inline constexpr std::uint32_t kRecordsInFlight = 4;

}  // namespace blockmirror
