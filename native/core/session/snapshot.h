// Where a session stands: the one thing that status is derived from (I10).
#pragma once

#include <array>
#include <cstdint>

#include "../base/counters.h"
#include "../base/device.h"
#include "../base/outcome.h"
#include "../format/superblock.h"
#include "../images/results.h"

namespace blockmirror {

enum class Phase : std::uint8_t { idle, loaded, planned, formatting, recovering, running, stopped, closed };

// What a slave that is out, or being taken back, owes, and why.
struct SnapshotDebt {
  DebtKind kind = DebtKind::none;
  bool known = true;        // false: its map was not read yet
  std::uint64_t bytes = 0;  // at most
  FractureCause cause = FractureCause::none;
  std::uint64_t fractured_at_ms = 0;
  ResyncKind resync = ResyncKind::none;
};

// A copy of the state that status is derived from; cheap enough to take every turn of the loop.
struct Snapshot {
  Phase phase = Phase::idle;
  Outcome stopped;
  unsigned image_count = 0;
  unsigned minimum_in_sync = 0;  // of this opening
  std::array<ImageState, kMaxImages> states{};
  std::array<int, kMaxImages> errors{};                    // errno that failed the image, 0 otherwise
  std::array<std::uint64_t, kMaxImages> bytes_differed{};  // as ImageRecord has them
  std::array<std::uint64_t, kMaxImages> changed_at_ms{};   // as ImageRecord has them
  std::array<SnapshotDebt, kMaxImages> debts{};
  std::array<Stall, kMaxImages> stalls{};
  Stall log_stall;
  std::uint64_t device_timeout_ms = 0;  // 0: none
  VerifySummary last_verify;
  Generation generation;
  std::uint64_t requests_in_flight = 0;  // reads, writes, discards, flushes accepted and not settled
  std::uint64_t sequence = 0;
  std::uint64_t tail = 0;
  std::uint32_t ring_records = 0;
  std::uint64_t coverage_bytes = 0;
  std::uint64_t coverage_regions = 0;
  std::uint64_t recovery_budget = 0;
  ImageSet recovering = 0;            // slaves that owe what a crash left; of a mirror that is being made: everything
  std::uint64_t uncertain_bytes = 0;  // of the one among them that owes most
  RecentRepairs recent_repairs;
  std::uint64_t history_lost = 0;  // events of this opening that could not be written
  Counters counters;
};

}  // namespace blockmirror
