// EngineObject: the `Engine` of lib/base/binding.ts around one EngineThread.
//
// Invariants:
//  - JavaScript thread only; the engine thread reaches it through one LoopWake, which carries no data: it only says
//    that there is something to collect.
//  - From construction to destroy the object holds itself: a mirror that was forgotten is not collected while its
//    thread runs. destroy, or the end of the environment, ends that.
//  - The end of the environment (a worker that exits, the process at its natural end) stops the engine with a bounded
//    wait and leaves the mirror unclean, as a crash would.
// The calls of every request are callbacks of raw Node-API: Napi::CallbackInfo holds six arguments and allocates for the
// seventh, and each of its conversions asks for the type once more. The others are methods of Napi::ObjectWrap.
#pragma once

#include <napi.h>

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "../host/engine_thread.h"
#include "loop_wake.h"
#include "values.h"

namespace blockmirror::addon {

inline constexpr std::uint32_t kCompletionStride = 5;    // numbers: ticket, code, systemError, image, position
inline constexpr std::uint32_t kCompletionBatch = 1024;  // completions of one call into JavaScript
inline constexpr std::uint32_t kBatchesPerTurn = 4;      // then the event loop and the microtasks have their turn
inline constexpr std::size_t kVectorLength = 1024;       // buffers of one writev or readv, as IOV_MAX

class EngineObject;

// Per environment (main thread, each worker).
struct AddonState {
  std::vector<EngineObject*> engines;  // not let go
  // Once the environment ends: until when all its engines together are waited for.
  std::optional<std::chrono::steady_clock::time_point> deadline;
};

class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  // The class `Engine`.
  static Napi::Function define(Napi::Env env);
  // Engines not destroyed, in this process.
  static std::uint32_t open_count();

  // For Napi::ObjectWrap alone. An object that could not be opened answers CLOSED, if anybody ever sees it.
  explicit EngineObject(const Napi::CallbackInfo& info);
  static Napi::Value OnCalledAsFunction(const Napi::CallbackInfo& info);

 private:
  static napi_value submit_write(napi_env env, napi_callback_info info);
  static napi_value submit_writev(napi_env env, napi_callback_info info);
  static napi_value submit_write_owned(napi_env env, napi_callback_info info);
  static napi_value submit_read(napi_env env, napi_callback_info info);
  static napi_value finish_read(napi_env env, napi_callback_info info);
  static napi_value submit_flush(napi_env env, napi_callback_info info);
  static napi_value submit_discard(napi_env env, napi_callback_info info);
  static napi_value cancel(napi_env env, napi_callback_info info);
  static napi_value reaches_nothing(napi_env env, napi_callback_info info);
  static napi_value poll(napi_env env, napi_callback_info info);
  Napi::Value command(const Napi::CallbackInfo& info);
  Napi::Value result(const Napi::CallbackInfo& info);
  Napi::Value snapshot(const Napi::CallbackInfo& info);
  Napi::Value latencies(const Napi::CallbackInfo& info);
  Napi::Value latency_histograms(const Napi::CallbackInfo& info);
  void ref(const Napi::CallbackInfo& info);
  void unref(const Napi::CallbackInfo& info);
  void destroy(const Napi::CallbackInfo& info);

  template <std::size_t kCount>
  struct Call;

  Outcome open(const Napi::CallbackInfo& info, EngineThreadOptions options);
  bool open_completions(Napi::Object self);
  bool open_wake_up(Napi::Function callback);
  bool is_free(std::uint64_t ticket) const;
  napi_value answer(Code code);
  napi_value read_into(std::uint32_t ticket, std::uint64_t offset, std::uint64_t length);
  void deliver();
  double* completions_memory();
  std::uint32_t fill_batch();
  bool call_back(std::uint32_t count);
  bool stop_engine(std::chrono::steady_clock::time_point deadline);
  void let_go();
  static void environment_ends(void* self);

  napi_env const env_;
  std::shared_ptr<EngineThread> engine_;  // null once let go
  Snapshot last_snapshot_;                // of an engine that is gone
  LoopWake* wake_up_ = nullptr;
  Napi::FunctionReference callback_;
  Napi::ObjectReference completions_;
  std::vector<Bytes> views_;  // of the call at hand; keeps its memory
  std::vector<ConstBytes> buffers_;
  bool holds_itself_ = false;
  bool counted_ = false;
  bool stopped_ = false;
  bool delivering_ = false;
  bool polled_ = false;  // JavaScript is going to ask again: no need to wake it
};

}  // namespace blockmirror::addon
