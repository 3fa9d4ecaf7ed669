#include "carried_out.h"

#include <algorithm>

#include "../base/limits.h"

namespace blockmirror {
namespace {

bool any_image(const Superblock& superblock, bool (*holds)(const ImageRecord&)) {
  return std::any_of(superblock.images.begin(), superblock.images.end(), holds);
}

struct Limit {
  bool (*beyond)(const Superblock&);
  const char* words;
};
constexpr Limit kLimits[] = {
    {[](const Superblock& b) { return b.master != 0; }, "its master is not image 0"},
    {[](const Superblock& b) { return b.images.size() < 2; }, "its master is alone"},
    {[](const Superblock& b) { return any_image(b, [](const ImageRecord& image) { return !image.in_use(); }); },
     "an image was removed"},
    {[](const Superblock& b) {
       return any_image(b, [](const ImageRecord& image) { return image.path_kind == PathKind::uri; });
     },
     "an image is reached by a URI"},
    {[](const Superblock& b) { return any_image(b, [](const ImageRecord& image) { return image.held_label; }); },
     "the log holds the label of an image"},
    {[](const Superblock& b) { return b.maps.unit > kRegionLength; },
     "a bit of its maps stands for more than a region"},
    {[](const Superblock& b) { return b.pending_size != 0; }, "it is growing"},
    {[](const Superblock& b) { return b.log_state != LogState::current; }, "its log is moving"},
    {[](const Superblock& b) { return b.paired_log.exists(); }, "it has two logs"},
};

}  // namespace

Outcome judge_carried_out(const Superblock& superblock) {
  const auto* limit =
      std::find_if(std::begin(kLimits), std::end(kLimits), [&](const Limit& one) { return one.beyond(superblock); });
  if (limit == std::end(kLimits)) return Outcome::success();
  return {Code::UNKNOWN_FEATURE, kLogDevice, 0, 0, limit->words};
}

}  // namespace blockmirror
