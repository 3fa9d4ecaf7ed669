// RequestPart: the part of a request that lies in one region; the unit that crosses between the two threads.
//
// Life: taken from the free list and filled in by the JavaScript thread, pushed; run by one coroutine on the engine
// thread, which writes `outcome` and nothing else here; pushed back; read and freed by the JavaScript thread. At any
// moment exactly one side owns it; the rings hand over ownership. A part whose memory a hung device may still touch comes
// back twice: with its outcome, and when the device has answered; the JavaScript thread frees it only then (I7, I15).
#pragma once

#include <cstddef>
#include <cstdint>

#include "../core/base/call_off.h"
#include "../core/base/extent.h"
#include "../core/base/outcome.h"
#include "../core/session/session.h"
#include "commands.h"

namespace blockmirror {

inline constexpr std::uint32_t kNoPart = UINT32_MAX;

enum class RequestKind : std::uint8_t { write, read, flush, discard, command };

// What the parts of one request share on the engine thread.
struct RequestProgress {
  CallOff call_off;  // asked by the JavaScript thread at any time
  // Engine thread alone. A request of several parts is cancelled as a whole or not at all: decided when its first
  // part starts, since bytes of it may be on an image from then on.
  enum class Decision : std::uint8_t { open, run, abort } decision = Decision::open;
  bool failed = false;  // a lane of a discard failed: the other lanes need not go on
  std::uint32_t parts_over = 0;
  std::uint64_t since_ns = 0;  // when the first part started
};

struct RequestPart {
  RequestKind kind = RequestKind::flush;
  bool durable = false;
  bool pooled = false;    // memory is a block of the pool
  bool held = false;      // out: a device that hangs may still touch the memory; the part comes back once more without
  std::uint8_t lane = 0;  // discard: this part zeroes regions lane, lane + lanes, ...
  std::uint8_t lanes = 1;
  std::uint32_t ticket = 0;
  std::uint32_t parts = 1;       // of its request
  std::uint32_t next = kNoPart;  // of the same request; or in the free list
  Extent extent;                 // whole blocks; discard: of the whole request
  PartialBlocks partial;         // write: the bytes of the extent that the request does not name
  std::byte* memory = nullptr;
  Command* command = nullptr;
  RequestProgress* progress = nullptr;
  Outcome outcome;  // out

  Extent named() const { return {extent.position + partial.head, extent.length - partial.head - partial.tail}; }
};

}  // namespace blockmirror
