#include "reactor.h"

#include "io_uring/io_uring_reactor.h"
#include "threads/threads_reactor.h"

namespace blockmirror {

ReactorOrOutcome make_reactor(const ReactorOptions& options) {
  if (options.kind != DeviceKind::threads) {
    // At its full size: a small ring may be allowed where the memory for a large one is not.
    const int error = IoUringReactor::probe(options.queue_depth);
    if (error == 0) return {std::make_unique<IoUringReactor>(options.queue_depth, options.polling), Outcome::success()};
    if (options.kind == DeviceKind::io_uring) return {nullptr, Outcome::of(Code::UNSUPPORTED, kNoImage, error)};
  }
  return {std::make_unique<ThreadsReactor>(options.queue_depth, options.polling), Outcome::success()};
}

int probe_io_uring() { return IoUringReactor::probe(1); }

}  // namespace blockmirror
