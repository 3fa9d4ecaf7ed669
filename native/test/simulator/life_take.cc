// What a slave holds is taken for the content of the mirror, as an operator asks for it, and what that is held to.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "life.h"

namespace blockmirror::simulator {

// Where the slave is rotten its garbage becomes what every image holds. Everywhere else it holds what the master does, and
// whoever takes something else has taken what was overwritten, or what the slave owes.
Task<void> Life::take(const Action& action) {
  const Extent extent = Extent{action.sector * kSimulatedSector, action.sectors * kSimulatedSector}
                            .widened(world_.block_size)
                            .clipped(world_.mirror_size);
  const std::uint64_t first = extent.position / kSimulatedSector;
  const unsigned slave = static_cast<unsigned>(std::min<std::uint64_t>(action.content, world_.slaves));
  std::vector<std::pair<std::uint64_t, std::uint32_t>> garbage;  // sectors, and the writes that stand for it
  for (const std::uint64_t sector : rotten_in(slave, extent)) {
    const SectorRef content = machine_.disks()[slave + 1].content().get(sector);
    garbage.push_back({sector, model_.write_asked(sector, {content})});
  }
  checker_.asked(extent);
  checker_.takes(slave, extent);
  SourceResult result;
  const Outcome outcome = co_await session_->write_from(slave, extent, result);
  checker_.taken(slave, extent);
  if (ended_) co_return;
  note(words_of(action) + (outcome.ok() ? " is acknowledged" : " fails"));
  if (!outcome.ok()) {
    const bool nothing_written = outcome.code == Code::UNUSABLE_SOURCE || outcome.code == Code::READ_FAILED;
    for (const auto& [sector, write] : garbage) {
      if (nothing_written) model_.write_aborted(write);
    }
    judge_refused_take(slave, outcome);
    co_return;
  }
  ++verdict_.counts.takes;
  std::vector<SectorRef> contents;
  for (std::uint64_t at = first; at * kSimulatedSector < extent.end(); ++at) {
    const SparseDisk& master = machine_.disks()[1].content();
    contents.push_back(master.get(at));
    const bool readable = master.is_readable(at * kSimulatedSector, kSimulatedSector);
    if (readable && !model_.may_hold(at, contents.back(), Promise::acknowledged))
      verdict_.fail("take", "sector " + std::to_string(at) + " was taken of slave " + std::to_string(slave) +
                                ", which held there what was overwritten, or never written");
  }
  for (const auto& [sector, write] : garbage) {
    const bool taken = contents[sector - first] == model_.writes()[write].contents[0];
    taken ? model_.write_acknowledged(write, true) : model_.write_aborted(write);
    verdict_.counts.takes_of_rot += taken ? 1 : 0;
  }
  checker_.acknowledged(extent, extent.position, contents, true);
  const std::uint32_t whole = model_.write_asked(first, std::move(contents));
  model_.write_acknowledged(whole, true);
}

void Life::judge_refused_take(unsigned slave, const Outcome& outcome) {
  if (outcome.code != Code::UNUSABLE_SOURCE) return;
  ++verdict_.counts.takes_refused;
  if (is_in_sync(slave) && !machine_.any_struck())
    verdict_.fail("take", "slave " + std::to_string(slave) + " is in sync, and gives nothing");
}

}  // namespace blockmirror::simulator
