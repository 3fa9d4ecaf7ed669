#include "io_uring_reactor.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace blockmirror {

namespace {

// How often the completion queue is looked at when the kernel may not be entered any more.
constexpr std::uint64_t kRefusedLook_ns = 20'000'000;
constexpr unsigned kAnswersAtOnce = 64;

// Where the kernel puts the count of an eventfd, which nobody wants. Static, since the read that is armed when a
// reactor goes is cancelled by the kernel in its own time.
std::uint64_t unwanted_count = 0;

unsigned entries_for(unsigned queue_depth) { return queue_depth + 1; }

}  // namespace

class IoUringDevice final : public FileDevice {
 public:
  IoUringDevice(IoUringReactor& reactor, OpenFile file)
      : FileDevice(reactor, std::move(file)), reactor_(reactor), registered_(reactor.register_file(descriptor())) {}
  ~IoUringDevice() override { reactor_.unregister_file(registered_); }

  int registered() const { return registered_; }

 private:
  IoUringReactor& reactor_;
  const int registered_;
};

IoUringReactor::IoUringReactor(unsigned queue_depth, bool polling, RingFlavour best, std::uint64_t scarcity_limit_ns)
    : LoopReactor(queue_depth, polling), best_flavour_(best), scarcity_(scarcity_limit_ns) {}

IoUringReactor::~IoUringReactor() = default;

int IoUringReactor::probe(unsigned queue_depth) {
  Ring ring;
  return ring.open(entries_for(queue_depth));
}

int IoUringReactor::set_up() {
  if (const int error = ring_.open(entries_for(queue_depth()), best_flavour_); error != 0) return error;
  if (ring_.get()->cq.ring_entries <= queue_depth() || ring_.get()->sq.ring_entries <= queue_depth()) return ENOSYS;
  seats_.resize(queue_depth());
  free_seats_.reserve(queue_depth());
  not_taken_.reserve(queue_depth());
  for (unsigned i = queue_depth(); i > 0; --i) free_seats_.push_back(i - 1);
  // What cannot begin without waiting goes to a worker of the kernel, of which there are four for each processor: fewer than
  // a device that hangs takes (I15). Where it may not be raised, a device that hangs holds up such requests of the others.
  unsigned workers[2] = {queue_depth(), 0};
  (void)io_uring_register_iowq_max_workers(ring_.get(), workers);
  files_registered_ = io_uring_register_files_sparse(ring_.get(), kRegisteredFiles) == 0;
  buffers_registered_ = io_uring_register_buffers_sparse(ring_.get(), kRegisteredBuffers) == 0;
  return 0;
}

std::unique_ptr<Device> IoUringReactor::make_device(OpenFile file) {
  return std::make_unique<IoUringDevice>(*this, std::move(file));
}

int IoUringReactor::register_file(int descriptor) {
  auto free = std::find(file_used_.begin(), file_used_.end(), false);
  if (!files_registered_ || free == file_used_.end()) return -1;
  const auto index = static_cast<int>(free - file_used_.begin());
  if (io_uring_register_files_update(ring_.get(), static_cast<unsigned>(index), &descriptor, 1) != 1) return -1;
  *free = true;
  return index;
}

void IoUringReactor::unregister_file(int index) {
  if (index < 0) return;
  int none = -1;
  const int updated = io_uring_register_files_update(ring_.get(), static_cast<unsigned>(index), &none, 1);
  // Left in the table, the file would stay open, and locked, as long as the ring; only its seat is lost then.
  if (updated == 1) file_used_[static_cast<std::size_t>(index)] = false;
}

unsigned IoUringReactor::registered_files() const {
  return static_cast<unsigned>(std::count(file_used_.begin(), file_used_.end(), true));
}

void IoUringReactor::offer_memory(std::span<std::byte> memory) {
  while (buffers_registered_ && !memory.empty() && buffer_count_ < kRegisteredBuffers) {
    const std::span<std::byte> buffer = memory.first(std::min<std::size_t>(memory.size(), kBufferLength));
    const iovec vector{.iov_base = buffer.data(), .iov_len = buffer.size()};
    // ENOMEM or EPERM where memlock forbids: the kernel then pins the memory for each request by itself.
    if (io_uring_register_buffers_update_tag(ring_.get(), buffer_count_, &vector, nullptr, 1) != 1) return;
    buffers_[buffer_count_++] = buffer;
    memory = memory.subspan(buffer.size());
  }
}

int IoUringReactor::buffer_holding(const std::byte* memory, std::uint64_t length) const {
  for (unsigned i = 0; i < buffer_count_; ++i) {
    const std::byte* begin = buffers_[i].data();
    const std::byte* end = begin + buffers_[i].size();
    if (memory >= begin && memory < end && length <= static_cast<std::uint64_t>(end - memory)) {
      return static_cast<int>(i);
    }
  }
  return -1;
}

