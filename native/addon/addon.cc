// The addon: what lib/base/binding.ts calls NativeBinding. Translates, decides nothing.
#include <napi.h>

#include <string>

#include "../core/format/label.h"
#include "../core/format/record.h"
#include "../core/format/superblock.h"
#include "../core/session/carried_out.h"
#include "../devices/open_file.h"
#include "../devices/reactor.h"
#include "../host/limits.h"
#include "engine_object.h"
#include "memory.h"
#include "plain_object.h"
#include "to_javascript.h"
#include "values.h"
#include "version.h"

namespace blockmirror::addon {

namespace {

Napi::Value codes(Napi::Env env) {
  const char* const names[] = {"OK",
#define X(name) #name,
                               BLOCKMIRROR_CODES(X)
#undef X
  };
  PlainObject array(Napi::Array::New(env, std::size(names)));
  for (std::uint32_t i = 0; i < std::size(names); ++i) array.set_element(i, Napi::String::New(env, names[i]));
  return array;
}

Napi::Value limits(Napi::Env env) {
  auto number = [](std::uint64_t value) { return static_cast<double>(value); };
  PlainObject object(env);
  object.set("slaves", number(kMaxImages - 1));
  object.set("minimumMapSlots", number(kMinimumMapSlots));
  object.set("defaultMapSlots", number(kDefaultMapSlots));
  object.set("pendingRequests", number(kPendingRequests));
  object.set("pendingBytes", number(kPendingBytes));
  object.set("requestLength", number(kRequestLength));
  object.set("copyLength", number(kCopyLength));
  object.set("copyExtents", number(kCopyExtents));
  object.set("copyLanes", number(kCopyLanes));
  object.set("copyBytes", number(kCopyBytes));
  object.set("resyncBytes", number(kResyncBytes));
  object.set("minimumRecoveryBudget", number(kMinimumRecoveryBudget));
  object.set("maximumRecoveryBudget", number(kMaximumRecoveryBudget));
  object.set("defaultRecoveryBudget", number(kDefaultRecoveryBudget));
  object.set("defaultRingRecords", number(kDefaultRingRecords));
  object.set("minimumRingRecords", number(kMinimumRingRecords));
  object.set("maximumRingRecords", number(kMaximumRecordCount));
  object.set("labelAreaLength", number(kLabelAreaLength));
  object.set("imageNameLength", number(kImageNameLength));
  object.set("imageNamePattern", std::string(kImageNamePattern));
  object.set("imagePathLength", number(kImagePathLength));
  return object;
}

Napi::Value probe(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), probe_io_uring()); }

Napi::Value device_facts(const Napi::CallbackInfo& info) {
  OpenFileOptions options;
  options.read_only = true;
  options.exclusive = false;
  std::string path;
  if (!text(info.Env(), info[0], path) || !flag(info.Env(), info[1], options.require_allocated))
    return throw_type_error(info.Env(), "deviceFacts(path, requireAllocated?)");
  OpenFile file;
  Outcome outcome = OpenFile::open(path, options, file);
  if (!outcome.ok()) return to_javascript(info.Env(), outcome);
  return to_javascript(info.Env(), facts_of(file));
}

// Two copies of a block, as lib/ read them, to what the core makes of them. Null stands for one that cannot be read.
template <typename Block>
Napi::Value choose(const Napi::CallbackInfo& info, const char* usage, std::size_t length,
                   Outcome (*choose_block)(ConstBytes, ConstBytes, Block&)) {
  ConstBytes copies[2];
  for (std::size_t i = 0; i < 2; ++i) {
    if (info[i].IsNull()) continue;
    Bytes bytes;
    if (!view_bytes(info.Env(), info[i], bytes) || bytes.size() != length) return throw_type_error(info.Env(), usage);
    copies[i] = bytes;
  }
  Block block;
  const Outcome outcome = choose_block(copies[0], copies[1], block);
  return outcome.ok() ? to_javascript(info.Env(), block) : to_javascript(info.Env(), outcome);
}

// What an opening would refuse is refused to a look too: nobody above knows what to make of it.
Outcome choose_known_superblock(ConstBytes copy_a, ConstBytes copy_b, Superblock& into) {
  const Outcome outcome = choose_superblock(copy_a, copy_b, into);
  return outcome.ok() ? judge_carried_out(into) : outcome;
}

Napi::Value superblock_of(const Napi::CallbackInfo& info) {
  return choose<Superblock>(info, "superblockOf(copyA, copyB)", kSuperblockLength, choose_known_superblock);
}

Napi::Value label_of(const Napi::CallbackInfo& info) {
  return choose<Label>(info, "labelOf(copyA, copyB)", kLabelCopyLength, choose_label);
}

Napi::Value length_of_log(const Napi::CallbackInfo& info) {
  std::uint64_t records, size, images;
  // Of the smallest size; a log of large blocks counts each of its records as many of them.
  constexpr std::uint64_t kMost = std::uint64_t{kMaximumRecordCount} * (kMaximumRecordSize / kMinimumRecordSize);
  const bool numbers = whole_number(info.Env(), info[0], records) && whole_number(info.Env(), info[1], size) &&
                       whole_number(info.Env(), info[2], images);
  if (!numbers || records > kMost || images < kMinimumMapSlots || images > kMaxImages)
    return throw_type_error(info.Env(), "logLength(ringRecords, size, maxImages)");
  const std::uint64_t length =
      log_length(static_cast<std::uint32_t>(records), kMinimumRecordSize, size, static_cast<unsigned>(images));
  return Napi::Number::New(info.Env(), static_cast<double>(length));
}

Napi::Value address_remainder(const Napi::CallbackInfo& info) {
  Bytes bytes;
  std::uint64_t alignment;
  if (!view_bytes(info.Env(), info[0], bytes) || !whole_number(info.Env(), info[1], alignment) || alignment == 0)
    return throw_type_error(info.Env(), "addressRemainder(view, alignment)");
  return Napi::Number::New(info.Env(), static_cast<double>(reinterpret_cast<std::uintptr_t>(bytes.data()) % alignment));
}

// Blocks of memory that can be handed over, in this process: with callers, with engines, or waiting to be collected.
Napi::Value memory_blocks(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(OwnedMemory::count()));
}

Napi::Value open_engines(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), EngineObject::open_count());
}

template <Napi::Value (*function)(const Napi::CallbackInfo&)>
void define(PlainObject& binding, const char* name) {
  binding.set(name, Napi::Function::New<function>(binding.Env(), name));
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new AddonState);
  PlainObject binding(exports);
  binding.set("codes", codes(env));
  binding.set("version", kVersion);
  binding.set("limits", limits(env));
  define<probe>(binding, "probeIoUring");
  define<device_facts>(binding, "deviceFacts");
  define<superblock_of>(binding, "superblockOf");
  define<label_of>(binding, "labelOf");
  define<length_of_log>(binding, "logLength");
  define<address_remainder>(binding, "addressRemainder");
  define<allocate_memory>(binding, "allocateMemory");
  define<take_memory>(binding, "takeMemory");
  define<give_memory_back>(binding, "giveMemoryBack");
  define<memory_blocks>(binding, "memoryBlocks");
  define<open_engines>(binding, "openEngines");
  binding.set("Engine", EngineObject::define(env));
  return exports;
}

}  // namespace

}  // namespace blockmirror::addon

static Napi::Object initialise_addon(Napi::Env env, Napi::Object exports) {
  return blockmirror::addon::initialise(env, exports);
}
NODE_API_MODULE(NODE_GYP_MODULE_NAME, initialise_addon)
