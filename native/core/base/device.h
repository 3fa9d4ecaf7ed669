// Device: one way to reach the bytes of an image or of the log.
//
// Contract, the same for every implementation (io_uring, threads, simulated, later nbd):
//  - submit() takes a request and returns; on_complete is called exactly once, later, on the engine thread, from the
//    loop, never from inside submit(). Requests may complete in any order.
//  - error is 0 only when every byte was transferred: short transfers, EINTR and EAGAIN are the device's to finish
//    (bounded), end of file in the middle is EIO. Otherwise error is a positive errno and the content of the range is
//    unknown (I11): old, new or mixed.
//  - durable: on stable media when it completes (RWF_DSYNC: FUA where the disk has it, else write and flush), this
//    request's bytes only, never its neighbours'. flush: everything that completed before the flush was submitted.
//  - write_zeroes never deallocates a file's blocks: a hole would have to be allocated again in the write path.
//  - position, length and memory are aligned as traits() says; the caller asserts it.
// A request's memory belongs to the device until it completes.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <span>

#include "assert.h"
#include "extent.h"

namespace blockmirror {

inline constexpr unsigned kMaxImages = 16;  // one master and up to 15 slaves

enum class Operation : std::uint8_t { read, write, write_zeroes, flush };

// A device that does not answer in time (I15).
struct Stall {
  std::uint64_t since_ms = 0;  // when the first request was asked that is past its deadline, since 1970; 0: it answers
  Operation operation = Operation::read;  // of the oldest of them
};

struct DeviceRequest {
  Operation operation = Operation::read;
  bool durable = false;         // write, write_zeroes: on stable media at completion
  std::uint64_t position = 0;   // bytes; unused by flush
  std::uint64_t length = 0;     // bytes; unused by flush
  std::byte* memory = nullptr;  // read, write
  int error = 0;                // out: 0 or a positive errno

  void (*on_complete)(DeviceRequest& request) = nullptr;
  void* context = nullptr;  // for on_complete

  // For the device alone while it holds the request.
  DeviceRequest* next = nullptr;
  std::uint64_t transferred = 0;
  std::uint32_t attempts = 0;
  void* device_data = nullptr;

  void complete(int result) {
    error = result;
    on_complete(*this);
  }
};

enum class ForceUnitAccess : std::uint8_t { native, emulated };

struct DeviceTraits {
  std::uint64_t size = 0;                    // bytes
  std::uint32_t logical_block_size = 512;    // bytes; smallest unit of a transfer
  std::uint32_t physical_block_size = 4096;  // bytes; a torn write may destroy this much
  std::uint32_t memory_alignment = 4096;     // bytes
  std::uint32_t offset_alignment = 512;      // bytes; of positions and lengths
  bool block_device = false;
  bool read_only = false;      // the device is, however it was opened
  bool volatile_cache = true;  // false: every completed write is durable, flush may be elided
  ForceUnitAccess force_unit_access = ForceUnitAccess::emulated;
};

// Of the file of an image: it was cut short, or blocks were punched out of it, so that the bytes there are gone; or it
// shares its blocks on a full disk, so that no write there can succeed.
struct AllocationLoss {
  bool lost = false;
  std::uint64_t position = 0;  // bytes; the first that is concerned
};
// Stands for it where an errno is kept. No read or write answers it: a kernel that does is taken for EIO (transfer.cc).
inline constexpr int kLostAllocation = ENODATA;
// Stands, where an errno is kept, for other bytes read than were written, without an error. No read or write answers it.
inline constexpr int kWrongBytes = EBADMSG;

// The smallest unit in which the device can be read and written, bytes.
inline std::uint32_t transfer_unit(const DeviceTraits& traits) {
  return std::max(traits.logical_block_size, traits.offset_alignment);
}

class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceTraits& traits() const = 0;
  virtual void submit(DeviceRequest& request) = 0;
  // What the file behind the device lost, as far as the file system says. Costs a stat; a suspicion costs a walk of the
  // extents. Devices that are no files of their own lose nothing that could be asked for.
  virtual AllocationLoss allocation_loss() { return {}; }
  // False: there is nothing behind it now (host/gated_device.h), and every request fails.
  virtual bool is_present() const { return true; }
  // Nobody waits any more for what it holds, and nothing is asked of it before it has answered all of it (I15). What had not
  // begun may be answered with an error now, by this very call, and then never begins. From the loop alone.
  virtual void abandon() {}
  // Whether it holds no request. Then nothing that was asked of it can still land.
  virtual bool is_idle() const { return true; }

  class SingleOperation;
  SingleOperation read(std::uint64_t position, std::span<std::byte> into);
  SingleOperation write(std::uint64_t position, std::span<const std::byte> bytes, bool durable = false);
  SingleOperation write_zeroes(Extent extent, bool durable = false);
  SingleOperation flush();
};

