// Walks through what may happen: every crash of a life, the recovery after it, every crash of that recovery, the recovery
// after that.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "crash_point.h"
#include "hash_set.h"
#include "life.h"

namespace blockmirror::simulator {

// How thoroughly the crashes at one moment are tried.
struct Effort {
  unsigned depth = 2;                  // recoveries in a row that are cut off, and the one that is not
  std::uint64_t states = 4096;         // of one crash of a life; beyond it a sample of that many is drawn
  std::uint64_t recovery_states = 64;  // of one crash of a recovery
  unsigned cut_one_in = 1;             // recoveries whose crashes are tried, by hash of the state they start from
  bool faults = false;                 // some recoveries meet a device that fails a write or a flush
  bool every_cache = false;            // besides all caches and none, each disk's alone
};

class Explorer {
 public:
  // `go_on` is asked before every state; once it says no nothing more is tried.
  using GoOn = std::function<bool()>;
  Explorer(const World& world, const Geometry& geometry, const Effort& effort, HashSet& states, HashSet& explored,
           Verdict& verdict, GoOn go_on = {})
      : world_(world),
        geometry_(geometry),
        effort_(effort),
        states_(states),
        explored_(explored),
        verdict_(verdict),
        go_on_(std::move(go_on)) {}

  // Every crash that may come now.
  void crash(const Life& life) { crash(life, effort_.depth); }
  // One drawn crash of that kind.
  void crash_once(const Life& life, LostCaches lost, Random& random);
  bool sampled() const { return sampled_; }  // some point had more states than the effort allows
  bool cut_off() const { return cut_off_; }  // `go_on` said no

 private:
  bool ends() const { return verdict_.failed || cut_off_; }
  void crash(const Life& life, unsigned depth);
  void crash_point(const Life& life, LostCaches lost, unsigned depth);
  struct Promises {
    Expectation expectation;
    std::uint64_t hash;
  };
  Promises promises_after(const Life& life, LostCaches lost) const;
  void try_state(const Life& life, const CrashPoint& point, const CrashPoint::Choice& choice, const Promises& promises,
                 LostCaches lost, unsigned depth);
  void recover(const Life& before, Disks disks, const Expectation& expectation, std::uint64_t state, unsigned depth);
  PlannedFault fault_of_recovery(std::uint64_t pick) const;
  void count_cases(const Model& model, const Disks& disks);
  void note(const CrashPoint& point, const CrashPoint::Choice& choice, LostCaches lost);

  const World& world_;
  const Geometry& geometry_;
  Effort effort_;
  HashSet& states_;
  HashSet& explored_;
  Verdict& verdict_;
  GoOn go_on_;
  bool sampled_ = false;
  bool cut_off_ = false;
};

LostCaches all_caches(const World& world);

}  // namespace blockmirror::simulator
