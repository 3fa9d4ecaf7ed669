// libFuzzer: the whole open path over forged disks. An input names a mirror (of 1 or 2 slaves; closed, crashed, fractured)
// and what is forged in it: fields of superblock and labels in one or both copies, whole records with their intents,
// sectors of records, each sealed with a right checksum, and now and then one that is not. Then it is opened, recovered,
// written to, closed and opened again, as lib/ does it.
//
// What must hold: no assertion, no finding of a sanitizer, memory and time below the limits of scripts/fuzz.mjs; where it
// is refused, nothing was written, and it is refused again the same; where it opens, the master is as it was, the slaves
// equal it where the log named extents and are as they were elsewhere, and it opens again.
#include "../../core/base/headroom.h"
#include "../../core/format/block_seal.h"
#include "../../core/format/label.h"
#include "../../core/format/record.h"
#include "../support/format_samples.h"
#include "fuzz.h"
#include "sparse_mirror.h"

using namespace blockmirror;
using fuzz::Disks;
using fuzz::Opening;

namespace {

constexpr std::uint64_t kImageSize = 2 * kMiB;
constexpr std::uint64_t kLabel = kImageSize - kLabelAreaLength;
constexpr unsigned kMostForgeries = 24;

void expect(bool holds, const char* what) { BLOCKMIRROR_ASSERT(holds, what); }

// Reads the input from its start; zeroes behind its end.
class Cursor {
 public:
  Cursor(const std::uint8_t* data, std::size_t size) : at_(data), left_(size) {}
  bool ended() const { return left_ == 0; }
  std::uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *at_++;
  }
  std::uint64_t bytes(unsigned count) {
    std::uint64_t value = 0;
    for (unsigned i = 0; i < count; ++i) value |= std::uint64_t{byte()} << (8 * i);
    return value;
  }
  // Around what the formats limit, or any.
  std::uint64_t number(std::uint64_t now) {
    static constexpr std::uint64_t kEdges[] = {
        0,           kUpdates.most_read, kSequences.most_read, kOpenings.most_read,
        kLatestDate, kPositionLimit,     ~std::uint64_t{0},    std::uint64_t{1} << 32};
    const std::uint8_t kind = byte();
    const std::uint64_t nearby = std::uint64_t{byte()} - 8;
    if (kind < 96) return now + nearby;
    if (kind < 192) return kEdges[kind % std::size(kEdges)] + nearby;
    return bytes(8);
  }

 private:
  const std::uint8_t* at_;
  std::size_t left_;
};

// --- the mirrors that are forged

// Master and slaves differ everywhere, so that every block that is copied shows.
void fill_images(Disks& disks) {
  std::array<std::byte, kSimulatedSector> bytes;
  for (std::size_t i = 0; i < disks.images.size(); ++i) {
    for (std::uint64_t sector = 0; sector < fuzz::kMirrorSize / kSimulatedSector; ++sector) {
      bytes.fill(static_cast<std::byte>(16 * (i + 1) + sector % 13));
      disks.images[i].set(sector, SectorRef::of(bytes.data()));
    }
  }
}

Disks make(unsigned images, bool crashed, bool fractured) {
  Disks disks{SparseDisk(log_length(fuzz::kRingRecords, kMinimumRecordSize, fuzz::kMirrorSize)), {}};
  for (unsigned i = 0; i < images; ++i) disks.images.emplace_back(kImageSize);
  Disks found{SparseDisk(0), {}};
  {
    Opening creation(disks);
    expect(creation.create().ok(), "a mirror is made");
    for (unsigned i = 0; i < 11; ++i) {
      expect(creation.write({i % 3 * 65536 + i / 3 * 8192, 4096}, 1).ok(), "it is written");
    }
    found = disks;
    if (!crashed) expect(creation.run(creation.session.close()).ok(), "it is closed");
  }
  if (!crashed) found = disks;
  if (fractured) {
    std::vector<std::byte> copy(kSuperblockLength);
    found.log.read(0, copy);
    Superblock superblock;
    expect(decode_superblock(copy, superblock).ok(), "what was written is read");
    ImageRecord& fractured_image = superblock.images.back();
    fractured_image.state = ImageState::failed;
    fractured_image.debt = DebtKind::everything;
    fractured_image.fracture = {
        FractureCause::write_error, 1, {1, superblock.generation.id}, 1, superblock.incarnation, 0, {}};
    encode_superblock(superblock, copy);
    for (std::uint64_t at : {kSuperblockCopyA, kSuperblockCopyB}) {
      for (std::uint64_t i = 0; i < copy.size(); i += kSimulatedSector)
        found.log.set((at + i) / kSimulatedSector, SectorRef::of(copy.data() + i));
    }
  }
  fill_images(found);
  return found;
}

