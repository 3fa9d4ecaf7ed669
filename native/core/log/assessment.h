// What a look at the ring found: which intents are live, what is damaged, and what recovery must copy.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../base/extent.h"
#include "../base/outcome.h"

namespace blockmirror {

struct LiveIntent {
  std::uint64_t sequence = 0;
  Extent extent;
};

// How far the look at the ring is. A long ring is looked at in two passes, so that the total may grow.
struct ScanProgress {
  bool done = false;
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;
};

struct Assessment {
  bool clean = false;
  bool damaged = false;
  std::vector<std::string> damage;  // plain words, the first of damage_count
  std::uint64_t damage_count = 0;
  std::uint64_t torn_records = 0;
  std::uint64_t sequence = 0;            // newest durable record
  std::uint64_t tail = 0;                // oldest record that still counts
  std::uint64_t live_records = 0;        // that hold live intents
  std::vector<LiveIntent> live_intents;  // the first kReportedIntents (log_reader.h), in order of sequence
  std::uint64_t live_intent_count = 0;   // of all
  ExtentSet debt;                        // what recovery must copy
  std::vector<Outcome> images;           // per image: ok, or why it may not be attached
};

}  // namespace blockmirror
