// Commands: the steps of a mirror's life as values. Arguments are filled in on the JavaScript thread, results on the
// engine thread; between submission and completion a command belongs to the engine thread alone.
// One struct per entry of NativeCommands in lib/base/binding.ts, in its order.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "../core/session/session.h"
#include "../devices/open_file.h"

namespace blockmirror {

enum class Made : std::uint8_t { no, length, file };  // it was there; it was there, empty; it was not there

struct DeviceFacts {
  std::string path;
  DeviceTraits traits;
  // Where it lies: st_rdev and 0 of a block device, st_dev and st_ino of a file.
  dev_t device = 0;
  ino_t inode = 0;
  Ownership ownership;
  Made made = Made::no;
  // By which it is held until close; -1: it is not held.
  int descriptor = -1;
};

DeviceFacts facts_of(const OpenFile& file);

struct OpenLog {
  std::string path;
  bool read_only = false;
  bool exclusive = true;
  bool require_allocated = true;
  bool resolved = false;
  std::uint64_t make_length = 0;  // above 0: a file that is not there is made, one that is empty is given this length
  std::optional<std::uint64_t> device_timeout_ms;  // of log and images; 0: none; empty: the log's policy
  DeviceFacts facts;
};

struct LoadSuperblock {
  Superblock superblock;
  const char* refused = "";  // LOG_DAMAGED: what contradicts, as Outcome::reason has it
};

struct OpenImages {
  std::vector<std::string> paths;  // empty: that image is left out
  bool read_only = false;
  bool exclusive = true;
  bool resolved = false;
  bool members = false;                     // of a mirror that is there; else files must be allocated in full
  ImageSet optional = 0;                    // those that may stay unopened: each of them has its outcome
  std::vector<std::uint64_t> make_lengths;  // one per path, or none at all
  std::vector<DeviceFacts> facts;
  std::vector<Outcome> outcomes;
};

struct PlanFormat {
  FormatOptions options;
  Superblock superblock;
};

// Gives the files that were made, and have none yet, their names.
struct LinkLog {};
struct LinkImages {};

// Removes the files that were made, or makes them empty again; the log last. Before formatting alone.
struct Unmake {};

// Writes zeroes over an image that was made, and flushes it when there is nothing to write.
struct FillImage {
  std::uint32_t image = 0;
  std::vector<Extent> extents;
};

struct FormatLog {
  Superblock superblock;
};

struct ScanRing {
  std::uint64_t bytes = 0;
  ScanProgress progress;
};

struct Assess {
  Assessment assessment;
};

struct ReadDebts {
  Extent extent;       // length 0: nothing is asked about
  ImageSet owing = 0;  // slaves that owe something of it
};

struct ReadHistory {
  HistoryScan scan;
};

struct Activate {
  ActivateOptions options;  // the owner's process and time are filled in by the host
  Superblock superblock;
};

struct SetPolicies {
  PolicyChange change;
  Superblock superblock;
};

struct EndRecovery {
  RecoverySummary summary;  // the time is filled in by the host
};

struct Compare {
  std::vector<Extent> extents;
  CompareOrder order;
  CompareResult result;
};

struct RecordVerify {
  VerifyResult found;
};

struct FractureSlaves {
  ImageSet slaves = 0;
  FractureResult result;
};

// Takes what that slave holds for the content of the mirror.
struct WriteFrom {
  std::uint32_t image = 0;
  Extent extent;
  SourceResult result;
};

// Opens the device of a slave that is out, beside a mirror that runs.
struct AttachImage {
  std::uint32_t image = 0;
  std::string path;
  bool resolved = false;
  DeviceFacts facts;
};

// Lets the device of a slave go that is out, or that an opening leaves out.
struct DetachImage {
  std::uint32_t image = 0;
};

struct Rejoin {
  std::uint32_t image = 0;
  bool full = false;
};

// One step.
struct ResyncStep {
  ResyncOrder order;
  ResyncResult result;
};
struct Close {};

// What requests are checked against on the JavaScript thread, known once there is a superblock.
struct Shape {
  std::uint64_t size = 0;        // bytes of the mirror
  std::uint32_t block_size = 0;  // bytes; 0: not known yet
  std::uint32_t memory_alignment = 4096;
};

struct Command {
  using Body =
      std::variant<OpenLog, LoadSuperblock, OpenImages, PlanFormat, LinkLog, LinkImages, Unmake, FillImage, FormatLog,
                   ScanRing, Assess, ReadDebts, ReadHistory, Activate, SetPolicies, EndRecovery, Compare, RecordVerify,
                   FractureSlaves, WriteFrom, AttachImage, DetachImage, Rejoin, ResyncStep, Close>;
  Body body;
  Shape shape;  // out: after the command
};

}  // namespace blockmirror
