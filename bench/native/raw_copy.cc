// A plain copy from a master to its slaves by io_uring with O_DIRECT, in the same pieces as recovery: what the rate of a
// recovery is measured against. With --compare each piece is read from the slaves too and compared before it is written,
// as a recovery that reports differences does.
//
// raw_copy [--compare] LANES BYTES MASTER SLAVE [SLAVE...] < pieces ("position length" lines, each at most 1 MiB)
// At most LANES pieces are under way, and at most BYTES of them (of each image), as in the mirror.
// Prints one JSON object: { bytes, pieces, copySeconds, flushSeconds, differed }; bytes are those read from the master.
#include <fcntl.h>
#include <liburing.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

constexpr std::size_t kPiece = 1024 * 1024;
constexpr std::size_t kHugePage = 2 * 1024 * 1024;

double now_seconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

[[noreturn]] void fail(const char* what, int error) {
  std::fprintf(stderr, "raw_copy: %s: %s\n", what, std::strerror(error));
  std::exit(1);
}

struct Piece {
  std::uint64_t position;
  unsigned length;
};

class Copy {
 public:
  Copy(std::vector<int> files, unsigned lanes, std::uint64_t bytes, bool compare, std::vector<Piece> pieces)
      : files_(std::move(files)), compare_(compare), most_(bytes), pieces_(std::move(pieces)), lanes_(lanes) {
    for (unsigned lane = lanes; lane > 0; --lane) idle_.push_back(lane - 1);
    const auto images = static_cast<unsigned>(files_.size());
    int error = io_uring_queue_init(lanes * images, &ring_, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (error < 0) fail("io_uring_queue_init", -error);
    // Huge pages where the system gives them, as in raw_pair.cc.
    const std::size_t length = kPiece * lanes * images;
    void* memory = mmap(nullptr, length + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("mmap", errno);
    memory =
        reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(memory) + kHugePage - 1) / kHugePage * kHugePage);
    madvise(memory, length, MADV_HUGEPAGE);
    std::memset(memory, 0, length);
    memory_ = static_cast<std::byte*>(memory);
  }

  void run() {
    const double begin = now_seconds();
    start();
    while (idle_.size() < lanes_.size()) {
      io_uring_submit_and_wait(&ring_, 1);
      reap();
      start();
    }
    const double copied = now_seconds();
    for (std::size_t i = 1; i < files_.size(); ++i) {
      if (fdatasync(files_[i]) != 0) fail("fdatasync", errno);
    }
    std::printf("{\"bytes\":%llu,\"pieces\":%zu,\"copySeconds\":%.6f,\"flushSeconds\":%.6f,\"differed\":%llu}\n",
                static_cast<unsigned long long>(bytes_), pieces_.size(), copied - begin, now_seconds() - copied,
                static_cast<unsigned long long>(differed_));
  }

 private:
  struct Lane {
    Piece piece{};
    unsigned pending = 0;
    bool writing = false;
  };

  std::byte* bytes_of(unsigned lane, unsigned image) { return memory_ + (lane * files_.size() + image) * kPiece; }

  void queue(unsigned lane, unsigned image, bool write) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    const Piece& piece = lanes_[lane].piece;
    if (write) {
      io_uring_prep_write(sqe, files_[image], bytes_of(lane, 0), piece.length, piece.position);
    } else {
      io_uring_prep_read(sqe, files_[image], bytes_of(lane, image), piece.length, piece.position);
    }
    sqe->user_data = lane;
    ++lanes_[lane].pending;
  }

  // The last lane that ended first: its memory is the warmest.
  void start() {
    for (; next_ < pieces_.size() && !idle_.empty() && under_way_ + pieces_[next_].length <= most_; ++next_) {
      const unsigned lane = idle_.back();
      idle_.pop_back();
      lanes_[lane] = {pieces_[next_], 0, false};
      under_way_ += pieces_[next_].length;
      for (unsigned image = 0; image < (compare_ ? files_.size() : 1); ++image) queue(lane, image, false);
    }
  }

  void write_slaves(unsigned lane) {
    lanes_[lane].writing = true;
    for (unsigned image = 1; image < files_.size(); ++image) {
      const unsigned length = lanes_[lane].piece.length;
      if (compare_ && std::memcmp(bytes_of(lane, 0), bytes_of(lane, image), length) != 0) ++differed_;
      queue(lane, image, true);
    }
  }

  void reap() {
    unsigned head = 0, count = 0;
    io_uring_cqe* cqe = nullptr;
    ready_.clear();
    io_uring_for_each_cqe(&ring_, head, cqe) {
      ++count;
      const auto lane = static_cast<unsigned>(cqe->user_data);
      if (cqe->res != static_cast<int>(lanes_[lane].piece.length)) fail("request", cqe->res < 0 ? -cqe->res : EIO);
      if (--lanes_[lane].pending == 0) ready_.push_back(lane);
    }
    io_uring_cq_advance(&ring_, count);
    for (unsigned lane : ready_) {
      if (!lanes_[lane].writing) {
        write_slaves(lane);
        continue;
      }
      bytes_ += lanes_[lane].piece.length;
      under_way_ -= lanes_[lane].piece.length;
      idle_.push_back(lane);
    }
  }

  std::vector<int> files_;
  bool compare_;
  std::uint64_t most_;
  std::vector<Piece> pieces_;
  std::vector<Lane> lanes_;
  std::vector<unsigned> idle_;
  std::vector<unsigned> ready_;
  io_uring ring_{};
  std::byte* memory_ = nullptr;
  std::size_t next_ = 0;
  std::uint64_t under_way_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t differed_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  const bool compare = count > 1 && std::strcmp(arguments[1], "--compare") == 0;
  const int first = compare ? 2 : 1;
  const unsigned lanes = count > first ? static_cast<unsigned>(std::strtoul(arguments[first], nullptr, 10)) : 0;
  const std::uint64_t most = count > first + 1 ? std::strtoull(arguments[first + 1], nullptr, 10) : 0;
  if (count < first + 4 || lanes == 0 || lanes > 256 || most < kPiece) {
    std::fprintf(stderr, "usage: raw_copy [--compare] LANES BYTES MASTER SLAVE [SLAVE...] < pieces\n");
    return 2;
  }
  std::vector<int> files;
  for (int i = first + 2; i < count; ++i) {
    const int file = open(arguments[i], O_RDWR | O_DIRECT | O_CLOEXEC);
    if (file < 0) fail(arguments[i], errno);
    files.push_back(file);
  }
  std::vector<Piece> pieces;
  unsigned long long position = 0, length = 0;
  while (std::scanf("%llu %llu", &position, &length) == 2) {
    if (length == 0 || length > kPiece) {
      std::fprintf(stderr, "raw_copy: a piece has 1 to %zu bytes, not %llu\n", kPiece, length);
      return 2;
    }
    pieces.push_back({position, static_cast<unsigned>(length)});
  }
  Copy(std::move(files), lanes, most, compare, std::move(pieces)).run();
  return 0;
}
