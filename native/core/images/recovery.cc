#include "recovery.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "../base/mutation.h"

namespace blockmirror {
namespace {

std::uint64_t differing_bytes(const std::byte* a, const std::byte* b, std::size_t length) {
  if (std::memcmp(a, b, length) == 0) return 0;
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < length; ++i) count += a[i] != b[i] ? 1 : 0;
  return count;
}

DeviceRequest request_of(Operation operation, Extent extent, std::byte* memory) {
  DeviceRequest request;
  request.operation = operation;
  request.position = extent.position;
  request.length = extent.length;
  request.memory = memory;
  return request;
}

}  // namespace

std::uint64_t compare_block_of(const Superblock& superblock) {
  return std::max<std::uint64_t>(kSmallestCompareBlock, superblock.block_size);
}

DifferingRun next_differing_run(const std::byte* a, const std::byte* b, std::uint64_t from, std::uint64_t length,
                                std::uint64_t block) {
  DifferingRun run{length, length, 0};
  for (std::uint64_t at = from; at < length; at += block) {
    const std::uint64_t size = std::min(block, length - at);
    const std::uint64_t bytes = differing_bytes(a + at, b + at, size);
    if (bytes == 0 && run.bytes > 0) break;
    if (bytes == 0) continue;
    if (run.bytes == 0) run.begin = at;
    run.end = at + size;
    run.bytes += bytes;
  }
  return run;
}

void count_differences(Extent piece, std::uint64_t block, ImageSet slaves, const PieceMemory& memory,
                       CompareResult& into) {
  for (unsigned i = 1; i < kMaxImages; ++i) {
    if ((slaves & image_bit(i)) == 0) continue;
    for (std::uint64_t at = 0; at < piece.length;) {
      const DifferingRun run = next_differing_run(memory[0], memory[i], at, piece.length, block);
      at = run.end;
      if (run.bytes == 0) break;
      into.bytes_differed[i - 1] += run.bytes;
      if (into.differences.size() == kReportedDifferences) continue;
      into.differences.push_back({i - 1, {piece.position + run.begin, run.end - run.begin}});
    }
  }
}

void forget_slaves(ImageSet slaves, CompareResult& into) {
  for (unsigned i = 1; i < kMaxImages; ++i) {
    if ((slaves & image_bit(i)) != 0) into.bytes_differed[i - 1] = 0;
  }
  std::erase_if(into.differences,
                [&](const Difference& difference) { return (slaves & image_bit(difference.slave + 1)) != 0; });
}

Recovery::Recovery(Membership& membership, PieceRunner& pieces, MasterRepair& repair, const Superblock& superblock,
                   ExtentSet debt, bool needs_slave)
    : membership_(membership),
      pieces_(pieces),
      repair_(repair),
      mirror_size_(superblock.size),
      compare_block_(compare_block_of(superblock)),
      needs_slave_(needs_slave),
      debt_(debt),
      uncopied_(std::move(debt)) {}

Task<Outcome> Recovery::flush_master() {
  if (master_error_ == 0 && !mutated(Mutation::read_before_master_flush))
    master_error_ = co_await membership_.images()[0]->flush();
  if (mutated(Mutation::master_flush_failure_ignored)) master_error_ = 0;
  co_return master_error_ == 0 ? Outcome::success() : Outcome::of(Code::MASTER_FAILED, 0, master_error_);
}

Outcome Recovery::may_read_master() const {
  const bool lied = master_error_ == kWrongBytes && !mutated(Mutation::lying_master_copied);
  return lied ? Outcome::of(Code::MASTER_FAILED, 0, master_error_) : Outcome::success();
}

Task<Outcome> Recovery::flush_slaves() {
  std::uint64_t ended = copies_ended_;  // a copy that ends while the flush runs is not of it
  const ImageSet slaves = mutated(Mutation::debt_retired_early) ? ImageSet{0} : membership_.receiving_slaves();
  ParallelOperation everywhere(membership_.images(), slaves, request_of(Operation::flush, {}, nullptr));
  if (!mutated(Mutation::recovery_flush_failure_ignored)) everywhere.report_failures(*this);
  ParallelOperation::Results results = co_await everywhere;
  if (mutated(Mutation::late_copy_flushed)) ended = copies_ended_;
  if (mutated(Mutation::recovery_flush_failure_ignored)) results.failed = 0;
  const Outcome outcome = co_await membership_.settle(results, Code::MASTER_FAILED);
  if (outcome.ok()) copies_flushed_ = std::max(copies_flushed_, ended);
  co_return outcome;
}

