// Session: a mirror's life, from opening the log to sealing it, as explicit phases.
//
// The orchestration (which step when, what to tell the operator) belongs to the caller: lib/ in production, the
// simulator in tests. The session makes a wrong order impossible: each step names the phases it may be called in
// and answers WRONG_PHASE otherwise, and recover_retire refuses while any debt was not copied and flushed.
//
//   idle --load_superblock--> loaded --activate--> running               (clean)
//                                     --activate--> recovering --recover_retire--> running
//   idle --plan_format--> planned --format--> formatting --recover_retire--> running
//   any  --close--> closed;   running --master or log failed--> stopped
//
// Invariants: I3 (recovery), I8 (attach, incarnation), I10 (status is derived), I12.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "device.h"
#include "extent.h"
#include "runtime.h"
#include "status.h"
#include "superblock.h"
#include "task.h"

namespace blockmirror {

inline constexpr std::uint64_t kMiB = 1024 * 1024;
inline constexpr std::uint64_t kRegionLength = kMiB;  // bytes; requests are split at its multiples
// Of copying, verifying and comparing: a step's extents, and what is under way at once over all steps.
inline constexpr std::uint64_t kCopyLength = kMiB;     // bytes of an extent
inline constexpr std::size_t kCopyExtents = 64;        // of a step
inline constexpr unsigned kCopyLanes = 64;             // pieces at once
inline constexpr std::uint64_t kCopyBytes = 4 * kMiB;  // bytes at once, of each image
inline constexpr std::uint64_t kMinimumRecoveryBudget = kMiB;
inline constexpr std::uint64_t kMaximumRecoveryBudget = std::uint64_t{1} << 50;
inline constexpr std::uint64_t kDefaultRecoveryBudget = 64 * kMiB;
inline constexpr std::uint32_t kDefaultRingRecords = 4096;
inline constexpr std::uint32_t kMinimumRingRecords = 8;
inline constexpr std::uint32_t kRecordsInFlight = 4;

enum class Phase : std::uint8_t { idle, loaded, planned, formatting, recovering, running, stopped, closed };

struct LiveIntent {
  std::uint64_t sequence = 0;
  Extent extent;
};

// How far the look at the ring is. A long ring is looked at in two passes, so that the total may grow.
struct ScanProgress {
  bool done = false;
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;
};

struct Assessment {
  bool clean = false;
  bool damaged = false;
  std::vector<std::string> damage;  // plain words, the first of damage_count
  std::uint64_t damage_count = 0;
  std::uint64_t torn_records = 0;
  std::uint64_t sequence = 0;            // newest durable record
  std::uint64_t tail = 0;                // oldest record that still counts
  std::uint64_t live_records = 0;        // that hold live intents
  std::vector<LiveIntent> live_intents;  // the first kReportedIntents (log_reader.h), in order of sequence
  std::uint64_t live_intent_count = 0;   // of all
  ExtentSet debt;                        // what recovery must copy
  std::vector<Status> images;            // per image: ok, or why it may not be attached
};

struct FormatOptions {
  struct Image {
    std::string name;
    std::string path;
    PathKind path_kind = PathKind::absolute;
  };
  std::uint64_t size = 0;  // bytes; 0: the largest that all images allow
  std::uint32_t ring_records = kDefaultRingRecords;
  bool assume_identical = false;
  std::vector<Image> images;  // [0] is the master; one per device given to set_images
};

struct ActivateOptions {
  std::uint64_t recovery_budget = kDefaultRecoveryBudget;
  Owner owner;
  // Slaves that are failed with this opening: their verdict is that they lost allocation. Their fracture is durable with
  // the new incarnation.
  ImageSet lost = 0;
  // When not empty, one per image: where the images were found this time, to be remembered.
  std::vector<FormatOptions::Image> found_at;
};

// Of a write that begins or ends inside of a block: the bytes of its extent that it does not name. They keep what they
// hold: they are read from the master and written back under the write's own lock (I6).
struct PartialBlocks {
  std::uint32_t head = 0;  // bytes before the first one named
  std::uint32_t tail = 0;  // bytes behind the last one
  bool any() const { return head != 0 || tail != 0; }
};

struct Difference {
  unsigned slave = 0;  // 0 is the first slave
  Extent extent;
  ImageSet agreeing = 0;  // other slaves that hold there the same as this one
  bool expected = false;  // inside what an unfinished recovery is going to copy
};

// Bytes of an image that could not be read were written anew from another one, and read back.
struct Repair {
  unsigned image = 0;
  unsigned from = 0;
  Extent extent;
};
inline constexpr std::size_t kRecentRepairs = 16;
inline constexpr std::size_t kReportedRepairs = 1000;  // of one step; all are counted
struct RecentRepairs {
  std::uint64_t count = 0;                     // since the session began; the newest is repairs[(count - 1) % size]
  std::array<Repair, kRecentRepairs> repairs;  // a ring
};

struct CopyResult {
  // Per slave; of those that were compared. What a slave could not read counts as different.
  std::vector<std::uint64_t> bytes_differed;
  std::vector<std::uint64_t> bytes_copied;
  std::vector<Repair> repairs;  // bounded
};
struct CompareResult {
  // Per slave, index 0 is the first. A slave whose bytes_compared fall short was not compared there.
  std::vector<std::uint64_t> bytes_compared;
  std::vector<std::uint64_t> bytes_differed;
  std::vector<std::uint64_t> bytes_expected;  // of those that differ: inside what recovery is going to copy
  std::vector<std::uint64_t> bytes_shared;    // of those that differ: where another slave holds the same
  std::vector<Status> unread;                 // READ_FAILED: the first read of that slave that failed
  std::vector<Difference> differences;        // bounded
};
// Of a verify, whole or cut off: per slave, what was compared, and what of it differed outside of live intents.
struct VerifyResult {
  std::vector<std::uint64_t> bytes_compared;
  std::vector<std::uint64_t> bytes_differed;
};

// One name and one atomic-width number each; see Snapshot::counters and docs/API.md.
// The formatter would break the list anew each time it runs.
// clang-format off
#define BLOCKMIRROR_COUNTERS(X) \
  X(reads) \
  X(writes) \
  X(discards) \
  X(flushes) \
  X(bytesRead) \
  X(bytesWritten) \
  X(bytesDiscarded) \
  X(coveredWrites) \
  X(intentsLogged) \
  X(logRecords) \
  X(logBytes) \
  X(retirements) \
  X(regionsRetired) \
  X(regionsCarried) \
  X(budgetWaits) \
  X(ringWaits) \
  X(rangeWaits) \
  X(fractures) \
  X(repairs) \
  X(repairsFailed)
// clang-format on

struct Counters {
#define X(name) std::uint64_t name = 0;
  BLOCKMIRROR_COUNTERS(X)
#undef X
};

// A copy of the state that status is derived from; cheap enough to take every turn of the loop.
struct Snapshot {
  Phase phase = Phase::idle;
  Status stopped;
  unsigned image_count = 0;
  std::array<ImageState, kMaxImages> states{};
  std::array<int, kMaxImages> errors{};                    // errno that failed the image, 0 otherwise
  std::array<std::uint64_t, kMaxImages> bytes_differed{};  // as ImageRecord has them
  std::array<std::uint64_t, kMaxImages> changed_at_ms{};   // as ImageRecord has them
  VerifySummary last_verify;
  Generation generation;
  std::uint64_t requests_in_flight = 0;  // reads, writes, discards, flushes accepted and not settled
  std::uint64_t sequence = 0;
  std::uint64_t tail = 0;
  std::uint32_t ring_records = 0;
  std::uint64_t coverage_bytes = 0;
  std::uint64_t coverage_regions = 0;
  std::uint64_t recovery_budget = 0;
  std::uint64_t uncertain_bytes = 0;  // debt of an unfinished recovery
  RecentRepairs recent_repairs;
  Counters counters;
};

class Session {
 public:
  explicit Session(Runtime& runtime);
  ~Session();  // asserts that nothing is in flight
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Phase phase() const;
  // Devices stay the caller's and must outlive the session's last request. A null image is absent (a failed slave).
  void set_log(Device& log);
  void set_images(std::vector<Device*> images);

