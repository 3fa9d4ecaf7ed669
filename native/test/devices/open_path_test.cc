// A path whose links were followed before is opened through none: what is there by now may be somebody else's.
#include "../../devices/open_path.h"

#include "../../devices/made_file.h"
#include "../../devices/open_file.h"
#include "temporary.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

constexpr std::uint64_t kLength = 1024 * 1024;

int error_of(const std::string& path, const OpenFileOptions& options) {
  OpenFile file;
  const Outcome outcome = OpenFile::open(path, options, file);
  return outcome.ok() ? 0 : outcome.system_error;
}

}  // namespace

TEST_CASE("open path: a resolved path is opened through no link, neither as its last part nor on the way") {
  TemporaryDirectory directory;
  REQUIRE(::mkdir((directory / "folder").c_str(), 0700) == 0);
  make_file(directory / "folder/file", kLength);
  REQUIRE(::symlink("folder/file", (directory / "link").c_str()) == 0);
  REQUIRE(::symlink("folder", (directory / "way").c_str()) == 0);
  const OpenFileOptions followed{}, resolved{.resolved = true};
  for (const char* path : {"folder/file", "link", "way/file"}) {
    CAPTURE(path);
    CHECK(error_of(directory / path, followed) == 0);
  }
  CHECK(error_of(directory / "folder/file", resolved) == 0);
  CHECK(error_of(directory / "link", resolved) == ELOOP);
  CHECK(error_of(directory / "way/file", resolved) == ELOOP);
}

TEST_CASE("open path: a file is made through no link on a resolved path, and never over one") {
  TemporaryDirectory directory;
  REQUIRE(::mkdir((directory / "folder").c_str(), 0700) == 0);
  REQUIRE(::symlink("folder", (directory / "way").c_str()) == 0);
  REQUIRE(::symlink("folder/file", (directory / "dangling").c_str()) == 0);
  OpenFile file;
  MadeFile made;
  CHECK(MadeFile::make(directory / "way/file", kLength, file, made, true).system_error == ELOOP);
  CHECK(MadeFile::make(directory / "dangling", kLength, file, made, true).system_error == EEXIST);
  CHECK(MadeFile::make(directory / "folder/file", kLength, file, made, true).ok());
  struct stat status {};
  CHECK(::lstat((directory / "folder/file").c_str(), &status) != 0);  // it has no name yet
}

TEST_CASE("open path: what is held waits for its device, though it was opened without waiting") {
  TemporaryDirectory directory;
  make_file(directory / "file", kLength);
  OpenFile file;
  REQUIRE(OpenFile::open(directory / "file", {}, file).ok());
  CHECK((::fcntl(file.descriptor(), F_GETFL) & O_NONBLOCK) == 0);
  CHECK((::fcntl(file.descriptor(), F_GETFL) & O_DIRECT) != 0);
  CHECK(file.ownership().user == ::geteuid());
  CHECK(file.ownership().mode == 0600);
}

TEST_CASE("made file: its owner alone may read and write it, whatever the umask") {
  for (const mode_t mask : {0000u, 0022u, 0777u}) {
    CAPTURE(mask);
    TemporaryDirectory directory;
    const mode_t before = ::umask(mask);
    OpenFile file;
    MadeFile made;
    const bool right = MadeFile::make(directory / "made", kLength, file, made).ok() && made.link().ok();
    ::umask(before);
    REQUIRE(right);
    struct stat status {};
    REQUIRE(::stat((directory / "made").c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0600);
  }
}

TEST_CASE("made file: is named and removed in the folder where it was made, whatever that path leads to by then") {
  TemporaryDirectory directory;
  for (const char* folder : {"folder", "elsewhere"}) REQUIRE(::mkdir((directory / folder).c_str(), 0700) == 0);
  const auto is_there = [&](const char* path) { return ::access((directory / path).c_str(), F_OK) == 0; };
  OpenFile file;
  MadeFile made;
  REQUIRE(MadeFile::make(directory / "folder/made", kLength, file, made).ok());
  REQUIRE(::rename((directory / "folder").c_str(), (directory / "moved").c_str()) == 0);
  REQUIRE(::symlink("elsewhere", (directory / "folder").c_str()) == 0);
  REQUIRE(made.link().ok());
  CHECK(is_there("moved/made"));
  CHECK_FALSE(is_there("elsewhere/made"));
  make_file(directory / "elsewhere/made", 4096);
  made.undo();
  CHECK_FALSE(is_there("moved/made"));
  CHECK(is_there("elsewhere/made"));
}
