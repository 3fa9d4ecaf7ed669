// The small worlds that the simulator tries, and what happens in them: images of a few blocks that are written, a ring of
// few records so that it wraps, everything else as in production.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "machine.h"
#include "order_checker.h"

namespace blockmirror::simulator {

struct World {
  unsigned slaves = 1;
  std::uint64_t mirror_size = 64 * 1024;  // bytes
  std::uint32_t ring_records = 8;
  std::uint64_t recovery_budget = 1024 * 1024;  // bytes
  unsigned minimum_in_sync = 1;                 // images, the master counted
  bool proven = false;                          // the slaves are in sync, not only assumed to be
  std::uint32_t block_size = 512;               // bytes; of the images
  std::uint32_t record_size = 4096;             // bytes; the log's physical block
  bool spoils = false;                          // the master has sectors that cannot be read, in some life
  bool history = false;                         // the mirror keeps its history
  std::uint64_t events_before = 0;              // that stand in it already
  bool new_owners = false;  // each opening is of another process, so that a torn superblock is torn in any opening
  Shape shape() const { return {block_size, record_size}; }
  friend bool operator==(const World&, const World&) = default;
};

// One thing that the user of the mirror does.
struct Action {
  // A partial write is given to the engine as whole blocks of 4 KiB of which it names only these sectors.
  // An abort calls off every write that is under way.
  enum class Kind : std::uint8_t {
    write,
    durable_write,
    discard,
    flush,
    read,
    retire,
    quiet,
    partial_write,
    verify,
    verify_repair,  // and what differs is owed, and resynced
    abort,
    rejoin,       // every slave that is out, and then resync
    rejoin_full,  // and as one that owes everything
    fracture,     // the slaves whose bits `sector` has (bit 0: the first), as their operator asks for it
    take,         // what slave `content` (1: the first) holds there becomes the content of all images
    resync        // `sector` steps of at most `sectors` each; 0: until nothing is left
  };
  Kind kind = Kind::write;
  std::uint32_t sector = 0;
  std::uint32_t sectors = 1;
  std::uint64_t content = 0;  // what is written is a function of it and the sector
};
std::string words_of(const Action& action);
std::vector<SectorRef> contents_of(const Action& action);

struct SpoiltSector {
  unsigned disk = 1;
  std::uint64_t sector = 0;
  bool for_good = false;
  bool lies = false;  // takes what a repair writes, and answers other bytes from then on
};

// From opening to closing, or to the crash.
struct LifePlan {
  std::vector<Action> actions;
  unsigned concurrency = 2;
  bool close = true;
  bool eager = false;      // asks for the next thing as soon as `concurrency` allows
  bool hasty = false;      // may close as soon as it has asked for everything, whatever is still under way
  bool read_back = false;  // recovery reads back what it copied
  bool impatient = false;  // asks of recovery what has to wait until its debt is paid, and recovers in small steps
  bool beside = false;     // recovers beside its requests
  std::uint32_t away = 0;  // slaves whose devices are not there, by image
  static constexpr unsigned kNoDisk = ~0u;
  unsigned slow_disk = kNoDisk;         // mostly answers after the others
  std::uint64_t device_timeout_ns = 0;  // of a request; 0: none
  std::vector<PlannedFault> faults;
  std::vector<SpoiltSector> spoilt;  // from its start on
};

// A freshly created mirror, closed cleanly, made by the real formatter.
struct Created {
  Disks disks;
  Geometry geometry;
};
Created create(const World& world);
// The disks that it is made on: zeroes, as large as they have to be.
Disks blank_disks(const World& world);

}  // namespace blockmirror::simulator
