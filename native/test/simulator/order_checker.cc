#include "order_checker.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace blockmirror::simulator {
namespace {

bool writes(const DeviceRequest& request) {
  return request.operation == Operation::write || request.operation == Operation::write_zeroes;
}

// Told, and never relied on: nothing that is acknowledged depends on it (docs/FORMAT.md, "History").
bool is_history(const DeviceRequest& request) {
  return request.position >= 128 * 1024 && request.position < 640 * 1024;
}

constexpr std::size_t kRegionBlocks = 256;  // a request crosses no multiple of them

std::string words_of(std::uint64_t block) { return "block " + std::to_string(block); }

}  // namespace

OrderChecker::OrderChecker(const Geometry& geometry, std::uint64_t recovery_budget, unsigned minimum_in_sync,
                           Violation violation)
    : geometry_(geometry),
      recovery_budget_(recovery_budget),
      minimum_in_sync_(minimum_in_sync),
      violation_(std::move(violation)),
      blocks_((geometry.mirror_size + kBlock - 1) / kBlock),
      regions_((blocks_.size() + kRegionBlocks - 1) / kRegionBlocks),
      images_(geometry.label_positions.size()) {
  for (Image& image : images_) {
    image.written.resize(blocks_.size());
    image.missed.resize(blocks_.size());
  }
}

void OrderChecker::mirror_runs() {
  running_ = true;
  for (unsigned i = 1; i < images_.size(); ++i) {
    const StoredState state = claimed_state(i);
    const bool receives =
        state == StoredState::in_sync || state == StoredState::assumed || state == StoredState::synchronizing;
    images_[i].owes_all = state != StoredState::in_sync;  // one that was only assumed to be equal is copied whole
    if (images_[i].out && receives)
      violation_("I11", "image " + std::to_string(i) + " failed while the mirror opened, and counts as in sync");
    images_[i].out = !receives;
  }
  if (images_[0].out) violation_("I11", "the master failed while the mirror opened, and the mirror runs");
  for (unsigned i = 0; i < images_.size(); ++i) {
    if (!images_[i].out) judge_labels(i);
  }
}

// I8: at the end of an opening.
void OrderChecker::judge_labels(unsigned image) {
  const std::uint64_t openings = stored_openings(newest_superblock(false).data());
  for (std::uint64_t copy : {std::uint64_t{0}, kLabelDistance}) {
    std::vector<std::byte> label(4096);
    (*disks_)[image + 1].durable().read(geometry_.label_positions[image] + copy, label);
    if (label_openings(label.data()) != openings)
      violation_("I8", "the mirror runs, and a copy of the label of image " + std::to_string(image) +
                           " is of another opening");
  }
}

bool OrderChecker::is_data(unsigned disk, const DeviceRequest& request) const {
  return disk > 0 && writes(request) && request.position < geometry_.mirror_size;
}

bool OrderChecker::is_record(unsigned disk, const DeviceRequest& request) const {
  const bool record_long = request.operation == Operation::write && request.length == geometry_.record_size;
  return disk == 0 && record_long && geometry_.in_ring(request.position);
}

Extent OrderChecker::blocks_of(const DeviceRequest& request) const {
  const std::uint64_t first = request.position / kBlock;
  return {first, (request.position + request.length + kBlock - 1) / kBlock - first};
}

void OrderChecker::submitted(unsigned disk, const DeviceRequest& request) {
  ++clock_;
  if (is_record(disk, request)) record_submitted(request);
  if (disk == 0) return superblock_submitted(request);
  Image& image = images_[disk - 1];
  if (compares(disk, request)) comparison_submitted(disk - 1, request);
  if (disk == 1 && request.operation == Operation::read) note_master_read(request, true);
  if (is_source(disk, request)) source_submitted(disk - 1, request);
  if (serves(disk, request)) judge_serving(disk - 1);
  if (request.operation == Operation::flush) image.flushes.push_back({&request, clock_});
  if (is_data(disk, request)) {
    const Extent blocks = blocks_of(request);
    if (disk == 1) of_master_ = blocks, of_master_at_ = clock_;
    if (is_resync_copy(disk - 1, blocks)) {
      image.copies.push_back(blocks);
      return copy_submitted(disk - 1, blocks);
    }
    if (running_) data_submitted(disk - 1, request);
    image.under_way.push_back(blocks);
    if (!is_repair(disk, request)) image.latest[{request.position, request.length}] = {clock_, false};
  }
}

