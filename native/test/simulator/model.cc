#include "model.h"

#include <algorithm>

namespace blockmirror::simulator {

std::uint32_t Model::write_asked(std::uint64_t sector, std::vector<SectorRef> contents) {
  Write write;
  write.sector = sector;
  write.contents = std::move(contents);
  write.asked = ++clock_;
  writes_.push_back(std::move(write));
  return static_cast<std::uint32_t>(writes_.size() - 1);
}

void Model::write_acknowledged(std::uint32_t write, bool durable) {
  writes_[write].acknowledged = ++clock_;
  writes_[write].durable = durable;
}

void Model::flush_acknowledged(std::uint64_t asked) {
  for (Write& write : writes_) {
    if (write.acknowledged != 0 && write.acknowledged < asked) write.durable = true;
  }
}

void Model::rebase(const SparseDisk& master) {
  base_ = master;
  writes_.clear();
  cache_lost_ = false;
}

// Whether something that was acknowledged at that time (0: from before) is certainly overwritten.
bool Model::is_gone(std::uint64_t sector, std::uint64_t acknowledged, Promise promise, std::uint64_t since) const {
  return std::any_of(writes_.begin(), writes_.end(), [&](const Write& later) {
    if (!later.covers(sector) || later.acknowledged == 0 || later.acknowledged >= since) return false;
    const bool certain = later.durable || (promise == Promise::acknowledged && !cache_lost_);
    return certain && acknowledged < later.asked;
  });
}

bool Model::may_hold(std::uint64_t sector, const SectorRef& content, Promise promise, std::uint64_t since) const {
  // What could not be read then nobody has seen: a slave that came back since may hold it.
  const bool unseen = !base_.is_readable(sector * kSimulatedSector, kSimulatedSector);
  if ((unseen || base_.get(sector) == content) && !is_gone(sector, 0, promise, since)) return true;
  return std::any_of(writes_.begin(), writes_.end(), [&](const Write& write) {
    if (!write.covers(sector) || !(write.content_at(sector) == content)) return false;
    return write.acknowledged == 0 || !is_gone(sector, write.acknowledged, promise, since);
  });
}

std::vector<std::uint64_t> Model::unexplained(const SparseDisk& master, Promise promise) const {
  std::vector<std::uint64_t> found;
  const auto check = [&](std::uint64_t sector) {
    if (!may_hold(sector, master.get(sector), promise)) found.push_back(sector);
  };
  master.differences(base_, sectors_, found);
  std::erase_if(found, [&](std::uint64_t sector) { return may_hold(sector, master.get(sector), promise); });
  for (const Write& write : writes_) {
    for (std::size_t i = 0; i < write.contents.size(); ++i) check(write.sector + i);
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

std::uint64_t Model::hash(Promise promise) const {
  std::uint64_t hash = base_.hash();
  for (const Write& write : writes_) {
    for (std::size_t i = 0; i < write.contents.size(); ++i) {
      const std::uint64_t sector = write.sector + i;
      const bool may_be = write.acknowledged == 0 || !is_gone(sector, write.acknowledged, promise, ~0ull);
      const bool base_may_be = !is_gone(sector, 0, promise, ~0ull);
      hash ^= mix_hash(SparseDisk::contribution(sector, write.contents[i]) + (may_be ? 3 : 5) + (base_may_be ? 7 : 11));
    }
  }
  return mix_hash(hash + (promise == Promise::durable ? 1 : 0) + (cache_lost_ ? 2 : 0));
}

}  // namespace blockmirror::simulator
