// EngineThread: the one thread of a mirror. Owns reactor, session and devices; takes parts from the request table and
// gives them back.
//
// Invariants:
//  - The thread starts in start() and ends after stop() alone. Every function here belongs to the JavaScript thread.
//  - A part costs the reactor's wake-up only when the engine sleeps; completions cost one notification however many
//    they are, until the JavaScript thread has said that it is collecting.
//  - stop() freezes the mirror (gated_device.h): it waits for nothing but the kernel, and not for long. When the kernel
//    does not let go in time the thread goes on alone, with a share in everything the kernel may still touch, and
//    frees it at its end.
#pragma once

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "../core/base/outcome.h"
#include "../core/session/session.h"
#include "../devices/reactor.h"
#include "request_table.h"
#include "session_host.h"

namespace blockmirror {

struct EngineThreadOptions {
  DeviceKind kind = DeviceKind::automatic;
  bool polling = false;  // the engine thread looks again for a while before it sleeps
  // From the engine thread: there is something to collect. Must not block. Never called after stop() returned.
  void (*notify)(void* context) = nullptr;
  void* context = nullptr;
};

class EngineThread : public std::enable_shared_from_this<EngineThread> {
 public:
  struct Started {
    std::shared_ptr<EngineThread> engine;  // null: see outcome
    Outcome outcome;
  };
  static Started start(const EngineThreadOptions& options);
  ~EngineThread();
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  DeviceKind kind() const { return kind_; }
  RequestTable& requests() { return *requests_; }
  // After something was submitted to requests().
  void submitted() {
    if (hungry_.load(std::memory_order_seq_cst) && hungry_.exchange(false, std::memory_order_seq_cst)) reactor_->wake();
  }
  // Before requests() is collected: completions from now on notify again; or, when it is going to be collected soon
  // without being told to, do not.
  void collecting(bool again_soon = false) { notified_.exchange(again_soon, std::memory_order_seq_cst); }
  Snapshot snapshot() const;
  // Counted by the engine thread, read by any.
  const DeviceLatencies& latencies() const { return latencies_; }
  const RequestLatency& request_latency() const { return request_latency_; }

  // Asks the engine to stop, without waiting: several can stop side by side.
  void request_stop();
  // Waits until the thread has ended, at most until the deadline. False: it did not, and was left to itself.
  bool stop(std::chrono::steady_clock::time_point deadline);

 private:
  EngineThread(const EngineThreadOptions& options, std::unique_ptr<RequestTable> requests);
  Outcome launch();
  static void* thread_main(void* shared_engine);
  Outcome set_up();
  Outcome set_up_reactor(DeviceKind kind);
  void loop();
  bool accept();
  void part_done(RequestPart& part);
  void deliver();
  void publish();
  void signal_started(const Outcome& outcome);
  void signal_ended();
  void signal_waits_for_hung();

  const EngineThreadOptions options_;
  const std::unique_ptr<RequestTable> requests_;
  DeviceKind kind_ = DeviceKind::automatic;
  pthread_t thread_{};

  std::atomic<bool> hungry_{false};  // the engine may sleep and would take more
  std::atomic<bool> stop_requested_{false};
  std::atomic<bool> notified_{false};

  std::mutex life_mutex_;
  std::condition_variable life_changed_;
  bool started_ = false;
  bool ended_ = false;
  bool waits_for_hung_ = false;  // nobody need wait for the thread: it waits for a device that was left behind
  bool left_alone_ = false;      // joined or detached
  Outcome start_status_;

  std::mutex notify_mutex_;
  bool muted_ = false;

  mutable std::mutex snapshot_mutex_;
  Snapshot snapshot_;

  DeviceLatencies latencies_;
  RequestLatency request_latency_;

  // Engine thread.
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<SessionHost> host_;
  std::vector<std::uint32_t> done_;  // not yet handed over
};

}  // namespace blockmirror
