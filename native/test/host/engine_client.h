// An engine thread with a client in the place of JavaScript, over files.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "../../core/format/label.h"
#include "../../core/format/record.h"
#include "../../host/engine_thread.h"
#include "../devices/loop.h"

namespace blockmirror::test {

inline constexpr std::uint32_t kRingRecords = 64;
inline constexpr std::uint64_t kSize = 8 * kMiB;

struct Files {
  Files() {
    make_file(log(), log_length(kRingRecords, kMinimumRecordSize, kMiB));
    for (unsigned i = 0; i < 2; ++i) make_file(image(i), kSize + kLabelAreaLength);
  }
  std::string log() const { return folder_ / "log"; }
  std::string image(unsigned number) const { return folder_ / (number == 0 ? "master" : "slave"); }
  std::vector<std::byte> content(unsigned number) const {
    std::vector<std::byte> bytes(kSize);
    int file = open(image(number).c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(pread(file, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    close(file);
    return bytes;
  }

 private:
  TemporaryDirectory folder_;
};

// Waits for completions as the addon does: woken by one notification, then collecting all there is.
class Client {
 public:
  explicit Client(DeviceKind kind) {
    EngineThreadOptions options;
    options.kind = kind;
    options.context = this;
    options.notify = [](void* self) { static_cast<Client*>(self)->notified(); };
    EngineThread::Started started = EngineThread::start(options);
    REQUIRE(started.outcome.ok());
    engine_ = std::move(started.engine);
  }
  // With a mirror that runs over those files.
  Client(DeviceKind kind, const Files& files) : Client(kind) { format(files); }
  ~Client() { stop(); }

  EngineThread& engine() { return *engine_; }
  RequestTable& requests() { return engine_->requests(); }
  bool stop() { return engine_->stop(std::chrono::steady_clock::now() + std::chrono::seconds(20)); }

  std::vector<Completion> collect(std::size_t count) {
    std::vector<Completion> all;
    while (all.size() < count) {
      {
        std::unique_lock lock(mutex_);
        while (!notified_) changed_.wait(lock);
        notified_ = false;
      }
      engine_->collecting();
      Completion completion;
      while (requests().collect(completion)) all.push_back(completion);
    }
    return all;
  }
  template <typename Body>
  void submit(std::uint32_t ticket, Body body) {
    REQUIRE(requests().submit_command(ticket, std::make_unique<Command>(Command{std::move(body), Shape{}})) ==
            Code::ok);
    engine_->submitted();
  }
  // What became of a command, and the command with what it found.
  template <typename Body>
  std::pair<Outcome, Body> ask(Body body) {
    submit(0, std::move(body));
    const Outcome outcome = collect(1).at(0).outcome;
    return {outcome, std::get<Body>(requests().completed_command(0)->body)};
  }
  template <typename Body>
  Body run(Body body) {
    auto [outcome, done] = ask(std::move(body));
    CAPTURE(static_cast<int>(outcome.code));
    CAPTURE(outcome.system_error);
    REQUIRE(outcome.ok());
    return std::move(done);
  }
  void format(const Files& files) {
    OpenLog log;
    log.path = files.log();
    run(std::move(log));
    OpenImages images;
    images.paths = {files.image(0), files.image(1)};
    run(std::move(images));
    PlanFormat format;
    format.options.ring_records = kRingRecords;
    format.options.assume_identical = true;
    for (unsigned i = 0; i < 2; ++i)
      format.options.images.push_back({"i" + std::to_string(i), files.image(i), PathKind::absolute});
    run(std::move(format));
    run(FormatLog{});
    run(EndRecovery{});
  }
  void write(std::uint32_t ticket, std::span<const std::byte> bytes, std::uint64_t position) {
    REQUIRE(requests().submit_write(ticket, {&bytes, 1}, position, {}) == Code::ok);
    engine_->submitted();
  }

  unsigned notifications() {
    std::lock_guard lock(mutex_);
    return notifications_;
  }

 private:
  void notified() {
    std::lock_guard lock(mutex_);
    notified_ = true;
    ++notifications_;
    changed_.notify_one();
  }

  std::shared_ptr<EngineThread> engine_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool notified_ = false;
  unsigned notifications_ = 0;
};

}  // namespace blockmirror::test
