// The raw pair: what a mirror is measured against. Writes the same random blocks to all given images at once by io_uring
// with O_DIRECT, with no log, no coverage, no ordering: a write is done when every image has it. Deliberately minimal and
// deliberately good (one ring, registered files and buffers, one enter per turn), so that the ratio flatters nobody.
//
// raw_pair SECONDS DEPTH BLOCK SPAN FLUSH_MS IMAGE [IMAGE...]
//   SPAN      bytes from the start of the images over which positions are drawn uniformly
//   FLUSH_MS  0, or every so many milliseconds an fdatasync of all images beside the load
// Prints one JSON object: operations, seconds, latencies in microseconds.
#include <fcntl.h>
#include <liburing.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

namespace {

constexpr std::uint64_t kFlushTag = ~0ull;

double now_seconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

[[noreturn]] void fail(const char* what, int error) {
  std::fprintf(stderr, "raw_pair: %s: %s\n", what, std::strerror(error));
  std::exit(1);
}

struct Load {
  double seconds;
  unsigned depth;
  std::size_t block;
  std::uint64_t span;
  double flush_seconds;
  std::vector<int> images;
};

class RawPair {
 public:
  explicit RawPair(const Load& load) : load_(load), started_(load.depth), pending_(load.depth) {
    const unsigned entries = (load.depth + 1) * static_cast<unsigned>(load.images.size());
    int error = io_uring_queue_init(entries, &ring_, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (error < 0) fail("io_uring_queue_init", -error);
    error = io_uring_register_files(&ring_, load.images.data(), static_cast<unsigned>(load.images.size()));
    if (error < 0) fail("io_uring_register_files", -error);
    const std::size_t length = load.block * load.depth;
    void* memory = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) fail("mmap", errno);
    memory_ = static_cast<std::byte*>(memory);
    std::mt19937_64 fill(7);
    for (std::size_t at = 0; at < length; at += 8) {
      const std::uint64_t word = fill();
      std::memcpy(memory_ + at, &word, 8);
    }
    iovec whole{memory, length};
    fixed_ = io_uring_register_buffers(&ring_, &whole, 1) == 0;
  }

  void run() {
    const double begin = now_seconds();
    double now = begin;
    last_flush_ = begin;
    for (unsigned slot = 0; slot < load_.depth; ++slot) submit(slot, now);
    while (in_flight_ > 0) {
      io_uring_submit_and_wait(&ring_, 1);
      now = now_seconds();
      const bool more = now - begin < load_.seconds;
      reap(now, more);
      if (more && load_.flush_seconds > 0 && flushes_pending_ == 0 && now - last_flush_ >= load_.flush_seconds) flush(now);
    }
    report(now - begin);
  }

 private:
  void submit(unsigned slot, double now) {
    const std::uint64_t position = random_() % (load_.span / load_.block) * load_.block;
    started_[slot] = now;
    pending_[slot] = static_cast<unsigned>(load_.images.size());
    for (unsigned image = 0; image < load_.images.size(); ++image) {
      io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
      std::byte* bytes = memory_ + slot * load_.block;
      const auto length = static_cast<unsigned>(load_.block);
      if (fixed_) {
        io_uring_prep_write_fixed(sqe, static_cast<int>(image), bytes, length, position, 0);
      } else {
        io_uring_prep_write(sqe, static_cast<int>(image), bytes, length, position);
      }
      sqe->flags |= IOSQE_FIXED_FILE;
      sqe->user_data = slot;
    }
    ++in_flight_;
  }

  void flush(double now) {
    last_flush_ = now;
    for (unsigned image = 0; image < load_.images.size(); ++image) {
      io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
      io_uring_prep_fsync(sqe, static_cast<int>(image), IORING_FSYNC_DATASYNC);
      sqe->flags |= IOSQE_FIXED_FILE;
      sqe->user_data = kFlushTag;
      ++flushes_pending_;
    }
    ++in_flight_;
  }

  void reap(double now, bool more) {
    unsigned head = 0, count = 0;
    io_uring_cqe* cqe = nullptr;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      ++count;
      if (cqe->user_data == kFlushTag) {
        if (cqe->res < 0) fail("fdatasync", -cqe->res);
        if (--flushes_pending_ == 0) --in_flight_;
        continue;
      }
      if (cqe->res != static_cast<int>(load_.block)) fail("write", cqe->res < 0 ? -cqe->res : EIO);
      const auto slot = static_cast<unsigned>(cqe->user_data);
      if (--pending_[slot] > 0) continue;
      latencies_.push_back(static_cast<float>((now - started_[slot]) * 1e6));
      --in_flight_;
      finished_.push_back(slot);
    }
    io_uring_cq_advance(&ring_, count);
    for (unsigned slot : finished_) {
      if (more) submit(slot, now);
    }
    finished_.clear();
  }

  void report(double seconds) {
    std::sort(latencies_.begin(), latencies_.end());
    const auto quantile = [&](double q) {
      return latencies_.empty() ? 0.0F : latencies_[static_cast<std::size_t>(q * static_cast<double>(latencies_.size() - 1))];
    };
    std::printf("{\"operations\":%zu,\"seconds\":%.6f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"registered_buffers\":%s}\n",
                latencies_.size(), seconds, static_cast<double>(quantile(0.5)), static_cast<double>(quantile(0.99)),
                static_cast<double>(quantile(0.999)), fixed_ ? "true" : "false");
  }

  Load load_;
  io_uring ring_{};
  std::byte* memory_ = nullptr;
  bool fixed_ = false;
  std::mt19937_64 random_{42};
  std::vector<double> started_;
  std::vector<unsigned> pending_;
  std::vector<unsigned> finished_;
  std::vector<float> latencies_;
  unsigned in_flight_ = 0;
  unsigned flushes_pending_ = 0;
  double last_flush_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  if (count < 7) {
    std::fprintf(stderr, "usage: raw_pair SECONDS DEPTH BLOCK SPAN FLUSH_MS IMAGE [IMAGE...]\n");
    return 2;
  }
  Load load{};
  load.seconds = std::atof(arguments[1]);
  load.depth = static_cast<unsigned>(std::strtoul(arguments[2], nullptr, 10));
  load.block = std::strtoull(arguments[3], nullptr, 10);
  load.span = std::strtoull(arguments[4], nullptr, 10);
  load.flush_seconds = std::atof(arguments[5]) / 1000;
  if (load.depth == 0 || load.block < 512 || load.span < load.block) {
    std::fprintf(stderr, "raw_pair: DEPTH, BLOCK and SPAN must be positive, SPAN at least BLOCK\n");
    return 2;
  }
  for (int i = 6; i < count; ++i) {
    const int image = open(arguments[i], O_RDWR | O_DIRECT | O_CLOEXEC);
    if (image < 0) fail(arguments[i], errno);
    load.images.push_back(image);
  }
  RawPair(load).run();
  return 0;
}
