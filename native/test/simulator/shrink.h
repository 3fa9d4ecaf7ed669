// Doing a case again, and making a failing one shorter while it still fails in the same way.
#pragma once

#include <string>

#include "isolated.h"
#include "runs.h"

namespace blockmirror::simulator {

// In this process, so that a debugger sees it. What is no case fails as `usage`.
void run_case(const std::string& test_case, HashSet& states, Verdict& verdict);
// In a child, tracing.
IsolatedRun replay(const std::string& test_case);
// Takes out one item of the plan after the other, as long as the same oracle is broken.
SeedCase shrink(const SeedCase& seed_case, const std::string& oracle);

}  // namespace blockmirror::simulator
