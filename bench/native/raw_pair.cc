// The raw pair: what a mirror is measured against. Writes the same blocks to all given images at once by io_uring with
// O_DIRECT, with no coverage and no ordering: a write is done when every image has it. Deliberately minimal and
// deliberately good (one ring, registered files and buffers, one enter per turn), so that the ratio flatters nobody.
// One image is a plain raw writer or reader.
//
// With --log it is the physical limit of a mirror with an intent log whose every write is cold: no write begins before a
// record that was submitted after it is durable (RWF_DSYNC). One record is in flight at a time and serves all writes
// that wait when it is submitted: at depth 1 one durable log write and then the pair, deeper a plain group commit.
//
// What is counted: requests that complete between the end of the warm-up and that plus --seconds; then it drains.
// Prints one JSON object of the same shape as the other contestants (bench/contestants.mjs).
#include <fcntl.h>
#include <liburing.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "histogram.h"
#include "load.h"

namespace bench {
namespace {

constexpr std::uint64_t kFlushTag = ~0ull;
constexpr std::size_t kHugePage = 2 * 1024 * 1024;
constexpr std::uint64_t kLogTag = ~0ull - 1;

double now_seconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

[[noreturn]] void fail(const char* what, int error) {
  std::fprintf(stderr, "raw_pair: %s: %s\n", what, std::strerror(error));
  std::exit(1);
}

struct CpuTime {
  double user = 0;  // microseconds
  double system = 0;
};

CpuTime cpu_time() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto micro = [](timeval value) {
    return static_cast<double>(value.tv_sec) * 1e6 + static_cast<double>(value.tv_usec);
  };
  return {micro(usage.ru_utime), micro(usage.ru_stime)};
}

int open_direct(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  if (file < 0) fail(path.c_str(), errno);
  return file;
}

class RawPair {
 public:
  explicit RawPair(const Load& load) : load_(load), positions_(load), coin_(load.seed + 1), slots_(load.depth) {
    for (const std::string& path : load.images) files_.push_back(open_direct(path));
    if (!load.log.empty()) files_.push_back(open_direct(load.log));
    const unsigned entries = (load.depth + 1) * static_cast<unsigned>(files_.size());
    int error = io_uring_queue_init(entries, &ring_, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (error < 0) fail("io_uring_queue_init", -error);
    error = io_uring_register_files(&ring_, files_.data(), static_cast<unsigned>(files_.size()));
    if (error < 0) fail("io_uring_register_files", -error);
    make_memory();
  }

  void run() {
    double now = now_seconds();
    begin_ = now + load_.warm_up;
    end_ = begin_ + load_.seconds;
    last_flush_ = now;
    for (unsigned slot = 0; slot < load_.depth; ++slot) start(slot, now);
    write_log_record();
    while (in_flight_ > 0) {
      io_uring_submit_and_wait(&ring_, 1);
      now = now_seconds();
      keep_time(now);
      reap(now);
      write_log_record();
      if (now < end_ && load_.flush_seconds > 0 && flushes_pending_ == 0 && now - last_flush_ >= load_.flush_seconds) {
        flush(now);
      }
    }
    keep_time(end_);
    report();
  }

 private:
  struct Slot {
    double started = 0;
    std::uint64_t position = 0;
    unsigned pending = 0;
  };

  void make_memory() {
    // Huge pages where the system gives them: 1 MiB in 256 scattered pages has more segments than many a disk takes at once.
    const std::size_t length = (load_.block * load_.depth + load_.log_record + kHugePage - 1) / kHugePage * kHugePage;
    void* memory = mmap(nullptr, length + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("mmap", errno);
    memory =
        reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(memory) + kHugePage - 1) / kHugePage * kHugePage);
    madvise(memory, length, MADV_HUGEPAGE);
    memory_ = static_cast<std::byte*>(memory);
    std::mt19937_64 fill(7);
    for (std::size_t at = 0; at < length; at += 8) {
      const std::uint64_t word = load_.same_fill ? 0x0101010101010101ull : fill();
      std::memcpy(memory_ + at, &word, 8);
    }
    iovec whole{memory, length};
    fixed_ = io_uring_register_buffers(&ring_, &whole, 1) == 0;
  }

  io_uring_sqe* prepare(unsigned file, bool read, std::byte* bytes, std::uint64_t length, std::uint64_t position) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    if (sqe == nullptr) fail("the submission queue is full", EBUSY);
    const auto count = static_cast<unsigned>(length);
    const auto index = static_cast<int>(file);
    if (fixed_) {
      read ? io_uring_prep_read_fixed(sqe, index, bytes, count, position, 0)
           : io_uring_prep_write_fixed(sqe, index, bytes, count, position, 0);
    } else {
      read ? io_uring_prep_read(sqe, index, bytes, count, position)
           : io_uring_prep_write(sqe, index, bytes, count, position);
    }
    sqe->flags |= IOSQE_FIXED_FILE;
    return sqe;
  }

