#include "history_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "../base/aligned_buffer.h"
#include "../base/headroom.h"
#include "../base/mutation.h"

namespace blockmirror {
namespace {

constexpr std::int32_t kLargestErrno = 4095;
constexpr std::size_t kReadBlock = 4096;  // where the area cannot be read as one

// Goes on when what is ready now has run: whoever tells an event is never inside of a device's submit().
struct NextTurn : Waiter {
  explicit NextTurn(Runtime& of) : runtime(of) {}
  Runtime& runtime;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) {
    handle = waiting;
    runtime.make_ready(*this);
  }
  void await_resume() const noexcept {}
};

Extent hull_of(const Extent& one, const Extent& other) {
  if (one.empty()) return other;
  if (other.empty()) return one;
  const std::uint64_t begin = std::min(one.position, other.position);
  return {begin, std::max(one.end(), other.end()) - begin};
}

// As any reader accepts it.
void fit(Event& event) {
  const auto count = [](std::uint64_t& number) { number = std::min(number, kLargestCount); };
  count(event.generation);
  count(event.open_count);
  count(event.bytes);
  count(event.duration_ms);
  event.at_ms = storable_date(event.at_ms);
  if (event.error < 0 || event.error > kLargestErrno) event.error = 0;
  if (event.extent.position >= kPositionLimit || event.extent.length >= kPositionLimit) event.extent = {};
  if (event.name.size() > kEventNameLength) event.name.resize(kEventNameLength);
  if (!is_printable(event.name, kEventNameLength)) event.name.clear();
}

// `unreadable`: slots of which nothing is known.
Task<void> read_area(Device& log, std::span<std::byte> area, std::vector<bool>& unreadable) {
  unreadable.assign(kEventSlots, false);
  if (co_await log.read(kHistoryPosition, area) == 0) co_return;
  for (std::size_t at = 0; at < area.size(); at += kReadBlock) {
    const std::span<std::byte> block = area.subspan(at, kReadBlock);
    if (co_await log.read(kHistoryPosition + at, block) == 0) continue;
    std::memset(block.data(), 0, block.size());
    for (std::size_t slot = at / kEventLength; slot < (at + kReadBlock) / kEventLength; ++slot) unreadable[slot] = true;
  }
}

}  // namespace

// What is under way, and what the device may still touch. Belongs to the writer until that goes, and then to the request.
struct HistoryWriter::Worker {
  Worker(HistoryWriter& writer, Runtime& on, Device& to, const Uuid& uuid)
      : owner(&writer),
        runtime(on),
        log(to),
        log_uuid(uuid),
        unit(std::max<std::uint32_t>(kEventLength, transfer_unit(to.traits()))) {}

  HistoryWriter* owner;  // null: it has gone
  Runtime& runtime;
  Device& log;
  const Uuid log_uuid;
  const std::uint32_t unit;  // bytes of the log that are written as one
  AlignedBuffer bytes;       // the whole area where a unit holds several events, else one sector
  bool known = false;        // the newest sequence is
  bool running = false;
  std::uint64_t newest = 0;  // before this opening
  unsigned failures = 0;     // in a row

  Task<void> run();
  Task<bool> find_newest();
  Task<int> write(const Event& event);
};

HistoryWriter::HistoryWriter(Runtime& runtime) : runtime_(runtime), ended_(runtime) {
  gather_timer_.fire = &HistoryWriter::gathering_due;
  gather_timer_.context = this;
  drain_timer_.fire = &HistoryWriter::drain_due;
  drain_timer_.context = this;
}

HistoryWriter::~HistoryWriter() {
  runtime_.disarm(gather_timer_);
  runtime_.disarm(drain_timer_);
  if (worker_ == nullptr) return;
  worker_->owner = nullptr;
  if (!worker_->running) delete worker_;
}

// --- telling

