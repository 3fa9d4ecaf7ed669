// What the oracles found, and what was counted on the way.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "../../core/images/image_states.h"
#include "faults.h"

namespace blockmirror::simulator {

struct Failure {
  std::string oracle;  // which rule was broken: an invariant, or a name of its own
  std::string words;
  std::vector<std::string> history;  // filled while tracing
};

// The four cases of claim 1, by write that a crash interrupted and by slave, and what is in between.
struct Cases {
  std::uint64_t slave_ahead = 0;
  std::uint64_t neither = 0;
  std::uint64_t both = 0;
  std::uint64_t master_ahead = 0;
  std::uint64_t torn = 0;  // one of the two holds a part of it
};

struct Counts {
  std::uint64_t crash_states = 0;  // distinct, by the hash of what the disks hold
  std::uint64_t states_met = 0;    // with those met again
  std::uint64_t recoveries = 0;
  std::uint64_t recoveries_beside = 0;
  std::uint64_t recovery_crash_states = 0;  // of crash_states: from a crash in a recovery
  std::uint64_t lives = 0;
  std::uint64_t events = 0;
  std::uint64_t full_compares = 0;
  std::uint64_t refused = 0;         // restored copies that were refused
  std::uint64_t timers = 0;          // that fired while requests were under way or might have been issued
  std::uint64_t lives_ahead = 0;     // in which something was covered ahead of a sequential stream
  std::uint64_t regions_ahead = 0;   // covered before any write asked for them
  std::uint64_t writes_ahead = 0;    // the first writes of such regions
  std::uint64_t aborted = 0;         // writes that were called off
  std::uint64_t writes_alone = 0;    // acknowledged by a master whose slaves were all out
  std::uint64_t writes_refused = 0;  // for want of images in sync
  std::uint64_t verifies_begun = 0;
  std::uint64_t repairs_begun = 0;        // slaves that a verify made owe what it found
  std::uint64_t repairs_ended = 0;        // and that a resync took back right after
  std::uint64_t verifies = 0;             // that reported
  std::uint64_t takes = 0;                // of a slave's content for that of all images
  std::uint64_t takes_of_rot = 0;         // sectors among it in which the slave differed
  std::uint64_t takes_refused = 0;        // of a slave that was out, or owed what was asked for
  std::uint64_t creates = 0;              // of creates that were tried, with a fault or cut off
  std::uint64_t create_crash_states = 0;  // distinct, not among crash_states
  std::uint64_t creates_again = 0;        // over what one that was cut off has left
  std::uint64_t differences = 0;          // slaves that they found different
  std::uint64_t fractures = 0;            // that an operator asked for and got
  std::uint64_t points_in_time = 0;       // of them such that left all their slaves at one
  std::uint64_t slaves_away = 0;          // of openings that went without them
  std::uint64_t rejoins = 0;              // slaves that came back
  std::uint64_t resyncs = 0;              // of them that were in sync again
  std::uint64_t resynced_bytes = 0;
  std::uint64_t events_told = 0;  // written to the history
  TransitionCounts transitions;
  Cases cases;
  std::array<std::uint64_t, kFaults> faults{};
};

// One run's findings: the first failure ends the run.
struct Verdict {
  Counts counts;
  bool failed = false;
  Failure failure;
  bool tracing = false;
  std::vector<std::string> trace;  // of the path from the first life to the present one

  void fail(const std::string& oracle, std::string words) {
    if (failed) return;
    failed = true;
    failure = {oracle, std::move(words), trace};
  }
  void count(Fault fault) { ++counts.faults[static_cast<std::size_t>(fault)]; }
};

}  // namespace blockmirror::simulator
