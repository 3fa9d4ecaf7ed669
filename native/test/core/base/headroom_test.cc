// Absurd numbers under right checksums: refused at load, before anything is written, and each time the same.
#include "../../../core/base/headroom.h"

#include <doctest/doctest.h>

#include <regex>

#include "../../../core/images/membership.h"
#include "../../../core/log/intent_log.h"
#include "../../support/format_samples.h"
#include "../../support/recovery_steps.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

struct Forged {
  const char* what;
  std::size_t offset;
  std::size_t width;
  std::uint64_t value;
};

constexpr std::uint64_t kEnd = ~std::uint64_t{0};
constexpr std::size_t kEntry0 = 8192, kEntry1 = kEntry0 + 2048, kEntry2 = kEntry0 + 2 * 2048;

// docs/FORMAT.md, Superblock.
constexpr Forged kForgedSuperblocks[] = {
    {"the update number is beyond what a mirror can reach", 32, 8, kUpdates.most_read + 1},
    {"the update number is beyond what a mirror can reach", 32, 8, kEnd},
    {"the generation is beyond what a mirror can reach", 128, 8, kGenerations.most_read + 1},
    {"the open count is used up", 168, 8, kOpenings.most_read + 1},
    {"the open count is used up", 168, 8, kEnd},
    {"the first sequence is beyond what a mirror can reach", 208, 8, kSequences.most_read + 1},
    {"the sealed sequence is beyond what a mirror can reach", 216, 8, kEnd},
    {"a field holds a value that is not known", 224, 1, 4},
    {"there is no master", 225, 1, 3},
    {"the most images are too many, or too few", 226, 1, 17},
    {"a reserved byte is not zero", 229, 1, 1},
    {"the date of the create is not valid", 40, 8, kLatestDate + 1},
    {"the process of the owner is not valid", 336, 4, std::uint64_t{kLargestProcess} + 1},
    {"a reserved byte is not zero", 340, 4, 1},
    {"the date of the opening is not valid", 344, 8, kLatestDate + 1},
    {"the host of the owner is no name", 368, 1, 0x1b},
    {"the date of the last recovery is not valid", 432, 8, kEnd},
    {"the last recovery counted more than there is", 440, 8, kEnd},
    {"the last recovery counted more than there is", 464, 8, kEnd},
    {"a field holds a value that is not known", 472, 1, 2},
    {"the process of the owner is not valid", 352, 8, kEnd},
    {"the process of the owner is not valid", 360, 8, kEnd},
    {"the date of the last verify is not valid", 480, 8, kLatestDate + 1},
    {"the last verify counted more than there is", 488, 8, kEnd},
    {"the last verify counted more than there is", 496, 8, kEnd},
    {"a block size is not valid", 88, 4, 0x80000000},
    {"a block size is not valid", 92, 4, 513},
    {"the size of the mirror is not valid", 80, 8, kEnd - 511},
    {"the count or the size of the ring's records is not valid", 112, 4, 0x80000000},
    {"the count or the size of the ring's records is not valid", 116, 4, 0xffffffff},
    {"the records in flight are too many or none", 120, 4, 0xffffffff},
    {"the ring does not lie inside of the log", 104, 8, kEnd - 4095},
    {"the ring does not lie inside of the log", 96, 8, kEnd},
    {"too many images, or too few", 124, 4, 0xffffffff},
    {"the error of an image is not valid", kEntry0 + 88, 4, 4096},
    {"the error of an image is not valid", kEntry0 + 88, 4, 0xffffffff},
    {"a date of an image is not valid", kEntry0 + 72, 8, kEnd},
    {"a date of an image is not valid", kEntry1 + 240, 8, kLatestDate + 1},
    {"an image differs by more than there is", kEntry0 + 80, 8, kEnd},
    {"the label of an image does not lie behind the mirror", kEntry0 + 32, 8, kEnd - 0xfffff},
    {"the name of an image is not valid", kEntry1 + 40, 1, '_'},
    {"the name of an image is not valid", kEntry1 + 41, 1, '\n'},
    {"the label that an image was told is not valid", kEntry1 + 248, 8, kUpdates.most_read + 1},
    {"the label that an image was told is not valid", kEntry1 + 272, 8, kEnd},
    {"a limit of an image is not valid", kEntry1 + 296, 8, kEnd},
    {"a limit of an image is not valid", kEntry1 + 304, 8, kLargestSetting + 1},
    {"the serial number of an image is not valid", kEntry1 + 328, 1, 0x1b},
    {"a fracture has no date", kEntry2 + 104, 8, kLatestDate + 1},
    {"a fracture has no generation", kEntry2 + 112, 8, 4},
    {"a fracture is of no opening", kEntry2 + 136, 8, 6},
    {"the tail of a fracture is beyond what a mirror can reach", kEntry2 + 160, 8, kSequences.most_read + 1},
    {"the fracture maps do not lie behind the ring", 240, 8, kEnd - 4095},
    {"the fracture maps are too short", 248, 8, kEnd - 4095},
    {"the unit of the fracture maps is not valid", 256, 4, 0x80000000},
    {"the size that the mirror grows to is not valid", 232, 8, kEnd - 511},
    {"the least images in sync are too many, or none", 264, 1, 17},
    {"a policy is beyond what can be set", 272, 8, kLargestSetting + 1},
    {"a policy is beyond what can be set", 280, 8, kEnd},
    {"a policy is beyond what can be set", 288, 8, kEnd},
    {"a policy is beyond what can be set", 296, 8, kEnd},
    {"the history of generations is newer than the generation", 512, 8, kEnd},
};

