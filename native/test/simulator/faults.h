// The faults that are injected, each with a name that the certificate counts it by.
//
// A planned fault strikes the `ordinal`-th request of its kind to its disk, counted from the moment the mirror runs or,
// for read faults, from the start of the opening. How to add one: docs/TESTING.md.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace blockmirror::simulator {

// X(name, plain words)
#define SIMULATED_FAULTS(X)                                                                                       \
  X(power_loss, "power is lost, every cache with it")                                                             \
  X(process_death, "the process dies, caches stay")                                                               \
  X(cache_lost_unseen, "one disk loses its cache while no process has it open")                                   \
  X(torn_write, "a write of several sectors lands in part")                                                       \
  X(late_landing, "a request lands after its sender died")                                                        \
  X(write_error, "a write is answered with EIO, any part of it landed")                                           \
  X(read_error, "a read is answered with EIO")                                                                    \
  X(unreadable_sector, "a sector cannot be read until it is written")                                             \
  X(spoilt_sector, "a sector cannot be read, whatever is written to it")                                          \
  X(lying_sector, "a sector takes a repair without an error, and holds other bytes")                              \
  X(repair_error, "a repair of the master is answered with EIO, and the master has lost its cache")               \
  X(fault_at_opening, "a fault of a device while the mirror is opened or recovered")                              \
  X(flush_error, "a flush is answered with EIO, and any part of the cache is dropped")                            \
  X(short_transfer, "a write is carried out in two parts")                                                        \
  X(try_again, "a request is put back (EAGAIN) and carried out later")                                            \
  X(stops_answering, "a device answers nothing any more")                                                         \
  X(hangs, "a device answers nothing for a while, or never again, and requests have a deadline")                  \
  X(device_reset, "a device fails everything from now on, its cache is gone")                                     \
  X(device_returns, "a device fails a write, has lost its cache, and answers again")                              \
  X(shared_disk, "two images on one disk fail together")                                                          \
  X(lost_allocation, "the file of an image loses blocks, and answers no error")                                   \
  X(rotten_sector, "a sector of a slave's data holds garbage, and no read fails")                                 \
  X(damaged_log_sector, "a sector of the ring holds garbage")                                                     \
  X(unreadable_log_sector, "a record of the ring cannot be read")                                                 \
  X(stale_log_record, "a record of the ring holds its older content, though it was durable")                      \
  X(damaged_superblock_copy, "one copy of the superblock holds garbage")                                          \
  X(absurd_update_number, "an older copy of the superblock is whole, and claims a number that no mirror reaches") \
  X(damaged_label_copy, "one copy of a label holds garbage")                                                      \
  X(restored_image, "an image is restored from an older copy")                                                    \
  X(restored_slave, "a slave that is out is restored from an older copy")                                         \
  X(restored_log, "the log is restored from an older copy")                                                       \
  X(restored_image_generation, "an image is restored from a copy of this opening that two fractures came after")  \
  X(restored_log_generation, "the log is restored from a copy of this opening that a fracture came after")

enum class Fault : std::uint8_t {
#define X(name, words) name,
  SIMULATED_FAULTS(X)
#undef X
};
inline constexpr std::array kFaultNames = {
#define X(name, words) std::string_view(#name),
    SIMULATED_FAULTS(X)
#undef X
};
inline constexpr std::array kFaultWords = {
#define X(name, words) std::string_view(words),
    SIMULATED_FAULTS(X)
#undef X
};
inline constexpr std::size_t kFaults = kFaultNames.size();

struct PlannedFault {
  Fault fault = Fault::write_error;
  unsigned disk = 0;     // 0 is the log, 1 the master, 2.. the slaves
  unsigned ordinal = 0;  // which request it strikes; media faults: which sector or record
  bool early = false;    // counted from the start of the opening, whatever it is
};

}  // namespace blockmirror::simulator