bool OrderChecker::compares(unsigned disk, const DeviceRequest& request) const {
  const bool reads = running_ && disk > 0 && request.operation == Operation::read;
  return reads && Extent{request.position, request.length} == compared_;
}

// I6: of all images together, since what is written between two of the reads looks like a difference.
void OrderChecker::comparison_submitted(unsigned image, const DeviceRequest& request) {
  images_[image].comparisons.push_back({request.position, request.length});
  const Extent blocks = blocks_of(request);
  for (const Image& other : images_) {
    const bool written = std::any_of(other.under_way.begin(), other.under_way.end(),
                                     [&](const Extent& extent) { return extent.overlaps(blocks); });
    if (written) return violation_("I6", "a verify reads what is being written");
  }
}

void OrderChecker::taken(unsigned image, Extent extent) {
  const std::pair source{image, extent};
  sources_.erase(std::find(sources_.begin(), sources_.end(), source));
}

bool OrderChecker::is_source(unsigned disk, const DeviceRequest& request) const {
  if (!running_ || disk <= 1 || request.operation != Operation::read) return false;
  const std::pair source{disk - 1, Extent{request.position, request.length}};
  return std::find(sources_.begin(), sources_.end(), source) != sources_.end();
}

void OrderChecker::source_submitted(unsigned index, const DeviceRequest& request) {
  const Extent blocks = blocks_of(request);
  if (images_[index].out)
    violation_("I10", "what image " + std::to_string(index) + " holds is taken, and it is out of the mirror");
  for (const Image& image : images_) {
    const bool written = std::any_of(image.under_way.begin(), image.under_way.end(),
                                     [&](const Extent& extent) { return extent.overlaps(blocks); });
    if (written) return violation_("I6", "what a slave holds is taken where it is being written");
  }
}

// Whoever runs reads a slave to compare it, or in the place of the master.
bool OrderChecker::serves(unsigned disk, const DeviceRequest& request) const {
  const bool reads = running_ && disk > 1 && request.operation == Operation::read;
  if (!reads || request.position >= geometry_.mirror_size) return false;
  if (compares(disk, request) || is_source(disk, request)) return false;
  // A resync reads what it copies, or has copied, of the slave too: the master can read it.
  const Extent extent{request.position, request.length};
  return std::none_of(master_reads_.begin(), master_reads_.end(),
                      [&](const auto& read) { return read.contains(extent); });
}

void OrderChecker::note_master_read(const DeviceRequest& request, bool holds) {
  const Extent extent{request.position, request.length};
  std::erase_if(master_reads_,
                [&](const Extent& read) { return holds ? extent.contains(read) : read.overlaps(extent); });
  if (holds) master_reads_.push_back(extent);
}

void OrderChecker::judge_serving(unsigned image) {
  const std::string what = "what the master cannot read is read from image " + std::to_string(image);
  // One whose resync has just ended serves before the superblock says so.
  const StoredState state = claimed_state(image);
  const bool proven = state == StoredState::in_sync ||
                      (state == StoredState::synchronizing && (images_[image].returned != 0 || images_[image].crashed));
  if (images_[image].out || !proven) violation_("I10", what + ", which nobody has proven to be in sync");
  if (images_[image].differs) violation_("I10", what + ", which a verify found different");
}

