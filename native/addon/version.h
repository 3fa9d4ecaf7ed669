// The addon's version: the package's, which a test compares.
#pragma once

namespace blockmirror::addon {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace blockmirror::addon
