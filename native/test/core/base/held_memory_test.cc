// Memory that a hung device may still touch.
#include "../../../core/base/held_memory.h"

#include <doctest/doctest.h>

#include <array>
#include <cstring>

#include "../../../core/base/aligned_buffer.h"
#include "../../../core/base/data_buffer.h"

using namespace blockmirror;

namespace {

struct Counted {
  unsigned runs = 0;
  HeldMemory::Release release() {
    return {[](void* self, std::byte*, std::size_t) { ++static_cast<Counted*>(self)->runs; }, this};
  }
};

}  // namespace

TEST_CASE("held memory: what nobody holds is let go at once") {
  std::array<std::byte, 64> bytes{};
  Counted counted;
  HeldMemory& held = HeldMemory::of_this_thread();
  CHECK_FALSE(held.any());
  held.let_go(bytes.data(), bytes.size(), counted.release());
  CHECK(counted.runs == 1);
}

TEST_CASE("held memory: what is held is let go once, with the last hold over any byte of it") {
  std::array<std::byte, 64> bytes{};
  Counted whole, half;
  HeldMemory& held = HeldMemory::of_this_thread();
  HeldMemory::Hold first, second;
  held.hold(first, bytes.data(), 16);
  held.hold(second, bytes.data() + 16, 16);
  CHECK(held.holds(bytes.data() + 15, 1));
  CHECK_FALSE(held.holds(bytes.data() + 32, 32));
  held.let_go(bytes.data(), 64, whole.release());
  held.let_go(bytes.data() + 16, 8, half.release());
  held.end(first);
  CHECK(whole.runs + half.runs == 0);
  held.end(second);
  CHECK(whole.runs == 1);
  CHECK(half.runs == 1);
  CHECK_FALSE(held.any());
}

TEST_CASE("held memory: a request that names none holds none") {
  std::array<std::byte, 64> bytes{};
  HeldMemory& held = HeldMemory::of_this_thread();
  HeldMemory::Hold hold;
  held.hold(hold, nullptr, 0);
  CHECK(held.any());
  CHECK_FALSE(held.holds(bytes.data(), bytes.size()));
  held.end(hold);
}

TEST_CASE("held memory: buffers of the core that go while a device may touch them stay mapped") {
  HeldMemory& held = HeldMemory::of_this_thread();
  HeldMemory::Hold of_data, of_aligned;
  std::byte *data = nullptr, *aligned = nullptr;
  {
    DataBuffer buffer(1 << 20);
    AlignedBuffer other(4096);
    data = buffer.span().data();
    aligned = other.span().data();
    held.hold(of_data, data, 1 << 20);
    held.hold(of_aligned, aligned, 4096);
  }
  std::memset(data, 1, 1 << 20);
  std::memset(aligned, 1, 4096);
  held.end(of_data);
  held.end(of_aligned);
  CHECK_FALSE(held.any());
}
