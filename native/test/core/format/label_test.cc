#include "../../../core/format/label.h"

#include <doctest/doctest.h>

#include <functional>

#include "../../support/format_samples.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

Code decode(std::span<const std::byte> bytes) {
  Label into;
  return decode_label(bytes, into).code;
}

template <typename T>
Code with_field(std::size_t offset, T value) {
  std::vector<std::byte> bytes = encoded(label_for(sample_superblock(), 1));
  store_little_endian(bytes.data() + offset, value);
  reseal(bytes);
  return decode(bytes);
}

std::vector<std::byte> with_update(std::uint64_t update, const Uuid& log_uuid = uuid_of(0x20)) {
  Label label = label_for(sample_superblock(), 1);
  label.update = update;
  label.log_uuid = log_uuid;
  return encoded(label);
}

struct Scene {
  Superblock log = sample_superblock();
  Label label = label_for(sample_superblock(), 1);
  Outcome found;
  unsigned index = 1;
  std::uint64_t device_size = sample_superblock().images[1].device_size;

  Code judge() const {
    const Outcome outcome = judge_label(log, index, found, label, device_size);
    CHECK(outcome.image == (outcome.ok() ? kNoImage : static_cast<ImageIndex>(index)));
    return outcome.code;
  }
};

// The sample, changed by `change`, judged.
Code judged(const std::function<void(Scene&)>& change) {
  Scene scene;
  change(scene);
  return scene.judge();
}

void make_opening(Scene& scene) {
  scene.log.lifecycle = Lifecycle::opening;
  scene.label.open_count = scene.log.open_count - 1;
  scene.label.incarnation = scene.log.previous_incarnation;
}

void fill_history(std::array<GenerationMark, kGenerationHistory>& history, std::uint64_t newest) {
  for (std::size_t i = 0; i < history.size(); ++i) {
    history[i] = {newest - i, uuid_of(static_cast<std::uint8_t>(0xa0 + newest - i))};
  }
}

}  // namespace

TEST_CASE("a label is read back as it was written, byte for byte when written again") {
  Label sample = label_for(sample_superblock(), 2);
  sample.sealed = true;
  const std::vector<std::byte> bytes = encoded(sample);
  Label found;
  REQUIRE(decode_label(bytes, found).ok());
  CHECK(encoded(found) == bytes);
  CHECK(found.compatible_features == sample.compatible_features);
  CHECK(found.update == sample.update);
  CHECK(found.mirror_uuid == sample.mirror_uuid);
  CHECK(found.log_uuid == sample.log_uuid);
  CHECK(found.image_uuid == sample.image_uuid);
  CHECK(found.role() == Role::slave);
  CHECK(found.index == 2);
  CHECK(found.master == 0);
  CHECK(found.peers == sample.peers);
  CHECK(found.peers[1].uuid == sample_superblock().images[1].uuid);
  CHECK(found.fractured_at_ms == 1700000001500);
  CHECK(found.written_at_ms == sample.written_at_ms);
  CHECK(found.log_path == "mirror.log");
  CHECK(found.state == ImageState::failed);
  CHECK(found.sealed);
  CHECK(found.name == "slave-2");
  CHECK(found.size == sample.size);
  CHECK(found.device_size == sample.device_size);
  CHECK(found.label_position == sample.label_position);
  CHECK(found.generation == sample.generation);
  CHECK(found.history == sample.history);
  CHECK(found.open_count == sample.open_count);
  CHECK(found.incarnation == sample.incarnation);
}

TEST_CASE("any byte of a label changed is damage, or no label when it is the magic") {
  const std::vector<std::byte> good = encoded(label_for(sample_superblock(), 1));
  Random random(4);
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::vector<std::byte> bytes = good;
    bytes[at] ^= static_cast<std::byte>(1 + random.below(255));
    REQUIRE_MESSAGE(decode(bytes) == (at < 8 ? Code::NO_LABEL : Code::LABEL_DAMAGED), "byte ", at);
  }
}