io_uring_sqe* IoUringReactor::next_entry() {
  io_uring_sqe* entry = io_uring_get_sqe(ring_.get());
  BLOCKMIRROR_ASSERT(entry != nullptr, "the submission queue has an entry for each seat");
  return entry;
}

void IoUringReactor::start(DeviceRequest& request, const Attempt& attempt) {
  BLOCKMIRROR_ASSERT(!free_seats_.empty(), "more requests were started than the queue is deep");
  const std::uint32_t seat = free_seats_.back();
  free_seats_.pop_back();
  seats_[seat] = {&request, attempt};
  queue_attempt(seat);
}

void IoUringReactor::queue_attempt(std::uint32_t seat) {
  if (refused_ != 0) return not_taken_.push_back({seat, refused_});
  const Attempt& attempt = seats_[seat].attempt;
  const std::uint32_t turn = ++seats_[seat].turn;
  const auto& device = static_cast<const IoUringDevice&>(device_of(*seats_[seat].request));
  const int file = device.registered() >= 0 ? device.registered() : device.descriptor();
  const auto length = static_cast<unsigned>(attempt.length);
  const int buffer = attempt.memory != nullptr ? buffer_holding(attempt.memory, attempt.length) : -1;
  io_uring_sqe* entry = next_entry();
  switch (attempt.kind) {
    case Attempt::Kind::read:
      if (buffer >= 0) {
        io_uring_prep_read_fixed(entry, file, attempt.memory, length, attempt.position, buffer);
      } else {
        io_uring_prep_read(entry, file, attempt.memory, length, attempt.position);
      }
      break;
    case Attempt::Kind::write:
      if (buffer >= 0) {
        io_uring_prep_write_fixed(entry, file, attempt.memory, length, attempt.position, buffer);
      } else {
        io_uring_prep_write(entry, file, attempt.memory, length, attempt.position);
      }
      if (attempt.durable) entry->rw_flags = RWF_DSYNC;
      break;
    case Attempt::Kind::write_zero_buffer:
      io_uring_prep_write(entry, file, zeroes(), length, attempt.position);
      break;
    case Attempt::Kind::zero_range:
      io_uring_prep_fallocate(entry, file, FALLOC_FL_ZERO_RANGE, static_cast<off_t>(attempt.position),
                              static_cast<off_t>(attempt.length));
      break;
    case Attempt::Kind::data_sync:
      io_uring_prep_fsync(entry, file, IORING_FSYNC_DATASYNC);
      break;
    case Attempt::Kind::finished:
      BLOCKMIRROR_ASSERT(false, "a finished request has no next attempt");
  }
  if (device.registered() >= 0) entry->flags |= IOSQE_FIXED_FILE;
  // By a worker of the kernel, which would begin them in this thread although they wait (I15).
  if (device.on_fuse()) entry->flags |= IOSQE_ASYNC;
  io_uring_sqe_set_data64(entry, name_of(seat, turn));
}

void IoUringReactor::arm_wake_up() {
  if (wake_up_armed_ || wake_up_broken_) return;
  io_uring_sqe* entry = next_entry();
  io_uring_prep_read(entry, wake_signal().descriptor(), &unwanted_count, sizeof unwanted_count, 0);
  io_uring_sqe_set_data64(entry, kWakeUp);
  wake_up_armed_ = true;
}

bool IoUringReactor::has_answers() const {
  return ring_.has_answers() || !not_taken_.empty() || (refused_ == 0 && ring_.must_enter());
}

unsigned IoUringReactor::collect() {
  unsigned total = 0;
  for (; !not_taken_.empty(); ++total) {
    const auto [seat, error] = not_taken_.back();
    not_taken_.pop_back();
    end_request(seat, error);
  }
  std::array<Answer, kAnswersAtOnce> answers;
  for (unsigned left = io_uring_cq_ready(ring_.get()); left > 0;) {
    // Copied out first: an answer's callback may take long, and its place is free for the kernel meanwhile.
    unsigned count = 0, head = 0;
    io_uring_cqe* entry = nullptr;
    io_uring_for_each_cqe(ring_.get(), head, entry) {
      if (count == std::min(left, kAnswersAtOnce)) break;
      answers[count++] = {entry->user_data, entry->res};
    }
    io_uring_cq_advance(ring_.get(), count);
    for (unsigned i = 0; i < count; ++i) handle(answers[i]);
    total += count;
    left -= count;
  }
  return total;
}

void IoUringReactor::handle(const Answer& answer) {
  if (answer.name == kWakeUp) {
    wake_up_armed_ = false;  // read or not: it is armed anew before the next sleep
    const bool tried_again = answer.result == -EINTR || answer.result == -EAGAIN || answer.result == -ECANCELED;
    if (answer.result < 0 && !tried_again) wake_up_broken_ = true;
    return;
  }
  const auto seat = static_cast<std::uint32_t>(answer.name);
  const bool asked =
      seat < seats_.size() && seats_[seat].request != nullptr && answer.name == name_of(seat, seats_[seat].turn);
  if (asked) end_attempt(seat, answer.result);
}

