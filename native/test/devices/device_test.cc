// Reads and writes on files and loop devices: the same behaviour on both kinds of reactor.
#include "../../core/base/device.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <memory>
#include <vector>

#include "loop.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr std::uint64_t kImageSize = 16 * 1024 * 1024;

// An image on a file and, where that is allowed, one on a loop device: each test below runs on both.
struct Target {
  TemporaryDirectory directory;
  std::unique_ptr<LoopDevice> loop_device;
  std::string path;
  std::string why_not;

  explicit Target(bool block_device, const LoopOptions& options = {}) {
    path = directory / "image";
    make_file(path, kImageSize);
    if (!block_device) return;
    loop_device = std::make_unique<LoopDevice>(path, options);
    path = loop_device->path();
    why_not = loop_device->why_not();
  }
};

// Runs the test's body on a file and on a loop device; the part that cannot run is said.
template <typename Kind, typename Body>
void on_file_and_loop_device(const Body& body, unsigned queue_depth = 64) {
  for (const bool block_device : {false, true}) {
    CAPTURE(block_device);
    Loop loop(Kind::kKind, queue_depth);
    BLOCKMIRROR_SKIP_UNLESS(loop);
    Target target(block_device);
    if (!target.why_not.empty()) return skip(target.why_not);
    body(loop, target);
  }
}

struct Counted {
  DeviceRequest request;
  unsigned* left = nullptr;
};

}  // namespace

TEST_CASE_TEMPLATE("device: what was written is read back and is on the device", Kind, OnIoUring, OnThreads) {
  on_file_and_loop_device<Kind>([](Loop& loop, Target& target) {
    auto device = loop.open(target.path);
    const std::uint64_t unit = device->traits().offset_alignment;
    std::uint64_t seed = 1;
    for (const std::uint64_t length : {unit, 3 * unit, std::uint64_t{65536}, std::uint64_t{4 * 1024 * 1024}}) {
      AlignedBuffer written(length), read(length);
      fill(written.span(), ++seed);
      CHECK(loop.write(*device, 5 * unit, written.span()) == 0);
      CHECK(loop.read(*device, 5 * unit, read.span()) == 0);
      CHECK(equal(written.span(), read.span()));
      CHECK(equal(written.span(), content_of(target.path, 5 * unit, length).span()));
    }
  });
}

TEST_CASE_TEMPLATE("device: memory aligned no better than the traits ask for is good enough", Kind, OnIoUring,
                   OnThreads) {
  on_file_and_loop_device<Kind>([](Loop& loop, Target& target) {
    auto device = loop.open(target.path);
    const std::size_t shift = device->traits().memory_alignment;
    AlignedBuffer memory(65536 + shift), read(65536 + shift);
    fill(memory.span(), 3);
    CHECK(loop.write(*device, 0, memory.span().subspan(shift, 65536)) == 0);
    CHECK(loop.read(*device, 0, read.span().subspan(shift, 65536)) == 0);
    CHECK(equal(memory.span().subspan(shift, 65536), read.span().subspan(shift, 65536)));
  });
}

TEST_CASE_TEMPLATE("device: a thousand random requests at once each reach their place", Kind, OnIoUring, OnThreads) {
  on_file_and_loop_device<Kind>(
      [](Loop& loop, Target& target) {
        auto device = loop.open(target.path);
        constexpr unsigned kRequests = 1000;
        constexpr std::uint64_t kLength = 8192;
        std::vector<unsigned> places(kImageSize / kLength);
        for (unsigned i = 0; i < places.size(); ++i) places[i] = i;
        std::shuffle(places.begin(), places.end(), std::mt19937(42));
        AlignedBuffer memory(kRequests * kLength);
        loop->offer_memory(memory.span().first(memory.size() / 2));
        fill(memory.span(), 17);
        const std::vector<std::byte> expected(memory.span().begin(), memory.span().end());
        for (const Operation operation : {Operation::write, Operation::read}) {
          unsigned left = kRequests;
          std::vector<Counted> requests(kRequests);
          for (unsigned i = 0; i < kRequests; ++i) {
            DeviceRequest& request = requests[i].request;
            requests[i].left = &left;
            request.operation = operation;
            request.durable = operation == Operation::write && i % 100 == 0;
            request.position = places[i] * kLength;
            request.length = kLength;
            request.memory = memory.span().data() + i * kLength;
            request.context = &requests[i];
            request.on_complete = [](DeviceRequest& completed) { --*static_cast<Counted*>(completed.context)->left; };
            device->submit(request);
          }
          while (left > 0) loop->turn(true);
          for (const Counted& one : requests) REQUIRE(one.request.error == 0);
          if (operation == Operation::write) std::fill(memory.span().begin(), memory.span().end(), std::byte{0});
        }
        CHECK(equal(memory.span(), expected));
        for (unsigned i = 0; i < kRequests; i += 37) {
          const AlignedBuffer there = content_of(target.path, places[i] * kLength, kLength);
          CHECK(equal(there.span(), std::span(expected).subspan(i * kLength, kLength)));
        }
      },
      48);
}

