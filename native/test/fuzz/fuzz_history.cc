// libFuzzer: some sectors of a log's history, as a disk may return them. Their seals are put right first, as a fuzzer never
// would, so that what lies behind the checksums is reached.
#include "../../core/base/bytes.h"
#include "../../core/base/crc32c.h"
#include "../../core/format/history.h"
#include "fuzz.h"

using namespace blockmirror;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kSectors = 4;
  const fuzz::Input input(data, size);
  const Uuid log{};
  std::vector<std::byte> area;
  for (std::size_t i = 0; i < kSectors; ++i) {
    std::vector<std::byte> sector = input.block(i, kEventLength);
    if (input.flag(static_cast<unsigned>(i)))
      store_little_endian(sector.data() + 508, crc32c(std::span(sector).first(508), crc32c(log.bytes)));
    area.insert(area.end(), sector.begin(), sector.end());
  }
  const HistoryScan scan = scan_history(log, area);
  std::uint64_t before = 0;
  for (const Event& event : scan.events) {
    if (event.sequence <= before || event.sequence > scan.newest) std::abort();
    before = event.sequence;
    // What was accepted can be written, and is the same.
    std::vector<std::byte> again(kEventLength);
    encode_event(log, event, again);
    const auto slot = static_cast<std::ptrdiff_t>(event.sequence % kEventSlots * kEventLength);
    if (!std::equal(again.begin(), again.end(), area.begin() + slot)) std::abort();
  }
  return 0;
}