void OrderChecker::settled(unsigned disk, const DeviceRequest& request, int error) {
  ++clock_;
  if (disk == 0) {
    if (error != 0 && writes(request) && !is_history(request)) log_failed_ = true;
    auto found = std::find_if(records_under_way_.begin(), records_under_way_.end(),
                              [&](const auto& under_way) { return under_way.first == &request; });
    if (found == records_under_way_.end()) return;
    // Not made durable, it covers nothing, whatever the engine believes.
    if (error == 0 && request.durable) {
      durable_tail_ = std::max(durable_tail_, found->second.tail);
      for (std::uint64_t block : found->second.blocks) {
        if (block >= blocks_.size()) continue;
        blocks_[block].durably_stated = std::max(blocks_[block].durably_stated, found->second.sequence);
        if (found->second.sequence >= tail_) blocks_[block].covered = true;
      }
    }
    records_under_way_.erase(found);
    return;
  }
  Image& image = images_[disk - 1];
  if (disk == 1 && request.operation == Operation::read && error != 0) note_master_read(request, false);
  if (std::erase(image.late, &request) > 0) return;
  if (error != 0 && request.operation != Operation::read) goes_out(image);
  if (request.operation == Operation::flush) {
    auto found = std::find_if(image.flushes.begin(), image.flushes.end(),
                              [&](const auto& flush) { return flush.first == &request; });
    // With an error a cache may be gone: no later flush tells of what was written before it.
    if (error == 0 && !image.out) image.flushed = std::max(image.flushed, found->second);
    image.flushes.erase(found);
  }
  const Extent whole{request.position, request.length};
  const auto compared = std::find(image.comparisons.begin(), image.comparisons.end(), whole);
  if (request.operation == Operation::read && compared != image.comparisons.end()) image.comparisons.erase(compared);
  if (is_data(disk, request)) {
    const Extent extent = blocks_of(request);
    const auto copy = std::find(image.copies.begin(), image.copies.end(), extent);
    const auto write = std::find(image.under_way.begin(), image.under_way.end(), extent);
    if (copy != image.copies.end() && write == image.under_way.end()) {
      image.copies.erase(copy);
      return;
    }
    image.under_way.erase(std::find(image.under_way.begin(), image.under_way.end(), extent));
    const auto latest = image.latest.find({request.position, request.length});
    if (latest != image.latest.end()) latest->second.succeeded = error == 0;
    for (std::uint64_t block = extent.position; block < extent.end(); ++block) image.written[block] = clock_;
  }
}

// A write that goes to the master alone, over what it cannot read, with the bytes that a slave holds.
bool OrderChecker::is_repair(unsigned disk, const DeviceRequest& request) const {
  if (disk != 1 || request.operation != Operation::write) return false;
  const Extent whole{request.position, request.length};
  const bool taken =
      std::any_of(sources_.begin(), sources_.end(), [&](const auto& source) { return source.second == whole; });
  if (taken) return false;
  if ((*disks_)[1].content().is_readable(request.position, request.length)) return false;
  std::vector<std::byte> held(request.length);
  for (std::size_t slave = 2; slave < disks_->size(); ++slave) {
    (*disks_)[slave].content().read(request.position, held);
    if (std::equal(held.begin(), held.end(), request.memory)) return true;
  }
  return false;
}

// I8, I11: a change of who is in sync is never written without its new generation.
void OrderChecker::superblock_submitted(const DeviceRequest& request) {
  const bool is_copy = request.operation == Operation::write && (request.position == 0 || request.position == 65536);
  if (!is_copy) return;
  const std::uint64_t generation = stored_generation(request.memory);
  judge_history(request, generation);
  if (stored_as_sealed(request.memory)) judge_seal();
  for (unsigned i = 0; stored_as_sealed(request.memory) && i < images_.size(); ++i) {
    const StoredState state = stored_state(request.memory, i);
    const bool receives = state == StoredState::in_sync || state == StoredState::assumed;
    if (receives && (lost_at_close_ >> (i + 1) & 1u) != 0)
      violation_("I11", "the mirror is sealed with image " + std::to_string(i) + ", whose file lost blocks");
  }
  for (unsigned i = 1; i < images_.size(); ++i) {
    const StoredState state = stored_state(request.memory, i), before_it = claimed_state(i);
    const bool failed = state == StoredState::failed && before_it != StoredState::failed;
    const bool was_in_sync = before_it == StoredState::in_sync || before_it == StoredState::assumed;
    if (!failed && !(state == StoredState::behind && was_in_sync)) continue;
    if (generation > claimed_generation()) continue;
    // A crash may have torn the newer copy, and left a number in it that nobody has read.
    const std::vector<std::byte> before = newest_superblock(true);
    if (stored_state(before.data(), i) == state || generation > stored_generation(before.data())) continue;
    violation_("I8", "image " + std::to_string(i) + " is recorded as out, and the generation stays " +
                         std::to_string(generation));
  }
}