TEST_CASE("a label with an impossible field is damage although its checksum holds") {
  CHECK(with_field<std::uint8_t>(90, 0) == Code::ok);             // the helper itself changes nothing
  CHECK(with_field<std::uint64_t>(40, 0) == Code::ok);            // half a UUID of zeroes is still a UUID
  CHECK(with_field<std::uint8_t>(88, 2) == Code::LABEL_DAMAGED);  // another image's place
  CHECK(with_field<std::uint8_t>(88, 16) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint8_t>(91, 16) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint8_t>(91, 3) == Code::LABEL_DAMAGED);                   // a master that is not there
  CHECK(with_field<std::uint8_t>(92, 2) == Code::LABEL_DAMAGED);                   // a log behind a URI
  CHECK(with_field<std::uint8_t>(93, 1) == Code::LABEL_DAMAGED);                   // a resync without an id
  CHECK(with_field<std::uint64_t>(192, 1) == Code::LABEL_DAMAGED);                 // and an id without one
  CHECK(with_field<std::uint64_t>(208, 1) == Code::LABEL_DAMAGED);                 // a fracture of an image in sync
  CHECK(with_field<std::uint64_t>(216, 1) == Code::LABEL_DAMAGED);                 // a barrier without a fracture
  CHECK(with_field<std::uint64_t>(2048 + 3 * 32 + 16, 1) == Code::LABEL_DAMAGED);  // a date of nobody
  CHECK(with_field<std::uint64_t>(2560, 0x2f2f2f2f2f2f2f2f) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint8_t>(89, 6) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint8_t>(90, 2) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint8_t>(94, 1) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint64_t>(96, 0) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint64_t>(96, 511) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint64_t>(96, 67 * kTestMiB) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint64_t>(104, 66 * kTestMiB) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint64_t>(104, 1ull << 63) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint64_t>(112, 65 * kTestMiB + 512) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint64_t>(112, 63 * kTestMiB) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint64_t>(112, 65 * kTestMiB) == Code::LABEL_DAMAGED);   // not at the end of that device
  CHECK(with_field<std::uint64_t>(104, 100 * kTestMiB) == Code::LABEL_DAMAGED);  // nor at that of this one
  CHECK(with_field<std::uint64_t>(120, 0) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint64_t>(160, 1ull << 32) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint64_t>(248, 1) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint64_t>(512, 9) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint64_t>(256, 0) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint8_t>(287, 'x') == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint64_t>(288, 1) == Code::LABEL_DAMAGED);
  CHECK(with_field<std::uint8_t>(4095, 1) == Code::LABEL_DAMAGED);
}

TEST_CASE("a whole label of another version is refused by name, an incompatible feature too") {
  CHECK(with_field<std::uint32_t>(8, 3) == Code::UNKNOWN_VERSION);
  CHECK(with_field<std::uint64_t>(24, 4) == Code::UNKNOWN_FEATURE);
}

TEST_CASE("of two label copies the newer whole one counts") {
  const std::vector<std::byte> zeroes(kLabelCopyLength), unreadable;
  Label found;
  REQUIRE(choose_label(with_update(8), with_update(7), found).ok());
  CHECK(found.update == 8);
  REQUIRE(choose_label(with_update(7), with_update(8), found).ok());
  CHECK(found.update == 8);
  REQUIRE(choose_label(zeroes, with_update(7), found).ok());
  REQUIRE(choose_label(with_update(7), unreadable, found).ok());
  CHECK(choose_label(zeroes, zeroes, found).code == Code::NO_LABEL);
  CHECK(choose_label(zeroes, unreadable, found).code == Code::LABEL_DAMAGED);
  CHECK(choose_label(unreadable, unreadable, found).code == Code::READ_FAILED);
  CHECK(choose_label(with_update(7), with_update(8, uuid_of(0x99)), found).code == Code::LABEL_DAMAGED);
}

TEST_CASE("the label area is the last whole MiB, and there is none on a device without room for data") {
  CHECK(label_position(0) == 0);
  CHECK(label_position(2 * kTestMiB - 1) == 0);
  CHECK(label_position(2 * kTestMiB) == kTestMiB);
  CHECK(label_position(3 * kTestMiB - 512) == kTestMiB);
  CHECK(label_position(10 * kTestMiB + 512) == 9 * kTestMiB);
}

TEST_CASE("judge_label accepts the image that the log describes") {
  CHECK(judged([](Scene&) {}) == Code::ok);
  CHECK(judged([](Scene& scene) { scene.device_size += kTestMiB; }) == Code::ok);  // it grew: the label stays
}

