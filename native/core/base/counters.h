// What a session counts from its beginning on: events and bytes, never times.
//
// A list, so that C++, the snapshot and JavaScript have the same names in the same order without saying them twice.
#pragma once

#include <cstdint>

namespace blockmirror {

// One name and one atomic-width number each; see Snapshot::counters and docs/API.md.
// The formatter would break the list anew each time it runs.
// clang-format off
#define BLOCKMIRROR_COUNTERS(X) \
  X(reads) \
  X(writes) \
  X(discards) \
  X(flushes) \
  X(bytesRead) \
  X(bytesWritten) \
  X(bytesDiscarded) \
  X(coveredWrites) \
  X(intentsLogged) \
  X(logRecords) \
  X(logBytes) \
  X(retirements) \
  X(regionsRetired) \
  X(regionsCarried) \
  X(budgetWaits) \
  X(ringWaits) \
  X(rangeWaits) \
  X(fractures) \
  X(repairs) \
  X(repairsFailed)
// clang-format on

struct Counters {
#define X(name) std::uint64_t name = 0;
  BLOCKMIRROR_COUNTERS(X)
#undef X
};

}  // namespace blockmirror
