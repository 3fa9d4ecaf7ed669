// DurableMap: the fracture map of one slave, as it stands on the log: read once, begun once, and written where the debt
// changed.
//
// Invariants:
//  - I14: write() returns success only when the map holds every extent that the debt held when it was called: header and
//    sectors are written, then the log is flushed. Until then the caller lets no tail pass the one of the fracture.
//  - A map of which nothing may be believed (format/fracture_map.h) adds everything, or everything of a sector's reach.
//  - A sector is written from memory alone: the map was read before the first of them, so that no bit of another opening is
//    lost.
//  - Bounded: at most kMapLanes requests at once, each of at most kMapLaneLength bytes; sectors side by side go in one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "../base/aligned_buffer.h"
#include "../base/device.h"
#include "../base/outcome.h"
#include "../base/runtime.h"
#include "../base/task.h"
#include "../format/fracture_map.h"
#include "debt.h"

namespace blockmirror {

inline constexpr unsigned kMapLanes = 16;
inline constexpr std::size_t kMapLaneLength = 32 * 1024;  // bytes

// Memory of whoever writes or reads maps, made once: a fracture must not fail for want of it.
class MapBuffers {
 public:
  MapBuffers() : bytes_(AlignedBuffer::try_make(kMapLanes * kMapLaneLength)) {}
  bool has_memory() const { return bytes_.size() > 0; }
  std::span<std::byte> lane(unsigned index) { return bytes_.span().subspan(index * kMapLaneLength, kMapLaneLength); }
  std::span<std::byte> all() { return bytes_.span(); }

 private:
  AlignedBuffer bytes_;
};

class DurableMap {
 public:
  struct Place {
    MapIdentity identity;
    MapShape shape;
    std::uint64_t position = 0;  // of its slot on the log, bytes
    Uuid incarnation;            // of this opening
  };
  // `fresh`: the fracture is of this opening, and nothing stands on the log yet.
  DurableMap(Runtime& runtime, Device& log, MapBuffers& buffers, const Place& place, bool fresh);
  DurableMap(const DurableMap&) = delete;
  DurableMap& operator=(const DurableMap&) = delete;

  const Uuid& map_id() const { return place_.identity.map_id; }
  bool loaded() const { return loaded_; }
  // Adds what the map holds to the debt. needed: the log's tail has passed the one of the fracture, so that a map which was
  // not begun means everything, not nothing.
  Task<void> load(bool needed, Debt& into);
  // After load(). LOG_FAILED.
  Task<Outcome> write(Debt& debt);

 private:
  struct Pass;
  Task<int> write_header();
  Task<void> write_lane(Pass& pass, unsigned lane);
  void load_sectors(std::uint64_t first, std::span<const std::byte> bytes, Debt& into);
  Task<void> load_one_by_one(std::uint64_t first, std::uint64_t end, Debt& into);
  std::uint64_t sectors_per_block() const;

  Runtime& runtime_;
  Device& log_;
  MapBuffers& buffers_;
  const Place place_;
  bool loaded_;
  bool begun_ = false;
};

}  // namespace blockmirror
