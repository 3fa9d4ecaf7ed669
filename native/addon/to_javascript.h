// From C++ structs to the plain objects of lib/base/binding.ts, field by field and nothing more.
#pragma once

#include <napi.h>

#include "../core/format/label.h"
#include "../core/format/superblock.h"
#include "../host/commands.h"

namespace blockmirror::addon {

Napi::Value to_javascript(Napi::Env env, const Outcome& outcome);
Napi::Value to_javascript(Napi::Env env, const DeviceFacts& facts);
Napi::Value to_javascript(Napi::Env env, const Snapshot& snapshot);
// `images`: how many there are; `now_ns` of the engine's clock.
Napi::Value to_javascript(Napi::Env env, const DeviceLatencies& latencies, unsigned images, std::uint64_t now_ns);
// The same, and of the requests, as counts.
Napi::Value histograms_to_javascript(Napi::Env env, const DeviceLatencies& latencies, const RequestLatency& requests,
                                     unsigned images);
Napi::Value to_javascript(Napi::Env env, const Superblock& superblock);
Napi::Value to_javascript(Napi::Env env, const Label& label);
// The result object of a completed command; null for those that have none.
Napi::Value result_of(Napi::Env env, const Command& command);

}  // namespace blockmirror::addon
