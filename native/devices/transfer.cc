#include "transfer.h"

#include <algorithm>
#include <cerrno>

namespace blockmirror {

namespace {

Attempt finished(int error) {
  Attempt attempt;
  attempt.error = error;
  return attempt;
}

Attempt data_attempt(Attempt::Kind kind, const DeviceRequest& request, std::uint64_t longest, bool durable = false) {
  Attempt attempt;
  attempt.kind = kind;
  attempt.position = request.position + request.transferred;
  attempt.length = std::min(request.length - request.transferred, longest);
  attempt.durable = durable;
  if (request.memory != nullptr) attempt.memory = request.memory + request.transferred;
  return attempt;
}

Attempt data_sync() {
  Attempt attempt;
  attempt.kind = Attempt::Kind::data_sync;
  return attempt;
}

Attempt remainder(const DeviceRequest& request, const TransferPolicy& policy) {
  switch (request.operation) {
    case Operation::read:
      return data_attempt(Attempt::Kind::read, request, kMaxAttemptLength);
    case Operation::write:
      return data_attempt(Attempt::Kind::write, request, kMaxAttemptLength,
                          request.durable && policy.durable_writes.load(std::memory_order_relaxed));
    case Operation::write_zeroes:
      if (policy.zero_range.load(std::memory_order_relaxed)) {
        return data_attempt(Attempt::Kind::zero_range, request, kMaxAttemptLength);
      }
      return data_attempt(Attempt::Kind::write_zero_buffer, request, kZeroBufferLength);
    case Operation::flush:
      return data_sync();
  }
  return finished(EINVAL);
}

bool refuses_zero_range(std::int64_t result) {
  return result == -EOPNOTSUPP || result == -EINVAL || result == -ENOSYS || result == -ENOTTY;
}

// EPERM may have another reason; then the write without the flag is refused too, and that is the answer.
bool refuses_durable_write(std::int64_t result) {
  return result == -EOPNOTSUPP || result == -ENOSYS || result == -EPERM;
}

// A disk answers ENODATA for a medium error, some file systems EBADMSG for a wrong checksum of their own; both stand for
// findings of ours where an errno is kept (device.h), and those are another thing to an operator.
int errno_of(std::int64_t result) {
  constexpr std::int64_t kLargestErrno = 4095;
  if (result < -kLargestErrno || result == -kLostAllocation || result == -kWrongBytes) return EIO;
  return static_cast<int>(-result);
}

Attempt again(DeviceRequest& request, const Attempt& done, int error_at_last) {
  if (++request.attempts >= kMaxAttempts) return finished(error_at_last);
  return done;
}

Attempt after_bytes(DeviceRequest& request, const Attempt& done, std::uint64_t bytes, const TransferPolicy& policy) {
  if (bytes > done.length) return finished(EIO);
  if (bytes == 0 && done.kind == Attempt::Kind::read) return finished(EIO);
  if (bytes < done.length) bytes &= ~std::uint64_t{policy.alignment - 1};
  if (bytes == 0) return again(request, done, EIO);
  request.attempts = 0;
  request.transferred += bytes;
  if (request.transferred < request.length) return remainder(request, policy);
  // The policy only ever loses RWF_DSYNC: where the last write had it, all had.
  const bool writes = request.operation == Operation::write_zeroes || request.operation == Operation::write;
  return writes && request.durable && !done.durable ? data_sync() : finished(0);
}

}  // namespace

Attempt first_attempt(DeviceRequest& request, const TransferPolicy& policy) {
  request.transferred = 0;
  request.attempts = 0;
  if (request.operation != Operation::flush && request.length == 0) return finished(0);
  return remainder(request, policy);
}

Attempt next_attempt(DeviceRequest& request, const Attempt& done, std::int64_t result, TransferPolicy& policy) {
  BLOCKMIRROR_ASSERT(done.kind != Attempt::Kind::finished, "a finished request got an answer");
  if (result == -EINTR || result == -EAGAIN) return again(request, done, static_cast<int>(-result));
  if (done.kind == Attempt::Kind::zero_range && refuses_zero_range(result)) {
    policy.zero_range.store(false, std::memory_order_relaxed);
    return remainder(request, policy);
  }
  if (done.durable && refuses_durable_write(result)) {
    policy.durable_writes.store(false, std::memory_order_relaxed);
    return remainder(request, policy);
  }
  if (result < 0) return finished(errno_of(result));
  if (done.kind == Attempt::Kind::data_sync) return finished(0);
  if (done.kind == Attempt::Kind::zero_range) return after_bytes(request, done, done.length, policy);
  return after_bytes(request, done, static_cast<std::uint64_t>(result), policy);
}

}  // namespace blockmirror
