// One opener by whatever path (I9): each case opens the same bytes by two paths, in either order.
#include "../../devices/exclusion.h"

#include <linux/blkpg.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include <atomic>
#include <thread>

#include "../../devices/open_file.h"
#include "../../devices/overlay.h"
#include "loop.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::uint64_t kSize = 4 * kMiB;
constexpr OpenFileOptions kImpatient{.busy_retry_ms = 30};

Code code_of(const std::string& path, const OpenFileOptions& options = kImpatient) {
  OpenFile file;
  return OpenFile::open(path, options, file).code;
}

// A loop device over a new file.
struct LoopedImage {
  explicit LoopedImage(std::uint64_t size = kSize, const LoopOptions& options = {})
      : loop((make_file(file, size), file), options) {}
  bool available() const { return loop.available(); }
  const std::string& why_not() const { return loop.why_not(); }

  TemporaryDirectory directory;
  const std::string file = directory / "image";
  LoopDevice loop;
};

// Whoever is first wins, and the other is refused until the first one has gone. Answers the step that went wrong, or 0:
// a forked child can tell it by its exit code.
int excluded(const std::string& one, const std::string& other) {
  for (const auto& [first, second] : {std::pair(one, other), std::pair(other, one)}) {
    const int order = first == one ? 0 : 10;
    OpenFile holder;
    if (!OpenFile::open(first, kImpatient, holder).ok()) return order + 1;
    if (code_of(second) != Code::BUSY) return order + 2;
    if (code_of(second, {.read_only = true, .busy_retry_ms = 30}) != Code::BUSY) return order + 3;
    if (exit_code_of([&] { return static_cast<int>(code_of(second)); }) != static_cast<int>(Code::BUSY)) {
      return order + 4;
    }
    if (code_of(second, {.read_only = true, .exclusive = false}) != Code::ok) return order + 5;
    holder = OpenFile();
    if (code_of(second) != Code::ok) return order + 6;
  }
  return 0;
}

void check_exclude(const std::string& one, const std::string& other) {
  CAPTURE(one);
  CAPTURE(other);
  CHECK(excluded(one, other) == 0);
}

void check_beside(const std::string& one, const std::string& other) {
  CAPTURE(one);
  CAPTURE(other);
  OpenFile a, b;
  CHECK(OpenFile::open(one, kImpatient, a).ok());
  CHECK(OpenFile::open(other, kImpatient, b).ok());
}

// Partitions of 1 MiB at each MiB from the first on.
bool add_partitions(const LoopDevice& disk, int count) {
  for (int number = 1; number <= count; ++number) {
    blkpg_partition partition{};
    partition.start = static_cast<long long>(kMiB) * number;
    partition.length = kMiB;
    partition.pno = number;
    blkpg_ioctl_arg argument{.op = BLKPG_ADD_PARTITION, .flags = 0, .datalen = sizeof partition, .data = &partition};
    if (::ioctl(disk.descriptor(), BLKPG, &argument) != 0) return false;
  }
  return true;
}

// In a mount namespace of its own; the body's answer is the exit code.
int in_mount_namespace(const std::function<int()>& body) {
  return exit_code_of([&] {
    if (!enter_own_mount_namespace()) return 250;
    return body();
  });
}

bool make_ext4(const std::string& path) {
  return std::system(("mkfs.ext4 -q -F -E nodiscard " + path + " 2>&1").c_str()) == 0;
}

}  // namespace

TEST_CASE("exclusion: a file and a loop device over it are one") {
  LoopedImage image;
  BLOCKMIRROR_SKIP_UNLESS(image);
  check_exclude(image.file, image.loop.path());
}

TEST_CASE("exclusion: of two that open at once by two paths never both succeed") {
  LoopedImage image;
  BLOCKMIRROR_SKIP_UNLESS(image);
  for (int round = 0; round < 100; ++round) {
    std::atomic<int> ready = 0;
    OpenFile files[2];
    const std::string paths[2] = {image.file, image.loop.path()};
    std::thread openers[2];
    for (int i = 0; i < 2; ++i) {
      openers[i] = std::thread([&, i] {
        ++ready;
        while (ready < 2) {
        }
        (void)OpenFile::open(paths[i], {.busy_retry_ms = 0}, files[i]).ok();
      });
    }
    for (std::thread& opener : openers) opener.join();
    REQUIRE_FALSE((files[0].is_open() && files[1].is_open()));
  }
}

TEST_CASE("exclusion: loop devices over one another, and over the same file, are one") {
  LoopedImage image;
  BLOCKMIRROR_SKIP_UNLESS(image);
  LoopDevice upper(image.loop.path());
  LoopDevice beside(image.file);
  REQUIRE(upper.available());
  REQUIRE(beside.available());
  check_exclude(image.loop.path(), upper.path());
  check_exclude(image.loop.path(), beside.path());
  check_exclude(upper.path(), beside.path());
  check_exclude(upper.path(), image.file);
}

