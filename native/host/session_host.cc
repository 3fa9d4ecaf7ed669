#include "session_host.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace blockmirror {

SessionHost::SessionHost(Reactor& reactor, void (*done)(void* context, Piece& piece), void* context)
    : reactor_(reactor),
      done_(done),
      context_(context),
      settled_(std::make_unique<Condition>(reactor)),
      session_(std::make_unique<Session>(reactor)) {}

SessionHost::~SessionHost() {
  Phase phase = session_->phase();
  bool at_rest = phase != Phase::running && phase != Phase::stopped;
  // Left without a close: coroutines of the session still wait for devices, timers and one another. They never run
  // again, and what they hold is given up with them.
  if (active_ > 0 || !at_rest) {
    static_cast<void>(session_.release());
    static_cast<void>(settled_.release());
  }
  session_.reset();
  images_.clear();
  log_ = Attached{};
}

void SessionHost::start(Piece& piece) {
  BLOCKMIRROR_ASSERT(!closing_, "nothing is started after close");
  ++active_;
  RequestProgress& progress = *piece.progress;
  if (progress.decision == RequestProgress::Decision::open) {
    bool cancelled = piece.kind != PieceKind::command && progress.cancelled.load(std::memory_order_relaxed);
    progress.decision = cancelled ? RequestProgress::Decision::abort : RequestProgress::Decision::run;
  }
  if (progress.decision == RequestProgress::Decision::abort) {
    return finish(piece, Status::of(Code::ABORTED, kNoImage, 0, piece.extent.position));
  }
  spawn(run(piece));
}

Task<void> SessionHost::run(Piece& piece) {
  Status status = co_await serve(piece);
  finish(piece, status);
}

Task<Status> SessionHost::serve(Piece& piece) {
  std::span<std::byte> memory(piece.memory, piece.memory == nullptr ? 0 : piece.extent.length);
  switch (piece.kind) {
    case PieceKind::write:
      // Only a request of one piece can be cancelled once it runs: otherwise it could be half written, half aborted.
      return session_->write_partial(piece.extent, memory, piece.partial, piece.durable,
                                     piece.pieces == 1 ? &piece.progress->cancelled : nullptr);
    case PieceKind::read:
      return session_->read(piece.extent, memory);
    case PieceKind::flush:
      return session_->flush();
    case PieceKind::discard:
      return discard_lane(piece);
    case PieceKind::command:
      break;
  }
  return serve_command(*piece.command);
}

Task<Status> SessionHost::discard_lane(Piece& piece) {
  std::uint64_t first = piece.extent.position / kRegionLength;
  std::uint64_t last = (piece.extent.end() - 1) / kRegionLength;
  for (std::uint64_t region = first + piece.lane; region <= last; region += piece.lanes) {
    if (piece.progress->failed) break;
    std::uint64_t start = std::max(region * kRegionLength, piece.extent.position);
    std::uint64_t end = std::min((region + 1) * kRegionLength, piece.extent.end());
    Extent extent{start, end - start};
    Status status = co_await session_->discard(extent);
    if (status.ok()) continue;
    piece.progress->failed = true;
    co_return status;
  }
  co_return Status::success();
}

Task<Status> SessionHost::serve_command(Command& command) {
  auto execution = [this](auto& body) { return execute(body); };
  Status status = co_await std::visit(execution, command.body);
  command.shape = shape();
  co_return status;
}

void SessionHost::finish(Piece& piece, const Status& status) {
  piece.status = status;
  --active_;
  settled_->wake_all();
  done_(context_, piece);
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
