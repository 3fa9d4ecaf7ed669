#include "crash_point.h"

#include <algorithm>

namespace blockmirror::simulator {

CrashPoint::CrashPoint(const Machine& machine, LostCaches lost) : machine_(machine), lost_(lost) {
  const Disks& disks = machine.disks();
  for (unsigned disk = 0; disk < disks.size(); ++disk) {
    base_hashes_.push_back(loses(disk) ? disks[disk].durable().hash() : disks[disk].hash());
    if (!loses(disk)) continue;
    for (const VolatileDisk::Unflushed& write : disks[disk].unflushed())
      add_option(disk, write.sector, write.content, false);
  }
  for (const Pending& pending : machine.pending()) {
    for (std::size_t i = 0; i < pending.write.sectors.size(); ++i)
      add_option(pending.disk, pending.write.first_sector + i, pending.write.sectors[i], true);
  }
  signature_ = lost_;
  for (std::uint64_t hash : base_hashes_) signature_ = mix_hash(signature_ + hash);
  for (const Digit& digit : digits_) {
    for (std::uint64_t contribution : digit.contributions)
      signature_ = mix_hash(signature_ + contribution + digit.disk);
  }
}

void CrashPoint::add_option(unsigned disk, std::uint64_t sector, const SectorRef& content, bool in_flight) {
  auto digit = std::find_if(digits_.begin(), digits_.end(),
                            [&](const Digit& have) { return have.disk == disk && have.sector == sector; });
  const VolatileDisk& of = machine_.disks()[disk];
  const SectorRef stays = loses(disk) ? of.durable().get(sector) : of.content().get(sector);
  if (digit == digits_.end()) {
    if (stays == content) return;
    digits_.push_back({disk, sector, {stays}, {SparseDisk::contribution(sector, stays)}, in_flight});
    digit = digits_.end() - 1;
  }
  if (std::find(digit->options.begin(), digit->options.end(), content) != digit->options.end()) return;
  digit->options.push_back(content);
  digit->contributions.push_back(SparseDisk::contribution(sector, content));
}

std::uint64_t CrashPoint::states(std::uint64_t limit) const {
  std::uint64_t count = 1;
  for (const Digit& digit : digits_) {
    count *= digit.options.size();
    if (count > limit) return limit + 1;
  }
  return count;
}

CrashPoint::Choice CrashPoint::everything() const {
  Choice choice;
  for (const Digit& digit : digits_) choice.push_back(static_cast<std::uint8_t>(digit.options.size() - 1));
  return choice;
}

CrashPoint::Choice CrashPoint::drawn(Random& random) const {
  Choice choice;
  const std::uint64_t density = 1 + random.below(3);  // of 4
  // Some crashes spare one disk and not the other, whatever the sector.
  const std::uint64_t favoured = random.below(2) == 0 ? random.next() : 0;
  for (const Digit& digit : digits_) {
    const bool all = favoured != 0 && (favoured >> (digit.disk * 2) & 1) != 0;
    const bool lands = all || random.below(4) < density;
    choice.push_back(static_cast<std::uint8_t>(lands ? 1 + random.below(digit.options.size() - 1) : 0));
  }
  return choice;
}

bool CrashPoint::advance(Choice& choice) const {
  for (std::size_t i = 0; i < choice.size(); ++i) {
    if (++choice[i] < digits_[i].options.size()) return true;
    choice[i] = 0;
  }
  return false;
}

std::uint64_t CrashPoint::hash(const Choice& choice) const {
  std::vector<std::uint64_t> hashes = base_hashes_;
  bool kept_changes = false;
  for (std::size_t i = 0; i < choice.size(); ++i) {
    if (choice[i] == 0) continue;
    const Digit& digit = digits_[i];
    if (!loses(digit.disk)) kept_changes = true;
    hashes[digit.disk] ^= digit.contributions[0] ^ digit.contributions[choice[i]];
  }
  if (kept_changes) return hash_of(build(choice));
  std::uint64_t hash = 0;
  for (std::uint64_t of_disk : hashes) hash = mix_hash(hash + 0x632be59bd9b4e019ull) ^ of_disk;
  return hash;
}

Disks CrashPoint::build(const Choice& choice) const {
  Disks disks;
  const Disks& before = machine_.disks();
  disks.reserve(before.size());
  for (unsigned disk = 0; disk < before.size(); ++disk) {
    if (loses(disk)) {
      SparseDisk durable = before[disk].durable();
      for (std::size_t i = 0; i < choice.size(); ++i) {
        if (digits_[i].disk == disk && choice[i] != 0) durable.set(digits_[i].sector, digits_[i].options[choice[i]]);
      }
      disks.emplace_back(std::move(durable));
    } else {
      disks.push_back(before[disk]);
      for (std::size_t i = 0; i < choice.size(); ++i) {
        if (digits_[i].disk == disk && choice[i] != 0)
          disks.back().write(digits_[i].sector, digits_[i].options[choice[i]], false);
      }
    }
  }
  return disks;
}

bool CrashPoint::lands(const Choice& choice) const {
  for (std::size_t i = 0; i < choice.size(); ++i) {
    if (digits_[i].in_flight && choice[i] != 0) return true;
  }
  return false;
}

std::string CrashPoint::words(const Choice& choice, const std::string& crash) const {
  std::string words = crash + "; of what was not certain these sectors land:";
  bool any = false;
  for (std::size_t i = 0; i < choice.size(); ++i) {
    if (choice[i] == 0) continue;
    const unsigned disk = digits_[i].disk;
    words += disk == 0 ? " log " : disk == 1 ? " master " : " slave" + std::to_string(disk - 1) + " ";
    words += std::to_string(digits_[i].sector);
    any = true;
  }
  return any ? words : crash + "; nothing that was not certain lands";
}

bool CrashPoint::tears(const Choice& choice) const {
  for (std::size_t i = 1; i < choice.size(); ++i) {
    const Digit &one = digits_[i - 1], &other = digits_[i];
    const bool neighbours =
        one.in_flight && other.in_flight && one.disk == other.disk && one.sector + 1 == other.sector;
    if (neighbours && (choice[i - 1] == 0) != (choice[i] == 0)) return true;
  }
  return false;
}

}  // namespace blockmirror::simulator
