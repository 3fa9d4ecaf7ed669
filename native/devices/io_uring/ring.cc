#include "ring.h"

#include <cerrno>
#include <cstddef>
#include <iterator>

namespace blockmirror {

namespace {

// Absent from the headers of some distributions; the values are the kernel's interface.
constexpr unsigned kSubmitAll = 1u << 7;      // IORING_SETUP_SUBMIT_ALL
constexpr unsigned kCoopTaskrun = 1u << 8;    // IORING_SETUP_COOP_TASKRUN
constexpr unsigned kTaskrunFlag = 1u << 9;    // IORING_SETUP_TASKRUN_FLAG
constexpr unsigned kSingleIssuer = 1u << 12;  // IORING_SETUP_SINGLE_ISSUER
constexpr unsigned kDeferTaskrun = 1u << 13;  // IORING_SETUP_DEFER_TASKRUN

constexpr unsigned kSetupFlags[] = {
    // by RingFlavour
    kSubmitAll | kSingleIssuer | kDeferTaskrun | kTaskrunFlag,
    kSubmitAll | kCoopTaskrun | kTaskrunFlag,
    0,
};

constexpr int kOperations[] = {IORING_OP_READ,        IORING_OP_WRITE, IORING_OP_READ_FIXED,
                               IORING_OP_WRITE_FIXED, IORING_OP_FSYNC, IORING_OP_FALLOCATE};

constexpr unsigned kProbedOperations = 256;
constexpr unsigned kMostInterruptions = 64;

struct Probe {
  alignas(io_uring_probe) std::byte bytes[sizeof(io_uring_probe) + kProbedOperations * sizeof(io_uring_probe_op)] = {};

  io_uring_probe* get() { return reinterpret_cast<io_uring_probe*>(bytes); }
};

}  // namespace

Ring::~Ring() {
  if (open_) io_uring_queue_exit(&ring_);
}

int Ring::open(unsigned entries, RingFlavour best) {
  int status = -EINVAL;
  for (auto i = static_cast<unsigned>(best); status == -EINVAL && i < std::size(kSetupFlags); ++i) {
    status = io_uring_queue_init(entries, &ring_, kSetupFlags[i]);
    flavour_ = static_cast<RingFlavour>(i);
  }
  if (status != 0) return -status;
  open_ = true;
  // NODROP: a completion is never lost. EXT_ARG: a wait with a timeout needs no request of its own.
  constexpr unsigned kFeatures = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG;
  if ((ring_.features & kFeatures) != kFeatures) return ENOSYS;
  if (const int error = ask_for_operations(); error != 0) return error;
  // Saves the kernel a lookup each time it is entered; older kernels do without.
  (void)io_uring_register_ring_fd(&ring_);
  return do_one_operation();
}

int Ring::ask_for_operations() {
  Probe probe;
  if (const int error = io_uring_register_probe(&ring_, probe.get(), kProbedOperations); error < 0) return -error;
  for (const int operation : kOperations) {
    if (io_uring_opcode_supported(probe.get(), operation) == 0) return ENOSYS;
  }
  return 0;
}

// Setting up is allowed by some profiles that forbid to enter.
int Ring::do_one_operation() {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  if (entry == nullptr) return ENOSYS;
  io_uring_prep_nop(entry);
  int status = -EINTR;
  for (unsigned i = 0; status == -EINTR && i < kMostInterruptions; ++i) {
    status = io_uring_submit_and_get_events(&ring_);
  }
  if (status < 0) return -status;
  io_uring_cqe* answer = nullptr;
  status = -EINTR;
  for (unsigned i = 0; status == -EINTR && i < kMostInterruptions; ++i) {
    __kernel_timespec patience{.tv_sec = 1, .tv_nsec = 0};
    status = io_uring_submit_and_wait_timeout(&ring_, &answer, 1, &patience, nullptr);
  }
  if (status < 0) return -status;
  if (answer == nullptr) return ETIME;
  const int result = answer->res;
  io_uring_cqe_seen(&ring_, answer);
  return result < 0 ? -result : 0;
}

int Ring::show_answers() {
  const int status = io_uring_get_events(&ring_);
  return status < 0 ? -status : 0;
}

// Without a polling thread of its own (SQPOLL) the kernel reads the queue only while it is entered, by this thread.
void Ring::forget_not_taken() {
  io_uring_sq& queue = ring_.sq;
  queue.sqe_head = queue.sqe_tail = __atomic_load_n(queue.khead, __ATOMIC_ACQUIRE);
  __atomic_store_n(queue.ktail, queue.sqe_tail, __ATOMIC_RELEASE);
}

bool Ring::must_enter() const {
  const unsigned flags = __atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED);
  return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

}  // namespace blockmirror
