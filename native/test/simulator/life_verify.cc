// A verify in the life of a mirror, with the steps of lib/life/verification.ts, and what it is held to.
#include <algorithm>
#include <utility>
#include <vector>

#include "life.h"

namespace blockmirror::simulator {

namespace {

constexpr std::uint64_t kStepLength = 128 * 1024;  // one piece each, so that a slave can fail between two of them

}  // namespace

bool Life::receives(unsigned slave) const {
  const ImageState state = session_->superblock().images[slave].state;
  return rights_of(state).receives;
}

bool Life::is_in_sync(unsigned slave) const { return rights_of(session_->superblock().images[slave].state).in_sync; }

bool Life::is_rotten(unsigned slave, std::uint64_t sector) const {
  const SparseDisk& content = machine_.disks()[slave + 1].content();
  return std::any_of(expectation_.rotten.begin(), expectation_.rotten.end(), [&](const RottenSector& rotten) {
    if (rotten.disk != slave + 1 || rotten.sector != sector || !(content.get(sector) == rotten.garbage)) return false;
    // Unless it was taken for the content of all images.
    return !(machine_.disks()[1].content().get(sector) == rotten.garbage);
  });
}

std::uint32_t Life::rotten_slaves() const {
  std::uint32_t slaves = 0;
  for (const RottenSector& rotten : expectation_.rotten) {
    if (is_rotten(rotten.disk - 1, rotten.sector)) slaves |= 1u << (rotten.disk - 1);
  }
  return slaves;
}

void Life::set_differing(unsigned slave, bool differs) {
  differing_ = (differing_ & ~(1u << slave)) | (differs ? 1u << slave : 0u);
  checker_.differs(slave, differs);
}

Task<void> Life::verify(bool repair) {
  const std::uint32_t rotten_before = rotten_slaves();
  ++verdict_.counts.verifies_begun;
  VerifyResult found;
  for (auto* sums : {&found.bytes_compared, &found.bytes_differed, &found.bytes_repaired})
    sums->assign(world_.slaves + 1, 0);
  Outcome outcome = co_await compare_all(repair, found);
  if (outcome.ok() && repair) co_await pay_found(found);
  if (outcome.ok() && !ended_) outcome = co_await remember(found);
  note(std::string("verify ") + (outcome.ok() ? "reports" : "fails"));
  if (outcome.ok() && !ended_) judge_report(found, rotten_before);
}

// What differs is remembered from the first find on; of a repair it is owed by then.
Task<Outcome> Life::compare_all(bool repair, VerifyResult& found) {
  bool remembered = false;
  Outcome outcome;
  for (std::uint64_t at = 0; at < geometry_.mirror_size && outcome.ok(); at += kStepLength) {
    const Extent piece = Extent{at, kStepLength}.clipped(geometry_.mirror_size);
    checker_.compares(piece);
    for (unsigned i = 1; repair && i <= world_.slaves; ++i) {
      for (const std::uint64_t sector : rotten_in(i, piece)) checker_.may_repair(i, sector);
    }
    CompareResult step;
    std::vector<Extent> extents(1, piece);
    outcome = co_await session_->compare(std::move(extents), {.all = false, .repair = repair}, step);
    checker_.compares({});
    if (!outcome.ok()) break;
    if (!ended_) judge_comparison(piece, step);
    if (repair && !ended_) judge_owed(piece, step);
    std::uint64_t left = 0;
    for (unsigned i = 1; i <= world_.slaves; ++i) {
      found.bytes_compared[i] += step.bytes_compared[i];
      found.bytes_differed[i] += step.bytes_differed[i];
      found.bytes_repaired[i] += step.bytes_owed[i];
      left += found.left(i);
      if (step.bytes_owed[i] > 0) ++verdict_.counts.repairs_begun;
    }
    if (remembered || left == 0) continue;
    remembered = true;
    outcome = co_await remember(found);
  }
  if (!outcome.ok() && remembered) (void)co_await session_->record_verify(found);
  co_return outcome;
}

// As lib/ pays it: the resync of all others.
Task<void> Life::pay_found(VerifyResult& found) {
  const std::uint64_t before = verdict_.counts.resyncs;
  if (std::any_of(found.bytes_repaired.begin(), found.bytes_repaired.end(), [](auto bytes) { return bytes > 0; }))
    co_await resync({Action::Kind::resync, 0, 64, 0});
  verdict_.counts.repairs_ended += verdict_.counts.resyncs - before;
}

std::vector<std::uint64_t> Life::rotten_in(unsigned slave, Extent piece) const {
  std::vector<std::uint64_t> sectors;
  for (const RottenSector& rotten : expectation_.rotten) {
    const bool inside = piece.contains({rotten.sector * kSimulatedSector, kSimulatedSector});
    if (rotten.disk == slave + 1 && inside && is_rotten(slave, rotten.sector)) sectors.push_back(rotten.sector);
  }
  return sectors;
}

// I14: what a repair found is owed durably by the time that it is told, and a slave that owes it is not in sync.
void Life::judge_owed(Extent piece, const CompareResult& step) {
  std::vector<std::byte> copy(kStoredSuperblock);
  machine_.disks()[0].durable().read(0, copy);
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    const std::vector<std::uint64_t> rotten = rotten_in(i, piece);
    const bool whole = step.bytes_compared[i] == piece.length && receives(i);
    if (rotten.empty() || !whole || step.bytes_differed[i] == 0) continue;
    const std::string slave = "slave " + std::to_string(i);
    if (step.bytes_owed[i] + step.bytes_expected[i] < step.bytes_differed[i])
      return verdict_.fail("I14", slave + " differs, and a verify that repairs has not made it owe that");
    if (step.bytes_owed[i] == 0) continue;
    if (stored_state(copy.data(), i) == StoredState::in_sync)
      return verdict_.fail("I10", slave + " owes what a verify found, and the log says that it is in sync");
  }
}

