// What an opening of the mirror is held to: the debt that it found, what the images hold at its end, and, where it was
// refused, that there was a reason, and that the refusal named it.
#include <algorithm>

#include "life.h"

namespace blockmirror::simulator {

namespace {

bool is_proven(const ImageRecord& image) { return image.state == ImageState::in_sync && image.bytes_differed == 0; }

constexpr ImageIndex kMaster = 0;

// The next opener must refuse a master that this errno is noted of: it answered other bytes than were written.
constexpr std::uint32_t kStoredWrongBytes = 74;

}  // namespace

bool Life::keeps_crash_debt() const { return ran_ && plan_.beside && !recovery_ended_ && !assessment_.damaged; }

std::vector<bool> Life::may_be_live() const {
  std::vector<bool> live = checker_.may_be_live();
  // A recovery that mends the master states what it writes there.
  for (std::size_t block = 0; !ran_ && block < live.size() && block < expectation_.may_be_live.size(); ++block) {
    if (expectation_.may_be_live[block]) live[block] = true;
  }
  for (const Extent& extent : assessment_.debt.extents()) {
    for (std::uint64_t block = extent.position / kBlock; keeps_crash_debt() && block * kBlock < extent.end(); ++block)
      live[block] = true;
  }
  return live;
}

std::uint64_t Life::owed_before() const {
  if (!ran_) return expectation_.owed_before;
  return keeps_crash_debt() ? assessment_.debt.bytes() : 0;
}

void Life::judge_debt() {
  judge_stored_debts();
  if (assessment_.damaged) {
    ++verdict_.counts.full_compares;
    if (!expectation_.damage_possible)
      verdict_.fail("false damage",
                    "the log is called damaged after an ordinary crash: " +
                        (assessment_.damage.empty() ? std::string("no reason") : assessment_.damage[0]));
    return;
  }
  if (expectation_.damage_expected)
    return verdict_.fail("silent damage", "a record that counts is gone, and the log is not called damaged");
  for (const Extent& extent : assessment_.debt.extents()) {
    for (std::uint64_t block = extent.position / kBlock; block * kBlock < extent.end(); ++block) {
      if (block < expectation_.may_be_live.size() && expectation_.may_be_live[block]) continue;
      verdict_.fail("over-copy", "block " + std::to_string(block) + " is to be copied, though it was retired");
      return;
    }
  }
  if (assessment_.debt.bytes() > world_.recovery_budget + expectation_.owed_before)
    verdict_.fail("budget", std::to_string(assessment_.debt.bytes()) + " bytes are to be copied, more than the budget");
}

// Every reason for which this opening may be refused, with the code that says so. What was planned and never struck is
// none, and neither is one damaged copy of a superblock or label whose other copy is whole.
std::vector<Refusal> Life::reasons() const {
  std::vector<Refusal> reasons = expectation_.refusals;
  const auto add = [&](Code code, ImageIndex image) { reasons.push_back({code, image}); };
  // No opening takes out a slave that minInSync asks for.
  unsigned stays = 1;
  bool leaves = false;
  for (unsigned i = 1; i <= world_.slaves && i < session_->superblock().images.size(); ++i) {
    if (!rights_of(session_->superblock().images[i].state).in_sync) continue;
    const bool lost = is_away(i) || (expectation_.lost_blocks >> (i + 1) & 1u) != 0;
    stays += lost ? 0 : 1;
    leaves |= lost;
  }
  if (leaves && stays < world_.minimum_in_sync) add(Code::TOO_FEW_IN_SYNC, kNoImage);
  const auto unreadable = [&](unsigned disk, std::uint64_t position, std::size_t length) {
    const bool struck = std::any_of(machine_.struck().begin(), machine_.struck().end(), [&](const Struck& fault) {
      return fault.disk == disk && fault.operation == Operation::read && fault.position == position;
    });
    std::vector<std::byte> copy(length);
    machine_.disks()[disk].content().read(position, copy);
    return struck || !block_is_whole(copy.data(), length);
  };
  const auto no_superblock = [&](std::uint64_t position) {
    std::vector<std::byte> copy(kStoredSuperblock);
    machine_.disks()[0].content().read(position, copy);
    return unreadable(0, position, copy.size()) || stored_update(copy.data()) == 0;
  };
  if (no_superblock(0) && no_superblock(65536) && (expectation_.copies_damaged || machine_.any_struck())) {
    for (Code code : {Code::LOG_DAMAGED, Code::READ_FAILED, Code::NOT_A_LOG}) add(code, kLogDevice);
  }
  for (unsigned i = 0; i <= world_.slaves; ++i) {
    const std::uint64_t label = geometry_.label_positions[i];
    if (!unreadable(i + 1, label, 4096) || !unreadable(i + 1, label + kLabelDistance, 4096)) continue;
    if (!expectation_.copies_damaged && !machine_.any_struck()) continue;
    for (Code code : {Code::LABEL_DAMAGED, Code::READ_FAILED, Code::NO_LABEL}) add(code, static_cast<ImageIndex>(i));
  }
  unsigned reads_of_master = 0;
  for (const Struck& fault : machine_.struck()) {
    const bool reads = fault.operation == Operation::read;
    const bool of_data = fault.position < geometry_.mirror_size && fault.operation != Operation::flush;
    if (fault.disk == 0 && !reads) add(Code::LOG_FAILED, kLogDevice);
    if (fault.disk == 1 && !reads) add(of_data ? Code::READ_FAILED : Code::MASTER_FAILED, kMaster);
    // One is mended from a slave, unless it was what reads a repair back.
    const bool not_mended = fault.disk == 1 && reads && of_data && (++reads_of_master > 1 || world_.spoils);
    if (not_mended) add(Code::READ_FAILED, kMaster);
  }
  if ((expectation_.lost_blocks >> 1 & 1u) != 0) add(Code::LOST_ALLOCATION, kMaster);
  if (machine_.lied() || lie_is_noted_) add(Code::MASTER_FAILED, kMaster);
  if (debt_is_lost()) add(Code::READ_FAILED, kMaster);
  return reasons;
}

void Life::judge_refusal(const Outcome& outcome) {
  const std::string what =
      "code " + std::to_string(static_cast<int>(outcome.code)) + ", image " + std::to_string(outcome.image);
  note("the opening is refused: " + what);
  if (expectation_.refusal_expected) ++verdict_.counts.refused;
  const std::vector<Refusal> reasons = this->reasons();
  if (std::find(reasons.begin(), reasons.end(), Refusal{outcome.code, outcome.image}) != reasons.end()) return;
  if (reasons.empty()) return verdict_.fail("opening", "the mirror does not open: " + what);
  std::string right;
  for (const Refusal& reason : reasons)
    right += " " + std::to_string(static_cast<int>(reason.code)) + "/" + std::to_string(reason.image);
  verdict_.fail("refusal", "the opening is refused by " + what + "; right would be (code/image)" + right);
}

// In the newer whole copy of the superblock. A checksum costs more than the rest of an opening: first whether any copy says so.
bool Life::lie_is_noted() const {
  std::vector<std::byte> copies[2] = {std::vector<std::byte>(kStoredSuperblock),
                                      std::vector<std::byte>(kStoredSuperblock)};
  const std::vector<std::byte>* newest = nullptr;
  for (unsigned i = 0; i < 2; ++i) machine_.disks()[0].content().read(i * 65536, copies[i]);
  const auto notes = [](const std::vector<std::byte>& copy) {
    return stored_error(copy.data(), 0) == kStoredWrongBytes;
  };
  if (!notes(copies[0]) && !notes(copies[1])) return false;
  for (const std::vector<std::byte>& copy : copies) {
    if (!superblock_is_whole(copy.data())) continue;
    if (newest == nullptr || stored_update(copy.data()) > stored_update(newest->data())) newest = &copy;
  }
  return newest != nullptr && notes(*newest);
}

void Life::judge_opening() {
  if (expectation_.refusal_expected) {
    verdict_.fail("I8", "an older copy was put back, and the mirror opened");
    return;
  }
  if (lie_is_noted_ || machine_.lied())
    verdict_.fail("I11", "the master answered other bytes than were written, and the mirror opened");
  judge_losses();
  judge_states();
  const SparseDisk master = content();
  const std::uint64_t sectors = geometry_.mirror_size / kSimulatedSector;
  bool alone = true;  // then nothing has to be equal to it
  const std::vector<ImageRecord>& images = session_->superblock().images;
  for (unsigned i = 0; i < images.size(); ++i)
    alone &= i == session_->superblock().master || !rights_of(images[i].state).in_sync;
  for (const SparseDisk::Spoilt& spoilt : machine_.disks()[1].content().spoilt()) {
    if (recovered_ && !alone && assessment_.debt.contains({spoilt.sector * kSimulatedSector, kSimulatedSector}))
      verdict_.fail("I11", "sector " + std::to_string(spoilt.sector) +
                               " of the master cannot be read, and the debt that holds it is paid");
  }
  std::vector<std::uint64_t> unexplained = model_.unexplained(master, expectation_.promise);
  std::erase_if(unexplained, [&](std::uint64_t sector) {
    return !master.is_readable(sector * kSimulatedSector, kSimulatedSector) || master.get(sector) == lie_of(sector);
  });
  if (!unexplained.empty())
    verdict_.fail("content", "sector " + std::to_string(unexplained[0]) +
                                 " of the master holds what no history of acknowledged writes explains");
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    const ImageState state = session_->superblock().images[i].state;
    if (state != ImageState::in_sync && state != ImageState::assumed) continue;
    std::vector<std::uint64_t> differing;
    const SparseDisk& slave = machine_.disks()[i + 1].content();
    master.differences(slave, sectors, differing);
    std::erase_if(differing, [&](std::uint64_t sector) {
      const std::uint64_t at = sector * kSimulatedSector;
      const bool copied = recovered_ && assessment_.debt.contains({at, kSimulatedSector});
      if (is_rotten(i, sector) && !copied) return true;
      return !slave.is_readable(at, kSimulatedSector) || !master.is_readable(at, kSimulatedSector);
    });
    if ((differing_ >> i & 1u) != 0 && session_->superblock().images[i].bytes_differed == 0)
      verdict_.fail("verify", "that slave " + std::to_string(i) + " differs was reported, and is forgotten");
    if (!differing.empty())
      verdict_.fail("I10", "slave " + std::to_string(i) +
                               " claims to be in sync, but differs from the master in sector " +
                               std::to_string(differing[0]));
  }
  model_.rebase(master);
}

