// From C++ structs to the plain objects of lib/binding.ts, field by field and nothing more.
#pragma once

#include <node_api.h>

#include "../core/label.h"
#include "../core/superblock.h"
#include "../host/commands.h"

namespace blockmirror::addon {

napi_value to_javascript(napi_env env, const Status& status);
napi_value to_javascript(napi_env env, const DeviceFacts& facts);
napi_value to_javascript(napi_env env, const Snapshot& snapshot);
napi_value to_javascript(napi_env env, const Superblock& superblock);
napi_value to_javascript(napi_env env, const Label& label);
// The result object of a completed command; null for those that have none.
napi_value result_of(napi_env env, const Command& command);

}  // namespace blockmirror::addon