// I2: whoever opens a sealed log copies nothing. No record may follow, and none may state what no tail has passed.
void OrderChecker::judge_seal() {
  if (!records_under_way_.empty()) violation_("I2", "the log is sealed while a record is on its way to it");
  const std::vector<bool> live = may_be_live();
  const auto found = std::find(live.begin(), live.end(), true);
  if (found != live.end())
    violation_("I2", "the log is sealed, and " + words_of(static_cast<std::uint64_t>(found - live.begin())) +
                         " is still live in it");
}

// I8: the generation before stands as the parent and at the head of the history.
void OrderChecker::judge_history(const DeviceRequest& request, std::uint64_t generation) {
  if (generation != claimed_generation() + 1) return;  // a checksum costs more than the rest of an opening
  const std::vector<std::byte> before = newest_superblock(true);
  const std::uint64_t parent = stored_generation(before.data());
  if (parent == 0 || generation != parent + 1) return;
  const auto same_id = [&](std::size_t offset) {
    return std::memcmp(request.memory + offset, before.data() + kStoredGenerationId, 16) == 0;
  };
  if (same_id(kStoredGenerationParent) && same_id(kStoredHistory + 8)) return;
  violation_("I8", "generation " + std::to_string(generation) + " does not name the one before in its history");
}

void OrderChecker::changed(unsigned disk, const DeviceRequest& request) {
  const std::string who = disk == 0 ? "the log" : "image " + std::to_string(disk - 1);
  violation_("I7", "the memory of a write of " + who + " at " + std::to_string(request.position) +
                       " changed while it was under way");
}

void OrderChecker::asked_while_late(unsigned disk) {
  violation_("I15",
             "image " + std::to_string(disk - 1) + " is asked again while it owes an answer that is past its deadline");
}

void OrderChecker::timed_out(unsigned index, const std::vector<const DeviceRequest*>& late) {
  Image& image = images_[index];
  goes_out(image);
  image.late.insert(image.late.end(), late.begin(), late.end());
  image.under_way.clear();
  image.copies.clear();
  image.flushes.clear();
  image.comparisons.clear();
}

void OrderChecker::aborted(std::uint64_t position, const std::vector<SectorRef>& contents) {
  for (unsigned i = 0; i < images_.size(); ++i) {
    for (std::size_t sector = 0; sector < contents.size(); ++sector) {
      if (!((*disks_)[i + 1].content().get(position / kSimulatedSector + sector) == contents[sector])) continue;
      return violation_("abort", "a write was called off, and image " + std::to_string(i) + " holds it");
    }
  }
}

// From here on the image counts as one that answered with an error.
void OrderChecker::loss_told(unsigned disk) {
  if (disk > 0) goes_out(images_[disk - 1]);
}

void OrderChecker::cache_lost(unsigned disk) {
  if (disk > 0) images_[disk - 1].lost = true;
}

std::vector<bool> OrderChecker::may_be_live() const {
  std::vector<bool> live(blocks_.size());
  for (std::size_t block = 0; block < live.size(); ++block)
    live[block] = blocks_[block].stated != 0 && blocks_[block].stated >= durable_tail_;
  return live;
}

