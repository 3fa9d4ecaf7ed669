#include "engine_thread.h"

#include <signal.h>

#include <utility>

#include "../core/base/assert.h"

namespace blockmirror {

EngineThread::Started EngineThread::start(const EngineThreadOptions& options) {
  Started started;
  std::unique_ptr<RequestTable> requests = RequestTable::make();
  if (!requests) {
    started.outcome = Outcome::of(Code::NO_MEMORY);
    return started;
  }
  std::shared_ptr<EngineThread> engine(new EngineThread(options, std::move(requests)));
  started.outcome = engine->launch();
  if (started.outcome.ok()) started.engine = std::move(engine);
  return started;
}

EngineThread::EngineThread(const EngineThreadOptions& options, std::unique_ptr<RequestTable> requests)
    : options_(options), requests_(std::move(requests)) {}

EngineThread::~EngineThread() { BLOCKMIRROR_ASSERT(left_alone_, "an engine was dropped while its thread ran"); }

Outcome EngineThread::launch() {
  // Signals are the application's, and Node handles them on its own threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  auto* share = new std::shared_ptr<EngineThread>(shared_from_this());
  int error = pthread_create(&thread_, nullptr, thread_main, share);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) {
    delete share;
    left_alone_ = true;
    return Outcome::of(Code::NO_MEMORY, kNoImage, error);
  }
  std::unique_lock lock(life_mutex_);
  // Not wait(): it is a symbol of GCC 12's libstdc++ (GLIBCXX_3.4.30), which enterprise systems lack; this is inline.
  while (!started_) life_changed_.wait_for(lock, std::chrono::hours(1));
  if (start_status_.ok()) return start_status_;
  lock.unlock();
  pthread_join(thread_, nullptr);
  left_alone_ = true;
  return start_status_;
}

void* EngineThread::thread_main(void* shared_engine) {
  std::unique_ptr<std::shared_ptr<EngineThread>> share(static_cast<std::shared_ptr<EngineThread>*>(shared_engine));
  EngineThread& engine = **share;
  pthread_setname_np(pthread_self(), "blockmirror");
  Outcome outcome = engine.set_up();
  if (outcome.ok()) {
    engine.publish();
    engine.signal_started(outcome);
    engine.loop();
  }
  { std::lock_guard lock(engine.life_mutex_); }  // request_stop is done with the reactor
  engine.host_.reset();
  engine.reactor_.reset();
  if (!outcome.ok()) engine.signal_started(outcome);
  engine.signal_ended();
  return nullptr;
}

Outcome EngineThread::set_up() {
  Outcome outcome = set_up_reactor(options_.kind);
  // Set-up can be refused although a probe succeeded (memlock on old kernels): that is no reason to fail either.
  if (!outcome.ok() && options_.kind == DeviceKind::automatic) outcome = set_up_reactor(DeviceKind::threads);
  if (!outcome.ok()) return outcome;
  kind_ = reactor_->kind();
  reactor_->offer_memory(requests_->registered_memory());
  auto done = [](void* self, RequestPart& part) { static_cast<EngineThread*>(self)->part_done(part); };
  host_ = std::make_unique<SessionHost>(*reactor_, latencies_, request_latency_, done, this);
  return outcome;
}

Outcome EngineThread::set_up_reactor(DeviceKind kind) {
  ReactorOptions options;
  options.polling = options_.polling;
  options.kind = kind;
  ReactorOrOutcome made = make_reactor(options);
  if (!made.reactor) return made.outcome;
  reactor_ = std::move(made.reactor);
  return reactor_->bind_to_this_thread();
}

void EngineThread::loop() {
  bool frozen = false;
  for (;;) {
    if (stop_requested_.load(std::memory_order_seq_cst) && !frozen) {
      frozen = true;
      host_->freeze();
      if (host_->has_left() && reactor_->requests_in_flight() > 0) signal_waits_for_hung();
    }
    if (frozen && reactor_->requests_in_flight() == 0) return;
    bool may_sleep = frozen || !accept();
    deliver();  // what was done as soon as it was started: the turn may sleep
    reactor_->turn(may_sleep);
    hungry_.store(false, std::memory_order_relaxed);
    deliver();
  }
}

// Starts what was submitted, as far as there is room. True: there is more that could be started.
bool EngineThread::accept() {
  SpscRing<std::uint32_t>& submissions = requests_->submissions();
  std::uint32_t index;
  unsigned taken = 0;
  while (host_->active() < kActiveParts && taken < kActiveParts && submissions.pop(index)) {
    host_->start(requests_->part(index));
    ++taken;
  }
  if (host_->active() >= kActiveParts) return false;
  // First say that we may sleep, then look again: the submitter first submits, then looks whether we sleep.
  hungry_.store(true, std::memory_order_seq_cst);
  return !submissions.empty() || stop_requested_.load(std::memory_order_seq_cst);
}

void EngineThread::part_done(RequestPart& part) { done_.push_back(requests_->index_of(part)); }

// Hands over what is done, after the state that it led to: whoever has seen a completion never sees an older snapshot.
void EngineThread::deliver() {
  publish();
  if (done_.empty()) return;
  for (std::uint32_t index : done_) requests_->completions().push(index);
  done_.clear();
  if (notified_.exchange(true, std::memory_order_seq_cst)) return;
  std::lock_guard lock(notify_mutex_);
  if (!muted_) options_.notify(options_.context);
}

void EngineThread::publish() {
  Snapshot now = host_->snapshot();
  std::lock_guard lock(snapshot_mutex_);
  snapshot_ = now;
}

Snapshot EngineThread::snapshot() const {
  std::lock_guard lock(snapshot_mutex_);
  return snapshot_;
}

void EngineThread::signal_started(const Outcome& outcome) {
  std::lock_guard lock(life_mutex_);
  started_ = true;
  start_status_ = outcome;
  life_changed_.notify_all();
}

void EngineThread::signal_ended() {
  std::lock_guard lock(life_mutex_);
  ended_ = true;
  life_changed_.notify_all();
}

void EngineThread::signal_waits_for_hung() {
  std::lock_guard lock(life_mutex_);
  waits_for_hung_ = true;
  life_changed_.notify_all();
}

void EngineThread::request_stop() {
  // The engine passes through the lock before it lets the reactor go.
  std::lock_guard lock(life_mutex_);
  if (!stop_requested_.exchange(true, std::memory_order_seq_cst)) reactor_->wake();
}

bool EngineThread::stop(std::chrono::steady_clock::time_point deadline) {
  if (left_alone_) return ended_;
  request_stop();
  bool ended;
  {
    std::unique_lock lock(life_mutex_);
    while (!ended_ && !waits_for_hung_ && life_changed_.wait_until(lock, deadline) != std::cv_status::timeout) {
    }
    ended = ended_;
    left_alone_ = true;
  }
  {
    std::lock_guard lock(notify_mutex_);
    muted_ = true;
  }
  if (ended) {
    pthread_join(thread_, nullptr);
  } else {
    pthread_detach(thread_);
  }
  return ended;
}

}  // namespace blockmirror
