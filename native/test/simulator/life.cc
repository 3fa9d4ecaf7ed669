#include "life.h"

#include <algorithm>

#include "../../core/aligned_buffer.h"
#include "../support/copy_steps.h"

namespace blockmirror::simulator {

namespace {

constexpr unsigned kTimesSlower = 8;  // what else may happen before a slow disk answers

bool is_proven(const ImageRecord& image) { return image.state == ImageState::in_sync && image.bytes_differed == 0; }

}  // namespace

// Passes everything on to the checker, and writes it down when somebody wants to read it.
class Life::Tracer : public Watcher {
 public:
  explicit Tracer(Life& life) : life_(life) {}
  void submitted(unsigned disk, const DeviceRequest& request) override {
    if (life_.verdict_.tracing) life_.note("  " + life_.words_of_request(disk, request) + " is submitted");
    life_.checker_.submitted(disk, request);
    life_.count_ahead();
  }
  void settled(unsigned disk, const DeviceRequest& request, int error) override {
    if (life_.verdict_.tracing)
      life_.note("  " + life_.words_of_request(disk, request) + (error == 0 ? " completes" : " fails"));
    life_.checker_.settled(disk, request, error);
  }
  void loss_told(unsigned disk) override { life_.checker_.loss_told(disk); }
  void cache_lost(unsigned disk) override {
    life_.checker_.cache_lost(disk);
    // Where the master cannot be read a recovery may have to choose that disk.
    if (disk == 1 || life_.world_.proven) life_.model_.lose_cache();
  }

