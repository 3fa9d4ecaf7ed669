// GatedDevice: what stands between the session and a device, so that a mirror can be left without being closed.
//
// Once the gate is frozen no further request reaches the device, and none that was held back ever completes: to the
// session it is as if the power went, which is the one kind of end that the format is made for. What the kernel holds
// already completes as usual, within the time the hardware takes. The coroutines that wait behind the gate never run
// again.
#pragma once

#include <memory>
#include <utility>

#include "../core/base/device.h"

namespace blockmirror {

struct Gate {
  bool frozen = false;  // engine thread alone; never unset
};

class GatedDevice final : public Device {
 public:
  GatedDevice(std::unique_ptr<Device> device, const Gate& gate) : device_(std::move(device)), gate_(gate) {}
  const DeviceTraits& traits() const override { return device_->traits(); }
  void submit(DeviceRequest& request) override {
    if (!gate_.frozen) device_->submit(request);
  }
  AllocationLoss allocation_loss() override { return device_->allocation_loss(); }

 private:
  const std::unique_ptr<Device> device_;
  const Gate& gate_;
};

}  // namespace blockmirror