TEST_CASE_TEMPLATE("device: durable writes, durable zeroes and flushes reach the disk's cache control, others do not",
                   Kind, OnIoUring, OnThreads) {
  Loop loop(Kind::kKind);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  Target target(true);
  if (!target.why_not.empty()) return skip(target.why_not);
  auto device = loop.open(target.path);
  if (!device->traits().volatile_cache) return skip("the loop device has no volatile cache here");
  AlignedBuffer memory(65536);
  std::uint64_t before = target.loop_device->flushes();
  auto flushed = [&] {
    const std::uint64_t now = target.loop_device->flushes();
    const bool more = now > before;
    before = now;
    return more;
  };
  CHECK(loop.write(*device, 0, memory.span()) == 0);
  CHECK_FALSE(flushed());
  CHECK(loop.write(*device, 0, memory.span(), true) == 0);
  CHECK(flushed());
  CHECK(loop.flush(*device) == 0);
  CHECK(flushed());
  CHECK(loop.write_zeroes(*device, {0, 65536}) == 0);
  CHECK_FALSE(flushed());
  CHECK(loop.write_zeroes(*device, {0, 65536}, true) == 0);
  CHECK(flushed());
}

TEST_CASE_TEMPLATE("device: a file takes durable writes and flushes", Kind, OnIoUring, OnThreads) {
  Loop loop(Kind::kKind);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  Target target(false);
  auto device = loop.open(target.path);
  AlignedBuffer memory(65536);
  fill(memory.span(), 5);
  CHECK(loop.write(*device, 65536, memory.span(), true) == 0);
  CHECK(loop.flush(*device) == 0);
  CHECK(equal(memory.span(), content_of(target.path, 65536, 65536).span()));
}

TEST_CASE_TEMPLATE("device: zeroes cover their extent and not a byte more", Kind, OnIoUring, OnThreads) {
  on_file_and_loop_device<Kind>([](Loop& loop, Target& target) {
    auto device = loop.open(target.path);
    const std::uint64_t unit = device->traits().offset_alignment;
    for (const bool durable : {false, true}) {
      const Extent extent{3 * unit, 2 * 1024 * 1024 + 7 * unit};
      AlignedBuffer whole(4 * 1024 * 1024);
      fill(whole.span(), 23);
      CHECK(loop.write(*device, 0, whole.span()) == 0);
      CHECK(loop.write_zeroes(*device, extent, durable) == 0);
      std::fill_n(whole.span().begin() + static_cast<long>(extent.position), extent.length, std::byte{0});
      CHECK(equal(whole.span(), content_of(target.path, 0, whole.size()).span()));
    }
  });
}

TEST_CASE_TEMPLATE("device: zeroes leave a file's blocks allocated and written", Kind, OnIoUring, OnThreads) {
  Loop loop(Kind::kKind);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  Target target(false);
  auto device = loop.open(target.path);
  struct stat before {
  }, after{};
  REQUIRE(::stat(target.path.c_str(), &before) == 0);
  CHECK(loop.write_zeroes(*device, {0, kImageSize}, true) == 0);
  REQUIRE(::stat(target.path.c_str(), &after) == 0);
  CHECK(after.st_blocks == before.st_blocks);
  const int descriptor = ::open(target.path.c_str(), O_RDONLY | O_CLOEXEC);
  CHECK(::lseek(descriptor, 0, SEEK_HOLE) == static_cast<off_t>(kImageSize));  // unwritten extents would be a hole
  ::close(descriptor);
}

TEST_CASE_TEMPLATE("device: reading past the end is EIO", Kind, OnIoUring, OnThreads) {
  on_file_and_loop_device<Kind>([](Loop& loop, Target& target) {
    auto device = loop.open(target.path);
    AlignedBuffer memory(16384);
    CHECK(loop.read(*device, kImageSize, memory.span()) == EIO);
    CHECK(loop.read(*device, kImageSize - 8192, memory.span()) == EIO);
    CHECK(loop.read(*device, kImageSize - 16384, memory.span()) == 0);
  });
}

TEST_CASE_TEMPLATE("device: a file that ends inside a unit is EIO there, and reads before", Kind, OnIoUring,
                   OnThreads) {
  Loop loop(Kind::kKind);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  TemporaryDirectory directory;
  make_file(directory / "image", 65536 + 100);
  auto device = loop.open(directory / "image");
  CHECK(device->traits().size == 65536);
  AlignedBuffer memory(65536);
  CHECK(loop.read(*device, 0, memory.span()) == 0);
  CHECK(loop.read(*device, 32768, memory.span()) == EIO);
}

