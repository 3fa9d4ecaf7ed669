// The addon: what lib/binding.ts calls NativeBinding. Translates, decides nothing.
#include <node_api.h>

#include <memory>
#include <string>

#include "../core/label.h"
#include "../core/record.h"
#include "../core/superblock.h"
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

napi_value codes(napi_env env) {
  const char* const names[] = {"OK",
#define X(name) #name,
                               BLOCKMIRROR_CODES(X)
#undef X
  };
  PlainObject array = PlainObject::array(env, std::size(names));
  for (std::uint32_t i = 0; i < std::size(names); ++i) array.set_element(i, text_of(env, names[i]));
  return array;
}

napi_value limits(napi_env env) {
  auto number = [](std::uint64_t value) { return static_cast<double>(value); };
  PlainObject object(env);
  object.set("slaves", number(kMaxImages - 1));
  object.set("pendingRequests", number(kPendingRequests));
  object.set("pendingBytes", number(kPendingBytes));
  object.set("requestLength", number(kRequestLength));
  object.set("copyLength", number(kCopyLength));
  object.set("copyExtents", number(kCopyExtents));
  object.set("copyLanes", number(kCopyLanes));
  object.set("copyBytes", number(kCopyBytes));
  object.set("minimumRecoveryBudget", number(kMinimumRecoveryBudget));
  object.set("maximumRecoveryBudget", number(kMaximumRecoveryBudget));
  object.set("defaultRecoveryBudget", number(kDefaultRecoveryBudget));
  object.set("defaultRingRecords", number(kDefaultRingRecords));
  object.set("minimumRingRecords", number(kMinimumRingRecords));
  object.set("maximumRingRecords", number(kMaximumRecordCount));
  object.set("labelAreaLength", number(kLabelAreaLength));
  object.set("imageNameLength", number(kImageNameLength));
  object.set("imagePathLength", number(kImagePathLength));
  return object;
}

// The arguments of one call; those that are missing are undefined.
template <std::size_t kCount>
struct Arguments {
  napi_value values[kCount] = {};
  Arguments(napi_env env, napi_callback_info info) {
    std::size_t count = kCount;
    napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  }
  napi_value operator[](std::size_t index) const { return values[index]; }
};

bool is_null(napi_env env, napi_value value) {
  napi_valuetype type;
  return napi_typeof(env, value, &type) == napi_ok && type == napi_null;
}

napi_value probe(napi_env env, napi_callback_info) { return number_of(env, probe_io_uring()); }

napi_value device_facts(napi_env env, napi_callback_info info) {
  Arguments<2> given(env, info);
  OpenFileOptions options;
  options.read_only = true;
  options.exclusive = false;
  std::string path;
  if (!text(env, given[0], path) || !flag(env, given[1], options.require_allocated))
    return throw_type_error(env, "deviceFacts(path, requireAllocated?)");
  OpenFile file;
  Status status = OpenFile::open(path, options, file);
  if (!status.ok()) return to_javascript(env, status);
  return to_javascript(env, facts_of(file));
}

// Two copies of a block, as lib/ read them, to what the core makes of them. Null stands for one that cannot be read.
template <typename Block>
napi_value choose(napi_env env, napi_callback_info info, const char* usage, std::size_t length,
                  Status (*choose_block)(ConstBytes, ConstBytes, Block&)) {
  Arguments<2> given(env, info);
  ConstBytes copies[2];
  for (std::size_t i = 0; i < 2; ++i) {
    if (is_null(env, given[i])) continue;
    Bytes bytes;
    if (!view_bytes(env, given[i], bytes) || bytes.size() != length) return throw_type_error(env, usage);
    copies[i] = bytes;
  }
  Block block;
  const Status status = choose_block(copies[0], copies[1], block);
  return status.ok() ? to_javascript(env, block) : to_javascript(env, status);
}

napi_value superblock_of(napi_env env, napi_callback_info info) {
  return choose<Superblock>(env, info, "superblockOf(copyA, copyB)", kSuperblockLength, choose_superblock);
}

napi_value label_of(napi_env env, napi_callback_info info) {
  return choose<Label>(env, info, "labelOf(copyA, copyB)", kLabelCopyLength, choose_label);
}

napi_value length_of_log(napi_env env, napi_callback_info info) {
  Arguments<1> given(env, info);
  std::uint64_t records;
  // Of the smallest size; a log of large blocks counts each of its records as many of them.
  constexpr std::uint64_t kMost = std::uint64_t{kMaximumRecordCount} * (kMaximumRecordSize / kMinimumRecordSize);
  if (!whole_number(env, given[0], records) || records > kMost) return throw_type_error(env, "logLength(ringRecords)");
  return number_of(env, static_cast<double>(log_length(static_cast<std::uint32_t>(records), kMinimumRecordSize)));
}

napi_value address_remainder(napi_env env, napi_callback_info info) {
  Arguments<2> given(env, info);
  Bytes bytes;
  std::uint64_t alignment;
  if (!view_bytes(env, given[0], bytes) || !whole_number(env, given[1], alignment) || alignment == 0)
    return throw_type_error(env, "addressRemainder(view, alignment)");
  return number_of(env, static_cast<double>(reinterpret_cast<std::uintptr_t>(bytes.data()) % alignment));
}

// Blocks of memory that can be handed over, in this process: with callers, with engines, or waiting to be collected.
napi_value memory_blocks(napi_env env, napi_callback_info) {
  return number_of(env, static_cast<double>(OwnedMemory::count()));
}

napi_value open_engines(napi_env env, napi_callback_info) { return number_of(env, EngineObject::open_count()); }

napi_value initialise(napi_env env, napi_value exports) {
  auto drop_state = [](napi_env, void* state, void*) { delete static_cast<AddonState*>(state); };
  auto state = std::make_unique<AddonState>();
  // Without it an engine could not be made; an environment that ends gets no addon.
  if (napi_set_instance_data(env, state.get(), drop_state, nullptr) != napi_ok) return nullptr;
  static_cast<void>(state.release());
  PlainObject binding(env, exports);
  binding.set("codes", codes(env));
  binding.set("version", kVersion);
  binding.set("limits", limits(env));
  binding.set("probeIoUring", probe);
  binding.set("deviceFacts", device_facts);
  binding.set("superblockOf", superblock_of);
  binding.set("labelOf", label_of);
  binding.set("logLength", length_of_log);
  binding.set("addressRemainder", address_remainder);
  binding.set("allocateMemory", allocate_memory);
  binding.set("takeMemory", take_memory);
  binding.set("giveMemoryBack", give_memory_back);
  binding.set("memoryBlocks", memory_blocks);
  binding.set("openEngines", open_engines);
  binding.set("Engine", EngineObject::define(env));
  return exports;
}

}  // namespace

}  // namespace blockmirror::addon

NAPI_MODULE_INIT() { return blockmirror::addon::initialise(env, exports); }