TEST_CASE("exclusion: a partition, its disk and the file below are one, two partitions are not") {
  LoopedImage image(kSize, {.partitions = true});
  BLOCKMIRROR_SKIP_UNLESS(image);
  if (!add_partitions(image.loop, 2)) return skip("BLKPG_ADD_PARTITION is refused");
  const std::string first = image.loop.path() + "p1", second = image.loop.path() + "p2";
  check_exclude(first, image.loop.path());
  check_exclude(first, image.file);
  check_beside(first, second);
  LoopDevice over(first);
  REQUIRE(over.available());
  check_exclude(over.path(), first);
  check_exclude(over.path(), image.loop.path());
  check_exclude(over.path(), image.file);
  check_beside(over.path(), second);
}

TEST_CASE("exclusion: parts of a file that share no byte are used side by side, overlapping ones are not") {
  LoopedImage image(kSize, {.offset = 0, .length = 2 * kMiB});
  BLOCKMIRROR_SKIP_UNLESS(image);
  LoopDevice second(image.file, {.offset = 2 * kMiB});
  LoopDevice middle(image.file, {.offset = kMiB, .length = 2 * kMiB});
  REQUIRE(second.available());
  REQUIRE(middle.available());
  check_beside(image.loop.path(), second.path());
  check_exclude(image.loop.path(), middle.path());
  check_exclude(second.path(), middle.path());
  check_exclude(second.path(), image.file);
}

TEST_CASE("exclusion: a loop device that is mounted in another mount namespace is in use, and so is its file") {
  LoopedImage image(16 * kMiB);
  BLOCKMIRROR_SKIP_UNLESS(image);
  if (!make_ext4(image.loop.path())) return skip("needs mkfs.ext4");
  REQUIRE(::mkdir((image.directory / "mnt").c_str(), 0755) == 0);
  Child elsewhere([&](const std::function<void()>& say_ready) {
    if (!enter_own_mount_namespace()) return 250;
    if (::mount(image.loop.path().c_str(), (image.directory / "mnt").c_str(), "ext4", 0, nullptr) != 0) return 251;
    say_ready();
    for (;;) ::pause();
  });
  REQUIRE(elsewhere.wait_until_ready());
  CHECK(code_of(image.file) == Code::BUSY);
  CHECK(code_of(image.loop.path()) == Code::BUSY);
  elsewhere.kill();
  CHECK(code_of(image.file, {.busy_retry_ms = 60000}) == Code::ok);
}

TEST_CASE("exclusion: while a file is held nobody mounts a loop device that was over it") {
  LoopedImage image(16 * kMiB);
  BLOCKMIRROR_SKIP_UNLESS(image);
  if (!make_ext4(image.loop.path())) return skip("needs mkfs.ext4");
  REQUIRE(::mkdir((image.directory / "mnt").c_str(), 0755) == 0);
  OpenFile holder;
  REQUIRE(OpenFile::open(image.file, {}, holder).ok());
  const auto mount_error = [&] {
    return ::mount(image.loop.path().c_str(), (image.directory / "mnt").c_str(), "ext4", MS_RDONLY, nullptr) == 0
               ? 0
               : errno;
  };
  CHECK(in_mount_namespace(mount_error) == EBUSY);
  holder = OpenFile();
  CHECK(in_mount_namespace(mount_error) == 0);
}

TEST_CASE("exclusion: another mount and another device node of the same thing are one") {
  LoopedImage image;
  BLOCKMIRROR_SKIP_UNLESS(image);
  make_file(image.directory / "file", kSize);
  struct stat status {};
  REQUIRE(::stat(image.loop.path().c_str(), &status) == 0);
  REQUIRE(::mknod((image.directory / "node").c_str(), S_IFBLK | 0600, status.st_rdev) == 0);
  check_exclude(image.directory / "node", image.loop.path());
  check_exclude(image.directory / "node", image.file);
  REQUIRE(::mkdir((image.directory / "bound").c_str(), 0755) == 0);
  OpenFile holder;
  REQUIRE(OpenFile::open(image.directory / "file", {}, holder).ok());
  CHECK(in_mount_namespace([&] {
          const std::string below = image.directory / "file";
          if (::mount(below.substr(0, below.rfind('/')).c_str(), (image.directory / "bound").c_str(), nullptr, MS_BIND,
                      nullptr) != 0) {
            return 251;
          }
          return static_cast<int>(code_of(image.directory / "bound/file"));
        }) == static_cast<int>(Code::BUSY));
}

