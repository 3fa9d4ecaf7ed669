// Commands: the steps of a mirror's life as values. Arguments are filled in on the JavaScript thread, results on the
// engine thread; between submission and completion a command belongs to the engine thread alone.
// One struct per entry of NativeCommands in lib/binding.ts, in its order.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "../core/session.h"

namespace blockmirror {

struct DeviceFacts {
  std::string path;
  DeviceTraits traits;
};

struct OpenLog {
  std::string path;
  bool read_only = false;
  bool exclusive = true;
  bool require_allocated = true;
  DeviceFacts facts;
};

struct LoadSuperblock {
  Superblock superblock;
};

struct OpenImages {
  std::vector<std::string> paths;  // empty: that image is left out
  bool read_only = false;
  bool exclusive = true;
  bool members = false;  // of a mirror that is there; else files must be allocated in full
  std::vector<DeviceFacts> facts;
};

struct FormatLog {
  FormatOptions options;
  Superblock superblock;
};

struct Assess {
  Assessment assessment;
};

struct Activate {
  ActivateOptions options;  // the owner's process and time are filled in by the host
  Superblock superblock;
};

struct RecoverFlushMaster {};

struct RecoverCopy {
  std::vector<Extent> extents;
  bool compare = false;
  bool only_differing = false;
  CopyResult result;
};

struct RecoverFlushSlaves {};

struct RecoverVerify {
  std::vector<Extent> extents;
  CompareResult result;
};

struct RecoverRetire {
  RecoverySummary summary;  // the time is filled in by the host
};

struct Compare {
  std::vector<Extent> extents;
  bool all = false;
  CompareResult result;
};

struct RecordVerify {
  VerifyResult found;
};
struct RetireAll {};
struct Close {};

// What requests are checked against on the JavaScript thread, known once there is a superblock.
struct Shape {
  std::uint64_t size = 0;        // bytes of the mirror
  std::uint32_t block_size = 0;  // bytes; 0: not known yet
  std::uint32_t memory_alignment = 4096;
};

struct Command {
  using Body =
      std::variant<OpenLog, LoadSuperblock, OpenImages, FormatLog, Assess, Activate, RecoverFlushMaster, RecoverCopy,
                   RecoverFlushSlaves, RecoverVerify, RecoverRetire, Compare, RecordVerify, RetireAll, Close>;
  Body body;
  Shape shape;  // out: after the command
};

}  // namespace blockmirror
