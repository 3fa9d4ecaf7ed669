// What may be drawn into the plan of a seed (seeds.cc), by reason: each in some of the seeds only, by a generator of its own,
// so that what was added later leaves the other seeds their meaning.
//
// Whatever is put into a plan is an item: `is_kept` is asked once for each, in the same order whatever it answers, so that an
// item has the same number in every case that is made from its seed.
#pragma once

#include <functional>

#include "runs.h"

namespace blockmirror::simulator {

using IsKept = std::function<bool()>;

inline constexpr std::uint32_t kRegionSectors = 2048;  // requests are split at regions by whoever calls the core

// Some of what the first draw has to know of: how many slaves, how many lives.
struct Additions {
  bool returning_device = false;
  bool older_generation = false;  // three slaves of which two fail, then a copy of before
  bool of_log = false;
  explicit Additions(Random& random);
};
void draw_additions(Random& random, const Additions& additions, SeedPlan& plan, const IsKept& is_kept);

struct Streams {
  Random random;
  bool any;
  bool tight = false;  // the budget is nearly used up by others
  explicit Streams(std::uint64_t seed);
};
void widen_world(Streams& streams, World& world);
void draw_streams(Streams& streams, SeedPlan& plan, const IsKept& is_kept);

// draw_requests.cc
void draw_partial_writes(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept);
void draw_aborts(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept);
void draw_forgetful(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept);
void align_requests(SeedPlan& plan);

// draw_sectors.cc
void draw_unreadable(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept);
void draw_lies(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept);
void draw_failed_repairs(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept);

// draw_faults.cc
void draw_early_faults(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept);
void draw_losses(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept);
void draw_absurd_numbers(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept);
void draw_hangs(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept);

// draw_verifies.cc
void draw_verifies(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept);
void draw_rot_and_repair(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept);
void draw_verify_repairs(std::uint64_t seed, SeedPlan& plan);
void draw_takes(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept);

// draw_returns.cc
void draw_returns(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept);
void draw_alone(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept);
void draw_departures(std::uint64_t seed, SeedPlan& plan, const IsKept& is_kept);
void draw_recoveries_beside(std::uint64_t seed, SeedPlan& plan);

}  // namespace blockmirror::simulator