// Block by block: what the master can read is right, and what it cannot is chosen from a slave. The master holds it for
// certain before it is copied on, so that a crash in the middle chooses again, or finds what was chosen.
Task<Outcome> Recovery::mend_master(Extent piece, std::byte* bytes, std::vector<Repair>* repairs) {
  const std::uint64_t length = repair_.block_length();
  for (std::uint64_t at = piece.position; at < piece.end();) {
    const Extent block{at, std::min((at / length + 1) * length, piece.end()) - at};
    const std::span<std::byte> into(bytes + (at - piece.position), block.length);
    at = block.end();
    const int error = co_await membership_.images()[0]->read(block.position, into);
    if (error == 0) continue;
    unsigned from = 0;
    co_await repair_.read_slave(block, membership_.receiving(), into, from);
    // I1: only what an intent of the last opening covers may be written.
    const bool may_write = from != 0 && debt_.contains(block);
    if (!may_write && !mutated(Mutation::repair_from_nothing)) {
      co_return Outcome::of(Code::READ_FAILED, 0, error, block.position);
    }
    const Outcome outcome = co_await repair_.rewrite(block, into, from);
    if (outcome.code == Code::MASTER_FAILED) {
      master_error_ = outcome.system_error;
      co_await membership_.note_master_failure(master_error_);
    }
    // The master's cache holds nothing here: it was flushed first, and all that is written to it is durable.
    if (outcome.code == Code::WRITE_FAILED) {
      co_return Outcome::of(Code::READ_FAILED, 0, outcome.system_error, block.position);
    }
    if (!outcome.ok()) co_return outcome;
    if (repairs != nullptr && repairs->size() < kReportedRepairs) repairs->push_back({0, from, block});
  }
  co_return Outcome::success();
}

// Reading back what was copied.
class Recovery::ReadingBack final : public PieceWork {
 public:
  ReadingBack(Recovery& recovery, ImageSet images, CompareResult& into)
      : recovery_(recovery), images_(images), into_(into) {}

  Task<Outcome> work_on(Extent piece, const PieceMemory& memory) override {
    Membership& membership = recovery_.membership_;
    ParallelOperation reads(membership.images(), images_ & membership.receiving(),
                            request_of(Operation::read, piece, nullptr));
    for (unsigned i = 0; i < kMaxImages; ++i) reads.set_memory(i, memory[i]);
    ParallelOperation::Results results = co_await reads;
    if ((results.failed & 1u) != 0) {
      const Outcome outcome = co_await recovery_.mend_master(piece, memory[0], nullptr);
      if (!outcome.ok()) co_return outcome;
      results.failed &= static_cast<ImageSet>(~1u);
    }
    const Outcome outcome = co_await recovery_.settle_slaves(results);
    if (!outcome.ok()) co_return outcome;
    count_differences(piece, recovery_.compare_block_, images_ & membership.receiving_slaves(), memory, into_);
    co_return Outcome::success();
  }

 private:
  Recovery& recovery_;
  const ImageSet images_;
  CompareResult& into_;
};

Task<Outcome> Recovery::read_back(std::span<const Extent> extents, CompareResult& into) {
  into = CompareResult{};
  into.bytes_differed.assign(membership_.images().size() - 1, 0);
  if (const Outcome refused = may_read_master(); !refused.ok()) co_return refused;
  const ImageSet images = membership_.receiving();
  ReadingBack reading(*this, images, into);
  const Outcome outcome = co_await pieces_.run(extents, images, reading);
  forget_slaves(images & static_cast<ImageSet>(~membership_.receiving()), into);
  co_return outcome;
}

// I11: nothing more is copied to that slave, or counted on it. Recovery writes to the master through MasterRepair alone.
void Recovery::image_failed(unsigned image, Operation operation, int error) {
  if (image > 0) membership_.fail(image, error, Membership::cause_of(operation, error));
}

