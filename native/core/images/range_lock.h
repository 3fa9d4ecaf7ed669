// Range lock: overlapping requests one after another, in the order in which they came.
//
// I6: overlaps are serialised, writes among themselves and with resync and verify; without this two images end up
// different with no crash at all, since each device orders two overlapping writes as it likes. Extents are widened by
// the caller to the largest physical block: a torn 512-byte write may destroy its 4 KiB neighbours.
// Shared holders (reads, compares) do not exclude each other.
//
// Invariants: an extent lies inside one region, so that conflicts are looked for in one bucket; no holder waits for a
// later one (no deadlock: a request holds one guard at a time); granting is first come, first served among conflicting
// guards. A guard lives in the frame of its coroutine: nothing is allocated.
#pragma once

#include <array>
#include <coroutine>
#include <cstdint>

#include "../base/assert.h"
#include "../base/extent.h"
#include "../base/runtime.h"

namespace blockmirror {

class RangeLock {
 public:
  enum class Mode : std::uint8_t { shared, exclusive };

  RangeLock(Runtime& runtime, std::uint64_t region_length) : runtime_(runtime), region_length_(region_length) {}
  RangeLock(const RangeLock&) = delete;
  RangeLock& operator=(const RangeLock&) = delete;

  // `RangeLock::Guard held(ranges, extent, mode); co_await held;` - held until the guard is destroyed.
  class Guard : Waiter {
   public:
    Guard(RangeLock& lock, Extent extent, Mode mode) : lock_(lock), extent_(extent), mode_(mode) {
      lock_.enqueue(*this);
    }
    ~Guard() { lock_.release(*this); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

    bool await_ready() const noexcept { return granted_; }
    void await_suspend(std::coroutine_handle<> waiting) {
      handle = waiting;
      suspended_ = true;
    }
    void await_resume() const noexcept {}
    bool granted() const { return granted_; }

   private:
    friend class RangeLock;
    RangeLock& lock_;
    Extent extent_;
    Mode mode_;
    bool granted_ = false;
    bool suspended_ = false;
    Guard* previous_ = nullptr;
    Guard* following_ = nullptr;

    bool conflicts_with(const Guard& other) const {
      return extent_.overlaps(other.extent_) && (mode_ == Mode::exclusive || other.mode_ == Mode::exclusive);
    }
  };

 private:
  struct Bucket {
    Guard* first = nullptr;
    Guard* last = nullptr;
  };
  static constexpr unsigned kBuckets = 1024;

  Bucket& bucket_of(const Guard& guard) { return buckets_[(guard.extent_.position / region_length_) % kBuckets]; }

  static bool is_first_of_its_conflicts(const Guard& guard) {
    for (const Guard* earlier = guard.previous_; earlier != nullptr; earlier = earlier->previous_) {
      if (guard.conflicts_with(*earlier)) return false;
    }
    return true;
  }

  void enqueue(Guard& guard) {
    BLOCKMIRROR_ASSERT(!guard.extent_.empty(), "an empty range was locked");
    BLOCKMIRROR_ASSERT(guard.extent_.position / region_length_ == (guard.extent_.end() - 1) / region_length_,
                       "a locked range crosses a region");
    Bucket& bucket = bucket_of(guard);
    guard.previous_ = bucket.last;
    (bucket.last == nullptr ? bucket.first : bucket.last->following_) = &guard;
    bucket.last = &guard;
    guard.granted_ = is_first_of_its_conflicts(guard);
  }

  void release(Guard& guard) {
    Bucket& bucket = bucket_of(guard);
    Guard* later = guard.following_;
    (guard.previous_ == nullptr ? bucket.first : guard.previous_->following_) = guard.following_;
    (guard.following_ == nullptr ? bucket.last : guard.following_->previous_) = guard.previous_;
    // Only those that this guard held up can have become free.
    for (; later != nullptr; later = later->following_) {
      if (later->granted_ || !later->conflicts_with(guard) || !is_first_of_its_conflicts(*later)) continue;
      later->granted_ = true;
      if (later->suspended_) runtime_.make_ready(*later);
    }
  }

  Runtime& runtime_;
  std::uint64_t region_length_;
  std::array<Bucket, kBuckets> buckets_{};
};

}  // namespace blockmirror
