// Breaks the engine on purpose, one line at a time, and sees whether the oracles notice.
#pragma once

#include <string>

#include "certificate.h"

namespace blockmirror::simulator {

// Hunts the mutation of that name, or all of them, each in a child process; prints one line for each. Exit code.
int hunt_mutations(const std::string& name, std::uint64_t first_seed);
bool parse_hunt(const std::string& line, CaughtMutation& into);
// For a replay. False when this build knows no such mutation.
bool activate(const std::string& name);

}  // namespace blockmirror::simulator
