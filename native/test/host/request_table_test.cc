// The table without an engine: the test plays the engine's part on the two rings.
#include "../../host/request_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <vector>

using namespace blockmirror;

namespace {

using ConstBytes = std::span<const std::byte>;

class Table {
 public:
  explicit Table(std::uint64_t pool_bytes = 16 * kMiB) : table_(RequestTable::make(pool_bytes, 0)) {
    Shape shape;
    shape.size = 4096 * kMiB;
    shape.block_size = 512;
    run_command(shape);
  }
  RequestTable* operator->() { return table_.get(); }

  // What the engine would take, without answering it.
  std::vector<RequestPart*> take() {
    std::vector<RequestPart*> parts;
    std::uint32_t index;
    while (table_->submissions().pop(index)) parts.push_back(&table_->part(index));
    return parts;
  }
  void answer(RequestPart& part, Outcome outcome = {}) {
    part.outcome = outcome;
    table_->completions().push(table_->index_of(part));
  }
  void answer_all() {
    for (RequestPart* part : take()) answer(*part);
  }
  std::vector<Completion> collect() {
    std::vector<Completion> all;
    Completion completion;
    while (table_->collect(completion)) all.push_back(completion);
    return all;
  }
  void run_command(const Shape& shape) {
    auto command = std::make_unique<Command>(Command{LoadSuperblock{}, Shape{}});
    REQUIRE(table_->submit_command(0, std::move(command)) == Code::ok);
    RequestPart* part = take().at(0);
    part->command->shape = shape;
    answer(*part);
    REQUIRE(collect().size() == 1);
  }
  Code write(std::uint32_t ticket, ConstBytes bytes, std::uint64_t position) {
    return table_->submit_write(ticket, {&bytes, 1}, position, {});
  }