void HistoryWriter::tell(Event event) {
  if (!kept_) return;
  event.sequence = ++told_;
  if (given_up_ || waiting_ == kQueuedEvents) {
    ++lost_;
    return;
  }
  if (event.at_ms == 0) event.at_ms = runtime_.wall_clock_ms();
  fit(event);
  if (queue_.empty()) queue_.resize(kQueuedEvents);
  queue_[(first_ + waiting_) % kQueuedEvents] = std::move(event);
  ++waiting_;
  start();
}

void HistoryWriter::lose() {
  if (!kept_) return;
  ++told_;
  ++lost_;
}

HistoryWriter::Gathering& HistoryWriter::gathering_of(const Event& event) {
  const std::size_t kind = event.kind == EventKind::repaired ? 0 : 1;
  return gathered_[kind][event.image < kMaxImages ? event.image : kMaxImages];
}

void HistoryWriter::gather(Event event) {
  if (!kept_) return;
  Gathering& gathering = gathering_of(event);
  event.at_ms = runtime_.wall_clock_ms();
  if (!gathering.open) {
    gathering.open = true;
    gathering.until_ns = runtime_.now_ns() + kGatherPeriod_ns;
    tell(std::move(event));
    return arm_gathering();
  }
  Event& sum = gathering.sum;
  if (gathering.more++ == 0) {
    gathering.first_ms = event.at_ms;
    sum = std::move(event);
    return;
  }
  sum.extent = hull_of(sum.extent, event.extent);
  sum.bytes += std::min(event.bytes, kLargestCount - std::min(sum.bytes, kLargestCount));
  sum.at_ms = event.at_ms;
  sum.error = event.error;
}

bool HistoryWriter::has_gathered() const {
  for (const auto& of_kind : gathered_) {
    for (const Gathering& gathering : of_kind) {
      if (gathering.more > 0) return true;
    }
  }
  return false;
}

// Those whose period is over, or all of them. A period in which nothing came is the last.
void HistoryWriter::tell_gathered(bool all) {
  for (auto& of_kind : gathered_) {
    for (Gathering& gathering : of_kind) {
      if (!gathering.open || (!all && gathering.until_ns > runtime_.now_ns())) continue;
      gathering.until_ns = runtime_.now_ns() + kGatherPeriod_ns;
      gathering.open = std::exchange(gathering.more, 0) > 0;
      if (!gathering.open) continue;
      Event sum = std::exchange(gathering.sum, Event{});
      sum.duration_ms = sum.at_ms - std::min(sum.at_ms, gathering.first_ms);
      tell(std::move(sum));
    }
  }
}

void HistoryWriter::arm_gathering() {
  std::uint64_t next = UINT64_MAX;
  for (const auto& of_kind : gathered_) {
    for (const Gathering& gathering : of_kind) {
      if (gathering.open) next = std::min(next, gathering.until_ns);
    }
  }
  if (next != UINT64_MAX) runtime_.arm(gather_timer_, next);
}

void HistoryWriter::gathering_due(void* context) {
  auto& writer = *static_cast<HistoryWriter*>(context);
  writer.tell_gathered(false);
  writer.arm_gathering();
}

// --- writing

void HistoryWriter::begin(Device& log, const Uuid& log_uuid, bool blank) {
  if (!kept_ || worker_ != nullptr) return;
  worker_ = new Worker(*this, runtime_, log, log_uuid);
  if (blank && worker_->unit == kEventLength) {
    worker_->bytes = AlignedBuffer::try_make(AlignedBuffer::kAlignment);
    worker_->known = worker_->bytes.size() > 0;
  }
  start();
}

void HistoryWriter::start() {
  const bool waits = worker_ != nullptr && !worker_->running && waiting_ > 0;
  if (!waits || held_back_ || given_up_) return;
  worker_->running = true;
  spawn(worker_->run());
}

void HistoryWriter::give_up() {
  given_up_ = true;
  lost_ += std::exchange(waiting_, 0);
}

void HistoryWriter::hold_back() { held_back_ = true; }

void HistoryWriter::go_on() {
  held_back_ = false;
  start();
}

