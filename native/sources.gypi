{
  "variables": {
    "core_sources": [
      "native/core/base/crc32c.cc",
      "native/core/base/extent_gatherer.cc",
      "native/core/base/identity.cc",
      "native/core/format/block_seal.cc",
      "native/core/format/fracture_map.cc",
      "native/core/format/history.cc",
      "native/core/format/judge_image.cc",
      "native/core/format/judge_label.cc",
      "native/core/format/label.cc",
      "native/core/format/record.cc",
      "native/core/format/ring_scan.cc",
      "native/core/format/superblock.cc",
      "native/core/images/debt.cc",
      "native/core/images/debts.cc",
      "native/core/images/durable_map.cc",
      "native/core/images/image_states.cc",
      "native/core/images/master_repair.cc",
      "native/core/images/membership.cc",
      "native/core/images/piece_runner.cc",
      "native/core/images/recovery.cc",
      "native/core/log/coverage.cc",
      "native/core/log/intent_log.cc",
      "native/core/log/log_reader.cc",
      "native/core/mirror/comparison.cc",
      "native/core/mirror/mirror.cc",
      "native/core/mirror/mirror_repair.cc",
      "native/core/mirror/resync.cc",
      "native/core/session/carried_out.cc",
      "native/core/session/formatter.cc",
      "native/core/session/left_out.cc",
      "native/core/session/session.cc",
      "native/core/session/session_maintenance.cc",
      "native/core/session/session_opening.cc",
      "native/core/session/session_recovery.cc"
    ],
    "device_sources": [
      "native/devices/allocation.cc",
      "native/devices/block_queue.cc",
      "native/devices/exclusion.cc",
      "native/devices/footprint.cc",
      "native/devices/io_uring/io_uring_reactor.cc",
      "native/devices/io_uring/ring.cc",
      "native/devices/loop_reactor.cc",
      "native/devices/made_file.cc",
      "native/devices/open_file.cc",
      "native/devices/open_path.cc",
      "native/devices/overlay.cc",
      "native/devices/reactor.cc",
      "native/devices/sysfs.cc",
      "native/devices/threads/threads_reactor.cc",
      "native/devices/threads/worker_pool.cc",
      "native/devices/transfer.cc"
    ],
    "simulated_sources": [
      "native/devices/simulated/simulated_device.cc",
      "native/devices/simulated/sparse_disk.cc",
      "native/devices/simulated/volatile_disk.cc"
    ],
    "host_sources": [
      "native/host/attaching.cc",
      "native/host/buffer_pool.cc",
      "native/host/copy_out.cc",
      "native/host/engine_thread.cc",
      "native/host/opening.cc",
      "native/host/owned_memory.cc",
      "native/host/request_table.cc",
      "native/host/session_commands.cc",
      "native/host/session_host.cc"
    ],
    "addon_sources": [
      "native/addon/addon.cc",
      "native/addon/engine_object.cc",
      "native/addon/from_javascript.cc",
      "native/addon/loop_wake.cc",
      "native/addon/memory.cc",
      "native/addon/to_javascript.cc",
      "native/addon/values.cc"
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
      "NODE_ADDON_API_DISABLE_DEPRECATED",
      "NODE_ADDON_API_ENABLE_MAYBE",
      "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"
    ]
  }
}
