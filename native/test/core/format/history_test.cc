#include "../../../core/format/history.h"

#include <doctest/doctest.h>

#include <functional>

#include "../../../core/base/headroom.h"
#include "../../support/format_samples.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

const Uuid kLog = uuid_of(0x20);

Event event_with(std::uint64_t sequence) {
  Event event;
  event.sequence = sequence;
  event.at_ms = 1700000000000 + sequence;
  event.kind = EventKind::fractured;
  event.image = 3;
  event.before = ImageState::in_sync;
  event.after = ImageState::failed;
  event.cause = FractureCause::flush_error;
  event.error = 5;
  event.generation = 7;
  event.open_count = 8;
  event.extent = {4096, 8192};
  event.bytes = 9;
  event.duration_ms = 10;
  event.name = "slave-3";
  return event;
}

void put(std::vector<std::byte>& area, const Event& event) {
  encode_event(kLog, event, std::span(area).subspan(event.sequence % kEventSlots * kEventLength, kEventLength));
}

std::vector<std::uint64_t> sequences(const HistoryScan& scan) {
  std::vector<std::uint64_t> sequences;
  for (const Event& event : scan.events) sequences.push_back(event.sequence);
  return sequences;
}

}  // namespace

TEST_CASE("an event is read back as it was written") {
  std::vector<std::byte> sector(kEventLength);
  encode_event(kLog, event_with(1030), sector);
  Event found;
  REQUIRE(decode_event(kLog, 6, sector, found));
  CHECK(found == event_with(1030));
}

TEST_CASE("any byte of an event changed, another slot or another log: there is no event") {
  std::vector<std::byte> sector(kEventLength);
  encode_event(kLog, event_with(6), sector);
  Event found;
  for (std::size_t at = 0; at < kEventLength; ++at) {
    std::vector<std::byte> changed = sector;
    changed[at] ^= std::byte{1};
    REQUIRE_FALSE_MESSAGE(decode_event(kLog, 6, changed, found), "byte ", at);
  }
  CHECK_FALSE(decode_event(kLog, 7, sector, found));
  CHECK_FALSE(decode_event(uuid_of(0x21), 6, sector, found));
  CHECK_FALSE(decode_event(kLog, 6, {}, found));
  CHECK(found == Event{});
}

TEST_CASE("an event with an impossible field is none although its checksum holds") {
  struct Case {
    std::size_t offset;
    unsigned width;
    std::uint64_t value;
  };
  const Case cases[] = {{4, 4, 1},           {8, 8, 0},           {8, 8, 1ull << 63},  {16, 8, kLatestDate + 1},
                        {24, 1, 0},          {24, 1, 19},         {25, 1, 16},         {26, 1, 6},
                        {27, 1, 6},          {28, 1, 20},         {29, 1, 1},          {32, 4, 4096},
                        {36, 4, 1},          {40, 8, 1ull << 63}, {48, 8, 1ull << 63}, {56, 8, 1ull << 63},
                        {64, 8, 1ull << 63}, {72, 8, 1ull << 63}, {80, 8, 1ull << 63}, {88, 1, 0x1b},
                        {151, 1, 'x'},       {152, 1, 1},         {507, 1, 1}};
  for (const Case& one : cases) {
    CAPTURE(one.offset);
    std::vector<std::byte> sector(kEventLength);
    encode_event(kLog, event_with(6), sector);
    for (unsigned i = 0; i < one.width; ++i) sector[one.offset + i] = static_cast<std::byte>(one.value >> (8 * i));
    store_little_endian(sector.data() + 508, crc32c(std::span(sector).first(508), crc32c(kLog.bytes)));
    Event found;
    CHECK_FALSE(decode_event(kLog, static_cast<std::uint32_t>(one.offset == 8 ? 0 : 6), sector, found));
  }
}

TEST_CASE("a scan gives the events of the last lap, oldest first, and leaves out what is broken") {
  std::vector<std::byte> area(kHistoryLength);
  CHECK(scan_history(kLog, area).newest == 0);
  for (std::uint64_t sequence = 1020; sequence < 1030; ++sequence) put(area, event_with(sequence));
  put(area, event_with(8));  // 1032 would have replaced it: a lap has it still
  put(area, event_with(1));  // in the slot of 1025: replaced it
  area[1026 % kEventSlots * kEventLength + 20] ^= std::byte{1};
  const HistoryScan scan = scan_history(kLog, area);
  CHECK(scan.newest == 1029);
  CHECK(scan.broken == 1);
  CHECK(sequences(scan) == std::vector<std::uint64_t>{8, 1020, 1021, 1022, 1023, 1024, 1027, 1028, 1029});
}

TEST_CASE("an area of which the end could not be read gives what stands before it") {
  std::vector<std::byte> area(kHistoryLength);
  put(area, event_with(2));
  put(area, event_with(900));
  area.resize(100 * kEventLength + 17);
  CHECK(sequences(scan_history(kLog, area)) == std::vector<std::uint64_t>{2});
  CHECK(scan_history(kLog, {}).events.empty());
}
