#include "opening.h"

#include <atomic>
#include <cerrno>
#include <new>
#include <utility>

#include <pthread.h>

namespace blockmirror {

struct Opening::Shared {
  std::string path;
  OpenFileOptions options;
  OpenFile file;
  Outcome outcome;
  std::atomic<bool> done{false};

  static void* run(void* argument) {
    const std::unique_ptr<std::shared_ptr<Shared>> held(static_cast<std::shared_ptr<Shared>*>(argument));
    Shared& shared = **held;
    shared.outcome = OpenFile::open(shared.path, shared.options, shared.file);
    const AllocationLoss loss = shared.outcome.ok() ? shared.file.allocation_loss() : AllocationLoss{};
    if (loss.lost) shared.outcome = Outcome::of(Code::LOST_ALLOCATION, kNoImage, 0, loss.position);
    shared.done.store(true, std::memory_order_release);
    return nullptr;
  }
};

Outcome Opening::begin(const std::string& path, const OpenFileOptions& options) {
  shared_ = std::make_shared<Shared>();
  shared_->path = path;
  shared_->options = options;
  auto held = std::make_unique<std::shared_ptr<Shared>>(shared_);
  pthread_t thread;
  const int error = pthread_create(&thread, nullptr, Shared::run, held.get());
  if (error != 0) return Outcome::of(Code::NO_MEMORY, kNoImage, error);
  static_cast<void>(held.release());
  pthread_detach(thread);
  return Outcome::success();
}

bool Opening::done() const { return shared_->done.load(std::memory_order_acquire); }

Outcome Opening::take(OpenFile& into) {
  into = std::move(shared_->file);
  return std::exchange(shared_, nullptr)->outcome;
}

}  // namespace blockmirror
