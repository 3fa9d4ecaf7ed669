// Transfer: which system operations a request takes, decided without making any.
//
// first_attempt says what to ask of the kernel, next_attempt what to ask after its answer, until Attempt::finished. Every
// reactor runs its requests through these two functions, so that short transfers, EINTR, EAGAIN, end of file,
// durability and zeroing mean the same on all of them, and so that the decisions can be tested without a device.
//
//   answer of the kernel                  next attempt
//   all of the attempt's bytes               the rest of the request, else finished (durable zeroes: a sync first)
//   fewer, a multiple of the alignment    the remainder; the attempts start again, since there was progress
//   fewer, not a multiple                 the remainder from the last whole unit (direct I/O cannot start inside one)
//   0 bytes read                          finished, EIO: the end of the file
//   0 bytes written, EAGAIN, EINTR        the same again, at most kMaxAttempts times without progress
//   zero_range refused                    zeroes written from memory, for this request and all later ones
//   a durable write refused               written without, then a sync; for this request and all later ones
//   any other error                       finished with it; one that means something else to us, or that is no errno
//                                         (above 4095, which no log can hold), with EIO
//   more bytes than were asked for        finished, EIO: what it did is not known
//
// Invariants: a request finishes with 0 only after every byte was transferred, and synced if it is durable;
// request.transferred never decreases and stays a multiple of the alignment until the end.
#pragma once

#include <atomic>
#include <cstdint>

#include "../core/base/device.h"

namespace blockmirror {

inline constexpr std::uint32_t kMaxAttempts = 128;                    // in a row, without progress
inline constexpr std::uint64_t kMaxAttemptLength = 64 * 1024 * 1024;  // bytes of one system operation
inline constexpr std::uint64_t kZeroBufferLength = 1024 * 1024;       // bytes; liburing's advice for one request

struct TransferPolicy {
  std::uint32_t alignment = 512;  // bytes; of positions and lengths, a power of two
  // Whether the kernel may zero a range by itself. Block devices: yes (FALLOC_FL_ZERO_RANGE asks for NOUNMAP, and the
  // kernel writes zeroes where the disk has no command; without FALLOC_FL_KEEP_SIZE, with which it would silently stop
  // at the end of the device). Files: never, since it would turn allocated blocks into unwritten extents, and the next
  // write in the hot path would pay for the conversion. Cleared at the first refusal.
  std::atomic<bool> zero_range = false;
  // Whether a write takes RWF_DSYNC. Some seccomp profiles deny pwritev2(2), some file systems the flag; then the bytes
  // are written and synced, which is more than was asked. Cleared at the first refusal, never set again.
  std::atomic<bool> durable_writes = true;
};

struct Attempt {
  enum class Kind : std::uint8_t { finished, read, write, write_zero_buffer, zero_range, data_sync };
  Kind kind = Kind::finished;
  // write: RWF_DSYNC, where the policy has it. Durable zeroes are synced once at their end instead, since the kernel may refuse zero_range
  // half way, and what it had zeroed until then is not covered by a later write's RWF_DSYNC.
  bool durable = false;
  int error = 0;                // finished: 0 or a positive errno
  std::uint64_t position = 0;   // bytes on the device
  std::uint64_t length = 0;     // bytes; 0 for data_sync
  std::byte* memory = nullptr;  // read, write
};

Attempt first_attempt(DeviceRequest& request, const TransferPolicy& policy);

// `result` as io_uring gives it: bytes transferred (0 for zero_range and data_sync) or a negative errno.
Attempt next_attempt(DeviceRequest& request, const Attempt& done, std::int64_t result, TransferPolicy& policy);

}  // namespace blockmirror
