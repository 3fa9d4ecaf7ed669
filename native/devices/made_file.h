// Making a file that does not exist yet, for a mirror: held from its first moment, and without a name until it is whole.
//
// Invariants:
//  - Never opens, shortens or removes a file that was there before: a name that is taken is answered with EEXIST.
//  - I9: an flock (LOCK_EX) is held on it before anybody else can open it by a name. Where the file system knows no
//    nameless files it has its name, empty, a moment before the lock; whoever is quicker then has it, and we have not.
//  - Its folder is held from the moment when it is made: its name is given there, made durable there and removed there,
//    whatever the path of the folder leads to by then. What is removed is the very file that was made.
//  - It can be read and written by its owner alone (0600), whatever the umask.
//  - All its space is allocated before it has a length, so that a full disk refuses it at once, and a kill leaves
//    nothing, an empty file, or one of full length.
#pragma once

#include <cstdint>
#include <string>

#include "../core/base/outcome.h"
#include "open_file.h"

namespace blockmirror {

class MadeFile {
 public:
  MadeFile() = default;
  MadeFile(MadeFile&& other) noexcept { *this = std::move(other); }
  MadeFile& operator=(MadeFile&& other) noexcept;
  ~MadeFile();

  // Zeroes of that length, open in `file`. OPEN_FAILED (EEXIST: the name is taken; ENOSPC, EDQUOT, EFBIG: no room for
  // it), BUSY, NO_DIRECT_IO. After an error nothing of it is left.
  // resolved: as of OpenFileOptions, of the folder's path.
  static Outcome make(const std::string& path, std::uint64_t length, OpenFile& file, MadeFile& made,
                      bool resolved = false);

  // The same for a file that was there, empty, and has its length from us (OpenFile::lengthened).
  static Outcome keep(const OpenFile& lengthened, MadeFile& made);

  // Gives it its name, where it has none yet, and makes the name durable. OPEN_FAILED with EEXIST when the name was taken meanwhile.
  Outcome link();

  // Removed, or empty again, while its lock is held: for a create that failed. Whatever else has its name stays.
  void undo();

 private:
  Outcome make_here(const std::string& path, std::uint64_t length, OpenFile& file);
  void remove_own() const;

  int descriptor_ = -1;  // of the same opening as the OpenFile: it shares its lock
  int folder_ = -1;
  std::string name_;  // in that folder
  bool named_ = false;
  bool was_there_ = false;
};

}  // namespace blockmirror
