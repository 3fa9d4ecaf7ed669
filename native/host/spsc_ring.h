// SpscRing: bounded queue from exactly one producing thread to exactly one consuming thread, without a lock.
//
// Invariants: push never meets a full ring (the caller bounds what is pending: a programming error otherwise); an
// element is visible to the consumer together with everything the producer wrote before the push.
// push and empty are sequentially consistent, so that "push, then look whether the other sleeps" on one side and
// "say that I sleep, then look whether the ring is empty" on the other can never both miss.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <memory>
#include <type_traits>

#include "../core/base/assert.h"

namespace blockmirror {

template <typename T>
class SpscRing {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit SpscRing(std::size_t at_least)
      : capacity_(std::bit_ceil(at_least)), elements_(new T[capacity_]) {}  // not initialised: touched when used
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  void push(T element) {
    std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - known_head_ == capacity_) {
      known_head_ = head_.load(std::memory_order_acquire);
      BLOCKMIRROR_ASSERT(tail - known_head_ < capacity_, "a bounded queue was overfilled");
    }
    elements_[tail & (capacity_ - 1)] = element;
    tail_.store(tail + 1, std::memory_order_seq_cst);
  }

  bool pop(T& into) {
    std::size_t head = head_.load(std::memory_order_relaxed);
    if (head == known_tail_) {
      known_tail_ = tail_.load(std::memory_order_acquire);
      if (head == known_tail_) return false;
    }
    into = elements_[head & (capacity_ - 1)];
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

  // For the consumer.
  bool empty() const { return head_.load(std::memory_order_relaxed) == tail_.load(std::memory_order_seq_cst); }

 private:
  static constexpr std::size_t kCacheLine = 64;

  const std::size_t capacity_;
  const std::unique_ptr<T[]> elements_;
  alignas(kCacheLine) std::atomic<std::size_t> tail_{0};  // producer's line
  std::size_t known_head_ = 0;
  alignas(kCacheLine) std::atomic<std::size_t> head_{0};  // consumer's line
  std::size_t known_tail_ = 0;
};

}  // namespace blockmirror
