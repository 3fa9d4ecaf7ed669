// The decisions of a request, fed with every kind of answer that a kernel gives.
#include "../../devices/transfer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <vector>

using namespace blockmirror;

namespace {

std::byte memory[64 * 1024];

DeviceRequest request_for(Operation operation, std::uint64_t length, bool durable = false) {
  DeviceRequest request;
  request.operation = operation;
  request.durable = durable;
  request.position = 8192;
  request.length = length;
  if (operation == Operation::read || operation == Operation::write) request.memory = memory;
  return request;
}

Attempt::Kind kind_of(Operation operation) {
  switch (operation) {
    case Operation::read:
      return Attempt::Kind::read;
    case Operation::write:
      return Attempt::Kind::write;
    case Operation::write_zeroes:
      return Attempt::Kind::write_zero_buffer;
    case Operation::flush:
      return Attempt::Kind::data_sync;
  }
  return Attempt::Kind::finished;
}

const Operation kAllOperations[] = {Operation::read, Operation::write, Operation::write_zeroes, Operation::flush};

bool finished_with(const Attempt& attempt, int error) {
  return attempt.kind == Attempt::Kind::finished && attempt.error == error;
}

}  // namespace

TEST_CASE("transfer: the first attempt asks for the whole request") {
  for (const Operation operation : kAllOperations) {
    TransferPolicy policy;
    DeviceRequest request = request_for(operation, operation == Operation::flush ? 0 : 16384);
    const Attempt attempt = first_attempt(request, policy);
    CHECK(attempt.kind == kind_of(operation));
    CHECK(attempt.length == request.length);
    CHECK(attempt.memory == request.memory);
    if (operation != Operation::flush) CHECK(attempt.position == 8192);
  }
}

TEST_CASE("transfer: a request for nothing finishes at once, a flush does not") {
  TransferPolicy policy;
  for (const Operation operation : {Operation::read, Operation::write, Operation::write_zeroes}) {
    DeviceRequest request = request_for(operation, 0, true);
    CHECK(finished_with(first_attempt(request, policy), 0));
  }
  DeviceRequest flush = request_for(Operation::flush, 0);
  CHECK(first_attempt(flush, policy).kind == Attempt::Kind::data_sync);
}

TEST_CASE("transfer: all bytes finish a request with success") {
  for (const Operation operation : kAllOperations) {
    TransferPolicy policy;
    DeviceRequest request = request_for(operation, operation == Operation::flush ? 0 : 16384);
    const Attempt attempt = first_attempt(request, policy);
    CHECK(finished_with(next_attempt(request, attempt, static_cast<std::int64_t>(attempt.length), policy), 0));
    CHECK(request.transferred == request.length);
  }
}

TEST_CASE("transfer: a short transfer is resumed where it ended, with its memory and durability") {
  for (const Operation operation : {Operation::read, Operation::write, Operation::write_zeroes}) {
    for (std::uint64_t got = 512; got < 4096; got += 512) {
      TransferPolicy policy;
      DeviceRequest request = request_for(operation, 4096, true);
      const Attempt first = first_attempt(request, policy);
      const Attempt second = next_attempt(request, first, static_cast<std::int64_t>(got), policy);
      CHECK(second.kind == first.kind);
      CHECK(second.position == 8192 + got);
      CHECK(second.length == 4096 - got);
      CHECK(second.durable == first.durable);
      if (request.memory != nullptr) CHECK(second.memory == request.memory + got);
    }
  }
}

TEST_CASE("transfer: a transfer that ends inside a unit is resumed from the unit's start") {
  TransferPolicy policy;
  policy.alignment = 4096;
  DeviceRequest request = request_for(Operation::write, 16384);
  Attempt attempt = first_attempt(request, policy);
  attempt = next_attempt(request, attempt, 4096 + 512, policy);
  CHECK(attempt.position == 8192 + 4096);
  CHECK(attempt.length == 16384 - 4096);
  // Less than a unit is no progress: the same again, not forever.
  for (std::uint32_t i = 1; i < kMaxAttempts; ++i) {
    attempt = next_attempt(request, attempt, 4095, policy);
    REQUIRE(attempt.kind == Attempt::Kind::write);
    REQUIRE(attempt.position == 8192 + 4096);
  }
  CHECK(finished_with(next_attempt(request, attempt, 4095, policy), EIO));
}

