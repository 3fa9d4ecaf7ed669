#include "from_javascript.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "../core/format/judge_image.h"
#include "values.h"

namespace blockmirror::addon {

namespace {

// 8-4-4-4-12 hexadecimal, or 32 digits.
bool parse_uuid(const std::string& text, Uuid& into) {
  unsigned digits = 0;
  for (char c : text) {
    if (c == '-') continue;
    unsigned value;
    if (c >= '0' && c <= '9') {
      value = static_cast<unsigned>(c - '0');
    } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
      value = static_cast<unsigned>((c | 0x20) - 'a') + 10;
    } else {
      return false;
    }
    if (digits == 32) return false;
    std::byte& byte = into.bytes[digits / 2];
    byte = digits % 2 == 0 ? static_cast<std::byte>(value << 4) : byte | static_cast<std::byte>(value);
    ++digits;
  }
  return digits == 32;
}

// Reads the fields of one argument object, its own alone, and remembers the first that is wrong. A getter may run
// JavaScript, and throw: then the field is wrong too, and what was thrown is pending.
class Fields {
 public:
  Fields(Napi::Env env, Napi::Value value) : env_(env), value_(value) {
    if (!value.IsObject()) wrong_ = "arguments";
  }

  bool has(const char* name) { return !get(name).IsUndefined(); }
  std::string text(const char* name) { return text(get(name), name); }
  std::string text(Napi::Value value, const char* name) {
    std::string text;
    if (!addon::text(env_, value, text)) reject(name);
    return text;
  }
  bool flag(const char* name) {
    bool value = false;
    if (!boolean(env_, get(name), value)) reject(name);
    return value;
  }
  bool flag_or(const char* name, bool otherwise) { return has(name) ? flag(name) : otherwise; }
  std::uint64_t number(const char* name) { return number(get(name), name); }
  std::uint64_t number(Napi::Value value, const char* name) {
    std::uint64_t whole = 0;
    if (!whole_number(env_, value, whole)) reject(name);
    return whole;
  }
  std::uint64_t number_or_null(const char* name, std::uint64_t null) {
    const Napi::Value value = get(name);
    return value.IsNull() ? null : number(value, name);
  }
  std::uint32_t small_number(const char* name) {
    std::uint64_t value = number(name);
    if (value > UINT32_MAX) reject(name);
    return static_cast<std::uint32_t>(value);
  }
  // A Float64Array of positions and lengths in turn.
  std::vector<Extent> extents() {
    std::vector<Extent> extents;
    std::vector<double> numbers;
    if (!doubles(env_, get("extents"), 2 * kCopyExtents, numbers) || numbers.empty() || numbers.size() % 2 != 0) {
      reject("extents");
      return extents;
    }
    for (std::size_t i = 0; i < numbers.size(); i += 2) {
      const double position = numbers[i], length = numbers[i + 1];
      if (!is_whole(position) || !is_whole(length) || length > kCopyLength) {
        reject("extents");
        return extents;
      }
      extents.push_back({static_cast<std::uint64_t>(position), static_cast<std::uint64_t>(length)});
    }
    return extents;
  }
  // Whole numbers, at most one per image.
  std::vector<std::uint64_t> numbers(const char* name) {
    std::vector<std::uint64_t> numbers;
    list(name, [&](Napi::Value value) { numbers.push_back(number(value, name)); });
    return numbers;
  }
  Uuid uuid(const char* name) {
    Uuid uuid;
    if (!parse_uuid(text(name), uuid)) reject(name);
    return uuid;
  }
  PathKind path_kind(const char* name) {
    std::string kind = text(name);
    if (kind != "absolute" && kind != "relative") reject(name);
    return kind == "relative" ? PathKind::relative : PathKind::absolute;
  }
  // Calls `each` with every element of an array, at most one per image. Its length is read once: what runs for an element
  // may make it longer.
  template <typename Each>
  void list(const char* name, Each each) {
    const Napi::Value array = get(name);
    if (!array.IsArray()) return reject(name);
    const std::uint32_t length = array.As<Napi::Array>().Length();
    if (length > kMaxImages) return reject(name);
    for (std::uint32_t i = 0; i < length; ++i) {
      napi_value element;
      // Raw for the same reason as own_property: a getter may have been terminated.
      if (napi_get_element(env_, array, i, &element) != napi_ok) return reject(name);
      each(Napi::Value(env_, element));
    }
  }

