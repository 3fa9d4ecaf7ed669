// From the argument objects of NativeCommands to command structs.
#pragma once

#include <napi.h>

#include <memory>

#include "../host/commands.h"

namespace blockmirror::addon {

// Null, with an exception pending, when the name is unknown or a field is missing or of a wrong type. Reading the fields
// may run JavaScript of the caller's.
std::unique_ptr<Command> command_from(Napi::Env env, Napi::Value name, Napi::Value arguments);

}  // namespace blockmirror::addon
