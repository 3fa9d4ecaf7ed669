// libFuzzer: two copies of a label, as a disk may return them, judged against a superblock.
#include "fuzz.h"

using namespace blockmirror;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Input input(data, size);
  const auto [a, b] = input.copies(kLabelCopyLength);
  Label found;
  const Outcome outcome = choose_label(a, b, found);
  Superblock superblock;
  superblock.mirror_uuid = found.mirror_uuid;
  superblock.log_uuid = found.log_uuid;
  superblock.images.resize(2);
  superblock.max_images = kDefaultMapSlots;
  superblock.master = found.master % 2;
  superblock.images[1].uuid = found.image_uuid;
  superblock.images[1].label_position = found.label_position;
  superblock.size = found.size;
  superblock.open_count = found.open_count + (input.flag(4) ? 1 : 0);
  superblock.previous_incarnation = superblock.incarnation = found.incarnation;
  superblock.lifecycle = input.flag(5) ? Lifecycle::opening : Lifecycle::open;
  superblock.generation = found.generation;
  (void)judge_label(superblock, 1, outcome, found, found.device_size);
  if (!outcome.ok()) return 0;
  std::vector<std::byte> again(kLabelCopyLength);
  encode_label(found, again);
  Label second;
  if (!decode_label(again, second).ok() || second.update != found.update || second.name != found.name) std::abort();
  return 0;
}
