#include "worker_pool.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
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
  const int error = make(threads);
  if (error != 0) stop();
  return error;
}

int WorkerPool::make(unsigned threads) {
  pthread_attr_t attributes;
  if (const int error = pthread_attr_init(&attributes); error != 0) return error;
  pthread_attr_setstacksize(&attributes, kStackLength);
  int error = 0;
  const SignalsBlocked blocked;
  for (; threads > 0; --threads) {
    Worker& worker = threads_.emplace_back(Worker{this, {}, false});
    error = pthread_create(&worker.thread, &attributes, run, &worker);
    if (error != 0) {
      threads_.pop_back();
      break;
    }
    pthread_setname_np(worker.thread, "blockmirror-io");
  }
  pthread_attr_destroy(&attributes);
  return error;
}

unsigned WorkerPool::add(unsigned threads) {
  reap();
  const std::size_t before = threads_.size();
  (void)make(threads);  // fewer: what hangs holds up more than it need
  return static_cast<unsigned>(threads_.size() - before);
}

void WorkerPool::end_one() {
  pthread_mutex_lock(&mutex_);
  ++too_many_;
  pthread_mutex_unlock(&mutex_);
  pthread_cond_signal(&some_waiting_);
}

// Those that have ended, so that devices that hang again and again leave nothing behind.
void WorkerPool::reap() {
  for (auto worker = threads_.begin(); worker != threads_.end();) {
    pthread_mutex_lock(&mutex_);
    const bool ended = worker->ended;
    pthread_mutex_unlock(&mutex_);
    if (ended) pthread_join(worker->thread, nullptr);
    worker = ended ? threads_.erase(worker) : std::next(worker);
  }
}

void WorkerPool::stop() {
  pthread_mutex_lock(&mutex_);
  BLOCKMIRROR_ASSERT(first_waiting_ == nullptr, "the workers were stopped with requests waiting");
  stopping_ = true;
  pthread_cond_broadcast(&some_waiting_);
  pthread_mutex_unlock(&mutex_);
  for (const Worker& worker : threads_) pthread_join(worker.thread, nullptr);
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

void* WorkerPool::run(void* worker) {
  auto& self = *static_cast<Worker*>(worker);
  self.pool->work(self);
  return nullptr;
}

void WorkerPool::work(Worker& worker) {
  while (DeviceRequest* request = next_request(worker)) {
    request->error = run_to_end(*request, zeroes_);
    announce(*request);
  }
}

// None: this one ends.
DeviceRequest* WorkerPool::next_request(Worker& worker) {
  pthread_mutex_lock(&mutex_);
  while (first_waiting_ == nullptr && too_many_ == 0 && !stopping_) {
    ++idle_;
    pthread_cond_wait(&some_waiting_, &mutex_);
    --idle_;
  }
  DeviceRequest* request = first_waiting_;
  if (request != nullptr) {
    first_waiting_ = std::exchange(request->next, nullptr);
    if (first_waiting_ == nullptr) last_waiting_ = nullptr;
  } else {
    worker.ended = true;
    if (too_many_ > 0) --too_many_;
  }
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
