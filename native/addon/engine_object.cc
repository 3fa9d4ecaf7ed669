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

AddonState& state_of(Napi::Env env) { return *env.GetInstanceData<AddonState>(); }

bool ticket_of(napi_env env, napi_value value, std::uint64_t& ticket) {
  return whole_number(env, value, ticket) && ticket < kPendingRequests;
}

constexpr char kUsage[] = "new Engine({ device: 'auto' | 'io_uring' | 'threads', polling: boolean }, onCompletions)";

// A termination (node:vm with a time limit, a worker that is stopped) in the middle of a getter shows as a pending null.
// Napi::ObjectWrap would make an Error of that, which ends the process; V8 goes on terminating without it. A null that the
// getter itself threw is lost too: then there is an engine that answers CLOSED.
void drop_termination(Napi::Env env) {
  napi_value thrown;
  if (!env.IsExceptionPending() || napi_get_and_clear_last_exception(env, &thrown) != napi_ok) return;
  if (!Napi::Value(env, thrown).IsNull()) napi_throw(env, thrown);
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

// The receiver and the arguments of one call of a request. `ticket` is the first argument of every call about a request.
template <std::size_t kCount>
struct EngineObject::Call {
  napi_env env;
  napi_value values[kCount == 0 ? 1 : kCount];
  EngineObject* self = nullptr;
  std::uint64_t ticket = 0;

  Call(napi_env with, napi_callback_info info) : env(with) {
    std::size_t count = kCount;
    napi_value receiver;
    void* object = nullptr;
    if (napi_get_cb_info(env, info, &count, values, &receiver, nullptr) != napi_ok) return;
    if (napi_unwrap(env, receiver, &object) == napi_ok) self = static_cast<EngineObject*>(object);
  }
  bool has_ticket() { return self != nullptr && ticket_of(env, values[0], ticket); }
  // For calls that start something in the ticket. A ticket in use is a programming error in lib/.
  bool has_free_ticket() { return has_ticket() && self->is_free(ticket); }
  std::uint32_t ticket_number() const { return static_cast<std::uint32_t>(ticket); }
  bool gone() const { return self->engine_ == nullptr; }
  RequestTable& requests() const { return self->engine_->requests(); }
  napi_value wrong(const char* message) const { return throw_type_error(env, message); }
};

std::uint32_t EngineObject::open_count() { return open_engines.load(std::memory_order_relaxed); }

bool EngineObject::is_free(std::uint64_t ticket) const {
  return engine_ == nullptr || engine_->requests().is_free(static_cast<std::uint32_t>(ticket));
}

Napi::Function EngineObject::define(Napi::Env env) {
  auto request = [](const char* name, napi_callback function) {
    return napi_property_descriptor{name, nullptr, function, nullptr, nullptr, nullptr, napi_default_method, nullptr};
  };
  constexpr napi_property_attributes kMethod = napi_default_method;
  return DefineClass(env, "Engine",
                     {
                         request("submitWrite", submit_write),
                         request("submitWritev", submit_writev),
                         request("submitWriteOwned", submit_write_owned),
                         request("submitRead", submit_read),
                         request("finishRead", finish_read),
                         request("submitFlush", submit_flush),
                         request("submitDiscard", submit_discard),
                         request("cancel", cancel),
                         request("reachesNothing", reaches_nothing),
                         request("poll", poll),
                         InstanceMethod<&EngineObject::command>("command", kMethod),
                         InstanceMethod<&EngineObject::result>("result", kMethod),
                         InstanceMethod<&EngineObject::snapshot>("snapshot", kMethod),
                         InstanceMethod<&EngineObject::latencies>("latencies", kMethod),
                         InstanceMethod<&EngineObject::latency_histograms>("latencyHistograms", kMethod),
                         InstanceMethod<&EngineObject::ref>("ref", kMethod),
                         InstanceMethod<&EngineObject::unref>("unref", kMethod),
                         InstanceMethod<&EngineObject::destroy>("destroy", kMethod),
                     });
}

// --- construction

EngineObject::EngineObject(const Napi::CallbackInfo& info) : ObjectWrap(info), env_(info.Env()) {
  if (IsEmpty()) return;  // the environment ends
  EngineThreadOptions options;
  napi_value device, polling;
  std::string kind;
  const bool right = info[1].IsFunction() && info[0].IsObject() && own_property(env_, info[0], "device", device) &&
                     own_property(env_, info[0], "polling", polling) && text(env_, device, kind) &&
                     parse_kind(kind, options.kind) && boolean(env_, polling, options.polling);
  if (!right) {
    throw_type_error(env_, kUsage);
    drop_termination(env_);
    return;
  }
  const Outcome outcome = open(info, options);
  if (engine_ != nullptr) return;
  let_go();
  if (!Env().IsExceptionPending()) napi_throw(env_, to_javascript(env_, outcome));
}

Napi::Value EngineObject::OnCalledAsFunction(const Napi::CallbackInfo& info) {
  return throw_type_error(info.Env(), kUsage);
}

Outcome EngineObject::open(const Napi::CallbackInfo& info, EngineThreadOptions options) {
  Napi::Object self = info.This().As<Napi::Object>();
  if (!open_completions(self) || !open_wake_up(info[1].As<Napi::Function>())) return Outcome::of(Code::NO_MEMORY);
  options.context = wake_up_;
  options.notify = [](void* wake_up) { static_cast<LoopWake*>(wake_up)->notify(); };
  EngineThread::Started started = EngineThread::start(options);
  if (!started.engine) return started.outcome;
  engine_ = std::move(started.engine);
  Ref();
  holds_itself_ = true;
  counted_ = true;
  open_engines.fetch_add(1, std::memory_order_relaxed);
  state_of(env_).engines.push_back(this);
  PlainObject(self).set("deviceKind",
                        Napi::String::New(env_, engine_->kind() == DeviceKind::io_uring ? "io_uring" : "threads"),
                        napi_enumerable);
  return started.outcome;
}

bool EngineObject::open_completions(Napi::Object self) {
  Napi::Float64Array numbers = Napi::Float64Array::New(env_, kCompletionNumbers);
  if (numbers.IsEmpty()) return false;
  completions_ = Napi::Persistent(numbers.As<Napi::Object>());
  if (completions_.IsEmpty()) return false;
  PlainObject(self).set("completions", numbers, napi_enumerable);
  return true;
}

bool EngineObject::open_wake_up(Napi::Function callback) {
  callback_ = Napi::Persistent(callback);
  if (callback_.IsEmpty()) return false;
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

// (ticket, bytes, offset, length, position, dsync, unaligned?)
napi_value EngineObject::submit_write(napi_env env, napi_callback_info info) {
  Call<7> call(env, info);
  Bytes bytes;
  std::uint64_t offset, length, position;
  WriteMode mode;
  if (!call.has_free_ticket() || !view_bytes(env, call.values[1], bytes) ||
      !whole_number(env, call.values[2], offset) || !whole_number(env, call.values[3], length) ||
      !whole_number(env, call.values[4], position) || !boolean(env, call.values[5], mode.durable) ||
      !flag(env, call.values[6], mode.unaligned)) {
    return call.wrong("submitWrite(ticket, bytes, offset, length, position, dsync, unaligned?)");
  }
  if (length == 0 || length > kRequestLength || offset > bytes.size() || length > bytes.size() - offset) {
    return call.wrong("submitWrite: offset and length must lie inside the bytes, within limits.requestLength");
  }
  if (call.gone()) return call.self->answer(Code::CLOSED);
  ConstBytes part = bytes.subspan(offset, length);
  return call.self->answer(call.requests().submit_write(call.ticket_number(), {&part, 1}, position, mode));
}

// (ticket, buffers, position, dsync)
napi_value EngineObject::submit_writev(napi_env env, napi_callback_info info) {
  Call<4> call(env, info);
  std::uint64_t position;
  WriteMode mode;
  // The ticket last: what runs while the list is read may have taken it.
  if (call.self == nullptr || !whole_number(env, call.values[2], position) ||
      !boolean(env, call.values[3], mode.durable) ||
      !view_list(env, call.values[1], kVectorLength, call.self->views_) || !call.has_free_ticket()) {
    return call.wrong("submitWritev(ticket, buffers, position, dsync)");
  }
  std::vector<ConstBytes>& buffers = call.self->buffers_;
  buffers.assign(call.self->views_.begin(), call.self->views_.end());
  std::uint64_t length = 0;
  for (const ConstBytes& buffer : buffers) length += buffer.size();
  if (length == 0 || length > kRequestLength) {
    return call.wrong("submitWritev: the buffers must hold something, within limits.requestLength");
  }
  if (call.gone()) return call.self->answer(Code::CLOSED);
  return call.self->answer(call.requests().submit_write(call.ticket_number(), buffers, position, mode));
}

// (ticket, memory, offset, length, position, dsync, unaligned?)
napi_value EngineObject::submit_write_owned(napi_env env, napi_callback_info info) {
  Call<7> call(env, info);
  std::uint64_t offset, length, position;
  WriteMode mode;
  OwnedMemory* memory = call.has_free_ticket() ? memory_of(env, call.values[1]) : nullptr;
  if (memory == nullptr || !whole_number(env, call.values[2], offset) || !whole_number(env, call.values[3], length) ||
      !whole_number(env, call.values[4], position) || !boolean(env, call.values[5], mode.durable) ||
      !flag(env, call.values[6], mode.unaligned)) {
    return call.wrong("submitWriteOwned(ticket, memory, offset, length, position, dsync, unaligned?)");
  }
  const std::uint64_t size = memory->bytes().size();
  if (length == 0 || length > kRequestLength || offset > size || length > size - offset) {
    return call.wrong("submitWriteOwned: offset and length must lie inside the memory, within limits.requestLength");
  }
  if (call.gone()) return call.self->answer(Code::CLOSED);
  return call.self->answer(
      call.requests().submit_write_owned(call.ticket_number(), *memory, offset, length, position, mode));
}

// (ticket, length, position)
napi_value EngineObject::submit_read(napi_env env, napi_callback_info info) {
  Call<3> call(env, info);
  std::uint64_t length, position;
  if (!call.has_free_ticket() || !whole_number(env, call.values[1], length) ||
      !whole_number(env, call.values[2], position) || length == 0 || length > kRequestLength) {
    return call.wrong("submitRead(ticket, length, position), length within limits.requestLength");
  }
  if (call.gone()) return call.self->answer(Code::CLOSED);
  return call.self->answer(call.requests().submit_read(call.ticket_number(), length, position));
}

// (ticket, target, offset, length). A view, or an array of them. They are looked at only now: meanwhile they may have been
// detached or resized.
napi_value EngineObject::finish_read(napi_env env, napi_callback_info info) {
  Call<4> call(env, info);
  std::uint64_t offset, length;
  if (!call.has_ticket()) return call.wrong("finishRead(ticket, target, offset, length)");
  if (!whole_number(env, call.values[2], offset) || !whole_number(env, call.values[3], length) ||
      !views(env, call.values[1], kVectorLength, call.self->views_)) {
    if (!call.gone()) call.requests().drop_read(call.ticket_number());
    return call.wrong("finishRead(ticket, target, offset, length)");
  }
  return call.self->read_into(call.ticket_number(), offset, length);
}

napi_value EngineObject::read_into(std::uint32_t ticket, std::uint64_t offset, std::uint64_t length) {
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
      done = engine_->requests().finish_read(ticket, views_);
    } else {
      engine_->requests().drop_read(ticket);
    }
  }
  napi_value answer;
  napi_get_boolean(env_, done, &answer);
  return answer;
}

