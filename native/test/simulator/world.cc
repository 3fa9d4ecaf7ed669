#include "world.h"

#include <cstring>
#include <optional>

#include "../../core/session/session.h"
#include "../support/copy_steps.h"

namespace blockmirror::simulator {
namespace {

Task<void> format(Session& session, FormatOptions options, std::optional<Outcome>& result) {
  ExtentSet copied;
  if (!options.assume_identical) copied.add({0, options.size});
  Outcome outcome = co_await session.plan_format(std::move(options));
  if (outcome.ok()) outcome = co_await session.format();
  if (outcome.ok()) outcome = co_await session.format_flush_master();
  std::vector<std::vector<Extent>> steps = test::copy_steps(copied);
  for (std::size_t i = 0; outcome.ok() && i < steps.size(); ++i) {
    CopyResult result_of_step;
    outcome = co_await session.recover_copy(std::move(steps[i]), false, false, result_of_step);
  }
  if (outcome.ok()) outcome = co_await session.recover_flush_slaves();
  if (outcome.ok()) outcome = co_await session.recover_retire({});
  if (outcome.ok()) outcome = co_await session.close();
  result = outcome;
}

}  // namespace

std::string words_of(const Action& action) {
  const std::string where =
      " sectors " + std::to_string(action.sector) + ".." + std::to_string(action.sector + action.sectors - 1);
  switch (action.kind) {
    case Action::Kind::write:
      return "write" + where;
    case Action::Kind::durable_write:
      return "write with dsync" + where;
    case Action::Kind::partial_write:
      return "write a part of the blocks of" + where;
    case Action::Kind::discard:
      return "discard" + where;
    case Action::Kind::flush:
      return "datasync";
    case Action::Kind::read:
      return "read" + where;
    case Action::Kind::retire:
      return "retire everything";
    case Action::Kind::quiet:
      return "wait until the mirror is quiet";
    case Action::Kind::verify:
      return "verify";
    case Action::Kind::abort:
      return "call off what is under way";
  }
  return "";
}

std::vector<SectorRef> contents_of(const Action& action) {
  std::vector<SectorRef> contents(action.sectors);
  if (action.kind == Action::Kind::discard) return contents;
  for (std::uint32_t i = 0; i < action.sectors; ++i) {
    std::array<std::byte, kSimulatedSector> bytes;
    Random random(action.content * 4096 + action.sector + i);
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
      const std::uint64_t word = random.next();
      std::memcpy(bytes.data() + at, &word, 8);
    }
    contents[i] = SectorRef::of(bytes.data());
  }
  return contents;
}

Created create(const World& world) {
  const std::uint64_t image_size = (world.mirror_size + 2 * kMiB - 1) / kMiB * kMiB;
  Disks disks;
  disks.emplace_back(log_length(world.ring_records, world.record_size));
  for (unsigned i = 0; i <= world.slaves; ++i) disks.emplace_back(image_size);
  Machine machine(std::move(disks), 0, nullptr, world.shape());
  Session session(machine);
  FormatOptions options;
  options.size = world.mirror_size;
  options.ring_records = world.ring_records;
  options.assume_identical = !world.proven;  // all of them are zeroes
  std::vector<Device*> images;
  for (unsigned i = 0; i <= world.slaves; ++i) {
    images.push_back(&machine.device(i + 1));
    FormatOptions::Image image;
    image.name = i == 0 ? "master" : "slave" + std::to_string(i);
    image.path = "/" + image.name;
    options.images.push_back(image);
  }
  session.set_log(machine.device(0));
  session.set_images(images);
  std::optional<Outcome> result;
  spawn(format(session, options, result));
  while (!result) {
    machine.settle_ready();
    BLOCKMIRROR_ASSERT(result || machine.completable() > 0, "creating a mirror stands still");
    if (!result) machine.complete(0);
  }
  BLOCKMIRROR_ASSERT(result->ok(), "a mirror could not be created");
  const Superblock& superblock = session.superblock();
  Created created;
  created.geometry.mirror_size = superblock.size;
  created.geometry.ring_position = superblock.ring.position;
  created.geometry.record_size = superblock.ring.record_size;
  created.geometry.record_count = superblock.ring.record_count;
  for (const ImageRecord& image : superblock.images) created.geometry.label_positions.push_back(image.label_position);
  created.disks = machine.disks();
  return created;
}

}  // namespace blockmirror::simulator
