#include "left_out.h"

#include <algorithm>
#include <array>

namespace blockmirror {
namespace {

constexpr std::array<LeftOut, 13> kLeftOut{{
    {Code::OPEN_FAILED, ImageEvent::left, FractureCause::absent},
    {Code::READ_ONLY_DEVICE, ImageEvent::left, FractureCause::label_error},
    {Code::NO_DIRECT_IO, ImageEvent::left, FractureCause::unreadable},
    {Code::NO_LABEL, ImageEvent::left, FractureCause::blank},
    {Code::FOREIGN_IMAGE, ImageEvent::left, FractureCause::foreign},
    {Code::SWAPPED_IMAGES, ImageEvent::left, FractureCause::foreign},
    {Code::STALE_IMAGE, ImageEvent::left, FractureCause::stale},
    {Code::BLOCK_TOO_LARGE, ImageEvent::left, FractureCause::block_too_large},
    {Code::GROWN_IMAGE, ImageEvent::left, FractureCause::grown},
    {Code::LABEL_DAMAGED, ImageEvent::erred, FractureCause::unreadable},
    {Code::READ_FAILED, ImageEvent::erred, FractureCause::unreadable},
    {Code::TRUNCATED_IMAGE, ImageEvent::erred, FractureCause::too_small},
    {Code::LOST_ALLOCATION, ImageEvent::erred, FractureCause::lost_allocation},
}};

}  // namespace

std::optional<LeftOut> find_left_out(Code verdict) {
  const auto* row =
      std::find_if(kLeftOut.begin(), kLeftOut.end(), [verdict](const LeftOut& one) { return one.verdict == verdict; });
  return row == kLeftOut.end() ? std::nullopt : std::optional(*row);
}

}  // namespace blockmirror
