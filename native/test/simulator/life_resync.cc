// Slaves that come back in the life of a mirror, and what their debts and resyncs are held to.
#include <algorithm>
#include <string>
#include <vector>

#include "debt_decoder.h"
#include "life.h"

namespace blockmirror::simulator {

namespace {

bool is_out(const ImageRecord& image) { return !rights_of(image.state).receives; }

}  // namespace

// One or more at one barrier: each keeps what the master held at that moment.
Task<void> Life::fracture(const Action& action) {
  ImageSet slaves = 0;
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    if ((action.sector >> (i - 1) & 1u) != 0 && receives(i)) slaves |= image_bit(i);
  }
  if (slaves == 0) co_return;
  FractureResult result;
  const Outcome outcome = co_await session_->fracture(slaves, result);
  if (ended_) co_return;
  note(words_of(action) + (outcome.ok() ? " is done" : " fails"));
  // I10: whatever the answer, who is out is known to be.
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    if ((slaves & image_bit(i)) != 0 && !receives(i)) checker_.fractured(i);
  }
  if (!outcome.ok()) {
    if (outcome.code != Code::TOO_FEW_IN_SYNC && !machine_.any_struck())
      verdict_.fail("fracture", "nothing is wrong, and a fracture fails");
    co_return;
  }
  ++verdict_.counts.fractures;
  verdict_.counts.points_in_time += result.common ? 1 : 0;
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    if ((slaves & image_bit(i)) == 0) continue;
    if (receives(i)) verdict_.fail("fracture", "slave " + std::to_string(i) + " is fractured, and receives writes");
    if (result.common) judge_point_in_time(i);
  }
}

// Durable, and without any of what is written since.
void Life::judge_point_in_time(unsigned slave) {
  if (session_->superblock().images[slave].state != ImageState::behind)
    verdict_.fail("fracture", "a point in time is told, and slave " + std::to_string(slave) + " is not at one");
  const SparseDisk& master = machine_.disks()[1].content();
  const SparseDisk& disk = machine_.disks()[slave + 1].durable();
  std::vector<std::uint64_t> differing;
  master.differences(disk, geometry_.mirror_size / kSimulatedSector, differing);
  for (const std::uint64_t sector : differing) {
    const std::uint64_t at = sector * kSimulatedSector;
    if (!master.is_readable(at, kSimulatedSector) || !disk.is_readable(at, kSimulatedSector)) continue;
    if (is_rotten(slave, sector)) continue;
    return verdict_.fail("fracture", "slave " + std::to_string(slave) + " left at a point in time, and sector " +
                                         std::to_string(sector) + " of it differs from the master");
  }
}

// As who has the device at hand again asks for it. One whose file lost blocks is made anew, not taken back.
Task<void> Life::rejoin(bool full) {
  for (unsigned i = 1; i <= world_.slaves && !ended_; ++i) {
    const bool lost = (machine_.lost_blocks() >> (i + 1) & 1u) != 0;
    if (lost || is_away(i) || !is_out(session_->superblock().images[i])) continue;
    const bool lost_bytes =
        loses_bytes(session_->superblock().images[i].fracture.cause);  // no set of writes names them
    checker_.rejoins(i, full || lost_bytes || (differing_ >> i & 1u) != 0);
    set_differing(i, false);  // from here on it is the business of its resync
    const Outcome outcome = co_await session_->rejoin(i, full);
    if (ended_) co_return;
    note("slave " + std::to_string(i) + (outcome.ok() ? " rejoins" : " does not rejoin"));
    judge_rejoin(i, outcome);
  }
}

void Life::judge_rejoin(unsigned slave, const Outcome& outcome) {
  if (outcome.ok() && resyncs(slave)) {
    ++verdict_.counts.rejoins;
    checker_.returned(slave);
    return;
  }
  static constexpr Code kOfLabels[] = {Code::NO_LABEL,       Code::LABEL_DAMAGED,   Code::FOREIGN_IMAGE,
                                       Code::SWAPPED_IMAGES, Code::TRUNCATED_IMAGE, Code::BLOCK_TOO_LARGE};
  const bool refused = std::find(std::begin(kOfLabels), std::end(kOfLabels), outcome.code) != std::end(kOfLabels);
  if (!refused || machine_.any_struck() || !machine_.answers(slave + 1)) return;
  for (const std::uint64_t distance : {std::uint64_t{0}, kLabelDistance}) {
    std::vector<std::byte> label(4096);
    machine_.disks()[slave + 1].content().read(geometry_.label_positions[slave] + distance, label);
    if (block_is_whole(label.data(), label.size()))
      return verdict_.fail("rejoin", "slave " + std::to_string(slave) + " has a whole label, and is not taken back");
  }
}

bool Life::resyncs(unsigned slave) const {
  return session_->superblock().images[slave].state == ImageState::synchronizing;
}

