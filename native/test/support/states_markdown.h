// docs/STATES.md, printed from the tables that the code runs.
#pragma once

#include <string>

namespace blockmirror::test {

std::string states_markdown();

}  // namespace blockmirror::test
