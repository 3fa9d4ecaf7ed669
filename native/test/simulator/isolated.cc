#include "isolated.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace blockmirror::simulator {
namespace {

constexpr int kFailed = 10;
Progress* current = nullptr;

void report(const char* oracle, const std::string& words, const std::vector<std::string>& history) {
  std::printf("\n@where %s\n@oracle %s\n@words %s\n", current->where().c_str(), oracle, words.c_str());
  for (const std::string& line : history) std::printf("@history %s\n", line.c_str());
  std::fflush(stdout);
}

// After a broken assertion nothing is trusted any more but what it takes to say so.
void assertion_broken(int) {
  static const std::vector<std::string> kNothing;
  report("assertion", "", current->verdict() == nullptr ? kNothing : current->verdict()->trace);
  _exit(kFailed);
}

[[noreturn]] void child(int into, const std::function<void(Progress&)>& work, unsigned seconds) {
  dup2(into, STDOUT_FILENO);
  dup2(into, STDERR_FILENO);
  close(into);
  Progress progress;
  current = &progress;
  std::signal(SIGABRT, assertion_broken);
  std::signal(SIGSEGV, assertion_broken);
  // Of processor time: on a busy machine a hunt may stand still for as long as others like, and is no slower for that.
  const rlimit limit{seconds, seconds + 1};
  setrlimit(RLIMIT_CPU, &limit);
  work(progress);
  Verdict* verdict = progress.verdict();
  if (verdict == nullptr || !verdict->failed) _exit(0);
  report(verdict->failure.oracle.c_str(), verdict->failure.words, verdict->failure.history);
  _exit(kFailed);
}

std::string read_all(int from, const std::function<void()>& tell) {
  std::string text;
  char buffer[65536];
  while (true) {
    pollfd wanted{from, POLLIN, 0};
    const int ready = poll(&wanted, 1, 1000);
    tell();
    if (ready == 0) continue;
    const ssize_t count = read(from, buffer, sizeof(buffer));
    if (count <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
  }
}

void parse(const std::string& text, IsolatedRun& into) {
  std::string asserted;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = text.find('\n', at);
    if (end == std::string::npos) end = text.size();
    const std::string line = text.substr(at, end - at);
    const auto value_of = [&](const char* tag) { return line.substr(std::string(tag).size()); };
    if (line.starts_with("@where ")) into.where = value_of("@where ");
    if (line.starts_with("@oracle ")) into.failure.oracle = value_of("@oracle ");
    if (line.starts_with("@words ")) into.failure.words = value_of("@words ");
    if (line.starts_with("@history ")) into.failure.history.push_back(value_of("@history "));
    if (line.starts_with("blockmirror: ")) asserted = line;
    at = end + 1;
  }
  if (into.failure.words.empty()) into.failure.words = asserted;
}

}  // namespace

void Progress::begin(const std::string& where, Verdict& verdict) {
  where_ = where;
  verdict_ = &verdict;
}

IsolatedRun run_isolated(const std::function<void(Progress&)>& work, unsigned seconds,
                         const std::function<void()>& tell) {
  int ends[2];
  IsolatedRun run;
  if (pipe(ends) != 0) return run;
  std::fflush(stdout);
  const pid_t process = fork();
  if (process == 0) {
    close(ends[0]);
    child(ends[1], work, seconds);
  }
  close(ends[1]);
  const std::string text = read_all(ends[0], tell);
  close(ends[0]);
  int status = 0;
  waitpid(process, &status, 0);
  run.timed_out = WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU;
  run.failed = !run.timed_out && !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  if (run.failed) parse(text, run);
  if (run.failed && run.failure.oracle.empty()) run.failure = {"crash", "the program died", {}};
  return run;
}

}  // namespace blockmirror::simulator
