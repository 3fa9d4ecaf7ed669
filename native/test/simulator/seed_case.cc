// What a seed and its plan are called: the plan in words, the case as the text that names it, and back.
#include <cstdlib>

#include "runs.h"

namespace blockmirror::simulator {

std::string words_of(const PlannedFault& fault) {
  return std::string(kFaultWords[static_cast<std::size_t>(fault.fault)]) + " (disk " + std::to_string(fault.disk) +
         ", " + std::to_string(fault.ordinal) + ")";
}

std::vector<std::string> words_of(const SeedPlan& plan) {
  std::vector<std::string> lines;
  lines.push_back(std::to_string(plan.world.slaves) + " slaves, a mirror of " +
                  std::to_string(plan.world.mirror_size / kSimulatedSector) + " sectors, a ring of " +
                  std::to_string(plan.world.ring_records) + " records, a recovery budget of " +
                  std::to_string(plan.world.recovery_budget / 1024 / 1024) + " MiB, blocks of " +
                  std::to_string(plan.world.block_size) + ", records of " + std::to_string(plan.world.record_size) +
                  (plan.world.proven ? ", the slaves in sync" : ", the slaves assumed to be in sync") + ", minInSync " +
                  std::to_string(plan.world.minimum_in_sync));
  for (std::size_t i = 0; i < plan.lives.size(); ++i) {
    std::string line =
        "life " + std::to_string(i + 1) + ", up to " + std::to_string(plan.lives[i].concurrency) + " at once:";
    for (const Action& action : plan.lives[i].actions) line += " " + words_of(action) + ";";
    lines.push_back(line);
    for (const PlannedFault& fault : plan.lives[i].faults) lines.push_back("  fault: " + words_of(fault));
    for (const PlannedFault& fault : plan.ends[i].media) lines.push_back("  then: " + words_of(fault));
  }
  return lines;
}

std::string text_of(const SeedCase& seed_case) {
  std::string text = std::to_string(seed_case.seed);
  for (std::size_t i = 0; i < seed_case.without.size(); ++i)
    text += (i == 0 ? "-" : ".") + std::to_string(seed_case.without[i]);
  for (std::size_t i = 0; i < seed_case.ordinals.size(); ++i) {
    const auto& [fault, ordinal] = seed_case.ordinals[i];
    text += (i == 0 ? "@" : ".") + std::to_string(fault) + "=" + std::to_string(ordinal);
  }
  return text;
}

bool parse_case(const std::string& whole, SeedCase& into) {
  into = {};
  const auto number_of = [](const std::string& digits) {
    return static_cast<unsigned>(std::strtoul(digits.c_str(), nullptr, 10));
  };
  const std::size_t sign = whole.find('@');
  for (std::size_t at = sign; at < whole.size();) {
    const std::size_t next = whole.find('.', at + 1), equal = whole.find('=', at + 1);
    if (equal == std::string::npos) return false;
    into.ordinals.push_back(
        {number_of(whole.substr(at + 1, equal - at - 1)), number_of(whole.substr(equal + 1, next - equal - 1))});
    at = next;
  }
  const std::string text = whole.substr(0, sign);
  const std::size_t dash = text.find('-');
  const std::string seed = text.substr(0, dash);
  if (seed.empty() || seed.find_first_not_of("0123456789") != std::string::npos) return false;
  into.seed = std::strtoull(seed.c_str(), nullptr, 10);
  for (std::size_t at = dash; at != std::string::npos && at < text.size();) {
    const std::size_t next = text.find('.', at + 1);
    into.without.push_back(number_of(text.substr(at + 1, next - at - 1)));
    at = next;
  }
  return true;
}

}  // namespace blockmirror::simulator
