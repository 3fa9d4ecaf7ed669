// A write that takes its bytes from a slave: for an operator who knows that a slave holds what the master should.
#include <algorithm>
#include <cerrno>

#include "../base/mutation.h"
#include "../images/differences.h"
#include "mirror.h"

namespace blockmirror {
namespace {

// After so many blocks that the master cannot read the rest is not asked for: each may take seconds.
constexpr unsigned kUnreadBlocks = 8;

}  // namespace

struct Mirror::Source {
  unsigned slave;
  const PieceMemory& memory;
  SourceResult& into;
};

Task<Outcome> Mirror::write_from(unsigned slave, Extent extent, const PieceMemory& memory, SourceResult& into) {
  const Source source{slave, memory, into};
  DeviceRequest model;
  model.operation = Operation::write;
  model.durable = true;
  model.position = extent.position;
  model.length = extent.length;
  model.memory = memory[slave];
  const Outcome outcome = co_await write_images(model, extent, Filling{{}, &source}, nullptr);
  if (outcome.ok()) {
    ++counters_.writes;
    counters_.bytesWritten += extent.length;
  }
  co_return outcome;
}

// I10, I11: of an image that is out nobody knows what it holds, and what one owes is what it does not hold.
Outcome Mirror::may_give(const Source& source, Extent extent) const {
  const ImageSet slave = image_bit(source.slave);
  const bool receives = (membership_.receiving_slaves() & slave) != 0;
  const bool owes = debts_.owing_in(slave, extent) != 0 && !mutated(Mutation::source_owes);
  if (receives && !owes) return Outcome::success();
  return Outcome::of(Code::UNUSABLE_SOURCE, static_cast<ImageIndex>(source.slave), 0, extent.position);
}

// The range is held. Asked before and after: an image that erred meanwhile may have lost what it answered with.
Task<Outcome> Mirror::read_source(Extent extent, const Source& source) {
  const Extent widened = extent.widened(physical_block_size_);
  if (const Outcome refused = may_give(source, widened); !refused.ok()) co_return refused;
  Device& slave = *membership_.images()[source.slave];
  const int error = co_await slave.read(extent.position, {source.memory[source.slave], extent.length});
  if (const Outcome refused = may_give(source, widened); !refused.ok()) co_return refused;
  if (error != 0)
    co_return Outcome::of(Code::READ_FAILED, static_cast<ImageIndex>(source.slave), error, extent.position);
  co_await count_changes(extent, source);
  co_return Outcome::success();
}

Task<void> Mirror::count_changes(Extent extent, const Source& source) {
  std::byte* const before = source.memory[membership_.master()];
  const std::byte* const after = source.memory[source.slave];
  Device& master = membership_.master_device();
  if (!is_unmended(extent) && co_await master.read(extent.position, {before, extent.length}) == 0) {
    source.into.bytes_changed += differing_bytes(before, after, extent.length);
    co_return;
  }
  const std::uint64_t length = std::max<std::uint64_t>(kSmallestCompareBlock, block_size_);
  unsigned unread = 0;
  for (std::uint64_t at = 0; at < extent.length; at += length) {
    const Extent block{extent.position + at, std::min(length, extent.length - at)};
    const bool asked = unread < kUnreadBlocks && !is_unmended(block);
    if (asked && co_await master.read(block.position, {before + at, block.length}) == 0) {
      source.into.bytes_changed += differing_bytes(before + at, after + at, block.length);
      continue;
    }
    ++unread;
    source.into.bytes_changed += block.length;
    source.into.bytes_unread += block.length;
  }
}

}  // namespace blockmirror
