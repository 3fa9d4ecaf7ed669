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
#include "../base/identity.h"
#include "../base/outcome.h"

namespace blockmirror {

inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr std::uint64_t kSuperblockLength = 20480;  // bytes of one copy
inline constexpr std::uint64_t kSuperblockCopyA = 0;       // bytes from the start of the log
inline constexpr std::uint64_t kSuperblockCopyB = 64 * 1024;
inline constexpr std::uint64_t kHistoryPosition = 128 * 1024;  // reserved: ring of state changes
inline constexpr std::uint64_t kHistoryLength = 64 * 1024;
inline constexpr std::uint64_t kHeldLabelsPosition = 192 * 1024;  // reserved: labels of images adopted as they are
inline constexpr std::uint64_t kHeldLabelsLength = 256 * 1024;
inline constexpr std::uint64_t kRingPosition = 512 * 1024;
inline constexpr std::uint64_t kMapLength = 1024 * 1024;  // fracture map of one slave
inline constexpr std::uint64_t kPositionLimit = std::uint64_t{1}
                                                << 63;  // every position and length on disk is below it
inline constexpr std::uint32_t kMaximumBlockSize = 64 * 1024;
inline constexpr std::uint32_t kMaximumPhysicalBlockSize = 1024 * 1024;
inline constexpr std::uint32_t kMaximumRecordSize = 64 * 1024;
inline constexpr std::uint32_t kMinimumRecordCount = 8;
// What a look at a log may cost is bounded by it: that much is read once or twice, whatever the superblock says.
inline constexpr std::uint64_t kMaximumRingLength = std::uint64_t{1024} * 1024 * 1024;  // bytes
inline constexpr std::uint32_t kMaximumRecordCount = 256 * 1024;                        // of the smallest size
inline constexpr std::size_t kImagePathLength = 767;

enum class Lifecycle : std::uint8_t {
  creating = 0,  // formatted, the first copy of master to slaves is not proven yet
  opening = 1,   // a new incarnation is in the log but perhaps not in every label yet
  open = 2,      // in use, or crashed
  sealed = 3,    // closed cleanly
};

enum class PathKind : std::uint8_t { absolute = 0, relative = 1 };

struct ImageRecord {
  Uuid uuid;
  Role role = Role::slave;
  ImageState state = ImageState::synchronizing;
  PathKind path_kind = PathKind::absolute;
  std::string name;
  std::string path;
  std::uint64_t device_size = 0;     // bytes, when the mirror was made
  std::uint64_t label_position = 0;  // absolute, bytes: an image that grew keeps its label
  std::uint64_t map_position = 0;    // absolute in the log, bytes
  std::uint64_t map_length = 0;
  std::int32_t error = 0;            // errno that failed it; 0: none, or none is known
  std::uint64_t changed_at_ms = 0;   // when its state changed last; 0: not since the mirror was made
  std::uint64_t bytes_differed = 0;  // found by a verify, and neither mended nor verified equal since
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
};

struct RingGeometry {
  std::uint64_t position = 0;     // bytes
  std::uint32_t record_size = 0;  // bytes, a multiple of the log's physical block
  std::uint32_t record_count = 0;
  std::uint32_t in_flight_limit = 0;  // records written at once; bounds the window of a torn tail
  std::uint64_t length() const { return std::uint64_t{record_size} * record_count; }
};

struct Superblock {
  std::uint64_t compatible_features = 0;
  std::uint64_t incompatible_features = 0;
  std::uint64_t update = 0;  // grows with every update; the higher valid copy is the newer one
  Uuid mirror_uuid;
  Uuid log_uuid;                          // of this formatting: no record of an earlier one is ever believed
  std::uint64_t size = 0;                 // bytes of the mirror
  std::uint32_t block_size = 0;           // bytes; positions and lengths of requests are multiples of it
  std::uint32_t physical_block_size = 0;  // bytes; intents and range locks are widened to it
  std::uint64_t log_size = 0;
  RingGeometry ring;
  Generation generation;
  std::array<GenerationMark, kGenerationHistory> history{};  // newest first
  std::uint64_t open_count = 0;
  Uuid incarnation;
  Uuid previous_incarnation;
  Lifecycle lifecycle = Lifecycle::creating;
  std::uint64_t first_sequence = 0;   // of this incarnation
  std::uint64_t sealed_sequence = 0;  // last record when it was sealed
  Owner owner;
  std::uint64_t created_at_ms = 0;
  RecoverySummary last_recovery;
  VerifySummary last_verify;
  std::vector<ImageRecord> images;  // [0] is the master
};

// Whether a superblock takes the path: no empty, `.` or `..` component, and a slash in front where it is absolute alone.
bool path_is_valid(const std::string& path, PathKind kind);
// Writes one copy; `into` is kSuperblockLength bytes.
void encode_superblock(const Superblock& superblock, std::span<std::byte> into);
// NOT_A_LOG (no magic), LOG_DAMAGED (CRC or content, with its reason), UNKNOWN_VERSION, UNKNOWN_FEATURE.
Outcome decode_superblock(std::span<const std::byte> copy, Superblock& into);
// Chooses between the copies; an empty span stands for a copy that cannot be read.
Outcome choose_superblock(std::span<const std::byte> copy_a, std::span<const std::byte> copy_b, Superblock& into);

// Bytes that a log with that ring needs, map areas included.
std::uint64_t log_length(std::uint32_t record_count, std::uint32_t record_size);
// Where formatting puts the fracture map of image `index` (1.. ; the master has none): kMapLength bytes.
std::uint64_t map_position(std::uint32_t record_count, std::uint32_t record_size, unsigned index);

}  // namespace blockmirror