TEST_CASE("transfer: the end of the file is EIO, before and after progress") {
  for (const std::uint64_t progress : {0u, 512u, 3584u}) {
    TransferPolicy policy;
    DeviceRequest request = request_for(Operation::read, 4096);
    Attempt attempt = first_attempt(request, policy);
    if (progress > 0) attempt = next_attempt(request, attempt, static_cast<std::int64_t>(progress), policy);
    CHECK(finished_with(next_attempt(request, attempt, 0, policy), EIO));
  }
}

TEST_CASE("transfer: EINTR, EAGAIN and a write of nothing are tried again a bounded number of times") {
  struct Case {
    std::int64_t result;
    int error;
    Operation operation;
  };
  std::vector<Case> cases = {{0, EIO, Operation::write}, {0, EIO, Operation::write_zeroes}};
  for (const Operation operation : kAllOperations) {
    cases.push_back({-EINTR, EINTR, operation});
    cases.push_back({-EAGAIN, EAGAIN, operation});
  }
  for (const Case& one : cases) {
    TransferPolicy policy;
    DeviceRequest request = request_for(one.operation, one.operation == Operation::flush ? 0 : 4096);
    const Attempt first = first_attempt(request, policy);
    Attempt attempt = first;
    std::uint32_t tries = 0;
    do {
      REQUIRE(attempt.kind == first.kind);
      REQUIRE(attempt.position == first.position);
      REQUIRE(attempt.length == first.length);
      attempt = next_attempt(request, attempt, one.result, policy);
      ++tries;
    } while (attempt.kind != Attempt::Kind::finished && tries <= kMaxAttempts);
    CHECK(tries == kMaxAttempts);
    CHECK(finished_with(attempt, one.error));
  }
}

TEST_CASE("transfer: progress starts the count of attempts again") {
  TransferPolicy policy;
  DeviceRequest request = request_for(Operation::write, 4096);
  Attempt attempt = first_attempt(request, policy);
  for (int piece = 0; piece < 8; ++piece) {
    for (std::uint32_t i = 1; i < kMaxAttempts; ++i) {
      attempt = next_attempt(request, attempt, i % 2 == 0 ? -EINTR : -EAGAIN, policy);
      REQUIRE(attempt.kind == Attempt::Kind::write);
    }
    attempt = next_attempt(request, attempt, 512, policy);
  }
  CHECK(finished_with(attempt, 0));
}

TEST_CASE("transfer: any other error finishes the request with it") {
  for (const Operation operation : kAllOperations) {
    for (int error = 1; error < 134; ++error) {
      if (error == EINTR || error == EAGAIN || error == kLostAllocation || error == kWrongBytes) continue;
      TransferPolicy policy;
      DeviceRequest request = request_for(operation, operation == Operation::flush ? 0 : 4096);
      const Attempt attempt = first_attempt(request, policy);
      CHECK(finished_with(next_attempt(request, attempt, -error, policy), error));
    }
  }
}

TEST_CASE("transfer: more bytes than were asked for are an error, whatever the request") {
  for (const Operation operation : {Operation::read, Operation::write, Operation::write_zeroes}) {
    for (const std::int64_t more : {std::int64_t{4097}, std::int64_t{1} << 40}) {
      TransferPolicy policy;
      DeviceRequest request = request_for(operation, 4096);
      const Attempt attempt = first_attempt(request, policy);
      CHECK(finished_with(next_attempt(request, attempt, more, policy), EIO));
    }
  }
}

TEST_CASE("transfer: an answer that stands for a finding of ours, or for no errno at all, is EIO") {
  for (const std::int64_t answer : {-std::int64_t{ENODATA}, -std::int64_t{EBADMSG}, -std::int64_t{4096},
                                    -std::int64_t{INT32_MAX}, std::int64_t{INT32_MIN}}) {
    for (const Operation operation : kAllOperations) {
      TransferPolicy policy;
      DeviceRequest request = request_for(operation, operation == Operation::flush ? 0 : 4096);
      const Attempt attempt = first_attempt(request, policy);
      CHECK(finished_with(next_attempt(request, attempt, answer, policy), EIO));
    }
  }
}