// docs/FORMAT.md, Label.
constexpr Forged kForgedLabels[] = {
    {"the update number is beyond what a mirror can reach", 32, 8, kUpdates.most_read + 1},
    {"the update number is beyond what a mirror can reach", 32, 8, kEnd},
    {"the generation is beyond what a mirror can reach", 120, 8, kEnd},
    {"the open count is used up", 160, 8, kOpenings.most_read + 1},
    {"the label does not lie behind the mirror", 112, 8, kEnd - 0xfffff},
    {"the name of the image is not valid", 256, 1, '.'},
    {"an image has no place among the others", 88, 1, 16},
    {"there is no master", 91, 1, 5},
    {"a date of a label is not valid", 184, 8, kLatestDate + 1},
    {"the date of an image's state is not valid", 2048 + 16, 8, kLatestDate + 1},
    {"a reserved byte is not zero", 94, 1, 1},
};

std::vector<std::byte> forged(std::vector<std::byte> block, const Forged& forged) {
  for (std::size_t i = 0; i < forged.width; ++i) {
    block[forged.offset + i] = static_cast<std::byte>(forged.value >> (8 * i));
  }
  reseal(block);
  return block;
}

std::vector<std::byte> copy_at(const SimulatedDevice& device, std::uint64_t position, std::uint64_t length) {
  const std::span<const std::byte> durable = device.durable();
  const std::span<const std::byte> copy = durable.subspan(position, length);
  return {copy.begin(), copy.end()};
}

}  // namespace

TEST_CASE("a superblock with an absurd number is damaged, and says by which") {
  const std::vector<std::byte> whole = encoded(sample_superblock());
  for (const Forged& one : kForgedSuperblocks) {
    CAPTURE(one.what);
    CAPTURE(one.offset);
    Superblock found;
    const Outcome outcome = decode_superblock(forged(whole, one), found);
    CHECK(outcome.code == Code::LOG_DAMAGED);
    CHECK(std::string(outcome.reason) == one.what);
  }
}

TEST_CASE("a label with an absurd number is damaged, and says by which") {
  const std::vector<std::byte> whole = encoded(label_for(sample_superblock(), 1));
  for (const Forged& one : kForgedLabels) {
    CAPTURE(one.what);
    Label found;
    const Outcome outcome = decode_label(forged(whole, one), found);
    CHECK(outcome.code == Code::LABEL_DAMAGED);
    CHECK(std::string(outcome.reason) == one.what);
  }
}

TEST_CASE("numbers at the last that is allowed are read") {
  Superblock sample = sample_superblock();
  sample.update = kUpdates.most_read;
  sample.images[2].fracture.tail = kSequences.most_read;
  sample.generation.counter = kGenerations.most_read;
  sample.open_count = kOpenings.most_read;
  sample.first_sequence = sample.sealed_sequence = kSequences.most_read;
  sample.created_at_ms = sample.owner.started_at_ms = kLatestDate;
  Superblock found;
  CHECK(decode_superblock(encoded(sample), found).ok());
  Label label;
  CHECK(decode_label(encoded(label_for(sample, 1)), label).ok());
}

