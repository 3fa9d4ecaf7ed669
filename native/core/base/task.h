// Task<T>: the coroutine type of the engine, so that the write path reads as the claim does.
//
// Invariants:
//  - A Task starts when it is awaited (or spawned), runs on the engine thread only, and is awaited at most once.
//  - Resuming the awaiting coroutine is a symmetric transfer: no stack growth, however long the chain.
//  - A coroutine frame comes from a free list of its thread: after warm-up a request allocates nothing.
// Wake-ups between coroutines go through Runtime's ready queue (runtime.h), never by a nested resume.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

#include "assert.h"

namespace blockmirror {

// Free lists of coroutine frames by size class. Frames are allocated and freed by the engine thread alone.
class FramePool {
 public:
  static void* allocate(std::size_t size) {
    std::size_t index = class_of(size);
    if (index >= kClasses) return ::operator new(size);
    Node*& head = lists()[index];
    if (head == nullptr) return ::operator new((index + 1) * kGrain);
    return std::exchange(head, head->next);
  }
  static void release(void* memory, std::size_t size) {
    std::size_t index = class_of(size);
    if (index >= kClasses || !kReuse) return ::operator delete(memory);
    Node* node = ::new (memory) Node{lists()[index]};
    lists()[index] = node;
  }

 private:
  struct Node {
    Node* next;
  };
  static constexpr std::size_t kGrain = 128;
  static constexpr std::size_t kClasses = 32;  // frames up to 4 KiB; larger ones are rare and long-lived
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  static constexpr bool kReuse = false;  // let the sanitizer see every use after free
#else
  static constexpr bool kReuse = true;
#endif
  static std::size_t class_of(std::size_t size) { return (size + kGrain - 1) / kGrain - 1; }
  struct Lists {
    Node* heads[kClasses] = {};
    ~Lists() {
      for (Node*& head : heads) {
        while (head != nullptr) ::operator delete(std::exchange(head, head->next));
      }
    }
  };
  static Node** lists() {
    thread_local Lists lists;
    return lists.heads;
  }
};

template <typename T>
class Task;

namespace detail {

struct PromiseBase {
  std::coroutine_handle<> continuation;

  static void* operator new(std::size_t size) { return FramePool::allocate(size); }
  static void operator delete(void* memory, std::size_t size) { FramePool::release(memory, size); }

  struct FinalAwaiter {
    bool await_ready() noexcept { return false; }
    template <typename Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) noexcept {
      std::coroutine_handle<> next = self.promise().continuation;
      return next ? next : std::noop_coroutine();
    }
    void await_resume() noexcept {}
  };

  std::suspend_always initial_suspend() noexcept { return {}; }
  FinalAwaiter final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { std::abort(); }  // built without exceptions
};

template <typename T>
struct Promise : PromiseBase {
  T value{};
  Task<T> get_return_object();
  void return_value(T result) { value = std::move(result); }
  T take() { return std::move(value); }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() {}
  void take() {}
};

}  // namespace detail

template <typename T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
    handle_.promise().continuation = awaiting;
    return handle_;
  }
  T await_resume() { return handle_.promise().take(); }

 private:
  Handle handle_;
};

namespace detail {
template <typename T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(Task<T>::Handle::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() { return Task<void>(Task<void>::Handle::from_promise(*this)); }

// A coroutine that owns itself: the root of every chain.
struct Detached {
  struct promise_type {
    static void* operator new(std::size_t size) { return FramePool::allocate(size); }
    static void operator delete(void* memory, std::size_t size) { FramePool::release(memory, size); }
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() noexcept { std::abort(); }
  };
};
}  // namespace detail

// Runs a task to its end with nobody waiting. The task must report by its own means, and its referents must
// outlive it: the owner counts what it spawned and waits for the count before it goes.
inline detail::Detached spawn(Task<void> task) { co_await task; }

}  // namespace blockmirror
