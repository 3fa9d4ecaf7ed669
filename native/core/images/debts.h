// Debts: what each slave owes, in memory and in the maps of the log. A slave that receives writes and owes nothing has one
// too, so that its fracture needs no memory.
//
// Invariants:
//  - I14: as long as a slave is out, or is being resynced, the durable union of live intents and its map names all that it
//    owes. write_maps() is what the log waits for before it retires anything or moves its tail (IntentLog::require_maps).
//  - A debt of a map that was not read yet is not known: it is read before anything is written over it, or paid.
//  - Everything is durable as a flag of the image's entry before a tail may pass.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "../base/device.h"
#include "../base/extent.h"
#include "../base/outcome.h"
#include "../base/runtime.h"
#include "../base/task.h"
#include "../format/superblock.h"
#include "debt.h"
#include "durable_map.h"

namespace blockmirror {

class Debts {
 public:
  Debts(Runtime& runtime, Superblock& superblock);

  // Whether there is memory for the maps of any fracture to come. It is taken once.
  bool has_memory() const { return buffers_.has_memory(); }
  // Of an opening: takes the debts that the superblock records. `tail` as the ring was scanned. False: no memory.
  bool begin(Device& log, std::uint64_t tail);
  bool begun() const { return log_ != nullptr; }

  Debt& of(unsigned slave) { return *debts_[slave]; }
  const Debt& of(unsigned slave) const { return *debts_[slave]; }
  // Whether what it owes is in memory: its map was read, or it has none.
  bool knows(unsigned slave) const { return debts_[slave].has_value() && (!maps_[slave] || maps_[slave]->loaded()); }
  // Slaves whose debt is kept: out of the mirror, or being resynced.
  ImageSet owing() const;
  // Of those slaves: that may differ from the master somewhere in the extent, and anywhere in it.
  ImageSet owing_in(ImageSet slaves, Extent extent) const;
  ImageSet owing_all_of(ImageSet slaves, Extent extent) const;
  void owe(ImageSet slaves, Extent extent);
  void owe_everything(ImageSet slaves);

  // The slave goes out, and its entry has a new map id: what it owes from here on is written to a map of its own.
  void begin_map(unsigned slave);
  // The slave owes nothing any more.
  void end(unsigned slave);
  // It has no map any more: everything is owed, and recorded as such.
  void end_map(unsigned slave) { maps_[slave].reset(); }
  // Whether anything has to be written before the log may retire.
  bool any_map() const;

  // Reads the map of that slave, if it was not read yet.
  Task<void> load(unsigned slave);
  // Reads what was not read yet, and writes what changed. After it `recorded` tells whether an entry changed, which has to
  // become durable before a tail moves. LOG_FAILED.
  Task<Outcome> write_maps(bool& recorded);

 private:
  DurableMap::Place place_of(unsigned slave) const;
  bool take_from_ring(unsigned slave);

  Runtime& runtime_;
  Superblock& superblock_;
  Device* log_ = nullptr;
  std::uint64_t tail_ = 0;
  MapBuffers buffers_;
  std::array<std::optional<Debt>, kMaxImages> debts_;
  // Shared with whoever writes one: a slave may be paid, and fail again, meanwhile.
  std::array<std::shared_ptr<DurableMap>, kMaxImages> maps_;
  bool busy_ = false;  // buffers_ are in use
  Condition free_;
};

}  // namespace blockmirror