TEST_CASE("judge_label answers what was found when that is no label") {
  for (Code code : {Code::NO_LABEL, Code::LABEL_DAMAGED, Code::UNKNOWN_VERSION, Code::UNKNOWN_FEATURE}) {
    CHECK(judged([&](Scene& scene) { scene.found = Outcome::of(code); }) == code);
  }
  Scene scene;
  scene.found = Outcome::of(Code::READ_FAILED, kNoImage, 5, 123);
  const Outcome outcome = judge_label(scene.log, 1, scene.found, scene.label, scene.device_size);
  CHECK(outcome.system_error == 5);
  CHECK(outcome.position == 123);
}

TEST_CASE("judge_label tells foreign, swapped and truncated images apart") {
  CHECK(judged([](Scene& scene) { scene.label.mirror_uuid = uuid_of(0x99); }) == Code::FOREIGN_IMAGE);
  CHECK(judged([](Scene& scene) { scene.label.log_uuid = uuid_of(0x99); }) == Code::FOREIGN_IMAGE);
  CHECK(judged([](Scene& scene) { scene.label.image_uuid = uuid_of(0x99); }) == Code::FOREIGN_IMAGE);
  CHECK(judged([](Scene& scene) { scene.label = label_for(scene.log, 0); }) == Code::SWAPPED_IMAGES);
  CHECK(judged([](Scene& scene) { scene.label.master = 1; }) == Code::SWAPPED_IMAGES);
  CHECK(judged([](Scene& scene) { scene.device_size -= 512; }) == Code::TRUNCATED_IMAGE);
  CHECK(judged([](Scene& scene) {
          scene.device_size = kTestMiB;
          scene.found = Outcome::of(Code::NO_LABEL);
        }) == Code::TRUNCATED_IMAGE);
  CHECK(judged([](Scene& scene) {
          scene.device_size = kTestMiB;
          scene.label = label_for(scene.log, 0);
        }) == Code::SWAPPED_IMAGES);
  CHECK(judged([](Scene& scene) { scene.label.size -= 512; }) == Code::LABEL_DAMAGED);
  CHECK(judged([](Scene& scene) { scene.label.label_position -= kTestMiB; }) == Code::LABEL_DAMAGED);
}

TEST_CASE("judge_label finds a restored image, a restored log, and two sides that both moved on") {
  CHECK(judged([](Scene& scene) { ++scene.label.open_count; }) == Code::STALE_LOG);
  CHECK(judged([](Scene& scene) { scene.label.open_count -= 2; }) == Code::STALE_IMAGE);
  CHECK(judged([](Scene& scene) { scene.label.incarnation = uuid_of(0x99); }) == Code::DIVERGED);
  CHECK(judged([](Scene& scene) {
          make_opening(scene);
          scene.log.lifecycle = Lifecycle::open;
        }) == Code::STALE_IMAGE);
  CHECK(judged([](Scene& scene) {
          make_opening(scene);
          scene.label.incarnation = uuid_of(0x99);
        }) == Code::DIVERGED);
}

TEST_CASE("judge_label accepts labels of this and the last opening while the log is opening, and no older ones") {
  CHECK(judged(make_opening) == Code::ok);
  CHECK(judged([](Scene& scene) { scene.log.lifecycle = Lifecycle::opening; }) == Code::ok);
  CHECK(judged([](Scene& scene) {
          make_opening(scene);
          --scene.label.open_count;
        }) == Code::STALE_IMAGE);
}

TEST_CASE("judge_label holds the seal of label and log against each other") {
  const auto seals = [](Lifecycle log, bool label) {
    return judged([&](Scene& scene) {
      scene.log.lifecycle = log;
      scene.label.sealed = label;
    });
  };
  CHECK(seals(Lifecycle::sealed, true) == Code::ok);
  CHECK(seals(Lifecycle::sealed, false) == Code::STALE_IMAGE);
  CHECK(seals(Lifecycle::open, true) == Code::ok);  // a crash while closing
  CHECK(seals(Lifecycle::opening, true) == Code::STALE_LOG);
}

