#include "held_memory.h"

#include "assert.h"

namespace blockmirror {

HeldMemory& HeldMemory::of_this_thread() {
  thread_local constinit HeldMemory held;
  return held;
}

void HeldMemory::hold(Hold& hold, const std::byte* begin, std::size_t length) {
  hold = {begin, length, nullptr, holds_};
  if (holds_ != nullptr) holds_->previous = &hold;
  holds_ = &hold;
}

void HeldMemory::end(Hold& hold) {
  if (hold.next != nullptr) hold.next->previous = hold.previous;
  (hold.previous != nullptr ? hold.previous->next : holds_) = hold.next;
  for (Left** at = &left_; *at != nullptr;) {
    Left* const left = *at;
    if (overlaps(left->begin, left->length)) {
      at = &left->next;
      continue;
    }
    *at = left->next;
    left->release.run(left->release.context, left->begin, left->length);
    delete left;
  }
}

void HeldMemory::let_go(std::byte* begin, std::size_t length, Release release) {
  if (!holds(begin, length)) {
    return release.run(release.context, begin, length);
  }
  left_ = new Left{begin, length, release, left_};
}

bool HeldMemory::overlaps(const std::byte* begin, std::size_t length) const {
  for (const Hold* hold = holds_; hold != nullptr; hold = hold->next) {
    if (hold->length > 0 && hold->begin < begin + length && begin < hold->begin + hold->length) return true;
  }
  return false;
}

}  // namespace blockmirror
