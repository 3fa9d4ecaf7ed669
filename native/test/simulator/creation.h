// One life of a process that creates a mirror, over one machine: the steps of lib/life/create.ts, in their order. Driven
// from outside event by event, so that a crash can come anywhere.
//
// What it is held to, at the boundary of the devices:
//   create  no image is written before the plan is durable in both copies of the superblock; of the master nothing is
//           written but its label area, of a slave nothing besides but the mirror's bytes, and none of those where the
//           images are said to be identical; the log calls the mirror ready only with all of itself durable and every
//           slave durably equal to the master; a create that met a fault does not succeed, and names the device; one
//           that met none does
//   I10     who was not copied is only assumed to be in sync
#pragma once

#include <optional>
#include <string>

#include "../../core/session/session.h"
#include "machine.h"
#include "order_checker.h"
#include "verdict.h"
#include "world.h"

namespace blockmirror::simulator {

struct CreationPlan {
  bool assume_identical = false;
  bool read_back = false;
  std::vector<PlannedFault> faults;
};

class Creation : private Watcher {
 public:
  // `number` makes its identities differ from those of others.
  Creation(const World& world, const CreationPlan& plan, Disks disks, std::uint64_t number, Verdict& verdict);
  ~Creation() override;
  Creation(const Creation&) = delete;
  Creation& operator=(const Creation&) = delete;

  // Lets one request complete; false when nothing more will. The last one judges how it ended.
  bool step(Chooser& chooser);
  const Machine& machine() const { return machine_; }
  // What it came to; nothing: it did not end, a device answers no more.
  const std::optional<Outcome>& outcome() const { return outcome_; }
  bool planned() const { return planned_; }  // durably
  bool called_ready() const { return called_ready_; }
  bool struck() const { return machine_.any_struck(); }
  // What the master held when it began.
  const SparseDisk& master_before() const { return master_before_; }
  const Superblock& superblock() const { return session_.superblock(); }
  Geometry geometry() const;

 private:
  Task<void> steps();
  Task<Outcome> make(FormatOptions options);
  FormatOptions options() const;
  void submitted(unsigned disk, const DeviceRequest& request) override;
  void settled(unsigned disk, const DeviceRequest& request, int error) override;
  void cache_lost(unsigned) override {}
  void changed(unsigned disk, const DeviceRequest& request) override;
  void loss_told(unsigned) override {}
  void judge_image_write(unsigned image, const DeviceRequest& request);
  void judge_ready(const DeviceRequest& request);
  void judge_end();
  void judge_fault(const Struck& fault);
  bool is_durably_failed(unsigned image) const;
  void violation(std::string words) { verdict_.fail("create", std::move(words)); }
  void note(const std::string& words);

  const World& world_;
  const CreationPlan plan_;
  Verdict& verdict_;
  const SparseDisk master_before_;
  Machine machine_;
  Session session_;
  std::vector<std::uint64_t> label_positions_;
  std::optional<Outcome> outcome_;
  bool planned_ = false;
  bool called_ready_ = false;
  bool dead_ = false;
};

}  // namespace blockmirror::simulator
