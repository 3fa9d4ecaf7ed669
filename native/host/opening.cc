#include "opening.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

namespace blockmirror {
namespace {

// With length_if_empty a file that is not there is made. Somebody else may make or remove it between our looks; one such
// change is followed, a second one reported.
Outcome open_or_make(const std::string& path, const OpenFileOptions& options, Opened& into) {
  Outcome outcome;
  for (unsigned attempt = 0; attempt < 2; ++attempt) {
    outcome = OpenFile::open(path, options, into.file);
    into.how = outcome.ok() && into.file.lengthened() ? Made::length : Made::no;
    if (into.how == Made::length) {
      outcome = MadeFile::keep(into.file, into.made);
      if (!outcome.ok()) into.file.shorten();
    }
    if (options.length_if_empty == 0 || outcome.code != Code::OPEN_FAILED || outcome.system_error != ENOENT) break;
    outcome = MadeFile::make(path, options.length_if_empty, into.file, into.made, options.resolved);
    into.how = outcome.ok() ? Made::file : Made::no;
    if (outcome.code != Code::OPEN_FAILED || outcome.system_error != EEXIST) break;
  }
  return outcome;
}

void look_up(const std::string& path, Place& into) {
  struct stat facts {};
  into.known = ::stat(path.c_str(), &facts) == 0;
  if (!into.known) return;
  into.block_device = S_ISBLK(facts.st_mode);
  into.device = into.block_device ? facts.st_rdev : facts.st_dev;
  into.inode = into.block_device ? 0 : facts.st_ino;
}

}  // namespace

Opened& Opened::operator=(Opened&& other) noexcept {
  made.undo();
  outcome = other.outcome;
  file = std::move(other.file);
  made = std::move(other.made);
  how = other.how;
  return *this;
}

Outcome Opening::begin(const std::string& path, const OpenFileOptions& options, Lost lost) {
  return ErrandFor::begin([path, options, lost](Opened& opened) {
    opened.outcome = open_or_make(path, options, opened);
    if (!opened.outcome.ok() || lost == Lost::accepted) return;
    const AllocationLoss loss = opened.file.allocation_loss();
    if (loss.lost) opened.outcome = Outcome::of(Code::LOST_ALLOCATION, kNoImage, 0, loss.position);
  });
}

Outcome Looking::begin(const std::string& path) {
  return ErrandFor::begin([path](Place& place) { look_up(path, place); });
}

}  // namespace blockmirror
