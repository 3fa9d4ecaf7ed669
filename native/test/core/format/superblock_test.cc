#include "../../../core/format/superblock.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "../../../core/format/judge_image.h"
#include "../../support/format_samples.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

Code decode(std::span<const std::byte> bytes) {
  Superblock into;
  return decode_superblock(bytes, into).code;
}

// One field of the encoded sample overwritten, the checksum valid again.
template <typename T>
Code with_field(std::size_t offset, T value) {
  std::vector<std::byte> bytes = encoded(sample_superblock());
  store_little_endian(bytes.data() + offset, value);
  reseal(bytes);
  return decode(bytes);
}

std::vector<std::byte> with_update(std::uint64_t update, const std::function<void(Superblock&)>& change = {}) {
  Superblock superblock = sample_superblock();
  superblock.update = update;
  if (change) change(superblock);
  return encoded(superblock);
}

std::vector<std::byte> patched(std::vector<std::byte> bytes, std::size_t offset, std::uint32_t value) {
  store_little_endian(bytes.data() + offset, value);
  reseal(bytes);
  return bytes;
}

constexpr std::size_t kVersion = 8, kIncompatible = 24;
constexpr std::size_t kImage0 = 8192, kImage1 = kImage0 + 2048, kImage2 = kImage1 + 2048, kUnusedImage = kImage2 + 2048;

}  // namespace

TEST_CASE("a superblock is read back as it was written, byte for byte when written again") {
  const Superblock sample = sample_superblock();
  const std::vector<std::byte> bytes = encoded(sample);
  Superblock found;
  REQUIRE(decode_superblock(bytes, found).ok());
  CHECK(encoded(found) == bytes);
  CHECK(found.compatible_features == sample.compatible_features);
  CHECK(found.update == 41);
  CHECK(found.mirror_uuid == sample.mirror_uuid);
  CHECK(found.log_uuid == sample.log_uuid);
  CHECK(found.size == sample.size);
  CHECK(found.block_size == 512);
  CHECK(found.physical_block_size == 4096);
  CHECK(found.log_size == sample.log_size);
  CHECK(found.ring.position == kRingPosition);
  CHECK(found.ring.record_size == 4096);
  CHECK(found.ring.record_count == 8);
  CHECK(found.ring.in_flight_limit == 2);
  CHECK(found.generation == sample.generation);
  CHECK(found.history == sample.history);
  CHECK(found.open_count == 5);
  CHECK(found.incarnation == sample.incarnation);
  CHECK(found.previous_incarnation == sample.previous_incarnation);
  CHECK(found.lifecycle == Lifecycle::open);
  CHECK(found.first_sequence == 20);
  CHECK(found.sealed_sequence == 19);
  CHECK(found.owner.host == "host.example");
  CHECK(found.owner.boot_id == sample.owner.boot_id);
  CHECK(found.owner.process == 4321);
  CHECK(found.owner.started_at_ms == 1700000001234);
  CHECK(found.owner.process_started == 123456);
  CHECK(found.owner.pid_namespace == 4026531836);
  CHECK(found.created_at_ms == 1690000000123);
  CHECK(found.last_recovery.finished_at_ms == 1700000000999);
  CHECK(found.last_recovery.live_intents == 7);
  CHECK(found.last_recovery.bytes_covered == 1048576);
  CHECK(found.last_recovery.bytes_copied == 524288);
  CHECK(found.last_recovery.duration_ms == 1500);
  CHECK(found.last_recovery.read_back);
  CHECK_FALSE(found.last_recovery.full_compare);
  CHECK(found.last_verify.finished_at_ms == 1700000002000);
  CHECK(found.last_verify.bytes_compared == 134217728);
  CHECK(found.last_verify.bytes_differed == 4096);
  CHECK(found.last_verify.bytes_repaired == 512);
  CHECK(found.images[2].error == 5);
  CHECK(found.images[2].changed_at_ms == 1700000001500);
  CHECK(found.images[1].bytes_differed == 4096);
  REQUIRE(found.images.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(found.images[i].uuid == sample.images[i].uuid);
    CHECK(found.images[i].state == sample.images[i].state);
    CHECK(found.images[i].path_kind == sample.images[i].path_kind);
    CHECK(found.images[i].name == sample.images[i].name);
    CHECK(found.images[i].path == sample.images[i].path);
    CHECK(found.images[i].device_size == sample.images[i].device_size);
    CHECK(found.images[i].label_position == sample.images[i].label_position);
    CHECK(found.images[i].debt == sample.images[i].debt);
    CHECK(found.images[i].fracture == sample.images[i].fracture);
  }
}

