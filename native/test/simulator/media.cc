#include "media.h"

#include <algorithm>

#include "../../core/base/bytes.h"
#include "../../core/base/crc32c.h"

namespace blockmirror::simulator {

SectorRef MediaFaults::damage(VolatileDisk& disk, std::uint64_t sector) const {
  std::array<std::byte, kSimulatedSector> garbage;
  Random random(sector);
  for (std::byte& byte : garbage) byte = static_cast<std::byte>(random.next());
  const SectorRef content = SectorRef::of(garbage.data());
  disk.overwrite(sector, content);
  return content;
}

bool MediaFaults::claims_in_sync(const Disks& disks, unsigned image) const {
  for (std::uint64_t position : {std::uint64_t{0}, std::uint64_t{65536}}) {
    std::vector<std::byte> copy(kStoredSuperblock);
    disks[0].content().read(position, copy);
    const StoredState state = stored_state(copy.data(), image);
    if (state != StoredState::in_sync && state != StoredState::assumed) return false;
  }
  return true;
}

// A record that was certainly durable goes back to what the slot held at an earlier time. The newest ones are spared: the
// log cannot tell them from records that never landed (ring_scan.cc says why).
bool MediaFaults::make_stale(Disks& disks, unsigned pick, bool& still_counts) const {
  // Records in flight at most, and one that may be torn itself.
  const std::uint64_t window = geometry_.record_count / 4 + 1;
  const std::uint64_t sectors = geometry_.record_size / kSimulatedSector;
  const std::uint64_t first = geometry_.ring_position / kSimulatedSector;
  const auto header_of = [&](std::uint64_t slot) { return disks[0].content().get(first + slot * sectors); };
  std::uint64_t newest = 0, tail = 0;
  for (std::uint64_t slot = 0; slot < geometry_.record_count; ++slot) {
    // Of those that the next crash cannot take away: else the stale one might then stand where one may be torn.
    const SectorRef durable = disks[0].durable().get(first + slot * sectors);
    newest = std::max(newest, number_at<std::uint64_t>(durable.bytes(), 8));
    tail = std::max(tail, number_at<std::uint64_t>(header_of(slot).bytes(), 40));
  }
  // One that still counts, if there is one: the scan must not overlook that it is gone.
  std::uint64_t slot = pick % geometry_.record_count, sequence = 0;
  for (std::uint64_t i = 0; i < geometry_.record_count; ++i, slot = (slot + 1) % geometry_.record_count) {
    sequence = number_at<std::uint64_t>(header_of(slot).bytes(), 8);
    if (sequence >= tail && sequence + window <= newest) break;
  }
  if (sequence + window > newest) return false;
  still_counts = sequence >= tail;
  const SparseDisk& old = past_[pick / 16 % past_.size()].disks[0].durable();
  bool changed = false;
  for (std::uint64_t i = 0; i < sectors; ++i) {
    const std::uint64_t at = first + slot * sectors + i;
    changed |= !(old.get(at) == disks[0].content().get(at));
    disks[0].overwrite(at, old.get(at));
  }
  return changed;
}

// One copy of the superblock becomes that of before an opening which got as far as running, under a number that would make
// it the newer one for ever, sealed as if a mirror had written it.
bool MediaFaults::make_absurd(Disks& disks, unsigned pick) const {
  std::size_t newest = past_.size();
  while (newest > 0 && !past_[newest - 1].ran) --newest;
  if (newest == 0) return false;
  constexpr std::uint64_t kCopies[] = {0, 65536};
  std::vector<std::byte> copy(kStoredSuperblock);
  past_[pick / 2 % newest].disks[0].durable().read(kCopies[pick % 2], copy);
  store_little_endian(copy.data() + 32, ~std::uint64_t{0});
  store_little_endian(copy.data() + 12, std::uint32_t{0});
  store_little_endian(copy.data() + 12, crc32c(copy));
  for (std::size_t at = 0; at < copy.size(); at += kSimulatedSector)
    disks[0].overwrite((kCopies[pick % 2] + at) / kSimulatedSector, SectorRef::of(copy.data() + at));
  return true;
}

// Only copies that are older than an opening that got as far as writing: the others are still true.
bool MediaFaults::restore(Disks& disks, unsigned disk, unsigned pick) const {
  if (disk > 0 && !claims_in_sync(disks, disk - 1)) return false;
  std::size_t newest = past_.size();
  while (newest > 0 && !past_[newest - 1].ran) --newest;
  if (newest == 0) return false;
  disks[disk] = VolatileDisk(past_[pick % newest].disks[disk].durable());
  return true;
}

// One that every copy of the superblock calls out. A copy of an opening in which it was out already is no older one.
bool MediaFaults::restore_slave(Disks& disks, unsigned disk, unsigned pick) const {
  for (std::uint64_t position : {std::uint64_t{0}, std::uint64_t{65536}}) {
    std::vector<std::byte> copy(kStoredSuperblock);
    disks[0].content().read(position, copy);
    const StoredState state = stored_state(copy.data(), disk - 1);
    if (state != StoredState::behind && state != StoredState::inconsistent && state != StoredState::failed)
      return false;
  }
  if (past_.empty()) return false;
  disks[disk] = VolatileDisk(past_[pick % past_.size()].disks[disk].durable());
  return true;
}

namespace {

struct Marks {
  std::uint64_t openings = 0;
  std::uint64_t lowest = ~0ull;  // generation, of the two copies
  std::uint64_t highest = 0;
  bool one_opening = true;  // both copies are of the same
  void add(std::uint64_t of_openings, std::uint64_t generation) {
    one_opening &= openings == 0 || openings == of_openings;
    openings = of_openings;
    lowest = std::min(lowest, generation);
    highest = std::max(highest, generation);
  }
};

Marks marks_of_log(const VolatileDisk& log) {
  Marks marks;
  for (std::uint64_t sector : {0, 128}) {
    const SectorRef header = log.durable().get(sector);
    marks.add(stored_openings(header.bytes()), stored_generation(header.bytes()));
  }
  return marks;
}

Marks marks_of_label(const VolatileDisk& image, std::uint64_t position) {
  Marks marks;
  for (std::uint64_t sector : {position / kSimulatedSector, position / kSimulatedSector + 1024}) {
    const SectorRef header = image.durable().get(sector);
    marks.add(label_openings(header.bytes()), label_generation(header.bytes()));
  }
  return marks;
}

}  // namespace

void MediaFaults::watch_generation(const Disks& disks) {
  if (!before_.empty() && marks_of_log(disks[0]).highest > marks_of_log(before_[0]).highest)
    generations_.push_back(before_);
  before_ = disks;
}

// A copy of the opening that was cut off. Of an image: two fractures older than the log, since one alone may be a crash
// between the log and the labels. Of the log: older than the label of the master.
bool MediaFaults::restore_generation(Disks& disks, unsigned disk, unsigned pick) const {
  if (generations_.empty() || (disk > 0 && !claims_in_sync(disks, disk - 1))) return false;
  const VolatileDisk& old = generations_[pick % generations_.size()][disk];
  const unsigned judge = std::max(disk, 1u);
  const Marks log = marks_of_log(disk == 0 ? old : disks[0]);
  const Marks label = marks_of_label(disk == 0 ? disks[1] : old, geometry_.label_positions[judge - 1]);
  const bool one_opening = log.one_opening && label.one_opening && log.openings == label.openings;
  const bool older = disk == 0 ? log.highest < label.lowest : label.highest + 2 <= log.lowest;
  if (!one_opening || !older) return false;
  disks[disk] = VolatileDisk(old.durable());
  return true;
}

void MediaFaults::strike(const PlannedFault& fault, Disks& disks, LifePlan& next, Expectation& expectation,
                         Verdict& verdict) const {
  bool struck = true;
  // A log that is older than an image is told by the first image that says so.
  const auto refuse = [&](Code code, unsigned disk) {
    expectation.refusal_expected = true;
    for (unsigned image = 0; image + 1 < disks.size(); ++image) {
      if (disk == 0 || disk == image + 1) expectation.refusals.push_back({code, static_cast<ImageIndex>(image)});
    }
  };
  switch (fault.fault) {
    case Fault::damaged_log_sector: {
      const std::uint64_t sectors = std::uint64_t{geometry_.record_count} * geometry_.record_size / kSimulatedSector;
      damage(disks[0], geometry_.ring_position / kSimulatedSector + fault.ordinal % sectors);
      expectation.damage_possible = expectation.damage_expected = true;
      break;
    }
    case Fault::unreadable_log_sector:
      // The third read is that of the ring, the ones after it go record by record.
      // First in the list: no other fault may take their requests.
      next.faults.insert(next.faults.begin(), {{Fault::read_error, 0, 2},
                                               {Fault::read_error, 0, 3 + fault.ordinal % geometry_.record_count}});
      expectation.damage_possible = expectation.damage_expected = true;
      break;
    case Fault::stale_log_record: {
      bool still_counts = false;
      struck = make_stale(disks, fault.ordinal, still_counts);
      expectation.damage_possible |= struck;
      expectation.damage_expected |= struck && still_counts;
      break;
    }
    case Fault::damaged_superblock_copy:
      damage(disks[0], (fault.ordinal % 2 == 0 ? 0 : 128) + fault.ordinal / 2 % 12);
      expectation.copies_damaged = true;  // the other copy may have been torn by the crash
      break;
    case Fault::absurd_update_number:
      struck = make_absurd(disks, fault.ordinal);
      expectation.copies_damaged |= struck;
      break;
    case Fault::damaged_label_copy:
      damage(disks[fault.disk], geometry_.label_positions[fault.disk - 1] / kSimulatedSector +
                                    (fault.ordinal % 2 == 0 ? 0 : 1024) + fault.ordinal / 2 % 2);
      expectation.copies_damaged = true;
      break;
    case Fault::rotten_sector:
      expectation.rotten.push_back({fault.disk, fault.ordinal, damage(disks[fault.disk], fault.ordinal)});
      break;
    case Fault::restored_image:
      struck = restore(disks, fault.disk, fault.ordinal);
      if (struck) refuse(Code::STALE_IMAGE, fault.disk);
      break;
    case Fault::restored_slave:
      struck = restore_slave(disks, fault.disk, fault.ordinal);
      if (struck) expectation.restored |= 1u << (fault.disk - 1);
      break;
    case Fault::restored_log:
      struck = restore(disks, 0, fault.ordinal);
      if (struck) refuse(Code::STALE_LOG, 0);
      break;
    case Fault::restored_image_generation:
      struck = restore_generation(disks, fault.disk, fault.ordinal);
      if (struck) refuse(Code::STALE_IMAGE, fault.disk);
      break;
    case Fault::restored_log_generation:
      struck = restore_generation(disks, 0, fault.ordinal);
      if (struck) refuse(Code::STALE_LOG, 0);
      break;
    default:
      struck = false;
  }
  if (struck) verdict.count(fault.fault);
}

}  // namespace blockmirror::simulator