Task<Outcome> Life::remember(const VerifyResult& found) {
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    const bool whole = found.bytes_compared[i] == geometry_.mirror_size;
    if (whole && found.left(i) == 0) set_differing(i, false);
  }
  ImageSet in_sync = 0;  // what is found of others is the business of their resync
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    if (is_in_sync(i)) in_sync |= image_bit(i);
  }
  const Outcome outcome = co_await session_->record_verify(found);
  for (unsigned i = 1; i <= world_.slaves && outcome.ok() && !ended_; ++i) {
    if ((in_sync & image_bit(i)) != 0 && is_in_sync(i) && found.left(i) > 0) set_differing(i, true);
  }
  co_return outcome;
}

// Called in the turn in which the step's one piece was counted.
void Life::judge_comparison(Extent piece, const CompareResult& step) {
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    const std::string slave = "slave " + std::to_string(i);
    const std::uint64_t compared = step.bytes_compared[i];
    if (!receives(i) && compared > 0) verdict_.fail("verify", slave + " failed meanwhile, and counts as compared");
    // One that came back meanwhile was not among those that the step began with.
    const bool asked = is_in_sync(i) && !checker_.came_back(i);
    if (asked && step.unread[i].ok() && compared != piece.length)
      verdict_.fail("verify", slave + " could be read, and does not count as compared");
  }
}

// What every byte was compared of is remembered to differ, in both copies, if it differed all the time; not, if never.
void Life::judge_report(const VerifyResult& found, std::uint32_t rotten_before) {
  ++verdict_.counts.verifies;
  const std::uint32_t rotten_now = rotten_slaves();
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    if (!is_in_sync(i) || checker_.came_back(i) || found.bytes_compared[i] != geometry_.mirror_size) continue;
    const std::string slave = "slave " + std::to_string(i);
    for (std::uint64_t position : {std::uint64_t{0}, std::uint64_t{65536}}) {
      std::vector<std::byte> copy(kStoredSuperblock);
      machine_.disks()[0].durable().read(position, copy);
      const bool differs = stored_difference(copy.data(), i) > 0;
      if (!differs && (rotten_now >> i & 1u) != 0)
        verdict_.fail("verify", slave + " differs from the master, and a whole verify does not remember it");
      if (differs && (rotten_before >> i & 1u) == 0)
        verdict_.fail("verify", slave + " never differed from the master, and a whole verify remembers that it does");
    }
    if ((rotten_now >> i & 1u) != 0) ++verdict_.counts.differences;
  }
}

}  // namespace blockmirror::simulator