void OrderChecker::record_submitted(const DeviceRequest& request) {
  DecodedRecord record = decode_log_record(request.memory);
  if (running_ && record.sequence <= newest_record_)
    violation_("I12", "record " + std::to_string(record.sequence) + " is written a second time");
  newest_record_ = std::max(newest_record_, record.sequence);
  std::vector<bool> states(blocks_.size());
  for (std::uint64_t block : record.blocks) {
    if (block < blocks_.size()) states[block] = true;  // what lies behind the end of the mirror is nobody's
  }
  for (std::uint64_t block = 0; running_ && record.tail > tail_ && block < blocks_.size(); ++block) {
    if (!blocks_[block].covered || blocks_[block].durably_stated >= record.tail || states[block]) continue;
    blocks_[block].covered = false;
    judge_passed(block, record.tail);
  }
  tail_ = std::max(tail_, record.tail);
  for (std::uint64_t block = 0; block < blocks_.size(); ++block) {
    if (states[block]) blocks_[block].stated = std::max(blocks_[block].stated, record.sequence);
  }
  const bool passes = record.tail > scanned_tail_;
  records_under_way_.push_back({&request, std::move(record)});
  if (!running_ && passes) judge_debt_let_go();
  if (!running_) return;
  judge_budget();
  find_ahead(states);
}

bool OrderChecker::owes_durably(unsigned image) const {
  for (std::uint64_t position : {std::uint64_t{0}, std::uint64_t{65536}}) {
    std::vector<std::byte> copy(kStoredSuperblock);
    (*disks_)[0].durable().read(position, copy);
    if (copy[stored_entry(image) + 19] == std::byte{0}) return false;
  }
  return true;
}

// Before the mirror runs a tail that passes what the ring named says that nothing of it is live any more.
void OrderChecker::judge_debt_let_go() {
  for (unsigned i = 1; i < images_.size(); ++i) {
    const Image& image = images_[i];
    const bool unflushed = std::any_of(image.written.begin(), image.written.end(),
                                       [&](std::uint64_t when) { return when != 0 && when >= image.flushed; });
    const bool left_out = image.out || is_durably_failed(i) || owes_durably(i);  // I14: its map, or everything
    if (left_out || (image.under_way.empty() && !unflushed)) continue;
    violation_("I3", "the debt of recovery is let go before image " + std::to_string(i) +
                         " was flushed after the last copy to it");
  }
}

void OrderChecker::judge_budget() {
  const std::vector<bool> live = may_be_live();
  const std::uint64_t bytes = static_cast<std::uint64_t>(std::count(live.begin(), live.end(), true)) * kBlock;
  if (bytes > recovery_budget_)
    violation_("budget", "after a crash " + std::to_string(bytes) + " bytes could be live, more than the budget");
}

void OrderChecker::find_ahead(const std::vector<bool>& stated) {
  for (std::size_t region = 0; region < regions_.size(); ++region) {
    if (regions_[region] != Wish::none) continue;
    const auto first = stated.begin() + static_cast<std::ptrdiff_t>(region * kRegionBlocks);
    const auto last =
        stated.begin() + static_cast<std::ptrdiff_t>(std::min(blocks_.size(), (region + 1) * kRegionBlocks));
    if (std::find(first, last, false) != last) continue;
    regions_[region] = Wish::ahead;
    ++regions_ahead_;
  }
}

bool OrderChecker::asked(Extent extent) {
  const Wish before = std::exchange(regions_[extent.position / kBlock / kRegionBlocks], Wish::asked);
  return before == Wish::ahead;
}