// Those that erred are failed, durably; with none left a mirror that is being made is none.
Task<Outcome> Recovery::settle_slaves(ParallelOperation::Results results) {
  const Outcome outcome = co_await membership_.settle(results, Code::MASTER_FAILED);
  if (!outcome.ok()) co_return outcome;
  const bool pointless = needs_slave_ && membership_.receiving_slaves() == 0;
  co_return pointless ? Outcome::of(Code::TOO_FEW_IN_SYNC) : Outcome::success();
}

// One step's copying, shared by its pieces.
class Recovery::Copying final : public PieceWork {
 public:
  Copying(Recovery& recovery, bool compare, bool only_differing, CopyResult& into)
      : recovery_(recovery), compare_(compare), only_differing_(only_differing), into_(into) {}

  // Whether there is memory for the slaves' bytes too.
  bool reads_slaves() const { return compare_ || mutated(Mutation::recover_wrong_direction); }

  Task<Outcome> work_on(Extent piece, const PieceMemory& memory) override {
    const Outcome outcome = co_await copy(piece, memory);
    if (outcome.ok()) recovery_.uncopied_.remove(piece);
    co_return outcome;
  }

 private:
  Task<Outcome> copy(Extent piece, const PieceMemory& memory) {
    Membership& membership = recovery_.membership_;
    const ImageSet slaves = membership.receiving_slaves();
    if (slaves == 0) co_return recovery_.needs_slave_ ? Outcome::of(Code::TOO_FEW_IN_SYNC) : Outcome::success();
    const ImageSet read_from = reads_slaves() ? static_cast<ImageSet>(slaves | 1u) : ImageSet{1};
    ParallelOperation reads(membership.images(), read_from, request_of(Operation::read, piece, nullptr));
    for (unsigned i = 0; i < kMaxImages; ++i) reads.set_memory(i, memory[i]);
    const ParallelOperation::Results results = co_await reads;
    if ((results.failed & 1u) != 0) {
      const Outcome outcome = co_await recovery_.mend_master(piece, memory[0], &into_.repairs);
      const bool lied = outcome.code == Code::MASTER_FAILED;
      if (!outcome.ok() && !(lied && mutated(Mutation::lying_master_copied))) co_return outcome;
    }
    std::array<std::vector<Extent>, kMaxImages> unread;
    for (unsigned i = 1; i < kMaxImages; ++i) {
      if ((results.failed & image_bit(i)) != 0) co_await read_what_can_be(piece, i, memory, unread[i]);
    }
    const unsigned from = mutated(Mutation::recover_wrong_direction) ? 1 : 0;
    Outcome outcome;
    if (only_differing_) {
      outcome = co_await write_what_differs(piece, slaves, memory);
    } else {
      if (compare_) count(piece, slaves, memory);
      outcome = co_await recovery_.write_slaves(piece, slaves, memory[from], into_);
    }
    for (unsigned i = 1; i < kMaxImages && outcome.ok(); ++i) {
      if (!unread[i].empty()) outcome = co_await read_back(piece, i, memory, unread[i]);
    }
    co_return outcome;
  }

  // What a slave cannot read before it is overwritten counts as different from the master in every byte. After
  // kUnreadBlocks of them the rest of the piece is not asked for: each may take seconds.
  Task<void> read_what_can_be(Extent piece, unsigned image, const PieceMemory& memory, std::vector<Extent>& unread) {
    constexpr std::size_t kUnreadBlocks = 8;
    const std::uint64_t length = recovery_.compare_block_;
    for (std::uint64_t at = 0; at < piece.length; at += length) {
      const Extent block{piece.position + at, std::min(length, piece.length - at)};
      std::byte* const bytes = memory[image] + at;
      Device& slave = *recovery_.membership_.images()[image];
      const bool asked = unread.size() < kUnreadBlocks;
      if (asked && co_await slave.read(block.position, {bytes, block.length}) == 0) continue;
      std::transform(memory[0] + at, memory[0] + at + block.length, bytes, [](std::byte byte) { return ~byte; });
      if (!asked && unread.back().end() == block.position) {
        unread.back().length += block.length;
      } else {
        unread.push_back(block);
      }
    }
  }

