#include "life.h"

#include <algorithm>

#include "../../core/base/aligned_buffer.h"

namespace blockmirror::simulator {

namespace {

constexpr unsigned kTimesSlower = 8;  // what else may happen before a slow disk answers

}  // namespace

// Passes everything on to the checker, and writes it down when somebody wants to read it.
class Life::Tracer : public Watcher {
 public:
  explicit Tracer(Life& life) : life_(life) {}
  void submitted(unsigned disk, const DeviceRequest& request) override {
    if (life_.verdict_.tracing) life_.note("  " + life_.words_of_request(disk, request) + " is submitted");
    life_.note_deadlines(nullptr, disk);
    life_.checker_.submitted(disk, request);
    if (life_.world_.history) life_.history_.submitted(disk, request);
    life_.judge_copy_of_lie(disk, request);
    life_.count_ahead();
  }
  void settled(unsigned disk, const DeviceRequest& request, int error) override {
    if (life_.verdict_.tracing)
      life_.note("  " + life_.words_of_request(disk, request) + (error == 0 ? " completes" : " fails"));
    life_.note_deadlines(&request, disk);
    life_.checker_.settled(disk, request, error);
    if (life_.world_.history) life_.history_.settled(disk, request, error);
  }
  void asked_while_late(unsigned disk) override { life_.checker_.asked_while_late(disk); }
  void loss_told(unsigned disk) override { life_.checker_.loss_told(disk); }
  void changed(unsigned disk, const DeviceRequest& request) override { life_.checker_.changed(disk, request); }
  void cache_lost(unsigned disk) override {
    life_.checker_.cache_lost(disk);
    // Where the master cannot be read a recovery may have to choose that disk.
    if (disk == 1 || life_.world_.spoils) life_.model_.lose_cache();
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
      checker_(geometry, world.recovery_budget, world.minimum_in_sync,
               [this](const char* invariant, std::string words) { verdict_.fail(invariant, std::move(words)); }),
      history_(expectation.history, world.slaves,
               [this](const char* oracle, std::string words) { verdict_.fail(oracle, std::move(words)); }),
      tracer_(std::make_unique<Tracer>(*this)),
      machine_(std::move(disks), number, tracer_.get(), world.shape()),
      session_(std::make_unique<Session>(machine_)),
      differing_(expectation.differing) {
  for (unsigned i = 1; i <= world.slaves; ++i) set_differing(i, (differing_ >> i & 1u) != 0);
  ++verdict_.counts.lives;
  checker_.attach(machine_.disks());
  if (world.history) history_.begins(machine_.disks()[0].content(), !expectation.refusal_expected);
  if (world.history) session_->keep_history();
  for (const SpoiltSector& spoilt : plan_.spoilt) {
    VolatileDisk& disk = machine_.disks()[spoilt.disk];
    if (!disk.content().is_readable(spoilt.sector * kSimulatedSector, kSimulatedSector)) continue;
    disk.spoil(spoilt.sector, spoilt.for_good);
    if (spoilt.lies) machine_.lie_at(spoilt.sector);
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
  lie_is_noted_ = lie_is_noted();
  session_->set_device_timeout(plan_.device_timeout_ns);
  machine_.expect_answers_within(plan_.device_timeout_ns);
  session_->set_log(machine_.device(0));
  std::vector<Device*> images;
  for (unsigned i = 0; i <= world.slaves; ++i) images.push_back(is_away(i) ? nullptr : &machine_.device(i + 1));
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
  verdict_.counts.transitions.add(session_->transitions());
  verdict_.counts.events_told += history_.events_written();
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
      geometry_.in_ring(request.position)) {
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
  return actions_running_ < plan_.concurrency + (recovers_beside_ ? 1 : 0);
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
  const unsigned others = requests + timers + (may_close() ? 1 : 0);
  const unsigned options = others + (others > 0 && machine_.may_recover() ? 1 : 0);
  if (options > 0) {
    timers_in_a_row_ = 0;
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
    } else if (chosen < others) {
      spawn(close_steps());
    } else {
      note("what hangs answers again");
      machine_.recover();
    }
    machine_.settle_ready();
    return true;
  }
  if (wait_for_deadlines()) return true;
  if (actions_running_ == 0 && running_ && !closing_ && plan_.close && only_late()) {
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

// Requests that nobody waits for any more.
bool Life::only_late() const {
  const auto& pending = machine_.pending();
  return std::all_of(pending.begin(), pending.end(),
                     [&](const Pending& one) { return one.disk > 1 && session_->is_stalled(one.disk - 1); });
}

// Nothing can happen but that time passes. The master or the log may hang for ever.
bool Life::wait_for_deadlines() {
  constexpr unsigned kTimers = 8;
  const bool waits = !opened_ || actions_running_ > 0 || (closing_ && !closed_);
  if (plan_.device_timeout_ns == 0 || machine_.pending().empty() || (!waits && only_late())) return false;
  if (timers_in_a_row_ < kTimers && machine_.fire_timer()) {
    ++timers_in_a_row_;
    return true;
  }
  if (!machine_.may_recover()) return false;
  note("what hangs answers again");
  machine_.recover();
  return true;
}

// A slave is out by its deadline from the turn in which the engine says so.
void Life::note_deadlines(const DeviceRequest* settling, unsigned disk) {
  if (plan_.device_timeout_ns == 0) return;
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    if (!session_->is_stalled(i) || receives(i) || checker_.has_failed(i)) continue;
    std::vector<const DeviceRequest*> late;
    if (settling != nullptr && disk == i + 1) late.push_back(settling);
    for (const Pending& pending : machine_.pending()) {
      if (pending.disk == i + 1) late.push_back(pending.request);
    }
    note("  slave " + std::to_string(i) + " is out by its deadline");
    checker_.timed_out(i, late);
  }
}

// --- opening

Task<void> Life::open_steps() {
  Outcome outcome = co_await session_->load_superblock();
  if (outcome.ok()) outcome = co_await session_->assess(assessment_);
  ActivateOptions options;
  for (std::size_t i = 0; outcome.ok() && i < assessment_.images.size(); ++i) {
    // One that is being resynced goes out by itself, whatever was found in its place.
    const bool resyncs = i > 0 && session_->superblock().images[i].state == ImageState::synchronizing;
    const bool away = is_away(static_cast<unsigned>(i));
    const bool lost = away || resyncs || (i > 0 && assessment_.images[i].code == Code::LOST_ALLOCATION);
    if (lost) options.left_out |= image_bit(static_cast<unsigned>(i));
    if (!lost) outcome = assessment_.images[i];
  }
  if (outcome.ok()) {
    if (!expectation_.refusal_expected) judge_debt();  // of an older log nothing can be said
    options.recovery_budget = world_.recovery_budget;
    options.background = plan_.beside;
    checker_.scanned(assessment_.tail);
    for (unsigned i = 1; i <= world_.slaves; ++i) {
      if (session_->superblock().images[i].state == ImageState::in_sync) named_by_ring_ |= image_bit(i);
    }
    if (world_.new_owners) options.owner.process = static_cast<std::uint32_t>(number_ + 1);
    outcome = co_await session_->activate(options);
    owes_of_before_ = (session_->snapshot().recovering & static_cast<ImageSet>(~named_by_ring_)) != 0;
  }
  if (outcome.ok() && session_->phase() == Phase::recovering) {
    outcome = co_await recover();
    recovered_ = true;
    ++verdict_.counts.recoveries;
  }
  opened_ = true;
  if (ended_) co_return;
  if (!outcome.ok()) {
    judge_refusal(outcome);
    co_return;
  }
  running_ = ran_ = true;
  for (unsigned i = 1; i <= world_.slaves; ++i) verdict_.counts.slaves_away += is_away(i) ? 1 : 0;
  machine_.start_counting();
  checker_.mirror_runs();
  for (unsigned i = 1; i <= world_.slaves; ++i) {
    if ((session_->snapshot().recovering & image_bit(i)) == 0) continue;
    checker_.crashed(i, (named_by_ring_ & image_bit(i)) != 0 ? &assessment_.debt : nullptr);
  }
  judge_opening();
  if (session_->snapshot().recovering != 0) spawn(recover_beside());
}

// Before the first request, or beside them.
Task<Outcome> Life::recover() {
  if (plan_.impatient && session_->snapshot().recovering != 0) co_await ask_too_early();
  Outcome outcome = co_await pay_crash_debt();
  if (!outcome.ok()) co_return outcome;
  RecoverySummary summary;
  summary.full_compare = assessment_.damaged;
  co_return co_await session_->end_recovery(summary);
}

Task<void> Life::recover_beside() {
  ++actions_running_;
  recovers_beside_ = true;
  const Outcome outcome = co_await recover();
  if (outcome.ok() && !ended_) {
    recovery_ended_ = true;
    ++verdict_.counts.recoveries_beside;
  }
  recovers_beside_ = false;
  --actions_running_;
}

Task<Outcome> Life::pay_crash_debt() {
  constexpr std::uint64_t kSmallStep = 8 * kSimulatedSector;
  for (unsigned steps = 0; session_->snapshot().recovering != 0; ++steps) {
    ResyncOrder order;
    order.slaves = session_->snapshot().recovering;
    order.longest = plan_.impatient ? kSmallStep : kResyncBytes;
    order.way = {!plan_.read_back, assessment_.damaged};  // both ways of copying are lived through
    order.read_back = plan_.read_back;
    ImageSet whole = 0;  // slaves of which all is copied, for this crash or one before it
    for (unsigned i = 1; i <= world_.slaves; ++i) {
      if (session_->superblock().images[i].debt == DebtKind::everything) whole |= image_bit(i);
    }
    if (assessment_.debt.contains({0, geometry_.mirror_size})) whole = order.slaves;
    ResyncResult step;
    const Outcome outcome = co_await session_->resync(order, step);
    if (!outcome.ok()) co_return outcome;
    if (ended_) co_return Outcome::of(Code::CLOSED);
    if (step.bytes_read_back_differing > 0)
      verdict_.fail("read back", "what recovery copied differs when it is read back");
    for (unsigned i = 1; i <= world_.slaves; ++i) {
      if ((step.in_sync & image_bit(i)) == 0) continue;
      if ((whole & image_bit(i)) != 0) set_differing(i, false);
      if (running_) judge_resynced(i);
    }
    const bool moves = step.bytes_copied > 0 || step.in_sync != 0 ||
                       step.copied.bytes_differed != std::vector<std::uint64_t>(world_.slaves + 1);
    if (!moves && !step.unreadable.ok()) co_return step.unreadable;
    if (steps > kMostSteps) verdict_.fail("recovery", "it does not end");
    if (verdict_.failed) co_return Outcome::of(Code::INTERNAL);
  }
  co_return Outcome::success();
}

// I3: before its debt is paid a mirror does not let the debt go, and takes no write unless it was asked to.
Task<void> Life::ask_too_early() {
  const Outcome ended = co_await session_->end_recovery({});
  if (ended.ok()) verdict_.fail("I3", "the debt of recovery is let go, and nothing was copied");
  if (plan_.beside) co_return;
  const AlignedBuffer bytes(kSimulatedSector);
  const Outcome written = co_await session_->write({0, kSimulatedSector}, bytes.span(), false, nullptr);
  if (written.ok()) verdict_.fail("I3", "a write is taken before the debt of recovery is paid");
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
  if (action.kind == Action::Kind::abort) return call_off();
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
      const Outcome outcome = co_await session_->flush();
      if (outcome.ok() && !ended_) {
        checker_.flush_acknowledged();
        model_.flush_acknowledged(asked);
      }
      note(words_of(action) + (outcome.ok() ? " is acknowledged" : " fails"));
      break;
    }
    case Action::Kind::retire:
      co_await retire();
      break;
    case Action::Kind::verify:
    case Action::Kind::verify_repair:
      co_await verify(action.kind == Action::Kind::verify_repair);
      break;
    case Action::Kind::fracture:
      co_await fracture(action);
      break;
    case Action::Kind::rejoin:
    case Action::Kind::rejoin_full:
      co_await rejoin(action.kind == Action::Kind::rejoin_full);
      co_await resync(action);
      break;
    case Action::Kind::resync:
      co_await resync(action);
      break;
    case Action::Kind::take:
      co_await take(action);
      break;
    case Action::Kind::quiet:
    case Action::Kind::abort:
      break;
  }
  --actions_running_;
}

void Life::call_off() {
  for (CallOff* called_off : called_off_) called_off->ask();
}

Task<void> Life::write(const Action& action) {
  const Extent named{action.sector * kSimulatedSector, action.sectors * kSimulatedSector};
  const bool partial = action.kind == Action::Kind::partial_write;
  const Extent extent = named.widened(partial ? kBlock : world_.block_size).clipped(world_.mirror_size);
  const std::vector<SectorRef> contents = contents_of(action);
  const std::uint32_t number = model_.write_asked(action.sector, contents);
  if (checker_.asked(extent)) ++verdict_.counts.writes_ahead;
  const bool durable = action.kind == Action::Kind::durable_write;
  Outcome outcome;
  if (action.kind == Action::Kind::discard) {
    outcome = co_await session_->discard(extent);
  } else {
    AlignedBuffer bytes(extent.length);
    const PartialBlocks rest{static_cast<std::uint32_t>(named.position - extent.position),
                             static_cast<std::uint32_t>(extent.end() - named.end())};
    for (std::uint32_t i = 0; i < action.sectors; ++i)
      std::copy_n(contents[i].bytes(), kSimulatedSector, bytes.span().data() + rest.head + i * kSimulatedSector);
    CallOff called_off;
    called_off_.push_back(&called_off);
    outcome = co_await session_->write_partial(extent, bytes.span(), rest, durable, &called_off);
    std::erase(called_off_, &called_off);
  }
  if (outcome.code == Code::ABORTED && !ended_) {
    ++verdict_.counts.aborted;
    checker_.aborted(named.position, contents);
    model_.write_aborted(number);
  }
  note(words_of(action) + (outcome.ok() ? " is acknowledged" : " fails"));
  if (outcome.code == Code::TOO_FEW_IN_SYNC && !ended_) ++verdict_.counts.writes_refused;
  if (!outcome.ok() || ended_) co_return;
  if (checker_.is_alone()) ++verdict_.counts.writes_alone;
  checker_.acknowledged(extent, named.position, contents, durable);
  model_.write_acknowledged(number, durable);
}

Task<void> Life::read(const Action& action) {
  const Extent extent{action.sector * kSimulatedSector, action.sectors * kSimulatedSector};
  const Extent blocks = extent.widened(world_.block_size);
  const std::uint64_t first = extent.position - blocks.position;
  AlignedBuffer bytes(blocks.length);
  const std::uint64_t asked = model_.now();
  const Outcome outcome = co_await session_->read(blocks, bytes.span());
  if (ended_) co_return;
  if (!outcome.ok()) {
    judge_failed_read(blocks, outcome);
    co_return;
  }
  for (std::uint32_t i = 0; i < action.sectors; ++i) {
    const SectorRef content = SectorRef::of(bytes.span().data() + first + i * kSimulatedSector);
    if (!model_.may_hold(action.sector + i, content, Promise::acknowledged, asked))
      verdict_.fail("read", "a read returns for sector " + std::to_string(action.sector + i) +
                                " what was overwritten before it was asked for, or was never written");
  }
}

// What it lets go is known by no log from then on: not beside an image that cannot be believed.
Task<void> Life::retire() {
  const std::uint32_t lost_before = machine_.lost_blocks();
  const Outcome outcome = co_await session_->retire_all();
  if (!outcome.ok() || ended_) co_return;
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
