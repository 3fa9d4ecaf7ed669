// libFuzzer: two copies of a superblock, as a disk may return them. The seal is put right first, as a fuzzer never would,
// so that what lies behind the checksum is reached.
#include "../../core/format/block_seal.h"
#include "fuzz.h"

using namespace blockmirror;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Input input(data, size);
  std::vector<std::byte> a = input.block(0, kSuperblockLength), b = input.block(1, kSuperblockLength);
  if (input.flag(0)) seal_block(a);
  if (input.flag(1)) seal_block(b);
  const std::span<const std::byte> unreadable;
  Superblock found;
  const Outcome outcome = choose_superblock(input.flag(2) ? unreadable : std::span<const std::byte>(a),
                                            input.flag(3) ? unreadable : std::span<const std::byte>(b), found);
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