 private:
  Life& life_;
};

Life::Life(const World& world, const Geometry& geometry, Disks disks, Model model, const LifePlan& plan,
           const Expectation& expectation, std::uint64_t number, Chooser& chooser, Verdict& verdict)
    : world_(world),
      geometry_(geometry),
      verdict_(verdict),
      chooser_(chooser),
      plan_(plan),
      expectation_(expectation),
      number_(number),
      model_(std::move(model)),
      trace_begin_(verdict.trace.size()),
      checker_(geometry, world.recovery_budget,
               [this](const char* invariant, std::string words) { verdict_.fail(invariant, std::move(words)); }),
      tracer_(std::make_unique<Tracer>(*this)),
      machine_(std::move(disks), number, tracer_.get()),
      session_(std::make_unique<Session>(machine_)),
      differing_(expectation.differing) {
  for (unsigned i = 1; i <= world.slaves; ++i) set_differing(i, (differing_ >> i & 1u) != 0);
  ++verdict_.counts.lives;
  checker_.attach(machine_.disks());
  for (const SpoiltSector& spoilt : plan_.spoilt) {
    VolatileDisk& disk = machine_.disks()[spoilt.disk];
    if (!disk.content().is_readable(spoilt.sector * kSimulatedSector, kSimulatedSector)) continue;
    disk.spoil(spoilt.sector, spoilt.for_good);
    verdict_.count(spoilt.for_good ? Fault::spoilt_sector : Fault::unreadable_sector);
    note("sector " + std::to_string(spoilt.sector) + " of disk " + std::to_string(spoilt.disk) + " cannot be read" +
         (spoilt.for_good ? ", whatever is written" : ""));
  }
  machine_.lose_blocks(expectation.lost_blocks);
  machine_.plan_faults(plan_.faults, number * 31 + 7);
  machine_.on_fault = [this](Fault fault, unsigned disk) {
    verdict_.count(fault);
    note("  fault of disk " + std::to_string(disk) + ": " + std::string(kFaultWords[static_cast<std::size_t>(fault)]));
  };
  session_->set_log(machine_.device(0));
  std::vector<Device*> images;
  for (unsigned i = 0; i <= world.slaves; ++i) images.push_back(&machine_.device(i + 1));
  session_->set_images(images);
  note("life " + std::to_string(number) + " begins");
  spawn(open_steps());
}

Life::~Life() {
  ended_ = true;
  machine_.die();
  if (opened_ && !closing_) spawn(close_steps());
  while (true) {
    machine_.settle_ready();
    if (machine_.completable() > 0) {
      machine_.complete(0);
    } else if (!opened_ || (closing_ && !closed_) || actions_running_ > 0) {
      BLOCKMIRROR_ASSERT(machine_.fire_timer(), "a life that was cut off does not come to its end");
    } else if (!closing_) {
      spawn(close_steps());
    } else {
      break;
    }
  }
  session_.reset();
  verdict_.trace.resize(trace_begin_);
}

void Life::note(const std::string& words) {
  if (verdict_.tracing) verdict_.trace.push_back(words);
}

std::string Life::words_of_request(unsigned disk, const DeviceRequest& request) const {
  const std::string who = disk == 0 ? "log" : disk == 1 ? "master" : "slave " + std::to_string(disk - 1);
  if (request.operation == Operation::flush) return who + ": flush ";
  std::string what = request.operation == Operation::read    ? "read"
                     : request.operation == Operation::write ? "write"
                                                             : "write zeroes";
  if (request.durable) what += " (durable)";
  std::string where = "sectors " + std::to_string(request.position / kSimulatedSector) + ".." +
                      std::to_string((request.position + request.length) / kSimulatedSector - 1);
  if (disk == 0 && request.operation == Operation::write && request.length == geometry_.record_size &&
      request.position >= geometry_.ring_position) {
    const DecodedRecord record = decode_log_record(request.memory);
    where = "record " + std::to_string(record.sequence) + ", tail " + std::to_string(record.tail) + ", blocks";
    for (std::uint64_t block : record.blocks) where += " " + std::to_string(block);
  }
  return who + ": " + what + " of " + where;
}

// What the log covered ahead of a stream since the last look.
void Life::count_ahead() {
  const std::uint64_t regions = checker_.regions_ahead();
  if (regions == regions_ahead_) return;
  Counts& counts = verdict_.counts;
  if (regions_ahead_ == 0) ++counts.lives_ahead;
  counts.regions_ahead += regions - regions_ahead_;
  regions_ahead_ = regions;
}

// --- what happens next

bool Life::may_issue() const {
  if (!running_ || closing_ || next_action_ == plan_.actions.size()) return false;
  const bool alone = plan_.actions[next_action_].kind == Action::Kind::quiet;
  if (alone) return actions_running_ == 0 && machine_.completable() == 0;
  return actions_running_ < plan_.concurrency;
}

// Instead of a slow disk's answer whatever comes next in the order of choices.
unsigned Life::spare_slow(unsigned chosen, unsigned completable, unsigned options) {
  const auto slow = [&](unsigned option) {
    return option < completable && machine_.disk_of(option) == plan_.slow_disk;
  };
  if (plan_.slow_disk == LifePlan::kNoDisk || !slow(chosen)) return chosen;
  for (unsigned i = 1; put_off_ < kTimesSlower && i < options; ++i) {
    const unsigned other = (chosen + i) % options;
    if (slow(other)) continue;
    ++put_off_;
    return other;
  }
  put_off_ = 0;
  return chosen;
}

// While something is under way; a life that waits for it closes in any case.
bool Life::may_close() const {
  const bool asked_for_all = running_ && !closing_ && next_action_ == plan_.actions.size();
  return asked_for_all && plan_.close && plan_.hasty && !machine_.pending().empty();
}

bool Life::step() {
  if (ended_) return false;
  ++verdict_.counts.events;
  machine_.settle_ready();
  const unsigned completable = machine_.completable();
  const bool issue_possible = may_issue();
  const unsigned requests = completable + (issue_possible ? 1 : 0);
  const unsigned timers = machine_.timer_competes() ? 1 : 0;
  const unsigned options = requests + timers + (may_close() ? 1 : 0);
  if (options > 0) {
    const bool free = running_ && (!closing_ || machine_.any_under_way(closing_since_));
    unsigned chosen = free && options > 1 ? chooser_.choose(options) : 0;
    if (issue_possible && plan_.eager) chosen = completable;
    if (free) chosen = spare_slow(chosen, completable, options);
    if (chosen < completable) {
      machine_.complete(chosen);
    } else if (chosen < requests) {
      issue();
    } else if (chosen < requests + timers) {
      ++verdict_.counts.timers;
      (void)machine_.fire_timer();
    } else {
      spawn(close_steps());
    }
    machine_.settle_ready();
    return true;
  }
  if (actions_running_ == 0 && running_ && !closing_ && plan_.close && machine_.pending().empty()) {
    spawn(close_steps());
    machine_.settle_ready();
    return true;
  }
  const bool waits = !opened_ || actions_running_ > 0 || (closing_ && !closed_);
  const bool hangs = !machine_.pending().empty();
  if (waits && !hangs) {
    if (machine_.fire_timer()) return true;
    verdict_.fail("progress", "nothing is under way, and somebody still waits");
  }
  ended_ = true;
  return false;
}

// --- opening

Task<void> Life::open_steps() {
  Status status = co_await session_->load_superblock();
  if (status.ok()) status = co_await session_->assess(assessment_);
  ActivateOptions options;
  for (std::size_t i = 0; status.ok() && i < assessment_.images.size(); ++i) {
    const bool lost = i > 0 && assessment_.images[i].code == Code::LOST_ALLOCATION;
    if (lost) options.lost |= image_bit(static_cast<unsigned>(i));
    if (!lost) status = assessment_.images[i];
  }
  if (status.ok()) {
    if (!expectation_.refusal_expected) judge_debt();  // of an older log nothing can be said
    options.recovery_budget = world_.recovery_budget;
    status = co_await session_->activate(options);
  }
  if (status.ok() && session_->phase() == Phase::recovering) {
    status = co_await recover();
    recovered_ = true;
    ++verdict_.counts.recoveries;
  }
  opened_ = true;
  if (ended_) co_return;
  if (!status.ok()) {
    judge_refusal(status);
    co_return;
  }
  running_ = ran_ = true;
  machine_.start_counting();
  checker_.mirror_runs();
  judge_opening();
}

// The steps of lib/recovery.ts, in their order.
Task<Status> Life::recover() {
  Status status = co_await session_->recover_flush_master();
  if (plan_.impatient && !assessment_.debt.empty()) co_await ask_too_early();
  const bool only_differing = assessment_.damaged;
  const bool compare = !plan_.verify;  // both ways of copying are lived through
  std::vector<std::vector<Extent>> copies = test::copy_steps(assessment_.debt);
  for (std::vector<Extent>& extents : copies) {
    if (!status.ok()) break;
    CopyResult copied;
    status = co_await session_->recover_copy(std::move(extents), compare, only_differing, copied);
  }
  if (status.ok()) status = co_await session_->recover_flush_slaves();
  std::vector<std::vector<Extent>> readings = test::copy_steps(assessment_.debt);
  for (std::vector<Extent>& extents : readings) {
    if (!plan_.verify || !status.ok()) break;
    CompareResult compared;
    status = co_await session_->recover_verify(std::move(extents), compared);
    for (std::uint64_t bytes : compared.bytes_differed) {
      if (bytes > 0 && status.ok() && !ended_)
        verdict_.fail("verify", "what recovery copied differs when it is read back");
    }
  }
  RecoverySummary summary;
  summary.full_compare = assessment_.damaged;
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    if (assessment_.debt.contains({0, geometry_.mirror_size})) set_differing(i, false);
  }
  if (status.ok()) status = co_await session_->recover_retire(summary);
  co_return status;
}

