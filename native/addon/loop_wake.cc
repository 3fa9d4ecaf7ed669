#include "loop_wake.h"

#include <uv.h>

#include <memory>

#include "../core/base/assert.h"

namespace blockmirror::addon {

LoopWake* LoopWake::open(napi_env env, const Callbacks& callbacks) {
  uv_loop_t* loop = nullptr;
  napi_value name, resource;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok ||
      napi_create_string_utf8(env, "blockmirror", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_object(env, &resource) != napi_ok) {
    return nullptr;
  }
  auto* wake = new LoopWake(env, callbacks);
  auto async = std::make_unique<uv_async_t>();
  async->data = wake;
  auto woken = [](uv_async_t* handle) { static_cast<LoopWake*>(handle->data)->run(); };
  if (napi_async_init(env, resource, name, &wake->context_) != napi_ok) {
    delete wake;
    return nullptr;
  }
  if (napi_create_reference(env, resource, 1, &wake->resource_) != napi_ok ||
      uv_async_init(loop, async.get(), woken) != 0) {
    if (wake->resource_ != nullptr) napi_delete_reference(env, wake->resource_);
    napi_async_destroy(env, wake->context_);
    delete wake;
    return nullptr;
  }
  wake->async_ = async.release();
  wake->unreference();
  auto ends = [](napi_async_cleanup_hook_handle, void* self) {
    auto& ending = *static_cast<LoopWake*>(self);
    if (!ending.closing_) ending.callbacks_.environment_ends(ending.callbacks_.context);
    BLOCKMIRROR_ASSERT(ending.closing_, "an environment ended and its wake-up was not closed");
  };
  if (napi_add_async_cleanup_hook(env, ends, wake, &wake->hook_) == napi_ok) return wake;
  wake->close();
  return nullptr;
}

void LoopWake::notify() noexcept {
  [[maybe_unused]] const int error = uv_async_send(async_);
  BLOCKMIRROR_ASSERT(error == 0, "an open handle refused a wake-up");
}

void LoopWake::reference() { uv_ref(reinterpret_cast<uv_handle_t*>(async_)); }

void LoopWake::unreference() { uv_unref(reinterpret_cast<uv_handle_t*>(async_)); }

void LoopWake::run() {
  napi_handle_scope handles;
  if (napi_open_handle_scope(env_, &handles) != napi_ok) return;
  napi_env const env = env_;  // the callback may close this
  napi_value resource = nullptr;
  napi_callback_scope scope;
  const bool ready = napi_get_reference_value(env, resource_, &resource) == napi_ok && resource != nullptr &&
                     napi_open_callback_scope(env, resource, context_, &scope) == napi_ok;
  if (ready) {
    callbacks_.woken(callbacks_.context);
    napi_close_callback_scope(env, scope);
  }
  napi_close_handle_scope(env, handles);
}

// The handle is freed by the loop in a later turn; an environment that ends waits for that through the hook.
void LoopWake::close() {
  BLOCKMIRROR_ASSERT(!closing_, "a wake-up was closed twice");
  closing_ = true;
  napi_delete_reference(env_, resource_);
  napi_async_destroy(env_, context_);
  uv_close(reinterpret_cast<uv_handle_t*>(async_), [](uv_handle_t* handle) {
    auto* wake = static_cast<LoopWake*>(handle->data);
    if (wake->hook_ != nullptr) napi_remove_async_cleanup_hook(wake->hook_);
    delete reinterpret_cast<uv_async_t*>(handle);
    delete wake;
  });
}

}  // namespace blockmirror::addon
