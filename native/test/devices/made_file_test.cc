// Making a file: held and nameless until it is whole, and never in the way of one that was there.
#include "../../devices/made_file.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include <fstream>

#include "loop.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr std::uint64_t kLength = 3 * 1024 * 1024;
constexpr OpenFileOptions kImpatient{.require_allocated = false, .busy_retry_ms = 30};

bool exists(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

}  // namespace

TEST_CASE("made file: has no name before it is linked, is allocated in full, and held from its first moment") {
  TemporaryDirectory directory;
  const std::string path = directory / "made";
  {
    OpenFile file;
    MadeFile made;
    REQUIRE(MadeFile::make(path, kLength, file, made).ok());
    CHECK(file.traits().size == kLength);
    CHECK_FALSE(exists(path));
    REQUIRE(made.link().ok());
    REQUIRE(made.link().ok());
    REQUIRE(exists(path));
    OpenFile other;
    CHECK(OpenFile::open(path, kImpatient, other).code == Code::BUSY);
  }
  OpenFile again;
  CHECK(OpenFile::open(path, {}, again).ok());  // allocated in full, and let go
}

TEST_CASE("made file: nothing is left of one that was never linked") {
  TemporaryDirectory directory;
  const std::string path = directory / "made";
  {
    OpenFile file;
    MadeFile made;
    REQUIRE(MadeFile::make(path, kLength, file, made).ok());
  }
  CHECK_FALSE(exists(path));
}

TEST_CASE("made file: a name that is taken is refused, before and after, and what has it stays as it is") {
  TemporaryDirectory directory;
  const std::string path = directory / "made";
  OpenFile file;
  MadeFile made;
  REQUIRE(MadeFile::make(path, kLength, file, made).ok());
  std::ofstream(path) << "mine";
  const Outcome late = made.link();
  CHECK(late.code == Code::OPEN_FAILED);
  CHECK(late.system_error == EEXIST);
  OpenFile second;
  MadeFile second_made;
  CHECK(MadeFile::make(path, kLength, second, second_made).system_error == EEXIST);
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK(status.st_size == 4);
}

TEST_CASE("made file: what is undone is gone, or empty again, and what has its name meanwhile stays") {
  TemporaryDirectory directory;
  const std::string path = directory / "made";
  const auto length_of = [](const std::string& of) {
    struct stat status {};
    return ::stat(of.c_str(), &status) == 0 ? status.st_size : -1;
  };
  OpenFile file, second, lengthened;
  MadeFile made, renamed, kept;
  REQUIRE(MadeFile::make(path, kLength, file, made).ok());
  REQUIRE(made.link().ok());
  made.undo();
  CHECK_FALSE(exists(path));
  REQUIRE(MadeFile::make(path, kLength, second, renamed).ok());
  REQUIRE(renamed.link().ok());
  REQUIRE(::rename(path.c_str(), (directory / "elsewhere").c_str()) == 0);
  std::ofstream(path) << "mine";
  renamed.undo();
  CHECK(length_of(path) == 4);
  const std::string empty = directory / "empty";
  std::ofstream{empty};
  OpenFileOptions options;
  options.length_if_empty = kLength;
  REQUIRE(OpenFile::open(empty, options, lengthened).ok());
  REQUIRE(MadeFile::keep(lengthened, kept).ok());
  REQUIRE(kept.link().ok());
  CHECK(length_of(empty) == static_cast<off_t>(kLength));
  kept.undo();
  CHECK(length_of(empty) == 0);
}

TEST_CASE("made file: a disk without room refuses it at once, and a folder that is not there") {
  TemporaryDirectory directory;
  struct statvfs system {};
  REQUIRE(::statvfs((directory / ".").c_str(), &system) == 0);
  const std::uint64_t too_much = (system.f_blocks + 1024) * std::uint64_t{system.f_frsize};
  OpenFile file;
  MadeFile made;
  const Outcome full = MadeFile::make(directory / "made", too_much, file, made);
  CHECK(full.code == Code::OPEN_FAILED);
  CHECK((full.system_error == ENOSPC || full.system_error == EFBIG));
  CHECK_FALSE(exists(directory / "made"));
  CHECK(MadeFile::make(directory / "no/where", kLength, file, made).system_error == ENOENT);
}

TEST_CASE("made file: where there are no nameless files it has its name at once, and the same holds") {
  TemporaryDirectory directory;
  const std::string path = directory / "made";
  const pid_t child = ::fork();
  if (child == 0) {
    // By /proc a nameless file gets its name; without it none is made.
    const bool masked = enter_own_mount_namespace() && ::mount("none", "/proc", "tmpfs", 0, nullptr) == 0;
    if (!masked) ::_exit(2);
    bool right = true;
    {
      OpenFile file, other;
      MadeFile made;
      right = MadeFile::make(path, kLength, file, made).ok() && exists(path) && made.link().ok();
      right = right && OpenFile::open(path, kImpatient, other).code == Code::BUSY;
    }
    const std::string large = directory / "large";
    OpenFile file;
    MadeFile made;
    right = right && !MadeFile::make(large, std::uint64_t{1} << 60, file, made).ok() && !exists(large);
    ::_exit(right ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 2) {
    skip("needs a mount namespace of its own");
    return;
  }
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  OpenFile again;
  CHECK(OpenFile::open(path, {}, again).ok());
}
