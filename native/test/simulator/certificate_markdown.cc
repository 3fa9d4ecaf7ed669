// The certificate for people. certificate.cc says the same to programs.
#include <cstdio>

#include "certificate.h"

namespace blockmirror::simulator {
namespace {

// 1,234,567
std::string grouped(std::uint64_t value) {
  const std::string digits = std::to_string(value);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string seconds_of(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.0f s", value);
  return text;
}

std::string row(std::initializer_list<std::string> cells) {
  std::string line = "|";
  for (const std::string& cell : cells) line += " " + cell + " |";
  return line + "\n";
}

std::string counted(const std::string& name, std::uint64_t value) { return row({name, grouped(value)}); }

std::string verdict_of(const Certificate& certificate) {
  const std::string mutations = std::to_string(certificate.caught()) + " of " +
                                std::to_string(certificate.mutations.size()) + " deliberate faults of the engine";
  if (!certificate.good()) return "**Not good.** See Failures and Mutations.";
  if (!certificate.mutations_tried) return "**Good**: nothing was found. No mutation was tried.";
  return "**Good**: nothing was found, and " + mutations + " were caught.";
}

std::string summary_of(const Certificate& certificate) {
  const Counts& counts = certificate.counts;
  std::string text = "# Crash certificate of blockmirror " + certificate.version + "\n\n" + verdict_of(certificate) +
                     "\n\nThe engine of commit " + certificate.commit +
                     " ran over simulated disks, was cut off, and had to recover: " + grouped(counts.crash_states) +
                     " distinct states of the disks after a crash, in " + seconds_of(certificate.seconds) +
                     " on one core (" + seconds_of(certificate.exploring_processor_seconds) +
                     " of processor time without the mutations). What is simulated, what is not, and how to read this: "
                     "docs/TESTING.md.\n\n";
  text += row({"what", "how often"}) + "| --- | ---: |\n";
  text += counted("distinct crash states", counts.crash_states);
  text += counted("of them from a crash in a recovery", counts.recovery_crash_states);
  text += counted("recoveries", counts.recoveries);
  text += counted("recoveries beside requests, to their end", counts.recoveries_beside);
  text += counted("of them full compares, after damage to the log", counts.full_compares);
  text += counted("openings refused because an older copy was put back", counts.refused);
  text += counted("openings in all", counts.lives);
  text += counted("events (requests, completions, timers)", counts.events);
  text += counted("lives in which the log covered ahead of a sequential stream", counts.lives_ahead);
  text += counted("regions that it covered before a write asked for them", counts.regions_ahead);
  text += counted("of them written later in the same life", counts.writes_ahead);
  text += counted("writes called off before they reached an image", counts.aborted);
  text += counted("writes acknowledged by a master whose slaves were all out", counts.writes_alone);
  text += counted("writes refused because too few images were in sync", counts.writes_refused);
  text += counted("verifies begun beside requests", counts.verifies_begun);
  text += counted("times that what a slave holds was taken for the content of all", counts.takes);
  text += counted("sectors of it in which that slave differed", counts.takes_of_rot);
  text += counted("times that this was refused", counts.takes_refused);
  text += counted("slaves that a verify made owe what it found", counts.repairs_begun);
  text += counted("slaves taken back by the repair of a verify", counts.repairs_ended);
  text += counted("of them reported", counts.verifies);
  text += counted("slaves that they found different", counts.differences);
  text += counted("fractures that an operator asked for", counts.fractures);
  text += counted("of them at one point in time for all of their slaves", counts.points_in_time);
  text += counted("slaves that an opening went without", counts.slaves_away);
  text += counted("slaves that came back after a failure", counts.rejoins);
  text += counted("of them in sync again in the same life", counts.resyncs);
  text += counted("bytes copied to them", counts.resynced_bytes);
  text += counted("events written to a history", counts.events_told);
  text += counted("creates, cut off at every event or with a fault of every request", counts.creates);
  text += counted("distinct crash states of them", counts.create_crash_states);
  text += counted("creates over what one that was cut off has left", counts.creates_again);
  text += counted("short timers that fired beside requests under way", counts.timers);
  text += row({"seeds", grouped(certificate.seeds) + ", from " + std::to_string(certificate.first_seed)});
  return text;
}

std::string cases_of(const Cases& cases) {
  std::string text =
      "\n## The four cases of claim 1\n\nFor each write that a crash found uncertain, and each slave: which of the two "
      "disks had it?\n\n";
  text += row({"case", "how often"}) + "| --- | ---: |\n";
  text += counted("the slave had it, the master not: rolled back", cases.slave_ahead);
  text += counted("neither", cases.neither);
  text += counted("both", cases.both);
  text += counted("the master had it, the slave not: rolled forward", cases.master_ahead);
  text += counted("besides: one of them had a part of it", cases.torn);
  return text;
}

std::string faults_of(const Counts& counts) {
  std::string text = "\n## Faults\n\n" + row({"fault", "how often"}) + "| --- | ---: |\n";
  for (std::size_t i = 0; i < kFaults; ++i) text += counted(std::string(kFaultWords[i]), counts.faults[i]);
  return text;
}

std::string states_of(const Counts& counts) {
  std::string text =
      "\n## States of the images\n\nHow often each row of docs/STATES.md was taken, over all worlds.\n\n";
  text += row({"from", "what happens", "to", "how often"}) + "| --- | --- | --- | ---: |\n";
  std::string never;
  for (std::size_t i = 0; i < kTransitions.size(); ++i) {
    const Transition& taken = kTransitions[i];
    const std::uint64_t count = counts.transitions.of(i);
    text += row({name_of(taken.from), name_of(taken.event), name_of(taken.to), grouped(count)});
    if (count == 0) never += std::string(never.empty() ? "" : ", ") + name_of(taken.from) + " " + name_of(taken.event);
  }
  return text + "\nNever taken: " + (never.empty() ? "none" : never) + ".\n";
}

std::string small_of(const Certificate& certificate) {
  std::string exhausted, begun;
  for (const SmallResult& small : certificate.small) {
    const std::string cells =
        row({small.name, small.recoveries_cut, grouped(small.orders), grouped(small.crash_states)});
    (small.exhausted() ? exhausted : begun) += cells;
  }
  const std::string head =
      row({"configuration", "recoveries cut", "orders", "new crash states"}) + "| --- | --- | ---: | ---: |\n";
  std::string text =
      "\n## Exhausted\n\n"
      "Of these configurations everything was tried: every order in which the requests of the running mirror may "
      "complete; at every event, those of the opening and the closing included, a loss of power and a death of the "
      "process; at each of them every subset of the sectors that were in flight or unflushed; and from each state the "
      "recovery to its end. Where recoveries were cut, the same was done at every event of the recovery, and the "
      "recovery after that ran to its end. States that an earlier line had met are not counted again.\n\n";
  text += exhausted.empty() ? "None.\n" : head + exhausted;
  if (!begun.empty()) text += "\nBegun, and not exhausted when the time was up:\n\n" + head + begun;
  return text;
}

std::string mutations_of(const Certificate& certificate) {
  if (!certificate.mutations_tried) return "";
  std::string text = "\n## Mutations\n\nEach is one deliberate fault of the engine, tried alone; " +
                     std::to_string(certificate.caught()) + " of " + std::to_string(certificate.mutations.size()) +
                     " were caught. Again: `npm run certify -- --replay CASE --mutation NAME`.\n\n";
  text += row({"name", "fault", "caught by", "case", "what was seen"}) + "| --- | --- | --- | --- | --- |\n";
  for (const CaughtMutation& mutation : certificate.mutations) {
    text += row({mutation.name, mutation.words, mutation.caught ? mutation.oracle : "**not caught**",
                 mutation.test_case, mutation.reason});
  }
  return text;
}

std::string failures_of(const Certificate& certificate) {
  std::string text = "\n## Failures\n";
  if (certificate.failures.empty()) return text + "\nNone.\n";
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

std::string to_markdown(const Certificate& certificate) {
  return summary_of(certificate) + cases_of(certificate.counts.cases) + faults_of(certificate.counts) +
         states_of(certificate.counts) + small_of(certificate) + mutations_of(certificate) + failures_of(certificate);
}

}  // namespace blockmirror::simulator
