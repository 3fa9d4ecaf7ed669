#include "engine_object.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <utility>

#include "from_javascript.h"
#include "memory.h"
#include "plain_object.h"
#include "to_javascript.h"

namespace blockmirror::addon {

namespace {

std::atomic<std::uint32_t> open_engines{0};

constexpr std::size_t kCompletionNumbers = std::size_t{kCompletionBatch} * kCompletionStride;

bool parse_kind(const std::string& name, DeviceKind& into) {
  if (name == "auto") {
    into = DeviceKind::automatic;
  } else if (name == "io_uring") {
    into = DeviceKind::io_uring;
  } else if (name == "threads") {
    into = DeviceKind::threads;
  } else {
    return false;
  }
  return true;
}

AddonState& state_of(napi_env env) {
  void* state = nullptr;
  napi_get_instance_data(env, &state);
  return *static_cast<AddonState*>(state);
}

std::chrono::nanoseconds offer_processor() {
  const auto begun = std::chrono::steady_clock::now();
  sched_yield();
  return std::chrono::steady_clock::now() - begun;
}

std::chrono::steady_clock::time_point stop_deadline() {
  return std::chrono::steady_clock::now() + std::chrono::milliseconds(kStopWaitMs);
}

}  // namespace

// The receiver and the arguments of one call. `slot` is the first argument of every call about a request.
template <std::size_t kCount>
struct EngineObject::Call {
  napi_env env;
  napi_value values[kCount == 0 ? 1 : kCount];
  EngineObject* self = nullptr;
  std::uint64_t slot = 0;