// I11: in the life in which the master lied nobody believes it any more.
void Life::judge_copy_of_lie(unsigned disk, const DeviceRequest& request) {
  if (!machine_.lied() || disk < 2 || request.operation != Operation::write) return;
  for (std::uint64_t at = 0; at < request.length; at += kSimulatedSector) {
    if (!(SectorRef::of(request.memory + at) == lie_of((request.position + at) / kSimulatedSector))) continue;
    return verdict_.fail("I11", "what a master answers that lied is copied to image " + std::to_string(disk - 1));
  }
}

void Life::judge_losses() {
  for (unsigned i = 0; i <= world_.slaves; ++i) {
    if ((expectation_.lost_blocks >> (i + 1) & 1u) != 0 && (i == 0 || receives(i)))
      verdict_.fail("I11",
                    "the file of image " + std::to_string(i) + " had lost blocks, and the mirror opened with it");
  }
}

SparseDisk Life::content() const {
  SparseDisk content = machine_.disks()[1].content();
  const std::vector<SparseDisk::Spoilt> spoilt = content.spoilt();
  for (const SparseDisk::Spoilt& bad : spoilt) {
    for (unsigned i = 1; i <= world_.slaves; ++i) {
      const SparseDisk& slave = machine_.disks()[i + 1].content();
      if (!is_proven(session_->superblock().images[i]) ||
          !slave.is_readable(bad.sector * kSimulatedSector, kSimulatedSector))
        continue;
      content.heal(bad.sector);
      content.set(bad.sector, slave.get(bad.sector));
      break;
    }
  }
  return content;
}

