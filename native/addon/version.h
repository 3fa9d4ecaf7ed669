// The addon's version: the package's, which a test compares (an addon of another version is refused by lib/load.ts).
#pragma once

namespace blockmirror::addon {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace blockmirror::addon