// A tail passes the newest durable statement of the block, and does not carry it.
void OrderChecker::judge_passed(std::uint64_t block, std::uint64_t tail) {
  if (blocks_[block].stated >= tail) {
    violation_("I13", words_of(block) + ": the tail passes what only a record in flight states again");
    return;
  }
  for (unsigned i = 0; i < images_.size(); ++i) {
    const Image& image = images_[i];
    // Whatever it got since its last flush that succeeded may be gone with the failure.
    const bool missed = i > 0 && image.out && images_[0].written[block] >= image.flushed;
    if (missed && images_[0].written[block] != 0 && !is_durably_out(i))
      violation_("I11",
                 words_of(block) + " is retired, and that image " + std::to_string(i) + " failed is not durable yet");
    if (i > 0 && image.out) continue;
    const bool under_way = std::any_of(image.under_way.begin(), image.under_way.end(), [&](const Extent& extent) {
      return block >= extent.position && block < extent.end();
    });
    if (under_way)
      violation_("I2", words_of(block) + " is retired while a write of image " + std::to_string(i) + " is under way");
    if (image.written[block] != 0 && image.written[block] >= image.flushed)
      violation_("I2", words_of(block) + " is retired before image " + std::to_string(i) +
                           " was flushed after its last write");
  }
}

void OrderChecker::data_submitted(unsigned index, const DeviceRequest& request) {
  const Extent extent = blocks_of(request);
  if (index > 0 && images_[index].out) returned(index);
  for (std::uint64_t block = extent.position; block < extent.end(); ++block) {
    if (!blocks_[block].covered)
      violation_("I1", words_of(block) + " is written to image " + std::to_string(index) + " without a durable intent");
  }
  for (const Extent& other : images_[index].under_way) {
    if (other.overlaps(extent))
      violation_("I6", "two overlapping writes of image " + std::to_string(index) + " are under way together");
  }
  for (const Image& image : images_) {
    const bool copied = std::any_of(image.copies.begin(), image.copies.end(),
                                    [&](const Extent& copy) { return copy.overlaps(extent); });
    if (copied) return violation_("I6", words_of(extent.position) + " is written while a resync copies it");
  }
  for (const Image& image : images_) {
    const bool compared = std::any_of(image.comparisons.begin(), image.comparisons.end(), [&](const Extent& bytes) {
      return bytes.overlaps({request.position, request.length});
    });
    if (compared) return violation_("I6", words_of(extent.position) + " is written while a verify reads it");
  }
}

// The newer copy, of those that a reader of the superblock would believe; it need not be looked at where nobody has
// crashed in the middle of one.
std::vector<std::byte> OrderChecker::newest_superblock(bool only_whole) const {
  std::vector<std::byte> a(kStoredSuperblock), b(kStoredSuperblock);
  (*disks_)[0].content().read(0, a);
  (*disks_)[0].content().read(65536, b);
  const bool a_is_newer = stored_update(a.data()) >= stored_update(b.data());
  std::vector<std::byte>&newer = a_is_newer ? a : b, &older = a_is_newer ? b : a;
  return only_whole && !superblock_is_whole(newer.data()) ? older : newer;
}

std::uint64_t OrderChecker::claimed_generation() const { return stored_generation(newest_superblock(false).data()); }

StoredState OrderChecker::claimed_state(unsigned image) const {
  return stored_state(newest_superblock(false).data(), image);
}

void OrderChecker::acknowledged(Extent written, std::uint64_t position, const std::vector<SectorRef>& contents,
                                bool durable) {
  if (log_failed_) violation_("I12", "a write is acknowledged although the log failed");
  if (images_[0].out) return violation_("I4", "a write is acknowledged although the master failed");
  judge_minimum("a write");
  for (unsigned i = 0; i < images_.size(); ++i) {
    const VolatileDisk& disk = (*disks_)[i + 1];
    for (std::size_t sector = 0; sector < contents.size(); ++sector) {
      const std::uint64_t at = position / kSimulatedSector + sector;
      const SectorRef holds = durable ? disk.durable().get(at) : disk.content().get(at);
      if (holds == contents[sector]) continue;
      // It takes no write, and says so to nobody before it is read.
      if (!disk.content().is_readable(at * kSimulatedSector, kSimulatedSector)) continue;
      // What was on its way when the slave came back is owed.
      if (images_[i].returned != 0 && !images_[i].out && !reached(i, written)) break;
      // Once written and then lost with a cache, it is recovered by its intent; never written, it was missed.
      if (images_[i].lost && reached(i, written)) break;
      if (images_[i].out) {
        judge_fracture(i);
        break;
      }
      violation_("I4", "sector " + std::to_string(at) + " is acknowledged" + (durable ? " as durable" : "") +
                           " but image " + std::to_string(i) + " does not hold it");
      return;
    }
  }
}