TEST_CASE("of two copies, one with an absurd update number never counts as the newer") {
  const std::vector<std::byte> whole = encoded(sample_superblock());
  Superblock stale = sample_superblock();
  stale.update -= 7;
  stale.images[2].state = ImageState::in_sync;
  stale.images[2].pay_debt();
  const std::vector<std::byte> absurd = forged(encoded(stale), {"", 32, 8, kEnd});
  for (bool first : {true, false}) {
    Superblock found;
    REQUIRE(choose_superblock(first ? absurd : whole, first ? whole : absurd, found).ok());
    CHECK(found.update == sample_superblock().update);
    CHECK(found.images[2].state == ImageState::failed);
  }
  SUBCASE("not even one of a version that is not known") {
    std::vector<std::byte> later = forged(absurd, {"", 8, 4, 3});
    Superblock found;
    CHECK(choose_superblock(whole, later, found).ok());
    CHECK(choose_superblock(later, later, found).code == Code::LOG_DAMAGED);
  }
}

TEST_CASE("where both copies are damaged the verdict says by what, and in which copy") {
  const std::vector<std::byte> used_up = forged(encoded(sample_superblock()), {"", 168, 8, kEnd});
  std::vector<std::byte> torn = encoded(sample_superblock());
  torn[5000] ^= std::byte{1};
  Superblock found;
  const Outcome in_a = choose_superblock(used_up, torn, found);
  CHECK(std::string(in_a.reason) == "the open count is used up");
  CHECK(in_a.position == 0);
  const Outcome in_b = choose_superblock(torn, used_up, found);
  CHECK(std::string(in_b.reason) == "the open count is used up");
  CHECK(in_b.position == kSuperblockCopyB);
  CHECK(std::string(choose_superblock(torn, torn, found).reason) == "the checksum does not hold");
}

TEST_CASE("a record with an absurd number is broken, mixed or not") {
  const Uuid log = uuid_of(0x20);
  const std::vector<std::byte> whole = encoded(log, {20, 3, 1, 19, 20}, {});
  const auto stamped = [&](std::uint32_t first_sector, std::uint64_t sequence) {
    std::vector<std::byte> record = whole;
    for (std::uint32_t sector = first_sector; sector < record.size() / kSectorLength; ++sector) {
      store_little_endian(record.data() + sector * kSectorLength + kSectorPayload, sequence);
      reseal_sector(log, sector, record);
    }
    return record;
  };
  for (std::uint32_t first : {0u, 4u}) {
    const Slot slot = decode_slot(log, stamped(first, kSequences.most_read + 1));
    CHECK(slot.state == SlotState::broken);
    CHECK(slot.stamps.empty());
    CHECK(std::string(slot.reason) == "a sequence beyond what a mirror can reach");
  }
}

TEST_CASE("a log whose numbers are at their end is refused each time, and nothing is written to it") {
  for (const Forged& one : kForgedSuperblocks) {
    if (one.value < kUpdates.most_read) continue;
    CAPTURE(one.what);
    RunningMirror mirror({});
    REQUIRE(mirror.run(mirror.session->close()).ok());
    for (std::uint64_t copy : {kSuperblockCopyA, kSuperblockCopyB}) {
      overwrite(mirror, *mirror.log, copy, forged(copy_at(*mirror.log, copy, kSuperblockLength), one));
    }
    const std::vector<std::byte> before = durable_copy(*mirror.log), master = durable_copy(*mirror.images[0]);
    for (unsigned attempt = 0; attempt < 2; ++attempt) {
      RecoverySteps steps;
      mirror.new_session();
      CHECK(mirror.run(steps.open(*mirror.session)).code == Code::LOG_DAMAGED);
    }
    CHECK(durable_copy(*mirror.log) == before);
    CHECK(durable_copy(*mirror.images[0]) == master);
  }
}

