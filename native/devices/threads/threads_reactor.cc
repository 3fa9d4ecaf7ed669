#include "threads_reactor.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace blockmirror {

namespace {

constexpr timespec kRefusedPause{.tv_sec = 0, .tv_nsec = 1000000};

}  // namespace

std::unique_ptr<Device> ThreadsReactor::make_device(OpenFile file) {
  return std::make_unique<FileDevice>(*this, std::move(file));
}

// The worker decides the first attempt again: nothing has changed since, and so a request carries all it needs.
void ThreadsReactor::start(DeviceRequest& request, const Attempt&) {
  request.next = nullptr;
  (last_ == nullptr ? first_ : last_->next) = &request;
  last_ = &request;
  ++count_;
}

unsigned ThreadsReactor::collect() {
  unsigned count = 0;
  for (DeviceRequest* request = workers_.take_finished(); request != nullptr; ++count) {
    DeviceRequest* next = std::exchange(request->next, nullptr);
    finish(*request, request->error);
    request = next;
  }
  return count;
}

void ThreadsReactor::exchange(bool sleep, std::uint64_t deadline_ns) {
  workers_.hand_over(std::exchange(first_, nullptr), std::exchange(last_, nullptr), std::exchange(count_, 0u));
  if (!sleep) return;
  timespec timeout{};
  if (deadline_ns != kNoDeadline) {
    const std::uint64_t now = now_ns();
    const std::uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
    timeout = {.tv_sec = static_cast<time_t>(left / 1000000000), .tv_nsec = static_cast<long>(left % 1000000000)};
  }
  pollfd event{.fd = wake_signal().descriptor(), .events = POLLIN, .revents = 0};
  const int ready = ::ppoll(&event, 1, deadline_ns == kNoDeadline ? nullptr : &timeout, nullptr);
  // Short of memory, or denied by a profile that came later: slower, never an end.
  if (ready < 0 && errno != EINTR) ::nanosleep(&kRefusedPause, nullptr);
  if (ready <= 0 || (event.revents & POLLIN) == 0) return;
  std::uint64_t count = 0;
  (void)!::read(event.fd, &count, sizeof count);  // not read: the next sleep is none
}

}  // namespace blockmirror