// I3: before its debt is paid a mirror takes no write, and does not let the debt go.
Task<void> Life::ask_too_early() {
  const AlignedBuffer bytes(kSimulatedSector);
  const Status written = co_await session_->write({0, kSimulatedSector}, bytes.span(), false, nullptr);
  RecoverySummary summary;
  const Status retired = co_await session_->recover_retire(summary);
  if (written.ok()) verdict_.fail("I3", "a write is taken before the debt of recovery is paid");
  if (retired.ok()) verdict_.fail("I3", "the debt of recovery is retired, and nothing was copied");
}

void Life::judge_debt() {
  if (assessment_.damaged) {
    ++verdict_.counts.full_compares;
    if (!expectation_.damage_possible)
      verdict_.fail("false damage",
                    "the log is called damaged after an ordinary crash: " +
                        (assessment_.damage.empty() ? std::string("no reason") : assessment_.damage[0]));
    return;
  }
  if (expectation_.damage_expected)
    return verdict_.fail("silent damage", "a record that counts is gone, and the log is not called damaged");
  for (const Extent& extent : assessment_.debt.extents()) {
    for (std::uint64_t block = extent.position / kBlock; block * kBlock < extent.end(); ++block) {
      if (block < expectation_.may_be_live.size() && expectation_.may_be_live[block]) continue;
      verdict_.fail("over-copy", "block " + std::to_string(block) + " is to be copied, though it was retired");
      return;
    }
  }
  if (assessment_.debt.bytes() > world_.recovery_budget)
    verdict_.fail("budget", std::to_string(assessment_.debt.bytes()) + " bytes are to be copied, more than the budget");
}

