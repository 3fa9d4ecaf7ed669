// RequestTable: the JavaScript thread's side of the requests: cuts them into parts, freezes their bytes, and puts the
// parts' outcomes together again.
//
// Invariants:
//  - Every function here runs on the JavaScript thread, and none blocks.
//  - A request is accepted as a whole or not at all: all its parts and all their memory, or QUEUE_FULL.
//  - A part is whole blocks; where the request begins or ends inside of one, the part says so (RequestPart::partial).
//  - Bytes to be written are copied before submit_write returns (I7); bytes read stay in the pool until finish_read.
//  - A part whose memory a hung device may still touch keeps it, and is freed when it comes back for the second time. Its
//    request completes all the same: the caller waits for no device that is out (I15).
//  - What was handed over is in use until the engine is done with it. A request that was abandoned while the engine may
//    still have it keeps its parts and all their memory as long as the table lives: until the engine's thread has ended.
//  - A request completes once, when its last part has; of several errors the one at the lowest position counts.
//  - No allocation per request once parts and pool have been in use; commands are rare and may allocate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "../core/base/outcome.h"
#include "buffer_pool.h"
#include "commands.h"
#include "limits.h"
#include "owned_memory.h"
#include "request_part.h"
#include "spsc_ring.h"

namespace blockmirror {

struct Completion {
  std::uint32_t ticket = 0;
  Outcome outcome;
};

struct WriteMode {
  bool durable = false;
  bool unaligned = false;  // may begin and end at any byte
};

class RequestTable {
 public:
  // Null when there is no memory for it.
  static std::unique_ptr<RequestTable> make(std::uint64_t pool_bytes = kPendingBytes,
                                            std::uint64_t registered_bytes = kRegisteredBytes);
  ~RequestTable();
  RequestTable(const RequestTable&) = delete;
  RequestTable& operator=(const RequestTable&) = delete;

  // Each answers ok, or at once QUEUE_FULL, CLOSED, MISALIGNED, OUT_OF_RANGE or WRONG_PHASE: then there is no
  // completion and the ticket stays free. The ticket must be free and below kPendingRequests, lengths in
  // (0, kRequestLength]: asserted, the addon checks.
  Code submit_write(std::uint32_t ticket, std::span<const std::span<const std::byte>> buffers, std::uint64_t position,
                    WriteMode mode);
  // Bytes [offset, offset + length) of `owned`, which is in use from here on. Parts of it that the devices cannot take
  // as they lie are copied, and so are those with a partial block.
  Code submit_write_owned(std::uint32_t ticket, OwnedMemory& owned, std::uint64_t offset, std::uint64_t length,
                          std::uint64_t position, WriteMode mode);
  Code submit_read(std::uint32_t ticket, std::uint64_t length, std::uint64_t position);
  Code submit_flush(std::uint32_t ticket);
  Code submit_discard(std::uint32_t ticket, std::uint64_t position, std::uint64_t length);
  Code submit_command(std::uint32_t ticket, std::unique_ptr<Command> command);
  void cancel(std::uint32_t ticket);
  // Of one that is pending, after cancel(): nothing of it is on any image, and nothing will be.
  bool reaches_nothing(std::uint32_t ticket) const;

  // The next request that is complete; false when there is none for now. A successful read keeps its ticket.
  bool collect(Completion& into);
  // Copies a completed read into the targets, one after the other, and frees the ticket. False, and nothing copied,
  // when the targets together are longer than the read, or when there is no read to finish.
  bool finish_read(std::uint32_t ticket, std::span<const std::span<std::byte>> targets);
  void drop_read(std::uint32_t ticket);
  // The command whose completion was collected; null when there is none. Stays until the ticket is used again.
  Command* completed_command(std::uint32_t ticket);

  // After the engine thread has ended or was given up: what it did not complete now completes with CLOSED, through
  // collect(). Nothing is submitted any more.
  void abandon_pending(bool engine_ended);

  bool is_free(std::uint32_t ticket) const { return states_[ticket] == RequestState::free; }
  const Shape& shape() const { return shape_; }
  std::span<std::byte> registered_memory() const { return pool_->registered(); }
  std::uint64_t pool_bytes_in_use() const { return pool_->bytes_in_use(); }
  std::uint32_t parts_in_use() const { return parts_in_use_; }

  // The engine thread's end of the two rings, and the parts they number.
  SpscRing<std::uint32_t>& submissions() { return submissions_; }
  SpscRing<std::uint32_t>& completions() { return completions_; }
  RequestPart& part(std::uint32_t index) { return parts_[index]; }
  std::uint32_t index_of(const RequestPart& part) const { return static_cast<std::uint32_t>(&part - parts_.get()); }

 private:
  enum class RequestState : std::uint8_t { free, pending, readable };

  struct Request {
    RequestKind kind = RequestKind::flush;
    std::uint32_t first_part = kNoPart;
    std::uint32_t parts_left = 0;
    OwnedMemory* owned = nullptr;
    Outcome outcome;
    RequestProgress progress;
  };

  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  static_assert(std::is_trivially_destructible_v<RequestPart> && std::is_trivially_destructible_v<Request>);
  template <typename T>
  using RawArray = std::unique_ptr<T[], Free>;  // elements are made when first used: untouched memory costs nothing

  RequestTable(std::unique_ptr<BufferPool> pool, RawArray<RequestPart> parts, RawArray<Request> requests);

  Code check(const Extent& extent, bool unaligned = false) const;
  bool take_part(std::uint32_t limit, std::uint32_t& index);
  void free_part(std::uint32_t index);
  bool give_memory(RequestPart& to);
  void take_memory(RequestPart& from);
  Request& open_request(std::uint32_t ticket, RequestKind kind);
  bool cut(Request& request, std::uint32_t ticket, const Extent& extent, std::byte* owned);
  void undo(Request& request);
  void submit(std::uint32_t ticket, Request& request);
  Code submit_single(std::uint32_t ticket, RequestKind kind, Command* command);
  void end_use(Request& request);
  void keep_held(Request& request, std::uint32_t index);
  bool let_go_held(std::uint32_t index);
  void settle(std::uint32_t ticket, Request& request, Completion& into);
  void keep_for_engine(std::uint32_t ticket, Request& request, Completion& into);
  bool collect_abandoned(Completion& into);

  const std::unique_ptr<BufferPool> pool_;
  const RawArray<RequestPart> parts_;
  const RawArray<Request> requests_;
  std::vector<RequestState> states_;
  SpscRing<std::uint32_t> submissions_;
  SpscRing<std::uint32_t> completions_;
  std::uint32_t parts_made_ = 0;  // elements of parts_ that exist
  std::uint32_t parts_in_use_ = 0;
  std::uint32_t free_parts_ = kNoPart;
  std::unordered_map<std::uint32_t, std::unique_ptr<Command>> commands_;
  std::vector<OwnedMemory*> kept_;                        // of requests that were abandoned
  std::unordered_map<std::uint32_t, OwnedMemory*> held_;  // parts that come back once more, and what they lie in
  Shape shape_;
  bool closing_ = false;
  bool abandoned_ = false;
  bool engine_ended_ = false;
  std::uint32_t abandoned_ticket_ = 0;  // where collect looks for the next one that never completed
};

}  // namespace blockmirror