TEST_CASE_TEMPLATE("device: writing past the end of a block device is an error", Kind, OnIoUring, OnThreads) {
  Loop loop(Kind::kKind);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  Target target(true);
  if (!target.why_not.empty()) return skip(target.why_not);
  auto device = loop.open(target.path);
  AlignedBuffer memory(16384);
  CHECK(loop.write(*device, kImageSize - 8192, memory.span()) == ENOSPC);
  CHECK(loop.write_zeroes(*device, {kImageSize - 8192, 16384}) == ENOSPC);
}

TEST_CASE_TEMPLATE("device: a write cut short by a limit is resumed, and its error surfaces", Kind, OnIoUring,
                   OnThreads) {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(Kind::kKind));
  Target target(false);
  AlignedBuffer memory(65536);
  fill(memory.span(), 71);
  // The kernel writes up to the limit (a short write), and refuses the rest.
  const int status = exit_code_of([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1024 * 1024, 1024 * 1024};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 254;
    Loop in_child(Kind::kKind);
    auto device = in_child.open(target.path);
    return in_child.write(*device, 1024 * 1024 - 16384, memory.span());
  });
  CHECK(status == EFBIG);
  const AlignedBuffer there = content_of(target.path, 1024 * 1024 - 16384, 65536);
  CHECK(equal(memory.first(16384), there.span().first(16384)));
  CHECK_FALSE(equal(memory.span().subspan(16384), there.span().subspan(16384)));
}

TEST_CASE_TEMPLATE("device: a full file system surfaces, from a file and from a loop device over it", Kind, OnIoUring,
                   OnThreads) {
  if (!is_root()) return skip("mounting a small file system needs root");
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(Kind::kKind));
  TemporaryDirectory directory;
  // A mount of the child alone: it goes with the child, however that ends.
  auto write_too_much = [&](bool through_loop_device) {
    return exit_code_of([&] {
      const std::string mount_point = directory / "full";
      ::mkdir(mount_point.c_str(), 0755);
      if (!enter_own_mount_namespace()) return 250;
      if (::mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=1m") != 0) return 251;
      const std::string path = mount_point + "/image";
      make_file(path, 4 * 1024 * 1024, Fill::sparse);
      std::unique_ptr<LoopDevice> block;
      if (through_loop_device) {
        block = std::make_unique<LoopDevice>(path, LoopOptions{.direct_io = false});
        if (!block->available()) return 252;
      }
      OpenFile file;
      const Outcome outcome = OpenFile::open(block ? block->path() : path, {.require_allocated = false}, file);
      if (outcome.code == Code::NO_DIRECT_IO) return 253;
      if (!outcome.ok()) return 254;
      Loop in_child(Kind::kKind);
      auto device = in_child->make_device(std::move(file));
      AlignedBuffer memory(2 * 1024 * 1024);
      return in_child.write(*device, 0, memory.span());
    });
  };
  if (const int from_file = write_too_much(false); from_file != 253) CHECK(from_file == ENOSPC);
  const int from_loop_device = write_too_much(true);
  CAPTURE(from_loop_device);
  CHECK((from_loop_device == ENOSPC || from_loop_device == EIO));
}

TEST_CASE_TEMPLATE("device: writing to what was opened for reading is refused by the kernel", Kind, OnIoUring,
                   OnThreads) {
  on_file_and_loop_device<Kind>([](Loop& loop, Target& target) {
    auto device = loop.open(target.path, {.read_only = true});
    AlignedBuffer memory(4096);
    CHECK(loop.write(*device, 0, memory.span()) == EBADF);
    CHECK(loop.read(*device, 0, memory.span()) == 0);
  });
}

TEST_CASE_TEMPLATE("device: a request longer than one system operation moves every byte", Kind, OnIoUring, OnThreads) {
  Loop loop(Kind::kKind);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  TemporaryDirectory directory;
  constexpr std::size_t kLength = 64 * 1024 * 1024 + 65536;
  make_file(directory / "image", kLength, Fill::preallocated);
  auto device = loop.open(directory / "image");
  AlignedBuffer memory(kLength);
  fill(memory.span(), 1234);
  const std::vector<std::byte> expected(memory.span().begin(), memory.span().end());
  CHECK(loop.write(*device, 0, memory.span()) == 0);
  std::fill(memory.span().begin(), memory.span().end(), std::byte{0});
  CHECK(loop.read(*device, 0, memory.span()) == 0);
  CHECK(equal(memory.span(), expected));
}

TEST_CASE_TEMPLATE("device: blocks of 4096 bytes are stated and work", Kind, OnIoUring, OnThreads) {
  Loop loop(Kind::kKind);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  Target target(true, {.block_size = 4096});
  if (!target.why_not.empty()) return skip(target.why_not);
  auto device = loop.open(target.path);
  CHECK(device->traits().logical_block_size == 4096);
  CHECK(device->traits().offset_alignment == 4096);
  CHECK(device->traits().physical_block_size >= 4096);
  AlignedBuffer memory(8192);
  CHECK(loop.write(*device, 4096, memory.span()) == 0);
  CHECK(loop.write_zeroes(*device, {8192, 4096}) == 0);
}