Task<void> Life::resync(const Action& action) {
  ImageSet slaves = 0;
  for (unsigned i = 1; i <= world_.slaves; ++i) slaves |= image_bit(i);
  const std::uint64_t limit = action.sector == 0 ? kMostSteps : action.sector;
  for (std::uint64_t steps = 0; steps < limit && !ended_; ++steps) {
    // A slave that is copied or compared in full is known to be equal when it counts again.
    ImageSet whole = 0;
    for (unsigned i = 1; i <= world_.slaves; ++i) {
      const ResyncKind kind = session_->superblock().images[i].resync.kind;
      if (kind == ResyncKind::full_copy || kind == ResyncKind::full_compare) whole |= image_bit(i);
    }
    ResyncResult step;
    const Outcome outcome = co_await session_->resync({slaves, action.sectors * kSimulatedSector}, step);
    if (ended_ || !outcome.ok()) co_return;
    for (const unsigned i : indices_of(step.in_sync & whole)) set_differing(i, false);
    verdict_.counts.resynced_bytes += step.bytes_copied;
    for (unsigned i = 1; i <= world_.slaves; ++i) {
      if ((step.in_sync & image_bit(i)) != 0) judge_resynced(i);
    }
    if (step.bytes_left == 0) co_return;
    const bool moves = step.bytes_copied > 0 || step.in_sync != 0 || step.bytes_unreadable > 0;
    if (!moves && !machine_.any_struck())
      verdict_.fail("resync", std::to_string(step.bytes_left) + " bytes are owed, and a step copies none of them");
    if (step.bytes_copied == 0 && step.in_sync == 0) co_return;
  }
  if (limit == kMostSteps && !ended_) verdict_.fail("resync", "it does not end");
}

// I3, I10: what a write is changing just now is settled by that write.
void Life::judge_resynced(unsigned slave) {
  ++verdict_.counts.resyncs;
  const ImageRecord& image = session_->superblock().images[slave];
  if (!rights_of(image.state).in_sync || checker_.has_failed(slave)) return;
  judge_states();
  const SparseDisk& master = machine_.disks()[1].content();
  const SparseDisk& disk = machine_.disks()[slave + 1].content();
  std::vector<std::uint64_t> differing;
  master.differences(disk, geometry_.mirror_size / kSimulatedSector, differing);
  for (const std::uint64_t sector : differing) {
    const std::uint64_t at = sector * kSimulatedSector;
    const bool readable = master.is_readable(at, kSimulatedSector) && disk.is_readable(at, kSimulatedSector);
    if (!readable || is_rotten(slave, sector) || checker_.is_under_way(sector)) continue;
    return verdict_.fail("I10", "the resync of slave " + std::to_string(slave) + " ended, and sector " +
                                    std::to_string(sector) + " of it differs from the master");
  }
}

// I10: a slave in sync owes nothing, any other something, and status says what the log says.
void Life::judge_states() {
  const Snapshot snapshot = session_->snapshot();
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    const ImageRecord& image = session_->superblock().images[i];
    const std::string slave = "slave " + std::to_string(i);
    if (rights_of(image.state).in_sync != (image.debt == DebtKind::none) && !is_after_crash(image))
      verdict_.fail("I14", slave + (image.debt == DebtKind::none ? " is out, and no debt of it is kept"
                                                                 : " is in sync, and a debt of it is kept"));
    if (snapshot.states[i] != image.state) verdict_.fail("status", "the state of " + slave + " is told wrong");
  }
}

// I14: of what an opening finds. Wherever a slave that is out, or is being resynced, differs from the master, its debt or a
// live intent names it. A damaged ring names nothing; then it owes everything, which the resync after it has to show.
void Life::judge_stored_debts() {
  std::vector<std::byte> copies[2] = {std::vector<std::byte>(kStoredSuperblock),
                                      std::vector<std::byte>(kStoredSuperblock)};
  for (unsigned i = 0; i < 2; ++i) machine_.disks()[0].content().read(i * 65536, copies[i]);
  // After a crash a slave that is being resynced may have no debt of its own: the ring names it.
  const auto owes = [](const std::vector<std::byte>& copy, unsigned slave) {
    const bool recorded = copy[stored_entry(slave) + 19] != std::byte{0};
    return recorded || stored_state(copy.data(), slave) == StoredState::synchronizing;
  };
  bool any = false;
  for (unsigned i = 1; i <= world_.slaves; ++i) any |= owes(copies[0], i) || owes(copies[1], i);
  if (!any || assessment_.damaged) return;
  const std::vector<std::byte>* newest = nullptr;
  for (const std::vector<std::byte>& copy : copies) {
    if (!superblock_is_whole(copy.data())) continue;
    if (newest == nullptr || stored_update(copy.data()) > stored_update(newest->data())) newest = &copy;
  }
  if (newest == nullptr) return;
  const SparseDisk& master = machine_.disks()[1].content();
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    if (!owes(*newest, i) || (expectation_.restored >> i & 1u) != 0) continue;
    const StoredDebt debt = decode_debt(machine_.disks()[0].content(), newest->data(), i, assessment_.tail);
    std::vector<std::uint64_t> differing;
    const SparseDisk& slave = machine_.disks()[i + 1].content();
    master.differences(slave, geometry_.mirror_size / kSimulatedSector, differing);
    for (const std::uint64_t sector : differing) {
      const Extent extent{sector * kSimulatedSector, kSimulatedSector};
      if (debt.owes(extent.position) || assessment_.debt.contains(extent) || is_rotten(i, sector)) continue;
      if (!master.is_readable(extent.position, extent.length) || !slave.is_readable(extent.position, extent.length))
        continue;
      return verdict_.fail("I14", "slave " + std::to_string(i) + " differs from the master in sector " +
                                      std::to_string(sector) + ", which neither its debt nor a live intent names");
    }
  }
}

}  // namespace blockmirror::simulator
