// A ring as it lies on the disk, and hands to put things into it that a writer, a crash or a bad disk would.
#pragma once

#include <cstring>
#include <vector>

#include "format_samples.h"
#include "scanned_ring.h"

namespace blockmirror::test {

class RingMedia {
 public:
  RingMedia(std::uint32_t record_count, std::uint32_t in_flight_limit)
      : identity_{uuid_of(0x20), kMinimumRecordSize, record_count, in_flight_limit, 1, record_count},
        bytes_(std::size_t{record_count} * kMinimumRecordSize),
        unreadable_(record_count, false) {
    for (std::uint32_t slot = 0; slot < record_count; ++slot) {
      encode_blank_record(identity_.log_uuid, slot, record_count, slot_bytes(slot));
    }
  }

  RingIdentity& identity() { return identity_; }
  std::span<std::byte> slot_bytes(std::uint64_t sequence) {
    const std::uint64_t slot = sequence % identity_.record_count;
    return {bytes_.data() + slot * kMinimumRecordSize, kMinimumRecordSize};
  }
  std::vector<std::byte> saved(std::uint64_t sequence) {
    const std::span<std::byte> slot = slot_bytes(sequence);
    return {slot.begin(), slot.end()};
  }
  void restore(std::uint64_t sequence, const std::vector<std::byte>& saved) {
    std::memcpy(slot_bytes(sequence).data(), saved.data(), saved.size());
  }

  // `sectors`: bit i set when sector i lands.
  void land(const RecordHeader& header, std::span<const Intent> intents, std::uint32_t sectors = 0xff) {
    const std::vector<std::byte> record = encoded(identity_.log_uuid, header, intents);
    for (std::uint32_t i = 0; i < kMinimumRecordSize / kSectorLength; ++i) {
      if ((sectors >> i & 1u) == 0) continue;
      const std::size_t at = std::size_t{i} * kSectorLength;
      std::memcpy(slot_bytes(header.sequence).data() + at, record.data() + at, kSectorLength);
    }
  }

  // A record of the current opening that names one extent, its position telling the sequence.
  RecordHeader header(std::uint64_t sequence, std::uint64_t durable_through, std::uint64_t tail) const {
    return {sequence, identity_.opening, 1, durable_through, tail};
  }
  void write(std::uint64_t sequence, std::uint64_t durable_through, std::uint64_t tail, std::uint32_t sectors = 0xff) {
    const std::vector<Intent> intents{extent_intent(sequence * 4096, 4096)};
    land(header(sequence, durable_through, tail), intents, sectors);
  }
  // Records first..last, each durable before the next.
  void write_in_order(std::uint64_t first, std::uint64_t last, std::uint64_t tail) {
    for (std::uint64_t sequence = first; sequence <= last; ++sequence) write(sequence, sequence - 1, tail);
  }

  void make_unreadable(std::uint64_t sequence) { unreadable_[sequence % identity_.record_count] = true; }
  void begin_opening(std::uint64_t first_sequence) {
    ++identity_.opening;
    identity_.first_sequence = first_sequence;
  }

  ScannedRing scan() const { return scan_ring(identity_, bytes_, unreadable_); }

 private:
  RingIdentity identity_;
  std::vector<std::byte> bytes_;
  std::vector<bool> unreadable_;
};

inline std::vector<std::uint64_t> live_sequences(const ScannedRing& scan) {
  std::vector<std::uint64_t> sequences;
  for (const SequencedIntent& live : scan.live) {
    if (sequences.empty() || sequences.back() != live.sequence) sequences.push_back(live.sequence);
  }
  return sequences;
}

}  // namespace blockmirror::test
