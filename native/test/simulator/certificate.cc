// The certificate as JSON, for programs; certificate_markdown.cc is for people.
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

std::string json_of(const TransitionCounts& counts) {
  List list('[', ']', "  ");
  for (std::size_t i = 0; i < kTransitions.size(); ++i) {
    const Transition& taken = kTransitions[i];
    list.add("{\"from\": " + quoted(name_of(taken.from)) + ", \"event\": " + quoted(name_of(taken.event)) +
             ", \"count\": " + std::to_string(counts.of(i)) + "}");
  }
  return list.end();
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

std::string json_of(const SmallResult& small) {
  List list('{', '}', "    ");
  list.add("configuration", quoted(small.name));
  list.add("recoveriesCut", quoted(small.recoveries_cut));
  list.add("orders", small.orders);
  list.add("newCrashStates", small.crash_states);
  list.add("everyOrder", small.every_order ? "true" : "false");
  list.add("everySubset", small.every_subset ? "true" : "false");
  return list.end();
}

std::string json_of_small(const Certificate& certificate, bool exhausted) {
  List list('[', ']', "  ");
  for (const SmallResult& small : certificate.small) {
    if (small.exhausted() == exhausted) list.add(json_of(small));
  }
  return list.end();
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
  list.add("recoveriesBeside", counts.recoveries_beside);
  list.add("fullCompares", counts.full_compares);
  list.add("refused", counts.refused);
  list.add("lives", counts.lives);
  list.add("events", counts.events);
  list.add("timersFired", counts.timers);
  list.add("livesCoveredAhead", counts.lives_ahead);
  list.add("regionsCoveredAhead", counts.regions_ahead);
  list.add("writesCoveredAhead", counts.writes_ahead);
  list.add("writesAborted", counts.aborted);
  list.add("writesOfMasterAlone", counts.writes_alone);
  list.add("writesRefusedForMinInSync", counts.writes_refused);
  list.add("verifiesBegun", counts.verifies_begun);
  list.add("takes", counts.takes);
  list.add("takesOfRot", counts.takes_of_rot);
  list.add("takesRefused", counts.takes_refused);
  list.add("repairsBegun", counts.repairs_begun);
  list.add("repairsEnded", counts.repairs_ended);
  list.add("verifiesReported", counts.verifies);
  list.add("differencesReported", counts.differences);
  list.add("fractures", counts.fractures);
  list.add("pointsInTime", counts.points_in_time);
  list.add("slavesAway", counts.slaves_away);
  list.add("rejoins", counts.rejoins);
  list.add("resyncs", counts.resyncs);
  list.add("resyncedBytes", counts.resynced_bytes);
  list.add("eventsTold", counts.events_told);
  list.add("creates", counts.creates);
  list.add("createCrashStates", counts.create_crash_states);
  list.add("createsAgain", counts.creates_again);
  list.add("firstSeed", certificate.first_seed);
  list.add("seeds", certificate.seeds);
  list.add("seconds", number(certificate.seconds));
  list.add("processorSeconds", number(certificate.processor_seconds));
  list.add("exploringProcessorSeconds", number(certificate.exploring_processor_seconds));
  list.add("cases", json_of(counts.cases));
  list.add("faults", faults.end());
  list.add("transitions", json_of(counts.transitions));
  list.add("exhausted", json_of_small(certificate, true));
  list.add("begun", json_of_small(certificate, false));
  if (certificate.mutations_tried) list.add("mutations", json_of_mutations(certificate));
  list.add("failures", failures.end());
  return list.end() + "\n";
}

}  // namespace blockmirror::simulator
