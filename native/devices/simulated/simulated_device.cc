#include "simulated_device.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace blockmirror {

void SimulatedDevice::submit(DeviceRequest& request) {
  BLOCKMIRROR_ASSERT(request.operation == Operation::flush || request.position + request.length <= content_.size(),
                     "a request reaches past the simulated device");
  BLOCKMIRROR_ASSERT(request.position % traits_.offset_alignment == 0 && request.length % traits_.offset_alignment == 0,
                     "a request is misaligned");
  if (!powered_) {
    runtime_.schedule(runtime_.now_ns(), [&request] { request.complete(EIO); });
    return;
  }
  if (on_submit) on_submit(request);
  in_flight_.push_back(&request);
  const Fate fate = decide ? decide(request) : Fate{};
  const std::size_t cached_at_submit = left_cache_ + unflushed_.size();
  auto event = [this, &request, fate, cached_at_submit, life = lives_] {
    if (life == lives_) settle(request, fate, cached_at_submit);
  };
  if (fate.hold) {
    held_.push_back(std::move(event));
  } else {
    runtime_.schedule(runtime_.now_ns() + fate.delay_ns, std::move(event));
  }
}

void SimulatedDevice::release_held() {
  std::vector<std::function<void()>> held = std::move(held_);
  held_.clear();
  for (auto& event : held) runtime_.schedule(runtime_.now_ns(), std::move(event));
}

SimulatedDevice::Unflushed SimulatedDevice::unflushed_of(const DeviceRequest& request) {
  Unflushed write{request.position, std::vector<std::byte>(request.length),
                  std::vector<bool>(request.length / kSector, false)};
  if (request.operation == Operation::write) std::memcpy(write.bytes.data(), request.memory, request.length);
  return write;
}

void SimulatedDevice::supersede(const DeviceRequest& request) {
  for (Unflushed& write : unflushed_) {
    for (std::size_t at = 0; at < write.bytes.size(); at += kSector) {
      const std::uint64_t position = write.position + at;
      if (position >= request.position && position < request.position + request.length)
        write.superseded[at / kSector] = true;
    }
  }
}

void SimulatedDevice::apply_write(const DeviceRequest& request) {
  Unflushed write = unflushed_of(request);
  std::copy(write.bytes.begin(), write.bytes.end(), content_.begin() + static_cast<std::ptrdiff_t>(request.position));
  if (request.durable || !traits_.volatile_cache) {
    supersede(request);
    std::copy(write.bytes.begin(), write.bytes.end(), durable_.begin() + static_cast<std::ptrdiff_t>(request.position));
  } else {
    unflushed_.push_back(std::move(write));
  }
}

void SimulatedDevice::settle(DeviceRequest& request, const Fate& fate, std::size_t cached_at_submit) {
  auto found = std::find(in_flight_.begin(), in_flight_.end(), &request);
  BLOCKMIRROR_ASSERT(found != in_flight_.end(), "a request settles that is not in flight");
  in_flight_.erase(found);
  if (fate.error == 0) {
    switch (request.operation) {
      case Operation::read:
        std::memcpy(request.memory, content_.data() + request.position, request.length);
        break;
      case Operation::write:
      case Operation::write_zeroes:
        apply_write(request);
        break;
      case Operation::flush: {
        const std::size_t count = std::max(cached_at_submit, left_cache_) - left_cache_;
        for (std::size_t i = 0; i < count; ++i) land(durable_, unflushed_[i], [] { return true; });
        unflushed_.erase(unflushed_.begin(), unflushed_.begin() + static_cast<std::ptrdiff_t>(count));
        left_cache_ += count;
        break;
      }
    }
  }
  if (on_settle) on_settle(request, fate.error);
  request.complete(fate.error);
}

void SimulatedDevice::land(std::vector<std::byte>& into, const Unflushed& write, const std::function<bool()>& lands) {
  for (std::size_t at = 0; at < write.bytes.size(); at += kSector) {
    if (!write.superseded[at / kSector] && lands())
      std::memcpy(into.data() + write.position + at, write.bytes.data() + at,
                  std::min(kSector, write.bytes.size() - at));
  }
}

void SimulatedDevice::lose_power(const std::function<bool()>& lands) {
  for (const Unflushed& write : unflushed_) land(durable_, write, lands);
  for (const DeviceRequest* request : in_flight_) {
    if (request->operation != Operation::write && request->operation != Operation::write_zeroes) continue;
    land(durable_, unflushed_of(*request), lands);
  }
  powered_ = false;
  ++lives_;  // the settlements still to come are those of a dead machine
  for (DeviceRequest* request : in_flight_) runtime_.schedule(runtime_.now_ns(), [request] { request->complete(EIO); });
  in_flight_.clear();
  held_.clear();
  lose_cache();
}

void SimulatedDevice::lose_cache() {
  left_cache_ += unflushed_.size();
  unflushed_.clear();
  content_ = durable_;
}

void SimulatedDevice::power_on() { powered_ = true; }

}  // namespace blockmirror