  void reject(const char* name) {
    if (wrong_ == nullptr) wrong_ = name;
  }
  const char* wrong() const { return wrong_; }

 private:
  // undefined when it has none, or there is none to be had.
  Napi::Value get(const char* name) {
    napi_value value;
    if (wrong_ == nullptr && own_property(env_, value_, name, value)) return {env_, value};
    reject(name);
    return env_.Undefined();
  }

  Napi::Env env_;
  Napi::Value value_;
  const char* wrong_ = nullptr;
};

FormatOptions::Image image_from(Napi::Env env, Fields& parent, Napi::Value value, bool named) {
  Fields fields(env, value);
  FormatOptions::Image image;
  if (named) image.name = fields.text("name");
  if (named && !is_image_name(image.name)) fields.reject("name");
  image.path = fields.text("path");
  image.path_kind = fields.path_kind("pathKind");
  if (image.path.size() > kImagePathLength) fields.reject("path: too long");
  if ((named || !image.path.empty()) && !path_is_valid(image.path, image.path_kind)) fields.reject("path");
  if (fields.wrong() != nullptr) parent.reject(fields.wrong());
  return image;
}

Command::Body open_log(Napi::Env, Fields& fields) {
  OpenLog command;
  command.path = fields.text("path");
  command.read_only = fields.flag("readOnly");
  command.exclusive = fields.flag("exclusive");
  command.require_allocated = fields.flag_or("requireAllocated", true);
  command.resolved = fields.flag_or("resolved", false);
  if (fields.has("makeLength")) command.make_length = fields.number("makeLength");
  if (fields.has("deviceTimeoutMs")) command.device_timeout_ms = fields.number("deviceTimeoutMs");
  return command;
}

ImageSet slaves_from(Napi::Env env, Fields& fields, const char* name) {
  ImageSet slaves = 0;
  fields.list(name, [&](Napi::Value index) {
    std::uint64_t image = kMaxImages;
    if (!whole_number(env, index, image) || image == 0 || image >= kMaxImages) return fields.reject(name);
    slaves |= image_bit(static_cast<unsigned>(image));
  });
  return slaves;
}

Command::Body open_images(Napi::Env env, Fields& fields) {
  OpenImages command;
  fields.list("paths", [&](Napi::Value path) { command.paths.push_back(fields.text(path, "paths")); });
  command.read_only = fields.flag("readOnly");
  command.exclusive = fields.flag("exclusive");
  command.members = fields.flag_or("members", false);
  command.resolved = fields.flag_or("resolved", false);
  if (fields.has("optional")) command.optional = slaves_from(env, fields, "optional");
  if (fields.has("makeLengths")) {
    fields.list("makeLengths",
                [&](Napi::Value length) { command.make_lengths.push_back(fields.number(length, "makeLengths")); });
  }
  return command;
}

Command::Body fill_image(Napi::Env, Fields& fields) {
  FillImage command;
  command.image = fields.small_number("image");
  if (fields.has("extents")) command.extents = fields.extents();
  return command;
}

PolicyChange policy_change_from(Fields& fields) {
  PolicyChange change;
  if (fields.has("minInSync")) change.minimum_in_sync = fields.small_number("minInSync");
  if (fields.has("rejoin")) {
    const std::string rejoin = fields.text("rejoin");
    if (rejoin != "auto" && rejoin != "manual") fields.reject("rejoin");
    change.rejoin = rejoin == "auto" ? RejoinPolicy::automatic : RejoinPolicy::manual;
  }
  if (fields.has("deviceTimeoutMs")) change.device_timeout_ms = fields.number_or_null("deviceTimeoutMs", 0);
  if (fields.has("waitForImagesMs")) change.wait_for_images_ms = fields.number_or_null("waitForImagesMs", kWaitForever);
  if (fields.has("resyncRateBytesPerSecond")) change.resync_rate = fields.number_or_null("resyncRateBytesPerSecond", 0);
  if (fields.has("recoveryBudget")) change.recovery_budget = fields.number("recoveryBudget");
  return change;
}

Command::Body plan_format(Napi::Env env, Fields& fields) {
  PlanFormat command;
  command.options.size = fields.number("size");
  command.options.ring_records = fields.small_number("ringRecords");
  if (command.options.ring_records < kMinimumRingRecords || command.options.ring_records > kMaximumRecordCount)
    fields.reject("ringRecords");
  command.options.max_images = fields.small_number("maxImages");
  if (command.options.max_images < kMinimumMapSlots || command.options.max_images > kMaxImages)
    fields.reject("maxImages");
  command.options.policies = policy_change_from(fields);
  command.options.assume_identical = fields.flag("assumeIdentical");
  fields.list("images",
              [&](Napi::Value image) { command.options.images.push_back(image_from(env, fields, image, true)); });
  return command;
}

Command::Body scan_ring(Napi::Env, Fields& fields) {
  ScanRing command;
  command.bytes = fields.number("bytes");
  return command;
}

Command::Body read_debts(Napi::Env, Fields& fields) {
  ReadDebts command;
  if (!fields.has("position")) return command;
  command.extent = {fields.number("position"), fields.number("length")};
  if (command.extent.position >= kPositionLimit || command.extent.length >= kPositionLimit) fields.reject("position");
  return command;
}

Command::Body activate(Napi::Env env, Fields& fields) {
  Activate command;
  command.options.recovery_budget = fields.number("recoveryBudget");
  if (command.options.recovery_budget < kMinimumRecoveryBudget ||
      command.options.recovery_budget > kMaximumRecoveryBudget)
    fields.reject("recoveryBudget");
  command.options.owner.host = storable_host(fields.text("host"));
  command.options.owner.boot_id = fields.uuid("bootId");
  command.options.owner.process_started = fields.number("processStarted");
  command.options.owner.pid_namespace = fields.number("pidNamespace");
  command.options.background = fields.flag("background");
  if (fields.has("leftOut")) command.options.left_out = slaves_from(env, fields, "leftOut");
  if (fields.has("minInSync")) command.options.minimum_in_sync = fields.small_number("minInSync");
  if (fields.has("paths")) {
    fields.list("paths",
                [&](Napi::Value path) { command.options.found_at.push_back(image_from(env, fields, path, false)); });
  }
  return command;
}

Command::Body set_policies(Napi::Env, Fields& fields) {
  SetPolicies command;
  command.change = policy_change_from(fields);
  return command;
}

Command::Body end_recovery(Napi::Env, Fields& fields) {
  EndRecovery command;
  command.summary.live_intents = fields.number("liveIntents");
  command.summary.bytes_covered = fields.number("bytesCovered");
  command.summary.bytes_copied = fields.number("bytesCopied");
  command.summary.duration_ms = fields.number("durationMs");
  command.summary.read_back = fields.flag("readBack");
  command.summary.full_compare = fields.flag("fullCompare");
  return command;
}

Command::Body compare(Napi::Env, Fields& fields) {
  Compare command;
  command.extents = fields.extents();
  command.order.all = fields.flag("all");
  command.order.repair = fields.flag("repair");
  return command;
}

Command::Body record_verify(Napi::Env, Fields& fields) {
  RecordVerify command;
  command.found.bytes_compared = fields.numbers("bytesCompared");
  command.found.bytes_differed = fields.numbers("bytesDiffered");
  command.found.bytes_repaired = fields.numbers("bytesRepaired");
  return command;
}

std::uint32_t slave_from(Fields& fields) {
  const std::uint32_t image = fields.small_number("image");
  if (image == 0 || image >= kMaxImages) fields.reject("image");
  return std::min<std::uint32_t>(image, kMaxImages - 1);
}

Command::Body fracture(Napi::Env env, Fields& fields) {
  FractureSlaves command;
  command.slaves = slaves_from(env, fields, "slaves");
  return command;
}

Command::Body write_from(Napi::Env, Fields& fields) {
  WriteFrom command;
  command.image = slave_from(fields);
  command.extent = {fields.number("position"), fields.number("length")};
  return command;
}

Command::Body attach_image(Napi::Env, Fields& fields) {
  AttachImage command;
  command.image = slave_from(fields);
  command.path = fields.text("path");
  command.resolved = fields.flag("resolved");
  return command;
}

Command::Body detach_image(Napi::Env, Fields& fields) {
  DetachImage command;
  command.image = slave_from(fields);
  return command;
}

Command::Body rejoin(Napi::Env, Fields& fields) {
  Rejoin command;
  command.image = slave_from(fields);
  command.full = fields.flag("full");
  return command;
}

Command::Body resync(Napi::Env env, Fields& fields) {
  ResyncStep command;
  command.order.slaves = slaves_from(env, fields, "slaves");
  command.order.longest = fields.number("longest");
  if (command.order.longest == 0 || command.order.longest > kResyncBytes) fields.reject("longest");
  command.order.way.compare = fields.flag("compare");
  command.order.way.only_differing = fields.flag("onlyDiffering");
  command.order.read_back = fields.flag("readBack");
  return command;
}

template <typename StepCommand>
Command::Body plain(Napi::Env, Fields&) {
  return StepCommand{};
}

struct Parser {
  const char* name;
  Command::Body (*parse)(Napi::Env env, Fields& fields);
};
constexpr Parser kParsers[] = {
    {"openLog", open_log},
    {"loadSuperblock", plain<LoadSuperblock>},
    {"openImages", open_images},
    {"planFormat", plan_format},
    {"linkLog", plain<LinkLog>},
    {"linkImages", plain<LinkImages>},
    {"unmake", plain<Unmake>},
    {"fillImage", fill_image},
    {"format", plain<FormatLog>},
    {"scanRing", scan_ring},
    {"assess", plain<Assess>},
    {"readDebts", read_debts},
    {"readHistory", plain<ReadHistory>},
    {"activate", activate},
    {"setPolicies", set_policies},
    {"endRecovery", end_recovery},
    {"compare", compare},
    {"recordVerify", record_verify},
    {"fracture", fracture},
    {"writeFrom", write_from},
    {"attachImage", attach_image},
    {"detachImage", detach_image},
    {"rejoin", rejoin},
    {"resync", resync},
    {"close", plain<Close>},
};

}  // namespace

std::unique_ptr<Command> command_from(Napi::Env env, Napi::Value name, Napi::Value arguments) {
  // Longer than any name: what does not fit is none.
  char wanted[64] = "";
  std::size_t length = 0;
  napi_get_value_string_utf8(env, name, wanted, sizeof wanted, &length);
  auto parser = std::find_if(std::begin(kParsers), std::end(kParsers),
                             [&](const Parser& candidate) { return std::string_view(wanted) == candidate.name; });
  if (parser == std::end(kParsers)) {
    throw_type_error(env, (std::string("no such command: ") + wanted).c_str());
    return nullptr;
  }
  Fields fields(env, arguments);
  auto command = std::make_unique<Command>(Command{parser->parse(env, fields), Shape{}});
  if (fields.wrong() == nullptr) return command;
  throw_type_error(env, (std::string(wanted) + ": wrong or missing: " + fields.wrong()).c_str());
  return nullptr;
}

}  // namespace blockmirror::addon
