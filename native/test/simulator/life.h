// One life of the process over one machine: opens the mirror as lib/ does, recovers where it has to, does what its plan
// says, closes, with every oracle watching. Driven from outside event by event, so that a crash can come anywhere.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "../../core/session/session.h"
#include "chooser.h"
#include "history_checker.h"
#include "machine.h"
#include "model.h"
#include "order_checker.h"
#include "verdict.h"
#include "world.h"

namespace blockmirror::simulator {

inline constexpr unsigned kMostSteps = 4096;  // of one resync: one that runs in circles ends

// Garbage in the data of a slave since nobody had it open. Gone once the sector holds anything else.
struct RottenSector {
  unsigned disk = 2;
  std::uint64_t sector = 0;
  SectorRef garbage;
};

// How an opening may end where there is a reason: the code, and the device that it names.
struct Refusal {
  Code code = Code::ok;
  ImageIndex image = kNoImage;
  friend bool operator==(const Refusal&, const Refusal&) = default;
};

// What is expected of the opening.
struct Expectation {
  Promise promise = Promise::durable;
  std::vector<bool> may_be_live;  // by block; what recovery may copy
  std::vector<RottenSector> rotten;
  std::uint32_t differing = 0;    // by image: a verify reported it, and nothing since may have shown it equal
  std::uint32_t lost_blocks = 0;  // by disk: its file has, and says so
  std::uint64_t owed_before = 0;  // bytes of earlier crashes that no recovery has let go
  std::uint32_t restored = 0;     // by image: it was out, and an older copy of it was put back
  bool damage_possible = false;   // the log or a label was damaged: a full compare is right
  bool damage_expected = false;   // and anything else would be a guess
  bool refusal_expected = false;  // an older copy was put back: the opening must be refused
  std::vector<Refusal> refusals;  // and so: what says that
  bool copies_damaged = false;    // one copy of a superblock or label, beside whatever a crash tore
  WrittenHistory history;         // in the lives before
};

class Life {
 public:
  Life(const World& world, const Geometry& geometry, Disks disks, Model model, const LifePlan& plan,
       const Expectation& expectation, std::uint64_t number, Chooser& chooser, Verdict& verdict);
  ~Life();
  Life(const Life&) = delete;
  Life& operator=(const Life&) = delete;

  // Lets one thing happen; false when nothing more will.
  bool step();
  bool running() const { return running_; }
  bool opening() const { return !opened_; }
  bool ended() const { return ended_; }
  bool recovered() const { return recovered_; }
  bool ran() const { return ran_; }  // it opened, and may have written
  bool refused() const { return opened_ && !ran_; }
  const Machine& machine() const { return machine_; }
  const Model& model() const { return model_; }
  const Expectation& expectation() const { return expectation_; }
  const WrittenHistory& history() const { return history_.written(); }
  // What earlier crashes spared, unless this life opened: then all that it found is certain. One whose opening was refused
  // in the middle of its recovery has shown nothing to anybody.
  Promise promise() const { return ran_ ? Promise::acknowledged : expectation_.promise; }
  std::vector<bool> may_be_live() const;
  // What lives before this crash left, and a recovery beside the requests has not let go.
  std::uint64_t owed_before() const;
  std::uint32_t differing() const { return differing_; }
  std::uint64_t number() const { return number_; }
  std::size_t actions_begun() const { return next_action_; }
  // At any time while it runs.
  void judge_states();