TEST_CASE("transfer: the smallest progress the kernel can make ends a request in as many attempts as it has units") {
  TransferPolicy policy;
  DeviceRequest request = request_for(Operation::read, sizeof memory);
  Attempt attempt = first_attempt(request, policy);
  unsigned attempts = 0;
  for (; attempt.kind != Attempt::Kind::finished; ++attempts) attempt = next_attempt(request, attempt, 512, policy);
  CHECK(attempt.error == 0);
  CHECK(attempts == sizeof memory / 512);
}

TEST_CASE("transfer: long requests are cut into attempts of bounded length") {
  TransferPolicy policy;
  DeviceRequest request = request_for(Operation::read, 2 * kMaxAttemptLength + 4096);
  Attempt attempt = first_attempt(request, policy);
  CHECK(attempt.length == kMaxAttemptLength);
  attempt = next_attempt(request, attempt, static_cast<std::int64_t>(attempt.length), policy);
  CHECK(attempt.length == kMaxAttemptLength);
  attempt = next_attempt(request, attempt, static_cast<std::int64_t>(attempt.length), policy);
  CHECK(attempt.length == 4096);
  CHECK(attempt.position == 8192 + 2 * kMaxAttemptLength);
  CHECK(finished_with(next_attempt(request, attempt, 4096, policy), 0));
}

TEST_CASE("transfer: a durable write asks for it in every attempt, a plain one in none") {
  for (const bool durable : {false, true}) {
    TransferPolicy policy;
    DeviceRequest request = request_for(Operation::write, 8192, durable);
    Attempt attempt = first_attempt(request, policy);
    CHECK(attempt.durable == durable);
    attempt = next_attempt(request, attempt, 512, policy);
    CHECK(attempt.durable == durable);
    CHECK(finished_with(next_attempt(request, attempt, static_cast<std::int64_t>(attempt.length), policy), 0));
  }
}

TEST_CASE("transfer: durable zeroes finish only after a sync, whichever way they were written") {
  for (const bool zero_range : {false, true}) {
    for (const int sync_error : {0, EIO}) {
      TransferPolicy policy;
      policy.zero_range = zero_range;
      DeviceRequest request = request_for(Operation::write_zeroes, 8192, true);
      Attempt attempt = first_attempt(request, policy);
      CHECK(attempt.kind == (zero_range ? Attempt::Kind::zero_range : Attempt::Kind::write_zero_buffer));
      attempt = next_attempt(request, attempt, zero_range ? 0 : 8192, policy);
      CHECK(attempt.kind == Attempt::Kind::data_sync);
      CHECK(finished_with(next_attempt(request, attempt, -sync_error, policy), sync_error));
    }
  }
}

TEST_CASE("transfer: zeroes from memory come in pieces no longer than the buffer") {
  TransferPolicy policy;
  DeviceRequest request = request_for(Operation::write_zeroes, 3 * kZeroBufferLength + 512);
  Attempt attempt = first_attempt(request, policy);
  std::uint64_t covered = 0;
  while (attempt.kind != Attempt::Kind::finished) {
    REQUIRE(attempt.kind == Attempt::Kind::write_zero_buffer);
    REQUIRE(attempt.length <= kZeroBufferLength);
    REQUIRE(attempt.position == 8192 + covered);
    covered += attempt.length;
    attempt = next_attempt(request, attempt, static_cast<std::int64_t>(attempt.length), policy);
  }
  CHECK(attempt.error == 0);
  CHECK(covered == request.length);
}

TEST_CASE("transfer: a refused zero range is written from memory, half way too, and never asked for again") {
  for (const int refusal : {EOPNOTSUPP, EINVAL, ENOSYS, ENOTTY}) {
    for (const bool half_way : {false, true}) {
      TransferPolicy policy;
      policy.zero_range = true;
      DeviceRequest request = request_for(Operation::write_zeroes, kMaxAttemptLength + 4096, true);
      Attempt attempt = first_attempt(request, policy);
      if (half_way) attempt = next_attempt(request, attempt, 0, policy);
      CHECK(attempt.kind == Attempt::Kind::zero_range);
      attempt = next_attempt(request, attempt, -refusal, policy);
      CHECK(attempt.kind == Attempt::Kind::write_zero_buffer);
      CHECK(attempt.position == 8192 + (half_way ? kMaxAttemptLength : 0));
      CHECK_FALSE(policy.zero_range.load());
      DeviceRequest later = request_for(Operation::write_zeroes, 4096);
      CHECK(first_attempt(later, policy).kind == Attempt::Kind::write_zero_buffer);
      // What was zeroed before the refusal must be durable too.
      while (attempt.kind == Attempt::Kind::write_zero_buffer) {
        attempt = next_attempt(request, attempt, static_cast<std::int64_t>(attempt.length), policy);
      }
      CHECK(attempt.kind == Attempt::Kind::data_sync);
    }
  }
}