  Task<Status> load_superblock();
  // Decides everything about a new mirror, and writes that plan, `creating`, durably to the log; nothing else yet.
  Task<Status> plan_format(FormatOptions options);
  // Writes the rest of the log and the labels. A mirror is made with all its slaves: from here to the end of
  // recover_retire the first that fails ends it, SLAVE_FAILED.
  Task<Status> format();
  // The first part of assess, about `bytes` of the ring at a time, for whoever wants to tell how far it is or to leave in
  // between. May be left out: assess does what is left of it. NO_MEMORY.
  Task<Status> scan_ring(std::uint64_t bytes, ScanProgress& into);
  Task<Status> assess(Assessment& into);
  Task<Status> activate(ActivateOptions options);
  const Superblock& superblock() const;  // loaded or later

  Task<Status> recover_flush_master();
  // compare: the slaves are read too, to count the bytes that differ. only_differing: and only those blocks written.
  Task<Status> recover_copy(std::vector<Extent> extents, bool compare, bool only_differing, CopyResult& into);
  Task<Status> recover_flush_slaves();
  Task<Status> recover_verify(std::vector<Extent> extents, CompareResult& into);
  Task<Status> recover_retire(RecoverySummary summary);

  // Running or recovering. `all`: slaves that receive no writes are compared too, where their device is attached.
  Task<Status> compare(std::vector<Extent> extents, bool all, CompareResult& into);
  // Running or recovering: remembers durably what differed. A slave that was found equal all over is no longer assumed,
  // and what was remembered of it is forgotten.
  Task<Status> record_verify(VerifyResult found);
  Task<Status> retire_all();
  // Waits for every request accepted before it, seals when running, and ends the background work.
  Task<Status> close();

  // The write path. extent lies inside one region (no multiple of kRegionLength strictly inside), aligned to
  // superblock().block_size; bytes are frozen and stay until the task is done (I7), aligned as the devices need.
  // `cancelled` is read once before the first image is written; true then: ABORTED.
  Task<Status> write(Extent extent, std::span<const std::byte> bytes, bool durable, const std::atomic<bool>* cancelled);
  // The same for whole blocks around a write that begins or ends inside of them. `bytes` is as long as the extent; what
  // stands in it outside of the bytes named is replaced.
  Task<Status> write_partial(Extent extent, std::span<std::byte> bytes, PartialBlocks partial, bool durable,
                             const std::atomic<bool>* cancelled);
  Task<Status> discard(Extent extent);
  Task<Status> read(Extent extent, std::span<std::byte> into);
  Task<Status> flush();  // datasync

  Snapshot snapshot() const;
  std::uint32_t memory_alignment() const;  // largest of the attached devices

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace blockmirror