const Disks& base(std::uint8_t choice) {
  static const std::vector<Disks> bases = [] {
    std::vector<Disks> made;
    for (unsigned images : {2u, 3u}) {
      for (bool crashed : {true, false}) made.push_back(make(images, crashed, false));
    }
    made.push_back(make(3, true, true));
    return made;
  }();
  return bases[choice % bases.size()];
}

// --- forging

std::vector<std::byte> read(const SparseDisk& disk, std::uint64_t position, std::uint64_t length) {
  std::vector<std::byte> bytes(length);
  disk.read(position, bytes);
  return bytes;
}

void put(SparseDisk& disk, std::uint64_t position, std::span<const std::byte> bytes) {
  for (std::uint64_t at = 0; at < bytes.size(); at += kSimulatedSector)
    disk.set((position + at) / kSimulatedSector, SectorRef::of(bytes.data() + at));
}

struct Field {
  std::uint16_t offset;
  std::uint8_t width;
};
// docs/FORMAT.md
constexpr Field kHeaderFields[] = {
    {8, 4},   {16, 8},  {24, 8},   {32, 8},   {40, 8},   {80, 8},   {88, 4},   {92, 4},   {96, 8},   {104, 8},
    {112, 4}, {116, 4}, {120, 4},  {124, 4},  {128, 8},  {136, 8},  {168, 8},  {176, 8},  {192, 8},  {208, 8},
    {216, 8}, {224, 1}, {225, 1},  {226, 1},  {227, 1},  {232, 8},  {240, 8},  {248, 8},  {256, 4},  {264, 1},
    {265, 1}, {266, 1}, {272, 8},  {280, 8},  {288, 8},  {296, 8},  {336, 4},  {344, 8},  {352, 8},  {360, 8},
    {368, 1}, {432, 8}, {440, 8},  {448, 8},  {456, 8},  {464, 8},  {472, 1},  {480, 8},  {488, 8},  {496, 8},
    {512, 8}, {536, 8}, {2048, 8}, {2064, 1}, {2065, 1}, {2080, 8}, {2848, 8}, {2880, 8}, {3648, 8}, {3680, 8}};
constexpr Field kEntryFields[] = {{0, 8},   {16, 1},  {17, 1},  {18, 1},  {19, 1},  {24, 8},  {32, 8},
                                  {40, 8},  {72, 8},  {80, 8},  {88, 4},  {96, 1},  {104, 8}, {112, 8},
                                  {120, 8}, {136, 8}, {144, 8}, {160, 8}, {168, 8}, {184, 8}, {200, 8},
                                  {216, 1}, {224, 8}, {232, 8}, {240, 8}, {248, 8}, {256, 8}, {272, 8},
                                  {280, 8}, {296, 8}, {304, 8}, {312, 8}, {328, 8}, {512, 8}};
constexpr Field kLabelFields[] = {{8, 4},   {16, 8},  {24, 8},  {32, 8},  {40, 8},   {72, 8},   {88, 1},   {89, 1},
                                  {90, 1},  {91, 1},  {92, 1},  {93, 1},  {96, 8},   {104, 8},  {112, 8},  {120, 8},
                                  {128, 8}, {144, 8}, {160, 8}, {168, 8}, {184, 8},  {192, 8},  {208, 8},  {216, 8},
                                  {232, 8}, {256, 8}, {512, 8}, {536, 8}, {2048, 8}, {2064, 8}, {2072, 1}, {2560, 8}};

void change(Cursor& input, std::span<std::byte> block, std::size_t offset, unsigned width) {
  std::uint64_t now = 0;
  for (unsigned i = 0; i < width; ++i) now |= static_cast<std::uint64_t>(block[offset + i]) << (8 * i);
  const std::uint64_t value = input.number(now);
  for (unsigned i = 0; i < width; ++i) block[offset + i] = static_cast<std::byte>(value >> (8 * i));
}

// Which copies: both, A, B, or both with one of them not sealed.
void forge_block(Cursor& input, SparseDisk& disk, std::uint64_t copy_a, std::uint64_t distance, std::size_t length,
                 Field field) {
  const std::uint8_t which = input.byte();
  std::vector<std::byte> block = read(disk, copy_a + (which & 4 ? distance : 0), length);
  change(input, block, field.offset, field.width);
  std::vector<std::byte> torn = block;
  test::reseal(block);
  if ((which & 3) != 1) put(disk, copy_a, (which & 3) == 3 ? torn : block);
  if ((which & 3) != 2) put(disk, copy_a + distance, block);
}