TEST_CASE("transfer: under any sequence of answers every byte is asked for once more until it is transferred") {
  std::mt19937 random(20240817);
  for (int round = 0; round < 20000; ++round) {
    TransferPolicy policy;
    policy.zero_range = random() % 2 == 0;
    policy.alignment = random() % 2 == 0 ? 512 : 4096;
    const Operation operation = kAllOperations[random() % 3];
    const std::uint64_t length = (1 + random() % 16) * std::uint64_t{policy.alignment};
    DeviceRequest request = request_for(operation, length, random() % 2 == 0);
    Attempt attempt = first_attempt(request, policy);
    bool synced = false;
    for (int turns = 0; attempt.kind != Attempt::Kind::finished; ++turns) {
      REQUIRE(turns < 100000);
      synced = attempt.kind == Attempt::Kind::data_sync;
      if (!synced) {
        REQUIRE(attempt.position == request.position + request.transferred);
        REQUIRE(attempt.length == request.length - request.transferred);
        REQUIRE(attempt.position % policy.alignment == 0);
      }
      std::int64_t result = static_cast<std::int64_t>(random() % (attempt.length + 1));
      if (attempt.kind == Attempt::Kind::zero_range || attempt.kind == Attempt::Kind::data_sync) result = 0;
      const unsigned dice = random() % 8;
      if (dice == 0) result = -EINTR;
      if (dice == 1) result = -EAGAIN;
      if (dice == 2 && attempt.kind == Attempt::Kind::zero_range) result = -EOPNOTSUPP;
      if (dice == 3 && attempt.kind != Attempt::Kind::data_sync) result = static_cast<std::int64_t>(attempt.length);
      if (result == 0 && attempt.kind == Attempt::Kind::read) result = 1;
      attempt = next_attempt(request, attempt, result, policy);
    }
    REQUIRE(attempt.error == 0);
    REQUIRE(request.transferred == request.length);
    REQUIRE(synced == (operation == Operation::write_zeroes && request.durable));
  }
}

TEST_CASE("transfer: where RWF_DSYNC is refused the bytes are written without it and then synced, later ones at once") {
  for (const int refusal : {EOPNOTSUPP, ENOSYS, EPERM}) {
    TransferPolicy policy;
    DeviceRequest request = request_for(Operation::write, 16384, true);
    Attempt attempt = first_attempt(request, policy);
    CHECK(attempt.durable);
    attempt = next_attempt(request, attempt, 8192, policy);
    CHECK(attempt.durable);
    attempt = next_attempt(request, attempt, -refusal, policy);
    CHECK(attempt.kind == Attempt::Kind::write);
    CHECK_FALSE(attempt.durable);
    CHECK(attempt.position == 8192 + 8192);
    attempt = next_attempt(request, attempt, 8192, policy);
    CHECK(attempt.kind == Attempt::Kind::data_sync);
    CHECK(finished_with(next_attempt(request, attempt, 0, policy), 0));

    DeviceRequest later = request_for(Operation::write, 4096, true);
    attempt = first_attempt(later, policy);
    CHECK_FALSE(attempt.durable);
    attempt = next_attempt(later, attempt, 4096, policy);
    CHECK(attempt.kind == Attempt::Kind::data_sync);
    CHECK(finished_with(next_attempt(later, attempt, -EIO, policy), EIO));
  }
}

TEST_CASE("transfer: a write that is refused without RWF_DSYNC too ends with its error") {
  TransferPolicy policy;
  DeviceRequest request = request_for(Operation::write, 4096, true);
  Attempt attempt = next_attempt(request, first_attempt(request, policy), -EPERM, policy);
  CHECK_FALSE(attempt.durable);
  CHECK(finished_with(next_attempt(request, attempt, -EPERM, policy), EPERM));
}
