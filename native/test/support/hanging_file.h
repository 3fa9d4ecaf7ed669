// A file that does not answer: it lies on a FUSE of this process, which leaves what it is told to leave unanswered until it
// is let go. The mount point is the file itself.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../devices/temporary.h"

namespace blockmirror::test {

class HangingFile {
 public:
  // `holds`: FUSE_GETATTR, FUSE_OPEN or FUSE_WRITE, each of which waits until let_go().
  explicit HangingFile(std::uint32_t holds) : holds_(holds) {
    make_file(path(), 4096);
    channel_ = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
    wake_ = ::eventfd(0, EFD_CLOEXEC);
    const std::string options = "fd=" + std::to_string(channel_) + ",rootmode=100000,user_id=0,group_id=0";
    if (channel_ < 0 || ::mount("hanging", path().c_str(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()) != 0) {
      why_not_ = std::string("FUSE is not to be had: ") + std::strerror(errno);
      return;
    }
    server_ = std::thread([this] { serve(); });
    watch_over();
  }
  HangingFile(const HangingFile&) = delete;
  HangingFile& operator=(const HangingFile&) = delete;
  ~HangingFile() {
    let_go();
    if (server_.joinable()) {
      ::umount2(path().c_str(), MNT_DETACH);
      stop_ = true;
      wake();
      server_.join();
      ::kill(lifeline_, SIGKILL);
      ::waitpid(lifeline_, nullptr, 0);
    }
    if (channel_ >= 0) ::close(channel_);
    ::close(wake_);
  }
  const std::string& why_not() const { return why_not_; }
  std::string path() const { return folder_ / "image"; }

  void let_go() {
    holding_ = false;
    wake();
  }
  void hold_again() { holding_ = true; }
  bool is_asked() const { return held_count_ > 0; }
  unsigned opened() const { return opened_; }
  unsigned closed() const { return closed_; }
  unsigned written() const { return written_; }  // writes that were answered; their bytes go nowhere

 private:
  // A process that waits for its own FUSE cannot be killed, so that a test which fails here would never end: a child ends the
  // mount by force when it stands too long.
  void watch_over() {
    lifeline_ = ::fork();
    REQUIRE(lifeline_ >= 0);
    if (lifeline_ > 0) return;
    ::close(channel_);
    ::sleep(kLongest_s);
    ::umount2(path().c_str(), MNT_FORCE);
    ::umount2(path().c_str(), MNT_DETACH);
    ::_exit(0);
  }
  void wake() const {
    const std::uint64_t one = 1;
    static_cast<void>(!::write(wake_, &one, sizeof one));
  }
  void serve() {
    std::vector<std::byte> buffer(1024 * 1024 + 4096);
    for (;;) {
      pollfd events[2] = {{channel_, POLLIN, 0}, {wake_, POLLIN, 0}};
      if (::poll(events, 2, -1) < 0 && errno != EINTR) return;
      if ((events[1].revents & POLLIN) != 0) {
        std::uint64_t count = 0;
        static_cast<void>(!::read(wake_, &count, sizeof count));
        if (!holding_) answer_held();
        if (stop_) return;
      }
      if (events[0].revents == 0) continue;
      const ssize_t length = ::read(channel_, buffer.data(), buffer.size());
      if (length < 0 && errno == ENODEV) return;
      if (length < static_cast<ssize_t>(sizeof(fuse_in_header))) continue;
      fuse_in_header header;
      std::memcpy(&header, buffer.data(), sizeof header);
      if (header.opcode == holds_ && holding_) {
        held_.emplace_back(header, written_by(header, buffer));
        ++held_count_;
      } else {
        answer(header, written_by(header, buffer));
      }
    }
  }
  static std::uint32_t written_by(const fuse_in_header& header, const std::vector<std::byte>& request) {
    fuse_write_in write{};
    if (header.opcode == FUSE_WRITE) std::memcpy(&write, request.data() + sizeof header, sizeof write);
    return write.size;
  }
  void answer_held() {
    for (const auto& header : std::exchange(held_, {})) answer(header.first, header.second);
  }
  void answer(const fuse_in_header& header, std::uint32_t length) {
    switch (header.opcode) {
      case FUSE_INIT: {
        fuse_init_out out{};
        out.major = FUSE_KERNEL_VERSION;
        out.minor = FUSE_KERNEL_MINOR_VERSION;
        out.max_write = 128 * 1024;
        return reply(header, 0, &out, sizeof out);
      }
      case FUSE_GETATTR: {
        fuse_attr_out out{};
        out.attr.ino = 1;
        out.attr.size = 16 * 1024 * 1024;
        out.attr.blocks = out.attr.size / 512;
        out.attr.mode = S_IFREG | 0600;
        out.attr.nlink = 1;
        out.attr.blksize = 4096;
        return reply(header, 0, &out, sizeof out);
      }
      case FUSE_STATFS: {
        const fuse_statfs_out out{};
        return reply(header, 0, &out, sizeof out);
      }
      case FUSE_OPEN: {
        fuse_open_out out{};
        out.fh = ++opened_;
        return reply(header, 0, &out, sizeof out);
      }
      case FUSE_WRITE: {
        fuse_write_out out{};
        out.size = length;
        ++written_;
        return reply(header, 0, &out, sizeof out);
      }
      case FUSE_RELEASE:
        ++closed_;
        return reply(header, 0, nullptr, 0);
      case FUSE_FORGET:
      case FUSE_BATCH_FORGET:
      case FUSE_INTERRUPT:
        return;
      default:
        return reply(header, ENOSYS, nullptr, 0);
    }
  }
  void reply(const fuse_in_header& to, int error, const void* body, std::size_t length) const {
    std::vector<std::byte> bytes(sizeof(fuse_out_header) + length);
    fuse_out_header header{};
    header.len = static_cast<std::uint32_t>(bytes.size());
    header.error = -error;
    header.unique = to.unique;
    std::memcpy(bytes.data(), &header, sizeof header);
    if (length > 0) std::memcpy(bytes.data() + sizeof header, body, length);
    static_cast<void>(!::write(channel_, bytes.data(), bytes.size()));
  }

  static constexpr unsigned kLongest_s = 60;

  TemporaryDirectory folder_;
  const std::uint32_t holds_;
  pid_t lifeline_ = -1;
  int channel_ = -1;
  int wake_ = -1;
  std::string why_not_;
  std::vector<std::pair<fuse_in_header, std::uint32_t>> held_;  // the server's
  std::atomic<bool> holding_ = true;
  std::atomic<bool> stop_ = false;
  std::atomic<unsigned> held_count_ = 0;
  std::atomic<unsigned> opened_ = 0;
  std::atomic<unsigned> closed_ = 0;
  std::atomic<unsigned> written_ = 0;
  std::thread server_;
};

}  // namespace blockmirror::test
