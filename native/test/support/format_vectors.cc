#include "format_vectors.h"

#include <algorithm>
#include <cstdio>
#include <sstream>

#include "format_json.h"
#include "ring_media.h"

namespace blockmirror::test {
namespace {

constexpr std::size_t kRow = 32;  // bytes of one line

// A whole log: superblock copies, history, a ring of eight records and fracture maps, blank as formatting leaves them.
class LogImage {
 public:
  LogImage() : superblock(sample_superblock()), media(superblock.ring.record_count, superblock.ring.in_flight_limit) {
    superblock.open_count = superblock.images[2].fracture.open_count = 1;
    superblock.first_sequence = superblock.ring.record_count;
  }

  void begin_opening(std::uint64_t first_sequence) {
    media.begin_opening(first_sequence);
    superblock.open_count = media.identity().opening;
    superblock.first_sequence = first_sequence;
    ++superblock.update;
  }

  FormatVector vector(const std::string& name, const std::function<void(std::vector<std::byte>&)>& spoil = {}) {
    std::vector<std::byte> bytes(superblock.log_size);
    const std::vector<std::byte> copy = encoded(superblock);
    std::copy(copy.begin(), copy.end(), bytes.begin() + kSuperblockCopyA);
    std::copy(copy.begin(), copy.end(), bytes.begin() + kSuperblockCopyB);
    for (std::uint32_t slot = 0; slot < superblock.ring.record_count; ++slot) {
      const std::span<std::byte> record = media.slot_bytes(slot);
      std::copy(record.begin(), record.end(), bytes.begin() + at(slot));
    }
    for (unsigned image = 0; image < superblock.max_images; ++image) write_blank_map(bytes, image);
    if (spoil) spoil(bytes);
    return {name, bytes, expectation(bytes)};
  }

  std::ptrdiff_t at(std::uint64_t sequence) const {
    const std::uint64_t slot = sequence % superblock.ring.record_count;
    return static_cast<std::ptrdiff_t>(superblock.ring.position + slot * superblock.ring.record_size);
  }

  // Of the map of an image, from the start of its slot.
  std::span<std::byte> map_sector(std::span<std::byte> log, unsigned image, std::uint64_t offset) const {
    return log.subspan(superblock.maps.slot(image) + offset, kMapSectorLength);
  }

  Superblock superblock;
  RingMedia media;

 private:
  void write_blank_map(std::span<std::byte> log, unsigned image) const {
    for (std::uint64_t sector = 0; sector < superblock.map_shape().sectors(); ++sector) {
      const std::span<std::byte> bytes = map_sector(log, image, MapShape::offset_of(sector));
      encode_blank_map_sector(superblock.log_uuid, image, sector, bytes);
    }
  }

