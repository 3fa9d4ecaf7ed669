// A moment at which a life may be cut off, and all that the disks may hold afterwards: every subset of the sectors that
// were in flight or unflushed, torn at sector size, in any order.
//
// Sectors whose possible contents are all equal are no choice; what is left is a mixed-radix number, one digit a sector.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "life.h"

namespace blockmirror::simulator {

// Which disks lose their cache; none: the process alone dies. Bit 0 is the log.
using LostCaches = std::uint32_t;

// The master's cache is lost, or that of a slave from which a recovery may have to take what the master cannot read.
inline bool spares_only_durable(const World& world, LostCaches lost) {
  return (lost >> 1 & 1u) != 0 || (lost != 0 && world.spoils);
}

class CrashPoint {
 public:
  CrashPoint(const Machine& machine, LostCaches lost);

  using Choice = std::vector<std::uint8_t>;  // by digit; 0: nothing landed
  // Number of states, at most `limit` + 1.
  std::uint64_t states(std::uint64_t limit) const;
  Choice nothing() const { return Choice(digits_.size(), 0); }
  Choice everything() const;
  Choice drawn(Random& random) const;
  bool advance(Choice& choice) const;  // to the next; false after the last

  std::uint64_t hash(const Choice& choice) const;
  Disks build(const Choice& choice) const;
  // Of the point itself: equal points have equal states.
  std::uint64_t signature() const { return signature_; }
  bool tears(const Choice& choice) const;  // some of what was in flight landed, and some not
  bool lands(const Choice& choice) const;
  std::string words(const Choice& choice, const std::string& crash) const;
  std::size_t digits() const { return digits_.size(); }

 private:
  struct Digit {
    unsigned disk = 0;
    std::uint64_t sector = 0;
    std::vector<SectorRef> options;  // [0] is what stays when nothing lands
    std::vector<std::uint64_t> contributions;
    bool in_flight = false;
  };
  void add_option(unsigned disk, std::uint64_t sector, const SectorRef& content, bool in_flight);
  bool loses(unsigned disk) const { return (lost_ >> disk & 1u) != 0; }

  const Machine& machine_;
  LostCaches lost_;
  std::vector<Digit> digits_;
  std::vector<std::uint64_t> base_hashes_;
  std::uint64_t signature_ = 0;
};

}  // namespace blockmirror::simulator
