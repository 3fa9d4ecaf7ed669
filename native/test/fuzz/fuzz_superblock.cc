// libFuzzer: two copies of a superblock, as a disk may return them.
#include "fuzz.h"

using namespace blockmirror;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Input input(data, size);
  const auto [a, b] = input.copies(kSuperblockLength);
  Superblock found;
  const Outcome outcome = choose_superblock(a, b, found);
  if (!outcome.ok()) return 0;
  // What was accepted can be written, and is read again as the same.
  std::vector<std::byte> again(kSuperblockLength);
  encode_superblock(found, again);
  Superblock second;
  if (!decode_superblock(again, second).ok() || second.update != found.update ||
      second.images.size() != found.images.size())
    std::abort();
  return 0;
}
