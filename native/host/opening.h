// Opening: a file that is opened, or made, beside the engine thread. To open one may wait: for its lock, for a device that
// does not answer. So may a look at where its path leads.
//
// Invariants: those of an errand (errand.h). What was made, and nobody took, is removed.
#pragma once

#include <sys/types.h>

#include <string>
#include <tuple>

#include "../core/base/outcome.h"
#include "../devices/made_file.h"
#include "../devices/open_file.h"
#include "commands.h"
#include "errand.h"

namespace blockmirror {

// Where a device lies, by whatever path.
struct Place {
  bool known = false;  // its path could be looked up
  bool block_device = false;
  dev_t device = 0;
  ino_t inode = 0;  // 0 for a block device
  bool same_as(const Place& other) const {
    return known && other.known &&
           std::tie(block_device, device, inode) == std::tie(other.block_device, other.device, other.inode);
  }
};

struct Opened {
  Opened() = default;
  Opened(Opened&& other) noexcept = default;
  Opened& operator=(Opened&& other) noexcept;
  ~Opened() { made.undo(); }

  Outcome outcome;
  OpenFile file;
  MadeFile made;
  Made how = Made::no;
};

// What is asked of the file beyond OpenFileOptions.
enum class Lost : std::uint8_t { accepted, refused };  // LOST_ALLOCATION: the file of a member lost blocks

class Opening : public ErrandFor<Opened> {
 public:
  Outcome begin(const std::string& path, const OpenFileOptions& options, Lost lost);
};

class Looking : public ErrandFor<Place> {
 public:
  Outcome begin(const std::string& path);
};

}  // namespace blockmirror