TEST_CASE("a superblock with the most images and the longest texts is read back") {
  Superblock superblock = sample_superblock();
  superblock.max_images = kMaxImages;
  superblock.log_size = log_length(8, 4096, superblock.size, kMaxImages);
  superblock.owner.host = std::string(kHostNameLength, 'h');
  while (superblock.images.size() < kMaxImages) {
    const auto index = static_cast<unsigned>(superblock.images.size());
    ImageRecord image = superblock.images[1];
    image.uuid = uuid_of(static_cast<std::uint8_t>(0x80 + index));
    image.name = std::string(kImageNameLength - 1, 'n') + static_cast<char>('a' + index);
    image.path = '/' + std::string(kImagePathLength - 2, 'p') + static_cast<char>('a' + index);
    superblock.images.push_back(image);
  }
  Superblock found;
  REQUIRE(decode_superblock(encoded(superblock), found).ok());
  CHECK(found.images[15].path == superblock.images[15].path);
  CHECK(found.images[15].name == superblock.images[15].name);
  CHECK(found.owner.host == superblock.owner.host);
}

TEST_CASE("any byte of a superblock changed is damage, or no superblock when it is the magic") {
  const std::vector<std::byte> good = encoded(sample_superblock());
  Random random(3);
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::vector<std::byte> bytes = good;
    bytes[at] ^= static_cast<std::byte>(1 + random.below(255));
    REQUIRE_MESSAGE(decode(bytes) == (at < 8 ? Code::NOT_A_LOG : Code::LOG_DAMAGED), "byte ", at);
  }
}

TEST_CASE("a superblock of any other length is damage") {
  std::vector<std::byte> bytes = encoded(sample_superblock());
  bytes.pop_back();
  CHECK(decode(bytes) == Code::LOG_DAMAGED);
  bytes.resize(kSuperblockLength + 1);
  CHECK(decode(bytes) == Code::LOG_DAMAGED);
}

TEST_CASE("a failed decode leaves what was there") {
  Superblock into = sample_superblock();
  into.update = 99;
  CHECK_FALSE(decode_superblock(std::vector<std::byte>(kSuperblockLength), into).ok());
  CHECK(into.update == 99);
  CHECK(into.images.size() == 3);
}

TEST_CASE("a whole superblock of another version is refused by name, an incompatible feature too") {
  CHECK(with_field<std::uint32_t>(kVersion, 3) == Code::UNKNOWN_VERSION);
  CHECK(with_field<std::uint32_t>(kVersion, 0) == Code::UNKNOWN_VERSION);
  CHECK(with_field<std::uint64_t>(kIncompatible, 1) == Code::UNKNOWN_FEATURE);
  CHECK(with_field<std::uint64_t>(kIncompatible, 1ull << 63) == Code::UNKNOWN_FEATURE);
}

