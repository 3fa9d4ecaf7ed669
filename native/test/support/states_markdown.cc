#include "states_markdown.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "../../core/images/image_states.h"

namespace blockmirror::test {
namespace {

using Row = std::vector<std::string>;

std::string padded(const std::string& text, std::size_t width) { return text + std::string(width - text.size(), ' '); }

std::string table(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max({widths[i], row[i].size(), std::size_t{3}});
  }
  std::string text;
  for (std::size_t line = 0; line < rows.size(); ++line) {
    for (std::size_t i = 0; i < widths.size(); ++i) text += "| " + padded(rows[line][i], widths[i]) + " ";
    text += "|\n";
    if (line > 0) continue;
    for (const std::size_t width : widths) text += "| " + std::string(width, '-') + " ";
    text += "|\n";
  }
  return text;
}

std::string code(const char* word) { return std::string("`") + word + "`"; }
std::string yes(bool value) { return value ? "yes" : "no"; }

std::string rights() {
  std::vector<Row> rows{{"State", "Gets writes", "In sync", "Serves reads", "Means"}};
  for (const StateRights& state : kStateRights) {
    rows.push_back(
        {code(name_of(state.state)), yes(state.receives), yes(state.in_sync), yes(state.serves), state.words});
  }
  return table(rows);
}

std::string transitions() {
  std::vector<Row> rows{{"From", "Event", "To", "Because"}};
  for (const Transition& row : kTransitions) {
    rows.push_back({code(name_of(row.from)), name_of(row.event), code(name_of(row.to)), row.words});
  }
  return table(rows);
}

// Rows that change nothing would only make the picture full.
std::string diagram() {
  std::string text = "```mermaid\nstateDiagram-v2\n";
  for (const Transition& row : kTransitions) {
    if (row.from == row.to) continue;
    text += "  " + std::string(name_of(row.from)) + " --> " + name_of(row.to) + ": " + name_of(row.event) + "\n";
  }
  return text + "```\n";
}

}  // namespace

std::string states_markdown() {
  return "# States of an image\n\n"
         "Printed from `native/core/images/image_states.h`, which the code runs; a test holds this page to it.\n"
         "What is shown as `synchronized` or `consistent` is `in_sync` here: the two differ in what is under way.\n\n"
         "## What each state means and may do\n\n" +
         rights() + "\n## What becomes of each\n\nWhat has no row cannot happen.\n\n" + transitions() + "\n" +
         diagram();
}

}  // namespace blockmirror::test
