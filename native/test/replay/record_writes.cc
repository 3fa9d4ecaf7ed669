// Opens a mirror over the real io_uring (or threads) reactor, writes to it, closes it, and records at the boundary of the
// devices every write as it completes, with its bytes, and every flush: the method of dm-log-writes, in the program itself.
//
//   record_writes RECORDING SEED LOG MASTER SLAVE...
//
// RECORDING is a row of entries: disk (0 the log, 1 the master, 2.. slaves), kind (1 write, 2 flush), durable, 0 (4 bytes
// each), position, length (8 bytes each), and a write's bytes. An acknowledged durable write of the mirror is kind 3, with
// disk 1, its position and its bytes. test/long/replay.test.ts replays it.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../../core/base/aligned_buffer.h"
#include "../../core/session/session.h"
#include "../../devices/open_file.h"
#include "../../devices/reactor.h"

namespace blockmirror {
namespace {

constexpr std::uint32_t kWrite = 1, kFlush = 2, kAcknowledged = 3;
constexpr unsigned kWrites = 200;
constexpr unsigned kAtOnce = 8;

class Recording {
 public:
  explicit Recording(const char* path) : file_(std::fopen(path, "wb")) {}
  ~Recording() { std::fclose(file_); }
  bool is_open() const { return file_ != nullptr; }
  void add(std::uint32_t disk, std::uint32_t kind, bool durable, Extent extent, const std::byte* bytes) {
    const std::uint32_t words[4] = {disk, kind, durable ? 1u : 0u, 0};
    const std::uint64_t numbers[2] = {extent.position, extent.length};
    bool good =
        std::fwrite(words, sizeof(words), 1, file_) == 1 && std::fwrite(numbers, sizeof(numbers), 1, file_) == 1;
    if (bytes != nullptr) good = good && std::fwrite(bytes, extent.length, 1, file_) == 1;
    BLOCKMIRROR_ASSERT(good, "the recording cannot be written");
  }

 private:
  std::FILE* file_;
};

// Passes requests on, and writes down those that completed, in the order of their completion.
class RecordingDevice final : public Device {
 public:
  RecordingDevice(std::unique_ptr<Device> device, Recording& recording, std::uint32_t disk)
      : device_(std::move(device)), recording_(recording), disk_(disk) {}
  const DeviceTraits& traits() const override { return device_->traits(); }
  void submit(DeviceRequest& request) override {
    auto* call = new Call{*this, request, request};
    call->inner.context = call;
    call->inner.on_complete = &RecordingDevice::completed;
    device_->submit(call->inner);
  }

 private:
  struct Call {
    RecordingDevice& device;
    DeviceRequest& outer;
    DeviceRequest inner;
  };
  static void completed(DeviceRequest& request) {
    const std::unique_ptr<Call> call(static_cast<Call*>(request.context));
    call->device.note(request);
    call->outer.complete(request.error);
  }
  void note(const DeviceRequest& request) {
    const Extent extent{request.position, request.length};
    if (request.error != 0) return;
    if (request.operation == Operation::write) recording_.add(disk_, kWrite, request.durable, extent, request.memory);
    if (request.operation == Operation::flush) recording_.add(disk_, kFlush, false, {}, nullptr);
  }

  const std::unique_ptr<Device> device_;
  Recording& recording_;
  const std::uint32_t disk_;
};

class Load {
 public:
  Load(Session& session, Recording& recording, std::uint64_t seed)
      : session_(session), recording_(recording), state_(seed) {}

  Task<void> run(std::optional<Outcome>& result) {
    Assessment assessment;
    Outcome outcome = co_await session_.load_superblock();
    if (outcome.ok()) outcome = co_await session_.assess(assessment);
    ActivateOptions options;
    options.recovery_budget = kMinimumRecoveryBudget;  // so that intents are retired in between
    if (outcome.ok()) outcome = co_await session_.activate(options);
    if (outcome.ok() && session_.phase() != Phase::running) outcome = Outcome::of(Code::NOT_RECOVERED);
    if (outcome.ok()) {
      for (unsigned i = 0; i < kAtOnce; ++i) spawn(write_some());
    }
    result = outcome;
  }
  bool writing() const { return running_ > 0; }
  bool failed() const { return failed_; }

 private:
  std::uint64_t draw(std::uint64_t bound) {
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    return (state_ >> 33) % bound;
  }
  Task<void> write_some() {
    ++running_;
    AlignedBuffer bytes(64 * 1024);
    while (written_ < kWrites) {
      ++written_;
      const std::uint64_t length = 4096 * (1 + draw(16));
      const std::uint64_t region = draw(session_.superblock().size / kRegionLength) * kRegionLength;
      const Extent extent{region + 4096 * draw(240), length};
      for (std::byte& byte : bytes.first(length)) byte = static_cast<std::byte>(draw(256));
      const bool durable = draw(3) == 0;
      const Outcome outcome = co_await session_.write(extent, bytes.first(length), durable, nullptr);
      failed_ |= !outcome.ok();
      if (outcome.ok() && durable) recording_.add(1, kAcknowledged, true, extent, bytes.span().data());
      if (draw(16) == 0) failed_ |= !(co_await session_.flush()).ok();
    }
    --running_;
  }

  Session& session_;
  Recording& recording_;
  std::uint64_t state_;
  unsigned written_ = 0;
  unsigned running_ = 0;
  bool failed_ = false;
};

Task<void> close(Session& session, std::optional<Outcome>& result) { result = co_await session.close(); }

int record(int count, char** arguments) {
  if (count < 6) return 2;
  Recording recording(arguments[1]);
  auto [reactor, outcome] = make_reactor({});
  if (!recording.is_open() || !outcome.ok() || !reactor->bind_to_this_thread().ok()) return 1;
  std::vector<std::unique_ptr<RecordingDevice>> devices;
  for (int i = 3; i < count; ++i) {
    OpenFile file;
    if (const Outcome opened = OpenFile::open(arguments[i], {}, file); !opened.ok()) {
      std::fprintf(stderr, "cannot open %s: errno %d\n", arguments[i], opened.system_error);
      return 1;
    }
    const auto disk = static_cast<std::uint32_t>(devices.size());
    devices.push_back(std::make_unique<RecordingDevice>(reactor->make_device(std::move(file)), recording, disk));
  }
  int code = 0;
  {
    Session session(*reactor);
    session.set_log(*devices[0]);
    std::vector<Device*> images;
    for (std::size_t i = 1; i < devices.size(); ++i) images.push_back(devices[i].get());
    session.set_images(images);
    Load load(session, recording, std::strtoull(arguments[2], nullptr, 10));
    std::optional<Outcome> started, closed;
    spawn(load.run(started));
    while (!started || load.writing()) reactor->turn(true);
    spawn(close(session, closed));
    while (!closed) reactor->turn(true);
    if (!started->ok() || !closed->ok() || load.failed()) code = 1;
  }
  devices.clear();
  return code;
}

}  // namespace
}  // namespace blockmirror

int main(int count, char** arguments) { return blockmirror::record(count, arguments); }
