// May this image be attached? The rules of I8 as a table, first match wins; `image` is what the superblock says of it.
//
//   #   when                                                                              answer
//
//   Identity: a label that can be read says who it is, whatever the size of the device.
//   1   label found, of another mirror or another formatting of the log                   FOREIGN_IMAGE
//   2   label found, with the UUID, the index or the role of another image of this mirror SWAPPED_IMAGES
//   3   label found, with a UUID that the log does not know                               FOREIGN_IMAGE
//   4   the image is left out (behind, inconsistent, failed), whatever it says else       ok
//   4a  its sectors are larger than a label                                               BLOCK_TOO_LARGE
//   5   the device is smaller than it was when the mirror was made                        TRUNCATED_IMAGE
//   6   no label found                                                                    what was found instead
//   7   label and superblock differ about the mirror's size or the place of the label     LABEL_DAMAGED
//
//   Openings: each has a number and a random incarnation; the superblock is written before the labels.
//   8   label.open_count > log's                                                          STALE_LOG
//   9   create is under way                                                           ok
//   10  same open_count, other incarnation                                                DIVERGED
//   11  label one opening behind, its incarnation is not the log's previous one           DIVERGED
//   12  label one opening behind, the log is `opening`                                    (go on)
//   13  label further behind, or one behind and the log not `opening`                     STALE_IMAGE
//   14  label sealed for this opening, the log is still `opening`                         STALE_LOG
//   15  the log is sealed, the label not                                                  STALE_IMAGE
//
//   Generations: a fracture writes the superblock, then all labels, and ends before the next one starts.
//   16  label's counter > log's; the log's generation is label's parent, in its history,
//       or older than a history that is full                                              STALE_LOG
//   17  label's counter > log's otherwise                                                 DIVERGED
//   18  same counter, other id                                                            DIVERGED
//   19  label's counter < log's; it is the log's parent, and the log is not sealed        ok
//   20  label's counter < log's; in the log's history, its parent, or older than a
//       history that is full                                                              STALE_IMAGE
//   21  label's counter < log's otherwise                                                 DIVERGED
//   22  everything equal                                                                  ok, but for 23
//
//   23  the master returned other bytes than were written, without an error               MASTER_FAILED
//
// 12: a crash while the labels were being written. An opener that finds the log `opening` brings every label to that
// incarnation before it starts an opening of its own, so that a label is never two behind.
// 15: closing seals the labels before the superblock, so a label that is not sealed was put back afterwards; the
// reverse, a sealed label under an open log, is a crash while closing and fine: nothing is written after the seal.
// 19: a crash between the superblock and the labels of a fracture.
// 4: a device that failed may hold anything, a label torn or restored with it included. The master's label always
// follows, so that a log that is older than the images still shows itself.
// 23: noted in the log when it was found. A recovery would copy such bytes over the slaves, which hold the right ones.
// What this cannot see: a log or an image put back from a copy taken *within the same opening* and the same generation.
#include <algorithm>

#include "../base/device.h"
#include "../base/mutation.h"
#include "label.h"

