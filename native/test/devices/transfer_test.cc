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

Step::Kind kind_of(Operation operation) {
  switch (operation) {
    case Operation::read:
      return Step::Kind::read;
    case Operation::write:
      return Step::Kind::write;
    case Operation::write_zeroes:
      return Step::Kind::write_zero_buffer;
    case Operation::flush:
      return Step::Kind::data_sync;
  }
  return Step::Kind::finished;
}

const Operation kAllOperations[] = {Operation::read, Operation::write, Operation::write_zeroes, Operation::flush};

bool finished_with(const Step& step, int error) { return step.kind == Step::Kind::finished && step.error == error; }

}  // namespace

TEST_CASE("transfer: the first step asks for the whole request") {
  for (const Operation operation : kAllOperations) {
    TransferPolicy policy;
    DeviceRequest request = request_for(operation, operation == Operation::flush ? 0 : 16384);
    const Step step = first_step(request, policy);
    CHECK(step.kind == kind_of(operation));
    CHECK(step.length == request.length);
    CHECK(step.memory == request.memory);
    if (operation != Operation::flush) CHECK(step.position == 8192);
  }
}

TEST_CASE("transfer: a request for nothing finishes at once, a flush does not") {
  TransferPolicy policy;
  for (const Operation operation : {Operation::read, Operation::write, Operation::write_zeroes}) {
    DeviceRequest request = request_for(operation, 0, true);
    CHECK(finished_with(first_step(request, policy), 0));
  }
  DeviceRequest flush = request_for(Operation::flush, 0);
  CHECK(first_step(flush, policy).kind == Step::Kind::data_sync);
}

TEST_CASE("transfer: all bytes finish a request with success") {
  for (const Operation operation : kAllOperations) {
    TransferPolicy policy;
    DeviceRequest request = request_for(operation, operation == Operation::flush ? 0 : 16384);
    const Step step = first_step(request, policy);
    CHECK(finished_with(next_step(request, step, static_cast<std::int64_t>(step.length), policy), 0));
    CHECK(request.transferred == request.length);
  }
}