void IoUringReactor::end_attempt(std::uint32_t index, std::int64_t result) {
  Seat& seat = seats_[index];
  seat.attempt = next_attempt(*seat.request, seat.attempt, result, device_of(*seat.request).policy());
  if (seat.attempt.kind != Attempt::Kind::finished) return queue_attempt(index);
  end_request(index, seat.attempt.error);
}

void IoUringReactor::end_request(std::uint32_t index, int error) {
  DeviceRequest& request = *std::exchange(seats_[index].request, nullptr);
  free_seats_.push_back(index);
  finish(request, error);
}

void IoUringReactor::exchange(bool sleep, std::uint64_t deadline_ns) {
  if (refused_ != 0) return exchange_without_kernel(sleep, deadline_ns);
  const int error = enter(sleep, deadline_ns);
  if (error == EINTR) return;
  if (error == 0 || error == ETIME) return scarcity_.end();
  if (error == EAGAIN || error == EBUSY || error == ENOMEM) return bear_scarcity(error, sleep, deadline_ns);
  refused_ = error;
  end_not_taken(error);
}

int IoUringReactor::enter(bool sleep, std::uint64_t deadline_ns) {
  int status = 0;
  if (sleep) {
    arm_wake_up();
    if (wake_up_broken_) deadline_ns = std::min(deadline_ns, now_ns() + kRefusedLook_ns);
    if (deadline_ns == kNoDeadline) {
      status = io_uring_submit_and_wait(ring_.get(), 1);
    } else {
      const std::uint64_t now = now_ns();
      const std::uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
      __kernel_timespec timeout{.tv_sec = static_cast<long long>(left / 1000000000),
                                .tv_nsec = static_cast<long long>(left % 1000000000)};
      io_uring_cqe* first = nullptr;
      status = io_uring_submit_and_wait_timeout(ring_.get(), &first, 1, &timeout, nullptr);
    }
  } else if (io_uring_sq_ready(ring_.get()) > 0 || ring_.must_enter()) {
    status = io_uring_submit_and_get_events(ring_.get());
  }
  return status < 0 ? -status : 0;
}

// What was not taken stays in the submission queue for the next turn, until it has stayed there too long.
void IoUringReactor::bear_scarcity(int error, bool sleep, std::uint64_t deadline_ns) {
  // To offer requests that are not taken shows no answers, and an answer is what may give the memory back.
  (void)ring_.show_answers();
  bool requests_wait = false, wake_up_waits = false;
  ring_.for_each_not_taken([&](std::uint64_t name) { (name == kWakeUp ? wake_up_waits : requests_wait) = true; });
  if (scarcity_.is_over_limit(now_ns(), requests_wait)) end_not_taken(error);
  if (!sleep || has_answers()) return;
  const bool read_by_kernel = wake_up_armed_ && !wake_up_waits;
  sleep_outside(scarcity_.next_pause_ns(), deadline_ns, read_by_kernel);
}

void IoUringReactor::end_not_taken(int error) {
  ring_.for_each_not_taken([&](std::uint64_t name) {
    if (name == kWakeUp) {
      wake_up_armed_ = false;
    } else {
      not_taken_.push_back({static_cast<std::uint32_t>(name), error});
    }
  });
  ring_.forget_not_taken();
}

void IoUringReactor::exchange_without_kernel(bool sleep, std::uint64_t deadline_ns) {
  if (!sleep || has_answers()) return;
  // A ring that defers completes its read only when it is entered.
  const bool read_by_kernel = wake_up_armed_ && flavour() != RingFlavour::deferred;
  sleep_outside(kRefusedLook_ns, deadline_ns, read_by_kernel);
}

// Until the wake signal comes. Where the kernel still has the read of it, a read of ours could wait for ever.
void IoUringReactor::sleep_outside(std::uint64_t longest_ns, std::uint64_t deadline_ns, bool read_by_kernel) {
  const std::uint64_t now = now_ns();
  const std::uint64_t left = std::min(deadline_ns > now ? deadline_ns - now : 0, longest_ns);
  const timespec timeout{.tv_sec = 0, .tv_nsec = static_cast<long>(left)};
  pollfd event{.fd = wake_signal().descriptor(), .events = POLLIN, .revents = 0};
  if (::ppoll(&event, 1, &timeout, nullptr) <= 0 || (event.revents & POLLIN) == 0) return;
  if (read_by_kernel) return;
  std::uint64_t count = 0;
  (void)!::read(event.fd, &count, sizeof count);
}

}  // namespace blockmirror