  Call(napi_env with, napi_callback_info info) : env(with) {
    std::size_t count = kCount;
    napi_value receiver;
    void* object = nullptr;
    if (napi_get_cb_info(env, info, &count, values, &receiver, nullptr) != napi_ok) return;
    if (napi_unwrap(env, receiver, &object) == napi_ok) self = static_cast<EngineObject*>(object);
  }
  bool has_slot() { return self != nullptr && whole_number(env, values[0], slot) && slot < kPendingRequests; }
  // For calls that start something in the slot. A slot in use is a programming error in lib/.
  bool has_free_slot() { return has_slot() && (self->engine_ == nullptr || requests().is_free(slot_number())); }
  std::uint32_t slot_number() const { return static_cast<std::uint32_t>(slot); }
  bool gone() const { return self->engine_ == nullptr; }
  RequestTable& requests() const { return self->engine_->requests(); }
  napi_value wrong(const char* message) const { return throw_type_error(env, message); }
};

std::uint32_t EngineObject::open_count() { return open_engines.load(std::memory_order_relaxed); }

napi_value EngineObject::define(napi_env env) {
  auto method = [](const char* name, napi_callback function) {
    return napi_property_descriptor{name, nullptr, function, nullptr, nullptr, nullptr, napi_default_method, nullptr};
  };
  const napi_property_descriptor methods[] = {
      method("submitWrite", submit_write),
      method("submitWritev", submit_writev),
      method("submitWriteOwned", submit_write_owned),
      method("submitRead", submit_read),
      method("finishRead", finish_read),
      method("submitFlush", submit_flush),
      method("submitDiscard", submit_discard),
      method("cancel", cancel),
      method("command", command),
      method("result", result),
      method("snapshot", snapshot),
      method("poll", poll),
      method("ref", ref),
      method("unref", unref),
      method("destroy", destroy),
  };
  napi_value constructor = nullptr;
  napi_define_class(env, "Engine", NAPI_AUTO_LENGTH, construct, nullptr, std::size(methods), methods, &constructor);
  return constructor;
}

// --- construction

napi_value EngineObject::construct(napi_env env, napi_callback_info info) {
  std::size_t count = 2;
  napi_value values[2];
  napi_value self;
  napi_value target = nullptr;
  if (napi_get_cb_info(env, info, &count, values, &self, nullptr) != napi_ok ||
      napi_get_new_target(env, info, &target) != napi_ok) {
    return throw_type_error(env, "the engine cannot be made here");
  }
  EngineThreadOptions engine_options;
  napi_value device, polling;
  napi_valuetype type = napi_undefined;
  char name[16] = "";
  const bool right = target != nullptr && napi_typeof(env, values[1], &type) == napi_ok && type == napi_function &&
                     napi_typeof(env, values[0], &type) == napi_ok && type == napi_object &&
                     napi_get_named_property(env, values[0], "device", &device) == napi_ok &&
                     napi_get_named_property(env, values[0], "polling", &polling) == napi_ok &&
                     napi_get_value_string_utf8(env, device, name, sizeof name, nullptr) == napi_ok &&
                     parse_kind(name, engine_options.kind) && boolean(env, polling, engine_options.polling);
  if (!right)
    return throw_type_error(env,
                            "new Engine({ device: 'auto' | 'io_uring' | 'threads', polling: boolean }, onCompletions)");
  auto* object = new EngineObject(env);
  if (napi_wrap(env, self, object, finalize, nullptr, nullptr) != napi_ok) {
    delete object;
    return throw_type_error(env, "the engine could not be attached to its object");
  }
  Status status;
  if (!object->open(self, values[1], engine_options, status)) {
    object->let_go();
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (!pending) napi_throw(env, to_javascript(env, status));
    return nullptr;
  }
  return self;
}

bool EngineObject::open(napi_value self, napi_value callback, EngineThreadOptions options, Status& status) {
  status = Status::of(Code::NO_MEMORY);
  if (!open_completions(self) || !open_wake_up(callback)) return false;
  // Held back until the engine is there: without it the object might be collected under its thread.
  if (napi_create_reference(env_, self, 1, &self_) != napi_ok) return false;
  options.context = wake_up_;
  options.notify = [](void* wake_up) { static_cast<LoopWake*>(wake_up)->notify(); };
  EngineThread::Started started = EngineThread::start(options);
  status = started.status;
  if (!started.engine) return false;
  engine_ = std::move(started.engine);
  counted_ = true;
  open_engines.fetch_add(1, std::memory_order_relaxed);
  state_of(env_).engines.push_back(this);
  const char* name = engine_->kind() == DeviceKind::io_uring ? "io_uring" : "threads";
  PlainObject(env_, self).set("deviceKind", text_of(env_, name), napi_enumerable);
  return true;
}

bool EngineObject::open_completions(napi_value self) {
  napi_value memory, numbers;
  if (napi_create_arraybuffer(env_, kCompletionNumbers * sizeof(double), nullptr, &memory) != napi_ok) return false;
  if (napi_create_typedarray(env_, napi_float64_array, kCompletionNumbers, memory, 0, &numbers) != napi_ok)
    return false;
  if (napi_create_reference(env_, numbers, 1, &completions_reference_) != napi_ok) return false;
  PlainObject(env_, self).set("completions", numbers, napi_enumerable);
  return true;
}

bool EngineObject::open_wake_up(napi_value callback) {
  if (napi_create_reference(env_, callback, 1, &callback_) != napi_ok) return false;
  auto woken = [](void* self) { static_cast<EngineObject*>(self)->deliver(); };
  wake_up_ = LoopWake::open(env_, {woken, environment_ends, this});
  return wake_up_ != nullptr;
}

// --- requests

napi_value EngineObject::answer(Code code) {
  if (code == Code::ok) engine_->submitted();
  napi_value number;
  napi_create_uint32(env_, static_cast<std::uint32_t>(code), &number);
  return number;
}

// (slot, bytes, offset, length, position, dsync, unaligned?)
napi_value EngineObject::submit_write(napi_env env, napi_callback_info info) {
  Call<7> call(env, info);
  Bytes bytes;
  std::uint64_t offset, length, position;
  WriteMode mode;
  if (!call.has_free_slot() || !view_bytes(env, call.values[1], bytes) || !whole_number(env, call.values[2], offset) ||
      !whole_number(env, call.values[3], length) || !whole_number(env, call.values[4], position) ||
      !boolean(env, call.values[5], mode.durable) || !flag(env, call.values[6], mode.unaligned)) {
    return call.wrong("submitWrite(slot, bytes, offset, length, position, dsync, unaligned?)");
  }
  if (length == 0 || length > kRequestLength || offset > bytes.size() || length > bytes.size() - offset) {
    return call.wrong("submitWrite: offset and length must lie inside the bytes, within limits.requestLength");
  }
  if (call.gone()) return call.self->answer(Code::CLOSED);
  ConstBytes part = bytes.subspan(offset, length);
  return call.self->answer(call.requests().submit_write(call.slot_number(), {&part, 1}, position, mode));
}

// (slot, buffers, position, dsync)
napi_value EngineObject::submit_writev(napi_env env, napi_callback_info info) {
  Call<4> call(env, info);
  std::uint64_t position;
  WriteMode mode;
  // The slot last: what runs while the list is read may have taken it.
  if (call.self == nullptr || !whole_number(env, call.values[2], position) ||
      !boolean(env, call.values[3], mode.durable) ||
      !view_list(env, call.values[1], kVectorLength, call.self->views_) || !call.has_free_slot()) {
    return call.wrong("submitWritev(slot, buffers, position, dsync)");
  }
  std::vector<ConstBytes>& parts = call.self->parts_;
  parts.assign(call.self->views_.begin(), call.self->views_.end());
  std::uint64_t length = 0;
  for (const ConstBytes& part : parts) length += part.size();
  if (length == 0 || length > kRequestLength) {
    return call.wrong("submitWritev: the buffers must hold something, within limits.requestLength");
  }
  if (call.gone()) return call.self->answer(Code::CLOSED);
  return call.self->answer(call.requests().submit_write(call.slot_number(), parts, position, mode));
}

// (slot, memory, offset, length, position, dsync, unaligned?)
napi_value EngineObject::submit_write_owned(napi_env env, napi_callback_info info) {
  Call<7> call(env, info);
  std::uint64_t offset, length, position;
  WriteMode mode;
  OwnedMemory* memory = call.has_free_slot() ? memory_of(env, call.values[1]) : nullptr;
  if (memory == nullptr || !whole_number(env, call.values[2], offset) || !whole_number(env, call.values[3], length) ||
      !whole_number(env, call.values[4], position) || !boolean(env, call.values[5], mode.durable) ||
      !flag(env, call.values[6], mode.unaligned)) {
    return call.wrong("submitWriteOwned(slot, memory, offset, length, position, dsync, unaligned?)");
  }
  const std::uint64_t size = memory->bytes().size();
  if (length == 0 || length > kRequestLength || offset > size || length > size - offset) {
    return call.wrong("submitWriteOwned: offset and length must lie inside the memory, within limits.requestLength");
  }
  if (call.gone()) return call.self->answer(Code::CLOSED);
  return call.self->answer(
      call.requests().submit_write_owned(call.slot_number(), *memory, offset, length, position, mode));
}

// (slot, length, position)
napi_value EngineObject::submit_read(napi_env env, napi_callback_info info) {
  Call<3> call(env, info);
  std::uint64_t length, position;
  if (!call.has_free_slot() || !whole_number(env, call.values[1], length) ||
      !whole_number(env, call.values[2], position) || length == 0 || length > kRequestLength) {
    return call.wrong("submitRead(slot, length, position), length within limits.requestLength");
  }
  if (call.gone()) return call.self->answer(Code::CLOSED);
  return call.self->answer(call.requests().submit_read(call.slot_number(), length, position));
}

// (slot, target, offset, length). A view, or an array of them. They are looked at only now: meanwhile they may have been
// detached or resized.
napi_value EngineObject::finish_read(napi_env env, napi_callback_info info) {
  Call<4> call(env, info);
  std::uint64_t offset, length;
  if (!call.has_slot()) return call.wrong("finishRead(slot, target, offset, length)");
  if (!whole_number(env, call.values[2], offset) || !whole_number(env, call.values[3], length) ||
      !views(env, call.values[1], kVectorLength, call.self->views_)) {
    if (!call.gone()) call.requests().drop_read(call.slot_number());
    return call.wrong("finishRead(slot, target, offset, length)");
  }
  return call.self->read_into(call.slot_number(), offset, length);
}

napi_value EngineObject::read_into(std::uint32_t slot, std::uint64_t offset, std::uint64_t length) {
  std::uint64_t wanted = length;
  for (Bytes& view : views_) {
    std::uint64_t skipped = std::min<std::uint64_t>(offset, view.size());
    std::uint64_t taken = std::min<std::uint64_t>(wanted, view.size() - skipped);
    view = view.subspan(skipped, taken);
    offset -= skipped;
    wanted -= taken;
  }
  bool done = false;
  if (engine_ != nullptr) {
    bool fits = !views_.empty() && wanted == 0;
    if (fits) {
      done = engine_->requests().finish_read(slot, views_);
    } else {
      engine_->requests().drop_read(slot);
    }
  }
  napi_value answer;
  napi_get_boolean(env_, done, &answer);
  return answer;
}

// (slot)
napi_value EngineObject::submit_flush(napi_env env, napi_callback_info info) {
  Call<1> call(env, info);
  if (!call.has_free_slot()) return call.wrong("submitFlush(slot)");
  if (call.gone()) return call.self->answer(Code::CLOSED);
  return call.self->answer(call.requests().submit_flush(call.slot_number()));
}

// (slot, position, length)
napi_value EngineObject::submit_discard(napi_env env, napi_callback_info info) {
  Call<3> call(env, info);
  std::uint64_t position, length;
  if (!call.has_free_slot() || !whole_number(env, call.values[1], position) ||
      !whole_number(env, call.values[2], length) || length == 0) {
    return call.wrong("submitDiscard(slot, position, length)");
  }
  if (call.gone()) return call.self->answer(Code::CLOSED);
  return call.self->answer(call.requests().submit_discard(call.slot_number(), position, length));
}

// (slot)
napi_value EngineObject::cancel(napi_env env, napi_callback_info info) {
  Call<1> call(env, info);
  if (!call.has_slot()) return call.wrong("cancel(slot)");
  if (!call.gone()) call.requests().cancel(call.slot_number());
  return nullptr;
}

// --- commands

// (slot, name, arguments)
napi_value EngineObject::command(napi_env env, napi_callback_info info) {
  Call<3> call(env, info);
  if (!call.has_free_slot()) return call.wrong("command(slot, name, arguments)");
  std::unique_ptr<Command> command = command_from(env, call.values[1], call.values[2]);
  if (!command) return nullptr;
  // What ran while the arguments were read may have taken the slot.
  if (!call.has_free_slot()) return call.wrong("command(slot, name, arguments)");
  if (call.gone()) return call.self->answer(Code::CLOSED);
  return call.self->answer(call.requests().submit_command(call.slot_number(), std::move(command)));
}

// (slot)
napi_value EngineObject::result(napi_env env, napi_callback_info info) {
  Call<1> call(env, info);
  if (!call.has_slot()) return call.wrong("result(slot)");
  const Command* command = call.gone() ? nullptr : call.requests().completed_command(call.slot_number());
  if (command == nullptr) return null_of(env);
  return result_of(env, *command);
}

napi_value EngineObject::snapshot(napi_env env, napi_callback_info info) {
  Call<0> call(env, info);
  if (call.self == nullptr) return call.wrong("snapshot()");
  return to_javascript(env, call.gone() ? call.self->last_snapshot_ : call.self->engine_->snapshot());
}

// (more). Returns the nanoseconds for which this thread offered its processor to others.
napi_value EngineObject::poll(napi_env env, napi_callback_info info) {
  Call<1> call(env, info);
  bool more;
  if (call.self == nullptr || !boolean(env, call.values[0], more)) return call.wrong("poll(more)");
  call.self->polled_ = more && !call.self->stopped_;
  // The engine may have been put on this very processor: whoever looks for its answers must not keep it from them.
  const auto offered = more ? offer_processor() : std::chrono::nanoseconds(0);
  call.self->deliver();
  napi_value result;
  napi_create_double(env, static_cast<double>(offered.count()), &result);
  return result;
}

napi_value EngineObject::ref(napi_env env, napi_callback_info info) {
  Call<0> call(env, info);
  if (call.self != nullptr && call.self->wake_up_ != nullptr) call.self->wake_up_->reference();
  return nullptr;
}

napi_value EngineObject::unref(napi_env env, napi_callback_info info) {
  Call<0> call(env, info);
  if (call.self != nullptr && call.self->wake_up_ != nullptr) call.self->wake_up_->unreference();
  return nullptr;
}

// --- completions

void EngineObject::deliver() {
  if (engine_ == nullptr || delivering_) return;
  delivering_ = true;
  engine_->collecting(polled_);
  std::uint32_t count = kCompletionBatch;
  for (std::uint32_t batch = 0; batch < kBatchesPerTurn && count == kCompletionBatch; ++batch) {
    count = fill_batch();
    if (count > 0 && !call_back(count)) break;
  }
  delivering_ = false;
  if (count == kCompletionBatch) {
    wake_up_->notify();  // there may be more
  } else if (stopped_) {
    let_go();
  }
}

// Looked up each time: JavaScript can detach the store from the array. Then nothing is delivered any more.
double* EngineObject::completions_memory() {
  napi_value numbers = nullptr;
  Bytes bytes;
  if (napi_get_reference_value(env_, completions_reference_, &numbers) != napi_ok || numbers == nullptr) return nullptr;
  if (!view_bytes(env_, numbers, bytes) || bytes.size() < kCompletionNumbers * sizeof(double)) return nullptr;
  return reinterpret_cast<double*>(bytes.data());
}

std::uint32_t EngineObject::fill_batch() {
  Completion completion;
  std::uint32_t count = 0;
  double* numbers = completions_memory();
  if (numbers == nullptr) return 0;
  while (count < kCompletionBatch && engine_->requests().collect(completion)) {
    numbers[0] = completion.slot;
    numbers[1] = static_cast<double>(completion.status.code);
    numbers[2] = completion.status.system_error;
    numbers[3] = completion.status.image;
    numbers[4] = static_cast<double>(completion.status.position);
    numbers += kCompletionStride;
    ++count;
  }
  return count;
}

// False when JavaScript can run no more here. What the callback throws becomes an uncaught exception, as it would from
// an event of Node's own.
bool EngineObject::call_back(std::uint32_t count) {
  napi_handle_scope scope;
  if (napi_open_handle_scope(env_, &scope) != napi_ok) return false;
  napi_value receiver, callback, argument, result;
  napi_status status = napi_get_reference_value(env_, callback_, &callback);
  if (status == napi_ok) status = napi_get_undefined(env_, &receiver);
  if (status == napi_ok) status = napi_create_uint32(env_, count, &argument);
  if (status == napi_ok) status = napi_call_function(env_, receiver, callback, 1, &argument, &result);
  if (status == napi_pending_exception) {
    napi_value error;
    if (napi_get_and_clear_last_exception(env_, &error) == napi_ok) napi_fatal_exception(env_, error);
  }
  napi_close_handle_scope(env_, scope);
  return status == napi_ok || status == napi_pending_exception;
}

// --- the end

napi_value EngineObject::destroy(napi_env env, napi_callback_info info) {
  Call<0> call(env, info);
  if (call.self == nullptr) return call.wrong("destroy()");
  EngineObject& self = *call.self;
  if (self.stopped_ || self.engine_ == nullptr) return nullptr;
  const bool ended = self.stop_engine(stop_deadline());
  self.engine_->requests().abandon_pending(ended);
  // What was pending is answered CLOSED from the event loop, as every completion is; then the rest goes too.
  self.wake_up_->notify();
  return nullptr;
}

// Whether the engine's thread has ended.
bool EngineObject::stop_engine(std::chrono::steady_clock::time_point deadline) {
  stopped_ = true;
  const bool ended = engine_->stop(deadline);
  last_snapshot_ = engine_->snapshot();
  if (std::exchange(counted_, false)) open_engines.fetch_sub(1, std::memory_order_relaxed);
  return ended;
}

// Gives up what the object holds; afterwards it may be collected.
void EngineObject::let_go() {
  bool was_open = engine_ != nullptr;
  engine_.reset();
  if (was_open) std::erase(state_of(env_).engines, this);
  if (wake_up_ != nullptr) std::exchange(wake_up_, nullptr)->close();
  if (callback_ != nullptr) napi_delete_reference(env_, std::exchange(callback_, nullptr));
  if (completions_reference_ != nullptr) napi_delete_reference(env_, std::exchange(completions_reference_, nullptr));
  if (self_ != nullptr) napi_delete_reference(env_, std::exchange(self_, nullptr));
}

// All engines of the environment are asked to stop before the first is waited for.
void EngineObject::environment_ends(void* object) {
  auto* self = static_cast<EngineObject*>(object);
  AddonState& state = state_of(self->env_);
  if (!state.deadline) {
    state.deadline = stop_deadline();
    for (EngineObject* engine : state.engines) {
      if (!engine->stopped_) engine->engine_->request_stop();
    }
  }
  if (!self->stopped_) self->stop_engine(*state.deadline);
  self->let_go();
}

void EngineObject::finalize(napi_env, void* object, void*) { delete static_cast<EngineObject*>(object); }

}  // namespace blockmirror::addon
