// What only the io_uring reactor has: registration, and being forbidden.
#include "../../devices/io_uring/io_uring_reactor.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

#include "loop.h"

using namespace blockmirror;
using namespace blockmirror::test;

namespace {

bool install(std::vector<sock_filter>& program) {
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{.len = static_cast<unsigned short>(program.size()), .filter = program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// From here on this process gets `error` from those system calls, as under a container's profile.
bool forbid(const std::vector<long>& calls, int error) {
  std::vector<sock_filter> program{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const long call : calls) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (static_cast<unsigned>(error) & SECCOMP_RET_DATA)));
  }
  return install(program);
}

// From here on io_uring_enter answers `error` where it is to take requests, as where the kernel has no memory for them.
bool forbid_taking(int error) {
  std::vector<sock_filter> program{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_enter, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (static_cast<unsigned>(error) & SECCOMP_RET_DATA)),
  };
  return install(program);
}

bool forbid_io_uring(int error) { return forbid({SYS_io_uring_setup}, error); }

bool round_trips(Reactor& reactor, const std::string& path, bool durable = false) {
  OpenFile file;
  if (!OpenFile::open(path, {}, file).ok()) return false;
  auto device = reactor.make_device(std::move(file));
  AlignedBuffer written(8192), read(8192);
  fill(written.span(), 99);
  for (const bool writing : {true, false}) {
    bool done = false;
    DeviceRequest request;
    request.operation = writing ? Operation::write : Operation::read;
    request.durable = durable && writing;
    request.length = 8192;
    request.memory = (writing ? written : read).span().data();
    request.context = &done;
    request.on_complete = [](DeviceRequest& completed) { *static_cast<bool*>(completed.context) = true; };
    device->submit(request);
    while (!done) reactor.turn(true);
    if (request.error != 0) return false;
  }
  return equal(written.span(), read.span());
}

// Writes of 4 KiB, and what became of them.
struct Writes {
  explicit Writes(std::size_t count) : requests(count) {
    for (DeviceRequest& request : requests) {
      request.operation = Operation::write;
      request.length = 4096;
      request.memory = memory.span().data();
      request.context = this;
      request.on_complete = [](DeviceRequest& completed) { ++static_cast<Writes*>(completed.context)->done; };
    }
  }
  bool ended(Reactor& reactor, unsigned most_turns = 1000) {
    for (unsigned turns = 0; done < requests.size() && turns < most_turns; ++turns) reactor.turn(true);
    return done == requests.size();
  }
  bool all(int error) const {
    return std::all_of(requests.begin(), requests.end(), [&](const DeviceRequest& one) { return one.error == error; });
  }

  AlignedBuffer memory{4096};
  std::vector<DeviceRequest> requests;
  unsigned done = 0;
};

// Where all or a part of it is forbidden with that errno: 0, or the step in which automatic did not take threads that work.
int threads_instead(const std::string& path, int error) {
  if (probe_io_uring() != error) return 2;
  ReactorOrOutcome made = make_reactor({});
  if (!made.outcome.ok() || made.reactor->kind() != DeviceKind::threads) return 3;
  if (!made.reactor->bind_to_this_thread().ok()) return 4;
  return round_trips(*made.reactor, path) ? 0 : 5;
}

// And asking for io_uring by its name is answered with the errno.
bool refused_by_name(int error) {
  const ReactorOrOutcome made = make_reactor({.kind = DeviceKind::io_uring});
  return made.reactor == nullptr && made.outcome.code == Code::UNSUPPORTED && made.outcome.system_error == error;
}

}  // namespace

TEST_CASE("io_uring: where it is forbidden, automatic takes threads and they work") {
  TemporaryDirectory directory;
  make_file(directory / "image", 65536);
  for (const int error : {EPERM, ENOSYS}) {
    const auto forbidden = [&] { return forbid_io_uring(error) ? threads_instead(directory / "image", error) : 1; };
    CHECK(exit_code_of(forbidden) == 0);
  }
}

TEST_CASE("io_uring: where it is forbidden, asking for it by name is answered with the errno") {
  CHECK(exit_code_of([] { return forbid_io_uring(EPERM) && refused_by_name(EPERM) ? 0 : 1; }) == 0);
}

TEST_CASE("io_uring: where a part of it is forbidden, automatic takes threads, and its name gets the errno") {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(DeviceKind::io_uring));
  TemporaryDirectory directory;
  make_file(directory / "image", 65536);
  const std::vector<std::vector<long>> parts{
      {SYS_io_uring_enter}, {SYS_io_uring_register}, {SYS_io_uring_enter, SYS_io_uring_register}};
  for (const std::vector<long>& part : parts) {
    for (const int error : {EPERM, ENOSYS, EACCES}) {
      const int status = exit_code_of([&] {
        if (!forbid(part, error)) return 1;
        return refused_by_name(error) ? threads_instead(directory / "image", error) : 6;
      });
      CHECK(status == 0);
    }
  }
}