TEST_CASE("a superblock with an impossible field is damage although its checksum holds") {
  struct Case {
    const char* what;
    std::size_t offset;
    std::uint64_t value;
    unsigned width;
  };
  const Case cases[] = {
      {"no mirror size", 80, 0, 8},
      {"a size that is no multiple of the block", 80, 64 * kTestMiB + 1, 8},
      {"a size beyond the label", 80, 65 * kTestMiB + 512, 8},
      {"a size beyond any", 80, 1ull << 63, 8},
      {"a block of 256 bytes", 88, 256, 4},
      {"a block that is no power of two", 88, 1536, 4},
      {"a block of 128 KiB", 88, 131072, 4},
      {"a physical block below the block", 92, 256, 4},
      {"a physical block that is no power of two", 92, 12288, 4},
      {"a physical block of 2 MiB", 92, 2 * kTestMiB, 4},
      {"a log too short for its ring and maps", 96, log_length(8, 4096, 64 * kTestMiB) - 2 * kTestMiB, 8},
      {"a log beyond any", 96, 1ull << 63, 8},
      {"a ring over the superblocks", 104, 4096, 8},
      {"a ring beyond the log", 104, 1ull << 62, 8},
      {"a ring that is misaligned", 104, kRingPosition + 512, 8},
      {"records of 2 KiB", 112, 2048, 4},
      {"records of 128 KiB", 112, 131072, 4},
      {"records that are no power of two", 112, 12288, 4},
      {"too few records", 116, 4, 4},
      {"too many records", 116, 2 * 1024 * 1024, 4},
      {"nothing in flight", 120, 0, 4},
      {"too many in flight", 120, 5, 4},
      {"no images", 124, 0, 4},
      {"one image", 124, 1, 4},
      {"fewer images than entries", 124, 2, 4},
      {"more images than entries", 124, 4, 4},
      {"more images than any", 124, 17, 4},
      {"generation 0", 128, 0, 8},
      {"a generation older than its history", 128, 1, 8},
      {"more openings than a record can tell apart", 168, 1ull << 32, 8},
      {"no opening although open", 168, 0, 8},
      {"a first sequence in the first lap", 208, 7, 8},
      {"a first sequence beyond any", 208, 1ull << 63, 8},
      {"a sealed sequence beyond any", 216, 1ull << 63, 8},
      {"a lifecycle beyond the last", 224, 4, 1},
      {"a master that is not there", 225, 3, 1},
      {"a master that is not in sync", 225, 2, 1},
      {"room for one image", 226, 1, 1},
      {"room for fewer images than there are", 226, 2, 1},
      {"room for more images than any", 226, 17, 1},
      {"a log of an unknown state", 227, 3, 1},
      {"a log that arrives from nowhere", 227, 1, 1},
      {"a log that moved nowhere", 227, 2, 1},
      {"padding behind the state of the log", 229, 1, 1},
      {"a mirror that grows smaller", 232, 32 * kTestMiB, 8},
      {"a mirror that grows by less than a block", 232, 64 * kTestMiB + 1, 8},
      {"a mirror that grows beyond its labels", 232, 66 * kTestMiB, 8},
      {"maps inside the ring", 240, kRingPosition, 8},
      {"maps beyond the log", 240, log_length(8, 4096, 64 * kTestMiB), 8},
      {"maps that are misaligned", 240, 2 * kTestMiB + 512, 8},
      {"slots too short for a map", 248, 4096, 8},
      {"slots that are misaligned", 248, 65536 + 512, 8},
      {"a unit of 2 KiB", 256, 2048, 4},
      {"a unit that is no power of two", 256, 12288, 4},
      {"padding behind the unit", 260, 1, 4},
      {"no image in sync at least", 264, 0, 1},
      {"an unknown policy of rejoin", 265, 2, 1},
      {"an unknown policy for the master", 266, 2, 1},
      {"padding in the policies", 267, 1, 1},
      {"padding behind the policies", 304, 1, 8},
      {"padding in the owner", 340, 1, 4},
      {"a host without an end", 431, 'x', 1},
      {"a flag that is neither", 472, 2, 1},
      {"padding behind the recovery", 474, 1, 1},
      {"a verify that repaired more than there is", 504, 1ull << 63, 8},
      {"a history that does not fall", 512, 1, 8},
      {"a hole in the history", 512 + 3 * 24, 1, 8},
      {"another log without a UUID", 2080, '/', 1},
      {"no other log, and it is lost", 2065, 1, 1},
      {"a predecessor without a path", 2848, 1, 8},
      {"padding in a log", 2848 + 18, 1, 1},
      {"padding behind the logs", 4448, 1, 8},
      {"padding at the end of the header", 8191, 1, 1},
      {"a state beyond the last", kImage1 + 16, 6, 1},
      {"a path kind beyond the last", kImage1 + 17, 3, 1},
      {"an unknown flag", kImage1 + 18, 4, 1},
      {"a debt beyond the last", kImage2 + 19, 3, 1},
      {"padding in an image", kImage1 + 20, 1, 1},
      {"a device too small for its label", kImage1 + 24, 66 * kTestMiB, 8},
      {"a label inside the mirror", kImage1 + 32, 63 * kTestMiB, 8},
      {"a label that is misaligned", kImage1 + 32, 65 * kTestMiB + 4096, 8},
      {"a label that is not at the end of its device", kImage1 + 24, 100 * kTestMiB, 8},
      {"a label in the log that is not there", kImage1 + 18, 1, 1},
      {"a relative path that starts at the top", kImage1 + 17, 1, 1},
      {"a path that is no URI", kImage1 + 17, 2, 1},
      {"no name", kImage1 + 40, 0, 8},
      {"a name without an end", kImage1 + 71, 'x', 1},
      {"bytes behind the end of a name", kImage1 + 70, 'x', 1},
      {"an errno beyond any", kImage1 + 88, 4096, 4},
      {"an error of an image in sync", kImage1 + 88, 5, 4},
      {"padding behind the errno", kImage1 + 92, 1, 4},
      {"a change beyond any date", kImage1 + 72, 1ull << 63, 8},
      {"a cause beyond the last", kImage2 + 96, 20, 1},
      {"padding behind the cause", kImage2 + 97, 1, 1},
      {"a fracture without a cause", kImage2 + 96, 0, 1},
      {"a fracture without a date", kImage2 + 104, 0, 8},
      {"a fracture of no generation", kImage2 + 112, 0, 8},
      {"a cause of an image in sync", kImage1 + 96, 1, 1},
      {"a failed image without a debt", kImage2 + 19, 0, 1},
      {"an image in sync with a debt", kImage1 + 19, 2, 1},
      {"a map without an id", kImage2 + 19, 1, 1},
      {"the id of a map that is none", kImage2 + 168, 1, 8},
      {"a barrier that nobody asked for", kImage2 + 184, 1, 8},
      {"the id of a resync that is none", kImage2 + 200, 1, 8},
      {"a resync without an id", kImage2 + 216, 1, 1},
      {"a resync beyond the last kind", kImage2 + 216, 5, 1},
      {"padding behind the kind of resync", kImage2 + 217, 1, 1},
      {"a cursor of no resync", kImage2 + 224, 4096, 8},
      {"a label told without a number", kImage1 + 256, 1, 8},
      {"a serial number without an end", kImage1 + 391, 'x', 1},
      {"padding behind the serial number", kImage1 + 392, 1, 8},
      {"bytes behind the end of a path", kImage1 + 512 + 766, 'x', 1},
      {"padding behind the path", kImage1 + 1280, 1, 8},
      {"an unused image that is not zero", kUnusedImage + 512, 1, 1},
      {"the last byte", kSuperblockLength - 1, 1, 1},
  };
  for (const Case& one : cases) {
    CAPTURE(one.what);
    Code code = Code::ok;
    if (one.width == 1) code = with_field(one.offset, static_cast<std::uint8_t>(one.value));
    if (one.width == 4) code = with_field(one.offset, static_cast<std::uint32_t>(one.value));
    if (one.width == 8) code = with_field(one.offset, one.value);
    CHECK(code == Code::LOG_DAMAGED);
  }
}

