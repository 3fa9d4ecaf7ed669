// WatchedDevice: what stands between the session and each of its devices, so that no wait is without an end (I15).
//
// It measures how long each request takes, and looks at the oldest one when its deadline has passed:
//  - Of a slave every request under way is answered with ETIMEDOUT, which fractures it by the ordinary way. The device keeps
//    those requests and the memory that they name (held_memory.h) until it answers, and is told that nobody waits for them
//    (Device::abandon): what it has not begun it need not begin; what is asked of it meanwhile is
//    answered with ETIMEDOUT at once and does not reach it.
//  - Of the master and of the log nothing is answered: the mirror has nothing else to go on with. It says since when it
//    waits.
// A device is called stalled from its first deadline that passes until none of its requests is past its deadline.
//
// Invariants:
//  - The device below sees records of this, never the caller's: a caller's request may go before the device has answered.
//  - I11, I15: nothing is asked of a slave while an older request to it is out, not even its label.
//  - A late answer counts for nothing: it ends the hold on its memory, and is not passed on.
//  - One timer, armed only while requests are under way; all have the same time, so that the oldest is the first due.
//  - Records come from a free list: after warm-up a request allocates nothing.
#pragma once

#include <cstdint>
#include <memory>

#include "../base/device.h"
#include "../base/held_memory.h"
#include "../base/latency.h"
#include "../base/runtime.h"

namespace blockmirror {

class WatchedDevice final : public Device {
 public:
  enum class PastDeadline : std::uint8_t { answer, tell };

  WatchedDevice(Runtime& runtime, Device& device, PastDeadline past_deadline, DeviceLatency* latency);
  // One that the device still owes answers is left to them with its records: see leave().
  ~WatchedDevice() override;
  WatchedDevice(const WatchedDevice&) = delete;
  WatchedDevice& operator=(const WatchedDevice&) = delete;

  // 0: none. Of requests under way too.
  void set_timeout(std::uint64_t timeout_ns);

  bool is_present() const override { return device_.is_present(); }
  bool is_idle() const override { return device_.is_idle(); }
  const DeviceTraits& traits() const override { return device_.traits(); }
  void submit(DeviceRequest& request) override;
  // A device that does not answer is not asked: the question itself might wait.
  AllocationLoss allocation_loss() override { return stalled() ? AllocationLoss{} : device_.allocation_loss(); }

  bool stalled() const { return stall_.since_ms != 0; }
  const Stall& stall() const { return stall_; }
  // How many requests the device owes an answer.
  std::uint32_t owed() const { return under_way_ + late_; }

  // Whoever has it has no use for it any more. It goes, at once or with the last answer that the device owes; the device
  // must stay until then, and the runtime until now.
  static void leave(std::unique_ptr<WatchedDevice> device);

 private:
  struct Record {
    DeviceRequest inner;
    HeldMemory::Hold hold;
    DeviceRequest* outer = nullptr;  // null: answered before the device did
    WatchedDevice* watched = nullptr;
    std::uint64_t since_ns = 0;
    Record* previous = nullptr;  // under way: older
    Record* next = nullptr;      // under way: younger; or in the free list
  };

  Record& take_record();
  void append(Record& record);
  void remove(Record& record);
  static void answered(DeviceRequest& inner);
  void answered(Record& record, int error);
  void arm();
  static void timer_fired(void* watched);
  void look();
  void give_up();
  void refuse(DeviceRequest& request);
  static void refuse_fired(void* watched);
  bool is_overdue() const;
  void settle_stall();

  Runtime& runtime_;
  Device& device_;
  const PastDeadline past_deadline_;
  DeviceLatency* const latency_;
  std::uint64_t timeout_ns_ = 0;
  Stall stall_;
  Record* oldest_ = nullptr;
  Record* youngest_ = nullptr;
  Record* free_ = nullptr;
  std::uint32_t under_way_ = 0;  // not answered upwards
  std::uint32_t late_ = 0;       // answered upwards, not by the device
  bool left_ = false;
  DeviceRequest* refused_ = nullptr;  // to be answered from the loop, oldest first
  DeviceRequest* last_refused_ = nullptr;
  Timer timer_;
  Timer refusal_timer_;
};

}  // namespace blockmirror
