// A small mirror over sparse disks in virtual time: copied in microseconds, so that each input of a fuzzer gets its own.
#pragma once

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../../core/base/aligned_buffer.h"
#include "../../core/session/session.h"
#include "../../devices/simulated/simulated_runtime.h"
#include "../../devices/simulated/sparse_disk.h"

namespace blockmirror::fuzz {

inline constexpr std::uint64_t kMirrorSize = kMiB / 2;
inline constexpr std::uint32_t kRingRecords = 8;

// What it claims to be stays what it was; what is asked of it must lie inside and be aligned.
class SparseDevice final : public Device {
 public:
  SparseDevice(SimulatedRuntime& runtime, SparseDisk& disk) : runtime_(runtime), disk_(disk) {
    traits_.size = disk.size();
    traits_.memory_alignment = traits_.offset_alignment = 512;
  }
  const DeviceTraits& traits() const override { return traits_; }
  std::uint64_t writes() const { return writes_; }

  void submit(DeviceRequest& request) override {
    const bool fits = request.position <= disk_.size() && request.length <= disk_.size() - request.position;
    const bool aligned = request.position % kSimulatedSector == 0 && request.length % kSimulatedSector == 0;
    BLOCKMIRROR_ASSERT(request.operation == Operation::flush || (fits && aligned), "a request outside of its device");
    runtime_.schedule(runtime_.now_ns() + 1000, [this, &request] {
      if (request.operation != Operation::flush) transfer(request);
      request.complete(0);
    });
  }

 private:
  void transfer(const DeviceRequest& request) {
    if (request.operation == Operation::read) return disk_.read(request.position, {request.memory, request.length});
    ++writes_;
    for (std::uint64_t at = 0; at < request.length; at += kSimulatedSector) {
      const bool zeroes = request.operation == Operation::write_zeroes;
      disk_.set((request.position + at) / kSimulatedSector, zeroes ? SectorRef{} : SectorRef::of(request.memory + at));
    }
  }
  SimulatedRuntime& runtime_;
  SparseDisk& disk_;
  DeviceTraits traits_;
  std::uint64_t writes_ = 0;
};

struct Disks {
  SparseDisk log;
  std::vector<SparseDisk> images;
};

// One process that has the disks open.
class Opening {
 public:
  explicit Opening(Disks& disks) : log_(runtime_, disks.log) {
    for (SparseDisk& disk : disks.images) images_.push_back(std::make_unique<SparseDevice>(runtime_, disk));
    session.set_log(log_);
  }
  ~Opening() {
    if (session.phase() != Phase::closed) (void)run(session.close());
    runtime_.run_until_quiet();
  }

  Outcome run(Task<Outcome> task) {
    std::optional<Outcome> result;
    spawn(finish(std::move(task), result));
    const bool ended = runtime_.run_until([&] { return result.has_value(); }, 1'000'000);
    BLOCKMIRROR_ASSERT(ended && result, "a step did not end");
    return *result;
  }
  std::uint64_t writes() const {
    std::uint64_t writes = log_.writes();
    for (const auto& image : images_) writes += image->writes();
    return writes;
  }

  Outcome create() {
    std::vector<Device*> devices;
    for (auto& image : images_) devices.push_back(image.get());
    session.set_images(devices);
    FormatOptions format;
    format.size = kMirrorSize;
    format.ring_records = kRingRecords;
    format.assume_identical = true;
    for (std::size_t i = 0; i < images_.size(); ++i) {
      const std::string name = i == 0 ? "master" : "slave" + std::to_string(i);
      format.images.push_back({name, "/" + name});
    }
    Outcome outcome = run(session.plan_format(format));
    if (outcome.ok()) outcome = run(session.format());
    return outcome.ok() ? recover() : outcome;
  }
  // Until it is activated; writes nothing before that has succeeded.
  Outcome open() {
    Outcome outcome = run(session.load_superblock());
    if (!outcome.ok()) return outcome;
    std::vector<Device*> devices(session.superblock().images.size(), nullptr);
    for (std::size_t i = 0; i < devices.size() && i < images_.size(); ++i) devices[i] = images_[i].get();
    session.set_images(devices);
    outcome = run(session.assess(assessment));
    return outcome.ok() ? run(session.activate({})) : outcome;
  }
  Outcome recover() {
    if (session.phase() != Phase::recovering && session.phase() != Phase::formatting) return Outcome::success();
    for (ResyncResult step;;) {
      ResyncOrder order;
      order.slaves = session.snapshot().recovering;
      order.way.compare = true;
      const Outcome outcome = run(session.resync(order, step));
      if (!outcome.ok()) return outcome;
      if (step.bytes_left == 0) return run(session.end_recovery({}));
      if (!step.unreadable.ok()) return step.unreadable;
    }
  }
  Outcome write(Extent extent, unsigned char fill) {
    AlignedBuffer bytes(extent.length);
    std::memset(bytes.span().data(), fill, extent.length);
    return run(session.write(extent, bytes.span(), true, nullptr));
  }

 private:
  static Task<void> finish(Task<Outcome> task, std::optional<Outcome>& result) { result = co_await std::move(task); }
  SimulatedRuntime runtime_{1};
  SparseDevice log_;
  std::vector<std::unique_ptr<SparseDevice>> images_;

 public:
  Assessment assessment;
  Session session{runtime_};
};

}  // namespace blockmirror::fuzz
