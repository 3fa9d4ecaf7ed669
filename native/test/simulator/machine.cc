#include "machine.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace blockmirror::simulator {

std::uint64_t hash_of(const Disks& disks) {
  std::uint64_t hash = 0;
  for (const VolatileDisk& disk : disks) hash = mix_hash(hash + 0x632be59bd9b4e019ull) ^ disk.hash();
  return hash;
}

class Machine::Port : public Device {
 public:
  Port(Machine& machine, unsigned disk, Shape shape) : machine_(machine), disk_(disk) {
    traits_.size = machine.disks()[disk].content().size();
    traits_.memory_alignment = 512;
    if (disk == 0) {
      traits_.physical_block_size = shape.log_block;
    } else {
      traits_.logical_block_size = traits_.offset_alignment = shape.image_block;
    }
  }
  const DeviceTraits& traits() const override { return traits_; }
  void submit(DeviceRequest& request) override {
    const std::uint32_t unit = transfer_unit(traits_);
    BLOCKMIRROR_ASSERT(request.position % unit == 0 && request.length % unit == 0,
                       "a request is not aligned as its device needs it");
    BLOCKMIRROR_ASSERT(request.operation == Operation::flush || request.position + request.length <= traits_.size,
                       "a request reaches past the end of its device");
    machine_.submit(disk_, request);
  }
  AllocationLoss allocation_loss() override {
    if ((machine_.lost_blocks() >> disk_ & 1u) == 0) return {};
    if (machine_.watcher_ != nullptr && !machine_.dead_) machine_.watcher_->loss_told(disk_);
    return {true, 0};
  }

 private:
  Machine& machine_;
  unsigned disk_;
  DeviceTraits traits_;
};

Machine::Machine(Disks disks, std::uint64_t number, Watcher* watcher, Shape shape)
    : disks_(std::move(disks)),
      watcher_(watcher),
      random_(number),
      seen_(disks_.size()),
      seen_early_(disks_.size()),
      silent_(disks_.size()),
      hangs_(disks_.size(), Hang::none),
      lost_(disks_.size()) {
  for (unsigned disk = 0; disk < disks_.size(); ++disk) ports_.push_back(std::make_unique<Port>(*this, disk, shape));
}

Machine::~Machine() { BLOCKMIRROR_ASSERT(pending_.empty(), "a machine went with requests in flight"); }

Device& Machine::device(unsigned disk) { return *ports_[disk]; }

void Machine::random(std::span<std::byte> into) {
  for (std::byte& byte : into) byte = static_cast<std::byte>(random_.next());
}

void Machine::arm(Timer& timer, std::uint64_t deadline_ns) {
  disarm(timer);
  timer.deadline_ns = deadline_ns;
  timer.armed = true;
  timers_.push_back(&timer);
}

void Machine::disarm(Timer& timer) {
  timer.armed = false;
  std::erase(timers_, &timer);
}

Timer& Machine::next_timer() const {
  return **std::min_element(timers_.begin(), timers_.end(),
                            [](const Timer* one, const Timer* other) { return one->deadline_ns < other->deadline_ns; });
}

bool Machine::timer_competes() const {
  return !timers_.empty() && next_timer().deadline_ns <= now_ns_ + kSlowRequest_ns;
}

bool Machine::fire_timer() {
  if (timers_.empty()) return false;
  Timer& timer = next_timer();
  now_ns_ = std::max(now_ns_, timer.deadline_ns);
  disarm(timer);
  timer.fire(timer.context);
  settle_ready();
  return true;
}

namespace {

// A repair alone writes durably what the master cannot read and a slave holds already.
bool is_repair(const Disks& disks, const DeviceRequest& request, const PendingWrite& write) {
  if (!request.durable || disks[1].content().is_readable(request.position, request.length)) return false;
  const auto holds_all = [&](const VolatileDisk& disk) {
    for (std::size_t i = 0; i < write.sectors.size(); ++i) {
      if (!(disk.content().get(write.first_sector + i) == write.sectors[i])) return false;
    }
    return true;
  };
  return std::any_of(disks.begin() + 2, disks.end(), holds_all);
}

void lie_about(const std::vector<std::uint64_t>& lying, PendingWrite& write) {
  for (std::uint64_t sector : lying) {
    const std::uint64_t index = sector - write.first_sector;
    if (index < write.sectors.size()) write.sectors[index] = lie_of(sector);
  }
}

}  // namespace

// --- requests