void forge_superblock(Cursor& input, Disks& disks) {
  const std::uint8_t choice = input.byte();
  Field field{};
  if (choice < 128) {
    field = kHeaderFields[choice % std::size(kHeaderFields)];
  } else if (choice < 240) {
    field = kEntryFields[choice % std::size(kEntryFields)];
    field.offset =
        static_cast<std::uint16_t>(field.offset + kSuperblockHeaderLength + kImageEntryLength * (choice / 16 % 4));
  } else {
    field = {static_cast<std::uint16_t>(input.bytes(2) % (kSuperblockLength - 8)), 8};
  }
  forge_block(input, disks.log, kSuperblockCopyA, kSuperblockCopyB - kSuperblockCopyA, kSuperblockLength, field);
}

void forge_label(Cursor& input, Disks& disks) {
  SparseDisk& image = disks.images[input.byte() % disks.images.size()];
  const Field field = kLabelFields[input.byte() % std::size(kLabelFields)];
  forge_block(input, image, kLabel, kLabelCopyDistance, kLabelCopyLength, field);
}

Uuid log_uuid(const Disks& disks) {
  const std::vector<std::byte> header = read(disks.log, 0, kSimulatedSector);
  Uuid uuid;
  std::copy_n(header.begin() + 64, uuid.bytes.size(), uuid.bytes.begin());
  return uuid;
}

void seal_record(const Uuid& log, std::span<std::byte> record, std::uint64_t sequence, std::uint32_t opening) {
  for (std::uint32_t sector = 0; sector < record.size() / kSectorLength; ++sector) {
    store_little_endian(record.data() + sector * kSectorLength + kSectorPayload, sequence);
    store_little_endian(record.data() + sector * kSectorLength + kSectorPayload + 8, opening);
    test::reseal_sector(log, sector, record);
  }
}

// A whole record with a header and intents of any numbers, in its slot.
void forge_record(Cursor& input, Disks& disks) {
  const std::uint64_t slot = input.byte() % fuzz::kRingRecords;
  const std::uint64_t position = kRingPosition + slot * kMinimumRecordSize;
  std::vector<std::byte> record = read(disks.log, position, kMinimumRecordSize);
  const std::uint8_t which = input.byte();
  if (which & 1) change(input, record, 8, 8);    // sequence
  if (which & 2) change(input, record, 16, 4);   // opening
  if (which & 4) change(input, record, 24, 8);   // generation
  if (which & 8) change(input, record, 32, 8);   // durable through
  if (which & 16) change(input, record, 40, 8);  // tail
  const unsigned intents = which >> 5;
  if (intents > 0) {
    std::fill(record.begin() + 64, record.begin() + kSectorPayload, std::byte{0});
    for (unsigned i = 0; i < intents; ++i) {
      const std::uint8_t kind = input.byte();
      const std::uint64_t at = (kind & 2) ? input.number(fuzz::kMirrorSize) : std::uint64_t{input.byte()} * 4096;
      const std::uint64_t length = (kind & 4) ? input.number(kMiB) : 4096u * (1u + (kind >> 3));
      store_little_endian(record.data() + 64 + 16 * i, at);
      store_little_endian(record.data() + 72 + 16 * i, (length & ((1ull << 56) - 1)) | 1ull << 56);
    }
    store_little_endian<std::uint32_t>(record.data() + 20, intents);
    store_little_endian<std::uint32_t>(record.data() + 48, intents);
  }
  const auto sequence = load_little_endian<std::uint64_t>(record.data() + 8);
  const auto opening = load_little_endian<std::uint32_t>(record.data() + 16);
  seal_record(log_uuid(disks), record, sequence, opening);
  put(disks.log, position, record);
}

// A whole lap as this opening would have written it, with a tail of any distance: full, empty or anything between.
void forge_lap(Cursor& input, Disks& disks) {
  const std::vector<std::byte> header = read(disks.log, 0, kSimulatedSector);
  const auto opening = load_little_endian<std::uint32_t>(header.data() + 168);
  const auto first = load_little_endian<std::uint64_t>(header.data() + 208) % kSequences.most_read + input.byte() % 16;
  const std::uint64_t tail = first + input.byte() % (fuzz::kRingRecords + 2);
  const std::uint8_t block = input.byte();
  for (std::uint64_t sequence = first; sequence < first + fuzz::kRingRecords; ++sequence) {
    if (opening == 0 || sequence == 0) return;
    const RecordHeader record{sequence, opening, 1, sequence - 1, std::min(tail, sequence + 1)};
    const Intent intent = test::extent_intent((block + sequence) % 128 * 4096, 4096);
    const std::vector<std::byte> bytes =
        test::encoded(log_uuid(disks), record, std::span(&intent, sequence % 3 == 0 ? 1 : 0));
    put(disks.log, kRingPosition + sequence % fuzz::kRingRecords * kMinimumRecordSize, bytes);
  }
}

