// Opening: what is refused and why, who holds what, and what the traits say.
#include "../../devices/open_file.h"

#include <linux/blkpg.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include "loop.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr std::uint64_t kSize = 4 * 1024 * 1024;

Outcome open_outcome(const std::string& path, const OpenFileOptions& options = {}) {
  OpenFile file;
  const Outcome outcome = OpenFile::open(path, options, file);
  CHECK(file.is_open() == outcome.ok());
  return outcome;
}

void check_refused(const std::string& path, Code code, int error, const OpenFileOptions& options = {}) {
  CAPTURE(path);
  const Outcome outcome = open_outcome(path, options);
  CHECK(outcome.code == code);
  CHECK(outcome.system_error == error);
}

// In a child that `before` has put into the state: the errno of the refusal, 254 for another refusal or none.
int errno_refused(const std::string& path, const std::function<bool()>& before, Code code = Code::OPEN_FAILED) {
  return exit_code_of([&] {
    if (!before()) return 255;
    OpenFile file;
    const Outcome outcome = OpenFile::open(path, {}, file);
    return outcome.code == code ? outcome.system_error : 254;
  });
}

void punch(const std::string& path, std::uint64_t position, std::uint64_t length) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(::fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(position),
                      static_cast<off_t>(length)) == 0);
  ::close(descriptor);
}

constexpr OpenFileOptions kImpatient{.busy_retry_ms = 30};

// Opens the path, keeps requests in flight and says so; until it is killed.
int hold_and_write(DeviceKind kind, const std::string& path, const std::function<void()>& say_ready) {
  ReactorOrOutcome made = make_reactor({.kind = kind, .queue_depth = 32});
  OpenFile file;
  if (!made.outcome.ok() || !made.reactor->bind_to_this_thread().ok()) return 1;
  if (!OpenFile::open(path, {}, file).ok()) return 2;
  auto device = made.reactor->make_device(std::move(file));
  struct Endless {
    DeviceRequest request;
    Device* device = nullptr;
  };
  static AlignedBuffer memory(65536);
  std::vector<Endless> writes(32);
  for (std::size_t i = 0; i < writes.size(); ++i) {
    writes[i].device = device.get();
    writes[i].request.operation = Operation::write;
    writes[i].request.position = i * 65536;
    writes[i].request.length = 65536;
    writes[i].request.memory = memory.span().data();
    writes[i].request.context = &writes[i];
    writes[i].request.on_complete = [](DeviceRequest& request) {
      static_cast<Endless*>(request.context)->device->submit(request);
    };
    device->submit(writes[i].request);
  }
  made.reactor->turn(false);
  say_ready();
  for (;;) made.reactor->turn(true);
}

}  // namespace

TEST_CASE("open file: what is not there or not a file or block device is refused with its errno") {
  TemporaryDirectory directory;
  REQUIRE(::mkdir((directory / "folder").c_str(), 0755) == 0);
  REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
  REQUIRE(::symlink((directory / "self").c_str(), (directory / "self").c_str()) == 0);
  make_file(directory / "file", 4096);
  check_refused(directory / "missing", Code::OPEN_FAILED, ENOENT);
  check_refused(directory / "folder", Code::OPEN_FAILED, EISDIR);
  check_refused(directory / "fifo", Code::OPEN_FAILED, EINVAL);
  check_refused(directory / "self", Code::OPEN_FAILED, ELOOP);
  check_refused(directory / "file/below", Code::OPEN_FAILED, ENOTDIR);
  check_refused(std::string(5000, 'a'), Code::OPEN_FAILED, ENAMETOOLONG);
  check_refused("", Code::OPEN_FAILED, ENOENT);
  check_refused("/dev/null", Code::OPEN_FAILED, EINVAL);
}

TEST_CASE("open file: a file system without direct I/O is refused as such") {
  check_refused("/proc/self/ns/mnt", Code::NO_DIRECT_IO, EINVAL, {.read_only = true, .exclusive = false});
}

TEST_CASE("open file: what the kernel shows as files is not opened") {
  for (const char* path : {"/proc/self/status", "/proc/kmsg", "/sys/kernel/notes"})
    if (::access(path, F_OK) == 0)
      check_refused(path, Code::OPEN_FAILED, EINVAL, {.read_only = true, .exclusive = false});
}