void Life::judge_refusal(const Status& status) {
  const bool lost_a_device = std::any_of(plan_.faults.begin(), plan_.faults.end(), [](const PlannedFault& fault) {
    return fault.fault == Fault::read_error || (fault.early && fault.disk < 2);
  });
  note("the opening is refused: code " + std::to_string(static_cast<int>(status.code)) + ", image " +
       std::to_string(status.image));
  if (expectation_.refusal_expected) {
    ++verdict_.counts.refused;
    return;
  }
  const bool lost_blocks = status.code == Code::LOST_ALLOCATION && (expectation_.lost_blocks >> 1 & 1u) != 0;
  if (!expectation_.refusal_possible && !lost_a_device && !lost_blocks && !debt_is_lost())
    verdict_.fail("opening", "the mirror does not open: code " + std::to_string(static_cast<int>(status.code)) +
                                 ", image " + std::to_string(status.image));
}

void Life::judge_opening() {
  if (expectation_.refusal_expected) {
    verdict_.fail("I8", "an older copy was put back, and the mirror opened");
    return;
  }
  judge_losses();
  const SparseDisk master = content();
  const std::uint64_t sectors = geometry_.mirror_size / kSimulatedSector;
  bool alone = true;  // then nothing has to be equal to it
  for (const ImageRecord& image : session_->superblock().images)
    alone &= image.role == Role::master || image.state == ImageState::failed;
  for (const SparseDisk::Spoilt& spoilt : machine_.disks()[1].content().spoilt()) {
    if (recovered_ && !alone && assessment_.debt.contains({spoilt.sector * kSimulatedSector, kSimulatedSector}))
      verdict_.fail("I11", "sector " + std::to_string(spoilt.sector) +
                               " of the master cannot be read, and the debt that holds it is paid");
  }
  std::vector<std::uint64_t> unexplained = model_.unexplained(master, expectation_.promise);
  std::erase_if(unexplained,
                [&](std::uint64_t sector) { return !master.is_readable(sector * kSimulatedSector, kSimulatedSector); });
  if (!unexplained.empty())
    verdict_.fail("content", "sector " + std::to_string(unexplained[0]) +
                                 " of the master holds what no history of acknowledged writes explains");
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    const ImageState state = session_->superblock().images[i].state;
    if (state != ImageState::in_sync && state != ImageState::assumed) continue;
    std::vector<std::uint64_t> differing;
    const SparseDisk& slave = machine_.disks()[i + 1].content();
    master.differences(slave, sectors, differing);
    std::erase_if(differing, [&](std::uint64_t sector) {
      const std::uint64_t at = sector * kSimulatedSector;
      const bool copied = recovered_ && assessment_.debt.contains({at, kSimulatedSector});
      if (is_rotten(i, sector) && !copied) return true;
      return !slave.is_readable(at, kSimulatedSector) || !master.is_readable(at, kSimulatedSector);
    });
    if ((differing_ >> i & 1u) != 0 && session_->superblock().images[i].bytes_differed == 0)
      verdict_.fail("verify", "that slave " + std::to_string(i) + " differs was reported, and is forgotten");
    if (!differing.empty())
      verdict_.fail("I10", "slave " + std::to_string(i) +
                               " claims to be in sync, but differs from the master in sector " +
                               std::to_string(differing[0]));
  }
  model_.rebase(master);
}