void Machine::submit(unsigned disk, DeviceRequest& request) {
  Pending pending;
  pending.request = &request;
  pending.disk = disk;
  pending.number = submissions_++;
  pending.since_ns = now_ns_;
  if (!dead_) {
    const auto late = [&](const Pending& other) { return other.disk == disk && is_late(other); };
    if (watcher_ != nullptr && disk > 1 && std::any_of(pending_.begin(), pending_.end(), late))
      watcher_->asked_while_late(disk);
    if (watcher_ != nullptr) watcher_->submitted(disk, request);
    if (request.operation == Operation::flush) pending.flush_mark = disks_[disk].flush_mark();
    if (request.operation == Operation::write || request.operation == Operation::write_zeroes) {
      pending.write.first_sector = request.position / kSimulatedSector;
      pending.write.durable = request.durable;
      pending.write.sectors.resize(request.length / kSimulatedSector);
      if (request.operation == Operation::write) capture(pending);
      pending.repairs = disk == 1 && is_repair(disks_, request, pending.write);
      if (pending.repairs) lie_about(lying_, pending.write);
    }
  }
  pending_.push_back(std::move(pending));
}

void Machine::capture(Pending& pending) const {
  for (std::size_t i = 0; i < pending.write.sectors.size(); ++i) {
    pending.write.sectors[i] = SectorRef::of(pending.request->memory + i * kSimulatedSector);
  }
}

bool Machine::memory_changed(const Pending& pending) const {
  if (pending.request->operation != Operation::write) return false;
  for (std::size_t i = 0; i < pending.write.sectors.size(); ++i) {
    if (!lying_.empty() && pending.write.sectors[i] == lie_of(pending.write.first_sector + i)) continue;
    const std::byte* now = pending.request->memory + i * kSimulatedSector;
    if (std::memcmp(now, pending.write.sectors[i].bytes(), kSimulatedSector) != 0) return true;
  }
  return false;
}

unsigned Machine::completable() const {
  if (dead_) return static_cast<unsigned>(pending_.size());
  return static_cast<unsigned>(std::count_if(pending_.begin(), pending_.end(),
                                             [&](const Pending& pending) { return !is_held_up(pending.disk); }));
}

// Its deadline has passed, and so has every timer that was due by then.
bool Machine::is_late(const Pending& pending) const {
  const std::uint64_t deadline = pending.since_ns + timeout_ns_;
  if (timeout_ns_ == 0 || deadline > now_ns_) return false;
  return timers_.empty() || next_timer().deadline_ns > deadline;
}

bool Machine::may_recover() const { return std::find(hangs_.begin(), hangs_.end(), Hang::for_now) != hangs_.end(); }

void Machine::recover() { std::replace(hangs_.begin(), hangs_.end(), Hang::for_now, Hang::none); }

bool Machine::any_under_way(std::uint64_t number) const {
  return std::any_of(pending_.begin(), pending_.end(), [&](const Pending& pending) { return pending.number < number; });
}

std::size_t Machine::place_of(unsigned index) const {
  for (std::size_t place = 0;; ++place) {
    BLOCKMIRROR_ASSERT(place < pending_.size(), "a completion that is not there was chosen");
    if (!dead_ && is_held_up(pending_[place].disk)) continue;
    if (index-- == 0) return place;
  }
}

void Machine::complete(unsigned index) {
  const auto found = pending_.begin() + static_cast<std::ptrdiff_t>(place_of(index));
  now_ns_ += 1000;
  Pending pending = std::move(*found);
  pending_.erase(found);
  int error = EIO;
  if (!dead_) {
    // A device reads the memory when it likes: what it gets is what stands there by now.
    if (memory_changed(pending)) {
      if (watcher_ != nullptr) watcher_->changed(pending.disk, *pending.request);
      capture(pending);
    }
    bool again = false;
    error = strike(pending, again);
    if (again) {
      pending_.push_back(std::move(pending));
      return;
    }
    if (error == 0) carry_out(pending);
    if (watcher_ != nullptr) watcher_->settled(pending.disk, *pending.request, error);
  }
  pending.request->complete(error);
  settle_ready();
}

void Machine::carry_out(Pending& pending) {
  VolatileDisk& disk = disks_[pending.disk];
  switch (pending.request->operation) {
    case Operation::read:
      disk.content().read(pending.request->position, {pending.request->memory, pending.request->length});
      break;
    case Operation::write:
    case Operation::write_zeroes:
      for (std::size_t i = 0; i < pending.write.sectors.size(); ++i) {
        disk.write(pending.write.first_sector + i, taken(pending, i), pending.write.durable);
      }
      break;
    case Operation::flush:
      disk.flush(pending.flush_mark);
      break;
  }
}

SectorRef lie_of(std::uint64_t sector) {
  std::array<std::byte, kSimulatedSector> bytes;
  bytes.fill(static_cast<std::byte>(0x5a));
  std::memcpy(bytes.data(), &sector, sizeof(sector));
  return SectorRef::of(bytes.data());
}

SectorRef Machine::taken(const Pending& pending, std::size_t index) {
  const SectorRef& content = pending.write.sectors[index];
  const std::uint64_t sector = pending.write.first_sector + index;
  const auto found = std::find(lying_.begin(), lying_.end(), sector);
  if (pending.disk != 1 || found == lying_.end()) return content;
  lying_.erase(found);
  if (!(content == lie_of(sector))) return content;
  lied_ = true;
  if (on_fault) on_fault(Fault::lying_sector, 1);
  return content;
}

