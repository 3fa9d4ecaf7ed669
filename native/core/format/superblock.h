// Superblock of the log: what the mirror is, who is in sync, and who has it open. Pure: bytes in, decisions out.
//
// Invariants:
//  - Two copies that share no physical block. An update writes copy A, durable, then copy B, durable, and is done when
//    both are: the loss of either copy alone never takes back a fracture (I5) or a generation (I8).
//  - Little-endian, fixed offsets (docs/FORMAT.md), CRC32C over the whole copy, padding zero and covered.
//  - An unknown version or incompatible feature is refused by name; nothing is guessed from such a copy.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "../base/device.h"
#include "../base/headroom.h"
#include "../base/identity.h"
#include "../base/outcome.h"
#include "image_record.h"
#include "layout.h"

namespace blockmirror {

enum class Lifecycle : std::uint8_t {
  creating = 0,  // formatted, the first copy of master to slaves is not proven yet
  opening = 1,   // a new incarnation is in the log but perhaps not in every label yet
  open = 2,      // in use, or crashed
  sealed = 3,    // closed cleanly
};

struct Owner {
  std::string host;
  Uuid boot_id;
  std::uint32_t process = 0;
  std::uint64_t started_at_ms = 0;
  // A process number alone may be another process by now, or one of another namespace.
  std::uint64_t process_started = 0;  // ticks since boot, as in /proc/PID/stat (proc(5), field 22); 0: not known
  std::uint64_t pid_namespace = 0;    // inode of /proc/self/ns/pid; 0: not known
};

struct RecoverySummary {
  std::uint64_t finished_at_ms = 0;  // 0: never recovered
  std::uint64_t live_intents = 0;
  std::uint64_t bytes_covered = 0;
  std::uint64_t bytes_copied = 0;
  std::uint64_t duration_ms = 0;
  bool read_back = false;
  bool full_compare = false;
};

struct VerifySummary {
  std::uint64_t finished_at_ms = 0;  // 0: never verified
  std::uint64_t bytes_compared = 0;
  std::uint64_t bytes_differed = 0;  // over all slaves
  std::uint64_t bytes_repaired = 0;  // of those that differed
};

enum class LogState : std::uint8_t {
  current = 0,
  arriving = 1,  // it takes over from its predecessor, which is still the mirror's log
  moved = 2,     // another log has taken over; it says which
};
enum class PairedLogState : std::uint8_t { current = 0, lost = 1 };

// Another log of the mirror, by its UUID; zero: none.
struct LogReference {
  Uuid uuid;
  PathKind path_kind = PathKind::absolute;
  std::string path;
  bool exists() const { return !uuid.is_zero(); }
  friend bool operator==(const LogReference&, const LogReference&) = default;
};

enum class RejoinPolicy : std::uint8_t { automatic = 0, manual = 1 };
enum class MasterFailurePolicy : std::uint8_t { stop = 0, promote = 1 };

// Policies::wait_for_images_ms: until they come.
inline constexpr std::uint64_t kWaitForever = kLargestSetting;

struct Policies {
  std::uint8_t minimum_in_sync = 1;  // images, the master counted
  RejoinPolicy rejoin = RejoinPolicy::automatic;
  MasterFailurePolicy on_master_failure = MasterFailurePolicy::stop;
  std::uint64_t device_timeout_ms = 30'000;  // 0: none
  std::uint64_t late_window_ms = 120'000;
  std::uint64_t resync_rate = 0;              // bytes a second; 0: automatic
  std::uint64_t wait_for_images_ms = 10'000;  // kWaitForever: until they come
  friend bool operator==(const Policies&, const Policies&) = default;
};

struct Superblock {
  std::uint64_t compatible_features = 0;
  std::uint64_t incompatible_features = 0;
  std::uint64_t update = 0;  // grows with every update; the higher valid copy is the newer one
  Uuid mirror_uuid;
  Uuid log_uuid;                          // of this formatting: no record of an earlier one is ever believed
  std::uint64_t size = 0;                 // bytes of the mirror
  std::uint64_t pending_size = 0;         // that a grow is on its way to; 0: none
  std::uint32_t block_size = 0;           // bytes; positions and lengths of requests are multiples of it
  std::uint32_t physical_block_size = 0;  // bytes; intents and range locks are widened to it
  std::uint64_t log_size = 0;
  RingGeometry ring;
  MapGeometry maps;
  std::uint8_t master = 0;      // index of the image that is the master
  std::uint8_t max_images = 0;  // slots for maps
  LogState log_state = LogState::current;
  // Requests were served while slaves owe what a crash left: what the master cannot read of it is chosen from no slave any more.
  bool served_since_crash = false;
  Generation generation;
  std::array<GenerationMark, kGenerationHistory> history{};  // newest first
  std::uint64_t open_count = 0;
  Uuid incarnation;
  Uuid previous_incarnation;
  Lifecycle lifecycle = Lifecycle::creating;
  std::uint64_t first_sequence = 0;   // of this incarnation
  std::uint64_t sealed_sequence = 0;  // last record when it was sealed
  Policies policies;
  Owner owner;
  std::uint64_t created_at_ms = 0;
  RecoverySummary last_recovery;
  VerifySummary last_verify;
  LogReference paired_log;  // the other of a set of two
  PairedLogState paired_state = PairedLogState::current;
  LogReference predecessor;         // of a log that is arriving, or came by a move
  LogReference moved_to;            // of a log that moved
  std::vector<ImageRecord> images;  // by their index; the last one is in use, others may not be

  Role role_of(unsigned image) const { return image == master ? Role::master : Role::slave; }
  ImageSet slaves() const {
    ImageSet set = 0;
    for (unsigned i = 0; i < images.size(); ++i) {
      if (i != master && images[i].in_use()) set |= image_bit(i);
    }
    return set;
  }
  MapShape map_shape() const { return {size, maps.unit}; }
};

// Writes one copy; `into` is kSuperblockLength bytes.
void encode_superblock(const Superblock& superblock, std::span<std::byte> into);
// NOT_A_LOG (no magic), LOG_DAMAGED (CRC or content, with its reason), UNKNOWN_VERSION (position: which), UNKNOWN_FEATURE.
Outcome decode_superblock(std::span<const std::byte> copy, Superblock& into);
// Chooses between the copies; an empty span stands for a copy that cannot be read.
Outcome choose_superblock(std::span<const std::byte> copy_a, std::span<const std::byte> copy_b, Superblock& into);

}  // namespace blockmirror