TEST_CASE("a path that is not normal is damage: it would lead elsewhere than its text says") {
  const auto absolute = [](const char* path) { return path_is_valid(path, PathKind::absolute); };
  const auto relative = [](const char* path) { return path_is_valid(path, PathKind::relative); };
  for (const char* path : {"/dev/sdb", "/a", "/..a/b..", "/a/.b"}) CHECK_MESSAGE(absolute(path), path);
  for (const char* path : {"a", "images/slave.img", "..a", ".a/b"}) CHECK_MESSAGE(relative(path), path);
  for (const char* path : {"", "/", "a", "/a/", "//a", "/a//b", "/a/../b", "/..", "/a/.", "/./a"})
    CHECK_FALSE_MESSAGE(absolute(path), path);
  for (const char* path : {"", "/a", "a/", "a//b", "../a", "a/../../b", "..", ".", "./a", "a/.."})
    CHECK_FALSE_MESSAGE(relative(path), path);
  CHECK_FALSE(path_is_valid(std::string("a\0b", 3), PathKind::relative));

  Superblock superblock = sample_superblock();
  std::vector<std::byte> bytes = encoded(superblock);
  const std::string climbing = "../../etc/shadow";  // of image 2, whose path is relative
  std::byte* const path = bytes.data() + kImage2 + 512;
  for (std::size_t i = 0; i <= superblock.images[2].path.size(); ++i) path[i] = std::byte{0};
  for (std::size_t i = 0; i < climbing.size(); ++i) path[i] = static_cast<std::byte>(climbing[i]);
  reseal(bytes);
  Superblock found;
  CHECK(decode_superblock(bytes, found).code == Code::LOG_DAMAGED);
}

