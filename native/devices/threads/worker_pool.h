// WorkerPool: threads that run requests to their end by plain system calls, where io_uring is blocked.
//
// Invariants: a request belongs to the pool from hand_over() until take_finished() gives it back with its outcome in
// request.error; requests are begun in the order they were handed over. A finished one is announced by the wake signal.
// No allocation for requests: they are linked through their own `next`.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <list>

#include "../loop_reactor.h"

namespace blockmirror {

class WorkerPool {
 public:
  WorkerPool() = default;
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  ~WorkerPool();  // waits for the threads; nothing may be handed over still

  // 0 or the errno of pthread_create(3); then there is no thread at all.
  int start(unsigned threads, WakeSignal& wake, std::byte* zeroes);
  // The engine thread. So many more, in the place of those that a device which hangs holds up; returns how many there were to
  // be had.
  unsigned add(unsigned threads);
  // The engine thread. One of those that were added is needed no more: the next that has nothing to do ends.
  void end_one();

  // The engine thread. A chain of `count` requests, linked by `next`.
  void hand_over(DeviceRequest* first, DeviceRequest* last, unsigned count);
  // The engine thread. Whether take_finished() would find any.
  bool has_finished() const { return finished_.load(std::memory_order_relaxed) != nullptr; }
  // The engine thread. A chain in the order of their ends, or nullptr; no system call.
  DeviceRequest* take_finished();

 private:
  struct Worker {
    WorkerPool* pool;
    pthread_t thread;
    bool ended;  // under mutex_
  };
  static void* run(void* worker);
  void work(Worker& worker);
  int make(unsigned threads);
  void reap();
  DeviceRequest* next_request(Worker& worker);
  void announce(DeviceRequest& request);
  void stop();

  std::list<Worker> threads_;  // the engine thread's, but for `ended`
  WakeSignal* wake_ = nullptr;
  std::byte* zeroes_ = nullptr;

  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t some_waiting_ = PTHREAD_COND_INITIALIZER;
  DeviceRequest* first_waiting_ = nullptr;  // under mutex_, as are the next four
  DeviceRequest* last_waiting_ = nullptr;
  unsigned idle_ = 0;
  unsigned too_many_ = 0;
  bool stopping_ = false;

  std::atomic<DeviceRequest*> finished_ = nullptr;  // newest first
};

}  // namespace blockmirror
