// Files, loop devices and child processes for the tests of devices; each cleans up after itself.
#pragma once

#include <fcntl.h>
#include <ftw.h>
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

namespace blockmirror::test {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    const char* base = std::getenv("TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/blockmirror-devices-XXXXXX";
    REQUIRE(::mkdtemp(path_.data()) != nullptr);
    REQUIRE(::chmod(path_.c_str(), 0755) == 0);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    auto remove_one = [](const char* path, const struct stat*, int, FTW*) { return ::remove(path); };
    ::nftw(path_.c_str(), remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
  }
  std::string operator/(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

enum class Fill { sparse, preallocated, written };

inline void make_file(const std::string& path, std::uint64_t size, Fill fill = Fill::written) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  REQUIRE(descriptor >= 0);
  if (fill == Fill::sparse) REQUIRE(::ftruncate(descriptor, static_cast<off_t>(size)) == 0);
  if (fill == Fill::preallocated) REQUIRE(::posix_fallocate(descriptor, 0, static_cast<off_t>(size)) == 0);
  if (fill == Fill::written) {
    const std::vector<char> bytes(1024 * 1024, 'a');
    for (std::uint64_t at = 0; at < size; at += bytes.size()) {
      const std::uint64_t length = std::min<std::uint64_t>(bytes.size(), size - at);
      REQUIRE(::write(descriptor, bytes.data(), length) == static_cast<ssize_t>(length));
    }
    REQUIRE(::fsync(descriptor) == 0);
  }
  ::close(descriptor);
}

inline bool is_root() { return ::geteuid() == 0; }

// The runner counts a test that prints this line as skipped.
inline void skip(const std::string& reason) { std::printf("SKIPPED: %s\n", reason.c_str()); }

struct LoopOptions {
  bool read_only = false;
  unsigned block_size = 512;
  bool direct_io = true;
  bool partitions = false;
  std::uint64_t offset = 0;  // bytes
  std::uint64_t length = 0;  // bytes, 0: to the end
};

// A loop device over a file. It detaches itself when the last descriptor of it is closed, a killed test's too.
class LoopDevice {
 public:
  explicit LoopDevice(const std::string& backing, const LoopOptions& options = {}) {
    if (!is_root()) {
      why_not_ = "loop devices need root";
      return;
    }
    const int control = ::open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    const int file = ::open(backing.c_str(), (options.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    loop_config config{};
    config.fd = static_cast<__u32>(file);
    config.block_size = options.block_size;
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    config.info.lo_offset = options.offset;
    config.info.lo_sizelimit = options.length;
    if (options.direct_io) config.info.lo_flags |= LO_FLAGS_DIRECT_IO;
    if (options.read_only) config.info.lo_flags |= LO_FLAGS_READ_ONLY;
    if (options.partitions) config.info.lo_flags |= LO_FLAGS_PARTSCAN;
    // Another process may take the free device that the control named: ask again, a bounded number of times.
    for (int attempt = 0; attempt < 100 && descriptor_ < 0; ++attempt) {
      const int number = ::ioctl(control, LOOP_CTL_GET_FREE);
      if (number < 0) break;
      path_ = "/dev/loop" + std::to_string(number);
      descriptor_ = ::open(path_.c_str(), (options.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
      if (descriptor_ < 0 || ::ioctl(descriptor_, LOOP_CONFIGURE, &config) == 0) continue;
      const int error = errno;
      ::close(std::exchange(descriptor_, -1));
      if (error == EBUSY) continue;
      why_not_ = std::string("LOOP_CONFIGURE: ") + std::strerror(error);
      break;
    }
    if (descriptor_ < 0 && why_not_.empty()) why_not_ = "no free loop device";
    if (control >= 0) ::close(control);
    if (file >= 0) ::close(file);
  }
  LoopDevice(const LoopDevice&) = delete;
  LoopDevice& operator=(const LoopDevice&) = delete;
  ~LoopDevice() { detach(); }

  void detach() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }
  bool available() const { return descriptor_ >= 0; }
  const std::string& why_not() const { return why_not_; }
  const std::string& path() const { return path_; }
  std::string name() const { return path_.substr(std::strlen("/dev/")); }
  int descriptor() const { return descriptor_; }
  // Those that it has done since it was made (Documentation/block/stat.rst, the 16th number).
  std::uint64_t flushes() const {
    std::ifstream file("/sys/block/" + name() + "/stat");
    std::uint64_t number = 0;
    for (int i = 0; i < 16; ++i) file >> number;
    return number;
  }

 private:
  int descriptor_ = -1;
  std::string path_;
  std::string why_not_;
};

// A forked child; `body`'s answer (0 to 255) is its exit code. It says when it is ready, and can be killed.
class Child {
 public:
  explicit Child(const std::function<int(const std::function<void()>& say_ready)>& body) {
    int ready[2];
    REQUIRE(::pipe2(ready, O_CLOEXEC) == 0);
    std::fflush(nullptr);
    process_ = ::fork();
    REQUIRE(process_ >= 0);
    if (process_ == 0) {
      ::close(ready[0]);
      ::_exit(body([&] {
        if (::write(ready[1], "!", 1) != 1) ::_exit(255);
      }));
    }
    ::close(ready[1]);
    ready_ = ready[0];
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    kill();
    ::close(ready_);
  }

  bool wait_until_ready() const {
    char byte = 0;
    return ::read(ready_, &byte, 1) == 1;
  }
  void kill() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    wait();
  }
  // The exit code, or 256 + the signal that ended it.
  int wait() {
    int status = 0;
    REQUIRE(::waitpid(std::exchange(process_, 0), &status, 0) > 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
  }

 private:
  pid_t process_ = 0;
  int ready_ = -1;
};

// Of a forked child: its mounts are its own from here on.
inline bool enter_own_mount_namespace() {
  return ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

inline int exit_code_of(const std::function<int()>& body) {
  Child child([&](const std::function<void()>&) { return body(); });
  return child.wait();
}

}  // namespace blockmirror::test