TEST_CASE("transfer: a short transfer is resumed where it ended, with its memory and durability") {
  for (const Operation operation : {Operation::read, Operation::write, Operation::write_zeroes}) {
    for (std::uint64_t got = 512; got < 4096; got += 512) {
      TransferPolicy policy;
      DeviceRequest request = request_for(operation, 4096, true);
      const Step first = first_step(request, policy);
      const Step second = next_step(request, first, static_cast<std::int64_t>(got), policy);
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
  Step step = first_step(request, policy);
  step = next_step(request, step, 4096 + 512, policy);
  CHECK(step.position == 8192 + 4096);
  CHECK(step.length == 16384 - 4096);
  // Less than a unit is no progress: the same again, not forever.
  for (std::uint32_t i = 1; i < kMaxAttempts; ++i) {
    step = next_step(request, step, 4095, policy);
    REQUIRE(step.kind == Step::Kind::write);
    REQUIRE(step.position == 8192 + 4096);
  }
  CHECK(finished_with(next_step(request, step, 4095, policy), EIO));
}

TEST_CASE("transfer: the end of the file is EIO, before and after progress") {
  for (const std::uint64_t progress : {0u, 512u, 3584u}) {
    TransferPolicy policy;
    DeviceRequest request = request_for(Operation::read, 4096);
    Step step = first_step(request, policy);
    if (progress > 0) step = next_step(request, step, static_cast<std::int64_t>(progress), policy);
    CHECK(finished_with(next_step(request, step, 0, policy), EIO));
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
    const Step first = first_step(request, policy);
    Step step = first;
    std::uint32_t tries = 0;
    do {
      REQUIRE(step.kind == first.kind);
      REQUIRE(step.position == first.position);
      REQUIRE(step.length == first.length);
      step = next_step(request, step, one.result, policy);
      ++tries;
    } while (step.kind != Step::Kind::finished && tries <= kMaxAttempts);
    CHECK(tries == kMaxAttempts);
    CHECK(finished_with(step, one.error));
  }
}

TEST_CASE("transfer: progress starts the count of attempts again") {
  TransferPolicy policy;
  DeviceRequest request = request_for(Operation::write, 4096);
  Step step = first_step(request, policy);
  for (int piece = 0; piece < 8; ++piece) {
    for (std::uint32_t i = 1; i < kMaxAttempts; ++i) {
      step = next_step(request, step, i % 2 == 0 ? -EINTR : -EAGAIN, policy);
      REQUIRE(step.kind == Step::Kind::write);
    }
    step = next_step(request, step, 512, policy);
  }
  CHECK(finished_with(step, 0));
}

TEST_CASE("transfer: any other error finishes the request with it") {
  for (const Operation operation : kAllOperations) {
    for (int error = 1; error < 134; ++error) {
      if (error == EINTR || error == EAGAIN || error == kLostAllocation || error == kWrongBytes) continue;
      TransferPolicy policy;
      DeviceRequest request = request_for(operation, operation == Operation::flush ? 0 : 4096);
      const Step step = first_step(request, policy);
      CHECK(finished_with(next_step(request, step, -error, policy), error));
    }
  }
}

TEST_CASE("transfer: more bytes than were asked for are an error, whatever the request") {
  for (const Operation operation : {Operation::read, Operation::write, Operation::write_zeroes}) {
    for (const std::int64_t more : {std::int64_t{4097}, std::int64_t{1} << 40}) {
      TransferPolicy policy;
      DeviceRequest request = request_for(operation, 4096);
      const Step step = first_step(request, policy);
      CHECK(finished_with(next_step(request, step, more, policy), EIO));
    }
  }
}

TEST_CASE("transfer: an answer that stands for a finding of ours, or for no errno at all, is EIO") {
  for (const std::int64_t answer : {-std::int64_t{ENODATA}, -std::int64_t{EBADMSG}, -std::int64_t{4096},
                                    -std::int64_t{INT32_MAX}, std::int64_t{INT32_MIN}}) {
    for (const Operation operation : kAllOperations) {
      TransferPolicy policy;
      DeviceRequest request = request_for(operation, operation == Operation::flush ? 0 : 4096);
      const Step step = first_step(request, policy);
      CHECK(finished_with(next_step(request, step, answer, policy), EIO));
    }
  }
}

TEST_CASE("transfer: the smallest progress the kernel can make ends a request in as many steps as it has units") {
  TransferPolicy policy;
  DeviceRequest request = request_for(Operation::read, sizeof memory);
  Step step = first_step(request, policy);
  unsigned steps = 0;
  for (; step.kind != Step::Kind::finished; ++steps) step = next_step(request, step, 512, policy);
  CHECK(step.error == 0);
  CHECK(steps == sizeof memory / 512);
}

TEST_CASE("transfer: long requests are cut into steps of bounded length") {
  TransferPolicy policy;
  DeviceRequest request = request_for(Operation::read, 2 * kMaxStepLength + 4096);
  Step step = first_step(request, policy);
  CHECK(step.length == kMaxStepLength);
  step = next_step(request, step, static_cast<std::int64_t>(step.length), policy);
  CHECK(step.length == kMaxStepLength);
  step = next_step(request, step, static_cast<std::int64_t>(step.length), policy);
  CHECK(step.length == 4096);
  CHECK(step.position == 8192 + 2 * kMaxStepLength);
  CHECK(finished_with(next_step(request, step, 4096, policy), 0));
}

TEST_CASE("transfer: a durable write asks for it in every step, a plain one in none") {
  for (const bool durable : {false, true}) {
    TransferPolicy policy;
    DeviceRequest request = request_for(Operation::write, 8192, durable);
    Step step = first_step(request, policy);
    CHECK(step.durable == durable);
    step = next_step(request, step, 512, policy);
    CHECK(step.durable == durable);
    CHECK(finished_with(next_step(request, step, static_cast<std::int64_t>(step.length), policy), 0));
  }
}

TEST_CASE("transfer: durable zeroes finish only after a sync, whichever way they were written") {
  for (const bool zero_range : {false, true}) {
    for (const int sync_error : {0, EIO}) {
      TransferPolicy policy;
      policy.zero_range = zero_range;
      DeviceRequest request = request_for(Operation::write_zeroes, 8192, true);
      Step step = first_step(request, policy);
      CHECK(step.kind == (zero_range ? Step::Kind::zero_range : Step::Kind::write_zero_buffer));
      step = next_step(request, step, zero_range ? 0 : 8192, policy);
      CHECK(step.kind == Step::Kind::data_sync);
      CHECK(finished_with(next_step(request, step, -sync_error, policy), sync_error));
    }
  }
}

TEST_CASE("transfer: zeroes from memory come in pieces no longer than the buffer") {
  TransferPolicy policy;
  DeviceRequest request = request_for(Operation::write_zeroes, 3 * kZeroBufferLength + 512);
  Step step = first_step(request, policy);
  std::uint64_t covered = 0;
  while (step.kind != Step::Kind::finished) {
    REQUIRE(step.kind == Step::Kind::write_zero_buffer);
    REQUIRE(step.length <= kZeroBufferLength);
    REQUIRE(step.position == 8192 + covered);
    covered += step.length;
    step = next_step(request, step, static_cast<std::int64_t>(step.length), policy);
  }
  CHECK(step.error == 0);
  CHECK(covered == request.length);
}

TEST_CASE("transfer: a refused zero range is written from memory, half way too, and never asked for again") {
  for (const int refusal : {EOPNOTSUPP, EINVAL, ENOSYS, ENOTTY}) {
    for (const bool half_way : {false, true}) {
      TransferPolicy policy;
      policy.zero_range = true;
      DeviceRequest request = request_for(Operation::write_zeroes, kMaxStepLength + 4096, true);
      Step step = first_step(request, policy);
      if (half_way) step = next_step(request, step, 0, policy);
      CHECK(step.kind == Step::Kind::zero_range);
      step = next_step(request, step, -refusal, policy);
      CHECK(step.kind == Step::Kind::write_zero_buffer);
      CHECK(step.position == 8192 + (half_way ? kMaxStepLength : 0));
      CHECK_FALSE(policy.zero_range.load());
      DeviceRequest later = request_for(Operation::write_zeroes, 4096);
      CHECK(first_step(later, policy).kind == Step::Kind::write_zero_buffer);
      // What was zeroed before the refusal must be durable too.
      while (step.kind == Step::Kind::write_zero_buffer) {
        step = next_step(request, step, static_cast<std::int64_t>(step.length), policy);
      }
      CHECK(step.kind == Step::Kind::data_sync);
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
    Step step = first_step(request, policy);
    bool synced = false;
    for (int turns = 0; step.kind != Step::Kind::finished; ++turns) {
      REQUIRE(turns < 100000);
      synced = step.kind == Step::Kind::data_sync;
      if (!synced) {
        REQUIRE(step.position == request.position + request.transferred);
        REQUIRE(step.length == request.length - request.transferred);
        REQUIRE(step.position % policy.alignment == 0);
      }
      std::int64_t result = static_cast<std::int64_t>(random() % (step.length + 1));
      if (step.kind == Step::Kind::zero_range || step.kind == Step::Kind::data_sync) result = 0;
      const unsigned dice = random() % 8;
      if (dice == 0) result = -EINTR;
      if (dice == 1) result = -EAGAIN;
      if (dice == 2 && step.kind == Step::Kind::zero_range) result = -EOPNOTSUPP;
      if (dice == 3 && step.kind != Step::Kind::data_sync) result = static_cast<std::int64_t>(step.length);
      if (result == 0 && step.kind == Step::Kind::read) result = 1;
      step = next_step(request, step, result, policy);
    }
    REQUIRE(step.error == 0);
    REQUIRE(request.transferred == request.length);
    REQUIRE(synced == (operation == Operation::write_zeroes && request.durable));
  }
}

TEST_CASE("transfer: where RWF_DSYNC is refused the bytes are written without it and then synced, later ones at once") {
  for (const int refusal : {EOPNOTSUPP, ENOSYS, EPERM}) {
    TransferPolicy policy;
    DeviceRequest request = request_for(Operation::write, 16384, true);
    Step step = first_step(request, policy);
    CHECK(step.durable);
    step = next_step(request, step, 8192, policy);
    CHECK(step.durable);
    step = next_step(request, step, -refusal, policy);
    CHECK(step.kind == Step::Kind::write);
    CHECK_FALSE(step.durable);
    CHECK(step.position == 8192 + 8192);
    step = next_step(request, step, 8192, policy);
    CHECK(step.kind == Step::Kind::data_sync);
    CHECK(finished_with(next_step(request, step, 0, policy), 0));

    DeviceRequest later = request_for(Operation::write, 4096, true);
    step = first_step(later, policy);
    CHECK_FALSE(step.durable);
    step = next_step(later, step, 4096, policy);
    CHECK(step.kind == Step::Kind::data_sync);
    CHECK(finished_with(next_step(later, step, -EIO, policy), EIO));
  }
}

TEST_CASE("transfer: a write that is refused without RWF_DSYNC too ends with its error") {
  TransferPolicy policy;
  DeviceRequest request = request_for(Operation::write, 4096, true);
  Step step = next_step(request, first_step(request, policy), -EPERM, policy);
  CHECK_FALSE(step.durable);
  CHECK(finished_with(next_step(request, step, -EPERM, policy), EPERM));
}