// (ticket)
napi_value EngineObject::submit_flush(napi_env env, napi_callback_info info) {
  Call<1> call(env, info);
  if (!call.has_free_ticket()) return call.wrong("submitFlush(ticket)");
  if (call.gone()) return call.self->answer(Code::CLOSED);
  return call.self->answer(call.requests().submit_flush(call.ticket_number()));
}

// (ticket, position, length)
napi_value EngineObject::submit_discard(napi_env env, napi_callback_info info) {
  Call<3> call(env, info);
  std::uint64_t position, length;
  if (!call.has_free_ticket() || !whole_number(env, call.values[1], position) ||
      !whole_number(env, call.values[2], length) || length == 0) {
    return call.wrong("submitDiscard(ticket, position, length)");
  }
  if (call.gone()) return call.self->answer(Code::CLOSED);
  return call.self->answer(call.requests().submit_discard(call.ticket_number(), position, length));
}

// (ticket)
napi_value EngineObject::cancel(napi_env env, napi_callback_info info) {
  Call<1> call(env, info);
  if (!call.has_ticket()) return call.wrong("cancel(ticket)");
  if (!call.gone()) call.requests().cancel(call.ticket_number());
  return nullptr;
}

// (ticket)
napi_value EngineObject::reaches_nothing(napi_env env, napi_callback_info info) {
  Call<1> call(env, info);
  if (!call.has_ticket()) return call.wrong("reachesNothing(ticket)");
  const bool nothing = !call.gone() && call.requests().reaches_nothing(call.ticket_number());
  return Napi::Boolean::New(env, nothing);
}