TEST_CASE("threads: where pwritev2 is forbidden, a durable write is written and synced") {
  TemporaryDirectory directory;
  make_file(directory / "image", 65536);
  for (const int error : {EPERM, ENOSYS}) {
    const int status = exit_code_of([&] {
      if (!forbid({SYS_io_uring_setup, SYS_pwritev2, SYS_preadv2}, error)) return 1;
      ReactorOrOutcome made = make_reactor({});
      if (!made.outcome.ok() || !made.reactor->bind_to_this_thread().ok()) return 2;
      return round_trips(*made.reactor, directory / "image", true) ? 0 : 3;
    });
    CHECK(status == 0);
  }
}

TEST_CASE("io_uring: where entering is forbidden later, requests end with the errno and the loop still sleeps") {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(DeviceKind::io_uring));
  TemporaryDirectory directory;
  make_file(directory / "image", 65536);
  const int status = exit_code_of([&] {
    IoUringReactor reactor(16);
    if (!reactor.bind_to_this_thread().ok()) return 1;
    OpenFile file;
    if (!OpenFile::open(directory / "image", {}, file).ok()) return 2;
    auto device = reactor.make_device(std::move(file));
    if (!forbid({SYS_io_uring_enter}, EPERM)) return 3;
    Writes writes(40);  // more than are started at once
    for (DeviceRequest& request : writes.requests) {
      request.durable = true;
      device->submit(request);
    }
    if (!writes.ended(reactor) || !writes.all(EPERM)) return 4;
    std::thread waker([&] { reactor.wake(); });
    for (unsigned i = 0; i < 5; ++i) reactor.turn(true);
    waker.join();
    return reactor.requests_in_flight() == 0 ? 0 : 6;
  });
  CHECK(status == 0);
}

TEST_CASE(
    "io_uring: what the kernel has no memory for ends with the errno after a while, and what it had is answered") {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(DeviceKind::io_uring));
  TemporaryDirectory directory;
  make_file(directory / "image", 65536);
  constexpr std::uint64_t kLimit_ns = 300'000'000;
  for (const RingFlavour flavour : {RingFlavour::deferred, RingFlavour::plain}) {
    for (const int error : {EAGAIN, EBUSY, ENOMEM}) {
      const int status = exit_code_of([&] {
        IoUringReactor reactor(16, false, flavour, kLimit_ns);
        OpenFile file;
        if (!reactor.bind_to_this_thread().ok() || !OpenFile::open(directory / "image", {}, file).ok()) return 1;
        auto device = reactor.make_device(std::move(file));
        Writes taken(8), late(40);  // more than are started at once
        for (DeviceRequest& request : taken.requests) device->submit(request);
        reactor.turn(false);
        if (!forbid_taking(error)) return 2;
        for (DeviceRequest& request : late.requests) device->submit(request);
        const std::uint64_t began_ns = reactor.now_ns();
        if (!taken.ended(reactor) || !taken.all(0)) return 3;
        if (late.done != 0) return 4;
        unsigned turns = 0;
        for (; late.done == 0 && turns < 500; ++turns) reactor.turn(true);
        if (reactor.now_ns() - began_ns < kLimit_ns) return 5;
        if (turns > 200) return 6;  // it sleeps in between
        // Each group of those that are started has a limit of its own.
        if (!late.ended(reactor) || !late.all(error)) return 7;
        if (reactor.now_ns() - began_ns > 20 * kLimit_ns) return 8;
        return reactor.requests_in_flight() == 0 ? 0 : 9;
      });
      CAPTURE(error);
      CHECK(status == 0);
    }
  }
}

TEST_CASE("io_uring: while the kernel has no memory for its wake-up an idle loop hears others and timers, and sleeps") {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(DeviceKind::io_uring));
  for (const bool entered_before : {false, true}) {
    const int status = exit_code_of([&] {
      IoUringReactor reactor(4);
      if (!reactor.bind_to_this_thread().ok()) return 1;
      bool fired = false;
      Timer timer{.fire = [](void* context) { *static_cast<bool*>(context) = true; }, .context = &fired};
      if (entered_before) {  // so that the kernel has the read of the wake-up
        reactor.arm(timer, reactor.now_ns() + 1000000);
        while (!fired) reactor.turn(true);
      }
      if (!forbid_taking(EAGAIN)) return 2;
      std::atomic<unsigned> sent = 0, received = 0;
      std::thread sender([&] {
        for (unsigned i = 1; i <= 100; ++i) {
          while (received != i - 1) std::this_thread::yield();
          sent = i;
          reactor.wake();
        }
      });
      while (received < 100) {
        received = sent.load();
        if (received < 100) reactor.turn(true);
      }
      sender.join();
      fired = false;
      reactor.arm(timer, reactor.now_ns() + 300'000'000);
      unsigned turns = 0;
      for (; !fired && turns < 500; ++turns) reactor.turn(true);
      if (!fired) return 3;
      return turns < 200 ? 0 : 4;
    });
    CHECK(status == 0);
  }
}

