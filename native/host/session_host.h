// SessionHost: what the engine thread runs: one Session with its devices, and the coroutines that serve parts and
// commands.
//
// Invariants:
//  - Engine thread only.
//  - Devices outlive every request of the session: they go when close has settled everything, or at the end of the
//    thread when the reactor holds nothing (I9: the locks go with them).
//  - I15: nothing is opened, nor looked up, on this thread: a device that does not answer is waited for until its deadline,
//    and left to a thread of its own then. What that opens late closes at once.
//  - Nothing is started after a close command: the request table refuses it.
//  - While a mirror runs the device of a slave comes and goes only while that slave is out, and goes only when it holds no
//    request (I15). The session keeps the same GatedDevice for an image all its life.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../core/base/runtime.h"
#include "../core/base/task.h"
#include "../core/session/session.h"
#include "../devices/made_file.h"
#include "../devices/open_file.h"
#include "../devices/reactor.h"
#include "commands.h"
#include "gated_device.h"
#include "opening.h"
#include "request_part.h"

namespace blockmirror {

class SessionHost {
 public:
  // `done(context, part)` is called when a part has its outcome.
  // Where latencies are counted must stay as long as this.
  SessionHost(Reactor& reactor, DeviceLatencies& latencies, RequestLatency& request_latency,
              void (*done)(void* context, RequestPart& part), void* context);
  ~SessionHost();
  SessionHost(const SessionHost&) = delete;
  SessionHost& operator=(const SessionHost&) = delete;

  void start(RequestPart& part);
  unsigned active() const { return active_; }  // parts started and not done
  Snapshot snapshot() const { return session_->snapshot(); }
  // Close has left devices that owe answers: the thread ends only when they have given them.
  bool has_left() const { return !left_.empty(); }
  // From here on nothing more reaches a device; parts that wait for one never end.
  void freeze() { gate_.frozen = true; }

 private:
  Task<void> run(RequestPart& part);
  Task<Outcome> serve(RequestPart& part);
  Task<Outcome> discard_lane(RequestPart& part);
  Task<Outcome> serve_command(Command& command);
  void finish(RequestPart& part, const Outcome& outcome);
  void count_latency(const RequestPart& part);

  Task<Outcome> execute(OpenLog& command);
  Task<Outcome> execute(LoadSuperblock& command);
  Task<Outcome> execute(OpenImages& command);
  Task<Outcome> execute(PlanFormat& command);
  Task<Outcome> execute(LinkLog& command);
  Task<Outcome> execute(LinkImages& command);
  Task<Outcome> execute(Unmake& command);
  Task<Outcome> execute(FillImage& command);
  Task<Outcome> execute(FormatLog& command);
  Task<Outcome> execute(ScanRing& command);
  Task<Outcome> execute(Assess& command);
  Task<Outcome> execute(ReadDebts& command);
  Task<Outcome> execute(ReadHistory& command);
  Task<Outcome> execute(Activate& command);
  Task<Outcome> execute(SetPolicies& command);
  Task<Outcome> execute(EndRecovery& command);
  Task<Outcome> execute(Compare& command);
  Task<Outcome> execute(RecordVerify& command);
  Task<Outcome> execute(FractureSlaves& command);
  Task<Outcome> execute(WriteFrom& command);
  Task<Outcome> execute(AttachImage& command);
  Task<Outcome> execute(DetachImage& command);
  Task<Outcome> execute(Rejoin& command);
  Task<Outcome> execute(ResyncStep& command);
  Task<Outcome> execute(Close& command);

  struct Attached {
    Place place;
    std::unique_ptr<GatedDevice> device;  // not present: left out
    MadeFile made;                        // of a file that was not there
    bool is_present() const { return device && device->is_present(); }
  };
  struct HeldPart {
    SessionHost* host;
    RequestPart* part;
  };
  struct Arrival;
  std::unique_ptr<Opening>& opening_of(ImageIndex image);
  bool is_attached(const Place& place) const;
  std::uint64_t opening_deadline_ns(const OpenFileOptions& options) const;
  Outcome not_in_time() const;
  Task<bool> until_over(const Errand& errand, std::uint64_t deadline_ns);
  Task<void> look_up(std::vector<Arrival>& arrivals);
  Task<void> open(std::vector<Arrival>& arrivals, Arrival& arrival);
  Task<void> await_opening(Arrival& arrival, std::uint64_t until_ns);
  Task<Outcome> open_all(std::vector<Arrival>& arrivals);
  std::vector<Arrival> arrivals_of(OpenImages& command);
  Outcome take_over(OpenFile file, ImageIndex image, Attached& into, DeviceFacts& facts);
  bool may_come_or_go(std::uint32_t image) const;
  void detach_images();
  bool alone_in(Phase first, Phase second) const;
  Task<Outcome> with_superblock(Task<Outcome> step, Superblock& into);
  Shape shape() const;

  Reactor& reactor_;
  RequestLatency& request_latency_;
  void (*const done_)(void* context, RequestPart& part);
  void* const context_;
  Gate gate_;
  std::unique_ptr<Condition> settled_;  // active_ went down
  std::unique_ptr<Session> session_;
  Attached log_;
  std::vector<Attached> images_;
  std::vector<Attached>
      left_;  // by close, since they owe answers: they go when they have given them, or with the thread
  // Under way, or given up on and not over: of the log, then of each image.
  std::vector<std::unique_ptr<Opening>> openings_ = std::vector<std::unique_ptr<Opening>>(kMaxImages + 1);
  ImageSet rejoining_ = 0;
  unsigned active_ = 0;
  bool has_superblock_ = false;
  bool closing_ = false;
};

}  // namespace blockmirror
