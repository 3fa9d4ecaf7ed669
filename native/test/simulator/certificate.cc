#include "certificate.h"

#include <algorithm>
#include <cstdio>

namespace blockmirror::simulator {
namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char character : text) {
    if (character == '"' || character == '\\') out += '\\';
    if (static_cast<unsigned char>(character) >= 0x20) out += character;
  }
  return out + "\"";
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", value);
  return text;
}

// Members of one object or array, joined.
class List {
 public:
  List(char open, char close, std::string indent) : text_(1, open), close_(close), indent_(std::move(indent)) {}
  void add(const std::string& member) {
    text_ += (first_ ? "\n" : ",\n") + indent_ + "  " + member;
    first_ = false;
  }
  void add(const std::string& name, const std::string& value) { add(quoted(name) + ": " + value); }
  void add(const std::string& name, std::uint64_t value) { add(name, std::to_string(value)); }
  std::string end() const { return first_ ? text_ + close_ : text_ + "\n" + indent_ + close_; }

 private:
  std::string text_;
  char close_;
  std::string indent_;
  bool first_ = true;
};

std::string json_of(const Cases& cases) {
  List list('{', '}', "  ");
  list.add("slaveAhead", cases.slave_ahead);
  list.add("neither", cases.neither);
  list.add("both", cases.both);
  list.add("masterAhead", cases.master_ahead);
  list.add("torn", cases.torn);
  return list.end();
}

std::string camel(std::string_view name) {
  std::string out;
  bool upper = false;
  for (char character : name) {
    if (character != '_') out += upper ? static_cast<char>(character - 32) : character;
    upper = character == '_';
  }
  return out;
}

std::string json_of(const std::vector<std::string>& lines, const std::string& indent) {
  List list('[', ']', indent);
  for (const std::string& line : lines) list.add(quoted(line));
  return list.end();
}

std::string json_of(const FailedCase& failed) {
  List list('{', '}', "    ");
  list.add("case", quoted(failed.test_case));
  list.add("shrunk", quoted(failed.shrunk));
  list.add("oracle", quoted(failed.failure.oracle));
  list.add("words", quoted(failed.failure.words));
  list.add("plan", json_of(failed.plan, "      "));
  list.add("history", json_of(failed.failure.history, "      "));
  return list.end();
}

std::string json_of(const CaughtMutation& mutation) {
  List list('{', '}', "      ");
  list.add("name", quoted(mutation.name));
  list.add("what", quoted(mutation.words));
  list.add("caught", mutation.caught ? "true" : "false");
  list.add("case", quoted(mutation.test_case));
  list.add("oracle", quoted(mutation.oracle));
  list.add("reason", quoted(mutation.reason));
  list.add("seconds", number(mutation.seconds));
  return list.end();
}

std::string json_of_mutations(const Certificate& certificate) {
  List all('[', ']', "    ");
  for (const CaughtMutation& mutation : certificate.mutations) all.add(json_of(mutation));
  List list('{', '}', "  ");
  list.add("tried", certificate.mutations.size());
  list.add("caught", certificate.caught());
  list.add("each", all.end());
  return list.end();
}

std::string json_of(const Exhausted& exhausted) {
  List list('{', '}', "    ");
  list.add("configuration", quoted(exhausted.name));
  list.add("orders", exhausted.orders);
  list.add("newCrashStates", exhausted.crash_states);
  list.add("everyOrder", exhausted.every_order ? "true" : "false");
  list.add("everySubset", exhausted.every_subset ? "true" : "false");
  return list.end();
}

std::string row(const std::string& name, std::uint64_t value) {
  return "| " + name + " | " + std::to_string(value) + " |\n";
}

std::string markdown_of_failures(const Certificate& certificate) {
  if (certificate.failures.empty()) return "## Failures\n\nNone.\n";
  std::string text = "## Failures\n";
  for (const FailedCase& failed : certificate.failures) {
    const std::string again = failed.shrunk.empty() ? failed.test_case : failed.shrunk;
    text += "\n### " + failed.failure.oracle + ": " + failed.failure.words +
            "\n\nAgain: `npm run certify -- --replay " + again + "` (found as " + failed.test_case + ")\n\n```\n";
    for (const std::string& line : failed.plan) text += line + "\n";
    text += "---\n";
    for (const std::string& line : failed.failure.history) text += line + "\n";
    text += "```\n";
  }
  return text;
}

}  // namespace

std::size_t Certificate::caught() const {
  return static_cast<std::size_t>(std::count_if(mutations.begin(), mutations.end(),
                                                [](const CaughtMutation& mutation) { return mutation.caught; }));
}

