// RequestTable: the JavaScript thread's side of the requests: cuts them into pieces, freezes their bytes, and puts the
// pieces' outcomes together again.
//
// Invariants:
//  - Every function here runs on the JavaScript thread, and none blocks.
//  - A request is accepted as a whole or not at all: all its pieces and all their memory, or QUEUE_FULL.
//  - A piece is whole blocks; where the request begins or ends inside of one, the piece says so (Piece::partial).
//  - Bytes to be written are copied before submit_write returns (I7); bytes read stay in the pool until finish_read.
//  - What was handed over is in use until the engine is done with it. A request that was abandoned while the engine may
//    still have it keeps its pieces and all their memory as long as the table lives: until the engine's thread has ended.
//  - A request completes once, when its last piece has; of several errors the one at the lowest position counts.
//  - No allocation per request once pieces and pool have been in use; commands are rare and may allocate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "../core/status.h"
#include "buffer_pool.h"
#include "commands.h"
#include "limits.h"
#include "owned_memory.h"
#include "piece.h"
#include "spsc_ring.h"

namespace blockmirror {

struct Completion {
  std::uint32_t slot = 0;
  Status status;
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
  // completion and the slot stays free. The slot must be free and below kPendingRequests, lengths in
  // (0, kRequestLength]: asserted, the addon checks.
  Code submit_write(std::uint32_t slot, std::span<const std::span<const std::byte>> parts, std::uint64_t position,
                    WriteMode mode);
  // Bytes [offset, offset + length) of `owned`, which is in use from here on. Pieces of it that the devices cannot take
  // as they lie are copied, and so are those with a partial block.
  Code submit_write_owned(std::uint32_t slot, OwnedMemory& owned, std::uint64_t offset, std::uint64_t length,
                          std::uint64_t position, WriteMode mode);
  Code submit_read(std::uint32_t slot, std::uint64_t length, std::uint64_t position);
  Code submit_flush(std::uint32_t slot);
  Code submit_discard(std::uint32_t slot, std::uint64_t position, std::uint64_t length);
  Code submit_command(std::uint32_t slot, std::unique_ptr<Command> command);
  void cancel(std::uint32_t slot);

  // The next request that is complete; false when there is none for now. A successful read keeps its slot.
  bool collect(Completion& into);
  // Copies a completed read into the targets, one after the other, and frees the slot. False, and nothing copied,
  // when the targets together are longer than the read, or when there is no read to finish.
  bool finish_read(std::uint32_t slot, std::span<const std::span<std::byte>> targets);
  void drop_read(std::uint32_t slot);
  // The command whose completion was collected; null when there is none. Stays until the slot is used again.
  Command* completed_command(std::uint32_t slot);

  // After the engine thread has ended or was given up: what it did not complete now completes with CLOSED, through
  // collect(). Nothing is submitted any more.
  void abandon_pending(bool engine_ended);

  bool is_free(std::uint32_t slot) const { return states_[slot] == SlotState::free; }
  const Shape& shape() const { return shape_; }
  std::span<std::byte> registered_memory() const { return pool_->registered(); }
  std::uint64_t pool_bytes_in_use() const { return pool_->bytes_in_use(); }
  std::uint32_t pieces_in_use() const { return pieces_in_use_; }

  // The engine thread's end of the two rings, and the pieces they number.
  SpscRing<std::uint32_t>& submissions() { return submissions_; }
  SpscRing<std::uint32_t>& completions() { return completions_; }
  Piece& piece(std::uint32_t index) { return pieces_[index]; }
  std::uint32_t index_of(const Piece& piece) const { return static_cast<std::uint32_t>(&piece - pieces_.get()); }

 private:
  enum class SlotState : std::uint8_t { free, pending, readable };

  struct Request {
    PieceKind kind = PieceKind::flush;
    std::uint32_t first_piece = kNoPiece;
    std::uint32_t pieces_left = 0;
    OwnedMemory* owned = nullptr;
    Status status;
    RequestProgress progress;
  };

  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  static_assert(std::is_trivially_destructible_v<Piece> && std::is_trivially_destructible_v<Request>);
  template <typename T>
  using RawArray = std::unique_ptr<T[], Free>;  // elements are made when first used: untouched memory costs nothing

  RequestTable(std::unique_ptr<BufferPool> pool, RawArray<Piece> pieces, RawArray<Request> requests);

  Code check(const Extent& extent, bool unaligned = false) const;
  bool take_piece(std::uint32_t limit, std::uint32_t& index);
  void free_piece(std::uint32_t index);
  bool give_memory(Piece& to);
  void take_memory(Piece& from);
  Request& open_request(std::uint32_t slot, PieceKind kind);
  bool cut(Request& request, std::uint32_t slot, const Extent& extent, std::byte* owned);
  void undo(Request& request);
  void submit(std::uint32_t slot, Request& request);
  Code submit_single(std::uint32_t slot, PieceKind kind, Command* command);
  void end_use(Request& request);
  void settle(std::uint32_t slot, Request& request, Completion& into);
  void keep_for_engine(std::uint32_t slot, Request& request, Completion& into);
  bool collect_abandoned(Completion& into);

  const std::unique_ptr<BufferPool> pool_;
  const RawArray<Piece> pieces_;
  const RawArray<Request> requests_;
  std::vector<SlotState> states_;
  SpscRing<std::uint32_t> submissions_;
  SpscRing<std::uint32_t> completions_;
  std::uint32_t pieces_made_ = 0;  // elements of pieces_ that exist
  std::uint32_t pieces_in_use_ = 0;
  std::uint32_t free_pieces_ = kNoPiece;
  std::unordered_map<std::uint32_t, std::unique_ptr<Command>> commands_;
  std::vector<OwnedMemory*> kept_;  // of requests that were abandoned
  Shape shape_;
  bool closing_ = false;
  bool abandoned_ = false;
  bool engine_ended_ = false;
  std::uint32_t abandoned_slot_ = 0;  // where collect looks for the next one that never completed
};

}  // namespace blockmirror
