#include "creation.h"

#include <algorithm>

#include "../../core/format/label.h"

namespace blockmirror::simulator {
namespace {

constexpr std::uint64_t kCopies[] = {0, 65536};  // of the superblock, bytes
constexpr std::size_t kCopyOfSuperblock = kStoredSuperblock;

bool writes(const DeviceRequest& request) {
  return request.operation == Operation::write || request.operation == Operation::write_zeroes;
}

bool is_superblock(const DeviceRequest& request) {
  return request.operation == Operation::write &&
         std::find(std::begin(kCopies), std::end(kCopies), request.position) != std::end(kCopies);
}

// Whether it must end a create. What the master could not read it is asked for again, block by block.
bool is_fatal(const Struck& fault) {
  if (fault.fault == Fault::read_error && fault.disk == 1) return false;
  return fault.fault != Fault::short_transfer && fault.fault != Fault::try_again &&
         fault.fault != Fault::stops_answering;
}

}  // namespace

Creation::Creation(const World& world, const CreationPlan& plan, Disks disks, std::uint64_t number, Verdict& verdict)
    : world_(world),
      plan_(plan),
      verdict_(verdict),
      master_before_(disks[1].content()),
      machine_(std::move(disks), number, this, world.shape()),
      session_(machine_) {
  machine_.plan_faults(plan.faults, number * 31 + 7);
  machine_.on_fault = [this](Fault fault, unsigned disk) {
    verdict_.count(fault);
    note("  fault of disk " + std::to_string(disk) + ": " + std::string(kFaultWords[static_cast<std::size_t>(fault)]));
  };
  session_.set_device_timeout(0);
  session_.set_log(machine_.device(0));
  std::vector<Device*> images;
  for (unsigned i = 0; i <= world.slaves; ++i) {
    images.push_back(&machine_.device(i + 1));
    label_positions_.push_back(label_position(images.back()->traits().size));
  }
  session_.set_images(images);
  note("a create begins");
  spawn(steps());
}

Creation::~Creation() {
  dead_ = true;
  machine_.die();
  for (machine_.settle_ready(); !outcome_; machine_.settle_ready()) {
    if (machine_.completable() > 0) {
      machine_.complete(0);
    } else {
      BLOCKMIRROR_ASSERT(machine_.fire_timer(), "a create that was cut off does not come to its end");
    }
  }
}

void Creation::note(const std::string& words) {
  if (verdict_.tracing && !dead_) verdict_.trace.push_back(words);
}

bool Creation::step(Chooser& chooser) {
  if (outcome_) return false;
  machine_.settle_ready();
  const unsigned completable = machine_.completable();
  if (completable > 0) {
    machine_.complete(completable > 1 ? chooser.choose(completable) : 0);
  } else if (!machine_.pending().empty()) {
    return false;
  } else if (!machine_.fire_timer()) {
    verdict_.fail("progress", "nothing is under way, and a create still waits");
    return false;
  }
  machine_.settle_ready();
  if (outcome_) judge_end();
  return true;
}

Geometry Creation::geometry() const {
  const RingGeometry& ring = session_.superblock().ring;
  return {session_.superblock().size, ring.position, ring.record_size, ring.record_count, label_positions_};
}

FormatOptions Creation::options() const {
  FormatOptions options;
  options.size = world_.mirror_size;
  options.ring_records = world_.ring_records;
  options.assume_identical = plan_.assume_identical;
  options.policies.minimum_in_sync = world_.minimum_in_sync;
  for (unsigned i = 0; i <= world_.slaves; ++i) {
    FormatOptions::Image image;
    image.name = i == 0 ? "master" : "slave" + std::to_string(i);
    image.path = "/" + image.name;
    options.images.push_back(image);
  }
  return options;
}

Task<void> Creation::steps() {
  Outcome outcome = co_await make(options());
  const Outcome closed = co_await session_.close();
  if (outcome.ok()) outcome = closed;
  note(outcome.ok() ? "the create succeeds"
                    : "the create fails: code " + std::to_string(static_cast<int>(outcome.code)) + ", image " +
                          std::to_string(outcome.image));
  outcome_ = outcome;
}

Task<Outcome> Creation::make(FormatOptions options) {
  Outcome outcome = co_await session_.plan_format(std::move(options));
  if (outcome.ok()) outcome = co_await session_.format();
  while (outcome.ok() && session_.snapshot().recovering != 0) {
    ResyncOrder order;
    order.slaves = session_.snapshot().recovering;
    order.read_back = plan_.read_back;
    ResyncResult step;
    outcome = co_await session_.resync(order, step);
    if (step.bytes_read_back_differing > 0 && !dead_) violation("what a create copied differs when it is read back");
    if (outcome.ok() && !step.unreadable.ok()) outcome = step.unreadable;
  }
  if (outcome.ok()) outcome = co_await session_.end_recovery({});
  co_return outcome;
}

// --- the oracles

void Creation::submitted(unsigned disk, const DeviceRequest& request) {
  if (verdict_.tracing) {
    const char* what = request.operation == Operation::flush  ? "flush"
                       : request.operation == Operation::read ? "read"
                       : request.durable                      ? "durable write"
                                                              : "write";
    note("  disk " + std::to_string(disk) + ": " + what + " of " + std::to_string(request.length) + " bytes at " +
         std::to_string(request.position) + " is submitted");
  }
  if (disk > 0 && writes(request)) judge_image_write(disk - 1, request);
  const bool ready = disk == 0 && is_superblock(request) && !stored_as_creating(request.memory);
  if (ready && !called_ready_) judge_ready(request);
}

void Creation::settled(unsigned disk, const DeviceRequest& request, int error) {
  if (verdict_.tracing) note("  disk " + std::to_string(disk) + (error == 0 ? ": completes" : ": fails"));
  if (planned_ || disk != 0 || error != 0 || !is_superblock(request)) return;
  planned_ = std::all_of(std::begin(kCopies), std::end(kCopies), [&](std::uint64_t position) {
    std::vector<std::byte> copy(kCopyOfSuperblock);
    machine_.disks()[0].durable().read(position, copy);
    return stored_as_creating(copy.data()) && stored_log(copy.data()) == session_.superblock().log_uuid.bytes;
  });
}

void Creation::changed(unsigned disk, const DeviceRequest&) {
  verdict_.fail("I7", "the memory of a write of disk " + std::to_string(disk) + " changed while it was under way");
}

void Creation::judge_image_write(unsigned image, const DeviceRequest& request) {
  const std::string who = "image " + std::to_string(image);
  if (!planned_) violation(who + " is written before the plan is durable");
  if (request.position >= label_positions_[image]) return;
  const std::uint64_t end = request.position + request.length;
  if (image == 0) violation("bytes of the master are written, before its label area");
  if (end > world_.mirror_size) violation(who + " is written between the mirror's end and its label area");
  if (plan_.assume_identical) violation(who + " is said to be identical, and is written");
}

void Creation::judge_ready(const DeviceRequest& request) {
  called_ready_ = true;
  if (!machine_.disks()[0].unflushed().empty())
    violation("the log calls the mirror ready, and not all of the log is durable");
  const SparseDisk& master = machine_.disks()[1].durable();
  std::vector<std::uint64_t> unflushed;
  master.differences(master_before_, world_.mirror_size / kSimulatedSector, unflushed);
  if (!unflushed.empty()) violation("the log calls the mirror ready, and the master was not flushed");
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    const std::string slave = "slave " + std::to_string(i);
    const StoredState state = stored_state(request.memory, i);
    if (state != StoredState::in_sync && state != StoredState::assumed)
      violation("the log calls the mirror ready without " + slave);
    if (plan_.assume_identical && state == StoredState::in_sync)
      verdict_.fail("I10", slave + " was not copied, and counts as in sync");
    std::vector<std::uint64_t> differing;
    master.differences(machine_.disks()[i + 1].durable(), world_.mirror_size / kSimulatedSector, differing);
    if (!differing.empty())
      violation("the log calls the mirror ready, and " + slave + " does not hold sector " +
                std::to_string(differing[0]) + " of the master durably");
  }
}

