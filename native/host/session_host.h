// SessionHost: what the engine thread runs: one Session with its devices, and the coroutines that serve pieces and
// commands.
//
// Invariants:
//  - Engine thread only.
//  - Devices outlive every request of the session: they go when close has settled everything, or at the end of the
//    thread when the reactor holds nothing (I9: the locks go with them).
//  - Nothing is started after a close command: the request table refuses it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../core/runtime.h"
#include "../core/session.h"
#include "../core/task.h"
#include "../devices/made_file.h"
#include "../devices/open_file.h"
#include "../devices/reactor.h"
#include "commands.h"
#include "gated_device.h"
#include "piece.h"

namespace blockmirror {

class SessionHost {
 public:
  // `done(context, piece)` is called when a piece has its status.
  SessionHost(Reactor& reactor, void (*done)(void* context, Piece& piece), void* context);
  ~SessionHost();
  SessionHost(const SessionHost&) = delete;
  SessionHost& operator=(const SessionHost&) = delete;

  void start(Piece& piece);
  unsigned active() const { return active_; }  // pieces started and not done
  Snapshot snapshot() const { return session_->snapshot(); }
  // From here on nothing more reaches a device; pieces that wait for one never end.
  void freeze() { gate_.frozen = true; }

 private:
  Task<void> run(Piece& piece);
  Task<Status> serve(Piece& piece);
  Task<Status> discard_lane(Piece& piece);
  Task<Status> serve_command(Command& command);
  void finish(Piece& piece, const Status& status);

  Task<Status> execute(OpenLog& command);
  Task<Status> execute(LoadSuperblock& command);
  Task<Status> execute(OpenImages& command);
  Task<Status> execute(PlanFormat& command);
  Task<Status> execute(LinkLog& command);
  Task<Status> execute(LinkImages& command);
  Task<Status> execute(Unmake& command);
  Task<Status> execute(FillImage& command);
  Task<Status> execute(FormatLog& command);
  Task<Status> execute(ScanRing& command);
  Task<Status> execute(Assess& command);
  Task<Status> execute(Activate& command);
  Task<Status> execute(RecoverFlushMaster& command);
  Task<Status> execute(RecoverCopy& command);
  Task<Status> execute(RecoverFlushSlaves& command);
  Task<Status> execute(RecoverVerify& command);
  Task<Status> execute(RecoverRetire& command);
  Task<Status> execute(Compare& command);
  Task<Status> execute(RecordVerify& command);
  Task<Status> execute(Close& command);

  struct Place {  // where a device lies, by whatever path
    bool block_device = false;
    dev_t device = 0;
    ino_t inode = 0;  // 0 for a block device
    friend bool operator==(const Place&, const Place&) = default;
  };
  struct Attached {
    Place place;
    std::unique_ptr<Device> device;  // null: left out
    MadeFile made;                   // of a file that was not there
  };
  static bool place_of(const std::string& path, Place& into);
  bool is_attached(const Place& place) const;
  static Status open_or_make(const std::string& path, const OpenFileOptions& options, OpenFile& file, Attached& into,
                             DeviceFacts& facts);
  Status attach(const std::string& path, const OpenFileOptions& options, ImageIndex image, Attached& into,
                DeviceFacts& facts);
  static std::vector<std::size_t> order_of_opening(const std::vector<std::string>& paths);
  void detach_images();
  bool alone_in(Phase first, Phase second) const;
  Task<Status> with_superblock(Task<Status> step, Superblock& into);
  Shape shape() const;

  Reactor& reactor_;
  void (*const done_)(void* context, Piece& piece);
  void* const context_;
  Gate gate_;
  std::unique_ptr<Condition> settled_;  // active_ went down
  std::unique_ptr<Session> session_;
  Attached log_;
  std::vector<Attached> images_;
  unsigned active_ = 0;
  bool has_superblock_ = false;
  bool closing_ = false;
};

}  // namespace blockmirror
