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
  std::vector<Piece*> take() {
    std::vector<Piece*> pieces;
    std::uint32_t index;
    while (table_->submissions().pop(index)) pieces.push_back(&table_->piece(index));
    return pieces;
  }
  void answer(Piece& piece, Status status = {}) {
    piece.status = status;
    table_->completions().push(table_->index_of(piece));
  }
  void answer_all() {
    for (Piece* piece : take()) answer(*piece);
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
    Piece* piece = take().at(0);
    piece->command->shape = shape;
    answer(*piece);
    REQUIRE(collect().size() == 1);
  }
  Code write(std::uint32_t slot, ConstBytes bytes, std::uint64_t position) {
    return table_->submit_write(slot, {&bytes, 1}, position, {});
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

TEST_CASE("request table: a write is cut at the regions, each piece with its own copy of its bytes") {
  Table table;
  std::vector<std::byte> bytes = pattern(3 * kMiB);
  std::uint64_t position = 7 * kMiB - 512;
  REQUIRE(table.write(1, bytes, position) == Code::ok);
  std::vector<std::byte> kept = bytes;
  std::fill(bytes.begin(), bytes.end(), std::byte{0});  // I7: the caller may do as it likes from now on
  std::vector<Piece*> pieces = table.take();
  REQUIRE(pieces.size() == 4);
  std::uint64_t expected = position;
  for (Piece* piece : pieces) {
    CHECK(piece->extent.position == expected);
    CHECK((piece->extent.end() - 1) / kRegionLength == piece->extent.position / kRegionLength);
    CHECK(reinterpret_cast<std::uintptr_t>(piece->memory) % 4096 == 0);
    CHECK(std::memcmp(piece->memory, kept.data() + (expected - position), piece->extent.length) == 0);
    expected = piece->extent.end();
  }
  CHECK(expected == position + kept.size());
  for (Piece* piece : pieces) table.answer(*piece);
  CHECK(table.collect().size() == 1);
  CHECK(table->pool_bytes_in_use() == 0);
  CHECK(table->pieces_in_use() == 0);
}

TEST_CASE("request table: buffers of any lengths are gathered into the pieces, empty ones too") {
  Table table;
  std::vector<std::byte> bytes = pattern(2 * kMiB);
  std::vector<ConstBytes> parts;
  std::size_t used = 0;
  for (std::size_t length :
       {std::size_t{1}, std::size_t{0}, std::size_t{511}, std::size_t{1000000}, std::size_t{4096}}) {
    parts.push_back(ConstBytes(bytes).subspan(used, length));
    used += length;
  }
  parts.push_back(ConstBytes(bytes).subspan(used));
  REQUIRE(table->submit_write(1, parts, 4096, {true, false}) == Code::ok);
  for (Piece* piece : table.take()) {
    CHECK(piece->durable);
    CHECK(std::memcmp(piece->memory, bytes.data() + (piece->extent.position - 4096), piece->extent.length) == 0);
  }
}

TEST_CASE("request table: a request completes once, with its last piece, and of several errors reports the lowest") {
  Table table;
  REQUIRE(table.write(9, pattern(4 * kMiB), 0) == Code::ok);
  std::vector<Piece*> pieces = table.take();
  REQUIRE(pieces.size() == 4);
  table.answer(*pieces[3], Status::of(Code::LOG_FAILED, kLogDevice, 5, 3 * kMiB));
  table.answer(*pieces[1], Status::of(Code::MASTER_FAILED, 0, 28, kMiB));
  table.answer(*pieces[2], Status::of(Code::NO_SLAVE, kNoImage, 0, 2 * kMiB));
  CHECK(table.collect().empty());
  CHECK_FALSE(table->is_free(9));
  table.answer(*pieces[0]);
  std::vector<Completion> completions = table.collect();
  REQUIRE(completions.size() == 1);
  CHECK(completions[0].slot == 9);
  CHECK(completions[0].status.code == Code::MASTER_FAILED);
  CHECK(completions[0].status.system_error == 28);
  CHECK(completions[0].status.position == kMiB);
  CHECK(table->is_free(9));
}

TEST_CASE("request table: the memory of a request stays in use until its last piece, though another one has failed") {
  Table table;
  REQUIRE(table.write(1, pattern(4 * kMiB), 0) == Code::ok);
  std::vector<Piece*> pieces = table.take();
  REQUIRE(pieces.size() == 4);
  table.answer(*pieces[3], Status::of(Code::MASTER_FAILED, 0, 5, 3 * kMiB));
  CHECK(table.collect().empty());
  CHECK(table->pool_bytes_in_use() == 4 * kMiB);  // a device may still read it
  for (unsigned i : {0u, 1u, 2u}) table.answer(*pieces[i]);
  CHECK(table.collect().size() == 1);
  CHECK(table->pool_bytes_in_use() == 0);
}

TEST_CASE("request table: a read stays in the pool until it is finished, and comes out in order") {
  Table table;
  REQUIRE(table->submit_read(3, 2 * kMiB, kMiB / 2) == Code::ok);
  std::vector<std::byte> content = pattern(2 * kMiB);
  std::vector<Piece*> pieces = table.take();
  REQUIRE(pieces.size() == 3);
  for (Piece* piece : pieces) {
    std::memcpy(piece->memory, content.data() + (piece->extent.position - kMiB / 2), piece->extent.length);
  }
  for (unsigned i : {2u, 0u, 1u}) table.answer(*pieces[i]);
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

TEST_CASE("request table: a read whose target is too long is dropped and its slot is free") {
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
  table.answer(*table.take().at(0), Status::of(Code::READ_FAILED, 0, 5, 0));
  CHECK(table.collect().at(0).status.code == Code::READ_FAILED);
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

TEST_CASE("request table: every slot can hold a small request, and pieces run out before commands do") {
  Table table(kPendingBytes);
  for (std::uint32_t slot = 0; slot < kPendingRequests - 1; ++slot) {
    if (table->submit_flush(slot) != Code::ok) FAIL("refused at " << slot);
  }
  CHECK(table->submit_discard(kPendingRequests - 1, 0, 64 * kMiB) == Code::QUEUE_FULL);  // eight lanes, one piece left
  CHECK(table->pieces_in_use() == kPendingRequests - 1);
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
  for (Piece* piece : table.take()) CHECK(piece->memory == begin + piece->extent.position);

  // From an odd block on, the second piece does not lie aligned any more.
  REQUIRE(table->submit_write_owned(2, owned, 0, kMiB, kMiB - 512, {}) == Code::ok);
  std::vector<Piece*> pieces = table.take();
  REQUIRE(pieces.size() == 2);
  CHECK(pieces[0]->memory == begin);
  CHECK(pieces[1]->memory != begin + 512);
  CHECK(std::memcmp(pieces[1]->memory, begin + 512, pieces[1]->extent.length) == 0);
  owned.drop();
}

TEST_CASE("request table: memory that was handed over is in use until the last piece of its request is done") {
  Table table;
  OwnedMemory& owned = *OwnedMemory::make(2 * kMiB);
  CHECK(table->submit_write_owned(1, owned, 0, 2 * kMiB, 4096 * kMiB, {}) == Code::OUT_OF_RANGE);
  CHECK_FALSE(owned.in_use());
  REQUIRE(table->submit_write_owned(1, owned, 0, 2 * kMiB, 0, {}) == Code::ok);
  std::vector<Piece*> pieces = table.take();
  REQUIRE(pieces.size() == 2);
  table.answer(*pieces[0]);
  CHECK(table.collect().empty());
  CHECK(owned.in_use());
  table.answer(*pieces[1]);
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
    Piece* piece = table.take().at(0);
    owned.drop();  // whoever handed it over, and its environment, are gone
    table->abandon_pending(false);
    REQUIRE(table.collect().at(0).status.code == Code::CLOSED);
    REQUIRE(OwnedMemory::count() == before + 1);
    OwnedMemory* found = OwnedMemory::find(begin);
    REQUIRE(found != nullptr);
    CHECK(found->in_use());
    found->drop();
    CHECK(piece->memory[kMiB - 1] == std::byte{0x41});  // as the device would read it
    table.answer(*piece);
    CHECK(table.collect().empty());
  }
  CHECK(OwnedMemory::count() == before);
}

TEST_CASE("request table: an engine that ended has nothing any more, and gives back what was handed over") {
  Table table;
  OwnedMemory& owned = *OwnedMemory::make(kMiB);
  REQUIRE(table->submit_write_owned(1, owned, 0, kMiB, 0, {}) == Code::ok);
  table->abandon_pending(true);
  REQUIRE(table.collect().at(0).status.code == Code::CLOSED);
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
  std::vector<Piece*> pieces = table.take();
  REQUIRE(pieces.size() == 4);
  CHECK(pieces[0]->extent == Extent{3 * kMiB - 512, 512});
  CHECK(pieces[3]->extent == Extent{5 * kMiB, 512});
  std::uint64_t used = 0;
  for (Piece* piece : pieces) {
    const bool first = piece == pieces[0], last = piece == pieces[3];
    CHECK(piece->partial.head == (first ? 412 : 0));
    CHECK(piece->partial.tail == (last ? 312 : 0));
    const Extent named = piece->named();
    CHECK(named.position == position + used);
    CHECK(std::memcmp(piece->memory + piece->partial.head, bytes.data() + used, named.length) == 0);
    used += named.length;
  }
  CHECK(used == bytes.size());
  for (Piece* piece : pieces) table.answer(*piece);
  CHECK(table.collect().size() == 1);
  CHECK(table->pool_bytes_in_use() == 0);
}

TEST_CASE("request table: of owned memory only the pieces with a partial block are copied") {
  Table table;
  OwnedMemory& owned = *OwnedMemory::make(3 * kMiB);
  std::byte* const memory = owned.bytes().data();
  const std::vector<std::byte> content = pattern(3 * kMiB - 200);
  std::copy(content.begin(), content.end(), memory + 100);
  REQUIRE(table->submit_write_owned(1, owned, 100, content.size(), 100, {false, true}) == Code::ok);
  std::vector<Piece*> pieces = table.take();
  REQUIRE(pieces.size() == 3);
  CHECK(pieces[0]->pooled);
  CHECK(pieces[1]->memory == memory + kMiB);
  CHECK(pieces[2]->pooled);
  for (Piece* piece : pieces) {
    const Extent named = piece->named();
    CHECK(std::memcmp(piece->memory + piece->partial.head, content.data() + named.position - 100, named.length) == 0);
    table.answer(*piece);
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

TEST_CASE("request table: a discard of any length is a few pieces that share its regions") {
  Table table;
  REQUIRE(table->submit_discard(1, kMiB - 512, 4000 * kMiB) == Code::ok);
  std::vector<Piece*> pieces = table.take();
  CHECK(pieces.size() == kDiscardLanes);
  std::vector<bool> lanes(kDiscardLanes);
  for (Piece* piece : pieces) {
    CHECK(piece->lanes == kDiscardLanes);
    lanes.at(piece->lane) = true;
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
  std::vector<Piece*> pieces = table.take();
  table.answer(*pieces[0]);  // one of two
  table.answer(*pieces[2]);  // the read
  table->abandon_pending(true);
  std::vector<Completion> completions = table.collect();
  REQUIRE(completions.size() == 3);
  CHECK(completions[0].slot == 2);
  CHECK(completions[0].status.ok());
  CHECK(completions[1].slot == 1);
  CHECK(completions[1].status.code == Code::CLOSED);
  CHECK(completions[2].slot == 3);
  CHECK(completions[2].status.code == Code::CLOSED);
  table.answer(*pieces[1]);  // an engine that was left to itself, late
  CHECK(table.collect().empty());
  CHECK(table.write(4, pattern(512), 0) == Code::CLOSED);
}

TEST_CASE("request table: a slot's cancel reaches all pieces of its request and does not outlive it") {
  Table table;
  REQUIRE(table.write(1, pattern(2 * kMiB), 0) == Code::ok);
  table->cancel(1);
  std::vector<Piece*> pieces = table.take();
  for (Piece* piece : pieces) {
    CHECK(piece->progress == pieces[0]->progress);
    CHECK(piece->progress->cancelled.load());
    table.answer(*piece);
  }
  CHECK(table.collect().size() == 1);
  table->cancel(1);  // nothing there any more
  REQUIRE(table.write(1, pattern(512), 0) == Code::ok);
  CHECK_FALSE(table.take().at(0)->progress->cancelled.load());
}
