#include "policy_change.h"

#include <algorithm>

#include "../base/headroom.h"
#include "../base/limits.h"

namespace blockmirror {

Outcome judge_change(const PolicyChange& change, std::size_t images) {
  const Policies defaults;
  const unsigned least = change.minimum_in_sync.value_or(1);
  const std::uint64_t largest = std::max({change.device_timeout_ms.value_or(defaults.device_timeout_ms),
                                          change.wait_for_images_ms.value_or(defaults.wait_for_images_ms),
                                          change.resync_rate.value_or(defaults.resync_rate)});
  const std::uint64_t budget = change.recovery_budget.value_or(kDefaultRecoveryBudget);
  const bool fits = least >= 1 && least <= images && largest <= kLargestSetting && budget >= kMinimumRecoveryBudget &&
                    budget <= kMaximumRecoveryBudget;
  return fits ? Outcome::success() : Outcome::of(Code::OUT_OF_RANGE, kNoImage, 0, images);
}

void apply_change(const PolicyChange& change, Policies& policies) {
  if (change.minimum_in_sync) policies.minimum_in_sync = static_cast<std::uint8_t>(*change.minimum_in_sync);
  policies.rejoin = change.rejoin.value_or(policies.rejoin);
  policies.device_timeout_ms = change.device_timeout_ms.value_or(policies.device_timeout_ms);
  policies.wait_for_images_ms = change.wait_for_images_ms.value_or(policies.wait_for_images_ms);
  policies.resync_rate = change.resync_rate.value_or(policies.resync_rate);
}

}  // namespace blockmirror
