// Watches a simulated mirror at the boundary of its devices, and judges each request as it is submitted. It knows the
// log's format but nothing of the engine: what it believes, it has seen pass.
//
//  I1  an image write is covered by what a scan of the durable ring yields, whether nothing or all of what the log has in
//      flight lands as well.
//  I2  a record that retires an extent is submitted only when no image that takes part holds a write to it that is in
//      flight, or that completed without a flush that was submitted later and succeeded.
//  I6  no two requests to one image that overlap, widened to its physical block, are in flight unless both read.
//  I13 what such a scan yields never exceeds the recovery budget.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "../../core/format/record.h"
#include "scanned_ring.h"
#include "simulated_mirror.h"

namespace blockmirror::test {

struct RingState {
  bool damaged = false;
  ExtentSet covered;
  std::uint64_t tail = 0;
  std::vector<SequencedIntent> live;
};

inline RingState scan_of_ring(const Superblock& superblock, std::span<const std::byte> ring) {
  const std::vector<bool> readable(superblock.ring.record_count, false);
  const ScannedRing scan = scan_ring(ring_identity_of(superblock), ring, readable);
  RingState state;
  state.damaged = scan.damaged;
  state.tail = scan.tail;
  state.live = scan.live;
  for (const SequencedIntent& live : scan.live) add_covered(live.intent, state.covered);
  return state;
}

inline RingState scan_of(const Superblock& superblock, std::span<const std::byte> log) {
  return scan_of_ring(superblock, log.subspan(superblock.ring.position, superblock.ring.length()));
}

class BoundaryOracle {
 public:
  // From now on; the mirror runs.
  explicit BoundaryOracle(SimulatedMirror& mirror, std::uint64_t budget = kDefaultRecoveryBudget)
      : mirror_(mirror), budget_(budget), images_(mirror.images.size()) {
    SimulatedDevice& log = *mirror.log;
    log.on_submit = [this](const DeviceRequest& request) { log_submitted(request); };
    log.on_settle = [this](const DeviceRequest& request, int) {
      std::erase(log_in_flight_, &request);
      states_.reset();
    };
    for (std::size_t i = 0; i < images_.size(); ++i) {
      mirror.images[i]->on_submit = [this, i](const DeviceRequest& request) { image_submitted(i, request); };
      mirror.images[i]->on_settle = [this, i](const DeviceRequest& request, int error) {
        image_settled(i, request, error);
      };
    }
  }
  ~BoundaryOracle() {
    mirror_.log->on_submit = nullptr;
    mirror_.log->on_settle = nullptr;
    for (auto& image : mirror_.images) {
      image->on_submit = nullptr;
      image->on_settle = nullptr;
    }
  }
  BoundaryOracle(const BoundaryOracle&) = delete;
  BoundaryOracle& operator=(const BoundaryOracle&) = delete;

  // First thing that was wrong; empty while nothing was.
  const std::string& complaint() const { return complaint_; }
  std::uint64_t image_writes = 0;
  std::uint64_t retirements = 0;
  std::uint64_t largest_coverage = 0;

 private:
  struct Dirty {
    Extent extent;
    std::uint64_t settled = 0;  // event; 0: in flight
    const DeviceRequest* request = nullptr;
  };
  struct Image {
    std::vector<const DeviceRequest*> in_flight;
    std::vector<Dirty> dirty;
    std::map<const DeviceRequest*, std::uint64_t> flushes;  // event of submission
  };
  struct States {
    RingState nothing_lands;
    RingState all_lands;
  };

  void complain(const std::string& what, Extent extent) {
    if (complaint_.empty())
      complaint_ = what + " at " + std::to_string(extent.position) + "+" + std::to_string(extent.length);
  }
  const Superblock& superblock() const { return mirror_.session->superblock(); }
  bool is_ring(const DeviceRequest& request) const {
    const RingGeometry& ring = superblock().ring;
    return request.operation == Operation::write && request.position >= ring.position &&
           request.position < ring.position + ring.length();
  }
  bool is_data(const DeviceRequest& request) const {
    return request.operation != Operation::flush && request.position < superblock().size;
  }
  static bool is_write(const DeviceRequest& request) {
    return request.operation == Operation::write || request.operation == Operation::write_zeroes;
  }

