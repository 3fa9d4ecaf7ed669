// What a mirror is made with, what it is opened with, and what is changed of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "../base/device.h"
#include "../base/limits.h"
#include "../format/superblock.h"

namespace blockmirror {

// What is to change of what a mirror goes by; what is not given stays. policy_change.h judges it and carries it out.
struct PolicyChange {
  std::optional<unsigned> minimum_in_sync = std::nullopt;  // images, the master counted
  std::optional<RejoinPolicy> rejoin = std::nullopt;
  std::optional<std::uint64_t> device_timeout_ms = std::nullopt;   // 0: none
  std::optional<std::uint64_t> wait_for_images_ms = std::nullopt;  // kWaitForever: until they come
  std::optional<std::uint64_t> resync_rate = std::nullopt;         // bytes a second; 0: automatic
  std::optional<std::uint64_t> recovery_budget = std::nullopt;     // bytes; of this opening, not stored in the log
};

struct FormatOptions {
  struct Image {
    std::string name;
    std::string path;
    PathKind path_kind = PathKind::absolute;
  };
  std::uint64_t size = 0;  // bytes; 0: the largest that all images allow
  std::uint32_t ring_records = kDefaultRingRecords;
  unsigned max_images =
      0;  // that there is room for fracture maps of; 0: kDefaultMapSlots, or the images when they are more
  bool assume_identical = false;
  PolicyChange policies;      // what is not given is as Policies has it
  std::vector<Image> images;  // [0] is the master; one per device given to set_images
};

struct ActivateOptions {
  std::uint64_t recovery_budget = kDefaultRecoveryBudget;
  Owner owner;
  // Slaves that this opening does without when their verdict is not ok and left_out.h allows it; one whose resync had not
  // ended needs no asking. Their fracture is durable with the new incarnation.
  // TOO_FEW_IN_SYNC where that would leave fewer in sync than the mirror asks for.
  ImageSet left_out = 0;
  // For this opening alone, and never below what the log says; 0: what the log says.
  unsigned minimum_in_sync = 0;
  // After a crash: the mirror takes requests at once, and what is owed is paid while it does. Otherwise it takes none before
  // end_recovery().
  bool background = false;
  // When not empty, one per image: where the images were found this time, to be remembered.
  std::vector<FormatOptions::Image> found_at;
};

}  // namespace blockmirror
