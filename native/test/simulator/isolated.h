// Runs something in a child process and hears how it ended, so that a broken assertion (which aborts) is a finding like
// any other, with the history that led to it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "verdict.h"

namespace blockmirror::simulator {

struct IsolatedRun {
  bool failed = false;
  bool timed_out = false;
  std::string where;  // the case that was being tried
  Failure failure;
};

// What the child is doing, for whoever reports its death.
class Progress {
 public:
  void begin(const std::string& where, Verdict& verdict);
  const std::string& where() const { return where_; }
  Verdict* verdict() const { return verdict_; }

 private:
  std::string where_;
  Verdict* verdict_ = nullptr;
};

// `work` ends with a failed verdict where an oracle was broken. Killed after `seconds` of processor time. `tell` is called about once a
// second meanwhile.
IsolatedRun run_isolated(
    const std::function<void(Progress&)>& work, unsigned seconds, const std::function<void()>& tell = [] {});

}  // namespace blockmirror::simulator