TEST_CASE("judge_label accepts a label one generation behind, after a crash in a fracture, unless the log is sealed") {
  const auto one_behind = [](Scene& scene) {
    scene.label.generation = {2, uuid_of(0x31), uuid_of(0x32)};
    scene.label.history = {};
    scene.label.history[0] = {1, uuid_of(0x32)};
  };
  CHECK(judged(one_behind) == Code::ok);
  CHECK(judged([&](Scene& scene) {
          one_behind(scene);
          scene.log.lifecycle = Lifecycle::sealed;
          scene.label.sealed = true;
        }) == Code::STALE_IMAGE);
  CHECK(judged([&](Scene& scene) {
          one_behind(scene);
          make_opening(scene);
        }) == Code::ok);
}

TEST_CASE("judge_label tells an older generation of ours from one of another line") {
  CHECK(judged([](Scene& scene) { scene.label.generation = {1, uuid_of(0x32), {}}; }) == Code::STALE_IMAGE);
  CHECK(judged([](Scene& scene) { scene.label.generation = {1, uuid_of(0x99), {}}; }) == Code::DIVERGED);
  CHECK(judged([](Scene& scene) { scene.label.generation = {2, uuid_of(0x99), {}}; }) == Code::DIVERGED);
  CHECK(judged([](Scene& scene) { scene.label.generation.id = uuid_of(0x99); }) == Code::DIVERGED);
  CHECK(judged([](Scene& scene) {
          fill_history(scene.log.history, 40);
          scene.log.generation = {41, uuid_of(0xe1), scene.log.history[0].id};
          scene.label.generation = {3, uuid_of(0x99), {}};
        }) == Code::STALE_IMAGE);
}

TEST_CASE("judge_label tells a log that is behind from one of another line") {
  CHECK(judged([](Scene& scene) { scene.label.generation = {4, uuid_of(0x99), uuid_of(0x30)}; }) == Code::STALE_LOG);
  CHECK(judged([](Scene& scene) {
          scene.label.generation = {5, uuid_of(0x99), uuid_of(0x98)};
          scene.label.history[0] = {4, uuid_of(0x98)};
          scene.label.history[1] = {3, uuid_of(0x30)};
        }) == Code::STALE_LOG);
  CHECK(judged([](Scene& scene) { scene.label.generation = {4, uuid_of(0x99), uuid_of(0x98)}; }) == Code::DIVERGED);
  CHECK(judged([](Scene& scene) {
          fill_history(scene.label.history, 40);
          scene.label.generation = {41, uuid_of(0xe1), scene.label.history[0].id};
        }) == Code::STALE_LOG);
}

TEST_CASE("judge_label lets nothing that a failed image says stand in the way, as long as it is that image") {
  const auto failed = [](Scene& scene) {
    scene.log.images[1].state = ImageState::failed;
    scene.label.open_count = 2;
    scene.label.generation = {1, uuid_of(0x32), {}};
    scene.label.incarnation = uuid_of(0x99);
  };
  CHECK(judged(failed) == Code::ok);
  CHECK(judged([&](Scene& scene) {
          failed(scene);
          scene.label.open_count = 6;
        }) == Code::ok);
  CHECK(judged([&](Scene& scene) {
          failed(scene);
          scene.found = Outcome::of(Code::LABEL_DAMAGED);
          scene.device_size = 0;
        }) == Code::ok);
  for (ImageState out : {ImageState::behind, ImageState::inconsistent}) {
    CHECK(judged([&](Scene& scene) {
            failed(scene);
            scene.log.images[1].state = out;
            scene.label.open_count = 6;
          }) == Code::ok);
  }
  CHECK(judged([&](Scene& scene) {
          failed(scene);
          scene.label.log_uuid = uuid_of(0x99);
        }) == Code::FOREIGN_IMAGE);
}

TEST_CASE("judge_label expects nothing but identity while create is unfinished") {
  CHECK(judged([](Scene& scene) {
          scene.log.lifecycle = Lifecycle::creating;
          scene.label.open_count = 1;
          scene.label.generation = {1, uuid_of(0x32), {}};
        }) == Code::ok);
  CHECK(judged([](Scene& scene) {
          scene.log.lifecycle = Lifecycle::creating;
          scene.label = label_for(scene.log, 2);
        }) == Code::SWAPPED_IMAGES);
}