// `crashed`: one that owes what a crash left counts too, as long as nobody is beside it that was away.
bool Life::somebody_serves(Extent extent, bool crashed) const {
  const std::vector<ImageRecord>& images = session_->superblock().images;
  const bool away = std::any_of(images.begin(), images.end(), [](const ImageRecord& image) {
    return image.state == ImageState::synchronizing && !is_after_crash(image);
  });
  const Extent block = extent.widened(kBlock).clipped(geometry_.mirror_size);
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    const bool after_crash = is_after_crash(images[i]) && images[i].resync.kind != ResyncKind::debt_of_assumed;
    const bool unserved = !session_->superblock().served_since_crash;
    const bool counts = crashed && unserved && !away && after_crash && images[i].bytes_differed == 0;
    const bool proven = (is_proven(images[i]) || counts) && !checker_.has_failed(i);
    const SparseDisk& slave = machine_.disks()[i + 1].content();
    if (proven && machine_.answers(i + 1) && slave.is_readable(block.position, block.length)) return true;
  }
  return false;
}

// Part of what this opening recovers: of the crash before it, or of one before that, which is in maps by now.
bool Life::is_recovered(Extent sector) const { return assessment_.debt.contains(sector) || owes_of_before_; }

// Of the debt there is something that the master cannot read, and nobody can give or it does not take.
bool Life::debt_is_lost() const {
  const auto read_failed = [&](const Extent& sector) {  // of a slave that was asked for it
    const Extent block = sector.widened(kBlock);
    return std::any_of(machine_.struck().begin(), machine_.struck().end(), [&](const Struck& fault) {
      const bool reads = fault.disk > 1 && fault.operation == Operation::read;
      return reads && fault.position >= block.position && fault.position < block.end();
    });
  };
  const std::vector<SparseDisk::Spoilt>& spoilt = machine_.disks()[1].content().spoilt();
  return std::any_of(spoilt.begin(), spoilt.end(), [&](const SparseDisk::Spoilt& bad) {
    const Extent sector{bad.sector * kSimulatedSector, kSimulatedSector};
    return is_recovered(sector) && (bad.for_good || !somebody_serves(sector, true) || read_failed(sector));
  });
}

void Life::judge_failed_read(Extent extent, const Outcome& outcome) {
  const bool breaks_reads = std::any_of(machine_.struck().begin(), machine_.struck().end(),
                                        [](const Struck& fault) { return fault.fault == Fault::read_error; });
  if (outcome.code != Code::READ_FAILED || breaks_reads || !somebody_serves(extent, false)) return;
  verdict_.fail("read", "a read fails that a slave in sync could have served");
}

}  // namespace blockmirror::simulator
