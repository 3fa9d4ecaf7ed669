// Every bound of the host in one place. "A limit on everything": what is over one of them is answered at once with
// QUEUE_FULL, before anything was logged or written.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../core/session/session.h"

namespace blockmirror {

inline constexpr std::uint32_t kPendingRequests = 65536;          // tickets; the caller numbers its requests below it
inline constexpr std::uint64_t kPendingBytes = 256 * kMiB;        // pool memory, and so bytes of requests in flight
inline constexpr std::uint64_t kRegisteredBytes = 32 * kMiB;      // of it, offered to the kernel for registration
inline constexpr std::uint64_t kRequestLength = 64 * kMiB;        // one read or write
inline constexpr std::uint32_t kPendingParts = kPendingRequests;  // one request of 4 KiB in every ticket fits
inline constexpr std::uint32_t kCommandParts = 64;                // kept back, so that a full queue never refuses close

// Parts that run at once on the engine thread; the others wait in the queue, where they cost no coroutine frame and
// can still be cancelled. Many times what devices take at once, few enough to bound the memory of the frames.
inline constexpr std::uint32_t kActiveParts = 4096;
// Regions of one discard that are zeroed at once.
inline constexpr std::uint32_t kDiscardLanes = 8;

// How long a slave's device may take to be opened beside a running mirror, or to answer what it still holds when it is let
// go; and how often that is looked at.
inline constexpr std::uint64_t kAttachWait_ns = 10'000'000'000;
inline constexpr std::uint64_t kDetachWait_ns = 2'000'000'000;
inline constexpr std::uint64_t kAttachLook_ns = 5'000'000;
// An opening looks sooner first. A device that takes that much longer than a lock is waited for lets the next be opened.
inline constexpr std::uint64_t kFirstLook_ns = 50'000;
inline constexpr std::uint64_t kOpeningPatience_ms = 250;

// How long the JavaScript thread waits at most, at destroy and at the end of its environment, for requests that the
// kernel holds. Beyond it the thread is left to itself: it frees what it has once the kernel lets go.
inline constexpr unsigned kStopWaitMs = 3000;

}  // namespace blockmirror