TEST_CASE("two images that could be confused are damage") {
  const auto with_copied = [](std::size_t offset, std::size_t length) {
    std::vector<std::byte> bytes = encoded(sample_superblock());
    std::copy_n(bytes.begin() + kImage0 + offset, length, bytes.begin() + kImage1 + offset);
    reseal(bytes);
    return decode(bytes);
  };
  CHECK(with_copied(0, 16) == Code::LOG_DAMAGED);     // the UUID
  CHECK(with_copied(40, 32) == Code::LOG_DAMAGED);    // the name
  CHECK(with_copied(512, 768) == Code::LOG_DAMAGED);  // the path
}

TEST_CASE("the newer of two whole copies counts, wherever it stands") {
  Superblock found;
  REQUIRE(choose_superblock(with_update(8), with_update(7), found).ok());
  CHECK(found.update == 8);
  REQUIRE(choose_superblock(with_update(7), with_update(8), found).ok());
  CHECK(found.update == 8);
}

TEST_CASE("one whole copy is enough, whatever the other is") {
  const std::vector<std::byte> whole = with_update(7), zeroes(kSuperblockLength), unreadable;
  std::vector<std::byte> torn = with_update(8);
  std::fill(torn.begin() + kSuperblockHeaderLength, torn.end(), std::byte{0});
  using Bytes = const std::vector<std::byte>;
  for (Bytes* other : {&zeroes, &unreadable, static_cast<Bytes*>(&torn)}) {
    Superblock found;
    REQUIRE(choose_superblock(whole, *other, found).ok());
    CHECK(found.update == 7);
    REQUIRE(choose_superblock(*other, whole, found).ok());
    CHECK(found.update == 7);
  }
}

TEST_CASE("without a whole copy the answer names what is there") {
  const std::vector<std::byte> zeroes(kSuperblockLength), unreadable;
  std::vector<std::byte> damaged = with_update(7);
  damaged[4000] = std::byte{1};
  const std::vector<std::byte> later = patched(with_update(7), kVersion, 3);
  const auto choose = [](std::span<const std::byte> a, std::span<const std::byte> b) {
    Superblock into;
    const Outcome outcome = choose_superblock(a, b, into);
    CHECK(outcome.image == kLogDevice);
    return outcome.code;
  };
  CHECK(choose(zeroes, zeroes) == Code::NOT_A_LOG);
  CHECK(choose(damaged, damaged) == Code::LOG_DAMAGED);
  CHECK(choose(zeroes, damaged) == Code::LOG_DAMAGED);
  CHECK(choose(zeroes, unreadable) == Code::LOG_DAMAGED);
  CHECK(choose(unreadable, unreadable) == Code::READ_FAILED);
  CHECK(choose(later, damaged) == Code::UNKNOWN_VERSION);
  CHECK(choose(zeroes, later) == Code::UNKNOWN_VERSION);
}

