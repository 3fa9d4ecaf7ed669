#include "../../../core/images/image_states.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "../../support/states_markdown.h"

using namespace blockmirror;
using namespace blockmirror::test;

TEST_CASE("each state has at most one next state for each event") {
  std::set<std::pair<ImageState, ImageEvent>> seen;
  for (const Transition& row : kTransitions) CHECK(seen.insert({row.from, row.event}).second);
}

TEST_CASE("an error can meet an image in every state, a departure every one that receives") {
  for (const StateRights& rights : kStateRights) {
    CHECK(find_next(rights.state, ImageEvent::erred).has_value());
    CHECK(find_next(rights.state, ImageEvent::left).has_value() == rights.receives);
  }
}

TEST_CASE("an image that went out gets no writes until a resync began") {
  for (const Transition& row : kTransitions) {
    if (row.event == ImageEvent::erred || row.event == ImageEvent::left) CHECK_FALSE(rights_of(row.to).receives);
    if (!rights_of(row.from).receives && rights_of(row.to).receives) CHECK(row.event == ImageEvent::resync_began);
  }
}

TEST_CASE("from every state a resync, or a verify of what was only assumed, leads back to in_sync") {
  for (const StateRights& rights : kStateRights) {
    ImageState state = rights.state;
    if (state == ImageState::assumed) state = next_state(state, ImageEvent::verified_equal);
    if (!rights_of(state).receives) state = next_state(state, ImageEvent::resync_began);
    if (state == ImageState::synchronizing) state = next_state(state, ImageEvent::resync_ended);
    CHECK(state == ImageState::in_sync);
  }
}

TEST_CASE("transitions are counted row by row") {
  TransitionCounts counts, more;
  counts.count(kTransitions[3].from, kTransitions[3].event);
  more.count(kTransitions[3].from, kTransitions[3].event);
  counts.add(more);
  for (std::size_t row = 0; row < kTransitions.size(); ++row) CHECK(counts.of(row) == (row == 3 ? 2 : 0));
}

// BLOCKMIRROR_WRITE_DOCS=1 writes the page anew.
TEST_CASE("docs/STATES.md is what the tables say") {
  const std::filesystem::path page = std::filesystem::path(__FILE__).parent_path() / "../../../../docs/STATES.md";
  if (std::getenv("BLOCKMIRROR_WRITE_DOCS") != nullptr) std::ofstream(page) << states_markdown();
  std::ifstream input(page);
  REQUIRE(input.good());
  const std::string text{std::istreambuf_iterator<char>(input), {}};
  CHECK(text == states_markdown());
}