  static std::string expectation(std::span<const std::byte> log) {
    Superblock found;
    const Outcome outcome = choose_superblock(log.subspan(kSuperblockCopyA, kSuperblockLength),
                                              log.subspan(kSuperblockCopyB, kSuperblockLength), found);
    if (!outcome.ok()) return "";
    const std::vector<bool> unreadable(found.ring.record_count, false);
    const ScannedRing scan =
        scan_ring(ring_identity_of(found), log.subspan(found.ring.position, found.ring.length()), unreadable);
    Json json = Json::object();
    json.set("superblock", to_json(found)).set("ring", to_json(scan)).set("maps", to_json(found, log));
    const std::span<const std::byte> area = log.subspan(kHistoryPosition, kHistoryLength);
    return json.set("history", to_json(scan_history(found.log_uuid, area))).str() + "\n";
  }
};

const IntentBitmap kBlocks{0b1011, 0, 0x00ff000000000000, 0x8000000000000000};

void write_live_records(LogImage& log) {
  const std::vector<Intent> exact{extent_intent(4096, 4096), extent_intent(40960, 512)};
  const std::vector<Intent> bitmap{bitmap_intent(2 * kTestMiB, kBlocks), extent_intent(8 * kTestMiB, 3 * kTestMiB)};
  log.media.write(8, 7, 8);
  log.media.land({9, 1, 1, 8, 8}, exact);
  log.media.land({10, 1, 1, 9, 9}, bitmap);
}

FormatVector slot_vector(const std::string& name, const std::vector<std::byte>& bytes) {
  return {name, bytes, to_json(decode_slot(uuid_of(0x20), bytes)).str() + "\n"};
}

void add_slots(std::vector<FormatVector>& vectors) {
  RingMedia media(8, 2);
  vectors.push_back(slot_vector("record-blank", media.saved(3)));
  std::vector<Intent> mixed{extent_intent(8192, 4096), bitmap_intent(3 * kTestMiB, kBlocks)};
  for (std::uint64_t i = 0; i < 40; ++i) mixed.push_back(extent_intent((std::uint64_t{1} << 40) + i * kTestMiB, 1536));
  const std::vector<std::byte> full = encoded(uuid_of(0x20), {77, 5, 3, 75, 70}, mixed);
  vectors.push_back(slot_vector("record-intents", full));
  vectors.push_back(slot_vector("record-8k", encoded(uuid_of(0x20), {78, 5, 3, 77, 70}, mixed, 8192)));
  std::vector<std::byte> torn = media.saved(5);
  std::copy(full.begin() + 1024, full.begin() + 2560, torn.begin() + 1024);
  vectors.push_back(slot_vector("slot-torn", torn));
  std::vector<std::byte> damaged = full;
  damaged[1000] ^= std::byte{4};
  vectors.push_back(slot_vector("slot-damaged", damaged));
}

// Image 1 is behind, with a map: bits of its own in sector 0, an older map's in sector 1, blank ones in 2 and 4, and a
// broken one in 3.
void write_map(const LogImage& log, std::span<std::byte> bytes) {
  const MapIdentity map = sample_map(log.superblock);
  const MapShape shape = log.superblock.map_shape();
  const MapHeader header{map.log_uuid,  map.image_uuid, map.map_id,
                         uuid_of(0x40), shape.unit,     static_cast<std::uint32_t>(shape.sectors()),
                         1700000003001};
  encode_map_header(header, log.map_sector(bytes, 1, 0));
  MapBits bits{};
  bits[0] = std::byte{0b10000110};
  bits[1] = std::byte{0b00000001};
  bits[kMapSectorBits - 1] = std::byte{0x80};
  encode_map_sector(map, shape, 0, bits, log.map_sector(bytes, 1, MapShape::offset_of(0)));
  MapIdentity older = map;
  older.map_id = uuid_of(0x7f);
  encode_map_sector(older, shape, 1, bits, log.map_sector(bytes, 1, MapShape::offset_of(1)));
  log.map_sector(bytes, 1, MapShape::offset_of(3))[17] ^= std::byte{1};
}

std::vector<Event> sample_events() {
  Event fracture;
  fracture.sequence = 1024;  // slot 0, over that of a lap before
  fracture.at_ms = 1700000003000;
  fracture.kind = EventKind::fractured;
  fracture.image = 1;
  fracture.before = ImageState::in_sync;
  fracture.after = ImageState::behind;
  fracture.cause = FractureCause::operator_request;
  fracture.generation = 9;
  fracture.open_count = 5;
  fracture.name = "slave-1";
  Event repair = fracture;
  repair.sequence = 1023;
  repair.kind = EventKind::repaired;
  repair.before = repair.after = ImageState::in_sync;
  repair.cause = FractureCause::none;
  repair.error = 5;
  repair.extent = {4096, 512};
  repair.bytes = 512;
  repair.duration_ms = 17;
  Event stale = repair;
  stale.sequence = 3;  // the newest is a whole lap ahead when it is 1027 or above
  Event policy = repair;
  policy.sequence = 1030;
  policy.kind = EventKind::policy_changed;
  policy.image = kNoEventImage;
  policy.error = 0;
  policy.extent = {};
  policy.name = "minInSync";
  return {fracture, repair, stale, policy};
}

void write_history(const LogImage& log, std::span<std::byte> bytes) {
  for (const Event& event : sample_events()) {
    encode_event(log.superblock.log_uuid, event,
                 bytes.subspan(kHistoryPosition + event.sequence % kEventSlots * kEventLength, kEventLength));
  }
  bytes[kHistoryPosition + 100 * kEventLength] = std::byte{1};
}

void add_logs(std::vector<FormatVector>& vectors) {
  vectors.push_back(LogImage().vector("log-formatted"));

  LogImage live;
  write_live_records(live);
  vectors.push_back(live.vector("log-live"));
  vectors.push_back(live.vector("log-copy-b-only", [](auto& bytes) { bytes[kSuperblockCopyA + 200] ^= std::byte{1}; }));
  vectors.push_back(live.vector("log-damaged", [&](auto& bytes) { bytes[live.at(9) + 100] ^= std::byte{1}; }));

  LogImage torn;
  write_live_records(torn);
  torn.media.write(11, 10, 9, 0x3c);
  torn.media.write(12, 10, 9);
  vectors.push_back(torn.vector("log-torn"));
  torn.begin_opening(13);
  torn.media.land(torn.media.header(13, 12, 13), {});
  torn.media.write(14, 13, 13);
  torn.media.write(15, 14, 14);
  vectors.push_back(torn.vector("log-second-opening"));

  LogImage lap;
  for (std::uint64_t sequence = 8; sequence < 21; ++sequence) lap.media.write(sequence, sequence - 1, sequence - 2);
  lap.media.write(21, 20, 18, 0x81);
  vectors.push_back(lap.vector("log-next-lap-torn"));
  lap.media.write(23, 20, 18, 0x81);
  vectors.push_back(lap.vector("log-beyond-window"));

  LogImage roles;
  const RingGeometry ring = roles.superblock.ring;
  roles.superblock = sample_with_roles();
  roles.superblock.ring = ring;
  roles.superblock.open_count = 5;
  roles.superblock.first_sequence = 8;
  vectors.push_back(roles.vector("log-roles", [&](auto& bytes) {
    write_map(roles, bytes);
    write_history(roles, bytes);
  }));
  roles.superblock.images[1].map_id = uuid_of(0x7e);
  vectors.push_back(roles.vector("log-map-of-another-fracture", [&](auto& bytes) {
    LogImage before = roles;
    before.superblock.images[1].map_id = uuid_of(0x70);
    write_map(before, bytes);
  }));
}

}  // namespace

std::vector<FormatVector> format_vectors() {
  std::vector<FormatVector> vectors;
  vectors.push_back({"superblock", encoded(sample_superblock()), to_json(sample_superblock()).str() + "\n"});
  vectors.push_back({"superblock-roles", encoded(sample_with_roles()), to_json(sample_with_roles()).str() + "\n"});
  const Label synchronizing = label_for(sample_with_roles(), 4), held = label_for(sample_with_roles(), 2);
  vectors.push_back({"label-synchronizing", encoded(synchronizing), to_json(synchronizing).str() + "\n"});
  vectors.push_back({"label-held", encoded(held), to_json(held).str() + "\n"});
  Label label = label_for(sample_superblock(), 1);
  label.sealed = true;
  vectors.push_back({"label", encoded(label), to_json(label).str() + "\n"});
  add_slots(vectors);
  add_logs(vectors);
  return vectors;
}

std::string to_hex_file(const std::vector<std::byte>& bytes) {
  std::string text = "length " + std::to_string(bytes.size()) + "\n";
  for (std::size_t row = 0; row < bytes.size(); row += kRow) {
    const std::size_t end = std::min(row + kRow, bytes.size());
    if (ByteReader::all_zero(std::span(bytes).subspan(row, end - row))) continue;
    char part[24];
    std::snprintf(part, sizeof(part), "%08zx ", row);
    text += part;
    for (std::size_t i = row; i < end; ++i) {
      std::snprintf(part, sizeof(part), "%02x", static_cast<unsigned>(bytes[i]));
      text += part;
    }
    text += "\n";
  }
  return text;
}

std::vector<std::byte> from_hex_file(const std::string& text) {
  std::istringstream input(text);
  std::string word, row;
  std::size_t length = 0, offset = 0;
  if (!(input >> word >> length) || word != "length") return {};
  std::vector<std::byte> bytes(length);
  while (input >> std::hex >> offset >> row) {
    for (std::size_t i = 0; i + 1 < row.size() && offset + i / 2 < length; i += 2) {
      bytes[offset + i / 2] = static_cast<std::byte>(std::stoul(row.substr(i, 2), nullptr, 16));
    }
  }
  return bytes;
}

}  // namespace blockmirror::test
