// Session::State: what a session holds, and what its steps share. Inside of this room alone.
//
// A step counts itself as under way (StepUnderWay) and asks may_step() for its phases; close() waits for those under way.
#pragma once

#include <algorithm>
#include <cerrno>
#include <initializer_list>
#include <optional>
#include <vector>

#include "../format/label.h"
#include "../images/master_repair.h"
#include "../images/membership.h"
#include "../images/piece_runner.h"
#include "../images/watched_device.h"
#include "../log/history_writer.h"
#include "../log/log_reader.h"
#include "../mirror/comparison.h"
#include "../mirror/mirror.h"
#include "left_out.h"
#include "session.h"

namespace blockmirror {

inline bool one_of(Phase phase, std::initializer_list<Phase> allowed) {
  return std::find(allowed.begin(), allowed.end(), phase) != allowed.end();
}

class StepUnderWay {
 public:
  StepUnderWay(unsigned& count, Condition& ended) : count_(count), ended_(ended) { ++count_; }
  ~StepUnderWay() {
    if (--count_ == 0) ended_.wake_all();
  }
  StepUnderWay(const StepUnderWay&) = delete;
  StepUnderWay& operator=(const StepUnderWay&) = delete;

 private:
  unsigned& count_;
  Condition& ended_;
};

inline Outcome wrong_phase() { return Outcome::of(Code::WRONG_PHASE); }
inline Outcome no_memory() { return Outcome::of(Code::NO_MEMORY, kLogDevice, ENOMEM); }

// More than a running mirror takes when it begins: four records in flight of 64 KiB, their intents, regions.
inline constexpr std::size_t kMirrorMemory = 4 * kMiB;

struct Session::State final : private FractureListener {
  explicit State(Runtime& with)
      : runtime(with), history(with), membership(with, superblock, counters), debts(with, superblock) {
    membership.on_fracture(*this);
    membership.tell_history(history);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  Runtime& runtime;
  DeviceLatencies* latencies = nullptr;
  std::optional<std::uint64_t> chosen_timeout_ns;  // by this opening; else the log's policy holds
  std::unique_ptr<WatchedDevice> watched_log;
  std::vector<std::unique_ptr<WatchedDevice>> watched_images;
  Phase phase = Phase::idle;
  Superblock superblock;
  Counters counters;
  HistoryWriter history;
  Membership membership;
  Debts debts;
  MasterRepair repair{membership, superblock, counters};

  std::optional<RingReader> scanning;

  // What the last assess found; activate acts on it and on nothing older.
  bool assessed = false;
  bool clean = false;
  bool ring_damaged = false;
  bool ring_has_gaps = false;
  std::uint64_t scanned_sequence = 0;
  std::uint64_t scanned_tail = 0;
  std::uint64_t highest_sequence = 0;
  ExtentSet debt;
  std::vector<Outcome> verdicts;
  std::vector<Outcome> unopened;  // by set_images
  bool assume_identical = false;  // of the plan

  std::uint64_t recovery_budget = kDefaultRecoveryBudget;
  PieceRunner pieces{runtime};
  std::optional<Mirror> mirror;
  std::optional<Resync> resync;
  bool resync_running = false;
  bool changing_policies = false;  // one change after the other
  Condition policies_changed{runtime};
  // Steps under way; close() waits for them, and refuses those that come later.
  unsigned steps_in_flight = 0;
  Condition steps_ended{runtime};
  bool to_be_recovered = false;  // or made: end_recovery has not succeeded yet
  bool ending_recovery = false;  // before the first request: no other step may come between
  bool closing = false;
  Outcome close_outcome;
  Condition closed{runtime};
  Outcome broken;  // a flush of the master failed: never retried (I11)

  std::uint64_t next_sequence = 0;  // of the incarnation that activate or format began

  std::uint64_t timeout_ns() const;
  Outcome refuse_stalled(unsigned slave) const;
  std::unique_ptr<WatchedDevice> watch(Device& device, std::size_t image) const;
  void set_timeouts() const;
  void leave_images();
  bool is_stalled(unsigned image) const {
    return image < watched_images.size() && watched_images[image] && watched_images[image]->stalled();
  }

  Extent whole() const { return {0, superblock.size}; }
  Outcome may_step(std::initializer_list<Phase> allowed) {
    note_stop();
    if (closing) return Outcome::of(Code::CLOSED);
    return one_of(phase, allowed) && !ending_recovery ? Outcome::success() : wrong_phase();
  }
  Outcome check_extents(const std::vector<Extent>& extents) const {
    for (const Extent& extent : extents) {
      const bool fits = !extent.empty() && extent.length <= kCopyLength && extent.end() <= superblock.size;
      if (!fits) return Outcome::of(Code::OUT_OF_RANGE, kNoImage, 0, extent.position);
    }
    return extents.size() <= kCopyExtents ? Outcome::success() : Outcome::of(Code::OUT_OF_RANGE);
  }
  // A mirror that is being made needs every slave: it would otherwise start degraded, and nobody asked for that.
  Outcome with_all_slaves(Outcome outcome) const;
  void slave_left(unsigned slave, ImageState from, DebtKind recorded) override;
  void owe_crash_debt(ImageSet slaves);
  void begin_debts();
  void begin_resyncs_after_crash();
  ImageSet recovering() const;
  Outcome judge_unattached(unsigned image) const;
  Outcome judge_left_out(ImageSet left_out);
  void leave_out(unsigned slave, const LeftOut& why);
  Task<Outcome> read_ring(std::uint64_t bytes);
  bool tell_ring(Assessment& into);
  Outcome takes_requests() const;
  Task<Outcome> flush_images();
  Task<Outcome> retire_what_was_before();
  Task<Outcome> finish_recovery(RecoverySummary summary);
  Task<Outcome> write_new_ring();
  Task<Outcome> seal();
  Task<Outcome> change_policies(const PolicyChange& change);
  Task<Outcome> shut_down();
  Task<Outcome> owe_found(const Comparison& comparison, CompareResult& into);
  Task<Outcome> start_opened();
  void start_mirror(std::uint64_t tail);
  Task<Outcome> begin_incarnation(const ActivateOptions& options);
  Task<Outcome> finish_format();
  SnapshotDebt debt_of(unsigned image) const;
  Event event_of(EventKind kind) const;  // of no image
  void tell_verified(const VerifyResult& found);
  void tell_unread(const CompareResult& found);
  void tell_policies(const Policies& before);
  void tell_opened();
  void tell_stop();
  Task<void> end_history();
  void note_stop() {
    const bool lives = one_of(phase, {Phase::formatting, Phase::recovering, Phase::running});
    if (lives && mirror && (!mirror->stopped().ok() || !mirror->log().failure().ok())) {
      phase = Phase::stopped;
      tell_stop();
    }
  }
};

}  // namespace blockmirror
