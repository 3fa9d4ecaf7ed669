#include "world.h"

#include <cstring>

#include "creation.h"

namespace blockmirror::simulator {
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
    case Action::Kind::verify_repair:
      return "verify, and repair";
    case Action::Kind::rejoin:
      return "rejoin the slaves that are out";
    case Action::Kind::rejoin_full:
      return "rejoin the slaves that are out, in full";
    case Action::Kind::resync:
      return "resync in steps of " + std::to_string(action.sectors) + " sectors";
    case Action::Kind::fracture:
      return "fracture of slaves, of set " + std::to_string(action.sector);
    case Action::Kind::take:
      return "take" + where + " of slave " + std::to_string(action.content);
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

Disks blank_disks(const World& world) {
  const std::uint64_t image_size = (world.mirror_size + 2 * kMiB - 1) / kMiB * kMiB;
  Disks disks;
  disks.emplace_back(log_length(world.ring_records, world.record_size, world.mirror_size));
  for (unsigned i = 0; i <= world.slaves; ++i) disks.emplace_back(image_size);
  return disks;
}

Created create(const World& world) {
  CreationPlan plan;
  plan.assume_identical = !world.proven;  // all of them are zeroes
  Verdict verdict;
  OldestFirst oldest_first;
  Creation creation(world, plan, blank_disks(world), 0, verdict);
  while (creation.step(oldest_first)) {
  }
  BLOCKMIRROR_ASSERT(creation.outcome() && creation.outcome()->ok(), "a mirror could not be created");
  return {creation.machine().disks(), creation.geometry()};
}

}  // namespace blockmirror::simulator
