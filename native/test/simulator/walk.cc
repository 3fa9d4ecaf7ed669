// A walk: one mirror, life after life, as the years of a real one. Seeds look at each crash of a few operations from all sides;
// a walk takes one way, and what is not quite right after one life has thousands more to show itself.
//
// The lives are those that seeds draw, of worlds with the same disks. Left out is what ends a mirror for good: a file that lost
// blocks, an update number that none follows, sectors of the master that nobody can read. Where an opening is refused with
// reason, the disks are put back as they were before whatever the reason was, as an operator would.
#include <algorithm>
#include <optional>

#include "debt_decoder.h"
#include "media.h"
#include "runs.h"

namespace blockmirror::simulator {
namespace {

constexpr unsigned kRefusedInARow = 64;
// Copies of disks that may be restored are of that many lives.
constexpr std::uint64_t kRememberedLives = 16;
constexpr unsigned kStatusEvery = 8;           // events
constexpr std::uint64_t kMostEvents = 20'000;  // of one life

// Where the walk stands between two lives.
struct Place {
  Disks disks;
  Model model;
  Expectation expectation;
};

bool ends_a_mirror(Fault fault) { return fault == Fault::lost_allocation || fault == Fault::absurd_update_number; }

template <typename Faults>
void leave_out(Faults& faults) {
  std::erase_if(faults, [](const PlannedFault& planned) { return ends_a_mirror(planned.fault); });
}

bool fits(const SeedPlan& plan, const World& world) {
  return !plan.streams && !plan.world.spoils && plan.world.slaves == world.slaves &&
         plan.world.mirror_size == world.mirror_size && plan.world.block_size == world.block_size;
}

// Of a mirror that opened, was closed, and has all its slaves: whatever was damaged before is written anew.
void forget_damage(const World& world, Place& place) {
  std::vector<std::byte> copy(kStoredSuperblock);
  place.disks[0].content().read(0, copy);
  bool all = stored_as_sealed(copy.data());
  for (unsigned i = 1; i <= world.slaves; ++i) {
    const bool in_sync = stored_state(copy.data(), i) == StoredState::in_sync;
    all = all && in_sync;
    if (in_sync) place.expectation.restored &= ~(1u << i);
  }
  if (!all) return;
  place.expectation.damage_possible = false;
  place.expectation.copies_damaged = false;
}

class Walk {
 public:
  Walk(std::uint64_t seed, const World& world, Verdict& verdict)
      : seed_(seed),
        world_(world),
        verdict_(verdict),
        created_(create(world)),
        random_(seed * 3 + 1),
        media_(created_.geometry),
        place_{created_.disks, Model(created_.disks[1].content(), world.mirror_size / kSimulatedSector), {}} {}

  // False: it was refused.
  bool live(const LifePlan& plan, const SeedPlan::End& end) {
    Place before = place_;
    LifePlan with_strikes = plan;
    const std::size_t trace = verdict_.trace.size();
    for (const PlannedFault& fault : struck_) {
      // Both copies of one label would need a create.
      const bool of_copies = fault.fault == Fault::damaged_superblock_copy || fault.fault == Fault::damaged_label_copy;
      if (of_copies && place_.expectation.copies_damaged) continue;
      media_->strike(fault, place_.disks, with_strikes, place_.expectation, verdict_);
      if (verdict_.tracing) verdict_.trace.push_back("before it: " + words_of(fault));
    }
    struck_.clear();
    RandomOrder order(seed_ * 7 + counts.lives);
    Life life(world_, created_.geometry, place_.disks, place_.model, with_strikes, place_.expectation, counts.lives + 1,
              order, verdict_);
    media_->next_life();
    std::uint64_t events = 0;
    while (events < end.after_events && !verdict_.failed && life.step()) {
      if (++events % kStatusEvery == 0 && life.running()) life.judge_states();
      if (events < kMostEvents) continue;
      // Its log or its master hangs for ever: somebody kills it. Anything else has to come to an end.
      if (life.machine().answers(0) && life.machine().answers(1)) verdict_.fail("walk", "a life does not end");
      break;
    }
    verdict_.trace.resize(trace);
    ++counts.lives;
    counts.operations += life.actions_begun();
    if (verdict_.failed) return true;
    if (life.refused()) {
      ++counts.refusals;
      place_ = std::move(before);
      return false;
    }
    ++(life.ended() ? counts.closes : counts.crashes);
    if (counts.lives % kRememberedLives == 0) media_.emplace(created_.geometry);
    media_->remember(place_.disks, life.ran());
    go_on_from(life, end.lost);
    return true;
  }