  const States& states() {
    if (states_) return *states_;
    States states;
    const RingGeometry& ring = superblock().ring;
    const std::span<const std::byte> durable = mirror_.log->durable().subspan(ring.position, ring.length());
    std::vector<std::byte> bytes(durable.begin(), durable.end());
    states.nothing_lands = scan_of_ring(superblock(), bytes);
    for (const DeviceRequest* request : log_in_flight_)
      std::memcpy(bytes.data() + (request->position - ring.position), request->memory, request->length);
    states.all_lands = log_in_flight_.empty() ? states.nothing_lands : scan_of_ring(superblock(), bytes);
    for (const RingState* state : {&states.nothing_lands, &states.all_lands}) {
      if (state->damaged) complain("the ring reads as damaged", {});
      const std::uint64_t covered = state->covered.bytes();
      largest_coverage = std::max(largest_coverage, covered);
      if (covered > budget_) complain("I13: a scan yields more than the budget", {0, covered});
    }
    states_ = std::move(states);
    return *states_;
  }

  void log_submitted(const DeviceRequest& request) {
    if (!is_ring(request)) return;
    if (!request.durable) complain("a record is not written durably", {request.position, request.length});
    const ExtentSet before = states().all_lands.covered;
    log_in_flight_.push_back(&request);
    states_.reset();
    const ExtentSet& after = states().all_lands.covered;
    for (const Extent& extent : before.extents()) {
      for (std::uint64_t at = extent.position; at < extent.end(); at += kIntentBlockLength) {
        if (!after.contains({at, kIntentBlockLength})) judge_retirement({at, kIntentBlockLength});
      }
    }
  }

  void judge_retirement(Extent extent) {
    ++retirements;
    for (std::size_t i = 0; i < images_.size(); ++i) {
      if (superblock().images[i].state == ImageState::failed) continue;
      for (const Dirty& dirty : images_[i].dirty) {
        if (dirty.extent.overlaps(extent))
          complain("I2: retired while image " + std::to_string(i) + " was not flushed", extent);
      }
    }
  }

  void image_submitted(std::size_t index, const DeviceRequest& request) {
    Image& image = images_[index];
    if (request.operation == Operation::flush) {
      image.flushes[&request] = ++events_;
      return;
    }
    if (!is_data(request)) return;
    const Extent extent{request.position, request.length};
    const Extent widened = extent.widened(mirror_.images[index]->traits().physical_block_size);
    for (const DeviceRequest* other : image.in_flight) {
      if (!is_write(request) && !is_write(*other)) continue;
      if (widened.overlaps({other->position, other->length})) complain("I6: overlapping requests in flight", extent);
    }
    image.in_flight.push_back(&request);
    if (!is_write(request)) return;
    ++image_writes;
    image.dirty.push_back({extent, 0, &request});
    if (!states().nothing_lands.covered.contains(extent)) complain("I1: written before its intent was durable", extent);
    if (!states().all_lands.covered.contains(extent)) complain("I1: written although a submitted tail passed", extent);
  }

  void image_settled(std::size_t index, const DeviceRequest& request, int error) {
    Image& image = images_[index];
    ++events_;
    std::erase(image.in_flight, &request);
    if (auto flush = image.flushes.find(&request); flush != image.flushes.end()) {
      const std::uint64_t submitted = flush->second;
      image.flushes.erase(flush);
      if (error != 0) return;
      std::erase_if(image.dirty, [&](const Dirty& dirty) { return dirty.settled != 0 && dirty.settled < submitted; });
      return;
    }
    for (Dirty& dirty : image.dirty) {
      if (dirty.request != &request) continue;
      dirty.settled = events_;
      dirty.request = nullptr;
    }
  }

  SimulatedMirror& mirror_;
  const std::uint64_t budget_;
  std::vector<Image> images_;
  std::vector<const DeviceRequest*> log_in_flight_;
  std::optional<States> states_;
  std::uint64_t events_ = 0;
  std::string complaint_;
};

}  // namespace blockmirror::test
