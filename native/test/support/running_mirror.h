// A SimulatedMirror that runs, with requests that are started now and judged later.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "../../core/format/label.h"
#include "simulated_mirror.h"

namespace blockmirror::test {

inline constexpr int kIoError = 5;  // EIO

inline SimulatedDevice::Fate hold_fate() { return {0, 0, true}; }
inline SimulatedDevice::Fate error_fate(int error = kIoError) { return {error, 1000, false}; }
inline SimulatedDevice::Fate after(std::uint64_t ns) { return {0, ns, false}; }

// What is on the disk after a power loss in which nothing more landed.
inline Superblock durable_superblock(const SimulatedDevice& log) {
  Superblock superblock;
  const std::span<const std::byte> bytes = log.durable();
  const Outcome outcome = choose_superblock(bytes.subspan(kSuperblockCopyA, kSuperblockLength),
                                            bytes.subspan(kSuperblockCopyB, kSuperblockLength), superblock);
  REQUIRE(outcome.ok());
  return superblock;
}
inline Label durable_label(const SimulatedDevice& image, std::uint64_t position) {
  Label label;
  const std::span<const std::byte> bytes = image.durable();
  const Outcome outcome = choose_label(bytes.subspan(position, kLabelCopyLength),
                                       bytes.subspan(position + kLabelCopyDistance, kLabelCopyLength), label);
  REQUIRE(outcome.ok());
  return label;
}

class RunningMirror : public SimulatedMirror {
 public:
  explicit RunningMirror(const Options& options) : SimulatedMirror(options) {
    REQUIRE(create(true).ok());
    REQUIRE(open().ok());
  }
  ~RunningMirror() {
    heal();
    if (session && session->phase() != Phase::closed) (void)run(session->close());
    runtime.run_until_quiet();  // what is pending refers to members that go now
  }

  // The images of a new mirror are assumed to be equal; here they are.
  void prove() { REQUIRE(run(session->record_verify(found_equal())).ok()); }
  // What a verify of the whole mirror that finds no difference records.
  VerifyResult found_equal() const {
    return {std::vector<std::uint64_t>(images.size(), session->superblock().size),
            std::vector<std::uint64_t>(images.size(), 0)};
  }

  struct Pending {
    std::optional<Outcome> outcome;
    AlignedBuffer bytes;
    CallOff call_off;

    bool ended() const { return outcome.has_value(); }
    bool succeeded() const { return ended() && outcome->ok(); }
    Code code() const { return ended() ? outcome->code : Code::INTERNAL; }
  };
  Pending& start_write(Extent extent, unsigned char fill, bool durable = false) {
    Pending& pending = make(extent.length);
    std::memset(pending.bytes.span().data(), fill, extent.length);
    start(session->write(extent, pending.bytes.span(), durable, &pending.call_off), pending.outcome);
    return pending;
  }
  Pending& start_read(Extent extent) {
    Pending& pending = make(extent.length);
    start(session->read(extent, pending.bytes.span()), pending.outcome);
    return pending;
  }
  Pending& start_discard(Extent extent) {
    Pending& pending = make(0);
    start(session->discard(extent), pending.outcome);
    return pending;
  }
  Pending& start_flush() {
    Pending& pending = make(0);
    start(session->flush(), pending.outcome);
    return pending;
  }
  Pending& start_close() {
    Pending& pending = make(0);
    start(session->close(), pending.outcome);
    return pending;
  }
  Pending& start_task(Task<Outcome> task) {
    Pending& pending = make(0);
    start(std::move(task), pending.outcome);
    return pending;
  }

  // Lets virtual time pass. The default is far below the period after which a quiet mirror retires.
  void advance(std::uint64_t ns = 10'000'000) {
    bool reached = false;
    runtime.schedule(runtime.now_ns() + ns, [&] { reached = true; });
    REQUIRE(runtime.run_until([&] { return reached; }));
  }
  void random_latencies(std::uint64_t most_ns = 100'000) {
    log->decide = [this, most_ns](const DeviceRequest&) { return after(1000 + runtime.draw(most_ns)); };
    for (auto& image : images) image->decide = log->decide;
  }
  // All devices work again, and what was held completes.
  void heal() {
    log->decide = nullptr;
    log->release_held();
    for (auto& image : images) {
      image->decide = nullptr;
      image->release_held();
    }
  }
  bool is_data(const DeviceRequest& request) const {
    return request.operation != Operation::flush && request.position < session->superblock().size;
  }
  bool is_label(const DeviceRequest& request) const {
    return request.operation == Operation::write && request.position >= session->superblock().size;
  }
  bool is_ring(const DeviceRequest& request) const {
    const RingGeometry& ring = session->superblock().ring;
    return request.operation == Operation::write && request.position >= ring.position &&
           request.position < ring.position + ring.length();
  }
  static bool is_superblock(const DeviceRequest& request) {
    return request.operation == Operation::write && request.position < kRingPosition;
  }
  ImageState durable_state(unsigned image) const { return durable_superblock(*log).images[image].state; }
  Label label_of(unsigned image) const {
    return durable_label(*images[image], session->superblock().images[image].label_position);
  }

 private:
  Pending& make(std::size_t length) {
    pending_.push_back(std::make_unique<Pending>());
    if (length > 0) pending_.back()->bytes = AlignedBuffer(length);
    return *pending_.back();
  }
  std::vector<std::unique_ptr<Pending>> pending_;
};

}  // namespace blockmirror::test
