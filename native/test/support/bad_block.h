// A block of a simulated image that cannot be read: until it is written again, or whatever is written.
#pragma once

#include "running_mirror.h"

namespace blockmirror::test {

class BadBlock {
 public:
  enum class Kind {
    cured,     // by a write that covers it
    stubborn,  // writes to it succeed, and reads go on failing
    refusing,  // writes to it fail too
    lying,     // cured by a write, but other bytes are read
  };
  BadBlock(SimulatedDevice& device, Extent block, Kind kind = Kind::cured)
      : device_(device), block_(block), kind_(kind) {
    device.decide = [this](const DeviceRequest& request) { return fate(request); };
  }
  ~BadBlock() { device_.decide = nullptr; }
  BadBlock(const BadBlock&) = delete;
  BadBlock& operator=(const BadBlock&) = delete;

  bool bad() const { return bad_; }
  void heal() { bad_ = false; }
  unsigned reads() const { return reads_; }    // that met it while it was bad
  unsigned writes() const { return writes_; }  // of any part of it

 private:
  bool meets(const DeviceRequest& request) const {
    return request.operation != Operation::flush && block_.overlaps({request.position, request.length});
  }
  SimulatedDevice::Fate fate(const DeviceRequest& request) {
    if (!meets(request)) return {};
    if (request.operation == Operation::read) {
      reads_ += bad_ ? 1 : 0;
      if (!bad_ && kind_ == Kind::lying && writes_ > 0) device_.content()[block_.position] ^= std::byte{1};
      return bad_ ? error_fate() : SimulatedDevice::Fate{};
    }
    ++writes_;
    if (kind_ == Kind::refusing) return error_fate();
    const bool whole = Extent{request.position, request.length}.contains(block_);
    if (whole && kind_ != Kind::stubborn) bad_ = false;
    return {};
  }

  SimulatedDevice& device_;
  const Extent block_;
  const Kind kind_;
  bool bad_ = true;
  unsigned reads_ = 0;
  unsigned writes_ = 0;
};

}  // namespace blockmirror::test