// --- commands

// (ticket, name, arguments)
Napi::Value EngineObject::command(const Napi::CallbackInfo& info) {
  constexpr char kCommandUsage[] = "command(ticket, name, arguments)";
  std::uint64_t ticket;
  if (!ticket_of(env_, info[0], ticket) || !is_free(ticket)) return throw_type_error(env_, kCommandUsage);
  std::unique_ptr<Command> command = command_from(env_, info[1], info[2]);
  if (!command) return {};
  // What ran while the arguments were read may have taken the ticket.
  if (!is_free(ticket)) return throw_type_error(env_, kCommandUsage);
  const Code code = engine_ == nullptr
                        ? Code::CLOSED
                        : engine_->requests().submit_command(static_cast<std::uint32_t>(ticket), std::move(command));
  return {env_, answer(code)};
}

// (ticket)
Napi::Value EngineObject::result(const Napi::CallbackInfo& info) {
  std::uint64_t ticket;
  if (!ticket_of(env_, info[0], ticket)) return throw_type_error(env_, "result(ticket)");
  const Command* command =
      engine_ == nullptr ? nullptr : engine_->requests().completed_command(static_cast<std::uint32_t>(ticket));
  return command == nullptr ? Env().Null() : result_of(env_, *command);
}

Napi::Value EngineObject::snapshot(const Napi::CallbackInfo&) {
  return to_javascript(env_, engine_ == nullptr ? last_snapshot_ : engine_->snapshot());
}

