// The engine thread over real files: the test is the JavaScript thread.
#include "../../host/engine_thread.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "engine_client.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

// Of a request that was submitted without waiting for a notification: false when nothing came of it.
bool comes(Client& client, Completion& completion) {
  const auto hung = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  for (unsigned look = 1; !client.requests().collect(completion); ++look) {
    if (look % 1024 != 0) continue;
    std::this_thread::yield();
    if (std::chrono::steady_clock::now() > hung) return false;
  }
  return true;
}

}  // namespace

TEST_CASE_TEMPLATE("engine thread: starts, sleeps and stops without a mirror, again and again", Kind, OnIoUring,
                   OnThreads) {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(Kind::kKind));
  for (unsigned i = 0; i < 5; ++i) {
    Client client(Kind::kKind);
    CHECK(client.engine().kind() == Kind::kKind);
    CHECK(client.engine().snapshot().phase == Phase::idle);
    CHECK(client.stop());
    CHECK(client.stop());
  }
}

TEST_CASE_TEMPLATE("engine thread: writes of many requests at once are on both images after close", Kind, OnIoUring,
                   OnThreads) {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(Kind::kKind));
  Files files;
  Client client(Kind::kKind, files);
  constexpr std::uint32_t kWrites = 2048;
  std::vector<std::byte> expected(kSize);
  for (std::uint32_t i = 0; i < kWrites; ++i) {
    std::span<std::byte> block(expected.data() + std::uint64_t{i} * 4096, 4096);
    std::memset(block.data(), static_cast<int>(1 + i % 255), block.size());
    client.write(i, block, std::uint64_t{i} * 4096);
  }
  for (const Completion& completion : client.collect(kWrites)) REQUIRE(completion.outcome.ok());
  CHECK(client.engine().snapshot().counters.writes == kWrites);
  CHECK(client.requests().pool_bytes_in_use() == 0);
  client.run(Close{});
  CHECK(client.engine().snapshot().phase == Phase::closed);
  CHECK(client.stop());
  CHECK(files.content(0) == expected);
  CHECK(files.content(1) == expected);
}

TEST_CASE_TEMPLATE("engine thread: whoever does not collect is woken once, however much is done meanwhile", Kind,
                   OnIoUring, OnThreads) {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(Kind::kKind));
  Files files;
  Client client(Kind::kKind, files);
  const unsigned before = client.notifications();
  std::vector<std::byte> block(512, std::byte{7});
  constexpr std::uint32_t kWrites = 256;
  for (std::uint32_t i = 0; i < kWrites; ++i) {
    client.write(i, block, std::uint64_t{i} * 512);
    // One after the other, each in a turn of its own.
    while (client.engine().snapshot().counters.writes <= i) std::this_thread::yield();
  }
  CHECK(client.notifications() <= before + 1);
  CHECK(client.collect(kWrites).size() == kWrites);
  CHECK(client.notifications() > before);
  client.run(Close{});
}

TEST_CASE_TEMPLATE("engine thread: whoever has seen a completion never sees an older snapshot", Kind, OnIoUring,
                   OnThreads) {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(Kind::kKind));
  Files files;
  Client client(Kind::kKind, files);
  std::vector<std::byte> block(512, std::byte{9});
  for (unsigned i = 0; i < 3000; ++i) {
    client.write(1, block, std::uint64_t{i % 1000} * 512);
    Completion completion;
    REQUIRE(comes(client, completion));
    REQUIRE(client.engine().snapshot().counters.writes == i + 1);
  }
  client.engine().collecting();
  client.run(Close{});
}

// The first request wakes the engine, the second comes at any moment until it sleeps again, and nobody comes after it.
TEST_CASE_TEMPLATE("engine thread: whoever submits at any moment, and nothing more, never waits for ever", Kind,
                   OnIoUring, OnThreads) {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(Kind::kKind));
  Client client(Kind::kKind);
  for (unsigned round = 0; round < 60000; ++round) {
    for (const std::uint32_t ticket : {0u, 1u}) {
      // Answered without a device: there is no mirror.
      auto command = std::make_unique<Command>(Command{ReadDebts{}, Shape{}});
      REQUIRE(client.requests().submit_command(ticket, std::move(command)) == Code::ok);
      client.engine().submitted();
      const unsigned delay = ticket == 0 ? round % 601 * 300 + round % 299 : 0;  // up to some tens of microseconds
      for (unsigned spin = 0; spin < delay; ++spin) std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    CAPTURE(round);
    Completion first, second;
    REQUIRE(comes(client, first));
    REQUIRE(comes(client, second));
  }
}

TEST_CASE_TEMPLATE("engine thread: whoever submits one request at a time never waits for ever", Kind, OnIoUring,
                   OnThreads) {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(Kind::kKind));
  Files files;
  Client client(Kind::kKind, files);
  std::vector<std::byte> block(512, std::byte{9});
  for (unsigned i = 0; i < 300; ++i) {
    client.write(1, block, std::uint64_t{i} * 512);
    CHECK(client.collect(1).at(0).outcome.ok());
  }
  client.run(Close{});
}

TEST_CASE_TEMPLATE("engine thread: more than run at once wait in the queue, and all complete", Kind, OnIoUring,
                   OnThreads) {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(Kind::kKind));
  Files files;
  Client client(Kind::kKind, files);
  std::vector<std::byte> block(512, std::byte{3});
  constexpr std::uint32_t kWrites = 3 * kActiveParts;
  for (std::uint32_t i = 0; i < kWrites; ++i) client.write(i, block, std::uint64_t{i} * 512);
  const std::vector<Completion> completions = client.collect(kWrites);
  CHECK(completions.size() == kWrites);
  for (const Completion& completion : completions) REQUIRE(completion.outcome.ok());
  CHECK(client.engine().snapshot().counters.writes == kWrites);
  client.run(Close{});
}

TEST_CASE_TEMPLATE("engine thread: stopped under load it ends soon, and what it did not do is answered CLOSED", Kind,
                   OnIoUring, OnThreads) {
#if defined(__SANITIZE_ADDRESS__)
  return skip("a mirror that is left without a close leaks what waits in it, on purpose");
#endif
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(Kind::kKind));
  Files files;
  Client client(Kind::kKind, files);
  std::vector<std::byte> bytes(kMiB, std::byte{5});
  constexpr std::uint32_t kWrites = 64;
  for (std::uint32_t i = 0; i < kWrites; ++i) client.write(i, bytes, i % 8 * kMiB);
  CHECK(client.stop());
  client.requests().abandon_pending(true);
  unsigned ok = 0, closed = 0;
  Completion completion;
  while (client.requests().collect(completion)) (completion.outcome.ok() ? ok : closed)++;
  CHECK(ok + closed == kWrites);
  CHECK(client.requests().pool_bytes_in_use() == 0);
  OpenFile file;
  CHECK(OpenFile::open(files.log(), {}, file).ok());  // its lock is gone
}
