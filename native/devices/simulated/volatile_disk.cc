#include "volatile_disk.h"

#include <algorithm>

namespace blockmirror {

void VolatileDisk::write(std::uint64_t sector, const SectorRef& content, bool durable) {
  content_.set(sector, content);
  if (durable) {
    std::erase_if(unflushed_, [&](const Unflushed& write) { return write.sector == sector; });
    durable_.set(sector, content);
  } else {
    unflushed_.push_back({sector, ++completed_, content});
  }
}

void VolatileDisk::flush(std::uint64_t mark) {
  std::size_t kept = 0;
  for (Unflushed& write : unflushed_) {
    if (write.number <= mark) {
      durable_.set(write.sector, write.content);
    } else {
      unflushed_[kept++] = std::move(write);
    }
  }
  unflushed_.resize(kept);
}

void VolatileDisk::overwrite(std::uint64_t sector, const SectorRef& content) {
  std::erase_if(unflushed_, [&](const Unflushed& write) { return write.sector == sector; });
  content_.set(sector, content);
  durable_.set(sector, content);
}

// It holds garbage from now on, so that whoever believes it is found out.
void VolatileDisk::spoil(std::uint64_t sector, bool for_good) {
  std::array<std::byte, kSimulatedSector> garbage;
  garbage.fill(std::byte{0xa5});
  overwrite(sector, SectorRef::of(garbage.data()));
  content_.spoil(sector, for_good);
  durable_.spoil(sector, for_good);
}

std::uint64_t VolatileDisk::hash() const {
  if (unflushed_.empty()) return durable_.hash();
  std::uint64_t hash = mix_hash(durable_.hash() + 1) ^ content_.hash();
  for (const Unflushed& write : unflushed_) {
    hash = mix_hash(hash + SparseDisk::contribution(write.sector, write.content) + write.sector);
  }
  return hash;
}

}  // namespace blockmirror
