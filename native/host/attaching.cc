// The devices of slaves that are out come and go while the mirror runs.
#include <cerrno>
#include <utility>

#include "limits.h"
#include "pause.h"
#include "session_host.h"

namespace blockmirror {

bool SessionHost::may_come_or_go(std::uint32_t image) const {
  const bool running = session_->phase() == Phase::running || session_->phase() == Phase::recovering;
  const Superblock& superblock = session_->superblock();
  const bool slave = image < images_.size() && (superblock.slaves() & image_bit(image)) != 0;
  if (!running || !slave || (rejoining_ & image_bit(image)) != 0) return false;
  return !rights_of(superblock.images[image].state).receives;
}

Task<Outcome> SessionHost::execute(AttachImage& command) {
  const auto image = static_cast<ImageIndex>(command.image);
  if (!may_come_or_go(command.image) || images_[command.image].is_present()) {
    co_return Outcome::of(Code::WRONG_PHASE, image);
  }
  std::unique_ptr<Opening>& opening = opening_of(image);
  if (opening && !opening->over()) co_return Outcome::of(Code::BUSY, image, ETIMEDOUT);
  opening = std::make_unique<Opening>();
  OpenFileOptions options;
  options.member = true;
  options.resolved = command.resolved;
  Outcome outcome = opening->begin(command.path, options, Lost::refused);
  if (outcome.ok() && !co_await until_over(*opening, reactor_.now_ns() + kAttachWait_ns)) {
    opening->give_up();
    co_return closing_ ? Outcome::of(Code::CLOSED) : Outcome::of(Code::BUSY, image, ETIMEDOUT);
  }
  Opened opened;
  if (outcome.ok()) outcome = (opened = opening->take()).outcome;
  opening.reset();
  outcome.image = image;
  if (!outcome.ok()) co_return outcome;
  if (!may_come_or_go(command.image)) co_return Outcome::of(Code::WRONG_PHASE, image);
  co_return take_over(std::move(opened.file), image, images_[command.image], command.facts);
}

Task<Outcome> SessionHost::execute(DetachImage& command) {
  const auto image = static_cast<ImageIndex>(command.image);
  const bool slave =
      command.image < images_.size() && (session_->superblock().slaves() & image_bit(command.image)) != 0;
  const bool judged = alone_in(Phase::loaded, Phase::loaded) && slave;
  const std::uint64_t deadline_ns = reactor_.now_ns() + kDetachWait_ns;
  for (;;) {
    if (!judged && !may_come_or_go(command.image)) co_return Outcome::of(Code::WRONG_PHASE, image);
    GatedDevice& device = *images_[command.image].device;
    if (device.is_idle()) {
      device.let_go();
      images_[command.image].place = {};
      co_return Outcome::success();
    }
    if (closing_) co_return Outcome::of(Code::CLOSED);
    if (session_->is_stalled(command.image)) co_return Outcome::of(Code::STALLED, image, ETIMEDOUT);
    if (reactor_.now_ns() > deadline_ns) co_return Outcome::of(Code::BUSY, image, ETIMEDOUT);
    co_await Pause(reactor_, kAttachLook_ns);
  }
}

}  // namespace blockmirror