void Life::judge_losses() {
  for (unsigned i = 0; i <= world_.slaves; ++i) {
    if ((expectation_.lost_blocks >> (i + 1) & 1u) != 0 && (i == 0 || receives(i)))
      verdict_.fail("I11",
                    "the file of image " + std::to_string(i) + " had lost blocks, and the mirror opened with it");
  }
}

SparseDisk Life::content() const {
  SparseDisk content = machine_.disks()[1].content();
  const std::vector<SparseDisk::Spoilt> spoilt = content.spoilt();
  for (const SparseDisk::Spoilt& bad : spoilt) {
    for (unsigned i = 1; i <= world_.slaves; ++i) {
      const SparseDisk& slave = machine_.disks()[i + 1].content();
      if (!is_proven(session_->superblock().images[i]) ||
          !slave.is_readable(bad.sector * kSimulatedSector, kSimulatedSector))
        continue;
      content.heal(bad.sector);
      content.set(bad.sector, slave.get(bad.sector));
      break;
    }
  }
  return content;
}

bool Life::somebody_serves(Extent extent) const {
  const Extent block = extent.widened(kBlock).clipped(geometry_.mirror_size);
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    const bool proven = is_proven(session_->superblock().images[i]) && !checker_.has_failed(i);
    const SparseDisk& slave = machine_.disks()[i + 1].content();
    if (proven && machine_.answers(i + 1) && slave.is_readable(block.position, block.length)) return true;
  }
  return false;
}

// Of the debt there is something that the master cannot read, and nobody can give or it does not take.
bool Life::debt_is_lost() const {
  const std::vector<SparseDisk::Spoilt>& spoilt = machine_.disks()[1].content().spoilt();
  return std::any_of(spoilt.begin(), spoilt.end(), [&](const SparseDisk::Spoilt& bad) {
    const Extent sector{bad.sector * kSimulatedSector, kSimulatedSector};
    return assessment_.debt.contains(sector) && (bad.for_good || !somebody_serves(sector));
  });
}

void Life::judge_failed_read(Extent extent, const Status& status) {
  const bool breaks_reads = std::any_of(plan_.faults.begin(), plan_.faults.end(),
                                        [](const PlannedFault& fault) { return fault.fault == Fault::read_error; });
  if (status.code != Code::READ_FAILED || breaks_reads || !somebody_serves(extent)) return;
  verdict_.fail("read", "a read fails that a slave in sync could have served");
}

// --- what the user does

void Life::issue() {
  const Action& action = plan_.actions[next_action_++];
  note(words_of(action));
  if (action.kind == Action::Kind::quiet) {
    while (machine_.timer_competes()) (void)machine_.fire_timer();
    machine_.fire_timer();
    machine_.fire_timer();
    return;
  }
  ++actions_running_;
  spawn(act(action));
}

