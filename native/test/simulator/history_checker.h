// The oracle for the history: what stands in it has happened, in order, none of it twice, and what was durable before a crash
// is there unless the ring went round. At the boundary of the devices, by docs/FORMAT.md and by nothing of native/core.
//
//   - an event is written durably, one at a time, behind every event that is there; never over a newer one
//   - an event about an image's state, an opening or a seal is written when a superblock on the log says so, not before
//   - no event of a change, an opening or a seal is written twice
//   - what is found after a crash is what was written, and every event whose write had ended is found
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "log_decoder.h"
#include "machine.h"

namespace blockmirror::simulator {

inline constexpr std::uint64_t kStoredHistoryPosition = 128 * 1024;  // bytes
inline constexpr std::uint64_t kStoredEvents = 1024;                 // slots of one sector
inline bool in_history(std::uint64_t position) {
  return position >= kStoredHistoryPosition && position < kStoredHistoryPosition + kStoredEvents * kSimulatedSector;
}

// What was written to the history up to a crash; goes on with the life after it.
struct WrittenHistory {
  struct Event {
    std::uint64_t sequence = 0;
    SectorRef content;
    bool durable = false;
  };
  std::vector<Event> events;
  // Put there before the first life, by sequence - 1.
  std::shared_ptr<const std::vector<SectorRef>> before;
  std::uint64_t hash() const;
};

// Full events of a mirror with that log, durable: sequences 1 to `count`.
WrittenHistory fill_history(Disks& disks, std::uint64_t count);

class HistoryChecker {
 public:
  using Violation = std::function<void(const char* oracle, std::string words)>;
  HistoryChecker(WrittenHistory written, unsigned slaves, Violation violation);

  // `judge`: what is found is held to what was written; not where an older copy of the log was put back.
  void begins(const SparseDisk& log, bool judge);
  void submitted(unsigned disk, const DeviceRequest& request);
  void settled(unsigned disk, const DeviceRequest& request, int error);

  const WrittenHistory& written() const { return written_; }
  std::uint64_t events_written() const { return events_written_; }

 private:
  // What a superblock on the log said.
  struct Claim {
    std::uint64_t generation = 0;
    std::uint64_t openings = 0;
    unsigned lifecycle = 0;
    std::vector<StoredState> states;
  };
  void claim(const std::byte* superblock);
  void judge_found(const SparseDisk& log) const;
  void judge_happened(const std::byte* event) const;
  void judge_new(const std::byte* event) const;
  bool may_hold(std::uint64_t sequence, const SectorRef& content) const;

  WrittenHistory written_;
  unsigned slaves_;
  Violation violation_;
  std::vector<Claim> claims_;
  std::uint64_t newest_ = 0;  // that was found, or written since
  unsigned under_way_ = 0;
  std::uint64_t events_written_ = 0;
};

}  // namespace blockmirror::simulator
