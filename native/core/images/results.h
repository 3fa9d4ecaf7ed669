// What long work on the images found and did: of a copy, of a comparison, of a repair.
//
// Every list in here is bounded; the counts beside it are exact.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "../base/device.h"
#include "../base/extent.h"
#include "../base/outcome.h"
#include "../format/superblock.h"

namespace blockmirror {

struct Difference {
  unsigned slave = 0;  // its index
  Extent extent;
  ImageSet agreeing = 0;        // other slaves that hold there the same as this one
  bool expected = false;        // inside what an unfinished recovery is going to copy
  ImageIndex alone = kNoImage;  // the one image that holds there what no other does, while all others agree
};

// Bytes of an image that could not be read were written anew from another one, and read back.
struct Repair {
  unsigned image = 0;
  unsigned from = 0;
  Extent extent;
};
inline constexpr std::size_t kRecentRepairs = 16;
inline constexpr std::size_t kReportedRepairs = 1000;  // of one step; all are counted
struct RecentRepairs {
  std::uint64_t count = 0;                     // since the session began; the newest is repairs[(count - 1) % size]
  std::array<Repair, kRecentRepairs> repairs;  // a ring
};

// Of an operator's fracture.
struct FractureResult {
  bool common = false;         // all slaves that were named hold the same point in time, and their labels say so
  std::uint64_t pause_ns = 0;  // how long writes were held
};

// Of a write whose content was taken from a slave: bytes in which the master differed before it, and those among them that
// the master could not read, which count whole.
struct SourceResult {
  std::uint64_t bytes_changed = 0;
  std::uint64_t bytes_unread = 0;
};

// How a portion is copied to the slaves.
struct CopyWay {
  bool compare = false;         // they are read first, and what differs is counted
  bool only_differing = false;  // and only those blocks are written
};

struct CopyResult {
  // By image, slaves alone; of those that were compared. What a slave could not read counts as different.
  std::vector<std::uint64_t> bytes_differed;
  std::vector<std::uint64_t> bytes_copied;
  std::vector<Repair> repairs;  // bounded
};

// What a comparison is asked for.
struct CompareOrder {
  bool all = false;     // slaves that receive no writes too, where their device is attached
  bool repair = false;  // what is found of slaves that receive is owed by them, durably, before the answer (I14)
};

struct CompareResult {
  // By image, slaves alone. A slave whose bytes_compared fall short was not compared there.
  std::vector<std::uint64_t> bytes_compared;
  std::vector<std::uint64_t> bytes_differed;
  std::vector<std::uint64_t> bytes_expected;  // of those that differ: inside what recovery is going to copy
  std::vector<std::uint64_t> bytes_shared;    // of those that differ: where another slave holds the same
  std::vector<std::uint64_t> bytes_owed;      // of those that differ: a repair has added them to the debt
  std::vector<Outcome> unread;                // READ_FAILED: the first read of that slave that failed
  std::vector<Difference> differences;        // bounded

  // What was found of that slave says nothing any more.
  void drop(unsigned slave) {
    for (auto* sums : {&bytes_compared, &bytes_differed, &bytes_expected, &bytes_shared, &bytes_owed}) {
      (*sums)[slave] = 0;
    }
    std::erase_if(differences, [slave](const Difference& difference) { return difference.slave == slave; });
  }
};
// Of a verify, whole or cut off: by image, slaves alone, what was compared, what of it differed outside of live intents, and how much of
// that was repaired. None of the last: nothing was.
struct VerifyResult {
  std::vector<std::uint64_t> bytes_compared;
  std::vector<std::uint64_t> bytes_differed;
  std::vector<std::uint64_t> bytes_repaired = {};

  std::uint64_t repaired(std::size_t slave) const { return bytes_repaired.empty() ? 0 : bytes_repaired[slave]; }
  std::uint64_t left(std::size_t slave) const { return bytes_differed[slave] - repaired(slave); }
};

}  // namespace blockmirror