Task<void> Life::act(const Action& action) {
  const std::uint64_t asked = model_.flush_asked();
  switch (action.kind) {
    case Action::Kind::write:
    case Action::Kind::durable_write:
    case Action::Kind::partial_write:
    case Action::Kind::discard:
      co_await write(action);
      break;
    case Action::Kind::read:
      co_await read(action);
      break;
    case Action::Kind::flush: {
      const Status status = co_await session_->flush();
      if (status.ok() && !ended_) model_.flush_acknowledged(asked);
      note(words_of(action) + (status.ok() ? " is acknowledged" : " fails"));
      break;
    }
    case Action::Kind::retire:
      co_await retire();
      break;
    case Action::Kind::verify:
      co_await verify();
      break;
    case Action::Kind::quiet:
      break;
  }
  --actions_running_;
}

Task<void> Life::write(const Action& action) {
  const Extent named{action.sector * kSimulatedSector, action.sectors * kSimulatedSector};
  const bool partial = action.kind == Action::Kind::partial_write;
  const Extent extent = partial ? named.widened(kBlock).clipped(world_.mirror_size) : named;
  const std::vector<SectorRef> contents = contents_of(action);
  const std::uint32_t number = model_.write_asked(action.sector, contents);
  if (checker_.asked(extent)) ++verdict_.counts.writes_ahead;
  const bool durable = action.kind == Action::Kind::durable_write;
  Status status;
  if (action.kind == Action::Kind::discard) {
    status = co_await session_->discard(extent);
  } else {
    AlignedBuffer bytes(extent.length);
    const PartialBlocks rest{static_cast<std::uint32_t>(named.position - extent.position),
                             static_cast<std::uint32_t>(extent.end() - named.end())};
    for (std::uint32_t i = 0; i < action.sectors; ++i)
      std::copy_n(contents[i].bytes(), kSimulatedSector, bytes.span().data() + rest.head + i * kSimulatedSector);
    status = co_await session_->write_partial(extent, bytes.span(), rest, durable, nullptr);
  }
  note(words_of(action) + (status.ok() ? " is acknowledged" : " fails"));
  if (!status.ok() || ended_) co_return;
  checker_.acknowledged(extent, named.position, contents, durable);
  model_.write_acknowledged(number, durable);
}

Task<void> Life::read(const Action& action) {
  const Extent extent{action.sector * kSimulatedSector, action.sectors * kSimulatedSector};
  AlignedBuffer bytes(extent.length);
  const std::uint64_t asked = model_.now();
  const Status status = co_await session_->read(extent, bytes.span());
  if (ended_) co_return;
  if (!status.ok()) {
    judge_failed_read(extent, status);
    co_return;
  }
  for (std::uint32_t i = 0; i < action.sectors; ++i) {
    const SectorRef content = SectorRef::of(bytes.span().data() + i * kSimulatedSector);
    if (!model_.may_hold(action.sector + i, content, Promise::acknowledged, asked))
      verdict_.fail("read", "a read returns for sector " + std::to_string(action.sector + i) +
                                " what was overwritten before it was asked for, or was never written");
  }
}

// What it lets go is known by no log from then on: not beside an image that cannot be believed.
Task<void> Life::retire() {
  const std::uint32_t lost_before = machine_.lost_blocks();
  const Status status = co_await session_->retire_all();
  if (!status.ok() || ended_) co_return;
  for (unsigned i = 0; i <= world_.slaves; ++i) {
    if ((lost_before >> (i + 1) & 1u) != 0 && (i == 0 || receives(i)))
      verdict_.fail("I11", "everything is retired with image " + std::to_string(i) + ", whose file lost blocks");
  }
}

Task<void> Life::close_steps() {
  closing_ = true;
  checker_.closes(machine_.lost_blocks());
  closing_since_ = machine_.submissions();
  note("close");
  (void)co_await session_->close();
  closed_ = true;
  running_ = false;
}

}  // namespace blockmirror::simulator
