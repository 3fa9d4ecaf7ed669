// Opening: a file that is opened on a thread of its own, beside a mirror that runs. To open one may wait: for its lock, for
// a device that does not answer.
//
// Invariants:
//  - The engine thread never waits for it: it looks whether it is done.
//  - Whoever gives up on it leaves the thread and what it holds to itself: a file that is opened late closes at once.
#pragma once

#include <memory>
#include <string>

#include "../core/base/outcome.h"
#include "../devices/open_file.h"

namespace blockmirror {

class Opening {
 public:
  // NO_MEMORY: there is no thread to be had.
  Outcome begin(const std::string& path, const OpenFileOptions& options);
  bool done() const;
  // Once, when it is done. LOST_ALLOCATION: the file of a member lost blocks.
  Outcome take(OpenFile& into);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace blockmirror
