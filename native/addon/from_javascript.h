// From the argument objects of NativeCommands to command structs.
#pragma once

#include <node_api.h>

#include <memory>

#include "../host/commands.h"

namespace blockmirror::addon {

// Null, with an exception pending, when the name is unknown or a field is missing or of a wrong type. Reading the fields
// may run JavaScript of the caller's.
std::unique_ptr<Command> command_from(napi_env env, napi_value name, napi_value arguments);

}  // namespace blockmirror::addon