TEST_CASE("reactor: where getrandom is forbidden there are random bytes all the same") {
  for (const DeviceKind kind : {DeviceKind::automatic, DeviceKind::threads}) {
    const int status = exit_code_of([&] {
      if (!forbid({SYS_getrandom}, ENOSYS)) return 1;
      ReactorOrOutcome made = make_reactor({.kind = kind});
      if (!made.outcome.ok() || !made.reactor->bind_to_this_thread().ok()) return 2;
      std::array<std::byte, 64> one{}, other{};
      made.reactor->random(one);
      made.reactor->random(other);
      return one != other ? 0 : 3;
    });
    CHECK(status == 0);
  }
}

TEST_CASE("io_uring: where it is allowed, automatic takes it") {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(DeviceKind::io_uring));
  const ReactorOrOutcome made = make_reactor({});
  REQUIRE(made.outcome.ok());
  CHECK(made.reactor->kind() == DeviceKind::io_uring);
}

TEST_CASE("io_uring: requests work from registered memory, from its edge, across its edge and from elsewhere") {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(DeviceKind::io_uring));
  TemporaryDirectory directory;
  make_file(directory / "image", 1024 * 1024);
  AlignedBuffer pool(1024 * 1024);
  AlignedBuffer elsewhere(65536);
  const std::size_t registered = pool.size() / 2;
  {
    IoUringReactor reactor(16);
    REQUIRE(reactor.bind_to_this_thread().ok());
    reactor.offer_memory(pool.span().first(registered));
    reactor.offer_memory({});
    CHECK(reactor.registered_buffers() == 1);
    OpenFile file;
    REQUIRE(OpenFile::open(directory / "image", {}, file).ok());
    auto device = reactor.make_device(std::move(file));
    CHECK(reactor.registered_files() == 1);
    std::byte* const places[] = {pool.span().data(), pool.span().data() + registered - 65536,
                                 pool.span().data() + registered - 4096, pool.span().data() + registered,
                                 elsewhere.span().data()};
    std::uint64_t seed = 1;
    for (std::byte* place : places) {
      for (const Operation operation : {Operation::write, Operation::read}) {
        std::span<std::byte> bytes(place, 65536);
        if (operation == Operation::write) fill(bytes, seed);
        if (operation == Operation::read) std::fill(bytes.begin(), bytes.end(), std::byte{0});
        bool done = false;
        DeviceRequest request;
        request.operation = operation;
        request.durable = operation == Operation::write;
        request.position = 131072;
        request.length = bytes.size();
        request.memory = place;
        request.context = &done;
        request.on_complete = [](DeviceRequest& completed) { *static_cast<bool*>(completed.context) = true; };
        device->submit(request);
        while (!done) reactor.turn(true);
        CHECK(request.error == 0);
        std::vector<std::byte> expected(bytes.size());
        fill(expected, seed);
        CHECK(equal(bytes, expected));
      }
      ++seed;
    }
    device.reset();
    CHECK(reactor.registered_files() == 0);
  }
}

TEST_CASE("io_uring: a durable write from registered memory reaches the disk's cache control, another one does not") {
  Loop loop(DeviceKind::io_uring);
  BLOCKMIRROR_SKIP_UNLESS(loop);
  TemporaryDirectory directory;
  make_file(directory / "image", 4 * 1024 * 1024);
  LoopDevice block(directory / "image");
  BLOCKMIRROR_SKIP_UNLESS(block);
  AlignedBuffer memory(1024 * 1024);
  loop->offer_memory(memory.span());
  auto device = loop.open(block.path());
  if (!device->traits().volatile_cache) return skip("a loop device has no volatile cache here");
  const std::uint64_t before = block.flushes();
  CHECK(loop.write(*device, 0, memory.span().first(65536)) == 0);
  CHECK(block.flushes() == before);
  CHECK(loop.write(*device, 0, memory.span().first(65536), true) == 0);
  CHECK(block.flushes() > before);
}