namespace blockmirror {
namespace {

using History = std::array<GenerationMark, kGenerationHistory>;

bool is_known(const Generation& holder, const History& history, const Generation& asked) {
  const GenerationMark mark{asked.counter, asked.id};
  return holder.parent == asked.id || std::find(history.begin(), history.end(), mark) != history.end();
}

bool precedes_full_history(const History& history, const Generation& asked) {
  return history.back() != GenerationMark{} && asked.counter < history.back().counter;
}

Code judge_identity(const Superblock& superblock, unsigned index, const Label& label) {
  if (label.mirror_uuid != superblock.mirror_uuid || label.log_uuid != superblock.log_uuid) return Code::FOREIGN_IMAGE;
  const ImageRecord& image = superblock.images[index];
  const bool same_place = label.index == index && label.role() == superblock.role_of(index);
  if (label.image_uuid == image.uuid) return same_place ? Code::ok : Code::SWAPPED_IMAGES;
  const bool of_ours = std::any_of(superblock.images.begin(), superblock.images.end(),
                                   [&](const ImageRecord& other) { return other.uuid == label.image_uuid; });
  return of_ours ? Code::SWAPPED_IMAGES : Code::FOREIGN_IMAGE;
}

Code judge_opening(const Superblock& superblock, const Label& label) {
  if (label.open_count == superblock.open_count) {
    if (label.incarnation != superblock.incarnation) return Code::DIVERGED;
    if (label.sealed && superblock.lifecycle == Lifecycle::opening) return Code::STALE_LOG;
    if (!label.sealed && superblock.lifecycle == Lifecycle::sealed) return Code::STALE_IMAGE;
    return Code::ok;
  }
  if (label.open_count + 1 != superblock.open_count) return Code::STALE_IMAGE;
  if (label.incarnation != superblock.previous_incarnation) return Code::DIVERGED;
  return superblock.lifecycle == Lifecycle::opening ? Code::ok : Code::STALE_IMAGE;
}

Code judge_generation(const Superblock& superblock, const Label& label) {
  const Generation &of_log = superblock.generation, &of_label = label.generation;
  if (of_label.counter == of_log.counter) return of_label.id == of_log.id ? Code::ok : Code::DIVERGED;
  if (of_label.counter > of_log.counter) {
    if (mutated(Mutation::accept_older_log_generation)) return Code::ok;
    const bool descends = is_known(of_label, label.history, of_log) || precedes_full_history(label.history, of_log);
    return descends ? Code::STALE_LOG : Code::DIVERGED;
  }
  const bool is_parent = of_label.id == of_log.parent && of_label.counter + 1 == of_log.counter;
  if (is_parent && superblock.lifecycle != Lifecycle::sealed) return Code::ok;
  if (mutated(Mutation::accept_older_generation)) return Code::ok;
  const bool left_behind =
      is_known(of_log, superblock.history, of_label) || precedes_full_history(superblock.history, of_label);
  return left_behind ? Code::STALE_IMAGE : Code::DIVERGED;
}

// Not written to, and never read as the mirror's content.
bool is_left_out(ImageState state) {
  return state == ImageState::behind || state == ImageState::inconsistent || state == ImageState::failed;
}

Code judge(const Superblock& superblock, unsigned index, const Outcome& found, const Label& label,
           std::uint64_t device_size) {
  const ImageRecord& image = superblock.images[index];
  if (found.ok()) {
    if (Code code = judge_identity(superblock, index, label); code != Code::ok) return code;
  }
  if (is_left_out(image.state)) return Code::ok;
  if (found.code == Code::BLOCK_TOO_LARGE) return found.code;
  if (device_size < image.device_size) return Code::TRUNCATED_IMAGE;
  if (!found.ok()) return found.code;
  if (label.size != superblock.size || label.label_position != image.label_position) return Code::LABEL_DAMAGED;
  if (label.open_count > superblock.open_count) {
    return mutated(Mutation::accept_older_log) ? Code::ok : Code::STALE_LOG;
  }
  if (superblock.lifecycle == Lifecycle::creating) return Code::ok;
  const Code code = mutated(Mutation::accept_older_opening) ? Code::ok : judge_opening(superblock, label);
  if (code != Code::ok) return code;
  if (const Code other = judge_generation(superblock, label); other != Code::ok) return other;
  const bool lied =
      index == superblock.master && image.error == kWrongBytes && !mutated(Mutation::lying_master_accepted);
  return lied ? Code::MASTER_FAILED : Code::ok;
}

}  // namespace

Outcome judge_label(const Superblock& superblock, unsigned index, const Outcome& found, const Label& label,
                    std::uint64_t device_size) {
  BLOCKMIRROR_ASSERT(index < superblock.images.size(), "only an image that the log knows is judged");
  const Code code = judge(superblock, index, found, label, device_size);
  if (code == Code::ok) return Outcome::success();
  if (code == Code::MASTER_FAILED) {
    return Outcome::of(code, static_cast<ImageIndex>(index), superblock.images[index].error);
  }
  const bool as_found = !found.ok() && code == found.code;
  Outcome verdict = as_found ? found : Outcome::of(code);
  verdict.image = static_cast<ImageIndex>(index);
  return verdict;
}

Outcome judge_rejoin(const Superblock& superblock, unsigned index, const Outcome& found, const Label& label,
                     const DeviceTraits& traits) {
  if (!found.ok()) return found;
  const ImageRecord& image = superblock.images[index];
  Code code = judge_identity(superblock, index, label);
  if (code == Code::ok && traits.size < image.device_size) code = Code::TRUNCATED_IMAGE;
  // A torn write must not destroy more than the ranges of requests are widened to.
  const std::uint32_t torn = std::min(traits.physical_block_size, kMaximumPhysicalBlockSize);
  const bool large = transfer_unit(traits) > superblock.block_size || torn > superblock.physical_block_size;
  if (code == Code::ok && large) code = Code::BLOCK_TOO_LARGE;
  const bool placed = label.size == superblock.size && label.label_position == image.label_position;
  if (code == Code::ok && !placed) code = Code::LABEL_DAMAGED;
  return code == Code::ok ? Outcome::success() : Outcome::of(code, static_cast<ImageIndex>(index));
}

bool is_as_told(const ImageRecord& image, const Label& label) {
  const ToldLabel has{label.update, label.incarnation};
  return has == image.told || has == image.telling;
}

}  // namespace blockmirror