std::string to_json(const Certificate& certificate) {
  const Counts& counts = certificate.counts;
  List faults('{', '}', "  ");
  for (std::size_t i = 0; i < kFaults; ++i) faults.add(camel(kFaultNames[i]), counts.faults[i]);
  List exhausted('[', ']', "  ");
  for (const Exhausted& one : certificate.exhausted) exhausted.add(json_of(one));
  List failures('[', ']', "  ");
  for (const FailedCase& failed : certificate.failures) failures.add(json_of(failed));
  List list('{', '}', "");
  list.add("version", quoted(certificate.version));
  list.add("commit", quoted(certificate.commit));
  list.add("good", certificate.good() ? "true" : "false");
  list.add("crashStates", counts.crash_states);
  list.add("crashStatesInRecovery", counts.recovery_crash_states);
  list.add("statesMet", counts.states_met);
  list.add("recoveries", counts.recoveries);
  list.add("fullCompares", counts.full_compares);
  list.add("refused", counts.refused);
  list.add("lives", counts.lives);
  list.add("events", counts.events);
  list.add("firstSeed", certificate.first_seed);
  list.add("seeds", certificate.seeds);
  list.add("seconds", number(certificate.seconds));
  list.add("processorSeconds", number(certificate.processor_seconds));
  list.add("exploringProcessorSeconds", number(certificate.exploring_processor_seconds));
  list.add("cases", json_of(counts.cases));
  list.add("faults", faults.end());
  list.add("exhausted", exhausted.end());
  if (certificate.mutations_tried) list.add("mutations", json_of_mutations(certificate));
  list.add("failures", failures.end());
  return list.end() + "\n";
}

std::string to_markdown(const Certificate& certificate) {
  const Counts& counts = certificate.counts;
  std::string text = "# Crash certificate of blockmirror " + certificate.version + "\n\nCommit " + certificate.commit +
                     ". " + (certificate.good() ? "Nothing was found." : "**Not good: see the end.**") +
                     " How to read it: docs/TESTING.md.\n\n| what | how often |\n|---|---:|\n";
  text += row("distinct crash states", counts.crash_states);
  text += row("of them from a crash in a recovery", counts.recovery_crash_states);
  text += row("recoveries", counts.recoveries);
  text += row("full compares after damage", counts.full_compares);
  text += row("older copies refused", counts.refused);
  text += row("openings", counts.lives);
  text += row("events", counts.events);
  text += "| seeds | " + std::to_string(certificate.seeds) + " from " + std::to_string(certificate.first_seed) + " |\n";
  text += "| seconds | " + number(certificate.seconds) + " (processor: " + number(certificate.processor_seconds) +
          ", exploring alone: " + number(certificate.exploring_processor_seconds) + ") |\n";
  text +=
      "\n## The four cases of claim 1\n\nBy write that a crash interrupted, and slave.\n\n| case | how often "
      "|\n|---|---:|\n";
  text += row("slave updated, master not", counts.cases.slave_ahead);
  text += row("neither", counts.cases.neither);
  text += row("both", counts.cases.both);
  text += row("master updated, slave not", counts.cases.master_ahead);
  text += row("one of them in part", counts.cases.torn);
  text += "\n## Faults\n\n| fault | how often |\n|---|---:|\n";
  for (std::size_t i = 0; i < kFaults; ++i) text += row(std::string(kFaultWords[i]), counts.faults[i]);
  text +=
      "\n## Exhausted\n\n| configuration | orders | new crash states | every order | every subset "
      "|\n|---|---:|---:|---|---|\n";
  for (const Exhausted& one : certificate.exhausted) {
    text += "| " + one.name + " | " + std::to_string(one.orders) + " | " + std::to_string(one.crash_states) + " | " +
            (one.every_order ? "yes" : "no") + " | " + (one.every_subset ? "yes" : "no") + " |\n";
  }
  if (certificate.mutations_tried) {
    text += "\n## Mutations\n\n" + std::to_string(certificate.caught()) + " of " +
            std::to_string(certificate.mutations.size()) +
            " caught.\n\n| mutation | caught by | case | what was seen |\n|---|---|---|---|\n";
    for (const CaughtMutation& mutation : certificate.mutations) {
      text += "| " + mutation.words + " | " + (mutation.caught ? mutation.oracle : "**not caught**") + " | " +
              mutation.test_case + " | " + mutation.reason + " |\n";
    }
  }
  return text + "\n" + markdown_of_failures(certificate);
}

}  // namespace blockmirror::simulator
