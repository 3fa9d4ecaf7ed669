#include "from_javascript.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

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

// Reads the fields of one argument object and remembers the first that is wrong.
class Fields {
 public:
  Fields(Napi::Env env, Napi::Value value) : env_(env), value_(value) {
    if (!value.IsObject()) wrong_ = "arguments";
  }

  bool has(const char* name) { return !get(name).IsUndefined(); }
  std::string text(const char* name) { return text(get(name), name); }
  std::string text(Napi::Value value, const char* name) {
    if (value.IsString()) return value.As<Napi::String>().Utf8Value();
    reject(name);
    return {};
  }
  bool flag(const char* name) {
    Napi::Value value = get(name);
    if (value.IsBoolean()) return value.As<Napi::Boolean>().Value();
    reject(name);
    return false;
  }
  bool flag_or(const char* name, bool otherwise) { return has(name) ? flag(name) : otherwise; }
  std::uint64_t number(const char* name) { return number(get(name), name); }
  std::uint64_t number(Napi::Value value, const char* name) {
    std::uint64_t whole = 0;
    if (!whole_number(env_, value, whole)) reject(name);
    return whole;
  }
  std::uint32_t small_number(const char* name) {
    std::uint64_t value = number(name);
    if (value > UINT32_MAX) reject(name);
    return static_cast<std::uint32_t>(value);
  }
  // A Float64Array of positions and lengths in turn.
  std::vector<Extent> extents() {
    std::vector<Extent> extents;
    const Napi::Value value = get("extents");
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array) {
      reject("extents");
      return extents;
    }
    const auto numbers = value.As<Napi::Float64Array>();
    const std::size_t count = numbers.ElementLength();
    if (count == 0 || count % 2 != 0 || count > 2 * kCopyExtents) reject("extents");
    for (std::size_t i = 0; wrong_ == nullptr && i < count; i += 2) {
      if (!is_whole(numbers[i]) || !is_whole(numbers[i + 1]) || numbers[i + 1] > kCopyLength) {
        reject("extents");
      } else {
        extents.push_back({static_cast<std::uint64_t>(numbers[i]), static_cast<std::uint64_t>(numbers[i + 1])});
      }
    }
    return extents;
  }
  // Whole numbers, at most one per image.
  std::vector<std::uint64_t> numbers(const char* name) {
    std::vector<std::uint64_t> numbers;
    list(name, [&](Napi::Value value) {
      std::uint64_t number = 0;
      if (!whole_number(env_, value, number)) reject(name);
      numbers.push_back(number);
    });
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
  // Calls `each` with the fields' values of every element of an array, at most one per image.
  template <typename Each>
  void list(const char* name, Each each) {
    Napi::Value value = get(name);
    if (!value.IsArray() || value.As<Napi::Array>().Length() > kMaxImages) return reject(name);
    Napi::Array array = value.As<Napi::Array>();
    for (std::uint32_t i = 0; i < array.Length(); ++i) each(array.Get(i));
  }

  void reject(const char* name) {
    if (wrong_ == nullptr) wrong_ = name;
  }
  const char* wrong() const { return wrong_; }

 private:
  Napi::Value get(const char* name) {
    return value_.IsObject() ? value_.As<Napi::Object>().Get(name) : env_.Undefined();
  }

  Napi::Env env_;
  Napi::Value value_;
  const char* wrong_ = nullptr;
};

FormatOptions::Image image_from(Napi::Env env, Fields& parent, Napi::Value value, bool named) {
  Fields fields(env, value);
  FormatOptions::Image image;
  if (named) image.name = fields.text("name");
  image.path = fields.text("path");
  image.path_kind = fields.path_kind("pathKind");
  if (image.name.size() > kImageNameLength || image.path.size() > kImagePathLength)
    fields.reject("name or path: too long");
  if (fields.wrong() != nullptr) parent.reject(fields.wrong());
  return image;
}

Command::Body open_log(Napi::Env, Fields& fields) {
  OpenLog command;
  command.path = fields.text("path");
  command.read_only = fields.flag("readOnly");
  command.exclusive = fields.flag("exclusive");
  command.require_allocated = fields.flag_or("requireAllocated", true);
  if (fields.has("makeLength")) command.make_length = fields.number("makeLength");
  return command;
}

