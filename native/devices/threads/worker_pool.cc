#include "worker_pool.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace blockmirror {

namespace {

constexpr std::size_t kStackLength = 256 * 1024;  // bytes; a worker calls a few functions deep

// Blocks every signal for the scope: the threads created in it must not run handlers of the host program.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

// As io_uring would answer: bytes, or a negative errno.
std::int64_t perform(const Attempt& attempt, int descriptor, std::byte* zeroes) {
  const auto position = static_cast<off_t>(attempt.position);
  std::int64_t result = -1;
  switch (attempt.kind) {
    case Attempt::Kind::read:
      result = ::pread(descriptor, attempt.memory, attempt.length, position);
      break;
    case Attempt::Kind::write: {
      const iovec vector{.iov_base = attempt.memory, .iov_len = attempt.length};
      result = attempt.durable ? ::pwritev2(descriptor, &vector, 1, position, RWF_DSYNC)
                               : ::pwrite(descriptor, attempt.memory, attempt.length, position);
      break;
    }
    case Attempt::Kind::write_zero_buffer:
      result = ::pwrite(descriptor, zeroes, attempt.length, position);
      break;
    case Attempt::Kind::zero_range:
      result = ::fallocate(descriptor, FALLOC_FL_ZERO_RANGE, position, static_cast<off_t>(attempt.length));
      break;
    case Attempt::Kind::data_sync:
      result = ::fdatasync(descriptor);
      break;
    case Attempt::Kind::finished:
      BLOCKMIRROR_ASSERT(false, "a finished request has no next attempt");
  }
  return result < 0 ? -errno : result;
}

int run_to_end(DeviceRequest& request, std::byte* zeroes) {
  auto& device = *static_cast<FileDevice*>(request.device_data);
  Attempt attempt = first_attempt(request, device.policy());
  while (attempt.kind != Attempt::Kind::finished) {
    const std::int64_t result = perform(attempt, device.descriptor(), zeroes);
    attempt = next_attempt(request, attempt, result, device.policy());
  }
  return attempt.error;
}

}  // namespace

WorkerPool::~WorkerPool() { stop(); }

int WorkerPool::start(unsigned threads, WakeSignal& wake, std::byte* zeroes) {
  wake_ = &wake;
  zeroes_ = zeroes;
  threads_.reserve(threads);
  pthread_attr_t attributes;
  if (const int error = pthread_attr_init(&attributes); error != 0) return error;
  pthread_attr_setstacksize(&attributes, kStackLength);
  int error = 0;
  const SignalsBlocked blocked;
  while (error == 0 && threads_.size() < threads) {
    pthread_t thread{};
    error = pthread_create(&thread, &attributes, run, this);
    if (error != 0) break;
    pthread_setname_np(thread, "blockmirror-io");
    threads_.push_back(thread);
  }
  pthread_attr_destroy(&attributes);
  if (error != 0) stop();
  return error;
}

void WorkerPool::stop() {
  pthread_mutex_lock(&mutex_);
  BLOCKMIRROR_ASSERT(first_waiting_ == nullptr, "the workers were stopped with requests waiting");
  stopping_ = true;
  pthread_cond_broadcast(&some_waiting_);
  pthread_mutex_unlock(&mutex_);
  for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
  threads_.clear();
}

void WorkerPool::hand_over(DeviceRequest* first, DeviceRequest* last, unsigned count) {
  if (count == 0) return;
  pthread_mutex_lock(&mutex_);
  (last_waiting_ == nullptr ? first_waiting_ : last_waiting_->next) = first;
  last_waiting_ = last;
  unsigned to_wake = std::min(count, idle_);
  pthread_mutex_unlock(&mutex_);
  for (; to_wake > 0; --to_wake) pthread_cond_signal(&some_waiting_);
}

DeviceRequest* WorkerPool::take_finished() {
  if (finished_.load(std::memory_order_relaxed) == nullptr) return nullptr;
  DeviceRequest* newest = finished_.exchange(nullptr, std::memory_order_acquire);
  DeviceRequest* oldest = nullptr;
  while (newest != nullptr) {
    DeviceRequest* request = newest;
    newest = std::exchange(request->next, oldest);
    oldest = request;
  }
  return oldest;
}

void* WorkerPool::run(void* self) {
  static_cast<WorkerPool*>(self)->work();
  return nullptr;
}

void WorkerPool::work() {
  while (DeviceRequest* request = next_request()) {
    request->error = run_to_end(*request, zeroes_);
    announce(*request);
  }
}

DeviceRequest* WorkerPool::next_request() {
  pthread_mutex_lock(&mutex_);
  while (first_waiting_ == nullptr && !stopping_) {
    ++idle_;
    pthread_cond_wait(&some_waiting_, &mutex_);
    --idle_;
  }
  DeviceRequest* request = first_waiting_;
  if (request != nullptr) first_waiting_ = std::exchange(request->next, nullptr);
  if (first_waiting_ == nullptr) last_waiting_ = nullptr;
  pthread_mutex_unlock(&mutex_);
  return request;
}

void WorkerPool::announce(DeviceRequest& request) {
  request.next = finished_.load(std::memory_order_relaxed);
  while (
      !finished_.compare_exchange_weak(request.next, &request, std::memory_order_release, std::memory_order_relaxed)) {
  }
  wake_->notify();
}

}  // namespace blockmirror
