#include "memory.h"

#include "../host/limits.h"
#include "plain_object.h"
#include "values.h"

namespace blockmirror::addon {

namespace {

// What tells our opaque values from those of other addons.
constexpr napi_type_tag kMemoryTag{0x8d3a4bc16f0e42d7, 0x9a51c27e3bd8f604};

// Drops the share of an ArrayBuffer or of an opaque value. May run when the environment has ended.
void drop_share(napi_env, void*, void* memory) { static_cast<OwnedMemory*>(memory)->drop(); }

// With a share of its own; null when there is none to be had.
napi_value buffer_over(napi_env env, OwnedMemory& memory) {
  napi_value store = nullptr;
  memory.share();
  const napi_status status =
      napi_create_external_arraybuffer(env, memory.bytes().data(), memory.bytes().size(), drop_share, &memory, &store);
  if (status == napi_ok) return store;
  // Refused at once. After any other error the finalizer may have run, or may run yet: rather lose the block.
  if (status == napi_no_external_buffers_allowed) memory.drop();
  bool pending = false;
  napi_value error;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending) napi_get_and_clear_last_exception(env, &error);
  return null_of(env);
}

template <std::size_t kCount>
bool arguments(napi_env env, napi_callback_info info, napi_value (&values)[kCount]) {
  std::size_t count = kCount;
  return napi_get_cb_info(env, info, &count, values, nullptr, nullptr) == napi_ok;
}

}  // namespace

OwnedMemory* memory_of(napi_env env, napi_value value) {
  bool ours = false;
  void* memory = nullptr;
  if (napi_check_object_type_tag(env, value, &kMemoryTag, &ours) != napi_ok || !ours) return nullptr;
  if (napi_unwrap(env, value, &memory) != napi_ok) return nullptr;
  return static_cast<OwnedMemory*>(memory);
}

napi_value allocate_memory(napi_env env, napi_callback_info info) {
  napi_value values[1];
  std::uint64_t length;
  if (!arguments(env, info, values) || !whole_number(env, values[0], length) || length == 0) {
    return throw_type_error(env, "allocateMemory(length)");
  }
  OwnedMemory* memory = OwnedMemory::make(length);
  if (memory == nullptr) return null_of(env);
  napi_value store = buffer_over(env, *memory);
  memory->drop();
  return store;
}

napi_value take_memory(napi_env env, napi_callback_info info) {
  napi_value values[1];
  Bytes bytes;
  if (!arguments(env, info, values) || !buffer_bytes(env, values[0], bytes)) {
    return throw_type_error(env, "takeMemory(store)");
  }
  OwnedMemory* memory = bytes.empty() ? nullptr : OwnedMemory::find(bytes.data());
  if (memory == nullptr) return null_of(env);
  napi_value taken = nullptr;
  if (bytes.size() != memory->bytes().size() || napi_create_object(env, &taken) != napi_ok ||
      napi_wrap(env, taken, memory, drop_share, memory, nullptr) != napi_ok) {
    memory->drop();
    return null_of(env);
  }
  // From here on the share is the object's.
  const bool done =
      napi_type_tag_object(env, taken, &kMemoryTag) == napi_ok && napi_detach_arraybuffer(env, values[0]) == napi_ok;
  return done ? taken : null_of(env);
}

napi_value give_memory_back(napi_env env, napi_callback_info info) {
  napi_value values[1];
  OwnedMemory* memory = arguments(env, info, values) ? memory_of(env, values[0]) : nullptr;
  if (memory == nullptr) return throw_type_error(env, "giveMemoryBack(memory)");
  if (memory->in_use()) return null_of(env);
  napi_value store = buffer_over(env, *memory);
  // Memory is the caller's or ours, never both: what was given back cannot be handed to the engine by this value again.
  napi_valuetype type = napi_null;
  const bool given = napi_typeof(env, store, &type) == napi_ok && type == napi_object;
  if (given && napi_remove_wrap(env, values[0], nullptr) == napi_ok) memory->drop();
  return store;
}

}  // namespace blockmirror::addon
