// A ring in memory, scanned as the engine scans one on a disk, with all that is live in it.
#pragma once

#include <span>
#include <vector>

#include "../../core/format/ring_scan.h"

namespace blockmirror::test {

struct SequencedIntent {
  std::uint64_t sequence = 0;
  Intent intent;
};

struct ScannedRing : RingScan {
  std::vector<SequencedIntent> live;  // in order of sequence
};

// `unreadable[i]`: slot i could not be read.
inline ScannedRing scan_ring(const RingIdentity& identity, std::span<const std::byte> ring,
                             const std::vector<bool>& unreadable) {
  const auto bytes_of = [&](std::uint32_t slot) {
    return ring.subspan(std::size_t{slot} * identity.record_size, identity.record_size);
  };
  RingScanner scanner;
  if (!scanner.begin(identity)) return {};
  for (std::uint32_t slot = 0; slot < identity.record_count; ++slot) {
    unreadable[slot] ? scanner.note_unreadable(slot) : scanner.look_at(slot, bytes_of(slot));
  }
  scanner.judge();
  ScannedRing scanned;
  std::vector<Intent> intents;
  for (std::uint32_t rank = 0; rank < identity.record_count; ++rank) {
    const std::uint32_t slot = scanner.slot_of_rank(rank);
    if (!scanner.is_live(slot)) continue;
    scanner.take_live(slot, bytes_of(slot), intents);
    for (const Intent& intent : intents) scanned.live.push_back({scanner.sequence_of(slot), intent});
  }
  static_cast<RingScan&>(scanned) = scanner.scan();
  return scanned;
}

}  // namespace blockmirror::test
