// What happens to disks while no process has them open: damage, and copies of other times put back.
#pragma once

#include <vector>

#include "life.h"

namespace blockmirror::simulator {

class MediaFaults {
 public:
  explicit MediaFaults(const Geometry& geometry) : geometry_(geometry) {}

  // The disks as they were before a life, and whether that life got as far as running.
  void remember(const Disks& disks, bool ran) { past_.push_back({disks, ran}); }
  // Called between the events of a life: keeps the disks as they were before each new generation of it.
  void watch_generation(const Disks& disks);
  void next_life() { generations_.clear(), before_.clear(); }
  // Does it, and says what must be expected of the next opening.
  void strike(const PlannedFault& fault, Disks& disks, LifePlan& next, Expectation& expectation,
              Verdict& verdict) const;

 private:
  struct Past {
    Disks disks;
    bool ran = false;
  };
  SectorRef damage(VolatileDisk& disk, std::uint64_t sector) const;
  bool make_absurd(Disks& disks, unsigned pick) const;
  bool make_stale(Disks& disks, unsigned pick, bool& still_counts) const;
  bool restore(Disks& disks, unsigned disk, unsigned pick) const;
  bool restore_slave(Disks& disks, unsigned disk, unsigned pick) const;
  bool restore_generation(Disks& disks, unsigned disk, unsigned pick) const;
  bool claims_in_sync(const Disks& disks, unsigned image) const;

  const Geometry& geometry_;
  std::vector<Past> past_;
  std::vector<Disks> generations_;  // of the life under way
  Disks before_;
};

}  // namespace blockmirror::simulator