// The write that was submitted to the master last reached that image too: the images get it in one go.
bool OrderChecker::reached(unsigned image, Extent extent) const {
  const std::pair key{extent.position, extent.length};
  const auto on_master = images_[0].latest.find(key), on_image = images_[image].latest.find(key);
  if (on_master == images_[0].latest.end() || on_image == images_[image].latest.end()) return false;
  return on_image->second.succeeded && on_image->second.submitted + images_.size() > on_master->second.submitted;
}

// I4, I5: an image that failed a flush, or a write before it, holds nothing for certain.
void OrderChecker::flush_acknowledged() {
  if (images_[0].out) return violation_("I4", "a datasync is acknowledged although the master failed");
  judge_minimum("a datasync");
  for (unsigned i = 1; i < images_.size(); ++i) {
    if (images_[i].out && !is_durably_out(i))
      violation_("I5",
                 "a datasync is acknowledged before the superblock says that image " + std::to_string(i) + " failed");
  }
}

// A slave whose resync ended counts once the superblock says so: nothing is acknowledged in between.
void OrderChecker::judge_minimum(const char* what) {
  unsigned in_sync = 1;
  for (unsigned i = 1; i < images_.size() && minimum_in_sync_ > 1; ++i) {
    const StoredState state = claimed_state(i);
    if (!images_[i].out && (state == StoredState::in_sync || state == StoredState::assumed)) ++in_sync;
  }
  if (in_sync < minimum_in_sync_)
    violation_("minInSync", std::string(what) + " is acknowledged with " + std::to_string(in_sync) +
                                " images in sync, and the mirror asks for " + std::to_string(minimum_in_sync_));
}

bool OrderChecker::is_alone() const {
  return std::all_of(images_.begin() + 1, images_.end(), [](const Image& slave) { return slave.out; });
}

void OrderChecker::judge_fracture(unsigned image) {
  if (!is_durably_out(image))
    violation_("I5",
               "a write is acknowledged before the superblock says that image " + std::to_string(image) + " failed");
  std::uint64_t generation = 0;
  for (std::uint64_t position : {std::uint64_t{0}, std::uint64_t{65536}}) {
    std::vector<std::byte> copy(kStoredSuperblock);
    (*disks_)[0].durable().read(position, copy);
    generation = std::max(generation, stored_generation(copy.data()));
  }
  for (unsigned i = 0; i < images_.size(); ++i) {
    for (std::uint64_t copy : {std::uint64_t{0}, kLabelDistance}) {
      if (images_[i].out) continue;
      std::vector<std::byte> label(4096);
      (*disks_)[i + 1].durable().read(geometry_.label_positions[i] + copy, label);
      if (label_generation(label.data()) == generation) continue;
      violation_("I5", "a write is acknowledged before both copies of the label of image " + std::to_string(i) +
                           " have the new generation");
    }
  }
}

bool OrderChecker::is_durably_failed(unsigned image) const {
  for (std::uint64_t position : {std::uint64_t{0}, std::uint64_t{65536}}) {
    std::vector<std::byte> copy(kStoredSuperblock);
    (*disks_)[0].durable().read(position, copy);
    const StoredState state = stored_state(copy.data(), image);
    const bool out = state == StoredState::failed || state == StoredState::inconsistent || state == StoredState::behind;
    if (!out) return false;
  }
  return true;
}

// Or being resynced: whoever opens takes it for an image that misses something.
bool OrderChecker::is_durably_out(unsigned image) const {
  for (std::uint64_t position : {std::uint64_t{0}, std::uint64_t{65536}}) {
    std::vector<std::byte> copy(kStoredSuperblock);
    (*disks_)[0].durable().read(position, copy);
    const StoredState state = stored_state(copy.data(), image);
    if (state == StoredState::in_sync || state == StoredState::assumed) return false;
  }
  return true;
}

