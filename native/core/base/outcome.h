// Outcomes as values.
//
// The core is built without exceptions: every operation returns an Outcome that says what went wrong,
// on which image, where, and with which errno. The TypeScript side turns it into one error class; the
// number of a Code never leaves the process, its name is the stable contract (docs/ERRORS.md).
#pragma once

#include <cstdint>

namespace blockmirror {

// X(name): the JavaScript code is ERR_BLOCKMIRROR_<name>. Append only; order is the number that crosses
// into JavaScript, and lib/base/errors.ts asks the addon for the names instead of repeating the order.
#define BLOCKMIRROR_CODES(X)                                                                                  \
  X(MISALIGNED)        /* position, length or memory not a multiple of what the devices need */               \
  X(OUT_OF_RANGE)      /* reaches past the end of the mirror */                                               \
  X(CLOSED)            /* the mirror is closed or closing */                                                  \
  X(QUEUE_FULL)        /* too many requests pending; nothing was logged or written */                         \
  X(NOT_RECOVERED)     /* opened unclean with recovery: 'manual'; I/O waits for recover() */                  \
  X(MASTER_FAILED)     /* a write or flush of the master failed; the mirror stopped */                        \
  X(TOO_FEW_IN_SYNC)   /* fewer images are in sync than minInSync asks for; writes are rejected */            \
  X(LOG_FAILED)        /* the log cannot be written; no write is acknowledged any more (I12) */               \
  X(READ_FAILED)       /* an image or the log cannot be read */                                               \
  X(WRITE_FAILED)      /* a write outside the mirror's write path failed (format, label, recovery) */         \
  X(OPEN_FAILED)       /* open(2) or a query of a device failed */                                            \
  X(BUSY)              /* somebody else holds the log or an image (I9) */                                     \
  X(NO_DIRECT_IO)      /* the file system or device does not take O_DIRECT */                                 \
  X(READ_ONLY_DEVICE)  /* the device or file cannot be written */                                             \
  X(HOLE)              /* the file is not allocated in full */                                                \
  X(TOO_SMALL)         /* a device is smaller than the mirror or the log needs */                             \
  X(NOT_A_LOG)         /* no superblock: not a blockmirror log */                                             \
  X(LOG_DAMAGED)       /* it was a log, but no copy of its superblock is whole */                             \
  X(UNKNOWN_VERSION)   /* written by a format version that this program does not know */                      \
  X(UNKNOWN_FEATURE)   /* needs an incompatible feature that this program does not know */                    \
  X(CREATE_UNFINISHED) /* create was interrupted; there is no mirror yet */                                   \
  X(NO_LABEL)          /* the image carries no label of ours */                                               \
  X(LABEL_DAMAGED)     /* both copies of the image's label are damaged */                                     \
  X(FOREIGN_IMAGE)     /* the label is of another mirror, or of another formatting of this log */             \
  X(SWAPPED_IMAGES)    /* an image of this mirror, but not the one that was named */                          \
  X(STALE_IMAGE)       /* the image was restored from an older copy, or missed an opening (I8) */             \
  X(STALE_LOG)         /* the log was restored from an older copy (I8) */                                     \
  X(DIVERGED)          /* log and image both moved on since they parted (I8) */                               \
  X(TRUNCATED_IMAGE)   /* the device is smaller than it was when the mirror was made */                       \
  X(WRONG_PHASE)       /* a step was asked for in the wrong order; a bug in the caller */                     \
  X(UNSUPPORTED)       /* the device kind asked for is not available here */                                  \
  X(NO_MEMORY)         /* memory or descriptors ran out */                                                    \
  X(ABORTED)           /* cancelled before it reached any image */                                            \
  X(INTERNAL)          /* an assertion about our own state failed; nothing more is written */                 \
  X(SAME_DEVICE)       /* the same file or device was named twice, as log or image */                         \
  X(BLOCK_TOO_LARGE)   /* a device's blocks are larger than the format holds; position: how large */          \
  X(USE_UNKNOWN)       /* whether something else uses it cannot be found out here (I9); the errno says why */ \
  X(LOST_ALLOCATION)   /* the file of an image lost blocks that it had; position: the first of them */        \
  X(SLAVE_FAILED)      /* a slave failed while the mirror was being made */                                   \
  X(STALLED)           /* an image still owes an answer past its deadline; nothing was asked of it */         \
  X(GROWN_IMAGE)       /* the file is longer than the image was, so that its label is in its middle */        \
  X(UNUSABLE_SOURCE)   /* the slave whose content was to be taken receives no writes, or owes the extent */

enum class Code : std::uint16_t {
  ok = 0,
#define X(name) name,
  BLOCKMIRROR_CODES(X)
#undef X
};

// Which device an Outcome speaks of: 0 is the master, 1.. the slaves.
using ImageIndex = std::int16_t;
inline constexpr ImageIndex kNoImage = -1;
inline constexpr ImageIndex kLogDevice = -2;

struct [[nodiscard]] Outcome {
  Code code = Code::ok;
  ImageIndex image = kNoImage;
  int system_error = 0;        // errno, 0 when there is none
  std::uint64_t position = 0;  // bytes, where it applies
  // Damaged blocks: what contradicts, in plain words, never more than a literal; `position` is then where the copy begins
  // that contradicts so, counted from the first copy.
  const char* reason = "";

  bool ok() const { return code == Code::ok; }
  static Outcome success() { return {}; }
  static Outcome of(Code code, ImageIndex image = kNoImage, int system_error = 0, std::uint64_t position = 0) {
    return Outcome{code, image, system_error, position, ""};
  }
  static Outcome damaged(Code code, ImageIndex image, const char* reason) { return Outcome{code, image, 0, 0, reason}; }
};

}  // namespace blockmirror
