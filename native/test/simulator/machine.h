// One machine for one life of a process: the Runtime and the devices that the real core runs on, single-threaded, in
// virtual time. Requests complete in the order that the caller chooses; everything is a function of those choices.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "../../core/base/device.h"
#include "../../core/base/runtime.h"
#include "../../devices/simulated/volatile_disk.h"
#include "chooser.h"
#include "faults.h"

namespace blockmirror::simulator {

using Disks = std::vector<VolatileDisk>;  // [0] is the log, [1] the master, [2..] the slaves
std::uint64_t hash_of(const Disks& disks);

// What a request in flight would write, by sector.
struct PendingWrite {
  std::uint64_t first_sector = 0;
  std::vector<SectorRef> sectors;
  bool durable = false;
};

struct Pending {
  DeviceRequest* request = nullptr;
  unsigned disk = 0;
  std::uint64_t number = 0;  // in the order of submission
  std::uint64_t flush_mark = 0;
  PendingWrite write;
  bool repairs = false;        // it rewrites what the master cannot read
  std::uint32_t put_back = 0;  // how often it was answered in part or not at all
  std::uint64_t since_ns = 0;
};

// Sees every request at the boundary of the devices.
class Watcher {
 public:
  virtual ~Watcher() = default;
  virtual void submitted(unsigned disk, const DeviceRequest& request) = 0;
  virtual void settled(unsigned disk, const DeviceRequest& request, int error) = 0;
  virtual void cache_lost(unsigned disk) = 0;
  // The memory of a write under way holds other bytes than when it was submitted.
  virtual void changed(unsigned disk, const DeviceRequest& request) = 0;
  // A slave was asked for something while it owes an answer that is past its deadline.
  virtual void asked_while_late(unsigned) {}
  // Whoever asked was told that the file of that disk lost blocks.
  virtual void loss_told(unsigned disk) = 0;
};

// What the devices of a machine are like, bytes. The log's blocks decide how large its records are.
struct Shape {
  std::uint32_t image_block = 512;
  std::uint32_t log_block = 4096;
};

// What a sector holds that lied about a repair.
SectorRef lie_of(std::uint64_t sector);

// A planned fault that struck, and the request that it struck.
struct Struck {
  Fault fault = Fault::write_error;
  unsigned disk = 0;
  Operation operation = Operation::read;
  std::uint64_t position = 0;
};

class Machine : public Runtime {
 public:
  // `number` makes the randomness of this life differ from that of others.
  Machine(Disks disks, std::uint64_t number, Watcher* watcher, Shape shape = {});
  ~Machine() override;

  std::uint64_t now_ns() const override { return now_ns_; }
  std::uint64_t wall_clock_ms() const override { return 1; }  // the same at every moment: equal states stay equal
  void random(std::span<std::byte> into) override;
  void arm(Timer& timer, std::uint64_t deadline_ns) override;
  void disarm(Timer& timer) override;

  Device& device(unsigned disk);
  Disks& disks() { return disks_; }
  const Disks& disks() const { return disks_; }

  // Requests that may complete next, oldest first; those of a device that stopped answering are not among them.
  unsigned completable() const;
  void complete(unsigned index);
  unsigned disk_of(unsigned index) const { return pending_[place_of(index)].disk; }
  const std::vector<Pending>& pending() const { return pending_; }
  // Requests submitted so far, and whether one of the first `number` is still under way.
  std::uint64_t submissions() const { return submissions_; }
  bool any_under_way(std::uint64_t number) const;
  bool fire_timer();  // the next one; false when none is armed
  // Whether one is armed that may well be due before a request under way completes: its firing is one more thing that
  // may happen next. Later ones fire when nothing else can.
  bool timer_competes() const;
  void settle_ready() {
    while (has_ready()) run_ready();
  }

  void plan_faults(std::vector<PlannedFault> faults, std::uint64_t seed);
  // From now on requests count towards the ordinals of planned write and flush faults.
  void start_counting() { counting_ = true; }
  std::function<void(Fault, unsigned disk)> on_fault;
  const std::vector<Struck>& struck() const { return struck_; }

  // Whether the disk still does what it is asked.
  bool answers(unsigned disk) const { return !silent_[disk] && !lost_[disk] && hangs_[disk] == Hang::none; }

  // From now on a request may take that long; 0: as long as it likes.
  void expect_answers_within(std::uint64_t timeout_ns) { timeout_ns_ = timeout_ns; }
  // Whether a device hangs that may answer again.
  bool may_recover() const;
  // All that hang and may; what they owe is answered in its turn.
  void recover();

  // Files that lost blocks, by disk; they stay so until they are made anew.
  std::uint32_t lost_blocks() const { return lost_blocks_; }
  void lose_blocks(std::uint32_t disks) { lost_blocks_ |= disks; }

  // A sector of the master that takes what a repair writes, and holds lie_of() from then on.
  void lie_at(std::uint64_t sector) { lying_.push_back(sector); }
  bool lied() const { return lied_; }
  bool any_struck() const { return !struck_.empty(); }

  // The process is dead: whatever it still asks for fails and changes nothing, so that it can be taken down in an
  // orderly way.
  void die();

 private:
  static constexpr std::uint64_t kSlowRequest_ns = 20'000'000;  // what a request may take, for timer_competes()
  class Port;
  Timer& next_timer() const;
  std::size_t place_of(unsigned index) const;
  void submit(unsigned disk, DeviceRequest& request);
  bool is_late(const Pending& pending) const;
  bool is_held_up(unsigned disk) const { return silent_[disk] || hangs_[disk] != Hang::none; }
  void capture(Pending& pending) const;
  bool memory_changed(const Pending& pending) const;
  void carry_out(Pending& pending);
  SectorRef taken(const Pending& pending, std::size_t index);
  void land_some(Pending& pending);
  std::array<unsigned, 2> sharing(const PlannedFault& fault) const;
  int strike(Pending& pending, bool& again);
  bool is_due(const PlannedFault& fault, const Pending& pending) const;
  void drop_cache(unsigned disk);
  void reset_device(unsigned disk);

  Disks disks_;
  std::vector<std::unique_ptr<Port>> ports_;
  Watcher* watcher_;
  Random random_;
  std::uint64_t now_ns_ = 0;
  std::vector<Pending> pending_;
  std::uint64_t submissions_ = 0;
  std::vector<Timer*> timers_;
  bool dead_ = false;
  bool counting_ = false;

  std::vector<PlannedFault> faults_;
  std::vector<Struck> struck_;
  Random fault_random_{0};
  std::vector<std::array<unsigned, 4>> seen_;        // requests per disk and operation
  std::vector<std::array<unsigned, 4>> seen_early_;  // those of the opening with them
  unsigned seen_repairs_ = 0;
  std::vector<bool> silent_;  // stopped answering
  enum class Hang : std::uint8_t { none, for_now, for_good };
  std::vector<Hang> hangs_;
  std::uint64_t timeout_ns_ = 0;
  std::uint32_t lost_blocks_ = 0;
  std::vector<std::uint64_t> lying_;
  bool lied_ = false;
  std::vector<bool> lost_;  // answers everything with EIO
};

}  // namespace blockmirror::simulator