// --- slaves that come back

void OrderChecker::goes_out(Image& image) {
  if (image.out) return;
  image.out = true;
  image.may_return = image.crashed = false;
  image.left = 0;
  const std::vector<bool> live = may_be_live();
  for (std::size_t block = 0; block < live.size(); ++block) {
    if (live[block]) image.missed[block] = true;
  }
}

void OrderChecker::fractured(unsigned index) {
  Image& image = images_[index];
  if (image.out) return;
  const bool owed_before = image.returned != 0 || image.crashed;
  const bool asked_back = image.may_return;  // by whoever saw that it is out before its operator was told
  goes_out(image);
  image.may_return = asked_back;
  if (owed_before) return;
  std::fill(image.missed.begin(), image.missed.end(), false);
  image.left = clock_;
}

void OrderChecker::crashed(unsigned index, const ExtentSet* debt) {
  Image& image = images_[index];
  image.crashed = true;
  if (debt == nullptr) return;
  image.owes_all = false;
  for (const Extent& extent : debt->extents()) {
    for (std::uint64_t block = extent.position / kBlock; block * kBlock < extent.end(); ++block)
      image.missed[block] = true;
  }
}

void OrderChecker::rejoins(unsigned image, bool full) {
  images_[image].may_return = true;
  images_[image].owes_all |= full;
}

// What it was written before it went out is owed, and no flush from here on speaks for it.
void OrderChecker::returned(unsigned index) {
  Image& image = images_[index];
  if (!image.out) return;
  if (!image.may_return || !is_durably_resynced(index))
    violation_("I8", "image " + std::to_string(index) +
                         " was out, and is written to before superblock and label say that it is resynced");
  image.out = image.may_return = false;
  image.returned = clock_;
  std::fill(image.written.begin(), image.written.end(), 0);
}

bool OrderChecker::is_durably_resynced(unsigned image) const {
  for (std::uint64_t position : {std::uint64_t{0}, std::uint64_t{65536}}) {
    std::vector<std::byte> copy(kStoredSuperblock);
    (*disks_)[0].durable().read(position, copy);
    if (stored_state(copy.data(), image) != StoredState::synchronizing) return false;
  }
  for (std::uint64_t distance : {std::uint64_t{0}, kLabelDistance}) {
    std::vector<std::byte> label(4096);
    (*disks_)[image + 1].durable().read(geometry_.label_positions[image] + distance, label);
    if (label_state(label.data()) != StoredState::synchronizing) return false;
  }
  return true;
}

// A write goes to all images in one go, the master first.
bool OrderChecker::is_resync_copy(unsigned index, const Extent& blocks) const {
  if (!running_ || index == 0) return false;
  return !(of_master_ == blocks) || clock_ - of_master_at_ > images_.size();
}

bool OrderChecker::is_under_way(std::uint64_t sector) const {
  const std::uint64_t block = sector * kSimulatedSector / kBlock;
  return std::any_of(images_.begin(), images_.end(), [&](const Image& image) {
    return std::any_of(image.under_way.begin(), image.under_way.end(),
                       [&](const Extent& extent) { return block >= extent.position && block < extent.end(); });
  });
}

void OrderChecker::copy_submitted(unsigned index, const Extent& blocks) {
  Image& image = images_[index];
  if (image.out) returned(index);
  for (const Image& other : images_) {
    const bool written = std::any_of(other.under_way.begin(), other.under_way.end(),
                                     [&](const Extent& extent) { return extent.overlaps(blocks); });
    if (written) return violation_("I6", "a resync copies what is being written");
  }
  for (std::uint64_t block = blocks.position; block < blocks.end() && !image.owes_all; ++block) {
    const bool missed = image.left != 0 ? images_[0].written[block] > image.left : blocks_[block].stated != 0;
    if (!image.missed[block] && !missed)
      return violation_(
          "I14", words_of(block) + " is copied to image " + std::to_string(index) + ", which missed nothing there");
  }
}

}  // namespace blockmirror::simulator
