// The commands of SessionHost: each is one step of the session, with the devices it needs opened before and let go
// after. Which step when is decided in lib/; here an impossible one is answered WRONG_PHASE.
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "session_host.h"

namespace blockmirror {

bool SessionHost::alone_in(Phase first, Phase second) const {
  Phase phase = session_->phase();
  return active_ == 1 && (phase == first || phase == second);
}

bool SessionHost::place_of(const std::string& path, Place& into) {
  struct stat facts;
  if (stat(path.c_str(), &facts) != 0) return false;
  bool block_device = S_ISBLK(facts.st_mode);
  into.block_device = block_device;
  into.device = block_device ? facts.st_rdev : facts.st_dev;
  into.inode = block_device ? 0 : facts.st_ino;
  return true;
}

bool SessionHost::is_attached(const Place& place) const {
  if (log_.device && log_.place == place) return true;
  for (const Attached& image : images_) {
    if (image.device && image.place == place) return true;
  }
  return false;
}

// The place is compared before the file is opened: our own lock would otherwise be waited for, and then be reported
// as somebody else's. A path that cannot be looked up is OpenFile's to report.
Status SessionHost::attach(const std::string& path, const OpenFileOptions& options, ImageIndex image, Attached& into,
                           DeviceFacts& facts) {
  if (place_of(path, into.place) && is_attached(into.place)) return Status::of(Code::SAME_DEVICE, image);
  OpenFile file;
  Status status = OpenFile::open(path, options, file);
  if (!status.ok()) {
    status.image = image;
    return status;
  }
  facts.path = path;
  facts.traits = file.traits();
  std::unique_ptr<Device> device = reactor_.make_device(std::move(file));
  if (!device) return Status::of(Code::NO_MEMORY, image);
  into.device = std::make_unique<GatedDevice>(std::move(device), gate_);
  return Status::success();
}

void SessionHost::detach_images() {
  session_->set_images({});
  images_.clear();
}

Task<Status> SessionHost::execute(OpenLog& command) {
  if (!alone_in(Phase::idle, Phase::idle) || log_.device) co_return Status::of(Code::WRONG_PHASE, kLogDevice);
  OpenFileOptions options;
  options.read_only = command.read_only;
  options.exclusive = command.exclusive;
  options.require_allocated = command.require_allocated;
  Attached opened;
  Status status = attach(command.path, options, kLogDevice, opened, command.facts);
  if (!status.ok()) co_return status;
  log_ = std::move(opened);
  session_->set_log(*log_.device);
  co_return status;
}

Task<Status> SessionHost::execute(OpenImages& command) {
  if (!alone_in(Phase::idle, Phase::loaded)) co_return Status::of(Code::WRONG_PHASE);
  detach_images();
  OpenFileOptions options;
  options.read_only = command.read_only;
  options.exclusive = command.exclusive;
  options.member = command.members;
  std::vector<Device*> devices;
  for (const std::string& path : command.paths) {
    Attached opened;
    DeviceFacts facts;
    if (!path.empty()) {
      auto image = static_cast<ImageIndex>(images_.size());
      Status status = attach(path, options, image, opened, facts);
      if (!status.ok()) {
        images_.clear();
        co_return status;
      }
    }
    devices.push_back(opened.device.get());
    images_.push_back(std::move(opened));
    command.facts.push_back(std::move(facts));
  }
  session_->set_images(std::move(devices));
  co_return Status::success();
}

Task<Status> SessionHost::with_superblock(Task<Status> step, Superblock& into) {
  Status status = co_await std::move(step);
  if (!status.ok()) co_return status;
  has_superblock_ = true;
  into = session_->superblock();
  co_return status;
}

Task<Status> SessionHost::execute(LoadSuperblock& command) {
  if (!log_.device) co_return Status::of(Code::WRONG_PHASE, kLogDevice);
  Task<Status> step = session_->load_superblock();
  co_return co_await with_superblock(std::move(step), command.superblock);
}

Task<Status> SessionHost::execute(FormatLog& command) {
  bool ready = log_.device && !images_.empty() && command.options.images.size() == images_.size();
  for (const Attached& image : images_) ready = ready && image.device;
  if (!ready) co_return Status::of(Code::WRONG_PHASE);
  Task<Status> step = session_->format(std::move(command.options));
  co_return co_await with_superblock(std::move(step), command.superblock);
}

Task<Status> SessionHost::execute(Assess& command) { return session_->assess(command.assessment); }

Task<Status> SessionHost::execute(Activate& command) {
  command.options.owner.process = static_cast<std::uint32_t>(getpid());
  command.options.owner.started_at_ms = reactor_.wall_clock_ms();
  Task<Status> step = session_->activate(std::move(command.options));
  co_return co_await with_superblock(std::move(step), command.superblock);
}

Task<Status> SessionHost::execute(RecoverFlushMaster&) { return session_->recover_flush_master(); }

Task<Status> SessionHost::execute(RecoverCopy& command) {
  return session_->recover_copy(std::move(command.extents), command.compare, command.only_differing, command.result);
}

Task<Status> SessionHost::execute(RecoverFlushSlaves&) { return session_->recover_flush_slaves(); }

Task<Status> SessionHost::execute(RecoverVerify& command) {
  return session_->recover_verify(std::move(command.extents), command.result);
}

Task<Status> SessionHost::execute(RecoverRetire& command) {
  command.summary.finished_at_ms = reactor_.wall_clock_ms();
  return session_->recover_retire(command.summary);
}

Task<Status> SessionHost::execute(Compare& command) {
  return session_->compare(std::move(command.extents), command.all, command.result);
}

Task<Status> SessionHost::execute(RecordVerify& command) { return session_->record_verify(std::move(command.found)); }

Task<Status> SessionHost::execute(RetireAll&) { return session_->retire_all(); }

// The files close here, not with the thread: whoever waits for close may open the mirror again at once (I9).
Task<Status> SessionHost::execute(Close&) {
  closing_ = true;
  // Before the session refuses anything: a discard that was accepted goes on from region to region.
  while (active_ > 1) co_await settled_->wait();
  Status status = co_await session_->close();
  detach_images();
  log_ = Attached{};
  co_return status;
}

}  // namespace blockmirror
