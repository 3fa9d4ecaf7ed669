// libFuzzer: a ring of eight slots, as a disk may return it. The sectors' checksums are put right where the flags say so.
#include "../../core/base/bytes.h"
#include "../../core/base/crc32c.h"
#include "../support/scanned_ring.h"
#include "fuzz.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr std::uint32_t kSlots = 8;

RingIdentity identity() {
  RingIdentity identity;
  identity.log_uuid.bytes.fill(std::byte{0x5a});
  identity.record_size = kMinimumRecordSize;
  identity.record_count = kSlots;
  identity.in_flight_limit = 2;
  identity.opening = 3;
  identity.first_sequence = 11;
  return identity;
}

void put_right(const Uuid& log_uuid, std::span<std::byte> slot) {
  for (std::uint32_t index = 0; index < slot.size() / kSectorLength; ++index) {
    const std::span<std::byte> sector = slot.subspan(std::size_t{index} * kSectorLength, kSectorLength);
    std::array<std::byte, 4> number;
    store_little_endian(number.data(), index);
    const std::uint32_t sum = crc32c(sector.first(kSectorLength - 4), crc32c(number, crc32c(log_uuid.bytes)));
    store_little_endian(sector.data() + kSectorLength - 4, sum);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Input input(data, size);
  const RingIdentity ring = identity();
  std::vector<std::byte> bytes;
  std::vector<bool> unreadable(kSlots, false);
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    std::vector<std::byte> one = input.block(slot, kMinimumRecordSize);
    if (!input.flag(slot)) put_right(ring.log_uuid, one);
    const Slot decoded = decode_slot(ring.log_uuid, one);
    // A record that was accepted is written back byte for byte.
    if (decoded.state == SlotState::complete && decoded.record.header.opening != 0) {
      std::vector<std::byte> again(kMinimumRecordSize);
      encode_record(ring.log_uuid, decoded.record.header, decoded.record.intents, again);
      if (again != one) std::abort();
    }
    bytes.insert(bytes.end(), one.begin(), one.end());
  }
  const ScannedRing scan = scan_ring(ring, bytes, unreadable);
  for (const SequencedIntent& live : scan.live) {
    if (live.sequence < scan.tail && !scan.damaged) std::abort();
    ExtentSet covered;
    if (live.intent.kind == Intent::Kind::bitmap) add_covered(live.intent, covered);
  }
  return 0;
}