bool Creation::is_durably_failed(unsigned image) const {
  return std::all_of(std::begin(kCopies), std::end(kCopies), [&](std::uint64_t position) {
    std::vector<std::byte> copy(kCopyOfSuperblock);
    machine_.disks()[0].durable().read(position, copy);
    return stored_state(copy.data(), image) == StoredState::failed;
  });
}

void Creation::judge_end() {
  bool any = false;
  for (const Struck& fault : machine_.struck()) {
    if (!is_fatal(fault)) continue;
    any = true;
    judge_fault(fault);
  }
  const bool unreadable = !plan_.assume_identical && !master_before_.is_readable(0, world_.mirror_size);
  if (unreadable && (outcome_->code != Code::READ_FAILED || outcome_->image != 0))
    violation("the master cannot be read, and the create does not say so");
  if (!any && !unreadable && !outcome_->ok())
    violation("a create that met no fault fails: code " + std::to_string(static_cast<int>(outcome_->code)) +
              ", image " + std::to_string(outcome_->image));
  if (outcome_->ok() && !called_ready_) violation("a create succeeds, and the log never called the mirror ready");
}

// A mirror that was called ready before it is closed is one like any other: its slave is fractured.
void Creation::judge_fault(const Struck& fault) {
  const std::string where = "disk " + std::to_string(fault.disk) + " failed, and the create ";
  if (fault.disk < 2) {
    const ImageIndex image = fault.disk == 0 ? kLogDevice : ImageIndex{0};
    if (outcome_->ok()) return violation(where + "succeeds");
    if (outcome_->image != image) violation(where + "names image " + std::to_string(outcome_->image));
    return;
  }
  const auto slave = static_cast<ImageIndex>(fault.disk - 1);
  if (called_ready_ && outcome_->ok() && is_durably_failed(fault.disk - 1)) return;
  if (outcome_->code == Code::SLAVE_FAILED && outcome_->image == slave) return;
  violation(where + (outcome_->ok() ? "succeeds with it"
                                    : "ends with code " + std::to_string(static_cast<int>(outcome_->code)) +
                                          ", image " + std::to_string(outcome_->image)));
}

}  // namespace blockmirror::simulator
