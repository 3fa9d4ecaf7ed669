#include "../../host/spsc_ring.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <thread>

using blockmirror::SpscRing;

TEST_CASE("spsc ring: gives back in order what was pushed, lap after lap, and knows when it is empty") {
  SpscRing<std::uint32_t> ring(4);
  std::uint32_t value = 0;
  CHECK(ring.empty());
  CHECK_FALSE(ring.pop(value));
  std::uint32_t next_in = 0, next_out = 0;
  for (unsigned lap = 0; lap < 100; ++lap) {
    for (unsigned i = 0; i < 1 + lap % 4; ++i) ring.push(next_in++);
    CHECK_FALSE(ring.empty());
    while (ring.pop(value)) CHECK(value == next_out++);
    CHECK(ring.empty());
  }
  CHECK(next_out == next_in);
}

TEST_CASE("spsc ring: a full ring takes all of its capacity") {
  SpscRing<std::uint32_t> ring(5);  // rounded up to 8
  for (std::uint32_t i = 0; i < 8; ++i) ring.push(i);
  std::uint32_t value = 0;
  for (std::uint32_t i = 0; i < 8; ++i) {
    REQUIRE(ring.pop(value));
    CHECK(value == i);
  }
}

TEST_CASE("spsc ring: what the producer wrote before a push is seen by the consumer after the pop") {
  constexpr std::uint32_t kCount = 200000;
  constexpr std::uint32_t kCapacity = 64;
  SpscRing<std::uint32_t> forward(kCapacity), back(kCapacity);
  std::uint64_t payload[kCapacity] = {};  // plain memory: a missing release or acquire is a data race
  std::uint64_t sum = 0;
  std::thread consumer([&] {
    std::uint32_t index = 0;
    for (std::uint32_t taken = 0; taken < kCount;) {
      if (!forward.pop(index)) {
        std::this_thread::yield();
        continue;
      }
      sum += payload[index];
      back.push(index);
      ++taken;
    }
  });
  std::uint64_t expected = 0;
  std::uint32_t fresh = 0, index = 0;
  for (std::uint32_t sent = 0; sent < kCount;) {
    if (fresh < kCapacity) {
      index = fresh++;
    } else if (!back.pop(index)) {
      std::this_thread::yield();
      continue;
    }
    payload[index] = sent * 3u + 1;
    expected += payload[index];
    forward.push(index);
    ++sent;
  }
  consumer.join();
  CHECK(sum == expected);
}
