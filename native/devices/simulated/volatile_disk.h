// A simulated disk with a volatile write cache, by the rules of dm-log-writes.
//
// Invariants:
//  - content() is what a read returns; durable() is what a power loss leaves where nothing unflushed landed.
//  - A completed write is durable only after a flush that was submitted after it completed; a durable (FUA) write is at
//    once, its neighbours are not, and it takes away what was unflushed of its own sectors.
//  - At a power loss each sector holds what was durable or any one of its unflushed writes.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "sparse_disk.h"

namespace blockmirror {

class VolatileDisk {
 public:
  explicit VolatileDisk(std::uint64_t size) : content_(size), durable_(size) {}
  explicit VolatileDisk(SparseDisk durable) : content_(durable), durable_(std::move(durable)) {}

  struct Unflushed {
    std::uint64_t sector = 0;
    std::uint64_t number = 0;  // order of completion
    SectorRef content;
  };

  const SparseDisk& content() const { return content_; }
  const SparseDisk& durable() const { return durable_; }
  const std::vector<Unflushed>& unflushed() const { return unflushed_; }

  void write(std::uint64_t sector, const SectorRef& content, bool durable);
  // What a flush that is submitted now will make durable when it succeeds.
  std::uint64_t flush_mark() const { return completed_; }
  void flush(std::uint64_t mark);
  // The cache is lost; `lands(unflushed)` says which of it had reached the media, later ones of a sector win.
  template <typename Lands>
  void lose_cache(Lands lands) {
    for (const Unflushed& write : unflushed_) {
      if (lands(write)) durable_.set(write.sector, write.content);
    }
    unflushed_.clear();
    content_ = durable_;
  }
  // Media damage, or a disk put back from a copy: not a write.
  void overwrite(std::uint64_t sector, const SectorRef& content);
  void spoil(std::uint64_t sector, bool for_good);

  // Of all that matters for what can happen next; equal to durable().hash() when the cache is empty.
  std::uint64_t hash() const;

 private:
  SparseDisk content_;
  SparseDisk durable_;
  std::vector<Unflushed> unflushed_;
  std::uint64_t completed_ = 0;
};

}  // namespace blockmirror
