// LoopWake: lets the engine thread call a function on the event loop of an environment.
//
// Invariants:
//  - notify() may be called by any thread from open() to close(); the function runs on the loop's thread, once or more
//    for any number of notifications, never after close().
//  - The environment does not end before the handle is closed (an asynchronous clean-up hook), since a loop that is
//    freed with a handle in it ends the process.
//  - It keeps the loop alive exactly while it is referenced; it begins without.
// Why not napi_threadsafe_function: it wakes the loop's thread while it holds a lock that this thread takes first. On a
// busy processor the woken thread runs at once, blocks on that lock and is woken again: three switches for one wake-up.
// libuv's part of the ABI has been stable since its version 1. The rest is raw Node-API too: node-addon-api has no
// asynchronous clean-up hook, and its scopes end the process where the environment is about to.
#pragma once

#include <node_api.h>

struct uv_async_s;

namespace blockmirror::addon {

class LoopWake {
 public:
  // `woken(context)` runs in a callback scope, as an event of Node's own would: its microtasks follow it.
  // `environment_ends(context)` runs when the environment ends before close(), and must call close().
  struct Callbacks {
    void (*woken)(void* context);
    void (*environment_ends)(void* context);
    void* context;
  };
  // Null when the environment has no loop or no memory for it.
  static LoopWake* open(napi_env env, const Callbacks& callbacks);

  void notify() noexcept;
  void reference();
  void unreference();
  // Gives itself up; not to be used afterwards.
  void close();

 private:
  LoopWake(napi_env env, const Callbacks& callbacks) : env_(env), callbacks_(callbacks) {}
  ~LoopWake() = default;
  LoopWake(const LoopWake&) = delete;
  LoopWake& operator=(const LoopWake&) = delete;

  void run();

  napi_env const env_;
  Callbacks callbacks_;
  uv_async_s* async_ = nullptr;
  napi_async_context context_ = nullptr;
  napi_ref resource_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  bool closing_ = false;
};

}  // namespace blockmirror::addon
