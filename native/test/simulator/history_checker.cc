#include "history_checker.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "../../core/format/history.h"

namespace blockmirror::simulator {
namespace {

// Of docs/FORMAT.md, "History".
constexpr std::uint32_t kEventMagic = 0x56454d42;
constexpr std::size_t kSequence = 8, kKind = 24, kImage = 25, kBefore = 26, kAfter = 27, kGenerationOf = 40,
                      kOpenings = 48, kBehindEvent = 508;
enum : unsigned {
  created = 1,
  opened = 2,
  fractured = 4,
  rejoined = 5,
  begun = 6,
  ended = 7,
  repaired = 9,
  closed = 18
};
constexpr unsigned kCreating = 0, kOpen = 2, kSealed = 3;

unsigned byte_at(const std::byte* bytes, std::size_t offset) { return std::to_integer<unsigned>(bytes[offset]); }
std::uint64_t sequence_of(const std::byte* event) { return number_at<std::uint64_t>(event, kSequence); }

// A change of an image's state: then a superblock says so.
bool is_change(const std::byte* event) {
  const unsigned kind = byte_at(event, kKind);
  if (kind == repaired) return byte_at(event, kBefore) != byte_at(event, kAfter);
  return kind == fractured || kind == rejoined || kind == begun || kind == ended;
}

std::uint64_t sector_of(std::uint64_t sequence) {
  return kStoredHistoryPosition / kSimulatedSector + sequence % kStoredEvents;
}

}  // namespace

std::uint64_t WrittenHistory::hash() const {
  std::uint64_t hash = 0;
  for (const Event& event : events)
    hash ^= mix_hash(event.sequence * 2 + (event.durable ? 1 : 0) + event.content.hash());
  return hash;
}

// By the real encoder, as a log that has been in use for long.
WrittenHistory fill_history(Disks& disks, std::uint64_t count) {
  std::vector<std::byte> superblock(kStoredSuperblock);
  disks[0].durable().read(0, superblock);
  Uuid uuid;
  uuid.bytes = stored_log(superblock.data());
  auto before = std::make_shared<std::vector<SectorRef>>();
  for (std::uint64_t sequence = 1; sequence <= count; ++sequence) {
    blockmirror::Event event;
    event.sequence = sequence;
    event.at_ms = 1;
    event.kind = EventKind::verified;
    std::array<std::byte, kSimulatedSector> sector;
    encode_event(uuid, event, sector);
    before->push_back(SectorRef::of(sector.data()));
    disks[0].write(sector_of(sequence), before->back(), true);
  }
  WrittenHistory written;
  written.before = std::move(before);
  return written;
}

HistoryChecker::HistoryChecker(WrittenHistory written, unsigned slaves, Violation violation)
    : written_(std::move(written)), slaves_(slaves), violation_(std::move(violation)) {}

// A checksum costs more than the rest of an opening: a copy that a crash has torn may claim too much here, never too little.
void HistoryChecker::begins(const SparseDisk& log, bool judge) {
  std::vector<std::byte> superblock(kStoredSuperblock);
  for (const std::uint64_t copy : {0, 65536}) {
    log.read(copy, superblock);
    claim(superblock.data());
  }
  for (std::uint64_t slot = 0; slot < kStoredEvents; ++slot) {
    const SectorRef content = log.get(sector_of(slot));
    if (number_at<std::uint32_t>(content.bytes(), 0) != kEventMagic) continue;
    newest_ = std::max(newest_, sequence_of(content.bytes()));
  }
  if (judge) judge_found(log);
}

void HistoryChecker::claim(const std::byte* superblock) {
  Claim claim;
  claim.generation = stored_generation(superblock);
  claim.openings = stored_openings(superblock);
  claim.lifecycle = byte_at(superblock, 224);
  for (unsigned i = 0; i <= slaves_; ++i) claim.states.push_back(stored_state(superblock, i));
  claims_.push_back(std::move(claim));
}

bool HistoryChecker::may_hold(std::uint64_t sequence, const SectorRef& content) const {
  const bool was_before = written_.before && sequence <= written_.before->size();
  if (was_before) return (*written_.before)[sequence - 1] == content;
  return std::any_of(written_.events.begin(), written_.events.end(), [&](const WrittenHistory::Event& event) {
    return event.sequence == sequence && event.content == content;
  });
}

void HistoryChecker::judge_found(const SparseDisk& log) const {
  for (std::uint64_t slot = 0; slot < kStoredEvents; ++slot) {
    const SectorRef content = log.get(sector_of(slot));
    if (content == SectorRef()) continue;
    const std::uint64_t sequence = sequence_of(content.bytes());
    if (sequence % kStoredEvents != slot || !may_hold(sequence, content))
      return violation_("history", "slot " + std::to_string(slot) + " of the history holds what nobody wrote there");
  }
  const auto missing = [&](std::uint64_t sequence, const SectorRef& content) {
    const bool passed =
        std::any_of(written_.events.begin(), written_.events.end(),
                    [&](const WrittenHistory::Event& event) { return event.sequence == sequence + kStoredEvents; });
    return !passed && !(log.get(sector_of(sequence)) == content);
  };
  const auto lost = [&](std::uint64_t sequence) {
    violation_("history", "event " + std::to_string(sequence) + " was durable before a crash, and is gone");
  };
  for (const WrittenHistory::Event& event : written_.events) {
    if (event.durable && missing(event.sequence, event.content)) return lost(event.sequence);
  }
  for (std::size_t i = 0; written_.before && i < written_.before->size(); ++i) {
    if (missing(i + 1, (*written_.before)[i])) return lost(i + 1);
  }
}

void HistoryChecker::submitted(unsigned disk, const DeviceRequest& request) {
  if (disk != 0 || request.operation != Operation::write || !in_history(request.position)) return;
  if (++under_way_ > 1) violation_("history", "two writes to the history are under way at once");
  if (!request.durable) violation_("history", "an event is not written durably");
  const std::uint64_t sequence = sequence_of(request.memory);
  if (request.position / kSimulatedSector != sector_of(sequence))
    violation_("history", "event " + std::to_string(sequence) + " is not written to its slot");
  if (sequence <= newest_)
    violation_("history", "event " + std::to_string(sequence) + " is written, and the newest one there is " +
                              std::to_string(newest_));
  newest_ = sequence;
  judge_happened(request.memory);
  judge_new(request.memory);
  written_.events.push_back({sequence, SectorRef::of(request.memory), false});
  ++events_written_;
}

void HistoryChecker::settled(unsigned disk, const DeviceRequest& request, int error) {
  if (disk != 0 || request.operation != Operation::write) return;
  const bool superblock = request.position == 0 || request.position == 65536;
  if (superblock && error == 0) claim(request.memory);
  if (!in_history(request.position)) return;
  --under_way_;
  if (error == 0) written_.events.back().durable = request.durable;
}

void HistoryChecker::judge_happened(const std::byte* event) const {
  const unsigned kind = byte_at(event, kKind), image = byte_at(event, kImage);
  const std::uint64_t generation = number_at<std::uint64_t>(event, kGenerationOf);
  const std::uint64_t openings = number_at<std::uint64_t>(event, kOpenings);
  const bool happened = std::any_of(claims_.begin(), claims_.end(), [&](const Claim& claim) {
    if (is_change(event)) {
      const bool says =
          image < claim.states.size() && static_cast<unsigned>(claim.states[image]) == byte_at(event, kAfter);
      return says && claim.generation <= generation && claim.openings == openings;
    }
    if (kind == opened) return claim.openings == openings && claim.lifecycle == kOpen;
    if (kind == closed) return claim.openings == openings && claim.lifecycle == kSealed;
    if (kind == created) return claim.lifecycle != kCreating;
    return claim.openings == openings;
  });
  if (happened) return;
  violation_("history", "event " + std::to_string(sequence_of(event)) + " of kind " + std::to_string(kind) +
                            " is written (image " + std::to_string(image) + ", state " +
                            std::to_string(byte_at(event, kAfter)) + ", generation " + std::to_string(generation) +
                            ", opening " + std::to_string(openings) + "), and no superblock says that it has happened");
}

void HistoryChecker::judge_new(const std::byte* event) const {
  const unsigned kind = byte_at(event, kKind);
  if (!is_change(event) && kind != created && kind != opened && kind != closed) return;
  const bool twice =
      std::any_of(written_.events.begin(), written_.events.end(), [&](const WrittenHistory::Event& earlier) {
        const std::byte* const other = earlier.content.bytes();
        return std::equal(event + kSequence + 8, event + kBehindEvent, other + kSequence + 8);
      });
  if (twice) violation_("history", "event " + std::to_string(sequence_of(event)) + " is told a second time");
}

}  // namespace blockmirror::simulator
