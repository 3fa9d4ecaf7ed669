// Reactor: the loop under an engine thread. It is the Runtime of the core, makes the Devices that belong to it, and
// sleeps until a device, a timer or another thread has something to do.
//
// Invariants: every call but wake() comes from the one engine thread (the one that called bind_to_this_thread);
// completions are delivered from turn() alone; a Device must not outlive its Reactor, nor be destroyed with requests
// in flight.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "../core/base/device.h"
#include "../core/base/outcome.h"
#include "../core/base/runtime.h"
#include "open_file.h"

namespace blockmirror {

enum class DeviceKind : std::uint8_t { automatic, io_uring, threads };

struct ReactorOptions {
  DeviceKind kind = DeviceKind::automatic;  // automatic: io_uring, else threads where it is blocked
  unsigned queue_depth = 256;               // requests in flight at the kernel; more wait in the reactor, in order
  bool polling = false;                     // before it sleeps, look again for a while (polling_window.h)
};

class Reactor : public Runtime {
 public:
  // Sets up what must belong to the thread (SINGLE_ISSUER rings do). Call once, before anything else.
  virtual Outcome bind_to_this_thread() = 0;
  virtual DeviceKind kind() const = 0;
  // Takes over the file. The device completes requests from this reactor's turn().
  virtual std::unique_ptr<Device> make_device(OpenFile file) = 0;
  // Offers memory that most requests will use, to be registered with the kernel. May do nothing (memlock forbids);
  // requests in other memory work all the same. The memory must stay until the reactor is gone.
  virtual void offer_memory(std::span<std::byte> memory) = 0;

  // One turn of the loop: submits what was queued, delivers completions, fires due timers, resumes what is ready.
  // With may_sleep, and when there was nothing to do, sleeps until a completion, a timer or wake().
  virtual void turn(bool may_sleep) = 0;
  // Any thread, any time, also before turn() sleeps: the next or current sleep ends. Safe against lost wake-ups.
  virtual void wake() noexcept = 0;
  virtual unsigned requests_in_flight() const = 0;
};

// UNSUPPORTED with the errno when the kind asked for is not available; automatic falls back to threads.
struct ReactorOrOutcome {
  std::unique_ptr<Reactor> reactor;
  Outcome outcome;
};
ReactorOrOutcome make_reactor(const ReactorOptions& options);

// 0 when this process may use io_uring, else the errno of io_uring_setup (EPERM under seccomp, ENOSYS on old kernels).
int probe_io_uring();

}  // namespace blockmirror