TEST_CASE("a create that was cut off while it took a log over has it, from its first copy on") {
  const auto with = [](std::uint8_t log_uuid, Lifecycle lifecycle, std::uint64_t update) {
    Superblock superblock = sample_superblock();
    superblock.log_uuid.bytes[0] = std::byte{log_uuid};
    superblock.lifecycle = lifecycle;
    superblock.update = update;
    std::vector<std::byte> copy(kSuperblockLength);
    encode_superblock(superblock, copy);
    return copy;
  };
  const auto former = with(1, Lifecycle::open, 900), taken = with(2, Lifecycle::creating, 1);
  Superblock found;
  REQUIRE(choose_superblock(taken, former, found).ok());
  CHECK(found.log_uuid.bytes[0] == std::byte{2});
  CHECK(found.lifecycle == Lifecycle::creating);
  // Copy A is written first: the other way round it is nothing that a create leaves.
  CHECK(choose_superblock(former, taken, found).code == Code::LOG_DAMAGED);
  CHECK(choose_superblock(with(2, Lifecycle::open, 1), former, found).code == Code::LOG_DAMAGED);
}

TEST_CASE("a newer copy of an unknown version or feature is not passed over for an older one that we know") {
  Superblock found;
  CHECK(choose_superblock(patched(with_update(8), kVersion, 3), with_update(7), found).code == Code::UNKNOWN_VERSION);
  CHECK(choose_superblock(with_update(7), patched(with_update(8), kIncompatible, 1), found).code ==
        Code::UNKNOWN_FEATURE);
  REQUIRE(choose_superblock(patched(with_update(6), kVersion, 3), with_update(7), found).ok());
  CHECK(found.update == 7);
}

TEST_CASE("two whole copies that contradict each other are damage") {
  Superblock found;
  const auto other_mirror = with_update(8, [](Superblock& superblock) { superblock.mirror_uuid = uuid_of(0x90); });
  const auto other_log = with_update(8, [](Superblock& superblock) { superblock.log_uuid = uuid_of(0x90); });
  const auto same_update = with_update(7, [](Superblock& superblock) { superblock.sealed_sequence = 21; });
  CHECK(choose_superblock(with_update(7), other_mirror, found).code == Code::LOG_DAMAGED);
  CHECK(choose_superblock(with_update(7), other_log, found).code == Code::LOG_DAMAGED);
  CHECK(choose_superblock(with_update(7), same_update, found).code == Code::LOG_DAMAGED);
}

TEST_CASE("the log holds the ring and a map for each image, nothing overlapping") {
  CHECK(log_length(4096, 4096, 64 * kTestMiB) == 18 * kTestMiB);
  const MapGeometry maps = planned_maps(kRingPosition + 8 * 4096, 64 * kTestMiB);
  CHECK(maps.position == 2 * kTestMiB);
  CHECK(maps.slot(15) + maps.slot_length <= log_length(8, 4096, 64 * kTestMiB, 16));
}

TEST_CASE("a bit of a map stands for 4 KiB up to 1 TiB, for at most 64 KiB beyond, and then maps grow") {
  constexpr std::uint64_t kTiB = std::uint64_t{1} << 40;
  CHECK(planned_map_unit(512) == 4096);
  CHECK(planned_map_unit(kTiB) == 4096);
  CHECK(planned_map_unit(kTiB + 512) == 8192);
  CHECK(planned_map_unit(16 * kTiB) == 65536);
  CHECK(planned_map_unit(64 * kTiB) == 65536);
  CHECK(planned_map_slot(16 * kTiB) == planned_map_slot(kTiB));
  CHECK(planned_map_slot(64 * kTiB) > 3 * planned_map_slot(16 * kTiB));
  const std::uint64_t most = (std::uint64_t{1} << 63) - 512;
  CHECK(MapShape{most, planned_map_unit(most)}.sectors() <= kLargestMapSectors);
}

TEST_CASE("roles, removed images, logs and policies are read back as they were written") {
  const Superblock sample = sample_with_roles();
  Superblock found;
  const Outcome outcome = decode_superblock(encoded(sample), found);
  CHECK(std::string(outcome.reason) == "");
  REQUIRE(outcome.ok());
  CHECK(encoded(found) == encoded(sample));
  CHECK(found.master == 2);
  CHECK(found.role_of(2) == Role::master);
  CHECK(found.role_of(1) == Role::slave);
  CHECK_FALSE(found.images[0].in_use());
  CHECK(found.images[1].map_id == uuid_of(0x70));
  CHECK(found.images[3].path == "nbd://192.0.2.7:10809/slave-2");
  CHECK(found.moved_to == sample.moved_to);
  CHECK(found.policies == sample.policies);
}