TEST_CASE("io_uring: memory that memlock forbids to register is used unregistered") {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(DeviceKind::io_uring));
  if (!is_root()) return skip("giving up CAP_IPC_LOCK needs root to begin with");
  TemporaryDirectory directory;
  make_file(directory / "image", 65536);
  REQUIRE(::chmod((directory / "image").c_str(), 0666) == 0);
  const int status = exit_code_of([&] {
    const rlimit limit{65536, 65536};
    if (::setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || ::setuid(65534) != 0) return 1;
    AlignedBuffer pool(4 * 1024 * 1024);
    IoUringReactor reactor(16);
    if (!reactor.bind_to_this_thread().ok()) return 2;
    reactor.offer_memory(pool.span());
    if (reactor.registered_buffers() != 0) return 3;
    return round_trips(reactor, directory / "image") ? 0 : 4;
  });
  CHECK(status == 0);
}

TEST_CASE("io_uring: the flavours of ring that older kernels have work as the best one does") {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(DeviceKind::io_uring));
  TemporaryDirectory directory;
  make_file(directory / "image", 65536);
  for (const RingFlavour flavour : {RingFlavour::deferred, RingFlavour::cooperative, RingFlavour::plain}) {
    IoUringReactor reactor(32, false, flavour);
    REQUIRE(reactor.bind_to_this_thread().ok());
    CHECK(reactor.flavour() >= flavour);
    CHECK(round_trips(reactor, directory / "image"));
    // Asleep with nothing to wait for, but for another thread and for a timer.
    constexpr unsigned kMessages = 2000;
    std::atomic<unsigned> sent = 0, received = 0;
    std::thread sender([&] {
      for (unsigned i = 1; i <= kMessages; ++i) {
        while (received != i - 1) std::this_thread::yield();
        sent = i;
        reactor.wake();
      }
    });
    while (received < kMessages) {
      received = sent.load();
      if (received < kMessages) reactor.turn(true);
    }
    sender.join();
    bool fired = false;
    Timer timer{.fire = [](void* context) { *static_cast<bool*>(context) = true; }, .context = &fired};
    reactor.arm(timer, reactor.now_ns() + 1000000);
    while (!fired) reactor.turn(true);
    CHECK(round_trips(reactor, directory / "image"));
  }
}

TEST_CASE("io_uring: more devices than the file table holds work as well") {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(DeviceKind::io_uring));
  TemporaryDirectory directory;
  make_file(directory / "image", 65536);
  Loop loop(DeviceKind::io_uring);
  std::vector<std::unique_ptr<Device>> devices;
  for (int i = 0; i < 80; ++i)
    devices.push_back(loop.open(directory / "image", {.read_only = true, .exclusive = false}));
  AlignedBuffer buffer(4096);
  for (auto& device : devices) CHECK(loop.read(*device, 0, buffer.span()) == 0);
}

TEST_CASE("io_uring: answers to what was never asked, or was answered before, change nothing") {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(DeviceKind::io_uring));
  TemporaryDirectory directory;
  make_file(directory / "image", 1024 * 1024);
  IoUringReactor reactor(4);
  REQUIRE(reactor.bind_to_this_thread().ok());
  const auto strange_answers = [&] {
    for (const std::uint64_t name : {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{4}, std::uint64_t{1} << 31,
                                     std::uint64_t{99} << 32, UINT64_MAX - 2, UINT64_MAX}) {
      for (const std::int32_t result : {0, 8192, -EIO}) reactor.take_answer(name, result);
    }
  };
  strange_answers();
  CHECK(round_trips(reactor, directory / "image"));
  OpenFile file;
  REQUIRE(OpenFile::open(directory / "image", {}, file).ok());
  auto device = reactor.make_device(std::move(file));
  AlignedBuffer memory(4096);
  int completed = 0;
  DeviceRequest request;
  request.length = 4096;
  request.memory = memory.span().data();
  request.context = &completed;
  request.on_complete = [](DeviceRequest& done) { ++*static_cast<int*>(done.context); };
  device->submit(request);
  reactor.turn(false);
  const int completed_by_then = completed;
  strange_answers();
  CHECK(completed == completed_by_then);
  while (completed == 0) reactor.turn(true);
  CHECK(completed == 1);
  CHECK(request.error == 0);
}

TEST_CASE("io_uring: where the wake-up cannot be read, requests end and other threads are heard all the same") {
  BLOCKMIRROR_SKIP_UNLESS(KindProbe(DeviceKind::io_uring));
  TemporaryDirectory directory;
  make_file(directory / "image", 1024 * 1024);
  IoUringReactor reactor(4);
  REQUIRE(reactor.bind_to_this_thread().ok());
  constexpr std::uint64_t kWakeUp = UINT64_MAX - 1;
  reactor.take_answer(kWakeUp, -EBADF);
  CHECK(round_trips(reactor, directory / "image"));
  std::atomic<bool> called{false};
  std::thread caller([&] {
    called = true;
    reactor.wake();
  });
  while (!called) reactor.turn(true);
  caller.join();
}