  // What happens to the disks before the next life.
  void strike(const std::vector<PlannedFault>& media) { struck_ = media; }

  // Nothing breaks any more: everything comes back, is compared and mended, and is equal in the end.
  void end() {
    LifePlan plan;
    plan.concurrency = 1;
    for (const Action::Kind kind : {Action::Kind::rejoin, Action::Kind::verify_repair, Action::Kind::flush})
      plan.actions.push_back({kind, 0, 64, 0});
    struck_.clear();
    if (!live(plan, {~0ull, 0, {}}) && !verdict_.failed) verdict_.fail("walk", "its mirror does not open in the end");
    std::vector<std::byte> copy(kStoredSuperblock);
    place_.disks[0].content().read(0, copy);
    for (unsigned i = 1; i <= world_.slaves && !verdict_.failed; ++i) {
      std::vector<std::uint64_t> differing;
      const std::uint64_t sectors = world_.mirror_size / kSimulatedSector;
      place_.disks[1].content().differences(place_.disks[i + 1].content(), sectors, differing);
      if (!differing.empty()) {
        verdict_.fail("walk", "slave " + std::to_string(i) +
                                  " is not equal in the end: " + std::to_string(differing.size()) + " sectors, " +
                                  std::to_string(differing[0]) + " the first");
      }
      const bool fine = stored_state(copy.data(), i) == StoredState::in_sync && stored_difference(copy.data(), i) == 0;
      if (!fine) verdict_.fail("walk", "slave " + std::to_string(i) + " is not in sync in the end");
    }
  }

  const World& world() const { return world_; }
  WalkCounts counts;

 private:
  void go_on_from(const Life& life, LostCaches lost) {
    const CrashPoint point(life.machine(), lost);
    place_.disks = point.build(point.drawn(random_));
    place_.model = life.model();
    place_.expectation = expectation_after(world_, life, lost);
    if (life.ended()) forget_damage(world_, place_);
  }

  const std::uint64_t seed_;
  const World world_;
  Verdict& verdict_;
  const Created created_;
  Random random_;
  std::optional<MediaFaults> media_;
  Place place_;
  std::vector<PlannedFault> struck_;
};

}  // namespace

WalkCounts run_walk(std::uint64_t seed, std::uint64_t operations, Verdict& verdict) {
  std::uint64_t next = seed;
  SeedPlan plan = draw_plan({next, {}});
  while (plan.streams || plan.world.spoils) plan = draw_plan({++next, {}});
  Walk walk(seed, plan.world, verdict);
  for (unsigned refused = 0; walk.counts.operations < operations && !verdict.failed;) {
    for (std::size_t i = 0; i < plan.lives.size() && !verdict.failed; ++i) {
      leave_out(plan.lives[i].faults);
      leave_out(plan.ends[i].media);
      for (Action& action : plan.lives[i].actions) {
        if (action.kind != Action::Kind::take) action.content += 1'000'000 * (walk.counts.lives + 1);
      }
      const bool opened = walk.live(plan.lives[i], plan.ends[i]);
      if (opened) walk.strike(plan.ends[i].media);
      refused = opened ? 0 : refused + 1;
      if (refused == kRefusedInARow) verdict.fail("walk", "its mirror does not open any more");
    }
    do plan = draw_plan({++next, {}});
    while (!fits(plan, walk.world()));
  }
  if (!verdict.failed) walk.end();
  return walk.counts;
}

}  // namespace blockmirror::simulator
