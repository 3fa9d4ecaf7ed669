#include "watched_device.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "../base/mutation.h"

namespace blockmirror {

WatchedDevice::WatchedDevice(Runtime& runtime, Device& device, PastDeadline past_deadline, DeviceLatency* latency)
    : runtime_(runtime), device_(device), past_deadline_(past_deadline), latency_(latency) {
  timer_.fire = &WatchedDevice::timer_fired;
  timer_.context = this;
  refusal_timer_.fire = &WatchedDevice::refuse_fired;
  refusal_timer_.context = this;
}

WatchedDevice::~WatchedDevice() {
  BLOCKMIRROR_ASSERT(owed() == 0, "a device went that owes answers");
  while (free_ != nullptr) delete std::exchange(free_, free_->next);
}

void WatchedDevice::leave(std::unique_ptr<WatchedDevice> device) {
  device->runtime_.disarm(device->timer_);
  device->runtime_.disarm(device->refusal_timer_);
  if (device->owed() == 0) return;
  device->left_ = true;
  (void)device.release();  // answered() deletes it
}

void WatchedDevice::set_timeout(std::uint64_t timeout_ns) {
  timeout_ns_ = timeout_ns;
  runtime_.disarm(timer_);
  if (stalled()) settle_stall();
  arm();
}

// --- requests

WatchedDevice::Record& WatchedDevice::take_record() {
  if (free_ == nullptr) {
    Record* const made = new Record;
    made->watched = this;
    return *made;
  }
  return *std::exchange(free_, free_->next);
}

void WatchedDevice::append(Record& record) {
  record.previous = youngest_;
  record.next = nullptr;
  (youngest_ == nullptr ? oldest_ : youngest_->next) = &record;
  youngest_ = &record;
  ++under_way_;
}

void WatchedDevice::remove(Record& record) {
  (record.previous == nullptr ? oldest_ : record.previous->next) = record.next;
  (record.next == nullptr ? youngest_ : record.next->previous) = record.previous;
  --under_way_;
}

void WatchedDevice::submit(DeviceRequest& request) {
  if (past_deadline_ == PastDeadline::answer && late_ > 0) {
    return refuse(request);
  }
  Record& record = take_record();
  record.outer = &request;
  record.since_ns = runtime_.recent_ns();
  DeviceRequest& inner = record.inner;
  inner.operation = request.operation;
  inner.durable = request.durable;
  inner.position = request.position;
  inner.length = request.length;
  inner.memory = request.memory;
  inner.error = 0;
  inner.on_complete = &WatchedDevice::answered;
  inner.context = &record;
  inner.next = nullptr;
  inner.transferred = 0;
  inner.attempts = 0;
  inner.device_data = nullptr;
  append(record);
  if (!timer_.armed && !stalled()) arm();
  device_.submit(inner);
}

void WatchedDevice::answered(DeviceRequest& inner) {
  auto& record = *static_cast<Record*>(inner.context);
  record.watched->answered(record, inner.error);
}

void WatchedDevice::answered(Record& record, int error) {
  if (latency_ != nullptr && !left_) {
    const std::uint64_t now = runtime_.recent_ns();
    latency_->of(record.inner.operation).count(now, now - record.since_ns);
  }
  DeviceRequest* const outer = std::exchange(record.outer, nullptr);
  if (outer != nullptr) {
    remove(record);
  } else {
    --late_;
    HeldMemory::of_this_thread().end(record.hold);
  }
  record.next = std::exchange(free_, &record);
  if (left_) {
    if (owed() == 0) delete this;
    // Whoever still waits owns itself (log/history_writer.h); nobody else may leave with a request under way.
    if (outer != nullptr) outer->complete(error);
    return;
  }
  if (stalled()) settle_stall();
  if (outer != nullptr) outer->complete(error);
}

// --- deadlines

bool WatchedDevice::is_overdue() const {
  return timeout_ns_ != 0 && oldest_ != nullptr && runtime_.now_ns() >= oldest_->since_ns + timeout_ns_;
}

void WatchedDevice::arm() {
  if (timeout_ns_ == 0 || oldest_ == nullptr) return;
  runtime_.arm(timer_, oldest_->since_ns + timeout_ns_);
}

void WatchedDevice::timer_fired(void* watched) { static_cast<WatchedDevice*>(watched)->look(); }

void WatchedDevice::look() {
  if (oldest_ == nullptr) return;
  if (!is_overdue()) return arm();
  // Once a stall: there is nothing more to find out until the device answers, which settle_stall() sees.
  if (!stalled()) {
    const std::uint64_t waited_ms = (runtime_.now_ns() - oldest_->since_ns) / 1'000'000;
    stall_.since_ms = std::max(runtime_.wall_clock_ms(), waited_ms + 1) - waited_ms;
    stall_.operation = oldest_->inner.operation;
  }
  if (past_deadline_ == PastDeadline::answer) give_up();
}

// All of them: a device that lets one wait so long is out with that one, and nobody need wait for the others.
void WatchedDevice::give_up() {
  Record* record = std::exchange(oldest_, nullptr);
  youngest_ = nullptr;
  late_ += std::exchange(under_way_, 0);
  DeviceRequest* first = nullptr;
  DeviceRequest** last = &first;
  for (; record != nullptr; record = record->next) {
    const DeviceRequest& inner = record->inner;
    HeldMemory::of_this_thread().hold(record->hold, inner.memory, inner.memory == nullptr ? 0 : inner.length);
    DeviceRequest* const outer = std::exchange(record->outer, nullptr);
    outer->next = nullptr;
    *last = outer;
    last = &outer->next;
  }
  while (first != nullptr) {
    DeviceRequest& outer = *std::exchange(first, first->next);
    outer.complete(mutated(Mutation::late_completion_counts) ? 0 : ETIMEDOUT);
  }
  if (late_ > 0) device_.abandon();
}

// Never from inside of submit(): the caller is not ready for the answer.
void WatchedDevice::refuse(DeviceRequest& request) {
  request.next = nullptr;
  (last_refused_ == nullptr ? refused_ : last_refused_->next) = &request;
  last_refused_ = &request;
  if (!refusal_timer_.armed) runtime_.arm(refusal_timer_, runtime_.now_ns());
}

void WatchedDevice::refuse_fired(void* watched) {
  auto& self = *static_cast<WatchedDevice*>(watched);
  DeviceRequest* first = std::exchange(self.refused_, nullptr);
  self.last_refused_ = nullptr;
  while (first != nullptr) {
    DeviceRequest& request = *std::exchange(first, first->next);
    request.complete(ETIMEDOUT);
  }
}

// After an answer: the stall may be over, or go on with a younger request.
void WatchedDevice::settle_stall() {
  if (late_ > 0) return;
  if (past_deadline_ == PastDeadline::tell && is_overdue()) {
    stall_.operation = oldest_->inner.operation;
    return;
  }
  stall_ = {};
  if (!timer_.armed) arm();
}

}  // namespace blockmirror
