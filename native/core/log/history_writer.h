// HistoryWriter: writes events into the ring of history on the log, behind whatever happens.
//
// Invariants:
//  - History is told, never relied on. Nobody waits for it but close(), and that at most for a deadline (I15); what it cannot
//    write is counted, and the mirror goes on. Why a failed write does not stop the mirror: docs/ARCHITECTURE.md, "History".
//  - An event is told when it has happened: what it says is durable where it has to be (superblock, label, seal).
//  - One write under way at a time, durable, in the order in which events were told. Each has the next sequence. One that was
//    told and not written has used its sequence up: a gap says that something is missing, and how much.
//  - The newest sequence is found by reading the area once, before the first write, and after the opening has ended.
//  - I14: no write is under way while a map is written and not flushed (hold_back). A device that fails a write may have lost
//    its cache with it; every other write to the log that is not durable by itself belongs to somebody who stops then.
//  - I15: memory of a write that the device has not answered stays until it has, whoever goes meanwhile.
// Bounded: kQueuedEvents wait; repairs and errors of one image are gathered: one at once, then one a kGatherPeriod_ns.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "../base/device.h"
#include "../base/outcome.h"
#include "../base/runtime.h"
#include "../base/task.h"
#include "../format/history.h"

namespace blockmirror {

class HistoryWriter {
 public:
  static constexpr std::size_t kQueuedEvents = 128;
  static constexpr std::uint64_t kGatherPeriod_ns = 60'000'000'000;
  static constexpr unsigned kFailuresInARow = 3;  // then it writes no more in this opening

  explicit HistoryWriter(Runtime& runtime);
  ~HistoryWriter();
  HistoryWriter(const HistoryWriter&) = delete;
  HistoryWriter& operator=(const HistoryWriter&) = delete;

  // Without it nothing is kept, and nothing read.
  void keep() { kept_ = true; }
  bool is_kept() const { return kept_; }

  // An event that has happened. Its sequence is given here, and its date where it has none. What does not fit the format (a
  // name that is too long, an errno beyond its range) is made to fit.
  void tell(Event event);
  // One of many alike: its kind, for its image. The first is told at once; those that follow within a period as one: their
  // bytes together, an extent around them all, how long they took.
  void gather(Event event);
  // That one event is missing, for want of room where it was kept until it had happened.
  void lose();

  // From here on events are written. `blank`: the area holds zeroes, and need not be read.
  void begin(Device& log, const Uuid& log_uuid, bool blank);
  bool has_begun() const { return worker_ != nullptr; }
  bool has_waiting() const { return waiting_ > 0 || has_gathered(); }

  // No write begins from here to go_on().
  void hold_back();
  void go_on();
  // Until the write under way has ended.
  Task<void> landed();
  // Until all that was told is written, given up, or the time has passed. What was gathered is told first.
  Task<void> drain(std::uint64_t timeout_ns);

  // Events told in this opening that are not in the log, and never will be.
  std::uint64_t lost() const { return lost_; }
  // Whether it has stopped writing.
  bool has_given_up() const { return given_up_; }

 private:
  struct Worker;
  struct Gathering {
    Event sum;
    bool open = false;
    std::uint64_t more = 0;  // events in the sum
    std::uint64_t until_ns = 0;
    std::uint64_t first_ms = 0;
  };
  static constexpr std::size_t kGatheredKinds = 2;
  Gathering& gathering_of(const Event& event);
  bool has_gathered() const;
  void tell_gathered(bool all);
  void arm_gathering();
  static void gathering_due(void* writer);
  static void drain_due(void* writer);
  void start();
  void give_up();

  Runtime& runtime_;
  bool kept_ = false;
  bool given_up_ = false;
  bool held_back_ = false;
  bool drain_over_ = false;
  std::uint64_t told_ = 0;
  std::uint64_t lost_ = 0;
  std::size_t waiting_ = 0;   // in the queue
  std::size_t first_ = 0;     // of the queue
  std::vector<Event> queue_;  // a ring of kQueuedEvents, with the event's number in this opening as its sequence
  Worker* worker_ = nullptr;  // owns itself once it is left
  Condition ended_;           // a write, or all of them
  Timer gather_timer_;
  Timer drain_timer_;
  std::array<std::array<Gathering, kMaxImages + 1>, kGatheredKinds> gathered_;
};

// What the area holds. A part of it that cannot be read is left out. NO_MEMORY.
Task<Outcome> read_history(Device& log, const Uuid& log_uuid, HistoryScan& into);

}  // namespace blockmirror