TEST_CASE("one copy of superblock and label with absurd numbers beside a good one does not refuse") {
  for (bool of_b : {false, true}) {
    RunningMirror mirror({});
    REQUIRE(mirror.run(mirror.session->close()).ok());
    const std::uint64_t copy = of_b ? kSuperblockCopyB : kSuperblockCopyA;
    overwrite(mirror, *mirror.log, copy, forged(copy_at(*mirror.log, copy, kSuperblockLength), {"", 32, 8, kEnd}));
    const std::uint64_t label = mirror.session->superblock().images[1].label_position + (of_b ? kLabelCopyDistance : 0);
    overwrite(mirror, *mirror.images[1], label,
              forged(copy_at(*mirror.images[1], label, kLabelCopyLength), {"", 32, 8, kEnd}));
    REQUIRE(mirror.open().ok());
    CHECK(mirror.session->superblock().update < 100);
  }
}

TEST_CASE("an update that would pass the last number is an error, and is not written") {
  RunningMirror mirror({});
  REQUIRE(mirror.run(mirror.session->close()).ok());
  // What no reader lets through: the number of a life that began long ago.
  Superblock superblock = mirror.session->superblock();
  superblock.update = kUpdates.most_written;
  Counters counters;
  Membership membership(mirror.runtime, superblock, counters);
  membership.set_log(*mirror.log);
  const std::vector<std::byte> before = durable_copy(*mirror.log);
  for (unsigned attempt = 0; attempt < 2; ++attempt) {
    const Outcome outcome = mirror.run(membership.write_superblock());
    CHECK(outcome.code == Code::LOG_FAILED);
    CHECK(outcome.system_error == EOVERFLOW);
  }
  CHECK(superblock.update == kUpdates.most_written);
  CHECK(durable_copy(*mirror.log) == before);
}

TEST_CASE("a ring without a free slot for the record that moves the tail is damaged, and rewritten") {
  for (bool full : {true, false}) {
    CAPTURE(full);
    RunningMirror mirror({.ring_records = 8});
    mirror.crash();
    const Superblock superblock = durable_superblock(*mirror.log);
    // A whole lap of this opening, none of which moved the tail as far as it must.
    const std::uint64_t first = superblock.first_sequence;
    for (std::uint64_t sequence = first; sequence < first + 8; ++sequence) {
      const RecordHeader header{sequence, static_cast<std::uint32_t>(superblock.open_count), 1, sequence - 1,
                                first + (full ? 0 : 1)};
      const std::uint64_t position = kRingPosition + sequence % 8 * superblock.ring.record_size;
      overwrite(mirror, *mirror.log, position, encoded(superblock.log_uuid, header, {}));
    }
    RecoverySteps steps;
    mirror.new_session();
    REQUIRE(mirror.run(steps.open(*mirror.session)).ok());
    CHECK(steps.assessment.damaged == full);
    CHECK(mirror.write({0, 4096}, 1).ok());
    REQUIRE(mirror.run(mirror.session->close()).ok());
    REQUIRE(mirror.open().ok());
  }
}

TEST_CASE("the names of images are those of the pattern") {
  const std::regex pattern{std::string(kImageNamePattern)};
  const std::string long_name(kImageNameLength, 'x');
  for (const std::string& name : {std::string("master"),
                                  std::string("a"),
                                  std::string("9.-_"),
                                  std::string("constructor"),
                                  long_name,
                                  long_name + "x",
                                  std::string(""),
                                  std::string("log"),
                                  std::string("log2"),
                                  std::string("_a"),
                                  std::string("-a"),
                                  std::string(".a"),
                                  std::string("a b"),
                                  std::string("a\n"),
                                  std::string("a\x1b"),
                                  std::string("\xc3\xa4"),
                                  std::string("__proto__"),
                                  std::string("a/b"),
                                  std::string("a=b"),
                                  std::string(1, '\0')}) {
    CAPTURE(name);
    CHECK(is_image_name(name) == std::regex_match(name, pattern));
  }
}

TEST_CASE("a host name is stored without control characters, and cut to its field") {
  CHECK(storable_host("host.example") == "host.example");
  CHECK(storable_host("a\x1b[2J\nb") == "a?[2J?b");
  CHECK(storable_host(std::string(200, 'h')).size() == kHostNameLength);
  CHECK(is_host(storable_host(std::string("\0\x7f", 2))));
  CHECK_FALSE(is_host("a\nb"));
}