TEST_CASE("exclusion: a file of an overlay and the real one below it are one") {
  if (!is_root()) return skip("mounting an overlay needs root");
  TemporaryDirectory directory;
  for (const char* name : {"lower", "upper", "work", "merged", "part"}) {
    REQUIRE(::mkdir((directory / name).c_str(), 0755) == 0);
  }
  REQUIRE(::mkdir((directory / "lower/folder").c_str(), 0755) == 0);
  make_file(directory / "lower/folder/image", kSize);
  const int status = in_mount_namespace([&] {
    const std::string options =
        "lowerdir=" + directory / "lower" + ",upperdir=" + directory / "upper" + ",workdir=" + directory / "work";
    if (::mount("overlay", (directory / "merged").c_str(), "overlay", 0, options.c_str()) != 0) return 251;
    make_file(directory / "merged/new", kSize);
    // Copied up: it lies in the upper folder from now on.
    if (::chmod((directory / "merged/folder/image").c_str(), 0640) != 0) return 252;
    if (::mount((directory / "merged/folder").c_str(), (directory / "part").c_str(), nullptr, MS_BIND, nullptr) != 0) {
      return 253;
    }
    const std::pair<std::string, std::string> pairs[] = {
        {directory / "merged/new", directory / "upper/new"},
        {directory / "merged/folder/image", directory / "upper/folder/image"},
        {directory / "part/image", directory / "upper/folder/image"},
    };
    int base = 0;
    for (const auto& [one, other] : pairs) {
      if (const int step = excluded(one, other); step != 0) return base + step;
      base += 20;
    }
    LoopDevice loop(directory / "merged/new");
    if (!loop.available()) return 254;
    const int step = excluded(loop.path(), directory / "upper/new");
    return step == 0 ? 0 : base + step;
  });
  if (status == 251) return skip("needs overlayfs");
  CHECK(status == 0);
}

TEST_CASE("exclusion: where sysfs is masked a file needs the kernel's proof, and a block device is refused") {
  LoopedImage image;
  BLOCKMIRROR_SKIP_UNLESS(image);
  make_file(image.directory / "file", kSize);
  const int status = in_mount_namespace([&] {
    if (::mount("tmpfs", "/sys", "tmpfs", 0, nullptr) != 0) return 251;
    // Nobody has it open, which a lease proves.
    if (code_of(image.directory / "file") != Code::ok) return 1;
    // The loop device has this one open.
    if (code_of(image.file) != Code::USE_UNKNOWN) return 2;
    if (code_of(image.loop.path()) != Code::USE_UNKNOWN) return 3;
    // Whoever only looks is not refused.
    if (code_of(image.loop.path(), {.read_only = true, .exclusive = false}) != Code::ok) return 4;
    return 0;
  });
  CHECK(status == 0);
}

TEST_CASE("exclusion: a loop device whose file cannot be reached from here is refused") {
  TemporaryDirectory directory;
  REQUIRE(::mkdir((directory / "hidden").c_str(), 0755) == 0);
  make_file(directory / "hidden/image", kSize);
  LoopDevice loop(directory / "hidden/image");
  BLOCKMIRROR_SKIP_UNLESS(loop);
  const int status = in_mount_namespace([&] {
    if (::mount("tmpfs", (directory / "hidden").c_str(), "tmpfs", 0, nullptr) != 0) return 251;
    if (code_of(loop.path()) != Code::USE_UNKNOWN) return 1;
    make_file(directory / "hidden/image", kSize);  // another file of that name
    return code_of(loop.path()) == Code::USE_UNKNOWN ? 0 : 2;
  });
  CHECK(status == 0);
  CHECK(code_of(loop.path()) == Code::ok);
  REQUIRE(::unlink((directory / "hidden/image").c_str()) == 0);
  CHECK(code_of(loop.path()) == Code::ok);  // nobody can open by a path what has none
}

TEST_CASE("exclusion: an ordinary user is not disturbed by loop devices over other files") {
  TemporaryDirectory directory;
  make_file(directory / "other", kSize);
  make_file(directory / "image", kSize);
  LoopDevice loop(directory / "other");
  BLOCKMIRROR_SKIP_UNLESS(loop);
  LoopDevice over(directory / "image");
  REQUIRE(over.available());
  for (const char* name : {"image", "own"}) {
    if (std::string(name) == "own") make_file(directory / "own", kSize);
    REQUIRE(::chown((directory / name).c_str(), 65534, 65534) == 0);
  }
  const int status = exit_code_of([&] {
    if (::setuid(65534) != 0) return 250;
    if (code_of(directory / "own") != Code::ok) return 1;
    // One that cannot be asked, and is over a file of that name: a lease says that somebody has it open.
    return code_of(directory / "image") == Code::USE_UNKNOWN ? 0 : 2;
  });
  CHECK(status == 0);
}

TEST_CASE("overlay: mounts are read with their root, their point and their upper folder") {
  const auto mounts = parse_overlay_mounts(
      "36 35 0:33 / / rw,relatime - ext4 /dev/vda rw\n"
      "41 36 0:44 /sub\\040dir /mnt/a\\134b rw shared:1 master:2 - overlay overlay rw,lowerdir=/l,upperdir=/u\\0401,"
      "workdir=/w\n"
      "42 36 0:45 / /ro ro - overlay none ro,lowerdir=/l:/m\n"
      "broken line\n");
  REQUIRE(mounts.size() == 2);
  CHECK(mounts[0].id == 41);
  CHECK(mounts[0].root == "/sub dir");
  CHECK(mounts[0].point == "/mnt/a\\b");
  CHECK(mounts[0].upper == "/u 1");
  CHECK(mounts[1].upper.empty());
  CHECK(parse_overlay_mounts("").empty());
}
