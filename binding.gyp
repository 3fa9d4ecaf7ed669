# The build from source (npm run build:native). Sources and flags live in native/sources.gypi, which CMakeLists.txt
# reads too; nothing of the kind belongs here. Flags that Node's own common.gypi brings and that would contradict
# ours are taken out, so that both builds compile the same. (An exclusion takes out ours as well: name no flag of
# sources.gypi there.)
{
  "includes": ["native/sources.gypi"],
  "targets": [
    {
      "target_name": "blockmirror",
      "sources": [
        "<@(core_sources)",
        "<@(device_sources)",
        "<@(host_sources)",
        "<@(addon_sources)"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["<@(addon_defines)"],
      "cflags!": ["-Wno-unused-parameter", "-O3", "-fno-omit-frame-pointer"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": ["<@(compile_flags)", "<@(release_flags)"],
      "ldflags": ["<@(link_flags)"],
      "libraries": ["<@(link_libraries)"],
      "configurations": {
        "Release": {
          "cflags!": ["-O3", "-fno-omit-frame-pointer"]
        }
      }
    }
  ]
}
