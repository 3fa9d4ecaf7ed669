// The commands of SessionHost: each is one step of the session. How its devices come and go is in arriving.cc and
// attaching.cc. Which step when is decided in lib/; here an impossible one is answered WRONG_PHASE.
#include <unistd.h>

#include <utility>

#include "../core/session/formatter.h"
#include "session_host.h"

namespace blockmirror {

bool SessionHost::alone_in(Phase first, Phase second) const {
  Phase phase = session_->phase();
  return active_ == 1 && (phase == first || phase == second);
}

Task<Outcome> SessionHost::with_superblock(Task<Outcome> step, Superblock& into) {
  Outcome outcome = co_await std::move(step);
  if (!outcome.ok()) co_return outcome;
  has_superblock_ = true;
  into = session_->superblock();
  co_return outcome;
}

Task<Outcome> SessionHost::execute(LoadSuperblock& command) {
  if (!log_.device) co_return Outcome::of(Code::WRONG_PHASE, kLogDevice);
  Task<Outcome> step = session_->load_superblock();
  const Outcome outcome = co_await with_superblock(std::move(step), command.superblock);
  command.refused = outcome.reason;
  co_return outcome;
}

Task<Outcome> SessionHost::execute(PlanFormat& command) {
  bool ready = log_.device && !images_.empty() && command.options.images.size() == images_.size();
  for (const Attached& image : images_) ready = ready && image.is_present();
  if (!ready) co_return Outcome::of(Code::WRONG_PHASE);
  Task<Outcome> step = session_->plan_format(std::move(command.options));
  co_return co_await with_superblock(std::move(step), command.superblock);
}

Task<Outcome> SessionHost::execute(LinkLog&) {
  if (!alone_in(Phase::planned, Phase::planned)) co_return Outcome::of(Code::WRONG_PHASE, kLogDevice);
  Outcome outcome = log_.made.link();
  outcome.image = kLogDevice;
  co_return outcome;
}

Task<Outcome> SessionHost::execute(LinkImages&) {
  if (!alone_in(Phase::planned, Phase::planned)) co_return Outcome::of(Code::WRONG_PHASE);
  for (std::size_t i = 0; i < images_.size(); ++i) {
    Outcome outcome = images_[i].made.link();
    outcome.image = static_cast<ImageIndex>(i);
    if (!outcome.ok()) co_return outcome;
  }
  co_return Outcome::success();
}

// What of it is still under way may write to what is to go.
Task<Outcome> SessionHost::execute(Unmake&) {
  while (active_ > 1) co_await settled_->wait();
  const Phase phase = session_->phase();
  if (phase != Phase::idle && phase != Phase::planned) co_return Outcome::of(Code::WRONG_PHASE);
  for (std::size_t i = images_.size(); i > 0; --i) images_[i - 1].made.undo();
  log_.made.undo();
  co_return Outcome::success();
}

Task<Outcome> SessionHost::execute(FillImage& command) {
  const bool ready = session_->phase() == Phase::planned && command.image < images_.size();
  if (!ready) co_return Outcome::of(Code::WRONG_PHASE);
  Device& device = *images_[command.image].device;
  Outcome outcome;
  for (const Extent& extent : command.extents) {
    const bool fits = extent.end() <= device.traits().size && extent.position % device.traits().offset_alignment == 0 &&
                      extent.length % device.traits().offset_alignment == 0;
    if (!fits) co_return Outcome::of(Code::OUT_OF_RANGE, static_cast<ImageIndex>(command.image), 0, extent.position);
    outcome = co_await write_zeroes(device, static_cast<ImageIndex>(command.image), extent);
    if (!outcome.ok()) co_return outcome;
  }
  if (!command.extents.empty()) co_return outcome;
  const int error = co_await device.flush();
  co_return error == 0 ? outcome : Outcome::of(Code::WRITE_FAILED, static_cast<ImageIndex>(command.image), error);
}

Task<Outcome> SessionHost::execute(FormatLog& command) {
  Task<Outcome> step = session_->format();
  co_return co_await with_superblock(std::move(step), command.superblock);
}

Task<Outcome> SessionHost::execute(ScanRing& command) { return session_->scan_ring(command.bytes, command.progress); }

Task<Outcome> SessionHost::execute(Assess& command) { return session_->assess(command.assessment); }

Task<Outcome> SessionHost::execute(ReadDebts& command) {
  const Outcome outcome = co_await session_->read_debts();
  if (outcome.ok() && !command.extent.empty()) command.owing = session_->owing_in(command.extent);
  co_return outcome;
}

Task<Outcome> SessionHost::execute(ReadHistory& command) { return session_->read_history(command.scan); }

Task<Outcome> SessionHost::execute(Activate& command) {
  command.options.owner.process = static_cast<std::uint32_t>(getpid());
  command.options.owner.started_at_ms = reactor_.wall_clock_ms();
  Task<Outcome> step = session_->activate(std::move(command.options));
  co_return co_await with_superblock(std::move(step), command.superblock);
}

Task<Outcome> SessionHost::execute(SetPolicies& command) {
  Task<Outcome> step = session_->set_policies(command.change);
  co_return co_await with_superblock(std::move(step), command.superblock);
}

Task<Outcome> SessionHost::execute(EndRecovery& command) {
  command.summary.finished_at_ms = reactor_.wall_clock_ms();
  return session_->end_recovery(command.summary);
}

Task<Outcome> SessionHost::execute(Compare& command) {
  return session_->compare(std::move(command.extents), command.order, command.result);
}

Task<Outcome> SessionHost::execute(RecordVerify& command) { return session_->record_verify(std::move(command.found)); }

Task<Outcome> SessionHost::execute(FractureSlaves& command) {
  return session_->fracture(command.slaves, command.result);
}

Task<Outcome> SessionHost::execute(WriteFrom& command) {
  return session_->write_from(command.image, command.extent, command.result);
}

Task<Outcome> SessionHost::execute(Rejoin& command) {
  const ImageSet one = image_bit(command.image);
  rejoining_ |= one;
  const Outcome outcome = co_await session_->rejoin(command.image, command.full);
  rejoining_ &= static_cast<ImageSet>(~one);
  co_return outcome;
}

Task<Outcome> SessionHost::execute(ResyncStep& command) { return session_->resync(command.order, command.result); }

// The files close here, not with the thread: whoever waits for close may open the mirror again at once (I9).
Task<Outcome> SessionHost::execute(Close&) {
  closing_ = true;
  // Before the session refuses anything: a discard that was accepted goes on from region to region.
  while (active_ > 1) co_await settled_->wait();
  Outcome outcome = co_await session_->close();
  detach_images();
  // I15: a last event of the history may still be on its way to a log that hangs. Its lock goes when it answers.
  if (log_.device && !log_.device->is_idle()) left_.push_back(std::move(log_));
  log_ = Attached{};
  co_return outcome;
}

}  // namespace blockmirror
