#include "request_table.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "../core/base/assert.h"
#include "copy_out.h"

namespace blockmirror {

namespace {

constexpr std::uint32_t kAllParts = kPendingParts + kCommandParts;

// Reads on through a list of byte ranges, in lengths that need not match theirs.
class Gather {
 public:
  explicit Gather(std::span<const std::span<const std::byte>> buffers) : buffers_(buffers) {}
  void copy(std::span<std::byte> into) {
    while (!into.empty()) {
      std::span<const std::byte> rest = buffers_.front().subspan(used_);
      std::size_t length = std::min(rest.size(), into.size());
      copy_out(into.data(), rest.data(), length);
      into = into.subspan(length);
      used_ += length;
      if (used_ < buffers_.front().size()) continue;
      buffers_ = buffers_.subspan(1);
      used_ = 0;
    }
  }

 private:
  std::span<const std::span<const std::byte>> buffers_;
  std::size_t used_ = 0;
};

std::uint64_t total_length(std::span<const std::span<const std::byte>> buffers) {
  std::uint64_t total = 0;
  for (const auto& buffer : buffers) total += buffer.size();
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
  RawArray<RequestPart> parts(static_cast<RequestPart*>(std::malloc(sizeof(RequestPart) * kAllParts)));
  RawArray<Request> requests(static_cast<Request*>(std::malloc(sizeof(Request) * kPendingRequests)));
  if (!pool || !parts || !requests) return nullptr;
  return std::unique_ptr<RequestTable>(new RequestTable(std::move(pool), std::move(parts), std::move(requests)));
}

RequestTable::RequestTable(std::unique_ptr<BufferPool> pool, RawArray<RequestPart> parts, RawArray<Request> requests)
    : pool_(std::move(pool)),
      parts_(std::move(parts)),
      requests_(std::move(requests)),
      states_(kPendingRequests, RequestState::free),
      submissions_(kAllParts),
      completions_(2 * std::size_t{kAllParts}) {}  // a part may come back twice

// The engine's thread has ended.
RequestTable::~RequestTable() {
  for (std::uint32_t ticket = 0; ticket < states_.size(); ++ticket) {
    if (states_[ticket] == RequestState::pending) end_use(requests_[ticket]);
  }
  for (OwnedMemory* owned : kept_) owned->end_use();
  for (const auto& held : held_) {
    if (held.second != nullptr) held.second->end_use();
  }
}

Code RequestTable::submit_write(std::uint32_t ticket, std::span<const std::span<const std::byte>> buffers,
                                std::uint64_t position, WriteMode mode) {
  Extent extent{position, total_length(buffers)};
  Code code = check(extent, mode.unaligned);
  if (code != Code::ok) return code;
  Request& request = open_request(ticket, RequestKind::write);
  if (!cut(request, ticket, extent, nullptr)) return Code::QUEUE_FULL;
  Gather gather(buffers);
  for (std::uint32_t i = request.first_part; i != kNoPart; i = part(i).next) {
    part(i).durable = mode.durable;
    gather.copy({part(i).memory + part(i).partial.head, part(i).named().length});
  }
  submit(ticket, request);
  return Code::ok;
}

Code RequestTable::submit_write_owned(std::uint32_t ticket, OwnedMemory& owned, std::uint64_t offset,
                                      std::uint64_t length, std::uint64_t position, WriteMode mode) {
  BLOCKMIRROR_ASSERT(offset <= owned.bytes().size() && length <= owned.bytes().size() - offset,
                     "a request lies inside its memory");
  Extent extent{position, length};
  Code code = check(extent, mode.unaligned);
  if (code != Code::ok) return code;
  const std::span<std::byte> bytes = owned.bytes().subspan(offset, length);
  Request& request = open_request(ticket, RequestKind::write);
  if (!cut(request, ticket, extent, bytes.data())) return Code::QUEUE_FULL;
  for (std::uint32_t i = request.first_part; i != kNoPart; i = part(i).next) {
    part(i).durable = mode.durable;
    if (!part(i).pooled) continue;
    const Extent named = part(i).named();
    copy_out(part(i).memory + part(i).partial.head, bytes.data() + (named.position - position), named.length);
  }
  request.owned = &owned;
  owned.begin_use();
  submit(ticket, request);
  return Code::ok;
}

Code RequestTable::submit_read(std::uint32_t ticket, std::uint64_t length, std::uint64_t position) {
  Extent extent{position, length};
  Code code = check(extent);
  if (code != Code::ok) return code;
  Request& request = open_request(ticket, RequestKind::read);
  if (!cut(request, ticket, extent, nullptr)) return Code::QUEUE_FULL;
  submit(ticket, request);
  return Code::ok;
}

Code RequestTable::submit_flush(std::uint32_t ticket) {
  if (closing_) return Code::CLOSED;
  if (shape_.block_size == 0) return Code::WRONG_PHASE;
  return submit_single(ticket, RequestKind::flush, nullptr);
}

Code RequestTable::submit_discard(std::uint32_t ticket, std::uint64_t position, std::uint64_t length) {
  Extent extent{position, length};
  Code code = check(extent);
  if (code != Code::ok) return code;
  Request& request = open_request(ticket, RequestKind::discard);
  std::uint64_t regions = (extent.end() - 1) / kRegionLength - position / kRegionLength + 1;
  auto lanes = static_cast<std::uint32_t>(std::min<std::uint64_t>(regions, kDiscardLanes));
  for (std::uint32_t lane = 0; lane < lanes; ++lane) {
    std::uint32_t index;
    if (!take_part(kPendingParts, index)) {
      undo(request);
      return Code::QUEUE_FULL;
    }
    RequestPart& made = part(index);
    made.kind = RequestKind::discard;
    made.ticket = ticket;
    made.extent = extent;
    made.lane = static_cast<std::uint8_t>(lane);
    made.lanes = static_cast<std::uint8_t>(lanes);
    made.next = std::exchange(request.first_part, index);
    ++request.parts_left;
  }
  submit(ticket, request);
  return Code::ok;
}

Code RequestTable::submit_command(std::uint32_t ticket, std::unique_ptr<Command> command) {
  if (closing_) return Code::CLOSED;
  bool is_close = std::holds_alternative<Close>(command->body);
  Command* body = command.get();
  Code code = submit_single(ticket, RequestKind::command, body);
  if (code != Code::ok) return code;
  commands_[ticket] = std::move(command);
  if (is_close) closing_ = true;
  return Code::ok;
}

void RequestTable::cancel(std::uint32_t ticket) {
  if (states_[ticket] == RequestState::pending) requests_[ticket].progress.call_off.ask();
}

bool RequestTable::reaches_nothing(std::uint32_t ticket) const {
  return states_[ticket] == RequestState::pending && requests_[ticket].progress.call_off.reaches_nothing();
}

bool RequestTable::collect(Completion& into) {
  std::uint32_t index;
  while (completions_.pop(index)) {
    RequestPart& done = part(index);
    if (let_go_held(index)) continue;
    std::uint32_t ticket = done.ticket;
    if (states_[ticket] != RequestState::pending) continue;  // it was abandoned before the engine was done with it
    Request& request = requests_[ticket];
    const Outcome& outcome = done.outcome;
    if (!outcome.ok() && (request.outcome.ok() || outcome.position < request.outcome.position))
      request.outcome = outcome;
    if (done.held) keep_held(request, index);
    if (--request.parts_left > 0) continue;
    settle(ticket, request, into);
    return true;
  }
  return abandoned_ && collect_abandoned(into);
}

bool RequestTable::finish_read(std::uint32_t ticket, std::span<const std::span<std::byte>> targets) {
  if (states_[ticket] != RequestState::readable) return false;
  Request& request = requests_[ticket];
  std::uint64_t wanted = 0, have = 0;
  for (const auto& target : targets) wanted += target.size();
  for (std::uint32_t i = request.first_part; i != kNoPart; i = part(i).next) have += part(i).extent.length;
  if (wanted > have) {
    drop_read(ticket);
    return false;
  }
  std::uint32_t i = request.first_part;
  std::uint64_t used = 0;  // of part i
  for (std::span<std::byte> target : targets) {
    while (!target.empty()) {
      std::size_t length = std::min<std::size_t>(target.size(), part(i).extent.length - used);
      std::memcpy(target.data(), part(i).memory + used, length);
      target = target.subspan(length);
      used += length;
      if (used < part(i).extent.length) continue;
      i = part(i).next;
      used = 0;
    }
  }
  drop_read(ticket);
  return true;
}

void RequestTable::drop_read(std::uint32_t ticket) {
  if (states_[ticket] != RequestState::readable) return;
  undo(requests_[ticket]);
  states_[ticket] = RequestState::free;
}

Command* RequestTable::completed_command(std::uint32_t ticket) {
  auto found = commands_.find(ticket);
  return found == commands_.end() || states_[ticket] != RequestState::free ? nullptr : found->second.get();
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

bool RequestTable::take_part(std::uint32_t limit, std::uint32_t& index) {
  if (parts_in_use_ >= limit) return false;
  ++parts_in_use_;
  index = free_parts_;
  if (index == kNoPart) {
    index = parts_made_++;
  } else {
    free_parts_ = part(index).next;
  }
  ::new (&parts_[index]) RequestPart{};
  return true;
}

void RequestTable::free_part(std::uint32_t index) {
  take_memory(part(index));
  part(index).next = std::exchange(free_parts_, index);
  --parts_in_use_;
}

bool RequestTable::give_memory(RequestPart& to) {
  to.memory = pool_->allocate(to.extent.length);
  to.pooled = to.memory != nullptr;
  return to.pooled;
}

void RequestTable::take_memory(RequestPart& from) {
  if (from.pooled) pool_->release(from.memory);
  from.pooled = false;
  from.memory = nullptr;
}

RequestTable::Request& RequestTable::open_request(std::uint32_t ticket, RequestKind kind) {
  BLOCKMIRROR_ASSERT(ticket < kPendingRequests && states_[ticket] == RequestState::free,
                     "a ticket in use was used again");
  if (!commands_.empty()) commands_.erase(ticket);
  Request* request = ::new (&requests_[ticket]) Request{};
  request->kind = kind;
  return *request;
}

// Parts in order of position, each with memory: of `owned` where the devices can take it as it lies, else of the pool.
bool RequestTable::cut(Request& request, std::uint32_t ticket, const Extent& extent, std::byte* owned) {
  BLOCKMIRROR_ASSERT(extent.length > 0 && extent.length <= kRequestLength, "the length of a request is bounded");
  std::uint32_t last = kNoPart;
  for (std::uint64_t position = extent.position; position < extent.end();) {
    std::uint32_t index;
    if (!take_part(kPendingParts, index)) {
      undo(request);
      return false;
    }
    RequestPart& made = part(index);
    (last == kNoPart ? request.first_part : part(last).next) = index;
    last = index;
    made.kind = request.kind;
    made.ticket = ticket;
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
    ++request.parts_left;
    position = named.end();
  }
  return true;
}

void RequestTable::undo(Request& request) {
  std::uint32_t index = request.first_part;
  while (index != kNoPart) free_part(std::exchange(index, part(index).next));
  request.first_part = kNoPart;
}

void RequestTable::submit(std::uint32_t ticket, Request& request) {
  states_[ticket] = RequestState::pending;
  for (std::uint32_t i = request.first_part; i != kNoPart;) {
    std::uint32_t next = part(i).next;
    part(i).parts = request.parts_left;
    part(i).progress = &request.progress;
    submissions_.push(i);
    i = next;
  }
}

Code RequestTable::submit_single(std::uint32_t ticket, RequestKind kind, Command* command) {
  Request& request = open_request(ticket, kind);
  std::uint32_t index;
  if (!take_part(kind == RequestKind::command ? kAllParts : kPendingParts, index)) return Code::QUEUE_FULL;
  part(index).kind = kind;
  part(index).ticket = ticket;
  part(index).command = command;
  request.first_part = index;
  request.parts_left = 1;
  submit(ticket, request);
  return Code::ok;
}

void RequestTable::end_use(Request& request) {
  if (request.owned != nullptr) std::exchange(request.owned, nullptr)->end_use();
}

// False: it comes for the first time.
bool RequestTable::let_go_held(std::uint32_t index) {
  if (held_.empty()) return false;
  const auto held = held_.find(index);
  if (held == held_.end()) return false;
  if (held->second != nullptr) held->second->end_use();
  held_.erase(held);
  free_part(index);
  return true;
}

// What a device that hangs may still touch is no longer the request's: it has a use of its own of what was handed over.
void RequestTable::keep_held(Request& request, std::uint32_t index) {
  std::uint32_t* at = &request.first_part;
  while (*at != index) at = &part(*at).next;
  *at = part(index).next;
  OwnedMemory* const owned = part(index).pooled ? nullptr : request.owned;
  if (owned != nullptr) owned->begin_use();
  held_.emplace(index, owned);
}

void RequestTable::settle(std::uint32_t ticket, Request& request, Completion& into) {
  end_use(request);
  into.ticket = ticket;
  into.outcome = request.outcome;
  if (request.kind == RequestKind::command) shape_ = commands_[ticket]->shape;
  bool readable = request.kind == RequestKind::read && request.outcome.ok();
  if (!readable) undo(request);
  states_[ticket] = readable ? RequestState::readable : RequestState::free;
}

// Answers the caller; parts, memory and command stay as the engine knows them.
void RequestTable::keep_for_engine(std::uint32_t ticket, Request& request, Completion& into) {
  if (request.owned != nullptr) kept_.push_back(std::exchange(request.owned, nullptr));
  into = {ticket, request.outcome};
  states_[ticket] = RequestState::free;
}

bool RequestTable::collect_abandoned(Completion& into) {
  for (; abandoned_ticket_ < kPendingRequests; ++abandoned_ticket_) {
    if (states_[abandoned_ticket_] != RequestState::pending) continue;
    Request& request = requests_[abandoned_ticket_];
    request.outcome = Outcome::of(Code::CLOSED);
    if (!engine_ended_) {
      keep_for_engine(abandoned_ticket_, request, into);
      return true;
    }
    if (request.kind == RequestKind::command) commands_[abandoned_ticket_]->shape = shape_;
    settle(abandoned_ticket_, request, into);
    return true;
  }
  return false;
}

}  // namespace blockmirror