void Machine::die() {
  dead_ = true;
  for (Pending& pending : pending_) pending.write.sectors.clear();
}

// --- faults

void Machine::plan_faults(std::vector<PlannedFault> faults, std::uint64_t seed) {
  faults_ = std::move(faults);
  fault_random_ = Random(seed);
}

// The two images that lie on one disk: the named one and the next, after the last slave the first.
std::array<unsigned, 2> Machine::sharing(const PlannedFault& fault) const {
  const unsigned first = std::max(1u, fault.disk);
  return {first, first + 1 < disks_.size() ? first + 1 : 2};
}

bool Machine::is_due(const PlannedFault& fault, const Pending& pending) const {
  const Operation operation = pending.request->operation;
  if (fault.fault == Fault::repair_error) return pending.repairs && seen_repairs_ == fault.ordinal + 1;
  const bool writes = operation == Operation::write || operation == Operation::write_zeroes;
  const auto& seen = fault.early ? seen_early_[pending.disk] : seen_[pending.disk];
  const unsigned count =
      writes ? seen[static_cast<unsigned>(Operation::write)] + seen[static_cast<unsigned>(Operation::write_zeroes)]
             : seen[static_cast<unsigned>(operation)];
  const auto [one, other] = sharing(fault);
  const bool shared = fault.fault == Fault::shared_disk;
  const bool disk_fits = shared ? pending.disk == one || pending.disk == other : pending.disk == fault.disk;
  if (!disk_fits || count != fault.ordinal + 1) return false;
  switch (fault.fault) {
    case Fault::write_error:
    case Fault::short_transfer:
    case Fault::stops_answering:
    case Fault::hangs:
    case Fault::device_reset:
    case Fault::device_returns:
    case Fault::shared_disk:
    case Fault::lost_allocation:
      return writes;
    case Fault::flush_error:
      return operation == Operation::flush;
    case Fault::read_error:
      return operation == Operation::read;
    case Fault::try_again:
      return true;
    default:
      return false;
  }
}

// Any part of it reached the disk.
void Machine::land_some(Pending& pending) {
  for (std::size_t i = 0; i < pending.write.sectors.size(); ++i) {
    if (fault_random_.one_in(2)) continue;
    disks_[pending.disk].write(pending.write.first_sector + i, pending.write.sectors[i], false);
  }
}

void Machine::drop_cache(unsigned disk) {
  disks_[disk].lose_cache([&](const VolatileDisk::Unflushed&) { return fault_random_.one_in(2); });
  if (watcher_ != nullptr) watcher_->cache_lost(disk);
}

void Machine::reset_device(unsigned disk) {
  lost_[disk] = true;
  drop_cache(disk);
}

int Machine::strike(Pending& pending, bool& again) {
  if (lost_[pending.disk]) return EIO;
  const Operation operation = pending.request->operation;
  const DeviceRequest& request = *pending.request;
  if (operation == Operation::read && !disks_[pending.disk].content().is_readable(request.position, request.length)) {
    return EIO;
  }
  if (faults_.empty() || pending.put_back > 0) return 0;
  const bool counts = counting_ || operation == Operation::read;
  if (counts && pending.repairs) ++seen_repairs_;
  if (counts) ++seen_[pending.disk][static_cast<unsigned>(operation)];
  ++seen_early_[pending.disk][static_cast<unsigned>(operation)];
  for (const PlannedFault& fault : faults_) {
    if ((!counts && !fault.early) || !is_due(fault, pending)) continue;
    struck_.push_back({fault.fault, pending.disk, operation, request.position});
    if (on_fault && fault.early) on_fault(Fault::fault_at_opening, pending.disk);
    if (on_fault) on_fault(fault.fault, pending.disk);
    switch (fault.fault) {
      case Fault::short_transfer:
        land_some(pending);
        [[fallthrough]];
      case Fault::try_again:
        ++pending.put_back;
        again = true;
        return 0;
      case Fault::lost_allocation:
        lose_blocks(1u << pending.disk);
        return 0;
      case Fault::stops_answering:
        silent_[pending.disk] = true;
        again = true;
        return 0;
      case Fault::hangs:
        hangs_[pending.disk] = fault_random_.one_in(3) ? Hang::for_good : Hang::for_now;
        again = true;
        return 0;
      case Fault::flush_error:
        drop_cache(pending.disk);
        return EIO;
      case Fault::shared_disk:
        for (unsigned disk : sharing(fault)) reset_device(disk);
        return EIO;
      case Fault::device_returns:
      case Fault::repair_error:
        land_some(pending);
        drop_cache(pending.disk);
        return EIO;
      case Fault::device_reset:
        land_some(pending);
        reset_device(pending.disk);
        return EIO;
      case Fault::write_error:
        land_some(pending);
        return EIO;
      default:
        return EIO;
    }
  }
  return 0;
}

}  // namespace blockmirror::simulator
