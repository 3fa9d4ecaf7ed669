#include "errand.h"

#include <pthread.h>

#include "../core/base/assert.h"

namespace blockmirror {
namespace {

constexpr std::size_t kStackLength = 512 * 1024;  // bytes

}  // namespace

// Signals are blocked in it as in the engine thread, which begins it.
Outcome Errand::begin(std::shared_ptr<Shared> shared) {
  BLOCKMIRROR_ASSERT(!shared_, "an errand begins once");
  shared_ = std::move(shared);
  auto held = std::make_unique<std::shared_ptr<Shared>>(shared_);
  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (error == 0) {
    pthread_attr_setstacksize(&attributes, kStackLength);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    error = pthread_create(&thread, &attributes, run, held.get());
    pthread_attr_destroy(&attributes);
  }
  if (error != 0) {
    shared_.reset();
    return Outcome::of(Code::NO_MEMORY, kNoImage, error);
  }
  static_cast<void>(held.release());
  return Outcome::success();
}

void* Errand::run(void* argument) {
  const std::unique_ptr<std::shared_ptr<Shared>> held(static_cast<std::shared_ptr<Shared>*>(argument));
  pthread_setname_np(pthread_self(), "blockmirror-ask");
  Shared& shared = **held;
  shared.work();
  Stage expected = Stage::under_way;
  if (shared.stage.compare_exchange_strong(expected, Stage::done, std::memory_order_acq_rel)) return nullptr;
  shared.drop();
  shared.stage.store(Stage::over, std::memory_order_release);
  return nullptr;
}

bool Errand::over() const {
  if (!shared_) return true;
  const Stage stage = shared_->stage.load(std::memory_order_acquire);
  return stage == Stage::done || stage == Stage::over;
}

void Errand::give_up() {
  if (!shared_) return;
  Stage expected = Stage::under_way;
  if (shared_->stage.compare_exchange_strong(expected, Stage::given_up, std::memory_order_acq_rel)) return;
  if (expected != Stage::done) return;
  shared_->drop();
  shared_->stage.store(Stage::over, std::memory_order_release);
}

}  // namespace blockmirror