Command::Body open_images(Napi::Env, Fields& fields) {
  OpenImages command;
  fields.list("paths", [&](Napi::Value path) { command.paths.push_back(fields.text(path, "paths")); });
  command.read_only = fields.flag("readOnly");
  command.exclusive = fields.flag("exclusive");
  command.members = fields.flag_or("members", false);
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

Command::Body plan_format(Napi::Env env, Fields& fields) {
  PlanFormat command;
  command.options.size = fields.number("size");
  command.options.ring_records = fields.small_number("ringRecords");
  if (command.options.ring_records < kMinimumRingRecords || command.options.ring_records > kMaximumRecordCount)
    fields.reject("ringRecords");
  command.options.assume_identical = fields.flag("assumeIdentical");
  fields.list("images",
              [&](Napi::Value image) { command.options.images.push_back(image_from(env, fields, image, true)); });
  return command;
}

Command::Body activate(Napi::Env env, Fields& fields) {
  Activate command;
  command.options.recovery_budget = fields.number("recoveryBudget");
  if (command.options.recovery_budget < kMinimumRecoveryBudget ||
      command.options.recovery_budget > kMaximumRecoveryBudget)
    fields.reject("recoveryBudget");
  command.options.owner.host = fields.text("host");
  if (command.options.owner.host.size() > kHostNameLength) command.options.owner.host.resize(kHostNameLength);
  command.options.owner.boot_id = fields.uuid("bootId");
  command.options.owner.process_started = fields.number("processStarted");
  command.options.owner.pid_namespace = fields.number("pidNamespace");
  if (fields.has("lost")) {
    fields.list("lost", [&](Napi::Value index) {
      std::uint64_t image = kMaxImages;
      if (!whole_number(env, index, image) || image == 0 || image >= kMaxImages) return fields.reject("lost");
      command.options.lost |= image_bit(static_cast<unsigned>(image));
    });
  }
  if (fields.has("paths")) {
    fields.list("paths",
                [&](Napi::Value path) { command.options.found_at.push_back(image_from(env, fields, path, false)); });
  }
  return command;
}

Command::Body recover_copy(Napi::Env, Fields& fields) {
  RecoverCopy command;
  command.extents = fields.extents();
  command.compare = fields.flag("compare");
  command.only_differing = fields.flag("onlyDiffering");
  return command;
}

Command::Body recover_retire(Napi::Env, Fields& fields) {
  RecoverRetire command;
  command.summary.live_intents = fields.number("liveIntents");
  command.summary.bytes_covered = fields.number("bytesCovered");
  command.summary.bytes_copied = fields.number("bytesCopied");
  command.summary.duration_ms = fields.number("durationMs");
  command.summary.verified = fields.flag("verified");
  command.summary.full_compare = fields.flag("fullCompare");
  return command;
}

Command::Body compare(Napi::Env, Fields& fields) {
  Compare command;
  command.extents = fields.extents();
  command.all = fields.flag("all");
  return command;
}

Command::Body record_verify(Napi::Env, Fields& fields) {
  RecordVerify command;
  command.found.bytes_compared = fields.numbers("bytesCompared");
  command.found.bytes_differed = fields.numbers("bytesDiffered");
  return command;
}

template <typename Step>
Command::Body plain(Napi::Env, Fields&) {
  return Step{};
}

template <typename Step>
Command::Body with_extents(Napi::Env, Fields& fields) {
  Step command;
  command.extents = fields.extents();
  return command;
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
    {"fillImage", fill_image},
    {"format", plain<FormatLog>},
    {"assess", plain<Assess>},
    {"activate", activate},
    {"recoverFlushMaster", plain<RecoverFlushMaster>},
    {"recoverCopy", recover_copy},
    {"recoverFlushSlaves", plain<RecoverFlushSlaves>},
    {"recoverVerify", with_extents<RecoverVerify>},
    {"recoverRetire", recover_retire},
    {"compare", compare},
    {"recordVerify", record_verify},
    {"close", plain<Close>},
};

}  // namespace

std::unique_ptr<Command> command_from(Napi::Env env, Napi::Value name, Napi::Value arguments) {
  std::string wanted = name.IsString() ? name.As<Napi::String>().Utf8Value() : std::string();
  auto parser = std::find_if(std::begin(kParsers), std::end(kParsers),
                             [&](const Parser& candidate) { return wanted == candidate.name; });
  if (parser == std::end(kParsers)) {
    throw_type_error(env, ("no such command: " + wanted).c_str());
    return nullptr;
  }
  Fields fields(env, arguments);
  auto command = std::make_unique<Command>(Command{parser->parse(env, fields), Shape{}});
  if (fields.wrong() == nullptr) return command;
  throw_type_error(env, (wanted + ": wrong or missing: " + fields.wrong()).c_str());
  return nullptr;
}

}  // namespace blockmirror::addon
