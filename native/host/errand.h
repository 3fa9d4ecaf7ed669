// Errand: work that may never end, on a thread of its own. What asks a device in a way that cannot be called off: opening it,
// looking where a path leads.
//
// Invariants:
//  - The engine thread never waits for it: it looks whether it is over.
//  - Whoever gives up on it leaves the thread to itself. What it finds after that goes in the thread, at once: a file that is
//    opened late closes.
//  - The work names nothing of whoever asked for it: it may outlive the engine.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

#include "../core/base/outcome.h"

namespace blockmirror {

class Errand {
 public:
  Errand(const Errand&) = delete;
  Errand& operator=(const Errand&) = delete;

  // Its thread has nothing more to do.
  bool over() const;

 protected:
  enum class Stage : int { under_way, done, given_up, over };
  struct Shared {
    virtual ~Shared() = default;
    virtual void work() = 0;
    virtual void drop() = 0;  // what was found
    std::atomic<Stage> stage{Stage::under_way};
  };
  Errand() = default;
  ~Errand() { give_up(); }
  Outcome begin(std::shared_ptr<Shared> shared);
  void give_up();
  Shared& shared() const { return *shared_; }

 private:
  static void* run(void* argument);
  std::shared_ptr<Shared> shared_;
};

template <typename Found>
class ErrandFor : public Errand {
 public:
  // NO_MEMORY: there is no thread to be had.
  Outcome begin(std::function<void(Found&)> work) {
    auto holder = std::make_shared<Holder>();
    holder->body = std::move(work);
    return Errand::begin(std::move(holder));
  }
  // Once, when it is over, and nobody has given up on it.
  Found take() { return std::move(static_cast<Holder&>(shared()).found); }
  using Errand::give_up;

 private:
  struct Holder final : Shared {
    void work() override { body(found); }
    void drop() override { found = Found{}; }
    std::function<void(Found&)> body;
    Found found;
  };
};

}  // namespace blockmirror
