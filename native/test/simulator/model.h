// What the user of the mirror may expect of its content: the oracle for bytes. It knows what was asked for, what was
// acknowledged, what was made durable and what a read returned; nothing of logs, intents or images.
//
// A write precedes another when it was acknowledged before the other was asked for; only then is it gone once the other
// is certain. Thus two writes of one sector that were under way together may end up in either order.
#pragma once

#include <cstdint>
#include <vector>

#include "../../devices/simulated/sparse_disk.h"

namespace blockmirror::simulator {

// What a crash spares: a process death spares everything acknowledged, a loss of the master's cache only what was made
// durable.
enum class Promise : std::uint8_t { acknowledged, durable };

class Model {
 public:
  Model(SparseDisk base, std::uint64_t sectors) : base_(std::move(base)), sectors_(sectors) {}

  // Returns a number for the write.
  std::uint32_t write_asked(std::uint64_t sector, std::vector<SectorRef> contents);
  void write_acknowledged(std::uint32_t write, bool durable);
  // It was called off: none of it may ever be seen.
  void write_aborted(std::uint32_t write) { writes_[write].contents.clear(); }
  std::uint64_t flush_asked() { return ++clock_; }
  void flush_acknowledged(std::uint64_t asked);
  // What the mirror holds from now on, whatever happens: it opened, so all of it may have been read.
  void rebase(const SparseDisk& master);
  // A failed flush or a reset of the master: acknowledged bytes that were not durable may be gone.
  void lose_cache() { cache_lost_ = true; }

  bool may_hold(std::uint64_t sector, const SectorRef& content, Promise promise, std::uint64_t since = ~0ull) const;
  std::uint64_t now() { return ++clock_; }
  // Sectors whose content no history explains.
  std::vector<std::uint64_t> unexplained(const SparseDisk& master, Promise promise) const;
  // Of what a crash with that promise allows.
  std::uint64_t hash(Promise promise) const;
  std::uint64_t sectors() const { return sectors_; }

  struct Write {
    std::uint64_t sector = 0;
    std::vector<SectorRef> contents;
    std::uint64_t asked = 0;
    std::uint64_t acknowledged = 0;  // 0: not, or refused with an error: then its outcome is unknown
    bool durable = false;
    bool covers(std::uint64_t at) const { return at >= sector && at < sector + contents.size(); }
    const SectorRef& content_at(std::uint64_t at) const { return contents[at - sector]; }
  };
  const std::vector<Write>& writes() const { return writes_; }

 private:
  bool is_gone(std::uint64_t sector, std::uint64_t acknowledged, Promise promise, std::uint64_t since) const;
  SparseDisk base_;
  std::uint64_t sectors_;
  std::vector<Write> writes_;
  std::uint64_t clock_ = 0;
  bool cache_lost_ = false;
};

}  // namespace blockmirror::simulator
