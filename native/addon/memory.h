// Memory that can be handed over (native/host/owned_memory.h), as JavaScript sees it: an ArrayBuffer while the caller has
// it, an opaque value while it is handed over.
#pragma once

#include <napi.h>

#include "../host/owned_memory.h"

namespace blockmirror::addon {

// (length) -> an ArrayBuffer over new memory, zeroed; null where this JavaScript engine takes no memory but its own, or
// there is none.
Napi::Value allocate_memory(const Napi::CallbackInfo& info);
// (store) -> the memory under an ArrayBuffer, which is detached; null, and nothing done, when it is not ours.
Napi::Value take_memory(const Napi::CallbackInfo& info);
// (memory) -> an ArrayBuffer over it, and the value is worth nothing more; null while a device may still use it, or where
// there is none to be had.
Napi::Value give_memory_back(const Napi::CallbackInfo& info);

// What take_memory answered; null when it is something else.
OwnedMemory* memory_of(napi_env env, napi_value value);

}  // namespace blockmirror::addon