 private:
  std::unique_ptr<RequestTable> table_;
};

std::vector<std::byte> pattern(std::size_t length) {
  std::vector<std::byte> bytes(length);
  for (std::size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::byte>((i * 131 + i / 4096) & 0xff);
  return bytes;
}

}  // namespace

TEST_CASE("request table: a write is cut at the regions, each part with its own copy of its bytes") {
  Table table;
  std::vector<std::byte> bytes = pattern(3 * kMiB);
  std::uint64_t position = 7 * kMiB - 512;
  REQUIRE(table.write(1, bytes, position) == Code::ok);
  std::vector<std::byte> kept = bytes;
  std::fill(bytes.begin(), bytes.end(), std::byte{0});  // I7: the caller may do as it likes from now on
  std::vector<RequestPart*> parts = table.take();
  REQUIRE(parts.size() == 4);
  std::uint64_t expected = position;
  for (RequestPart* part : parts) {
    CHECK(part->extent.position == expected);
    CHECK((part->extent.end() - 1) / kRegionLength == part->extent.position / kRegionLength);
    CHECK(reinterpret_cast<std::uintptr_t>(part->memory) % 4096 == 0);
    CHECK(std::memcmp(part->memory, kept.data() + (expected - position), part->extent.length) == 0);
    expected = part->extent.end();
  }
  CHECK(expected == position + kept.size());
  for (RequestPart* part : parts) table.answer(*part);
  CHECK(table.collect().size() == 1);
  CHECK(table->pool_bytes_in_use() == 0);
  CHECK(table->parts_in_use() == 0);
}

TEST_CASE("request table: buffers of any lengths are gathered into the parts, empty ones too") {
  Table table;
  std::vector<std::byte> bytes = pattern(2 * kMiB);
  std::vector<ConstBytes> buffers;
  std::size_t used = 0;
  for (std::size_t length :
       {std::size_t{1}, std::size_t{0}, std::size_t{511}, std::size_t{1000000}, std::size_t{4096}}) {
    buffers.push_back(ConstBytes(bytes).subspan(used, length));
    used += length;
  }
  buffers.push_back(ConstBytes(bytes).subspan(used));
  REQUIRE(table->submit_write(1, buffers, 4096, {true, false}) == Code::ok);
  for (RequestPart* part : table.take()) {
    CHECK(part->durable);
    CHECK(std::memcmp(part->memory, bytes.data() + (part->extent.position - 4096), part->extent.length) == 0);
  }
}

TEST_CASE("request table: a request completes once, with its last part, and of several errors reports the lowest") {
  Table table;
  REQUIRE(table.write(9, pattern(4 * kMiB), 0) == Code::ok);
  std::vector<RequestPart*> parts = table.take();
  REQUIRE(parts.size() == 4);
  table.answer(*parts[3], Outcome::of(Code::LOG_FAILED, kLogDevice, 5, 3 * kMiB));
  table.answer(*parts[1], Outcome::of(Code::MASTER_FAILED, 0, 28, kMiB));
  table.answer(*parts[2], Outcome::of(Code::TOO_FEW_IN_SYNC, kNoImage, 0, 2 * kMiB));
  CHECK(table.collect().empty());
  CHECK_FALSE(table->is_free(9));
  table.answer(*parts[0]);
  std::vector<Completion> completions = table.collect();
  REQUIRE(completions.size() == 1);
  CHECK(completions[0].ticket == 9);
  CHECK(completions[0].outcome.code == Code::MASTER_FAILED);
  CHECK(completions[0].outcome.system_error == 28);
  CHECK(completions[0].outcome.position == kMiB);
  CHECK(table->is_free(9));
}

TEST_CASE("request table: the memory of a request stays in use until its last part, though another one has failed") {
  Table table;
  REQUIRE(table.write(1, pattern(4 * kMiB), 0) == Code::ok);
  std::vector<RequestPart*> parts = table.take();
  REQUIRE(parts.size() == 4);
  table.answer(*parts[3], Outcome::of(Code::MASTER_FAILED, 0, 5, 3 * kMiB));
  CHECK(table.collect().empty());
  CHECK(table->pool_bytes_in_use() == 4 * kMiB);  // a device may still read it
  for (unsigned i : {0u, 1u, 2u}) table.answer(*parts[i]);
  CHECK(table.collect().size() == 1);
  CHECK(table->pool_bytes_in_use() == 0);
}

TEST_CASE("request table: a read stays in the pool until it is finished, and comes out in order") {
  Table table;
  REQUIRE(table->submit_read(3, 2 * kMiB, kMiB / 2) == Code::ok);
  std::vector<std::byte> content = pattern(2 * kMiB);
  std::vector<RequestPart*> parts = table.take();
  REQUIRE(parts.size() == 3);
  for (RequestPart* part : parts) {
    std::memcpy(part->memory, content.data() + (part->extent.position - kMiB / 2), part->extent.length);
  }
  for (unsigned i : {2u, 0u, 1u}) table.answer(*parts[i]);
  REQUIRE(table.collect().size() == 1);
  CHECK_FALSE(table->is_free(3));
  std::vector<std::byte> got(2 * kMiB);
  std::span<std::byte> targets[] = {std::span(got).first(700000), {}, std::span(got).subspan(700000)};
  CHECK(table->finish_read(3, targets));
  CHECK(got == content);
  CHECK(table->is_free(3));
  CHECK(table->pool_bytes_in_use() == 0);
  CHECK_FALSE(table->finish_read(3, targets));
}

TEST_CASE("request table: a read whose target is too long is dropped and its ticket is free") {
  Table table;
  REQUIRE(table->submit_read(3, 4096, 0) == Code::ok);
  table.answer_all();
  REQUIRE(table.collect().size() == 1);
  std::vector<std::byte> target(8192);
  std::span<std::byte> targets[] = {target};
  CHECK_FALSE(table->finish_read(3, targets));
  CHECK(table->is_free(3));
  CHECK(table->pool_bytes_in_use() == 0);
}

TEST_CASE("request table: a read that failed has nothing to finish") {
  Table table;
  REQUIRE(table->submit_read(3, 4096, 0) == Code::ok);
  table.answer(*table.take().at(0), Outcome::of(Code::READ_FAILED, 0, 5, 0));
  CHECK(table.collect().at(0).outcome.code == Code::READ_FAILED);
  CHECK(table->is_free(3));
  CHECK(table->pool_bytes_in_use() == 0);
}

TEST_CASE("request table: what does not fit is refused as a whole, and fits again when others have gone") {
  Table table(4 * kMiB);
  REQUIRE(table.write(1, pattern(3 * kMiB), 0) == Code::ok);
  CHECK(table.write(2, pattern(2 * kMiB), 8 * kMiB) == Code::QUEUE_FULL);
  CHECK(table->pool_bytes_in_use() == 3 * kMiB);
  CHECK(table->is_free(2));
  CHECK(table.write(2, pattern(kMiB), 8 * kMiB) == Code::ok);
  CHECK(table->submit_read(3, 512, 0) == Code::QUEUE_FULL);
  table.answer_all();
  CHECK(table.collect().size() == 2);
  CHECK(table.write(2, pattern(4 * kMiB), 8 * kMiB) == Code::ok);
}

TEST_CASE("request table: every ticket can hold a small request, and parts run out before commands do") {
  Table table(kPendingBytes);
  for (std::uint32_t ticket = 0; ticket < kPendingRequests - 1; ++ticket) {
    if (table->submit_flush(ticket) != Code::ok) FAIL("refused at " << ticket);
  }
  CHECK(table->submit_discard(kPendingRequests - 1, 0, 64 * kMiB) == Code::QUEUE_FULL);  // eight lanes, one part left
  CHECK(table->parts_in_use() == kPendingRequests - 1);
  auto close = std::make_unique<Command>(Command{Close{}, Shape{}});
  CHECK(table->submit_command(kPendingRequests - 1, std::move(close)) == Code::ok);
  table.answer_all();
  CHECK(table.collect().size() == kPendingRequests);
}

TEST_CASE("request table: memory that was handed over is used where it lies aligned, and copied where it does not") {
  Table table;
  OwnedMemory& owned = *OwnedMemory::make(3 * kMiB);
  std::byte* const begin = owned.bytes().data();
  std::iota(reinterpret_cast<unsigned char*>(begin), reinterpret_cast<unsigned char*>(begin) + 3 * kMiB, 0);
  REQUIRE(table->submit_write_owned(1, owned, 4096, 2 * kMiB, 4096, {}) == Code::ok);
  CHECK(table->pool_bytes_in_use() == 0);
  for (RequestPart* part : table.take()) CHECK(part->memory == begin + part->extent.position);

  // From an odd block on, the second part does not lie aligned any more.
  REQUIRE(table->submit_write_owned(2, owned, 0, kMiB, kMiB - 512, {}) == Code::ok);
  std::vector<RequestPart*> parts = table.take();
  REQUIRE(parts.size() == 2);
  CHECK(parts[0]->memory == begin);
  CHECK(parts[1]->memory != begin + 512);
  CHECK(std::memcmp(parts[1]->memory, begin + 512, parts[1]->extent.length) == 0);
  owned.drop();
}

TEST_CASE("request table: memory that was handed over is in use until the last part of its request is done") {
  Table table;
  OwnedMemory& owned = *OwnedMemory::make(2 * kMiB);
  CHECK(table->submit_write_owned(1, owned, 0, 2 * kMiB, 4096 * kMiB, {}) == Code::OUT_OF_RANGE);
  CHECK_FALSE(owned.in_use());
  REQUIRE(table->submit_write_owned(1, owned, 0, 2 * kMiB, 0, {}) == Code::ok);
  std::vector<RequestPart*> parts = table.take();
  REQUIRE(parts.size() == 2);
  table.answer(*parts[0]);
  CHECK(table.collect().empty());
  CHECK(owned.in_use());
  table.answer(*parts[1]);
  CHECK(table.collect().size() == 1);
  CHECK_FALSE(owned.in_use());
  owned.drop();
}

TEST_CASE(
    "request table: what an engine that was left to itself still has stays until the table goes, whoever let go") {
  const std::uint64_t before = OwnedMemory::count();
  {
    Table table;
    OwnedMemory& owned = *OwnedMemory::make(kMiB);
    std::byte* const begin = owned.bytes().data();
    std::memset(begin, 0x41, kMiB);
    REQUIRE(table->submit_write_owned(1, owned, 0, kMiB, 0, {}) == Code::ok);
    RequestPart* part = table.take().at(0);
    owned.drop();  // whoever handed it over, and its environment, are gone
    table->abandon_pending(false);
    REQUIRE(table.collect().at(0).outcome.code == Code::CLOSED);
    REQUIRE(OwnedMemory::count() == before + 1);
    OwnedMemory* found = OwnedMemory::find(begin);
    REQUIRE(found != nullptr);
    CHECK(found->in_use());
    found->drop();
    CHECK(part->memory[kMiB - 1] == std::byte{0x41});  // as the device would read it
    table.answer(*part);
    CHECK(table.collect().empty());
  }
  CHECK(OwnedMemory::count() == before);
}

TEST_CASE("request table: an engine that ended has nothing any more, and gives back what was handed over") {
  Table table;
  OwnedMemory& owned = *OwnedMemory::make(kMiB);
  REQUIRE(table->submit_write_owned(1, owned, 0, kMiB, 0, {}) == Code::ok);
  table->abandon_pending(true);
  REQUIRE(table.collect().at(0).outcome.code == Code::CLOSED);
  CHECK_FALSE(owned.in_use());
  owned.drop();
}

TEST_CASE("request table: it goes with requests pending, as at the end of an environment, and lets their memory go") {
  const std::uint64_t before = OwnedMemory::count();
  {
    Table table;
    OwnedMemory& owned = *OwnedMemory::make(kMiB);
    REQUIRE(table->submit_write_owned(1, owned, 0, kMiB, 0, {}) == Code::ok);
    owned.drop();
    CHECK(OwnedMemory::count() == before + 1);
  }
  CHECK(OwnedMemory::count() == before);
}

TEST_CASE("request table: an unaligned write is cut into whole blocks, and the first and last say what is not theirs") {
  Table table;
  std::vector<std::byte> bytes = pattern(2 * kMiB + 300);
  const std::uint64_t position = 3 * kMiB - 100;
  const ConstBytes part = bytes;
  REQUIRE(table->submit_write(1, {&part, 1}, position, {false, true}) == Code::ok);
  std::vector<RequestPart*> parts = table.take();
  REQUIRE(parts.size() == 4);
  CHECK(parts[0]->extent == Extent{3 * kMiB - 512, 512});
  CHECK(parts[3]->extent == Extent{5 * kMiB, 512});
  std::uint64_t used = 0;
  for (RequestPart* part : parts) {
    const bool first = part == parts[0], last = part == parts[3];
    CHECK(part->partial.head == (first ? 412 : 0));
    CHECK(part->partial.tail == (last ? 312 : 0));
    const Extent named = part->named();
    CHECK(named.position == position + used);
    CHECK(std::memcmp(part->memory + part->partial.head, bytes.data() + used, named.length) == 0);
    used += named.length;
  }
  CHECK(used == bytes.size());
  for (RequestPart* part : parts) table.answer(*part);
  CHECK(table.collect().size() == 1);
  CHECK(table->pool_bytes_in_use() == 0);
}

TEST_CASE("request table: of owned memory only the parts with a partial block are copied") {
  Table table;
  OwnedMemory& owned = *OwnedMemory::make(3 * kMiB);
  std::byte* const memory = owned.bytes().data();
  const std::vector<std::byte> content = pattern(3 * kMiB - 200);
  std::copy(content.begin(), content.end(), memory + 100);
  REQUIRE(table->submit_write_owned(1, owned, 100, content.size(), 100, {false, true}) == Code::ok);
  std::vector<RequestPart*> parts = table.take();
  REQUIRE(parts.size() == 3);
  CHECK(parts[0]->pooled);
  CHECK(parts[1]->memory == memory + kMiB);
  CHECK(parts[2]->pooled);
  for (RequestPart* part : parts) {
    const Extent named = part->named();
    CHECK(std::memcmp(part->memory + part->partial.head, content.data() + named.position - 100, named.length) == 0);
    table.answer(*part);
  }
  CHECK(table.collect().size() == 1);
  CHECK(table->pool_bytes_in_use() == 0);
  owned.drop();
}

TEST_CASE("request table: an unaligned write keeps to the end of the mirror, to the byte") {
  Table table;
  const std::vector<std::byte> bytes = pattern(100);
  const ConstBytes part = bytes;
  CHECK(table->submit_write(1, {&part, 1}, 4096 * kMiB - 99, {false, true}) == Code::OUT_OF_RANGE);
  REQUIRE(table->submit_write(1, {&part, 1}, 4096 * kMiB - 100, {false, true}) == Code::ok);
  CHECK(table.take().at(0)->extent == Extent{4096 * kMiB - 512, 512});
}

TEST_CASE("request table: misaligned, out of range, and before there is a mirror: answered at once") {
  Table table;
  CHECK(table.write(1, pattern(100), 0) == Code::MISALIGNED);
  CHECK(table.write(1, pattern(512), 100) == Code::MISALIGNED);
  CHECK(table.write(1, pattern(1024), 4096 * kMiB - 512) == Code::OUT_OF_RANGE);
  CHECK(table->submit_read(1, 512, std::uint64_t{1} << 53) == Code::OUT_OF_RANGE);
  CHECK(table->submit_discard(1, 0, 4097 * kMiB) == Code::OUT_OF_RANGE);
  CHECK(table->is_free(1));
  auto empty = RequestTable::make(kMiB, 0);
  CHECK(empty->submit_read(1, 512, 0) == Code::WRONG_PHASE);
  CHECK(empty->submit_flush(1) == Code::WRONG_PHASE);
}

TEST_CASE("request table: a discard of any length is a few parts that share its regions") {
  Table table;
  REQUIRE(table->submit_discard(1, kMiB - 512, 4000 * kMiB) == Code::ok);
  std::vector<RequestPart*> parts = table.take();
  CHECK(parts.size() == kDiscardLanes);
  std::vector<bool> lanes(kDiscardLanes);
  for (RequestPart* part : parts) {
    CHECK(part->lanes == kDiscardLanes);
    lanes.at(part->lane) = true;
  }
  CHECK(std::count(lanes.begin(), lanes.end(), true) == kDiscardLanes);
  REQUIRE(table->submit_discard(2, kMiB - 512, 1024) == Code::ok);
  CHECK(table.take().size() == 2);
}

TEST_CASE("request table: after a close was submitted everything else is answered CLOSED") {
  Table table;
  REQUIRE(table.write(1, pattern(512), 0) == Code::ok);
  REQUIRE(table->submit_command(2, std::make_unique<Command>(Command{Close{}, Shape{}})) == Code::ok);
  CHECK(table.write(3, pattern(512), 0) == Code::CLOSED);
  CHECK(table->submit_flush(3) == Code::CLOSED);
  CHECK(table->submit_command(3, std::make_unique<Command>(Command{Assess{}, Shape{}})) == Code::CLOSED);
  CHECK(table->submit_command(3, std::make_unique<Command>(Command{Close{}, Shape{}})) == Code::CLOSED);
  table.answer_all();
  CHECK(table.collect().size() == 2);
}

TEST_CASE("request table: what an engine that is gone did not complete is answered CLOSED, once") {
  Table table;
  REQUIRE(table.write(1, pattern(2 * kMiB), 0) == Code::ok);
  REQUIRE(table->submit_read(2, 4096, 0) == Code::ok);
  REQUIRE(table->submit_command(3, std::make_unique<Command>(Command{Assess{}, Shape{}})) == Code::ok);
  std::vector<RequestPart*> parts = table.take();
  table.answer(*parts[0]);  // one of two
  table.answer(*parts[2]);  // the read
  table->abandon_pending(true);
  std::vector<Completion> completions = table.collect();
  REQUIRE(completions.size() == 3);
  CHECK(completions[0].ticket == 2);
  CHECK(completions[0].outcome.ok());
  CHECK(completions[1].ticket == 1);
  CHECK(completions[1].outcome.code == Code::CLOSED);
  CHECK(completions[2].ticket == 3);
  CHECK(completions[2].outcome.code == Code::CLOSED);
  table.answer(*parts[1]);  // an engine that was left to itself, late
  CHECK(table.collect().empty());
  CHECK(table.write(4, pattern(512), 0) == Code::CLOSED);
}

TEST_CASE("request table: a ticket's cancel reaches all parts of its request and does not outlive it") {
  Table table;
  REQUIRE(table.write(1, pattern(2 * kMiB), 0) == Code::ok);
  CHECK_FALSE(table->reaches_nothing(1));
  table->cancel(1);
  CHECK(table->reaches_nothing(1));
  std::vector<RequestPart*> parts = table.take();
  for (RequestPart* part : parts) {
    CHECK(part->progress == parts[0]->progress);
    CHECK(part->progress->call_off.asked());
    table.answer(*part);
  }
  CHECK(table.collect().size() == 1);
  CHECK_FALSE(table->reaches_nothing(1));
  table->cancel(1);  // nothing there any more
  REQUIRE(table.write(1, pattern(512), 0) == Code::ok);
  CHECK_FALSE(table.take().at(0)->progress->call_off.asked());
}

TEST_CASE(
    "requests: a write whose memory a hung device may still touch completes, and keeps that memory until its part "
    "comes back") {
  Table table;
  const std::vector<std::byte> bytes(4096);
  REQUIRE(table.write(7, bytes, 0) == Code::ok);
  RequestPart* part = table.take().at(0);
  const std::uint64_t in_use = table->pool_bytes_in_use();
  part->held = true;
  table.answer(*part);
  REQUIRE(table.collect().size() == 1);
  CHECK(table->is_free(7));
  CHECK(table->pool_bytes_in_use() == in_use);
  REQUIRE(table.write(7, bytes, 0) == Code::ok);  // the ticket is free for another
  RequestPart* other = table.take().at(0);
  CHECK(other->memory != part->memory);
  table.answer(*part);
  CHECK(table.collect().empty());
  CHECK(table->pool_bytes_in_use() == in_use);
  table.answer(*other);
  CHECK(table.collect().size() == 1);
  CHECK(table->pool_bytes_in_use() == 0);
}

TEST_CASE("requests: of a request of many parts only those that are held stay, whichever comes first") {
  Table table;
  const std::vector<std::byte> bytes(3 * kRegionLength);
  REQUIRE(table.write(7, bytes, 0) == Code::ok);
  const std::vector<RequestPart*> parts = table.take();
  REQUIRE(parts.size() == 3);
  parts[1]->held = true;
  table.answer(*parts[1]);
  table.answer(*parts[1]);  // the device answered before the others
  table.answer(*parts[0]);
  CHECK(table.collect().empty());
  table.answer(*parts[2]);
  CHECK(table.collect().size() == 1);
  CHECK(table->pool_bytes_in_use() == 0);
  CHECK(table->parts_in_use() == 0);
}

TEST_CASE("requests: memory that was handed over is in use until a hung device has answered") {
  Table table;
  OwnedMemory* owned = OwnedMemory::make(2 * kRegionLength);
  REQUIRE(table->submit_write_owned(7, *owned, 0, 2 * kRegionLength, 0, {}) == Code::ok);
  const std::vector<RequestPart*> parts = table.take();
  REQUIRE(parts.size() == 2);
  parts[0]->held = true;
  for (RequestPart* part : parts) table.answer(*part);
  CHECK(table.collect().size() == 1);
  CHECK(owned->in_use());
  table.answer(*parts[0]);
  CHECK(table.collect().empty());
  CHECK_FALSE(owned->in_use());
  owned->drop();
}
