#include "request_table.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "../core/assert.h"
#include "copy_out.h"

namespace blockmirror {

namespace {

constexpr std::uint32_t kAllPieces = kPendingPieces + kCommandPieces;

// Reads on through a list of byte ranges, in lengths that need not match theirs.
class Gather {
 public:
  explicit Gather(std::span<const std::span<const std::byte>> parts) : parts_(parts) {}
  void copy(std::span<std::byte> into) {
    while (!into.empty()) {
      std::span<const std::byte> rest = parts_.front().subspan(used_);
      std::size_t length = std::min(rest.size(), into.size());
      copy_out(into.data(), rest.data(), length);
      into = into.subspan(length);
      used_ += length;
      if (used_ < parts_.front().size()) continue;
      parts_ = parts_.subspan(1);
      used_ = 0;
    }
  }

 private:
  std::span<const std::span<const std::byte>> parts_;
  std::size_t used_ = 0;
};

std::uint64_t total_length(std::span<const std::span<const std::byte>> parts) {
  std::uint64_t total = 0;
  for (const auto& part : parts) total += part.size();
  return total;
}

// The part of `extent` from `position` that lies in one region.
Extent region_part(const Extent& extent, std::uint64_t position) {
  std::uint64_t region_end = (position / kRegionLength + 1) * kRegionLength;
  return {position, std::min(extent.end(), region_end) - position};
}

}  // namespace

std::unique_ptr<RequestTable> RequestTable::make(std::uint64_t pool_bytes, std::uint64_t registered_bytes) {
  std::unique_ptr<BufferPool> pool = BufferPool::make(pool_bytes, registered_bytes);
  RawArray<Piece> pieces(static_cast<Piece*>(std::malloc(sizeof(Piece) * kAllPieces)));
  RawArray<Request> requests(static_cast<Request*>(std::malloc(sizeof(Request) * kPendingRequests)));
  if (!pool || !pieces || !requests) return nullptr;
  return std::unique_ptr<RequestTable>(new RequestTable(std::move(pool), std::move(pieces), std::move(requests)));
}

RequestTable::RequestTable(std::unique_ptr<BufferPool> pool, RawArray<Piece> pieces, RawArray<Request> requests)
    : pool_(std::move(pool)),
      pieces_(std::move(pieces)),
      requests_(std::move(requests)),
      states_(kPendingRequests, SlotState::free),
      submissions_(kAllPieces),
      completions_(kAllPieces) {}

// The engine's thread has ended.
RequestTable::~RequestTable() {
  for (std::uint32_t slot = 0; slot < states_.size(); ++slot) {
    if (states_[slot] == SlotState::pending) end_use(requests_[slot]);
  }
  for (OwnedMemory* owned : kept_) owned->end_use();
}

Code RequestTable::submit_write(std::uint32_t slot, std::span<const std::span<const std::byte>> parts,
                                std::uint64_t position, WriteMode mode) {
  Extent extent{position, total_length(parts)};
  Code code = check(extent, mode.unaligned);
  if (code != Code::ok) return code;
  Request& request = open_request(slot, PieceKind::write);
  if (!cut(request, slot, extent, nullptr)) return Code::QUEUE_FULL;
  Gather gather(parts);
  for (std::uint32_t i = request.first_piece; i != kNoPiece; i = piece(i).next) {
    piece(i).durable = mode.durable;
    gather.copy({piece(i).memory + piece(i).partial.head, piece(i).named().length});
  }
  submit(slot, request);
  return Code::ok;
}

Code RequestTable::submit_write_owned(std::uint32_t slot, OwnedMemory& owned, std::uint64_t offset,
                                      std::uint64_t length, std::uint64_t position, WriteMode mode) {
  BLOCKMIRROR_ASSERT(offset <= owned.bytes().size() && length <= owned.bytes().size() - offset,
                     "a request lies inside its memory");
  Extent extent{position, length};
  Code code = check(extent, mode.unaligned);
  if (code != Code::ok) return code;
  const std::span<std::byte> bytes = owned.bytes().subspan(offset, length);
  Request& request = open_request(slot, PieceKind::write);
  if (!cut(request, slot, extent, bytes.data())) return Code::QUEUE_FULL;
  for (std::uint32_t i = request.first_piece; i != kNoPiece; i = piece(i).next) {
    piece(i).durable = mode.durable;
    if (!piece(i).pooled) continue;
    const Extent named = piece(i).named();
    copy_out(piece(i).memory + piece(i).partial.head, bytes.data() + (named.position - position), named.length);
  }
  request.owned = &owned;
  owned.begin_use();
  submit(slot, request);
  return Code::ok;
}

Code RequestTable::submit_read(std::uint32_t slot, std::uint64_t length, std::uint64_t position) {
  Extent extent{position, length};
  Code code = check(extent);
  if (code != Code::ok) return code;
  Request& request = open_request(slot, PieceKind::read);
  if (!cut(request, slot, extent, nullptr)) return Code::QUEUE_FULL;
  submit(slot, request);
  return Code::ok;
}

Code RequestTable::submit_flush(std::uint32_t slot) {
  if (closing_) return Code::CLOSED;
  if (shape_.block_size == 0) return Code::WRONG_PHASE;
  return submit_single(slot, PieceKind::flush, nullptr);
}

Code RequestTable::submit_discard(std::uint32_t slot, std::uint64_t position, std::uint64_t length) {
  Extent extent{position, length};
  Code code = check(extent);
  if (code != Code::ok) return code;
  Request& request = open_request(slot, PieceKind::discard);
  std::uint64_t regions = (extent.end() - 1) / kRegionLength - position / kRegionLength + 1;
  auto lanes = static_cast<std::uint32_t>(std::min<std::uint64_t>(regions, kDiscardLanes));
  for (std::uint32_t lane = 0; lane < lanes; ++lane) {
    std::uint32_t index;
    if (!take_piece(kPendingPieces, index)) {
      undo(request);
      return Code::QUEUE_FULL;
    }
    Piece& made = piece(index);
    made.kind = PieceKind::discard;
    made.slot = slot;
    made.extent = extent;
    made.lane = static_cast<std::uint8_t>(lane);
    made.lanes = static_cast<std::uint8_t>(lanes);
    made.next = std::exchange(request.first_piece, index);
    ++request.pieces_left;
  }
  submit(slot, request);
  return Code::ok;
}

Code RequestTable::submit_command(std::uint32_t slot, std::unique_ptr<Command> command) {
  if (closing_) return Code::CLOSED;
  bool is_close = std::holds_alternative<Close>(command->body);
  Command* body = command.get();
  Code code = submit_single(slot, PieceKind::command, body);
  if (code != Code::ok) return code;
  commands_[slot] = std::move(command);
  if (is_close) closing_ = true;
  return Code::ok;
}

void RequestTable::cancel(std::uint32_t slot) {
  if (states_[slot] == SlotState::pending) requests_[slot].progress.cancelled.store(true, std::memory_order_relaxed);
}

bool RequestTable::collect(Completion& into) {
  std::uint32_t index;
  while (completions_.pop(index)) {
    Piece& done = piece(index);
    std::uint32_t slot = done.slot;
    if (states_[slot] != SlotState::pending) continue;  // it was abandoned before the engine was done with it
    Request& request = requests_[slot];
    const Status& status = done.status;
    if (!status.ok() && (request.status.ok() || status.position < request.status.position)) request.status = status;
    if (--request.pieces_left > 0) continue;
    settle(slot, request, into);
    return true;
  }
  return abandoned_ && collect_abandoned(into);
}

bool RequestTable::finish_read(std::uint32_t slot, std::span<const std::span<std::byte>> targets) {
  if (states_[slot] != SlotState::readable) return false;
  Request& request = requests_[slot];
  std::uint64_t wanted = 0, have = 0;
  for (const auto& target : targets) wanted += target.size();
  for (std::uint32_t i = request.first_piece; i != kNoPiece; i = piece(i).next) have += piece(i).extent.length;
  if (wanted > have) {
    drop_read(slot);
    return false;
  }
  std::uint32_t i = request.first_piece;
  std::uint64_t used = 0;  // of piece i
  for (std::span<std::byte> target : targets) {
    while (!target.empty()) {
      std::size_t length = std::min<std::size_t>(target.size(), piece(i).extent.length - used);
      std::memcpy(target.data(), piece(i).memory + used, length);
      target = target.subspan(length);
      used += length;
      if (used < piece(i).extent.length) continue;
      i = piece(i).next;
      used = 0;
    }
  }
  drop_read(slot);
  return true;
}

void RequestTable::drop_read(std::uint32_t slot) {
  if (states_[slot] != SlotState::readable) return;
  undo(requests_[slot]);
  states_[slot] = SlotState::free;
}

Command* RequestTable::completed_command(std::uint32_t slot) {
  auto found = commands_.find(slot);
  return found == commands_.end() || states_[slot] != SlotState::free ? nullptr : found->second.get();
}

void RequestTable::abandon_pending(bool engine_ended) {
  closing_ = true;
  abandoned_ = true;
  engine_ended_ = engine_ended;
}

Code RequestTable::check(const Extent& extent, bool unaligned) const {
  if (closing_) return Code::CLOSED;
  if (shape_.block_size == 0) return Code::WRONG_PHASE;
  if (!unaligned && ((extent.position | extent.length) & (shape_.block_size - 1)) != 0) return Code::MISALIGNED;
  if (extent.position > shape_.size || extent.length > shape_.size - extent.position) return Code::OUT_OF_RANGE;
  return Code::ok;
}

bool RequestTable::take_piece(std::uint32_t limit, std::uint32_t& index) {
  if (pieces_in_use_ >= limit) return false;
  ++pieces_in_use_;
  index = free_pieces_;
  if (index == kNoPiece) {
    index = pieces_made_++;
  } else {
    free_pieces_ = piece(index).next;
  }
  ::new (&pieces_[index]) Piece{};
  return true;
}

void RequestTable::free_piece(std::uint32_t index) {
  take_memory(piece(index));
  piece(index).next = std::exchange(free_pieces_, index);
  --pieces_in_use_;
}

bool RequestTable::give_memory(Piece& to) {
  to.memory = pool_->allocate(to.extent.length);
  to.pooled = to.memory != nullptr;
  return to.pooled;
}

void RequestTable::take_memory(Piece& from) {
  if (from.pooled) pool_->release(from.memory);
  from.pooled = false;
  from.memory = nullptr;
}

RequestTable::Request& RequestTable::open_request(std::uint32_t slot, PieceKind kind) {
  BLOCKMIRROR_ASSERT(slot < kPendingRequests && states_[slot] == SlotState::free, "a slot in use was used again");
  if (!commands_.empty()) commands_.erase(slot);
  Request* request = ::new (&requests_[slot]) Request{};
  request->kind = kind;
  return *request;
}

// Pieces in order of position, each with memory: of `owned` where the devices can take it as it lies, else of the pool.
bool RequestTable::cut(Request& request, std::uint32_t slot, const Extent& extent, std::byte* owned) {
  BLOCKMIRROR_ASSERT(extent.length > 0 && extent.length <= kRequestLength, "the length of a request is bounded");
  std::uint32_t last = kNoPiece;
  for (std::uint64_t position = extent.position; position < extent.end();) {
    std::uint32_t index;
    if (!take_piece(kPendingPieces, index)) {
      undo(request);
      return false;
    }
    Piece& made = piece(index);
    (last == kNoPiece ? request.first_piece : piece(last).next) = index;
    last = index;
    made.kind = request.kind;
    made.slot = slot;
    const Extent named = region_part(extent, position);
    made.extent = named.widened(shape_.block_size);
    made.partial.head = static_cast<std::uint32_t>(named.position - made.extent.position);
    made.partial.tail = static_cast<std::uint32_t>(made.extent.end() - named.end());
    std::byte* lies = owned == nullptr || made.partial.any() ? nullptr : owned + (position - extent.position);
    if (lies != nullptr && reinterpret_cast<std::uintptr_t>(lies) % shape_.memory_alignment == 0) {
      made.memory = lies;
    } else if (!give_memory(made)) {
      undo(request);
      return false;
    }
    ++request.pieces_left;
    position = named.end();
  }
  return true;
}

void RequestTable::undo(Request& request) {
  std::uint32_t index = request.first_piece;
  while (index != kNoPiece) free_piece(std::exchange(index, piece(index).next));
  request.first_piece = kNoPiece;
}

void RequestTable::submit(std::uint32_t slot, Request& request) {
  states_[slot] = SlotState::pending;
  for (std::uint32_t i = request.first_piece; i != kNoPiece;) {
    std::uint32_t next = piece(i).next;
    piece(i).pieces = request.pieces_left;
    piece(i).progress = &request.progress;
    submissions_.push(i);
    i = next;
  }
}

Code RequestTable::submit_single(std::uint32_t slot, PieceKind kind, Command* command) {
  Request& request = open_request(slot, kind);
  std::uint32_t index;
  if (!take_piece(kind == PieceKind::command ? kAllPieces : kPendingPieces, index)) return Code::QUEUE_FULL;
  piece(index).kind = kind;
  piece(index).slot = slot;
  piece(index).command = command;
  request.first_piece = index;
  request.pieces_left = 1;
  submit(slot, request);
  return Code::ok;
}

void RequestTable::end_use(Request& request) {
  if (request.owned != nullptr) std::exchange(request.owned, nullptr)->end_use();
}

void RequestTable::settle(std::uint32_t slot, Request& request, Completion& into) {
  end_use(request);
  into.slot = slot;
  into.status = request.status;
  if (request.kind == PieceKind::command) shape_ = commands_[slot]->shape;
  bool readable = request.kind == PieceKind::read && request.status.ok();
  if (!readable) undo(request);
  states_[slot] = readable ? SlotState::readable : SlotState::free;
}

// Answers the caller; pieces, memory and command stay as the engine knows them.
void RequestTable::keep_for_engine(std::uint32_t slot, Request& request, Completion& into) {
  if (request.owned != nullptr) kept_.push_back(std::exchange(request.owned, nullptr));
  into = {slot, request.status};
  states_[slot] = SlotState::free;
}

bool RequestTable::collect_abandoned(Completion& into) {
  for (; abandoned_slot_ < kPendingRequests; ++abandoned_slot_) {
    if (states_[abandoned_slot_] != SlotState::pending) continue;
    Request& request = requests_[abandoned_slot_];
    request.status = Status::of(Code::CLOSED);
    if (!engine_ended_) {
      keep_for_engine(abandoned_slot_, request, into);
      return true;
    }
    if (request.kind == PieceKind::command) commands_[abandoned_slot_]->shape = shape_;
    settle(abandoned_slot_, request, into);
    return true;
  }
  return false;
}

}  // namespace blockmirror