  Task<Outcome> read_back(Extent piece, unsigned image, const PieceMemory& memory, const std::vector<Extent>& written) {
    for (const Extent& extent : written) {
      if ((recovery_.membership_.receiving() & image_bit(image)) == 0) break;
      const std::uint64_t at = extent.position - piece.position;
      ParallelOperation::Results results;
      int error =
          co_await recovery_.membership_.images()[image]->read(extent.position, {memory[image] + at, extent.length});
      if (error == 0 && std::memcmp(memory[0] + at, memory[image] + at, extent.length) != 0) error = EIO;
      if (error == 0) {
        recovery_.repair_.note({image, 0, extent});
        if (into_.repairs.size() < kReportedRepairs) into_.repairs.push_back({image, 0, extent});
        continue;
      }
      results.failed = image_bit(image);
      results.errors[image] = error;
      const Outcome outcome = co_await recovery_.settle_slaves(results);
      if (!outcome.ok()) co_return outcome;
    }
    co_return Outcome::success();
  }

  void count(Extent piece, ImageSet slaves, const PieceMemory& memory) {
    for (unsigned i = 1; i < kMaxImages; ++i) {
      if ((slaves & image_bit(i)) == 0) continue;
      into_.bytes_differed[i - 1] += differing_bytes(memory[0], memory[i], piece.length);
    }
  }

  Task<Outcome> write_what_differs(Extent piece, ImageSet slaves, const PieceMemory& memory) {
    for (unsigned i = 1; i < kMaxImages; ++i) {
      if ((slaves & image_bit(i)) == 0) continue;
      for (std::uint64_t at = 0; at < piece.length;) {
        const DifferingRun run = next_differing_run(memory[0], memory[i], at, piece.length, recovery_.compare_block_);
        at = run.end;
        if (run.bytes == 0) break;
        into_.bytes_differed[i - 1] += run.bytes;
        const Extent extent{piece.position + run.begin, run.end - run.begin};
        const Outcome outcome = co_await recovery_.write_slaves(extent, image_bit(i), memory[0] + run.begin, into_);
        if (!outcome.ok()) co_return outcome;
      }
    }
    co_return Outcome::success();
  }

  Recovery& recovery_;
  const bool compare_;
  const bool only_differing_;
  CopyResult& into_;
};

Task<Outcome> Recovery::copy(std::span<const Extent> extents, bool compare, bool only_differing, CopyResult& into) {
  into.bytes_differed.assign(membership_.images().size() - 1, 0);
  into.bytes_copied.assign(membership_.images().size() - 1, 0);
  if (const Outcome refused = may_read_master(); !refused.ok()) co_return refused;
  for (const Extent& extent : extents) BLOCKMIRROR_ASSERT(extent.end() <= mirror_size_, "a copy reaches too far");
  Copying copying(*this, compare || only_differing, only_differing, into);
  const ImageSet slaves = copying.reads_slaves() ? membership_.receiving_slaves() : ImageSet{0};
  ++copies_begun_;
  const Outcome outcome = co_await pieces_.run(extents, static_cast<ImageSet>(slaves | 1u), copying);
  ++copies_ended_;
  co_return outcome;
}

Task<Outcome> Recovery::write_slaves(Extent piece, ImageSet slaves, std::byte* bytes, CopyResult& into) {
  slaves &= membership_.receiving_slaves();
  if (mutated(Mutation::drop_last_sector)) piece.length -= 512;
  if (mutated(Mutation::recover_wrong_direction)) slaves = 1;
  ParallelOperation writes(membership_.images(), slaves, request_of(Operation::write, piece, bytes));
  if (!mutated(Mutation::recovery_write_failure_ignored)) writes.report_failures(*this);
  ParallelOperation::Results results = co_await writes;
  if (mutated(Mutation::recovery_write_failure_ignored)) results.failed = 0;
  for (unsigned i = 1; i < membership_.images().size(); ++i) {
    if (((slaves & ~results.failed) & image_bit(i)) != 0) into.bytes_copied[i - 1] += piece.length;
  }
  co_return co_await settle_slaves(results);
}

}  // namespace blockmirror