// Some sectors of a record, under a stamp of their own: torn, foreign or from another time.
void forge_sectors(Cursor& input, Disks& disks) {
  const std::uint64_t slot = input.byte() % fuzz::kRingRecords;
  const std::uint64_t position = kRingPosition + slot * kMinimumRecordSize;
  std::vector<std::byte> record = read(disks.log, position, kMinimumRecordSize);
  const std::uint32_t first = input.byte() % 8;
  change(input, record, first * kSectorLength + kSectorPayload, 8);
  change(input, record, first * kSectorLength + kSectorPayload + 8, 4);
  const std::uint8_t sealed = input.byte();
  for (std::uint32_t sector = first; sector < 8; ++sector) {
    if (sector > first)
      std::copy_n(record.begin() + first * kSectorLength + kSectorPayload, 12,
                  record.begin() + sector * kSectorLength + kSectorPayload);
    if (sealed != 255) test::reseal_sector(log_uuid(disks), sector, record);
  }
  put(disks.log, position, record);
}

Disks forge(Cursor& input) {
  Disks disks = base(input.byte());
  for (unsigned i = 0; i < kMostForgeries && !input.ended(); ++i) {
    switch (input.byte() % 9) {
      case 0:
      case 1:
      case 2:
        forge_superblock(input, disks);
        break;
      case 3:
        forge_label(input, disks);
        break;
      case 4:
      case 5:
      case 6:
        forge_record(input, disks);
        break;
      case 7:
        forge_lap(input, disks);
        break;
      default:
        forge_sectors(input, disks);
    }
  }
  return disks;
}

// --- what must hold

bool equal(const SparseDisk& one, const SparseDisk& other, Extent extent) {
  return read(one, extent.position, extent.length) == read(other, extent.position, extent.length);
}

// Where a debt was paid the slave holds what the master does, and what it held elsewhere; the master is as it was.
void check_images(const Disks& before, const Disks& after, const Opening& opening) {
  const Superblock& superblock = opening.session.superblock();
  const Extent whole{0, superblock.size};
  expect(equal(before.images[0], after.images[0], whole), "the master is as it was");
  for (std::size_t i = 1; i < superblock.images.size() && i < after.images.size(); ++i) {
    const ImageState state = superblock.images[i].state;
    const bool receives =
        state == ImageState::in_sync || state == ImageState::assumed || state == ImageState::synchronizing;
    ExtentSet untouched;
    untouched.add(whole);
    for (const Extent& extent : opening.assessment.debt.extents()) {
      if (!receives) break;
      expect(equal(after.images[0], after.images[i], extent), "a debt was paid");
      untouched.remove(extent);
    }
    for (const Extent& extent : untouched.extents())
      expect(equal(before.images[i], after.images[i], extent), "what the log did not name is as it was");
  }
}

// Numbers of the last that a reader takes grow by an opening, and are refused then: nobody but a forger gets there.
bool is_used_up(const Superblock& superblock, std::uint64_t sequence) {
  return !kUpdates.allows(superblock.update, Bound::read) || !kOpenings.allows(superblock.open_count, Bound::read) ||
         !kGenerations.allows(superblock.generation.counter, Bound::read) || !kSequences.allows(sequence, Bound::read);
}

void open_again(Disks& disks) {
  Opening again(disks);
  expect(again.open().ok(), "it opens again");
  expect(again.assessment.clean, "a mirror that was closed is clean");
}

void drive(Disks& disks) {
  const Disks before = disks;
  bool used_up = false;
  {
    Opening opening(disks);
    const Outcome outcome = opening.open();
    if (!outcome.ok()) {
      expect(opening.writes() == 0, "what is refused is not written");
      Opening again(disks);
      const Outcome repeated = again.open();
      expect(repeated.code == outcome.code && repeated.image == outcome.image, "it is refused the same each time");
      return;
    }
    expect(opening.recover().ok(), "what was opened is recovered");
    check_images(before, disks, opening);
    const std::uint64_t block = opening.session.superblock().block_size;
    const Outcome written = opening.write({0, block}, 0xee);
    expect(written.ok() || written.code == Code::TOO_FEW_IN_SYNC, "it is written");
    expect(opening.run(opening.session.close()).ok(), "it is closed");
    used_up = is_used_up(opening.session.superblock(), opening.session.snapshot().sequence + 1) ||
              is_used_up(opening.session.superblock(), opening.session.superblock().sealed_sequence);
  }
  if (!used_up) open_again(disks);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Cursor input(data, size);
  Disks disks = forge(input);
  drive(disks);
  return 0;
}