TEST_CASE("state, fracture, debt and resync of an image go together, or the superblock is damage") {
  const auto with = [](ImageState state, bool fracture, DebtKind debt, bool resync) {
    Superblock superblock = sample_superblock();
    std::vector<std::byte> bytes = encoded(superblock);
    std::byte* const entry = bytes.data() + kImage2;
    entry[16] = static_cast<std::byte>(state);
    entry[19] = static_cast<std::byte>(debt);
    store_little_endian<std::uint32_t>(entry + 88, 0);
    if (!fracture) std::fill(entry + 96, entry + 168, std::byte{0});
    entry[168] = debt == DebtKind::map ? std::byte{1} : std::byte{0};
    entry[200] = resync ? std::byte{1} : std::byte{0};
    entry[216] = resync ? std::byte{1} : std::byte{0};
    reseal(bytes);
    return decode(bytes);
  };
  enum { kNever, kMay, kMust };
  struct Row {
    ImageState state;
    int fracture, debt, resync;
  };
  const Row rows[] = {{ImageState::in_sync, kNever, kNever, kNever},   {ImageState::assumed, kNever, kNever, kNever},
                      {ImageState::behind, kMust, kMust, kNever},      {ImageState::synchronizing, kMay, kMay, kMust},
                      {ImageState::inconsistent, kMust, kMust, kMust}, {ImageState::failed, kMust, kMust, kMay}};
  for (const Row& row : rows) {
    for (bool fracture : {false, true}) {
      for (DebtKind debt : {DebtKind::none, DebtKind::map, DebtKind::everything}) {
        for (bool resync : {false, true}) {
          const auto fits = [](int needs, bool has) { return needs == kMay || has == (needs == kMust); };
          const bool good =
              fits(row.fracture, fracture) && fits(row.debt, debt != DebtKind::none) && fits(row.resync, resync);
          CAPTURE(static_cast<int>(row.state));
          CAPTURE(fracture);
          CAPTURE(static_cast<int>(debt));
          CAPTURE(resync);
          CHECK(with(row.state, fracture, debt, resync) == (good ? Code::ok : Code::LOG_DAMAGED));
        }
      }
    }
  }
}

TEST_CASE("a URI is one of an export, in printable characters") {
  for (const char* uri : {"nbd://h", "nbds://h:1/e", "nbd+unix:///e?socket=/run/s"})
    CHECK_MESSAGE(path_is_valid(uri, PathKind::uri), uri);
  for (const char* uri : {"nbd://", "http://h", "/nbd://h", "nbd://h e", "nbd://h\n", "nbd", "NBD://h"})
    CHECK_FALSE_MESSAGE(path_is_valid(uri, PathKind::uri), uri);
}

TEST_CASE("a create that was cut off while it took over a log of format 1 has it, from its first copy on") {
  Superblock superblock = sample_superblock();
  superblock.lifecycle = Lifecycle::creating;
  std::vector<std::byte> former(kSuperblockLength);
  std::copy_n(encoded(sample_superblock()).begin(), 20480, former.begin());
  store_little_endian<std::uint32_t>(former.data() + kVersion, 1);
  store_little_endian<std::uint64_t>(former.data() + 32, 900);
  reseal(std::span(former).first(20480));
  Superblock found;
  REQUIRE(choose_superblock(encoded(superblock), former, found).ok());
  CHECK(found.lifecycle == Lifecycle::creating);
  CHECK(choose_superblock(former, encoded(superblock), found).code == Code::UNKNOWN_VERSION);
  const Outcome refused = choose_superblock(former, former, found);
  CHECK(refused.code == Code::UNKNOWN_VERSION);
  CHECK(refused.position == 1);
}
