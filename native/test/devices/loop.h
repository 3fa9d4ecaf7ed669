// A bound reactor of either kind and one request at a time, for tests that are the same for both kinds.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>

#include "../../core/base/aligned_buffer.h"
#include "../../devices/reactor.h"
#include "temporary.h"

namespace blockmirror::test {

struct OnIoUring {
  static constexpr DeviceKind kKind = DeviceKind::io_uring;
  static constexpr bool kPolling = false;
};
struct OnThreads {
  static constexpr DeviceKind kKind = DeviceKind::threads;
  static constexpr bool kPolling = false;
};
struct PollingIoUring : OnIoUring {
  static constexpr bool kPolling = true;
};
struct PollingThreads : OnThreads {
  static constexpr bool kPolling = true;
};

// Whether a kind can be had, for tests that fork before they make one: a child of many threads can do little.
class KindProbe {
 public:
  explicit KindProbe(DeviceKind kind) : error_(kind == DeviceKind::io_uring ? probe_io_uring() : 0) {}
  bool available() const { return error_ == 0; }
  std::string why_not() const { return std::string("io_uring is not to be had: ") + std::strerror(error_); }

 private:
  const int error_;
};

class Loop {
 public:
  explicit Loop(DeviceKind kind, unsigned queue_depth = 64, bool polling = false) {
    ReactorOrOutcome made = make_reactor({.kind = kind, .queue_depth = queue_depth, .polling = polling});
    if (!made.outcome.ok()) {
      why_not_ = std::string("io_uring is not to be had: ") + std::strerror(made.outcome.system_error);
      return;
    }
    reactor_ = std::move(made.reactor);
    REQUIRE(reactor_->bind_to_this_thread().ok());
    REQUIRE(reactor_->kind() == kind);
  }
  bool available() const { return reactor_ != nullptr; }
  const std::string& why_not() const { return why_not_; }
  Reactor& operator*() { return *reactor_; }
  Reactor* operator->() { return reactor_.get(); }

  std::unique_ptr<Device> open(const std::string& path, const OpenFileOptions& options = {}) {
    OpenFile file;
    const Outcome outcome = OpenFile::open(path, options, file);
    CAPTURE(static_cast<int>(outcome.code));
    CAPTURE(outcome.system_error);
    REQUIRE(outcome.ok());
    return reactor_->make_device(std::move(file));
  }

  int run(Device& device, DeviceRequest request) {
    bool done = false;
    request.context = &done;
    request.on_complete = [](DeviceRequest& completed) { *static_cast<bool*>(completed.context) = true; };
    device.submit(request);
    while (!done) reactor_->turn(true);
    return request.error;
  }
  int write(Device& device, std::uint64_t position, std::span<std::byte> bytes, bool durable = false) {
    return run(device, {.operation = Operation::write,
                        .durable = durable,
                        .position = position,
                        .length = bytes.size(),
                        .memory = bytes.data()});
  }
  int read(Device& device, std::uint64_t position, std::span<std::byte> into) {
    return run(device,
               {.operation = Operation::read, .position = position, .length = into.size(), .memory = into.data()});
  }
  int write_zeroes(Device& device, Extent extent, bool durable = false) {
    return run(device, {.operation = Operation::write_zeroes,
                        .durable = durable,
                        .position = extent.position,
                        .length = extent.length});
  }
  int flush(Device& device) { return run(device, {.operation = Operation::flush}); }

 private:
  std::unique_ptr<Reactor> reactor_;
  std::string why_not_;
};

// Bytes that follow from the seed, and from nothing else.
inline void fill(std::span<std::byte> bytes, std::uint64_t seed) {
  std::mt19937_64 generator(seed);
  for (std::size_t i = 0; i < bytes.size(); i += sizeof(std::uint64_t)) {
    const std::uint64_t value = generator();
    std::memcpy(&bytes[i], &value, std::min(sizeof value, bytes.size() - i));
  }
}

inline bool equal(std::span<const std::byte> a, std::span<const std::byte> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

inline bool all_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; });
}

// What is on the file or device, read without any code of ours.
inline AlignedBuffer content_of(const std::string& path, std::uint64_t position, std::size_t length) {
  AlignedBuffer content(length);
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
  REQUIRE(descriptor >= 0);
  CHECK(::pread(descriptor, content.span().data(), length, static_cast<off_t>(position)) ==
        static_cast<ssize_t>(length));
  ::close(descriptor);
  return content;
}

}  // namespace blockmirror::test

// In a test's body: return as skipped when the thing is not to be had here.
#define BLOCKMIRROR_SKIP_UNLESS(thing)              \
  do {                                              \
    if (!(thing).available()) {                     \
      ::blockmirror::test::skip((thing).why_not()); \
      return;                                       \
    }                                               \
  } while (0)
