// How the devices of the log and of the images come, and go, around a session: opened beside the engine thread (I15), each
// within a deadline of its own.
#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "limits.h"
#include "pause.h"
#include "session_host.h"

namespace blockmirror {

// One device that is to be opened.
struct SessionHost::Arrival {
  ImageIndex image = kLogDevice;
  std::string path;
  OpenFileOptions options;
  bool optional = false;  // its outcome is told, and is no reason to refuse the others
  Attached* into = nullptr;
  DeviceFacts* facts = nullptr;
  std::unique_ptr<Looking> looking = std::make_unique<Looking>();
  Place place;
  std::uint64_t deadline_ns = 0;
  bool pending = false;
  Outcome outcome;
};

std::unique_ptr<Opening>& SessionHost::opening_of(ImageIndex image) {
  return openings_[static_cast<std::size_t>(image == kLogDevice ? 0 : image + 1)];
}

bool SessionHost::is_attached(const Place& place) const {
  if (log_.is_present() && log_.place.same_as(place)) return true;
  return std::any_of(images_.begin(), images_.end(),
                     [&](const Attached& image) { return image.is_present() && image.place.same_as(place); });
}

// A device may take as long as a request to it, besides the time for which a lock is waited for.
std::uint64_t SessionHost::opening_deadline_ns(const OpenFileOptions& options) const {
  const std::uint64_t timeout_ms = session_->snapshot().device_timeout_ms;
  if (timeout_ms == 0) return std::numeric_limits<std::uint64_t>::max();
  return reactor_.now_ns() + (timeout_ms + options.busy_retry_ms) * 1'000'000;
}

Outcome SessionHost::not_in_time() const {
  return closing_ ? Outcome::of(Code::CLOSED) : Outcome::of(Code::OPEN_FAILED, kNoImage, ETIMEDOUT);
}

// What is quick is waited for with short looks, what is slow with long ones. False: not by then, or the mirror closes.
Task<bool> SessionHost::until_over(const Errand& errand, std::uint64_t deadline_ns) {
  const std::uint64_t begin_ns = reactor_.now_ns();
  while (!errand.over()) {
    const std::uint64_t now_ns = reactor_.now_ns();
    if (closing_ || now_ns > deadline_ns) co_return false;
    const std::uint64_t pause_ns = std::clamp((now_ns - begin_ns) / 8, kFirstLook_ns, kAttachLook_ns);
    co_await Pause(reactor_, std::min(pause_ns, deadline_ns - now_ns + 1));
  }
  co_return true;
}

// In the order of their places, so that of two openers of the same ones the first to come has all.
Task<void> SessionHost::look_up(std::vector<Arrival>& arrivals) {
  for (Arrival& arrival : arrivals) {
    arrival.outcome = arrival.looking->begin(arrival.path);
    arrival.deadline_ns = opening_deadline_ns({.busy_retry_ms = 0});
  }
  for (Arrival& arrival : arrivals) {
    if (!arrival.outcome.ok()) continue;
    if (co_await until_over(*arrival.looking, arrival.deadline_ns)) {
      arrival.place = arrival.looking->take();
    } else {
      arrival.outcome = not_in_time();
    }
  }
  std::stable_sort(arrivals.begin(), arrivals.end(), [](const Arrival& a, const Arrival& b) {
    return std::pair(a.place.device, a.place.inode) < std::pair(b.place.device, b.place.inode);
  });
}

// The place is compared before the file is opened: our own lock would otherwise be waited for, and then be reported as
// somebody else's. A path that cannot be looked up is OpenFile's to report.
Task<void> SessionHost::open(std::vector<Arrival>& arrivals, Arrival& arrival) {
  const bool twice = std::any_of(arrivals.begin(), arrivals.end(), [&](const Arrival& other) {
    return &other != &arrival && other.pending && other.place.same_as(arrival.place);
  });
  if (twice || is_attached(arrival.place)) {
    arrival.outcome = Outcome::of(Code::SAME_DEVICE);
    co_return;
  }
  std::unique_ptr<Opening>& opening = opening_of(arrival.image);
  opening = std::make_unique<Opening>();
  arrival.outcome = opening->begin(arrival.path, arrival.options, Lost::accepted);
  if (!arrival.outcome.ok()) co_return;
  arrival.deadline_ns = opening_deadline_ns(arrival.options);
  arrival.pending = true;
  // Whoever takes longer than any lock is waited for holds up the next no more: fifteen may hang.
  const std::uint64_t patience_ns = (arrival.options.busy_retry_ms + kOpeningPatience_ms) * 1'000'000;
  co_await await_opening(arrival, std::min(arrival.deadline_ns, reactor_.now_ns() + patience_ns));
}

Task<void> SessionHost::await_opening(Arrival& arrival, std::uint64_t until_ns) {
  std::unique_ptr<Opening>& opening = opening_of(arrival.image);
  const bool over = co_await until_over(*opening, until_ns);
  if (!over && !closing_ && reactor_.now_ns() <= arrival.deadline_ns) co_return;
  arrival.pending = false;
  if (!over) {
    opening->give_up();
    arrival.outcome = not_in_time();
    co_return;
  }
  Opened opened = opening->take();
  opening.reset();
  arrival.outcome = opened.outcome;
  if (!opened.outcome.ok()) co_return;
  arrival.outcome = take_over(std::move(opened.file), arrival.image, *arrival.into, *arrival.facts);
  if (!arrival.outcome.ok()) co_return;
  arrival.facts->made = opened.how;
  arrival.into->made = std::move(opened.made);
}

// The first that is refused ends it: what was under way is given up.
Task<Outcome> SessionHost::open_all(std::vector<Arrival>& arrivals) {
  const auto refused = [](Arrival& arrival) {
    arrival.outcome.image = arrival.image;
    return !arrival.outcome.ok() && (!arrival.optional || arrival.outcome.code == Code::CLOSED);
  };
  const auto give_up = [&](const Outcome& why) {
    for (const Arrival& arrival : arrivals) {
      if (arrival.pending) opening_of(arrival.image)->give_up();
    }
    return why;
  };
  co_await look_up(arrivals);
  for (Arrival& arrival : arrivals) {
    if (arrival.outcome.ok()) co_await open(arrivals, arrival);
    if (refused(arrival)) co_return give_up(arrival.outcome);
  }
  for (Arrival& arrival : arrivals) {
    if (arrival.pending) co_await await_opening(arrival, arrival.deadline_ns);
    if (refused(arrival)) co_return give_up(arrival.outcome);
  }
  co_return Outcome::success();
}

Outcome SessionHost::take_over(OpenFile file, ImageIndex image, Attached& into, DeviceFacts& facts) {
  facts = facts_of(file);
  facts.descriptor = file.descriptor();
  into.place = {true, facts.traits.block_device, facts.device, facts.inode};
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
  const std::optional<std::uint64_t>& timeout_ms = command.device_timeout_ms;
  session_->set_device_timeout(timeout_ms ? std::optional(*timeout_ms * 1'000'000) : std::nullopt);
  std::vector<Arrival> arrivals(1);
  Arrival& arrival = arrivals[0];
  arrival.path = command.path;
  arrival.options.read_only = command.read_only;
  arrival.options.exclusive = command.exclusive;
  arrival.options.require_allocated = command.require_allocated;
  arrival.options.resolved = command.resolved;
  arrival.options.length_if_empty = command.make_length;
  arrival.into = &log_;
  arrival.facts = &command.facts;
  const Outcome outcome = co_await open_all(arrivals);
  if (outcome.ok()) session_->set_log(*log_.device);
  co_return outcome;
}

std::vector<SessionHost::Arrival> SessionHost::arrivals_of(OpenImages& command) {
  std::vector<Arrival> arrivals;
  for (std::size_t i = 0; i < command.paths.size(); ++i) {
    if (command.paths[i].empty()) continue;
    Arrival& arrival = arrivals.emplace_back();
    arrival.image = static_cast<ImageIndex>(i);
    arrival.path = command.paths[i];
    arrival.options.read_only = command.read_only;
    arrival.options.exclusive = command.exclusive;
    arrival.options.member = command.members;
    arrival.options.resolved = command.resolved;
    arrival.options.length_if_empty = i < command.make_lengths.size() ? command.make_lengths[i] : 0;
    arrival.optional = i < kMaxImages && (command.optional & image_bit(static_cast<unsigned>(i))) != 0;
    arrival.into = &images_[i];
    arrival.facts = &command.facts[i];
  }
  return arrivals;
}

Task<Outcome> SessionHost::execute(OpenImages& command) {
  if (!alone_in(Phase::idle, Phase::loaded)) co_return Outcome::of(Code::WRONG_PHASE);
  detach_images();
  const std::size_t count = command.paths.size();
  images_.resize(count);
  openings_.resize(std::max(openings_.size(), count + 1));
  command.facts.resize(count);
  command.outcomes.resize(count);
  std::vector<Arrival> arrivals = arrivals_of(command);
  const Outcome outcome = co_await open_all(arrivals);
  for (const Arrival& arrival : arrivals) command.outcomes[static_cast<std::size_t>(arrival.image)] = arrival.outcome;
  if (!outcome.ok()) {
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

}  // namespace blockmirror