  void start(unsigned index, double now) {
    Slot& slot = slots_[index];
    slot.started = now;
    slot.position = positions_.next();
    ++in_flight_;
    if (load_.read_percent > 0 && coin_() % 100 < load_.read_percent) {
      slot.pending = 1;
      prepare(0, true, memory_ + index * load_.block, load_.block, slot.position)->user_data = index;
    } else if (!load_.log.empty()) {
      waiting_for_log_.push_back(index);
    } else {
      write_images(index);
    }
  }

  void write_images(unsigned index) {
    Slot& slot = slots_[index];
    slot.pending = static_cast<unsigned>(load_.images.size());
    for (unsigned image = 0; image < load_.images.size(); ++image) {
      io_uring_sqe* sqe = prepare(image, false, memory_ + index * load_.block, load_.block, slot.position);
      if (load_.durable) sqe->rw_flags = RWF_DSYNC;
      sqe->user_data = index;
    }
  }

  void write_log_record() {
    if (!log_in_flight_.empty() || waiting_for_log_.empty()) return;
    log_in_flight_.swap(waiting_for_log_);
    const std::uint64_t records = load_.log_length / load_.log_record;
    const std::uint64_t position = load_.log_position + log_records_++ % records * load_.log_record;
    std::byte* bytes = memory_ + load_.block * load_.depth;
    io_uring_sqe* sqe = prepare(static_cast<unsigned>(load_.images.size()), false, bytes, load_.log_record, position);
    sqe->rw_flags = RWF_DSYNC;
    sqe->user_data = kLogTag;
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
    ++flushes_;
  }

  // The processor's time is read once when counting begins and once when it ends.
  void keep_time(double now) {
    if (!counting_ && now >= begin_ && now < end_) {
      counting_ = true;
      cpu_begin_ = cpu_time();
    } else if (counting_ && now >= end_) {
      counting_ = false;
      const CpuTime used = cpu_time();
      cpu_ = {used.user - cpu_begin_.user, used.system - cpu_begin_.system};
    }
  }

  void reap(double now) {
    unsigned head = 0, count = 0;
    io_uring_cqe* cqe = nullptr;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      ++count;
      if (cqe->user_data == kFlushTag) {
        if (cqe->res < 0) fail("fdatasync", -cqe->res);
        if (--flushes_pending_ == 0) --in_flight_;
      } else if (cqe->user_data == kLogTag) {
        if (cqe->res != static_cast<int>(load_.log_record)) fail("log", cqe->res < 0 ? -cqe->res : EIO);
        for (unsigned index : log_in_flight_) write_images(index);
        log_in_flight_.clear();
      } else {
        if (cqe->res != static_cast<int>(load_.block)) fail("request", cqe->res < 0 ? -cqe->res : EIO);
        const auto index = static_cast<unsigned>(cqe->user_data);
        if (--slots_[index].pending == 0) finished_.push_back(index);
      }
    }
    io_uring_cq_advance(&ring_, count);
    for (unsigned index : finished_) {
      --in_flight_;
      if (counting_) {
        latencies_.record(now - slots_[index].started);
        ++operations_;
      }
      if (now < end_) start(index, now);
    }
    finished_.clear();
  }

  void report() const {
    std::printf(
        "{\"operations\":%llu,\"seconds\":%.6f,\"cpuUser\":%.0f,\"cpuSystem\":%.0f,\"flushes\":%llu,"
        "\"logRecords\":%llu,\"registeredBuffers\":%s,\"latencies\":",
        static_cast<unsigned long long>(operations_), load_.seconds, cpu_.user, cpu_.system,
        static_cast<unsigned long long>(flushes_), static_cast<unsigned long long>(log_records_),
        fixed_ ? "true" : "false");
    latencies_.print(stdout);
    std::printf("}\n");
  }

  Load load_;
  Positions positions_;
  std::mt19937_64 coin_;
  io_uring ring_{};
  std::vector<int> files_;  // the images, then the log
  std::byte* memory_ = nullptr;
  bool fixed_ = false;
  std::vector<Slot> slots_;
  std::vector<unsigned> finished_;
  std::vector<unsigned> waiting_for_log_;
  std::vector<unsigned> log_in_flight_;
  Histogram latencies_;
  double begin_ = 0;
  double end_ = 0;
  bool counting_ = false;
  CpuTime cpu_begin_;
  CpuTime cpu_;
  std::uint64_t operations_ = 0;
  std::uint64_t flushes_ = 0;
  std::uint64_t log_records_ = 0;
  unsigned in_flight_ = 0;
  unsigned flushes_pending_ = 0;
  double last_flush_ = 0;
};

}  // namespace
}  // namespace bench

int main(int count, char** arguments) {
  bench::RawPair(bench::parse_load(count, arguments)).run();
  return 0;
}
