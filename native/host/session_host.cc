#include "session_host.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <variant>

#include "../core/base/held_memory.h"

namespace blockmirror {

SessionHost::SessionHost(Reactor& reactor, DeviceLatencies& latencies, RequestLatency& request_latency,
                         void (*done)(void* context, RequestPart& part), void* context)
    : reactor_(reactor),
      request_latency_(request_latency),
      done_(done),
      context_(context),
      settled_(std::make_unique<Condition>(reactor)),
      session_(std::make_unique<Session>(reactor, &latencies)) {
  session_->keep_history();
}

SessionHost::~SessionHost() {
  Phase phase = session_->phase();
  bool lives = phase == Phase::formatting || phase == Phase::recovering || phase == Phase::running;
  bool at_rest = !lives && phase != Phase::stopped;
  // Left without a close: coroutines of the session still wait for devices, timers and one another. They never run
  // again, and what they hold is given up with them.
  if (active_ > 0 || !at_rest) {
    static_cast<void>(session_.release());
    static_cast<void>(settled_.release());
  }
  session_.reset();
  left_.clear();
  images_.clear();
  log_ = Attached{};
}

namespace {

// Just before an image gets it; any other request is called off when its first part starts, or not at all.
bool decides_later(const RequestPart& part) { return part.kind == RequestKind::write && part.parts == 1; }

}  // namespace

void SessionHost::start(RequestPart& part) {
  BLOCKMIRROR_ASSERT(!closing_, "nothing is started after close");
  ++active_;
  RequestProgress& progress = *part.progress;
  if (progress.decision == RequestProgress::Decision::open) {
    const bool command = part.kind == RequestKind::command;
    const bool goes_on = command || (decides_later(part) ? !progress.call_off.asked() : progress.call_off.give());
    progress.decision = goes_on ? RequestProgress::Decision::run : RequestProgress::Decision::abort;
    progress.since_ns = reactor_.recent_ns();
  }
  if (progress.decision == RequestProgress::Decision::abort) {
    return finish(part, Outcome::of(Code::ABORTED, kNoImage, 0, part.extent.position));
  }
  spawn(run(part));
}

Task<void> SessionHost::run(RequestPart& part) {
  Outcome outcome = co_await serve(part);
  finish(part, outcome);
}

Task<Outcome> SessionHost::serve(RequestPart& part) {
  std::span<std::byte> memory(part.memory, part.memory == nullptr ? 0 : part.extent.length);
  switch (part.kind) {
    case RequestKind::write:
      // Only a request of one part can be cancelled once it runs: otherwise it could be half written, half aborted.
      return session_->write_partial(part.extent, memory, part.partial, part.durable,
                                     decides_later(part) ? &part.progress->call_off : nullptr);
    case RequestKind::read:
      return session_->read(part.extent, memory);
    case RequestKind::flush:
      return session_->flush();
    case RequestKind::discard:
      return discard_lane(part);
    case RequestKind::command:
      break;
  }
  return serve_command(*part.command);
}

Task<Outcome> SessionHost::discard_lane(RequestPart& part) {
  std::uint64_t first = part.extent.position / kRegionLength;
  std::uint64_t last = (part.extent.end() - 1) / kRegionLength;
  for (std::uint64_t region = first + part.lane; region <= last; region += part.lanes) {
    if (part.progress->failed) break;
    std::uint64_t start = std::max(region * kRegionLength, part.extent.position);
    std::uint64_t end = std::min((region + 1) * kRegionLength, part.extent.end());
    Extent extent{start, end - start};
    Outcome outcome = co_await session_->discard(extent);
    if (outcome.ok()) continue;
    part.progress->failed = true;
    co_return outcome;
  }
  co_return Outcome::success();
}

Task<Outcome> SessionHost::serve_command(Command& command) {
  auto execution = [this](auto& body) { return execute(body); };
  Outcome outcome = co_await std::visit(execution, command.body);
  command.shape = shape();
  co_return outcome;
}

void SessionHost::finish(RequestPart& part, const Outcome& outcome) {
  part.outcome = outcome;
  count_latency(part);
  part.held = part.memory != nullptr && HeldMemory::of_this_thread().holds(part.memory, part.extent.length);
  --active_;
  settled_->wake_all();
  // Before the part is handed over: then its memory is the other thread's to free, but for this one hold.
  const bool held = part.held;
  done_(context_, part);
  if (!held) return;
  const auto come_back = [](void* waiting, std::byte*, std::size_t) {
    const std::unique_ptr<HeldPart> of(static_cast<HeldPart*>(waiting));
    of->host->done_(of->host->context_, *of->part);
  };
  HeldMemory::of_this_thread().let_go(part.memory, part.extent.length, {come_back, new HeldPart{this, &part}});
}

// Of a request that was run, when its last part is over; while its progress is this thread's still.
void SessionHost::count_latency(const RequestPart& part) {
  RequestProgress& progress = *part.progress;
  if (++progress.parts_over < part.parts || progress.decision != RequestProgress::Decision::run) return;
  const std::uint64_t now_ns = reactor_.recent_ns();
  const std::uint64_t length_ns = now_ns - progress.since_ns;
  switch (part.kind) {
    case RequestKind::write:
      return request_latency_.write.count(now_ns, length_ns);
    case RequestKind::read:
      return request_latency_.read.count(now_ns, length_ns);
    case RequestKind::flush:
      return request_latency_.flush.count(now_ns, length_ns);
    case RequestKind::discard:
      return request_latency_.discard.count(now_ns, length_ns);
    case RequestKind::command:
      return;
  }
}

Shape SessionHost::shape() const {
  Shape shape;
  if (!has_superblock_) return shape;
  shape.size = session_->superblock().size;
  shape.block_size = session_->superblock().block_size;
  shape.memory_alignment = session_->memory_alignment();
  return shape;
}

}  // namespace blockmirror
