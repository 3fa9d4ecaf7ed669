#include "durable_map.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "../base/assert.h"
#include "../base/mutation.h"

namespace blockmirror {
namespace {

static_assert(Debt::kPageUnits == kMapSectorUnits && sizeof(Debt::Page) == sizeof(MapBits));

// The words of a page are the bytes of a sector on the machines that we run on; elsewhere they would be swapped here.
static_assert(std::endian::native == std::endian::little);

MapBits bits_of(const Debt::Page* page) {
  MapBits bits{};
  if (page != nullptr) std::memcpy(bits.data(), page->data(), bits.size());
  return bits;
}

Debt::Page page_of(const MapBits& bits) {
  Debt::Page page;
  std::memcpy(page.data(), bits.data(), bits.size());
  return page;
}

}  // namespace

DurableMap::DurableMap(Runtime& runtime, Device& log, MapBuffers& buffers, const Place& place, bool fresh)
    : runtime_(runtime), log_(log), buffers_(buffers), place_(place), loaded_(fresh) {
  BLOCKMIRROR_ASSERT(!place.identity.map_id.is_zero(), "a map has no id");
}

// Sectors of a block of the log: what can be written alone.
std::uint64_t DurableMap::sectors_per_block() const {
  return std::max<std::uint64_t>(1, transfer_unit(log_.traits()) / kMapSectorLength);
}

// --- reading

Task<void> DurableMap::load(bool needed, Debt& into) {
  BLOCKMIRROR_ASSERT(!loaded_, "a map was read twice");
  const std::span<std::byte> header = buffers_.lane(0).first(kMapHeaderArea);
  const int error = co_await log_.read(place_.position, header);
  const std::span<const std::byte> sector = error == 0 ? header.first(kMapSectorLength) : std::span<std::byte>{};
  const MapVerdict verdict = judge_map_header(place_.identity, place_.shape, sector);
  begun_ = verdict.finding == MapFinding::bits;
  if (!begun_) {
    if (needed) into.owe_everything();
    loaded_ = true;
    co_return;
  }
  const std::uint64_t count = place_.shape.sectors();
  const std::uint64_t step = buffers_.all().size() / kMapSectorLength;
  for (std::uint64_t first = 0; first < count; first += step) {
    const std::uint64_t end = std::min(count, first + step);
    const std::uint64_t unit = sectors_per_block();
    const std::uint64_t length = (end - first + unit - 1) / unit * unit * kMapSectorLength;
    const std::span<std::byte> bytes = buffers_.all().first(length);
    const int failed = co_await log_.read(place_.position + MapShape::offset_of(first), bytes);
    if (failed == 0) {
      load_sectors(first, bytes.first((end - first) * kMapSectorLength), into);
    } else {
      co_await load_one_by_one(first, end, into);
    }
  }
  loaded_ = true;
}

void DurableMap::load_sectors(std::uint64_t first, std::span<const std::byte> bytes, Debt& into) {
  for (std::uint64_t i = 0; i < bytes.size() / kMapSectorLength; ++i) {
    MapBits bits{};
    const std::span<const std::byte> sector = bytes.subspan(i * kMapSectorLength, kMapSectorLength);
    switch (decode_map_sector(place_.identity, place_.shape, first + i, sector, bits).finding) {
      case MapFinding::bits:
        into.load(first + i, page_of(bits));
        break;
      case MapFinding::empty:
        break;
      case MapFinding::everything:
        into.owe(place_.shape.reach(first + i));
        break;
    }
  }
}

// One block that cannot be read costs its own reach alone.
Task<void> DurableMap::load_one_by_one(std::uint64_t first, std::uint64_t end, Debt& into) {
  const std::uint64_t unit = sectors_per_block();
  for (std::uint64_t sector = first; sector < end; sector += unit) {
    const std::uint64_t stop = std::min(end, sector + unit);
    const std::span<std::byte> bytes = buffers_.lane(0).first(unit * kMapSectorLength);
    const int error = co_await log_.read(place_.position + MapShape::offset_of(sector), bytes);
    if (error == 0) {
      load_sectors(sector, bytes.first((stop - sector) * kMapSectorLength), into);
      continue;
    }
    for (std::uint64_t i = sector; i < stop; ++i) into.owe(place_.shape.reach(i));
  }
}

// --- writing

// One pass over the pages that changed, shared by its lanes.
struct DurableMap::Pass {
  Pass(Runtime& runtime, Debt& of) : debt(of), lane_ended(runtime) {}
  Debt& debt;
  std::size_t next = 0;  // page
  int error = 0;
  unsigned lanes = 0;
  Condition lane_ended;
};

Task<Outcome> DurableMap::write(Debt& debt) {
  BLOCKMIRROR_ASSERT(loaded_, "a map was written before it was read");
  const bool header = !begun_;
  if (!header && !debt.has_changes()) co_return Outcome::success();
  Pass pass(runtime_, debt);
  if (header) pass.error = co_await write_header();
  const unsigned lanes = pass.error == 0 && debt.has_changes() ? kMapLanes : 0;
  for (unsigned lane = 0; lane < lanes; ++lane) {
    ++pass.lanes;
    spawn(write_lane(pass, lane));
  }
  while (pass.lanes > 0) co_await pass.lane_ended.wait();
  if (pass.error == 0 && !mutated(Mutation::map_not_flushed)) pass.error = co_await log_.flush();
  if (pass.error != 0) co_return Outcome::of(Code::LOG_FAILED, kLogDevice, pass.error, place_.position);
  begun_ = true;
  co_return Outcome::success();
}

Task<int> DurableMap::write_header() {
  const std::span<std::byte> area = buffers_.lane(0).first(kMapHeaderArea);
  std::memset(area.data(), 0, area.size());
  MapHeader header;
  header.log_uuid = place_.identity.log_uuid;
  header.image_uuid = place_.identity.image_uuid;
  header.map_id = place_.identity.map_id;
  header.incarnation = place_.incarnation;
  header.unit = place_.shape.unit;
  header.sectors = static_cast<std::uint32_t>(place_.shape.sectors());
  header.begun_at_ms = runtime_.wall_clock_ms();
  encode_map_header(header, area.first(kMapSectorLength));
  co_return co_await log_.write(place_.position, area, false);
}

// Takes the next changed page, and those behind it that changed too or stand in the same block of the log, as far as one
// request goes.
Task<void> DurableMap::write_lane(Pass& pass, unsigned lane) {
  const std::uint64_t unit = sectors_per_block();
  const std::uint64_t count = place_.shape.sectors();
  while (pass.error == 0) {
    const std::size_t changed = pass.debt.next_changed(pass.next);
    if (changed >= count) break;
    const std::uint64_t first = changed / unit * unit;
    const std::uint64_t longest = first + kMapLaneLength / kMapSectorLength;
    std::uint64_t end = first + unit;
    while (end < longest && pass.debt.next_changed(end) < end + unit) end += unit;
    pass.next = end;
    const std::span<std::byte> bytes = buffers_.lane(lane).first((end - first) * kMapSectorLength);
    std::memset(bytes.data(), 0, bytes.size());
    for (std::uint64_t sector = first; sector < std::min(end, count); ++sector) {
      const std::span<std::byte> into = bytes.subspan((sector - first) * kMapSectorLength, kMapSectorLength);
      encode_map_sector(place_.identity, place_.shape, sector, bits_of(pass.debt.page(sector)), into);
      pass.debt.settle(sector);
    }
    const int error = co_await log_.write(place_.position + MapShape::offset_of(first), bytes, false);
    if (error != 0) pass.error = error;
  }
  --pass.lanes;
  pass.lane_ended.wake_all();
}

}  // namespace blockmirror
