// The certificate program. docs/TESTING.md says how to use it.
//
// One build runs the core as it ships. The other, with BLOCKMIRROR_MUTATIONS, runs it with one deliberate fault at a time
// and is called by the first.
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <optional>

#include "certificate.h"
#include "mutation_hunt.h"
#include "shrink.h"

namespace blockmirror::simulator {
namespace {

struct Options {
  double seconds = 60;
  std::uint64_t seed = 1;
  std::optional<std::size_t> small;    // configurations; none: as many as half of the time allows
  std::optional<std::uint64_t> seeds;  // none: as many as the time allows
  std::string out;
  std::string replay;
  std::string version = "unknown";
  std::string commit = "unknown";
  std::string mutated_program;  // empty: mutations are not tried
  std::string only_mutation;
  std::uint64_t walk = 0;  // operations
};

double processor_seconds(int who) {
  rusage usage;
  getrusage(who, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double wall_seconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// What the exploring child tells its parent even when it dies.
struct Findings {
  std::atomic<std::uint64_t> crash_states_now{0};
  Counts counts;
  std::uint64_t seeds = 0;
  struct Small {
    SmallRun run;
    std::uint64_t crash_states = 0;
  } small[64];
  unsigned small_done = 0;
};

constexpr unsigned kFixedWorkSeconds = 4 * 3600;  // where a number was asked for: only what hangs takes longer
constexpr double kSecondsBetweenLines = 60;
constexpr std::uint64_t kSeedsPerCreate = 25;  // seeds that run for each number of creates

// Small configurations first, up to half of the time; seeds for the rest. What was asked for by number is done whatever
// the machine is busy with; so is the first small configuration: a certificate without it says little.
void explore(const Options& options, double until, Findings& findings, Progress& progress) {
  static Verdict verdict;
  HashSet states;
  const double begun = wall_seconds();
  const double small_until = begun + (until - begun) / 2;
  const std::vector<Configuration> configurations = small_configurations();
  const std::size_t count = std::min(options.small.value_or(configurations.size()), configurations.size());
  for (std::size_t i = 0; i < count; ++i) {
    const auto go_on = [&] {
      findings.crash_states_now = verdict.counts.crash_states;
      return i == 0 || options.small.has_value() || wall_seconds() < small_until;
    };
    if (!go_on()) break;
    progress.begin("small:" + std::to_string(i), verdict);
    const std::uint64_t before = verdict.counts.crash_states;
    const SmallRun run = run_small(configurations[i], states, verdict, go_on);
    findings.small[i] = {run, verdict.counts.crash_states - before};
    findings.small_done = static_cast<unsigned>(i + 1);
    findings.counts = verdict.counts;
    if (verdict.failed) return;
  }
  const auto more_seeds = [&] { return options.seeds ? findings.seeds < *options.seeds : wall_seconds() < until; };
  for (std::uint64_t seed = options.seed; more_seeds(); ++seed) {
    const SeedCase seed_case{seed, {}};
    progress.begin(text_of(seed_case), verdict);
    run_seed(seed_case, states, verdict);
    if (!verdict.failed && seed % kSeedsPerCreate == 1) {
      const std::uint64_t number = seed / kSeedsPerCreate;
      progress.begin("create:" + std::to_string(number), verdict);
      run_create(number, states, verdict);
    }
    ++findings.seeds;
    findings.counts = verdict.counts;
    findings.crash_states_now = verdict.counts.crash_states;
    if (verdict.failed) return;
  }
}

FailedCase explain(const std::string& test_case, const Failure& failure) {
  FailedCase failed;
  failed.test_case = test_case;
  failed.failure = failure;
  SeedCase seed_case;
  if (!parse_case(test_case, seed_case)) {
    failed.failure = replay(test_case).failure;
    return failed;
  }
  std::printf("shrinking %s ...\n", test_case.c_str());
  const SeedCase shortest = shrink(seed_case, failure.oracle);
  failed.shrunk = text_of(shortest);
  failed.failure = replay(failed.shrunk).failure;
  failed.plan = words_of(draw_plan(shortest));
  return failed;
}

void try_mutations(const Options& options, Certificate& certificate) {
  certificate.mutations_tried = true;
  const std::string command =
      options.mutated_program + " --hunt " + (options.only_mutation.empty() ? "all" : options.only_mutation);
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return;
  char line[4096];
  while (std::fgets(line, sizeof(line), pipe) != nullptr) {
    CaughtMutation mutation;
    if (!parse_hunt(line, mutation)) continue;
    std::printf("mutation %-30s %s by %s in %.1f s (case %s)\n", mutation.name.c_str(),
                mutation.caught ? "caught" : "NOT CAUGHT", mutation.oracle.c_str(), mutation.seconds,
                mutation.test_case.c_str());
    std::fflush(stdout);
    certificate.mutations.push_back(mutation);
  }
  if (pclose(pipe) != 0 || certificate.mutations.empty())
    certificate.failures.push_back({"mutations", "", {"mutations", "the program that tries them failed", {}}, {}});
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.flush();
  if (!file) {
    std::fprintf(stderr, "certify: cannot write %s\n", path.c_str());
    std::exit(1);
  }
}

int certify(const Options& options) {
  const double begun = wall_seconds();
  Certificate certificate;
  certificate.version = options.version;
  certificate.commit = options.commit;
  certificate.first_seed = options.seed;
  if (!options.mutated_program.empty()) try_mutations(options, certificate);
  // The mutations are part of the time, but take no more than half of it from the exploring.
  const double until = std::max(begun + options.seconds, wall_seconds() + options.seconds / 2);
  void* shared = mmap(nullptr, sizeof(Findings), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return 1;
  auto& findings = *new (shared) Findings;
  const double before = processor_seconds(RUSAGE_CHILDREN);
  const unsigned limit =
      options.small || options.seeds ? kFixedWorkSeconds : static_cast<unsigned>(options.seconds) * 2 + 600;
  double next_line = wall_seconds() + kSecondsBetweenLines;
  const auto tell = [&] {
    if (wall_seconds() < next_line) return;
    next_line += kSecondsBetweenLines;
    std::printf("after %3.0f s: %llu distinct crash states\n", wall_seconds() - begun,
                static_cast<unsigned long long>(findings.crash_states_now));
    std::fflush(stdout);
  };
  const auto work = [&](Progress& progress) { explore(options, until, findings, progress); };
  const IsolatedRun whole = run_isolated(work, limit, tell);
  certificate.exploring_processor_seconds = processor_seconds(RUSAGE_CHILDREN) - before;
  certificate.counts = findings.counts;
  certificate.seeds = findings.seeds;
  const std::vector<Configuration> configurations = small_configurations();
  for (unsigned i = 0; i < findings.small_done; ++i) {
    const auto& [run, states] = findings.small[i];
    certificate.small.push_back({configurations[i].name, configurations[i].recoveries_cut(), run.orders, states,
                                 run.every_order, run.every_subset});
  }
  if (whole.timed_out) certificate.failures.push_back({whole.where, "", {"progress", "the run does not end", {}}, {}});
  if (whole.failed) certificate.failures.push_back(explain(whole.where, whole.failure));
  certificate.seconds = wall_seconds() - begun;
  certificate.processor_seconds = processor_seconds(RUSAGE_CHILDREN) + processor_seconds(RUSAGE_SELF);
  if (!options.out.empty()) {
    write_file(options.out + "/certificate.json", to_json(certificate));
    write_file(options.out + "/certificate.md", to_markdown(certificate));
  }
  std::printf("%s", to_markdown(certificate).c_str());
  return certificate.good() ? 0 : 1;
}

int replay_and_print(const std::string& test_case) {
  SeedCase seed_case;
  if (parse_case(test_case, seed_case)) {
    for (const std::string& line : words_of(draw_plan(seed_case))) std::printf("%s\n", line.c_str());
    std::printf("---\n");
  }
  static Verdict verdict;
  HashSet states;
  verdict.tracing = true;
  run_case(test_case, states, verdict);
  for (const std::string& line : verdict.failure.history) std::printf("%s\n", line.c_str());
  if (!verdict.failed)
    std::printf("nothing was found: %llu crash states, %llu recoveries\n",
                static_cast<unsigned long long>(verdict.counts.crash_states),
                static_cast<unsigned long long>(verdict.counts.recoveries));
  if (verdict.failed) std::printf("%s: %s\n", verdict.failure.oracle.c_str(), verdict.failure.words.c_str());
  return verdict.failed ? 1 : 0;
}

// One that fails is taken again, for its last life in words.
int walk_and_print(const Options& options) {
  Verdict verdict;
  const WalkCounts counts = run_walk(options.seed, options.walk, verdict);
  std::printf("%llu operations in %llu lives: %llu closed, %llu cut off, %llu openings refused with reason\n",
              static_cast<unsigned long long>(counts.operations), static_cast<unsigned long long>(counts.lives),
              static_cast<unsigned long long>(counts.closes), static_cast<unsigned long long>(counts.crashes),
              static_cast<unsigned long long>(counts.refusals));
  const Counts& c = verdict.counts;
  std::printf("fractures %llu, rejoins %llu, resyncs %llu, recoveries %llu, repairs %llu, refused writes %llu\n",
              static_cast<unsigned long long>(c.fractures), static_cast<unsigned long long>(c.rejoins),
              static_cast<unsigned long long>(c.resyncs), static_cast<unsigned long long>(c.recoveries),
              static_cast<unsigned long long>(c.repairs_ended), static_cast<unsigned long long>(c.writes_refused));
  if (!verdict.failed) return 0;
  Verdict again;
  again.tracing = true;
  (void)run_walk(options.seed, options.walk, again);
  for (const std::string& line : again.failure.history) std::printf("%s\n", line.c_str());
  std::printf("%s: %s\n", verdict.failure.oracle.c_str(), verdict.failure.words.c_str());
  return 1;
}

int usage() {
  std::fprintf(
      stderr,
      "usage: certify [--seconds N] [--seed S] [--small N] [--seeds N] [--out DIR] [--version V] [--commit C]\n"
      "               [--mutated-program PATH [--mutation NAME]]\n"
      "       certify --replay CASE [--mutation NAME]\n"
      "       certify --hunt NAME|all [--seed S]\n"
      "       certify --walk OPERATIONS [--seed S]\n");
  return 2;
}

}  // namespace

// Each of many thousand openings takes memory for a ring and gives it back: that stays here, since pages that the system
// has to clear anew cost a third of the processor time.
void keep_memory() {
  constexpr int kAll = 256 * 1024 * 1024;  // bytes
  mallopt(M_MMAP_THRESHOLD, kAll);
  mallopt(M_TRIM_THRESHOLD, kAll);
}

int run(int count, char** arguments) {
  keep_memory();
  Options options;
  std::string hunt;
  for (int i = 1; i < count; i += 2) {
    const std::string name = arguments[i];
    if (i + 1 == count) return usage();
    const std::string value = arguments[i + 1];
    if (name == "--seconds")
      options.seconds = std::atof(value.c_str());
    else if (name == "--seed")
      options.seed = std::strtoull(value.c_str(), nullptr, 10);
    else if (name == "--small")
      options.small = std::strtoull(value.c_str(), nullptr, 10);
    else if (name == "--seeds")
      options.seeds = std::strtoull(value.c_str(), nullptr, 10);
    else if (name == "--out")
      options.out = value;
    else if (name == "--replay")
      options.replay = value;
    else if (name == "--version")
      options.version = value;
    else if (name == "--commit")
      options.commit = value;
    else if (name == "--mutated-program")
      options.mutated_program = value;
    else if (name == "--mutation")
      options.only_mutation = value;
    else if (name == "--walk")
      options.walk = std::strtoull(value.c_str(), nullptr, 10);
    else if (name == "--hunt")
      hunt = value;
    else
      return usage();
  }
  if (!options.only_mutation.empty() && options.mutated_program.empty() && !activate(options.only_mutation)) return 2;
  if (!hunt.empty()) return hunt_mutations(hunt, options.seed);
  if (options.walk > 0) return walk_and_print(options);
  return options.replay.empty() ? certify(options) : replay_and_print(options.replay);
}

}  // namespace blockmirror::simulator

int main(int count, char** arguments) { return blockmirror::simulator::run(count, arguments); }
