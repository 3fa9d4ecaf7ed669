#include "memory.h"

#include "../host/limits.h"
#include "values.h"

namespace blockmirror::addon {

namespace {

// What tells our opaque values from those of other addons.
constexpr napi_type_tag kMemoryTag{0x8d3a4bc16f0e42d7, 0x9a51c27e3bd8f604};

// Drops the share of an ArrayBuffer or of an opaque value. May run when the environment has ended.
void drop_share(napi_env, void*, void* memory) { static_cast<OwnedMemory*>(memory)->drop(); }

// With a share of its own; null when there is none to be had. Raw Node-API: Napi::ArrayBuffer::New does not tell the one
// failure after which no finalizer runs.
Napi::Value buffer_over(Napi::Env env, OwnedMemory& memory) {
  napi_value store = nullptr;
  memory.share();
  const napi_status outcome =
      napi_create_external_arraybuffer(env, memory.bytes().data(), memory.bytes().size(), drop_share, &memory, &store);
  if (outcome == napi_ok) return {env, store};
  // Refused at once. After any other error the finalizer may have run, or may run yet: rather lose the block.
  if (outcome == napi_no_external_buffers_allowed) memory.drop();
  napi_value error;
  if (env.IsExceptionPending()) napi_get_and_clear_last_exception(env, &error);
  return env.Null();
}

}  // namespace

// Raw Node-API, whose status tells what is not ours: of that node-addon-api makes an exception. It has nothing for an
// object around foreign memory that can be given up again; with Napi::External, memory would stay the caller's too.
OwnedMemory* memory_of(napi_env env, napi_value value) {
  bool ours = false;
  void* memory = nullptr;
  if (napi_check_object_type_tag(env, value, &kMemoryTag, &ours) != napi_ok || !ours) return nullptr;
  if (napi_unwrap(env, value, &memory) != napi_ok) return nullptr;
  return static_cast<OwnedMemory*>(memory);
}

Napi::Value allocate_memory(const Napi::CallbackInfo& info) {
  std::uint64_t length;
  if (!whole_number(info.Env(), info[0], length) || length == 0) {
    return throw_type_error(info.Env(), "allocateMemory(length)");
  }
  OwnedMemory* memory = OwnedMemory::make(length);
  if (memory == nullptr) return info.Env().Null();
  Napi::Value store = buffer_over(info.Env(), *memory);
  memory->drop();
  return store;
}

Napi::Value take_memory(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Bytes bytes;
  if (!buffer_bytes(env, info[0], bytes)) return throw_type_error(env, "takeMemory(store)");
  OwnedMemory* memory = bytes.empty() ? nullptr : OwnedMemory::find(bytes.data());
  if (memory == nullptr) return env.Null();
  Napi::Object taken = Napi::Object::New(env);
  if (bytes.size() != memory->bytes().size() || napi_wrap(env, taken, memory, drop_share, memory, nullptr) != napi_ok) {
    memory->drop();
    return env.Null();
  }
  // From here on the share is the object's.
  const bool done =
      napi_type_tag_object(env, taken, &kMemoryTag) == napi_ok && napi_detach_arraybuffer(env, info[0]) == napi_ok;
  return done ? Napi::Value(taken) : env.Null();
}

Napi::Value give_memory_back(const Napi::CallbackInfo& info) {
  OwnedMemory* memory = memory_of(info.Env(), info[0]);
  if (memory == nullptr) return throw_type_error(info.Env(), "giveMemoryBack(memory)");
  if (memory->in_use()) return info.Env().Null();
  Napi::Value store = buffer_over(info.Env(), *memory);
  // Memory is the caller's or ours, never both: what was given back cannot be handed to the engine by this value again.
  if (store.IsArrayBuffer() && napi_remove_wrap(info.Env(), info[0], nullptr) == napi_ok) memory->drop();
  return store;
}

}  // namespace blockmirror::addon
