#include "mutation_hunt.h"

#include <cstdio>
#include <ctime>
#include <string_view>

#include "../../core/base/mutation.h"
#include "isolated.h"
#include "runs.h"
#include "shrink.h"

namespace blockmirror::simulator {
namespace {

struct Known {
  const char* name;
  const char* words;
};
constexpr Known kKnown[] = {
#define X(name, words) {#name, words},
    BLOCKMIRROR_MUTATIONS_LIST(X)
#undef X
};

// A fixed amount of work, so that what is caught does not depend on the speed of the machine.
constexpr std::uint64_t kHuntSeeds = 600;
constexpr unsigned kHuntCreates = 40;
constexpr unsigned kHuntConfigurations = 3;
constexpr unsigned kHuntSeconds = 300;  // where a mutation makes the engine run in circles

// The case to begin with where the first seeds tell nothing, or are slow to: it spares minutes. One that no longer tells anything
// is only one more case.
struct Hint {
  std::string_view name;
  const char* test_case;
};
constexpr Hint kHints[] = {
    {"retire_before_flush", "4"},
    {"retire_on_earlier_flush", "4"},
    {"repair_from_unproven_slave", "11"},
    {"repair_not_read_back", "24"},
    {"lying_master_accepted", "24"},
    {"read_before_master_flush", "21"},
    {"resync_flush_failure_ignored", "9"},
    {"ahead_before_durable", "40"},
    {"ahead_over_budget", "38"},
    {"unlock_early", "1"},
    {"verify_without_range", "22"},
    {"accept_older_log", "31"},
    {"accept_older_log_generation", "19"},
    {"label_numbers_forgotten", "19"},
    {"verify_difference_forgotten", "99"},
    {"differing_slave_serves", "196"},
    {"allocation_loss_ignored", "32"},
    {"debt_starts_at_failed_write", "15"},
    {"older_copy_believed", "9"},
    {"acknowledge_below_minimum", "15"},
    {"failed_slave_compared_equal", "53"},
    {"lying_master_copied", "58"},
    {"log_not_flushed_at_opening", "9"},
    {"repair_failure_forgiven", "85"},
    {"ahead_left_by_close", "127"},
    {"accept_older_generation", "147"},
    {"accept_older_opening", "137"},
    {"create_without_plan", "create:3"},
    {"create_over_data", "create:0"},
    {"create_without_slave", "create:1"},
    {"log_not_flushed_by_create", "create:3"},
    {"write_skips_synchronizing", "23"},
    {"repair_forgets_finds", "175"},
    {"repair_owed_in_memory", "175"},
    {"flush_skips_synchronizing", "224"},
    {"resync_takes_no_range", "133"},
    {"damage_forgets_misses", "12"},
    {"repair_beside_writes", "91"},
    {"debt_counts_for_minimum", "19"},
    {"late_completion_counts", "283"},
    {"source_read_before_lock", "22"},
    {"source_owes", "141"},
    {"fracture_beside_writes", "161"},
    {"fracture_beside_return", "359"},
    {"fracture_without_flush", "26"},
    {"history_before_it_happened", "14"},
    {"history_over_newer", "14"},
    {"history_not_durable", "14"},
    {"assumed_not_flushed", "create:5"},
    {"assumed_called_in_sync", "create:2"},
};

// Seeds first, since most are caught by the first few; then creates, and the small configurations, which are thorough.
void hunt(std::string_view name, std::uint64_t first_seed, Progress& progress) {
  static Verdict verdict;
  HashSet states;
  const auto attempt = [&](const std::string& test_case) {
    if (verdict.failed) return;
    progress.begin(test_case, verdict);
    run_case(test_case, states, verdict);
  };
  for (const Hint& hint : kHints) {
    if (hint.name == name) attempt(hint.test_case);
  }
  for (std::uint64_t seed = first_seed; seed < first_seed + kHuntSeeds; ++seed) attempt(text_of({seed, {}}));
  for (unsigned i = 0; i < kHuntCreates; ++i) attempt("create:" + std::to_string(i));
  for (unsigned i = 0; i < kHuntConfigurations; ++i) attempt("small:" + std::to_string(i));
}

double seconds_now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

}  // namespace

bool activate(const std::string& name) {
#ifdef BLOCKMIRROR_MUTATIONS
  for (std::size_t i = 0; i < std::size(kKnown); ++i) {
    if (name != kKnown[i].name) continue;
    active_mutation = static_cast<Mutation>(i + 1);
    return true;
  }
#endif
  std::fprintf(stderr, "certify: this build knows no mutation %s\n", name.c_str());
  return false;
}

int hunt_mutations(const std::string& name, std::uint64_t first_seed) {
  bool any = false;
  for (const Known& known : kKnown) {
    if (name != "all" && name != known.name) continue;
    if (!activate(known.name)) return 2;
    any = true;
    const double begun = seconds_now();
    const IsolatedRun run =
        run_isolated([&](Progress& progress) { hunt(known.name, first_seed, progress); }, kHuntSeconds);
    // A mutation that makes the engine stand still is not caught by that: an oracle has to say so.
    std::printf("%s\t%s\t%d\t%s\t%s\t%s\t%.1f\n", known.name, known.words, run.failed ? 1 : 0, run.where.c_str(),
                run.failure.oracle.c_str(), run.failure.words.c_str(), seconds_now() - begun);
    std::fflush(stdout);
  }
  return any ? 0 : 2;
}

bool parse_hunt(const std::string& line, CaughtMutation& into) {
  std::vector<std::string> fields(1);
  for (char character : line) {
    if (character == '\t')
      fields.emplace_back();
    else if (character != '\n')
      fields.back() += character;
  }
  if (fields.size() != 7) return false;
  into = {
      fields[0], fields[1], fields[2] == "1", fields[3], fields[4], fields[5], std::strtod(fields[6].c_str(), nullptr)};
  return true;
}

}  // namespace blockmirror::simulator
