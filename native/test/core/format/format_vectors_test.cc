// The bytes on the disk do not change by accident: encoders must still make the committed vectors, decoders must still
// find in them what the committed expectation says. test/format/log_reader.test.ts reads the same files with a reader that
// was written from docs/FORMAT.md alone.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "../../support/format_json.h"
#include "../../support/format_samples.h"
#include "../../support/format_vectors.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

std::filesystem::path folder() {
  return std::filesystem::path(__FILE__).parent_path() / "../../../../test/format/vectors";
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream input(path, std::ios::binary);
  REQUIRE_MESSAGE(input.good(), path.string());
  return {std::istreambuf_iterator<char>(input), std::istreambuf_iterator<char>()};
}

}  // namespace

TEST_CASE("encoders make the committed golden vectors") {
  for (const FormatVector& vector : format_vectors()) {
    CAPTURE(vector.name);
    CHECK(read_file(folder() / (vector.name + ".hex")) == to_hex_file(vector.bytes));
    CHECK(read_file(folder() / (vector.name + ".json")) == vector.expectation);
  }
}

TEST_CASE("decoders find in the committed golden vectors what the expectation says") {
  const std::vector<std::byte> superblock_bytes = from_hex_file(read_file(folder() / "superblock.hex"));
  Superblock superblock;
  REQUIRE(decode_superblock(superblock_bytes, superblock).ok());
  CHECK(to_json(superblock).str() + "\n" == read_file(folder() / "superblock.json"));
  const std::vector<std::byte> roles_bytes = from_hex_file(read_file(folder() / "superblock-roles.hex"));
  REQUIRE(decode_superblock(roles_bytes, superblock).ok());
  CHECK(to_json(superblock).str() + "\n" == read_file(folder() / "superblock-roles.json"));
  const std::vector<std::byte> label_bytes = from_hex_file(read_file(folder() / "label.hex"));
  Label label;
  REQUIRE(decode_label(label_bytes, label).ok());
  CHECK(to_json(label).str() + "\n" == read_file(folder() / "label.json"));
  for (const char* name : {"record-blank", "record-intents", "record-8k", "slot-torn", "slot-damaged"}) {
    CAPTURE(name);
    const std::vector<std::byte> bytes = from_hex_file(read_file(folder() / (std::string(name) + ".hex")));
    const Slot slot = decode_slot(uuid_of(0x20), bytes);
    CHECK(to_json(slot).str() + "\n" == read_file(folder() / (std::string(name) + ".json")));
  }
}

TEST_CASE("what format 1 wrote is recognised as whole, and refused by name") {
  const std::vector<std::byte> log = from_hex_file(read_file(folder() / "version-1-superblock.hex"));
  std::vector<std::byte> copy(kSuperblockLength);  // of which the old one is the beginning
  std::copy(log.begin(), log.end(), copy.begin());
  std::fill(copy.begin() + static_cast<std::ptrdiff_t>(log.size()), copy.end(), std::byte{7});
  Superblock superblock;
  const Outcome of_log = decode_superblock(copy, superblock);
  CHECK(of_log.code == Code::UNKNOWN_VERSION);
  CHECK(of_log.position == 1);
  copy[log.size() - 1] ^= std::byte{1};
  CHECK(decode_superblock(copy, superblock).code == Code::LOG_DAMAGED);
  const std::vector<std::byte> image = from_hex_file(read_file(folder() / "version-1-label.hex"));
  Label label;
  const Outcome of_label = decode_label(image, label);
  CHECK(of_label.code == Code::UNKNOWN_VERSION);
  CHECK(of_label.position == 1);
}

// By hand, after a change of the format that is meant: blockmirror_tests --no-skip -tc='golden vectors are written anew'
TEST_CASE("golden vectors are written anew" * doctest::skip()) {
  std::filesystem::create_directories(folder());
  for (const FormatVector& vector : format_vectors()) {
    std::ofstream(folder() / (vector.name + ".hex"), std::ios::binary) << to_hex_file(vector.bytes);
    std::ofstream(folder() / (vector.name + ".json"), std::ios::binary) << vector.expectation;
  }
}
