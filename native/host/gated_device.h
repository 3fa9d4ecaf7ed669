// GatedDevice: what stands between the session and the device of the log or of an image. It stays for as long as the
// session does; the device behind it may come and go while a mirror runs.
//
// Invariants:
//  - Once the gate is frozen no further request reaches the device, and none that was held back ever completes: to the
//    session it is as if the power went, which is the one kind of end that the format is made for. What the kernel holds
//    already completes as usual, within the time the hardware takes. The coroutines that wait behind the gate never run
//    again.
//  - With no device behind it it is not present, and whatever is asked of it all the same is answered ENODEV, from the
//    loop like any other answer.
//  - A device goes only when it holds no request (is_idle): nothing of it may land on memory or on a disk afterwards.
#pragma once

#include <cerrno>
#include <memory>
#include <utility>

#include "../core/base/assert.h"
#include "../core/base/device.h"
#include "../core/base/runtime.h"
#include "../core/base/task.h"

namespace blockmirror {

struct Gate {
  bool frozen = false;  // engine thread alone; never unset
};

class GatedDevice final : public Device {
 public:
  GatedDevice(Runtime& runtime, const Gate& gate) : runtime_(runtime), gate_(gate) {}

  void put(std::unique_ptr<Device> device) {
    BLOCKMIRROR_ASSERT(!device_, "a device is put in the place of another one");
    device_ = std::move(device);
  }
  void let_go() {
    BLOCKMIRROR_ASSERT(is_idle(), "a device goes while it holds requests");
    device_.reset();
  }

  bool is_present() const override { return device_ != nullptr && device_->is_present(); }
  bool is_idle() const override { return device_ == nullptr || device_->is_idle(); }
  const DeviceTraits& traits() const override { return device_ ? device_->traits() : kNoTraits; }
  void submit(DeviceRequest& request) override {
    if (gate_.frozen) return;
    if (device_) return device_->submit(request);
    spawn(refuse(runtime_, request));
  }
  void abandon() override {
    if (device_) device_->abandon();
  }
  AllocationLoss allocation_loss() override { return device_ ? device_->allocation_loss() : AllocationLoss{}; }

 private:
  struct NextTurn : Waiter {
    explicit NextTurn(Runtime& of) : runtime(of) {}
    Runtime& runtime;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiting) {
      handle = waiting;
      runtime.make_ready(*this);
    }
    void await_resume() const noexcept {}
  };
  static Task<void> refuse(Runtime& runtime, DeviceRequest& request) {
    co_await NextTurn(runtime);
    request.complete(ENODEV);
  }

  static constexpr DeviceTraits kNoTraits{.memory_alignment = 512};

  Runtime& runtime_;
  const Gate& gate_;
  std::unique_ptr<Device> device_;
};

}  // namespace blockmirror
