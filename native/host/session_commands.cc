// The commands of SessionHost: each is one step of the session, with the devices it needs opened before and let go
// after. Which step when is decided in lib/; here an impossible one is answered WRONG_PHASE.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "../core/session/formatter.h"
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
  if (log_.is_present() && log_.place == place) return true;
  for (const Attached& image : images_) {
    if (image.is_present() && image.place == place) return true;
  }
  return false;
}

// With length_if_empty a file that is not there is made. Somebody else may make or remove it between our looks; one such
// change is followed, a second one reported.
Outcome SessionHost::open_or_make(const std::string& path, const OpenFileOptions& options, OpenFile& file,
                                  Attached& into, DeviceFacts& facts) {
  Outcome outcome;
  for (unsigned attempt = 0; attempt < 2; ++attempt) {
    outcome = OpenFile::open(path, options, file);
    facts.made = outcome.ok() && file.lengthened() ? Made::length : Made::no;
    if (facts.made == Made::length) {
      outcome = MadeFile::keep(file, into.made);
      if (!outcome.ok()) file.shorten();
    }
    if (options.length_if_empty == 0 || outcome.code != Code::OPEN_FAILED || outcome.system_error != ENOENT) break;
    outcome = MadeFile::make(path, options.length_if_empty, file, into.made, options.resolved);
    facts.made = outcome.ok() ? Made::file : Made::no;
    if (outcome.code != Code::OPEN_FAILED || outcome.system_error != EEXIST) break;
  }
  return outcome;
}

// Images are opened in the order of their places, so that of two openers of the same ones the first to come has all.
std::vector<std::size_t> SessionHost::order_of_opening(const std::vector<std::string>& paths) {
  std::vector<std::pair<Place, std::size_t>> order;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    Place place;
    place_of(paths[i], place);
    order.emplace_back(place, i);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.device, a.first.inode) < std::pair(b.first.device, b.first.inode);
  });
  std::vector<std::size_t> indices;
  for (const auto& entry : order) indices.push_back(entry.second);
  return indices;
}

// The place is compared before the file is opened: our own lock would otherwise be waited for, and then be reported
// as somebody else's. A path that cannot be looked up is OpenFile's to report.
Outcome SessionHost::attach(const std::string& path, const OpenFileOptions& options, ImageIndex image, Attached& into,
                            DeviceFacts& facts) {
  if (place_of(path, into.place) && is_attached(into.place)) return Outcome::of(Code::SAME_DEVICE, image);
  OpenFile file;
  Outcome outcome = open_or_make(path, options, file, into, facts);
  if (!outcome.ok()) {
    outcome.image = image;
    return outcome;
  }
  const Made made = facts.made;
  outcome = take_over(std::move(file), image, into, facts);
  facts.made = made;
  if (!outcome.ok()) into.made.undo();
  return outcome;
}

Outcome SessionHost::take_over(OpenFile file, ImageIndex image, Attached& into, DeviceFacts& facts) {
  facts = facts_of(file);
  facts.descriptor = file.descriptor();
  into.place = {facts.traits.block_device, facts.device, facts.inode};
  std::unique_ptr<Device> device = reactor_.make_device(std::move(file));
  if (!device) return Outcome::of(Code::NO_MEMORY, image);
  if (!into.device) into.device = std::make_unique<GatedDevice>(reactor_, gate_);
  into.device->put(std::move(device));
  return Outcome::success();
}

DeviceFacts facts_of(const OpenFile& file) {
  return {.path = file.path(),
          .traits = file.traits(),
          .device = file.device(),
          .inode = file.inode(),
          .ownership = file.ownership()};
}

void SessionHost::detach_images() {
  session_->set_images({});
  // I15: ring, memory, descriptor and lock of a device that hangs are left to the process until it answers.
  for (Attached& image : images_) {
    if (image.device && !image.device->is_idle()) left_.push_back(std::move(image));
  }
  images_.clear();
}

Task<Outcome> SessionHost::execute(OpenLog& command) {
  if (!alone_in(Phase::idle, Phase::idle) || log_.device) co_return Outcome::of(Code::WRONG_PHASE, kLogDevice);
  OpenFileOptions options;
  options.read_only = command.read_only;
  options.exclusive = command.exclusive;
  options.require_allocated = command.require_allocated;
  options.resolved = command.resolved;
  options.length_if_empty = command.make_length;
  Attached opened;
  Outcome outcome = attach(command.path, options, kLogDevice, opened, command.facts);
  if (!outcome.ok()) co_return outcome;
  log_ = std::move(opened);
  if (command.device_timeout_ms) session_->set_device_timeout(*command.device_timeout_ms * 1'000'000);
  session_->set_log(*log_.device);
  co_return outcome;
}

Task<Outcome> SessionHost::execute(OpenImages& command) {
  if (!alone_in(Phase::idle, Phase::loaded)) co_return Outcome::of(Code::WRONG_PHASE);
  detach_images();
  OpenFileOptions options;
  options.read_only = command.read_only;
  options.exclusive = command.exclusive;
  options.member = command.members;
  options.resolved = command.resolved;
  const std::size_t count = command.paths.size();
  images_.resize(count);
  command.facts.resize(count);
  command.outcomes.resize(count);
  for (const std::size_t i : order_of_opening(command.paths)) {
    if (command.paths[i].empty()) continue;
    options.length_if_empty = i < command.make_lengths.size() ? command.make_lengths[i] : 0;
    Attached opened;
    Outcome outcome = attach(command.paths[i], options, static_cast<ImageIndex>(i), opened, command.facts[i]);
    command.outcomes[i] = outcome;
    if (outcome.ok()) images_[i] = std::move(opened);
    const bool optional = i < kMaxImages && (command.optional & image_bit(static_cast<unsigned>(i))) != 0;
    if (outcome.ok() || optional) continue;
    for (Attached& image : images_) image.made.undo();
    images_.clear();
    co_return outcome;
  }
  std::vector<Device*> devices;
  for (Attached& image : images_) {
    if (!image.device) image.device = std::make_unique<GatedDevice>(reactor_, gate_);
    devices.push_back(image.device.get());
  }
  session_->set_images(std::move(devices), command.outcomes);
  co_return Outcome::success();
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

Task<Outcome> SessionHost::execute(ReadDebts&) { return session_->read_debts(); }

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
  return session_->compare(std::move(command.extents), command.all, command.result);
}

Task<Outcome> SessionHost::execute(RecordVerify& command) { return session_->record_verify(std::move(command.found)); }

Task<Outcome> SessionHost::execute(FractureSlaves& command) {
  return session_->fracture(command.slaves, command.result);
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
  log_ = Attached{};
  co_return outcome;
}

}  // namespace blockmirror
