// The certificate: what was tried, what was found, and how to do it again. As JSON and as text.
#pragma once

#include <string>
#include <vector>

#include "verdict.h"

namespace blockmirror::simulator {

struct FailedCase {
  std::string test_case;          // for --replay
  std::string shrunk;             // the same for the shortest history found; empty when there is none
  Failure failure;                // of the shrunk one where there is one
  std::vector<std::string> plan;  // in plain words
};

struct CaughtMutation {
  std::string name;
  std::string words;
  bool caught = false;
  std::string test_case;
  std::string oracle;
  std::string reason;
  double seconds = 0;
};

// What was tried of a small configuration. Exhausted: every order of completions, and at every crash every subset.
struct SmallResult {
  std::string name;
  std::string recoveries_cut;
  std::uint64_t orders = 0;
  std::uint64_t crash_states = 0;
  bool every_order = false;
  bool every_subset = false;
  bool exhausted() const { return every_order && every_subset; }
};

struct Certificate {
  std::string version;
  std::string commit;
  std::uint64_t first_seed = 0;
  std::uint64_t seeds = 0;
  double seconds = 0;
  double processor_seconds = 0;
  double exploring_processor_seconds = 0;  // without the mutations
  Counts counts;
  std::vector<SmallResult> small;
  bool mutations_tried = false;
  std::vector<CaughtMutation> mutations;
  std::vector<FailedCase> failures;
  std::size_t caught() const;
  bool good() const { return failures.empty() && caught() == mutations.size(); }
};

std::string to_json(const Certificate& certificate);
std::string to_markdown(const Certificate& certificate);

}  // namespace blockmirror::simulator
