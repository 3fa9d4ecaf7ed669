{
  "variables": {
    "core_sources": [
    ],
    "device_sources": [
    ],
    "simulated_sources": [
    ],
    "host_sources": [
    ],
    "addon_sources": [
    ],
    "compile_flags": [
      "-std=c++20",
      "-Wall",
      "-Wextra",
      "-Werror",
      "-fno-exceptions",
      "-fno-rtti",
      "-fvisibility=hidden",
      "-fvisibility-inlines-hidden",
      "-fno-strict-aliasing",
      "-pthread"
    ],
    "release_flags": [
      "-O2",
      "-g1"
    ],
    "link_flags": [
      "-Wl,-z,nodelete",
      "-Wl,-z,relro",
      "-Wl,-z,now",
      "-Wl,--exclude-libs,ALL",
      "-pthread"
    ],
    "link_libraries": [
      "-l:liburing.a"
    ],
    "addon_defines": [
      "NAPI_VERSION=8",
      "NAPI_DISABLE_CPP_EXCEPTIONS",
      "NODE_ADDON_API_DISABLE_DEPRECATED"
    ]
  }
}