// The path leads to a file, to a FIFO that nobody writes, and back, while it is opened again and again.
TEST_CASE("open file: a file that becomes a FIFO is never waited for, and what is open waits for its disk") {
  TemporaryDirectory directory;
  const std::string path = directory / "path", other = directory / "other";
  const int status = exit_code_of([&] {
    ::alarm(120);
    make_file(path, 4096);
    if (::mkfifo(other.c_str(), 0600) != 0) return 253;
    std::atomic<bool> ended{false};
    std::thread swapper([&] {
      while (!ended) ::syscall(SYS_renameat2, AT_FDCWD, path.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE);
    });
    int wrong = 0, opened = 0;
    for (unsigned attempt = 0; attempt < 4000 || (opened == 0 && attempt < 400'000); ++attempt) {
      OpenFile file;
      if (!OpenFile::open(path, {.read_only = true, .exclusive = false}, file).ok()) continue;
      ++opened;
      struct stat status {};
      if (::fstat(file.descriptor(), &status) != 0 || !S_ISREG(status.st_mode)) wrong = 252;
      if ((::fcntl(file.descriptor(), F_GETFL) & O_NONBLOCK) != 0) wrong = 251;
    }
    ended = true;
    swapper.join();
    return opened == 0 ? 250 : wrong;
  });
  CHECK(status == 0);
}

// To open some devices is to act. A FIFO stands for them here: whoever waits to write to it wakes when it is opened.
TEST_CASE("open file: what takes the place of a file while it is opened is not opened") {
  TemporaryDirectory directory;
  const std::string path = directory / "path", other = directory / "other";
  make_file(path, 4096);
  REQUIRE(::mkfifo(other.c_str(), 0600) == 0);
  const int fifo = ::open(other.c_str(), O_PATH | O_CLOEXEC);
  const std::string held = "/proc/self/fd/" + std::to_string(fifo);
  std::atomic<bool> ended{false}, woken{false};
  std::thread writer([&] {
    const int descriptor = ::open(held.c_str(), O_WRONLY | O_CLOEXEC);
    woken = !ended;
    ::close(descriptor);
  });
  std::thread swapper([&] {
    while (!ended) ::syscall(SYS_renameat2, AT_FDCWD, path.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE);
  });
  unsigned opened = 0;
  for (unsigned attempt = 0; attempt < 200'000 || (opened == 0 && attempt < 400'000); ++attempt) {
    OpenFile file;
    if (OpenFile::open(path, {.read_only = true, .exclusive = false}, file).ok()) ++opened;
  }
  ended = true;
  swapper.join();
  const int reader = ::open(held.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  writer.join();
  CHECK(opened > 0);
  CHECK(!woken);
  ::close(reader);
  ::close(fifo);
}

TEST_CASE("open file: it says whose it is, of what is open") {
  TemporaryDirectory directory;
  make_file(directory / "file", kSize);
  REQUIRE(::chmod((directory / "file").c_str(), 0640) == 0);
  OpenFile file;
  REQUIRE(OpenFile::open(directory / "file", {}, file).ok());
  CHECK(file.ownership().user == ::geteuid());
  CHECK(file.ownership().mode == 0640);
}

TEST_CASE("open file: missing permission is refused with its errno") {
  if (!is_root()) return skip("becoming another user needs root");
  TemporaryDirectory directory;
  make_file(directory / "file", 4096);
  CHECK(errno_refused(directory / "file", [] { return ::setuid(65534) == 0; }) == EACCES);
}

TEST_CASE("open file: running out of descriptors is refused with its errno") {
  TemporaryDirectory directory;
  make_file(directory / "file", 4096);
  const auto take_all = [] {
    while (::dup(0) >= 0) {
    }
    return errno == EMFILE;
  };
  CHECK(errno_refused(directory / "file", take_all) == EMFILE);
}

TEST_CASE("open file: a hole is refused with its position, preallocated blocks are not a hole") {
  TemporaryDirectory directory;
  make_file(directory / "sparse", kSize, Fill::sparse);
  make_file(directory / "preallocated", kSize, Fill::preallocated);
  make_file(directory / "written", kSize + 4096, Fill::written);
  make_file(directory / "empty", 0);
  CHECK(open_outcome(directory / "preallocated").ok());
  CHECK(open_outcome(directory / "written").ok());
  CHECK(open_outcome(directory / "empty").ok());
  CHECK(open_outcome(directory / "sparse", {.require_allocated = false}).ok());
  Outcome outcome = open_outcome(directory / "sparse");
  CHECK(outcome.code == Code::HOLE);
  CHECK(outcome.position == 0);
  for (const std::uint64_t hole : {std::uint64_t{65536}, kSize - 65536}) {
    for (const char* name : {"preallocated", "written"}) {
      CAPTURE(name);
      make_file(directory / name, kSize, name[0] == 'p' ? Fill::preallocated : Fill::written);
      punch(directory / name, hole, 65536);
      outcome = open_outcome(directory / name);
      CHECK(outcome.code == Code::HOLE);
      CHECK(outcome.position == hole);
    }
  }
}

namespace {

void cut(const std::string& path, std::uint64_t length) {
  REQUIRE(::truncate(path.c_str(), static_cast<off_t>(length)) == 0);
}

AllocationLoss loss_of_member(const std::string& path) {
  OpenFile file;
  REQUIRE(OpenFile::open(path, {.member = true}, file).ok());
  return file.allocation_loss();
}

// A file system with reflinks of `size` bytes on a loop device, mounted in the child that makes it.
int mount_with_reflinks(const std::string& image, const std::string& mount_point, std::uint64_t size) {
  make_file(image, size, Fill::sparse);
  if (std::system(("mkfs.xfs -q -m reflink=1 " + image + " >/dev/null 2>&1").c_str()) != 0) return 250;
  ::mkdir(mount_point.c_str(), 0755);
  if (!enter_own_mount_namespace()) return 250;
  static LoopDevice device(image);
  if (!device.available()) return 250;
  return ::mount(device.path().c_str(), mount_point.c_str(), "xfs", 0, nullptr) == 0 ? 0 : 250;
}

int clone(const std::string& from, const std::string& to) {
  const int source = ::open(from.c_str(), O_RDONLY | O_CLOEXEC);
  const int target = ::open(to.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const int status = ::ioctl(target, FICLONE, source);
  ::close(source);
  ::close(target);
  return status;
}

}  // namespace

TEST_CASE("open file: a hole is found where the file system has no map of extents") {
  if (!is_root()) return skip("mounting needs root");
  TemporaryDirectory directory;
  enum : int { found, missed, not_mounted, no_direct_io };
  const int status = exit_code_of([&]() -> int {
    const std::string mount_point = directory / "tmpfs";
    const bool mounted = ::mkdir(mount_point.c_str(), 0755) == 0 && enter_own_mount_namespace() &&
                         ::mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=8m") == 0;
    if (!mounted) return not_mounted;
    make_file(mount_point + "/whole", 1024 * 1024);
    OpenFile whole, sparse;
    if (const Outcome opened = OpenFile::open(mount_point + "/whole", {}, whole); !opened.ok())
      return opened.code == Code::NO_DIRECT_IO ? no_direct_io : missed;
    make_file(mount_point + "/sparse", 1024 * 1024, Fill::sparse);
    return OpenFile::open(mount_point + "/sparse", {}, sparse).code == Code::HOLE ? found : missed;
  });
  if (status == not_mounted) return skip("needs to be allowed to mount");
  if (status == no_direct_io) return skip("this kernel's tmpfs takes no direct I/O");
  CHECK(status == found);
}

TEST_CASE("open file: a member that lost blocks is opened, and says where they were, and one that lost none says so") {
  TemporaryDirectory directory;
  make_file(directory / "image", kSize);
  CHECK_FALSE(loss_of_member(directory / "image").lost);
  punch(directory / "image", 65536, 4096);
  const AllocationLoss loss = loss_of_member(directory / "image");
  CHECK(loss.lost);
  CHECK(loss.position == 65536);
}

TEST_CASE("open file: a member that is punched, cut short or cut and made as long again while it is open says so") {
  for (const int how : {0, 1, 2}) {
    CAPTURE(how);
    TemporaryDirectory directory;
    const std::string path = directory / "image";
    make_file(path, kSize);
    OpenFile file;
    REQUIRE(OpenFile::open(path, {.member = true}, file).ok());
    CHECK_FALSE(file.allocation_loss().lost);
    if (how == 0) punch(path, 131072, 4096);
    if (how > 0) cut(path, 131072);
    if (how == 2) cut(path, kSize);
    const AllocationLoss loss = file.allocation_loss();
    CHECK(loss.lost);
    CHECK(loss.position == 131072);
    CHECK(file.allocation_loss().lost);
  }
}

TEST_CASE("open file: blocks shared with another file are a hole, of a member only where there is no room for them") {
  TemporaryDirectory directory;
  const std::string mount_point = directory / "xfs";
  constexpr std::uint64_t kImage = 64 * 1024 * 1024;
  const int status = exit_code_of([&] {
    if (!is_root()) return 249;
    if (const int error = mount_with_reflinks(directory / "disk", mount_point, 320 * 1024 * 1024); error != 0)
      return error;
    const std::string path = mount_point + "/image";
    make_file(path, kImage);
    if (!open_outcome(path).ok()) return 1;
    if (clone(path, mount_point + "/copy") != 0) return 250;
    const Outcome shared = open_outcome(path);
    if (shared.code != Code::HOLE || shared.position != 0) return 2;
    if (loss_of_member(path).lost) return 3;
    const int filler = ::open((mount_point + "/filler").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const std::vector<char> bytes(1024 * 1024, 'f');
    while (::write(filler, bytes.data(), bytes.size()) > 0 && ::fsync(filler) == 0) {
    }
    ::close(filler);
    const AllocationLoss loss = loss_of_member(path);
    if (!loss.lost || loss.position != 0) return 4;
    return open_outcome(path).code == Code::HOLE ? 0 : 5;
  });
  if (status == 249) return skip("mounting needs root");
  if (status == 250) return skip("there is no xfs with reflinks here (mkfs.xfs, the kernel)");
  CHECK(status == 0);
}

TEST_CASE("open file: a file of many fragments is looked at to its end") {
  TemporaryDirectory directory;
  make_file(directory / "image", 4 * kSize, Fill::preallocated);
  // Written and unwritten blocks in turn are as many extents, more than one query answers.
  const int descriptor = ::open((directory / "image").c_str(), O_RDWR | O_CLOEXEC);
  const std::vector<char> block(4096, 'x');
  for (std::uint64_t at = 0; at < 4 * kSize; at += 8192) {
    REQUIRE(::pwrite(descriptor, block.data(), block.size(), static_cast<off_t>(at)) == 4096);
  }
  ::close(descriptor);
  CHECK(open_outcome(directory / "image").ok());
  punch(directory / "image", 4 * kSize - 4096, 4096);
  const Outcome outcome = open_outcome(directory / "image");
  CHECK(outcome.code == Code::HOLE);
  CHECK(outcome.position == 4 * kSize - 4096);
}

TEST_CASE("open file: the second exclusive opener is refused, in this process and in another") {
  TemporaryDirectory directory;
  make_file(directory / "image", kSize);
  LoopDevice block(directory / "image");
  make_file(directory / "file", kSize);
  std::vector<std::string> paths = {directory / "file"};
  if (block.available()) paths.push_back(block.path());
  for (const std::string& path : paths) {
    CAPTURE(path);
    OpenFile holder;
    REQUIRE(OpenFile::open(path, {}, holder).ok());
    CHECK(open_outcome(path, kImpatient).code == Code::BUSY);
    CHECK(open_outcome(path, {.read_only = true, .busy_retry_ms = 30}).code == Code::BUSY);
    CHECK(open_outcome(path, {.read_only = true, .exclusive = false}).ok());
    const int elsewhere = exit_code_of([&] {
      OpenFile file;
      const Outcome outcome = OpenFile::open(path, kImpatient, file);
      const bool errno_fits = outcome.system_error == EBUSY || outcome.system_error == EWOULDBLOCK;
      return outcome.code == Code::BUSY && errno_fits ? 0 : 1;
    });
    CHECK(elsewhere == 0);
    holder = OpenFile();
    CHECK(open_outcome(path, kImpatient).ok());
  }
  if (!block.available()) skip(block.why_not());
}

TEST_CASE("open file: an opener waits for a holder that is about to go") {
  TemporaryDirectory directory;
  make_file(directory / "image", kSize);
  LoopDevice block(directory / "image");
  make_file(directory / "file", kSize);
  std::vector<std::string> paths = {directory / "file"};
  if (block.available()) paths.push_back(block.path());
  for (const std::string& path : paths) {
    OpenFile holder;
    REQUIRE(OpenFile::open(path, {}, holder).ok());
    std::thread releases([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(150));
      holder = OpenFile();
    });
    CHECK(open_outcome(path, {.busy_retry_ms = 60000}).ok());
    releases.join();
  }
  if (!block.available()) skip(block.why_not());
}

TEST_CASE_TEMPLATE("open file: after a SIGKILL with requests in flight the next opener succeeds", Kind, OnIoUring,
                   OnThreads) {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(Kind::kKind));
  TemporaryDirectory directory;
  make_file(directory / "image", kSize);
  LoopDevice block(directory / "image");
  make_file(directory / "file", kSize);
  std::vector<std::string> paths = {directory / "file"};
  if (block.available()) paths.push_back(block.path());
  for (const std::string& path : paths) {
    CAPTURE(path);
    for (int round = 0; round < 10; ++round) {
      Child holder(
          [&](const std::function<void()>& say_ready) { return hold_and_write(Kind::kKind, path, say_ready); });
      REQUIRE(holder.wait_until_ready());
      CHECK(open_outcome(path, kImpatient).code == Code::BUSY);
      holder.kill();
      CHECK(open_outcome(path).ok());
    }
  }
  if (!block.available()) skip(block.why_not());
}

TEST_CASE("open file: a closed device is free at once, though it was registered with a living ring") {
  Loop loop(DeviceKind::io_uring);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  TemporaryDirectory directory;
  make_file(directory / "image", kSize);
  LoopDevice block(directory / "image");
  make_file(directory / "file", kSize);
  std::vector<std::string> paths = {directory / "file"};
  if (block.available()) paths.push_back(block.path());
  for (const std::string& path : paths) {
    for (int round = 0; round < 50; ++round) {
      auto device = loop.open(path, {.busy_retry_ms = 200});
      AlignedBuffer memory(4096);
      CHECK(loop.read(*device, 0, memory.span()) == 0);
    }
  }
}

TEST_CASE("open file: a read-only device or file system is refused for writing and opens for reading") {
  TemporaryDirectory directory;
  make_file(directory / "image", kSize);
  LoopDevice block(directory / "image", {.read_only = true});
  BLOCKMIRROR_SKIP_UNLESS(block);
  check_refused(block.path(), Code::READ_ONLY_DEVICE, EROFS);
  OpenFile file;
  REQUIRE(OpenFile::open(block.path(), {.read_only = true}, file).ok());
  CHECK(file.traits().read_only);
  const std::string mount_point = directory / "read-only";
  const auto mount_read_only = [&] {
    ::mkdir(mount_point.c_str(), 0755);
    if (!enter_own_mount_namespace()) return false;
    if (::mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=1m") != 0) return false;
    make_file(mount_point + "/image", 65536);
    return ::mount("none", mount_point.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0;
  };
  CHECK(errno_refused(mount_point + "/image", mount_read_only, Code::READ_ONLY_DEVICE) == EROFS);
}

TEST_CASE("open file: a block device that was set read-only by ioctl is refused for writing") {
  TemporaryDirectory directory;
  make_file(directory / "image", kSize);
  LoopDevice block(directory / "image");
  BLOCKMIRROR_SKIP_UNLESS(block);
  int on = 1, off = 0;
  REQUIRE(::ioctl(block.descriptor(), BLKROSET, &on) == 0);
  check_refused(block.path(), Code::READ_ONLY_DEVICE, EROFS);
  REQUIRE(::ioctl(block.descriptor(), BLKROSET, &off) == 0);
  CHECK(open_outcome(block.path()).ok());
}

TEST_CASE("open file: the traits of a file are those of direct I/O on it, with a volatile cache always") {
  TemporaryDirectory directory;
  make_file(directory / "image", kSize);
  OpenFile file;
  REQUIRE(OpenFile::open(directory / "image", {}, file).ok());
  const DeviceTraits& traits = file.traits();
  CHECK(traits.size == kSize);
  CHECK_FALSE(traits.block_device);
  CHECK_FALSE(traits.read_only);
  CHECK(traits.volatile_cache);
  CHECK(traits.logical_block_size >= traits.offset_alignment);
  CHECK(traits.physical_block_size >= traits.logical_block_size);
  CHECK(traits.memory_alignment > 0);
}

TEST_CASE("open file: the traits of a block device are the kernel's, its cache and FUA those of sysfs") {
  TemporaryDirectory directory;
  make_file(directory / "image", kSize);
  LoopDevice block(directory / "image");
  BLOCKMIRROR_SKIP_UNLESS(block);
  const std::string control = "/sys/block/" + block.name() + "/queue/write_cache";
  for (const char* mode : {"write through", "write back"}) {
    std::ofstream(control) << mode;
    std::string now;
    std::getline(std::ifstream(control), now);
    OpenFile file;
    REQUIRE(OpenFile::open(block.path(), {}, file).ok());
    CHECK(file.traits().size == kSize);
    CHECK(file.traits().block_device);
    CHECK(file.traits().logical_block_size == 512);
    CHECK(file.traits().volatile_cache == (now == "write back"));
    std::string fua;
    std::getline(std::ifstream("/sys/block/" + block.name() + "/queue/fua"), fua);
    CHECK((file.traits().force_unit_access == ForceUnitAccess::native) == (fua == "1"));
  }
}

TEST_CASE("open file: a partition has the cache and FUA of its disk, and is another device than it") {
  TemporaryDirectory directory;
  make_file(directory / "image", kSize);
  LoopDevice block(directory / "image", {.partitions = true});
  BLOCKMIRROR_SKIP_UNLESS(block);
  blkpg_partition partition{};
  partition.start = 1024 * 1024;
  partition.length = 2 * 1024 * 1024;
  partition.pno = 1;
  blkpg_ioctl_arg argument{.op = BLKPG_ADD_PARTITION, .flags = 0, .datalen = sizeof partition, .data = &partition};
  REQUIRE(::ioctl(block.descriptor(), BLKPG, &argument) == 0);
  const std::string path = block.path() + "p1";
  for (const char* mode : {"write through", "write back"}) {
    std::ofstream("/sys/block/" + block.name() + "/queue/write_cache") << mode;
    OpenFile disk, part;
    REQUIRE(OpenFile::open(block.path(), {.read_only = true, .exclusive = false}, disk).ok());
    REQUIRE(OpenFile::open(path, {}, part).ok());
    CHECK(part.traits().size == 2 * 1024 * 1024);
    CHECK(part.traits().volatile_cache == disk.traits().volatile_cache);
    CHECK_FALSE(part.same_as(disk));
  }
  argument.op = BLKPG_DEL_PARTITION;
  CHECK(::ioctl(block.descriptor(), BLKPG, &argument) == 0);
}

TEST_CASE("open file: one file or device by two paths is the same, two files are not") {
  TemporaryDirectory directory;
  make_file(directory / "a", 65536);
  make_file(directory / "b", 65536);
  REQUIRE(::link((directory / "a").c_str(), (directory / "hard").c_str()) == 0);
  REQUIRE(::symlink((directory / "a").c_str(), (directory / "soft").c_str()) == 0);
  const OpenFileOptions shared{.exclusive = false};
  OpenFile a, b, hard, soft;
  REQUIRE(OpenFile::open(directory / "a", shared, a).ok());
  REQUIRE(OpenFile::open(directory / "b", shared, b).ok());
  REQUIRE(OpenFile::open(directory / "hard", shared, hard).ok());
  REQUIRE(OpenFile::open(directory / "soft", shared, soft).ok());
  CHECK(a.same_as(hard));
  CHECK(soft.same_as(a));
  CHECK_FALSE(a.same_as(b));
  CHECK_FALSE(a.same_as(OpenFile()));
  CHECK_FALSE(OpenFile().same_as(OpenFile()));

  make_file(directory / "image", kSize);
  LoopDevice block(directory / "image");
  BLOCKMIRROR_SKIP_UNLESS(block);
  struct stat status {};
  REQUIRE(::stat(block.path().c_str(), &status) == 0);
  REQUIRE(::mknod((directory / "node").c_str(), S_IFBLK | 0600, status.st_rdev) == 0);
  OpenFile by_name, by_node, backing;
  REQUIRE(OpenFile::open(block.path(), {}, by_name).ok());
  // Two inodes of one device: the kernel's exclusion holds across them where a lock on the inode would not.
  CHECK(open_outcome(directory / "node", kImpatient).code == Code::BUSY);
  REQUIRE(OpenFile::open(directory / "node", shared, by_node).ok());
  REQUIRE(OpenFile::open(directory / "image", shared, backing).ok());
  CHECK(by_name.same_as(by_node));
  CHECK_FALSE(by_name.same_as(backing));
}

TEST_CASE("open file: moving hands over descriptor and lock") {
  TemporaryDirectory directory;
  make_file(directory / "image", 65536);
  OpenFile first;
  REQUIRE(OpenFile::open(directory / "image", {}, first).ok());
  const int descriptor = first.descriptor();
  OpenFile second(std::move(first));
  CHECK_FALSE(first.is_open());
  CHECK(second.descriptor() == descriptor);
  CHECK(second.path() == directory / "image");
  CHECK(open_outcome(directory / "image", kImpatient).code == Code::BUSY);
  first = std::move(second);
  CHECK(first.is_open());
  CHECK_FALSE(second.is_open());
  first = OpenFile();
  CHECK(open_outcome(directory / "image", kImpatient).ok());
}

TEST_CASE("open file: a descriptor does not outlive exec") {
  TemporaryDirectory directory;
  make_file(directory / "image", 65536);
  OpenFile file;
  REQUIRE(OpenFile::open(directory / "image", {}, file).ok());
  CHECK((::fcntl(file.descriptor(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((::fcntl(file.descriptor(), F_GETFL) & O_DIRECT) != 0);
}

TEST_CASE("open file: the lock ends with its owner, though a forked child still has the descriptor") {
  TemporaryDirectory directory;
  make_file(directory / "image", 65536);
  OpenFile file;
  REQUIRE(OpenFile::open(directory / "image", {}, file).ok());
  Child child([](const std::function<void()>& say_ready) {
    say_ready();
    for (;;) ::pause();
    return 0;
  });
  REQUIRE(child.wait_until_ready());
  CHECK(open_outcome(directory / "image", kImpatient).code == Code::BUSY);
  file = OpenFile();
  CHECK(open_outcome(directory / "image", kImpatient).ok());
}

TEST_CASE("open file: who waited for a file that was removed or replaced meanwhile gets what the path names now") {
  TemporaryDirectory directory;
  const std::string path = directory / "file", next = directory / "next";
  make_file(path, kSize);
  const OpenFileOptions patient{.busy_retry_ms = 60000};
  OpenFile holder;
  REQUIRE(OpenFile::open(path, {}, holder).ok());
  const ino_t former = holder.inode();
  OpenFile waited;
  Outcome outcome;
  std::thread waiter([&] { outcome = OpenFile::open(path, patient, waited); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  make_file(next, kSize);
  REQUIRE(::rename(next.c_str(), path.c_str()) == 0);
  holder = OpenFile();
  waiter.join();
  REQUIRE(outcome.ok());
  CHECK(waited.inode() != former);
  struct stat there {};
  REQUIRE(::stat(path.c_str(), &there) == 0);
  CHECK(there.st_ino == waited.inode());

  std::thread second([&] {
    OpenFile gone;
    outcome = OpenFile::open(path, patient, gone);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  REQUIRE(::unlink(path.c_str()) == 0);
  waited = OpenFile();
  second.join();
  CHECK(outcome.code == Code::OPEN_FAILED);
  CHECK(outcome.system_error == ENOENT);
}

TEST_CASE("open file: an empty file gets its length under the lock, one that holds a byte does not") {
  TemporaryDirectory directory;
  OpenFileOptions options;
  options.length_if_empty = kSize;
  std::ofstream(directory / "empty");
  OpenFile empty;
  REQUIRE(OpenFile::open(directory / "empty", options, empty).ok());
  CHECK(empty.lengthened());
  CHECK(empty.traits().size == kSize);
  const std::string other = directory / "other";
  make_file(other, 8192);
  OpenFile held;
  REQUIRE(OpenFile::open(other, options, held).ok());
  CHECK_FALSE(held.lengthened());
  CHECK(held.traits().size == 8192);
}

TEST_CASE("open file: an empty file that cannot have its length has no block of it either") {
  TemporaryDirectory directory;
  const std::string path = directory / "empty";
  std::ofstream{path};
  const pid_t child = ::fork();
  if (child == 0) {
    // The blocks are allocated, and then the length is refused.
    constexpr rlimit limit{kSize / 2, kSize / 2};
    ::signal(SIGXFSZ, SIG_IGN);
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(2);
    OpenFileOptions options;
    options.length_if_empty = kSize;
    OpenFile file;
    ::_exit(OpenFile::open(path, options, file).system_error == EFBIG ? 0 : 1);
  }
  int ended = 0;
  REQUIRE(::waitpid(child, &ended, 0) == child);
  CHECK(WEXITSTATUS(ended) == 0);
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK(status.st_size == 0);
  CHECK(status.st_blocks == 0);
}
