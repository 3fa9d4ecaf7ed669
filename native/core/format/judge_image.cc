// What goes with the state of an image (docs/STATES of the design; docs/FORMAT.md prints it):
//
//   state          fracture   debt    resync
//   in_sync        never      never   never
//   assumed        never      never   never
//   behind         must       must    never     a point in time: what a resync began to change is none any more
//   synchronizing  may        may     must      without a fracture: a recovery after a crash, whose debt the ring names
//   inconsistent   must       must    must      a resync began and did not end
//   failed         must       must    may
//
// The master is in_sync or assumed.
#include "judge_image.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "label.h"

namespace blockmirror {
namespace {

enum class Needs : std::uint8_t { never, may, must };
struct StateRule {
  ImageState state;
  Needs fracture, debt, resync;
};
constexpr StateRule kStateRules[] = {
    {ImageState::in_sync, Needs::never, Needs::never, Needs::never},
    {ImageState::assumed, Needs::never, Needs::never, Needs::never},
    {ImageState::behind, Needs::must, Needs::must, Needs::never},
    {ImageState::synchronizing, Needs::may, Needs::may, Needs::must},
    {ImageState::inconsistent, Needs::must, Needs::must, Needs::must},
    {ImageState::failed, Needs::must, Needs::must, Needs::may},
};

constexpr std::int32_t kLargestErrno = 4095;  // of Linux (MAX_ERRNO)
constexpr std::string_view kUriSchemes[] = {"nbd://", "nbds://", "nbd+unix://"};

const StateRule& rule_of(ImageState state) {
  return *std::find_if(std::begin(kStateRules), std::end(kStateRules),
                       [state](const StateRule& rule) { return rule.state == state; });
}

bool fits(Needs needs, bool has) { return needs == Needs::may || has == (needs == Needs::must); }

bool are_dates(std::initializer_list<std::uint64_t> dates) {
  return std::all_of(dates.begin(), dates.end(), [](std::uint64_t date) { return date <= kLatestDate; });
}

bool component_is_valid(std::string_view component) {
  return !component.empty() && component != "." && component != "..";
}

bool uri_is_valid(std::string_view uri) {
  const bool printable = std::all_of(uri.begin(), uri.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  return printable && std::any_of(std::begin(kUriSchemes), std::end(kUriSchemes), [uri](std::string_view scheme) {
           return uri.size() > scheme.size() && uri.substr(0, scheme.size()) == scheme;
         });
}

const char* judge_fracture(const Superblock& superblock, const ImageRecord& image, Bound bound) {
  const Fracture& fracture = image.fracture;
  if (fracture.cause == FractureCause::none) {
    return fracture == Fracture{} ? nullptr : "an image has a fracture without a cause";
  }
  if (fracture.at_ms == 0 || fracture.at_ms > kLatestDate) return "a fracture has no date";
  if (fracture.generation.counter == 0 || fracture.generation.id.is_zero() ||
      fracture.generation.counter > superblock.generation.counter) {
    return "a fracture has no generation";
  }
  if (fracture.open_count > superblock.open_count || (fracture.open_count != 0 && fracture.incarnation.is_zero())) {
    return "a fracture is of no opening";
  }
  if (!kSequences.allows(fracture.tail, bound)) return "the tail of a fracture is beyond what a mirror can reach";
  const bool barrier = fracture.barrier.is_zero() || fracture.cause == FractureCause::operator_request;
  return barrier ? nullptr : "a fracture at a barrier that nobody asked for";
}

const char* judge_condition(const Superblock& superblock, unsigned index, Bound bound) {
  const ImageRecord& image = superblock.images[index];
  const StateRule& rule = rule_of(image.state);
  if (index == superblock.master && rule.debt != Needs::never) return "the master is not in sync";
  if (!fits(rule.fracture, image.fracture.cause != FractureCause::none)) return "the state and the fracture contradict";
  if (!fits(rule.debt, image.debt != DebtKind::none)) return "the state and the debt contradict";
  if ((image.debt == DebtKind::map) == image.map_id.is_zero()) return "the debt and the fracture map contradict";
  if (const char* reason = judge_resync(image.state, image.resync)) return reason;
  if (image.resync.cursor > superblock.size) return "a resync is beyond the end of the mirror";
  const bool erred = image.error == 0 || index == superblock.master || image.fracture.cause != FractureCause::none;
  if (!erred) return "an image in sync has an error";
  return judge_fracture(superblock, image, bound);
}

// The label of no image is anywhere but at its end: a log that says otherwise would have us write into what it names.
const char* judge_place(const Superblock& superblock, unsigned index) {
  const ImageRecord& image = superblock.images[index];
  if (image.device_size >= kPositionLimit) return "the size of an image is not valid";
  if (image.held_label) {
    const bool held = image.label_position == held_label_position(index) && image.device_size >= superblock.size;
    return held ? nullptr : "the label of an image does not lie in its place of the log";
  }
  const bool behind = image.label_position == label_position(image.device_size) &&
                      image.label_position >= superblock.size && image.label_position >= superblock.pending_size;
  return behind ? nullptr : "the label of an image does not lie behind the mirror";
}

bool label_is_told(const ToldLabel& label, Bound bound) {
  return kUpdates.allows(label.update, bound) && (label.update != 0 || label.incarnation.is_zero());
}

const char* judge_image(const Superblock& superblock, unsigned index, Bound bound) {
  const ImageRecord& image = superblock.images[index];
  if (image.error < 0 || image.error > kLargestErrno) return "the error of an image is not valid";
  if (!are_dates({image.changed_at_ms, image.suspect_until_ms})) return "a date of an image is not valid";
  if (image.bytes_differed > kLargestCount) return "an image differs by more than there is";
  if (!is_image_name(image.name)) return "the name of an image is not valid";
  if (!path_is_valid(image.path, image.path_kind)) return "the path of an image is not valid";
  if (!is_printable(image.serial, kSerialLength)) return "the serial number of an image is not valid";
  if (image.window_bytes > kLargestSetting || image.rate > kLargestSetting) return "a limit of an image is not valid";
  if (!label_is_told(image.told, bound) || !label_is_told(image.telling, bound)) {
    return "the label that an image was told is not valid";
  }
  if (const char* reason = judge_place(superblock, index)) return reason;
  return judge_condition(superblock, index, bound);
}

// A slave that is out keeps the path that it had: another image may have it since.
bool paths_differ(const ImageRecord& one, const ImageRecord& other) {
  const auto is_out = [](ImageState state) {
    return state == ImageState::behind || state == ImageState::inconsistent || state == ImageState::failed;
  };
  const bool left_out = is_out(one.state) || is_out(other.state);
  return left_out || one.path != other.path || one.path_kind != other.path_kind;
}

const char* judge_pair(const ImageRecord& one, const ImageRecord& other) {
  if (!one.in_use() || !other.in_use()) return nullptr;
  if (one.uuid == other.uuid) return "two images have one UUID";
  if (one.name == other.name) return "two images have one name";
  return paths_differ(one, other) ? nullptr : "two images have one path";
}

}  // namespace

// What a log names lies where its text says, and no text leads out of the folder that it starts from.
bool path_is_valid(const std::string& path, PathKind kind) {
  if (path.empty() || path.size() > kImagePathLength || path.find('\0') != std::string::npos) return false;
  if (kind == PathKind::uri) return uri_is_valid(path);
  if ((path.front() == '/') != (kind == PathKind::absolute)) return false;
  std::string_view rest = path;
  if (kind == PathKind::absolute) rest.remove_prefix(1);
  for (std::size_t slash = rest.find('/'); slash != std::string_view::npos; slash = rest.find('/')) {
    if (!component_is_valid(rest.substr(0, slash))) return false;
    rest.remove_prefix(slash + 1);
  }
  return component_is_valid(rest);
}

const char* judge_resync(ImageState state, const ResyncRecord& resync) {
  const bool began = resync.kind != ResyncKind::none;
  if (began == resync.id.is_zero()) return "a resync without an id, or an id without a resync";
  if (!began && resync != ResyncRecord{}) return "a resync that did not begin";
  if (resync.began_at_ms > kLatestDate) return "the date of a resync is not valid";
  return fits(rule_of(state).resync, began) ? nullptr : "the state and the resync contradict";
}

const char* judge_images(const Superblock& superblock, Bound bound) {
  const std::size_t count = superblock.images.size();
  if (count == 0 || count > superblock.max_images || !superblock.images.back().in_use()) {
    return "too many images, or too few";
  }
  if (superblock.master >= count || !superblock.images[superblock.master].in_use()) return "there is no master";
  for (unsigned i = 0; i < count; ++i) {
    if (!superblock.images[i].in_use()) continue;
    if (const char* reason = judge_image(superblock, i, bound)) return reason;
    for (unsigned j = 0; j < i; ++j) {
      if (const char* reason = judge_pair(superblock.images[i], superblock.images[j])) return reason;
    }
  }
  return nullptr;
}

}  // namespace blockmirror
