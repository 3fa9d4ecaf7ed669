#include "loop_reactor.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

namespace blockmirror {

FileDevice::FileDevice(LoopReactor& reactor, OpenFile file) : reactor_(reactor), file_(std::move(file)) {
  BLOCKMIRROR_ASSERT(file_.is_open(), "a device needs an open file");
  BLOCKMIRROR_ASSERT(std::has_single_bit(traits().offset_alignment) && std::has_single_bit(traits().memory_alignment),
                     "alignments are powers of two");
  ++reactor_.devices_;
  policy_.alignment = traits().offset_alignment;
  policy_.zero_range = traits().block_device;
}

FileDevice::~FileDevice() {
  BLOCKMIRROR_ASSERT(requests_in_flight_ == 0, "a device was destroyed with requests in flight");
  --reactor_.devices_;
}

void FileDevice::submit(DeviceRequest& request) {
  BLOCKMIRROR_ASSERT(request.on_complete != nullptr, "nobody waits for this request");
  if (request.operation != Operation::flush) {
    BLOCKMIRROR_ASSERT(((request.position | request.length) & (traits().offset_alignment - 1)) == 0,
                       "a position or length is not aligned to the device");
    BLOCKMIRROR_ASSERT((reinterpret_cast<std::uintptr_t>(request.memory) & (traits().memory_alignment - 1)) == 0,
                       "memory is not aligned to the device");
  }
  request.device_data = this;
  ++requests_in_flight_;
  reactor_.enqueue(request);
}

void FileDevice::abandon() { reactor_.abandon(*this); }

LoopReactor::LoopReactor(unsigned queue_depth, bool polling) : queue_depth_(queue_depth), polling_(polling) {
  BLOCKMIRROR_ASSERT(queue_depth > 0 && queue_depth <= kMaxQueueDepth, "the queue depth is out of bounds");
}

LoopReactor::~LoopReactor() {
  BLOCKMIRROR_ASSERT(requests_in_flight_ == 0, "a reactor was destroyed with requests in flight");
  if (zeroes_ != nullptr) ::munmap(zeroes_, kZeroBufferLength);
  if (random_device_ >= 0) ::close(random_device_);
}

std::uint64_t LoopReactor::now_ns() const {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000000000 + static_cast<std::uint64_t>(now.tv_nsec);
}

std::uint64_t LoopReactor::wall_clock_ms() const {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000000;
}

void LoopReactor::random(std::span<std::byte> into) {
  while (!into.empty()) {
    const ssize_t filled = random_device_ >= 0 ? ::read(random_device_, into.data(), into.size())
                                               : ::getrandom(into.data(), into.size(), 0);
    // Proven at the start. An identity that is not random is worse than none: it could pass for another one (I8).
    BLOCKMIRROR_ASSERT(filled > 0 || (filled < 0 && errno == EINTR), "the kernel has no random bytes");
    if (filled > 0) into = into.subspan(static_cast<std::size_t>(filled));
  }
}

// Proven once, so that random() cannot be refused: seccomp profiles of old container engines do not know getrandom(2).
int LoopReactor::find_random_bytes() {
  std::byte sample;
  ssize_t filled;
  do {
    filled = ::getrandom(&sample, 1, 0);
  } while (filled < 0 && errno == EINTR);
  if (filled == 1) return 0;
  random_device_ = ::open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  if (random_device_ < 0) return errno;
  do {
    filled = ::read(random_device_, &sample, 1);
  } while (filled < 0 && errno == EINTR);
  if (filled == 1) return 0;
  return filled < 0 ? errno : ENODEV;  // something else has its name
}

Outcome LoopReactor::bind_to_this_thread() {
  BLOCKMIRROR_ASSERT(zeroes_ == nullptr, "a reactor is bound once");
  auto failure = [](int error) {
    const bool scarce = error == ENOMEM || error == EMFILE || error == ENFILE || error == EAGAIN;
    return Outcome::of(scarce ? Code::NO_MEMORY : Code::UNSUPPORTED, kNoImage, error);
  };
  if (const int error = wake_.open(); error != 0) return failure(error);
  if (const int error = find_random_bytes(); error != 0) return failure(error);
  // Read-only, so that the zeroes stay zeroes; untouched, so that they cost no memory of their own.
  void* zeroes = ::mmap(nullptr, kZeroBufferLength, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (zeroes == MAP_FAILED) return failure(errno);
  zeroes_ = static_cast<std::byte*>(zeroes);
  if (const int error = set_up(); error != 0) return failure(error);
  return Outcome::success();
}

void LoopReactor::enqueue(DeviceRequest& request) {
  ++requests_in_flight_;
  FileDevice& device = device_of(request);
  if (device.admitted_ < share()) return admit(request);
  request.next = nullptr;
  (device.last_waiting_ == nullptr ? device.first_waiting_ : device.last_waiting_->next) = &request;
  device.last_waiting_ = &request;
}

void LoopReactor::admit(DeviceRequest& request) {
  ++device_of(request).admitted_;
  request.next = nullptr;
  (last_waiting_ == nullptr ? first_waiting_ : last_waiting_->next) = &request;
  last_waiting_ = &request;
}

// Those of the device that wait for its share or for a seat, and no others.
DeviceRequest* LoopReactor::take_waiting(FileDevice& device) {
  DeviceRequest* taken = std::exchange(device.first_waiting_, nullptr);
  device.last_waiting_ = nullptr;
  DeviceRequest* others = std::exchange(first_waiting_, nullptr);
  last_waiting_ = nullptr;
  while (others != nullptr) {
    DeviceRequest& request = *std::exchange(others, others->next);
    if (&device_of(request) == &device) {
      --device.admitted_;
      request.next = std::exchange(taken, &request);
      continue;
    }
    request.next = nullptr;
    (last_waiting_ == nullptr ? first_waiting_ : last_waiting_->next) = &request;
    last_waiting_ = &request;
  }
  return taken;
}

void LoopReactor::abandon(FileDevice& device) {
  DeviceRequest* waiting = take_waiting(device);
  // What is left of it is started.
  const unsigned replaced = replace(device.admitted_ - device.replaced_);
  device.replaced_ += replaced;
  started_ -= replaced;
  while (waiting != nullptr) {
    DeviceRequest& request = *std::exchange(waiting, waiting->next);
    --requests_in_flight_;
    --device.requests_in_flight_;
    request.complete(ECANCELED);
  }
}

// Returns how many completed at once, since they had nothing to transfer.
unsigned LoopReactor::start_waiting() {
  unsigned completed = 0;
  while (first_waiting_ != nullptr && started_ < queue_depth_) {
    DeviceRequest& request = *first_waiting_;
    first_waiting_ = std::exchange(request.next, nullptr);
    if (first_waiting_ == nullptr) last_waiting_ = nullptr;
    ++started_;
    const Attempt attempt = first_attempt(request, device_of(request).policy());
    if (attempt.kind != Attempt::Kind::finished) {
      start(request, attempt);
      continue;
    }
    ++completed;
    finish(request, attempt.error);
  }
  return completed;
}

void LoopReactor::finish(DeviceRequest& request, int error) {
  FileDevice& device = device_of(request);
  if (device.replaced_ > 0) {
    --device.replaced_;
    give_back();
  } else {
    --started_;
  }
  --requests_in_flight_;
  --device.requests_in_flight_;
  --device.admitted_;
  while (device.first_waiting_ != nullptr && device.admitted_ < share()) {
    DeviceRequest& next = *device.first_waiting_;
    device.first_waiting_ = std::exchange(next.next, nullptr);
    if (device.first_waiting_ == nullptr) device.last_waiting_ = nullptr;
    admit(next);
  }
  request.complete(error);
}

unsigned LoopReactor::run_callbacks() {
  unsigned count = 0;
  if (timers_.next_deadline() != kNoDeadline) count = timers_.fire_due(now_ns());
  return count + run_ready();
}

// True: something came, or somebody called, and the caller must not sleep.
bool LoopReactor::look_again(std::uint64_t deadline_ns) {
  if (!polling_) return false;
  PollingWindow& window = requests_in_flight_ > 0 ? answers_window_ : requests_window_;
  if (!window.opens()) return false;
  exchange(false, deadline_ns);
  return window.look(
      deadline_ns, [this] { return now_ns(); }, [this] { return wake_.take() || has_answers(); },
      [] { ::sched_yield(); });
}

void LoopReactor::turn(bool may_sleep) {
  BLOCKMIRROR_ASSERT(!turning_, "turn() was called from one of its callbacks");
  turning_ = true;
  recent_ns_ = 0;
  bool worked = collect() != 0;
  worked = (run_callbacks() != 0) || worked;
  postponed_ = worked && may_sleep && !postponed_;
  if (!postponed_) {
    worked = (start_waiting() != 0) || worked;
    const std::uint64_t deadline_ns = timers_.next_deadline();
    const bool idle = may_sleep && !worked && !has_ready();
    const bool sleep = idle && !look_again(deadline_ns) && wake_.begin_sleep();
    exchange(sleep, deadline_ns);
    if (sleep) wake_.end_sleep();
    recent_ns_ = 0;
    collect();
    run_callbacks();
  }
  turning_ = false;
}

}  // namespace blockmirror