// `int error = co_await device.write(...)`: one request, in the frame of the coroutine that awaits it.
class [[nodiscard]] Device::SingleOperation {
 public:
  SingleOperation(Device& device, Operation operation, Extent extent, std::byte* memory, bool durable)
      : device_(device) {
    request_.operation = operation;
    request_.durable = durable;
    request_.position = extent.position;
    request_.length = extent.length;
    request_.memory = memory;
  }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) {
    waiting_ = waiting;
    request_.context = this;
    request_.on_complete = [](DeviceRequest& request) {
      static_cast<SingleOperation*>(request.context)->waiting_.resume();
    };
    device_.submit(request_);
  }
  int await_resume() const noexcept { return request_.error; }

 private:
  Device& device_;
  DeviceRequest request_;
  std::coroutine_handle<> waiting_;
};

inline Device::SingleOperation Device::read(std::uint64_t position, std::span<std::byte> into) {
  return {*this, Operation::read, {position, into.size()}, into.data(), false};
}
inline Device::SingleOperation Device::write(std::uint64_t position, std::span<const std::byte> bytes, bool durable) {
  return {*this, Operation::write, {position, bytes.size()}, const_cast<std::byte*>(bytes.data()), durable};
}
inline Device::SingleOperation Device::write_zeroes(Extent extent, bool durable) {
  return {*this, Operation::write_zeroes, extent, nullptr, durable};
}
inline Device::SingleOperation Device::flush() { return {*this, Operation::flush, {}, nullptr, false}; }

// Set of images by index. Which of them is the master, the superblock says.
using ImageSet = std::uint16_t;
inline ImageSet image_bit(unsigned index) { return static_cast<ImageSet>(1u << index); }
inline ImageSet without(ImageSet set, ImageSet others) { return set & static_cast<ImageSet>(~others); }

// The indices of a set, in order, as it was when the loop began.
class IndicesOf {
 public:
  explicit constexpr IndicesOf(ImageSet set) : set_(set) {}
  struct Iterator {
    unsigned left;
    unsigned operator*() const { return static_cast<unsigned>(std::countr_zero(left)); }
    Iterator& operator++() {
      left &= left - 1;
      return *this;
    }
    bool operator==(const Iterator&) const = default;
  };
  Iterator begin() const { return {set_}; }
  Iterator end() const { return {0}; }

 private:
  unsigned set_;
};
inline IndicesOf indices_of(ImageSet set) { return IndicesOf(set); }

// Is told that an image answered a request with an error the moment it does, not when the last image has answered. A device
// may have lost its cache with that request and goes on answering: what it says next must not be believed by anybody (I11).
// Called on the engine thread from the loop; must not resume anything, only make it ready.
class FailureListener {
 public:
  virtual void image_failed(unsigned image, Operation operation, int error) = 0;

 protected:
  ~FailureListener() = default;
};

// One request to each of several images at once, resumed when the last has completed: "in parallel; they may complete
// at different times, a slave before the master". errors[i] is meaningful for the images of the set.
class [[nodiscard]] ParallelOperation {
 public:
  ParallelOperation(std::span<Device* const> devices, ImageSet images, const DeviceRequest& model)
      : devices_(devices), images_(images), model_(model) {}

  // Reads need a place of their own for each image; by default all requests share the model's memory.
  void set_memory(unsigned image, std::byte* memory) { memory_[image] = memory; }
  // By image, where they are not all asked for the same place. Must stay until all have answered.
  void set_positions(std::span<const std::uint64_t> positions) { positions_ = positions; }
  void report_failures(FailureListener& listener) { listener_ = &listener; }

  bool await_ready() const noexcept { return images_ == 0; }
  void await_suspend(std::coroutine_handle<> waiting) {
    waiting_ = waiting;
    for (unsigned i = 0; i < devices_.size(); ++i) pending_ += (images_ >> i) & 1u;
    for (unsigned i = 0; i < devices_.size(); ++i) {
      if (((images_ >> i) & 1u) == 0) continue;
      requests_[i] = model_;
      if (memory_[i] != nullptr) requests_[i].memory = memory_[i];
      if (!positions_.empty()) requests_[i].position = positions_[i];
      requests_[i].context = this;
      requests_[i].on_complete = [](DeviceRequest& request) {
        auto* self = static_cast<ParallelOperation*>(request.context);
        if (request.error != 0 && self->listener_ != nullptr) {
          self->listener_->image_failed(static_cast<unsigned>(&request - self->requests_.data()), request.operation,
                                        request.error);
        }
        if (--self->pending_ == 0) self->waiting_.resume();
      };
      devices_[i]->submit(requests_[i]);
    }
  }
  struct Results {
    Operation operation = Operation::write;
    ImageSet failed = 0;
    std::array<int, kMaxImages> errors{};
  };
  Results await_resume() const {
    Results results;
    results.operation = model_.operation;
    for (unsigned i = 0; i < devices_.size(); ++i) {
      if (((images_ >> i) & 1u) == 0 || requests_[i].error == 0) continue;
      results.failed |= image_bit(i);
      results.errors[i] = requests_[i].error;
    }
    return results;
  }

 private:
  std::span<Device* const> devices_;
  ImageSet images_;
  DeviceRequest model_;
  std::span<const std::uint64_t> positions_;
  FailureListener* listener_ = nullptr;
  unsigned pending_ = 0;
  std::coroutine_handle<> waiting_;
  std::array<DeviceRequest, kMaxImages> requests_;
  std::array<std::byte*, kMaxImages> memory_{};
};

}  // namespace blockmirror
