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
    return rotten.disk == slave + 1 && rotten.sector == sector && content.get(sector) == rotten.garbage;
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

Task<void> Life::verify() {
  const std::uint32_t rotten_before = rotten_slaves();
  ++verdict_.counts.verifies_begun;
  VerifyResult found;
  found.bytes_compared.assign(world_.slaves, 0);
  found.bytes_differed.assign(world_.slaves, 0);
  Outcome outcome = co_await compare_all(found);
  if (outcome.ok()) outcome = co_await remember(found);
  note(std::string("verify ") + (outcome.ok() ? "reports" : "fails"));
  if (outcome.ok() && !ended_) judge_report(found, rotten_before);
}

// What differs is remembered from the first find on.
Task<Outcome> Life::compare_all(VerifyResult& found) {
  bool remembered = false;
  Outcome outcome;
  for (std::uint64_t at = 0; at < geometry_.mirror_size && outcome.ok(); at += kStepLength) {
    const Extent piece = Extent{at, kStepLength}.clipped(geometry_.mirror_size);
    checker_.compares(piece);
    CompareResult step;
    std::vector<Extent> extents(1, piece);
    outcome = co_await session_->compare(std::move(extents), {}, step);
    checker_.compares({});
    if (!outcome.ok()) break;
    if (!ended_) judge_comparison(piece, step);
    std::uint64_t differed = 0;
    for (unsigned i = 0; i < world_.slaves; ++i) {
      found.bytes_compared[i] += step.bytes_compared[i];
      differed += found.bytes_differed[i] += step.bytes_differed[i];
    }
    if (remembered || differed == 0) continue;
    remembered = true;
    outcome = co_await remember(found);
  }
  if (!outcome.ok() && remembered) (void)co_await session_->record_verify(found);
  co_return outcome;
}

Task<Outcome> Life::remember(const VerifyResult& found) {
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    const bool whole = found.bytes_compared[i - 1] == geometry_.mirror_size;
    if (whole && found.bytes_differed[i - 1] == 0) set_differing(i, false);
  }
  ImageSet in_sync = 0;  // what is found of others is the business of their resync
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    if (is_in_sync(i)) in_sync |= image_bit(i);
  }
  const Outcome outcome = co_await session_->record_verify(found);
  for (unsigned i = 1; i <= world_.slaves && outcome.ok() && !ended_; ++i) {
    if ((in_sync & image_bit(i)) != 0 && is_in_sync(i) && found.bytes_differed[i - 1] > 0) set_differing(i, true);
  }
  co_return outcome;
}

// Called in the turn in which the step's one piece was counted.
void Life::judge_comparison(Extent piece, const CompareResult& step) {
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    const std::string slave = "slave " + std::to_string(i);
    const std::uint64_t compared = step.bytes_compared[i - 1];
    if (!receives(i) && compared > 0) verdict_.fail("verify", slave + " failed meanwhile, and counts as compared");
    // One that came back meanwhile was not among those that the step began with.
    const bool asked = is_in_sync(i) && !checker_.came_back(i);
    if (asked && step.unread[i - 1].ok() && compared != piece.length)
      verdict_.fail("verify", slave + " could be read, and does not count as compared");
  }
}

// What every byte was compared of is remembered to differ, in both copies, if it differed all the time; not, if never.
void Life::judge_report(const VerifyResult& found, std::uint32_t rotten_before) {
  ++verdict_.counts.verifies;
  const std::uint32_t rotten_now = rotten_slaves();
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    if (!is_in_sync(i) || checker_.came_back(i) || found.bytes_compared[i - 1] != geometry_.mirror_size) continue;
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
