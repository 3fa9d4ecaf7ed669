// The addon: what lib/binding.ts calls NativeBinding. Translates, decides nothing.
#include <napi.h>

#include "../core/label.h"
#include "../core/record.h"
#include "../core/superblock.h"
#include "../devices/open_file.h"
#include "../devices/reactor.h"
#include "../host/limits.h"
#include "engine_object.h"
#include "memory.h"
#include "to_javascript.h"
#include "values.h"
#include "version.h"

namespace blockmirror::addon {

namespace {

Napi::Array codes(Napi::Env env) {
  const char* const names[] = {"OK",
#define X(name) #name,
                               BLOCKMIRROR_CODES(X)
#undef X
  };
  Napi::Array array = Napi::Array::New(env, std::size(names));
  for (std::uint32_t i = 0; i < std::size(names); ++i) array.Set(i, names[i]);
  return array;
}

Napi::Object limits(Napi::Env env) {
  auto number = [](std::uint64_t value) { return static_cast<double>(value); };
  Napi::Object object = Napi::Object::New(env);
  object.Set("slaves", number(kMaxImages - 1));
  object.Set("pendingRequests", number(kPendingRequests));
  object.Set("pendingBytes", number(kPendingBytes));
  object.Set("requestLength", number(kRequestLength));
  object.Set("copyLength", number(kCopyLength));
  object.Set("copyExtents", number(kCopyExtents));
  object.Set("copyLanes", number(kCopyLanes));
  object.Set("copyBytes", number(kCopyBytes));
  object.Set("minimumRecoveryBudget", number(kMinimumRecoveryBudget));
  object.Set("maximumRecoveryBudget", number(kMaximumRecoveryBudget));
  object.Set("defaultRecoveryBudget", number(kDefaultRecoveryBudget));
  object.Set("defaultRingRecords", number(kDefaultRingRecords));
  object.Set("minimumRingRecords", number(kMinimumRingRecords));
  object.Set("maximumRingRecords", number(kMaximumRecordCount));
  object.Set("labelAreaLength", number(kLabelAreaLength));
  object.Set("imageNameLength", number(kImageNameLength));
  object.Set("imagePathLength", number(kImagePathLength));
  return object;
}

Napi::Value probe(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), probe_io_uring()); }

Napi::Value device_facts(const Napi::CallbackInfo& info) {
  bool require_allocated = false;
  const bool flag_is_right = info[1].IsUndefined() || boolean(info.Env(), info[1], require_allocated);
  if (!info[0].IsString() || !flag_is_right)
    return Napi::Value(info.Env(), throw_type_error(info.Env(), "deviceFacts(path, requireAllocated?)"));
  OpenFileOptions options;
  options.read_only = true;
  options.exclusive = false;
  options.require_allocated = require_allocated;
  OpenFile file;
  Status status = OpenFile::open(info[0].As<Napi::String>().Utf8Value(), options, file);
  if (!status.ok()) return to_javascript(info.Env(), status);
  DeviceFacts facts{file.path(), file.traits(), file.device(), file.inode()};
  return to_javascript(info.Env(), facts);
}

// Two copies of a block, as lib/ read them, to what the core makes of them. Null stands for one that cannot be read.
template <typename Block>
Napi::Value choose(const Napi::CallbackInfo& info, const char* usage, std::size_t length,
                   Status (*choose_block)(ConstBytes, ConstBytes, Block&)) {
  ConstBytes copies[2];
  for (std::size_t i = 0; i < 2; ++i) {
    if (info[i].IsNull()) continue;
    Bytes bytes;
    if (!view_bytes(info.Env(), info[i], bytes) || bytes.size() != length)
      return Napi::Value(info.Env(), throw_type_error(info.Env(), usage));
    copies[i] = bytes;
  }
  Block block;
  const Status status = choose_block(copies[0], copies[1], block);
  return status.ok() ? to_javascript(info.Env(), block) : to_javascript(info.Env(), status);
}

Napi::Value superblock_of(const Napi::CallbackInfo& info) {
  return choose<Superblock>(info, "superblockOf(copyA, copyB)", kSuperblockLength, choose_superblock);
}

Napi::Value label_of(const Napi::CallbackInfo& info) {
  return choose<Label>(info, "labelOf(copyA, copyB)", kLabelCopyLength, choose_label);
}

Napi::Value length_of_log(const Napi::CallbackInfo& info) {
  std::uint64_t records;
  // Of the smallest size; a log of large blocks counts each of its records as many of them.
  constexpr std::uint64_t kMost = std::uint64_t{kMaximumRecordCount} * (kMaximumRecordSize / kMinimumRecordSize);
  if (!whole_number(info.Env(), info[0], records) || records > kMost) {
    return Napi::Value(info.Env(), throw_type_error(info.Env(), "logLength(ringRecords)"));
  }
  std::uint64_t length = log_length(static_cast<std::uint32_t>(records), kMinimumRecordSize);
  return Napi::Number::New(info.Env(), static_cast<double>(length));
}

Napi::Value address_remainder(const Napi::CallbackInfo& info) {
  Bytes bytes;
  std::uint64_t alignment;
  if (!view_bytes(info.Env(), info[0], bytes) || !whole_number(info.Env(), info[1], alignment) || alignment == 0) {
    return Napi::Value(info.Env(), throw_type_error(info.Env(), "addressRemainder(view, alignment)"));
  }
  auto remainder = reinterpret_cast<std::uintptr_t>(bytes.data()) % alignment;
  return Napi::Number::New(info.Env(), static_cast<double>(remainder));
}

// Blocks of memory that can be handed over, in this process: with callers, with engines, or waiting to be collected.
Napi::Value memory_blocks(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(OwnedMemory::count()));
}

napi_value raw_function(napi_env env, const char* name, napi_callback function) {
  napi_value value = nullptr;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &value);
  return value;
}

Napi::Value open_engines(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), EngineObject::open_count());
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new AddonState);
  exports.Set("codes", codes(env));
  exports.Set("version", kVersion);
  exports.Set("limits", limits(env));
  exports.Set("probeIoUring", Napi::Function::New(env, probe, "probeIoUring"));
  exports.Set("deviceFacts", Napi::Function::New(env, device_facts, "deviceFacts"));
  exports.Set("superblockOf", Napi::Function::New(env, superblock_of, "superblockOf"));
  exports.Set("labelOf", Napi::Function::New(env, label_of, "labelOf"));
  exports.Set("logLength", Napi::Function::New(env, length_of_log, "logLength"));
  exports.Set("addressRemainder", Napi::Function::New(env, address_remainder, "addressRemainder"));
  exports.Set("allocateMemory", raw_function(env, "allocateMemory", allocate_memory));
  exports.Set("takeMemory", raw_function(env, "takeMemory", take_memory));
  exports.Set("giveMemoryBack", raw_function(env, "giveMemoryBack", give_memory_back));
  exports.Set("memoryBlocks", Napi::Function::New(env, memory_blocks, "memoryBlocks"));
  exports.Set("openEngines", Napi::Function::New(env, open_engines, "openEngines"));
  exports.Set("Engine", Napi::Value(env, EngineObject::define(env)));
  return exports;
}

}  // namespace

}  // namespace blockmirror::addon

static Napi::Object initialise_addon(Napi::Env env, Napi::Object exports) {
  return blockmirror::addon::initialise(env, exports);
}
NODE_API_MODULE(NODE_GYP_MODULE_NAME, initialise_addon)