 private:
  Task<void> open_steps();
  Task<Outcome> recover();
  Task<void> ask_too_early();
  Task<void> recover_beside();
  Task<Outcome> pay_crash_debt();
  void call_off();
  Task<void> close_steps();
  Task<void> act(const Action& action);
  Task<void> write(const Action& action);
  Task<void> read(const Action& action);
  Task<void> retire();
  Task<void> fracture(const Action& action);
  Task<void> verify(bool repair);
  Task<void> take(const Action& action);
  void judge_refused_take(unsigned slave, const Outcome& outcome);
  Task<void> rejoin(bool full);
  Task<void> resync(const Action& action);
  bool resyncs(unsigned slave) const;
  bool is_away(unsigned slave) const { return (plan_.away >> slave & 1u) != 0; }
  void judge_point_in_time(unsigned slave);
  void judge_rejoin(unsigned slave, const Outcome& outcome);
  void judge_resynced(unsigned slave);
  bool keeps_crash_debt() const;
  void judge_stored_debts();
  bool is_in_sync(unsigned slave) const;
  Task<Outcome> compare_all(bool repair, VerifyResult& found);
  Task<void> pay_found(VerifyResult& found);
  std::vector<std::uint64_t> rotten_in(unsigned slave, Extent piece) const;
  void judge_owed(Extent piece, const CompareResult& step);
  Task<Outcome> remember(const VerifyResult& found);
  void issue();
  bool may_issue() const;
  bool may_close() const;
  bool only_late() const;
  bool wait_for_deadlines();
  void note_deadlines(const DeviceRequest* settling, unsigned disk);
  unsigned spare_slow(unsigned chosen, unsigned completable, unsigned options);
  void judge_opening();
  std::vector<Refusal> reasons() const;
  void judge_refusal(const Outcome& outcome);
  bool lie_is_noted() const;
  void judge_copy_of_lie(unsigned disk, const DeviceRequest& request);
  void judge_failed_read(Extent extent, const Outcome& outcome);
  // What the mirror holds: of the master, and of a slave in sync where the master cannot be read.
  SparseDisk content() const;
  bool somebody_serves(Extent extent, bool crashed) const;
  bool is_recovered(Extent sector) const;
  bool debt_is_lost() const;
  void judge_debt();
  void judge_losses();
  void judge_comparison(Extent piece, const CompareResult& step);
  void judge_report(const VerifyResult& found, std::uint32_t rotten_before);
  bool receives(unsigned slave) const;
  bool is_rotten(unsigned slave, std::uint64_t sector) const;
  std::uint32_t rotten_slaves() const;
  void set_differing(unsigned slave, bool differs);
  void count_ahead();
  void note(const std::string& words);
  std::string words_of_request(unsigned disk, const DeviceRequest& request) const;
  class Tracer;

  const World& world_;
  const Geometry& geometry_;
  Verdict& verdict_;
  Chooser& chooser_;
  LifePlan plan_;
  Expectation expectation_;
  std::uint64_t number_;
  Model model_;
  std::size_t trace_begin_;
  OrderChecker checker_;
  HistoryChecker history_;
  std::unique_ptr<Tracer> tracer_;
  Machine machine_;
  std::unique_ptr<Session> session_;
  Assessment assessment_;
  std::size_t next_action_ = 0;
  unsigned actions_running_ = 0;
  std::vector<CallOff*> called_off_;  // of each write under way
  unsigned timers_in_a_row_ = 0;      // while nothing else could happen
  ImageSet named_by_ring_ = 0;   // slaves that the opening found in sync: what they owe of the crash the ring names
  bool owes_of_before_ = false;  // and one that owes of a crash before that
  bool recovers_beside_ = false;
  bool recovery_ended_ = false;
  unsigned put_off_ = 0;             // answers of the slow disk
  std::uint64_t regions_ahead_ = 0;  // covered ahead of a stream, as far as they are counted
  bool lie_is_noted_ = false;        // in the log, before this opening
  std::uint32_t differing_ = 0;      // as Expectation has it
  bool opened_ = false;              // the opening ended, well or not
  bool running_ = false;
  bool ran_ = false;
  bool recovered_ = false;
  bool closing_ = false;
  std::uint64_t closing_since_ = 0;  // submissions before it
  bool closed_ = false;
  bool ended_ = false;
};

}  // namespace blockmirror::simulator
