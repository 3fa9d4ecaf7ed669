#include "ring.h"

#include <cerrno>
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

bool knows_all_operations(io_uring* ring) {
  io_uring_probe* probe = io_uring_get_probe_ring(ring);
  if (probe == nullptr) return false;
  bool all = true;
  for (const int operation : kOperations) all = all && io_uring_opcode_supported(probe, operation) != 0;
  io_uring_free_probe(probe);
  return all;
}

}  // namespace

Ring::~Ring() {
  if (open_) io_uring_queue_exit(&ring_);
}

int Ring::open(unsigned entries, RingFlavour best) {
  int outcome = -EINVAL;
  for (auto i = static_cast<unsigned>(best); outcome == -EINVAL && i < std::size(kSetupFlags); ++i) {
    outcome = io_uring_queue_init(entries, &ring_, kSetupFlags[i]);
    flavour_ = static_cast<RingFlavour>(i);
  }
  if (outcome != 0) return -outcome;
  open_ = true;
  // NODROP: a completion is never lost. EXT_ARG: a wait with a timeout needs no request of its own.
  constexpr unsigned kFeatures = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG;
  if ((ring_.features & kFeatures) != kFeatures || !knows_all_operations(&ring_)) return ENOSYS;
  // Saves the kernel a lookup each time it is entered; older kernels do without.
  (void)io_uring_register_ring_fd(&ring_);
  return 0;
}

bool Ring::must_enter() const {
  const unsigned flags = __atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED);
  return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

}  // namespace blockmirror
