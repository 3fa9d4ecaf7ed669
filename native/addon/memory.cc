#include "memory.h"

#include "../host/limits.h"
#include "values.h"

namespace blockmirror::addon {

namespace {

napi_value null(napi_env env) {
  napi_value value = nullptr;
  napi_get_null(env, &value);
  return value;
}

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
  return null(env);
}

template <std::size_t kCount>
bool arguments(napi_env env, napi_callback_info info, napi_value (&values)[kCount]) {
  std::size_t count = kCount;
  return napi_get_cb_info(env, info, &count, values, nullptr, nullptr) == napi_ok;
}

}  // namespace

OwnedMemory* memory_of(napi_env env, napi_value value) {
  napi_valuetype type;
  void* memory = nullptr;
  if (napi_typeof(env, value, &type) != napi_ok || type != napi_external) return nullptr;
  if (napi_get_value_external(env, value, &memory) != napi_ok) return nullptr;
  return static_cast<OwnedMemory*>(memory);
}

napi_value allocate_memory(napi_env env, napi_callback_info info) {
  napi_value values[1];
  std::uint64_t length;
  if (!arguments(env, info, values) || !whole_number(env, values[0], length) || length == 0) {
    return throw_type_error(env, "allocateMemory(length)");
  }
  OwnedMemory* memory = OwnedMemory::make(length);
  if (memory == nullptr) return null(env);
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
  if (memory == nullptr) return null(env);
  napi_value taken = nullptr;
  if (bytes.size() == memory->bytes().size() &&
      napi_create_external(env, memory, drop_share, memory, &taken) == napi_ok) {
    return napi_detach_arraybuffer(env, values[0]) == napi_ok ? taken : null(env);
  }
  memory->drop();
  return null(env);
}

napi_value give_memory_back(napi_env env, napi_callback_info info) {
  napi_value values[1];
  OwnedMemory* memory = arguments(env, info, values) ? memory_of(env, values[0]) : nullptr;
  if (memory == nullptr) return throw_type_error(env, "giveMemoryBack(memory)");
  return memory->in_use() ? null(env) : buffer_over(env, *memory);
}

}  // namespace blockmirror::addon
