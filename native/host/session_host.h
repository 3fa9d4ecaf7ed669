// SessionHost: what the engine thread runs: one Session with its devices, and the coroutines that serve parts and
// commands.
//
// Invariants:
//  - Engine thread only.
//  - Devices outlive every request of the session: they go when close has settled everything, or at the end of the
//    thread when the reactor holds nothing (I9: the locks go with them).
//  - Nothing is started after a close command: the request table refuses it.
//  - While a mirror runs the device of a slave comes and goes only while that slave is out, and goes only when it holds no
//    request (I15). The session keeps the same GatedDevice for an image all its life.
#pragma once

#include <sys/types.h>

#include <array>
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
  SessionHost(Reactor& reactor, void (*done)(void* context, RequestPart& part), void* context);
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
  Task<Outcome> execute(Activate& command);
  Task<Outcome> execute(SetPolicies& command);
  Task<Outcome> execute(EndRecovery& command);
  Task<Outcome> execute(Compare& command);
  Task<Outcome> execute(RecordVerify& command);
  Task<Outcome> execute(FractureSlaves& command);
  Task<Outcome> execute(AttachImage& command);
  Task<Outcome> execute(DetachImage& command);
  Task<Outcome> execute(Rejoin& command);
  Task<Outcome> execute(ResyncStep& command);
  Task<Outcome> execute(Close& command);

  struct Place {  // where a device lies, by whatever path
    bool block_device = false;
    dev_t device = 0;
    ino_t inode = 0;  // 0 for a block device
    friend bool operator==(const Place&, const Place&) = default;
  };
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
  static bool place_of(const std::string& path, Place& into);
  bool is_attached(const Place& place) const;
  static Outcome open_or_make(const std::string& path, const OpenFileOptions& options, OpenFile& file, Attached& into,
                              DeviceFacts& facts);
  Outcome attach(const std::string& path, const OpenFileOptions& options, ImageIndex image, Attached& into,
                 DeviceFacts& facts);
  Outcome take_over(OpenFile file, ImageIndex image, Attached& into, DeviceFacts& facts);
  bool may_come_or_go(std::uint32_t image) const;
  static std::vector<std::size_t> order_of_opening(const std::vector<std::string>& paths);
  void detach_images();
  bool alone_in(Phase first, Phase second) const;
  Task<Outcome> with_superblock(Task<Outcome> step, Superblock& into);
  Shape shape() const;

  Reactor& reactor_;
  void (*const done_)(void* context, RequestPart& part);
  void* const context_;
  Gate gate_;
  std::unique_ptr<Condition> settled_;  // active_ went down
  std::unique_ptr<Session> session_;
  Attached log_;
  std::vector<Attached> images_;
  std::vector<Attached>
      left_;  // by close, since they owe answers: they go when they have given them, or with the thread
  std::array<std::unique_ptr<Opening>, kMaxImages> openings_;  // under way, or given up on and not over
  ImageSet rejoining_ = 0;
  unsigned active_ = 0;
  bool has_superblock_ = false;
  bool closing_ = false;
};

}  // namespace blockmirror