Task<void> HistoryWriter::landed() {
  while (worker_ != nullptr && worker_->running) co_await ended_.wait();
}

void HistoryWriter::drain_due(void* context) {
  auto& writer = *static_cast<HistoryWriter*>(context);
  writer.drain_over_ = true;
  writer.ended_.wake_all();
}

Task<void> HistoryWriter::drain(std::uint64_t timeout_ns) {
  tell_gathered(true);
  drain_over_ = false;
  while (worker_ != nullptr && (worker_->running || waiting_ > 0) && !given_up_ && !drain_over_) {
    if (!drain_timer_.armed) runtime_.arm(drain_timer_, runtime_.now_ns() + timeout_ns);
    co_await ended_.wait();
  }
  runtime_.disarm(drain_timer_);
}

// Ends when nothing waits. `this` goes with the end where the writer has gone.
Task<void> HistoryWriter::Worker::run() {
  co_await NextTurn(runtime);
  if (owner != nullptr && !known) {
    known = co_await find_newest();
    if (owner != nullptr && !known) owner->give_up();
  }
  while (owner != nullptr && owner->waiting_ > 0 && !owner->held_back_) {
    Event event = std::move(owner->queue_[owner->first_]);
    owner->first_ = (owner->first_ + 1) % kQueuedEvents;
    --owner->waiting_;
    event.sequence += newest;
    const bool fits = event.sequence <= kLargestSetting;
    const int error = fits ? co_await write(event) : EOVERFLOW;
    if (owner == nullptr) break;
    failures = error == 0 ? 0 : failures + 1;
    if (error != 0) ++owner->lost_;
    if (!fits || failures == kFailuresInARow) owner->give_up();
  }
  running = false;
  if (owner != nullptr) {
    owner->ended_.wake_all();
  } else {
    delete this;
  }
}

// Behind what cannot be read may stand newer events than those that can: their sequences are left out.
Task<bool> HistoryWriter::Worker::find_newest() {
  bytes = AlignedBuffer::try_make(kHistoryLength);
  if (bytes.size() == 0) co_return false;
  std::vector<bool> unreadable;
  co_await read_area(log, bytes.span(), unreadable);
  newest = scan_history(log_uuid, bytes.span()).newest;
  newest += static_cast<std::uint64_t>(std::count(unreadable.begin(), unreadable.end(), true));
  if (mutated(Mutation::history_over_newer) && newest > 0) --newest;
  if (unit == kEventLength) bytes = AlignedBuffer::try_make(AlignedBuffer::kAlignment);
  co_return bytes.size() > 0;
}

// Whole units of the log, from memory. What failed is not written again with the next of them.
Task<int> HistoryWriter::Worker::write(const Event& event) {
  const std::size_t offset = event.sequence % kEventSlots * kEventLength;
  const std::size_t begin = offset / unit * unit;
  const std::size_t kept = unit == kEventLength ? begin : 0;
  const std::span<std::byte> sector = bytes.span().subspan(offset - kept, kEventLength);
  encode_event(log_uuid, event, sector);
  const std::span<const std::byte> written = bytes.span().subspan(begin - kept, unit);
  const int error = co_await log.write(kHistoryPosition + begin, written, !mutated(Mutation::history_not_durable));
  if (error != 0) std::memset(sector.data(), 0, sector.size());
  co_return error;
}

// --- reading

Task<Outcome> read_history(Device& log, const Uuid& log_uuid, HistoryScan& into) {
  AlignedBuffer area = AlignedBuffer::try_make(kHistoryLength);
  if (area.size() == 0) co_return Outcome::of(Code::NO_MEMORY, kLogDevice, ENOMEM);
  std::vector<bool> unreadable;
  co_await read_area(log, area.span(), unreadable);
  into = scan_history(log_uuid, area.span());
  into.broken += static_cast<std::uint32_t>(std::count(unreadable.begin(), unreadable.end(), true));
  co_return Outcome::success();
}

}  // namespace blockmirror