// Of an engine that is gone: null.
Napi::Value EngineObject::latencies(const Napi::CallbackInfo&) {
  if (engine_ == nullptr) return Env().Null();
  const auto now = std::chrono::steady_clock::now().time_since_epoch();  // the reactor's clock
  const auto now_ns = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
  return to_javascript(env_, engine_->latencies(), engine_->snapshot().image_count, now_ns);
}

// Of an engine that is gone: null.
Napi::Value EngineObject::latency_histograms(const Napi::CallbackInfo&) {
  if (engine_ == nullptr) return Env().Null();
  return histograms_to_javascript(env_, engine_->latencies(), engine_->request_latency(),
                                  engine_->snapshot().image_count);
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

void EngineObject::ref(const Napi::CallbackInfo&) {
  if (wake_up_ != nullptr) wake_up_->reference();
}

void EngineObject::unref(const Napi::CallbackInfo&) {
  if (wake_up_ != nullptr) wake_up_->unreference();
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
  Bytes bytes;
  const Napi::Object numbers = completions_.Value();
  if (numbers.IsEmpty() || !view_bytes(env_, numbers, bytes) || bytes.size() < kCompletionNumbers * sizeof(double))
    return nullptr;
  return reinterpret_cast<double*>(bytes.data());
}

std::uint32_t EngineObject::fill_batch() {
  Completion completion;
  std::uint32_t count = 0;
  double* numbers = completions_memory();
  if (numbers == nullptr) return 0;
  while (count < kCompletionBatch && engine_->requests().collect(completion)) {
    numbers[0] = completion.ticket;
    numbers[1] = static_cast<double>(completion.outcome.code);
    numbers[2] = completion.outcome.system_error;
    numbers[3] = completion.outcome.image;
    numbers[4] = static_cast<double>(completion.outcome.position);
    numbers += kCompletionStride;
    ++count;
  }
  return count;
}

// False when JavaScript can run no more here. What the callback throws becomes an uncaught exception, as it would from
// an event of Node's own. The call is raw Node-API: Napi::Function would make an Error of what was thrown, which may be a
// termination, only for it to be taken out again.
bool EngineObject::call_back(std::uint32_t count) {
  Napi::HandleScope scope(env_);
  napi_value result;
  const napi_value argument = Napi::Number::New(env_, count);
  const napi_status outcome = napi_call_function(env_, Env().Undefined(), callback_.Value(), 1, &argument, &result);
  if (outcome == napi_pending_exception) {
    napi_value error;
    if (napi_get_and_clear_last_exception(env_, &error) == napi_ok) napi_fatal_exception(env_, error);
  }
  return outcome == napi_ok || outcome == napi_pending_exception;
}

// --- the end

void EngineObject::destroy(const Napi::CallbackInfo&) {
  if (stopped_ || engine_ == nullptr) return;
  const bool ended = stop_engine(stop_deadline());
  engine_->requests().abandon_pending(ended);
  // What was pending is answered CLOSED from the event loop, as every completion is; then the rest goes too.
  wake_up_->notify();
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
  callback_.Reset();
  completions_.Reset();
  if (std::exchange(holds_itself_, false)) Unref();
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

}  // namespace blockmirror::addon
