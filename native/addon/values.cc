#include "values.h"

#include <array>
#include <cmath>
#include <cstring>

namespace blockmirror::addon {

namespace {

constexpr double kSafeIntegers = 9007199254740992.0;  // 2^53
constexpr std::size_t kMostViews = 1024;              // of one list

// Newer than the headers that this is built with (Node.js 24).
constexpr auto kFloat16Array = static_cast<napi_typedarray_type>(11);
constexpr auto kUnknownArray = static_cast<napi_typedarray_type>(15);

// 0: a kind that is not known, and so not how many bytes it has.
std::size_t element_length(napi_typedarray_type type) {
  if (type == kFloat16Array) return 2;
  switch (type) {
    case napi_int8_array:
    case napi_uint8_array:
    case napi_uint8_clamped_array:
      return 1;
    case napi_int16_array:
    case napi_uint16_array:
      return 2;
    case napi_int32_array:
    case napi_uint32_array:
    case napi_float32_array:
      return 4;
    case napi_float64_array:
    case napi_bigint64_array:
    case napi_biguint64_array:
      return 8;
    default:
      return 0;
  }
}

}  // namespace

Napi::Value throw_type_error(napi_env env, const char* message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return {};
}

bool view_bytes(napi_env env, napi_value value, Bytes& into) {
  // What Node.js does not know, it leaves as it is.
  napi_typedarray_type type = kUnknownArray;
  std::size_t length, offset;
  napi_value store;
  if (napi_get_typedarray_info(env, value, &type, &length, nullptr, &store, &offset) == napi_ok) {
    if (element_length(type) == 0) return false;
    length *= element_length(type);
  } else if (napi_get_dataview_info(env, value, &length, nullptr, &store, &offset) != napi_ok) {
    return false;
  }
  Bytes all;
  if (!buffer_bytes(env, store, all)) return false;  // shared memory
  const bool inside = offset <= all.size() && length <= all.size() - offset;
  into = inside ? all.subspan(offset, length) : Bytes();
  return true;
}

bool buffer_bytes(napi_env env, napi_value value, Bytes& into) {
  void* data;
  std::size_t length;
  if (napi_get_arraybuffer_info(env, value, &data, &length) != napi_ok) return false;
  into = Bytes(static_cast<std::byte*>(data), data == nullptr ? 0 : length);
  return true;
}

bool doubles(napi_env env, napi_value value, std::size_t limit, std::vector<double>& into) {
  napi_typedarray_type type;
  Bytes bytes;
  if (napi_get_typedarray_info(env, value, &type, nullptr, nullptr, nullptr, nullptr) != napi_ok ||
      type != napi_float64_array || !view_bytes(env, value, bytes) || bytes.size() > limit * sizeof(double)) {
    return false;
  }
  into.resize(bytes.size() / sizeof(double));
  if (!into.empty()) std::memcpy(into.data(), bytes.data(), into.size() * sizeof(double));
  return true;
}

bool view_list(napi_env env, napi_value value, std::size_t limit, std::vector<Bytes>& into) {
  std::uint32_t length;
  if (limit > kMostViews || napi_get_array_length(env, value, &length) != napi_ok || length > limit) return false;
  std::array<napi_value, kMostViews> elements;
  for (std::uint32_t i = 0; i < length; ++i) {
    if (napi_get_element(env, value, i, &elements[i]) != napi_ok) return false;
  }
  into.clear();  // not before: what ran just now may have come back here
  for (std::uint32_t i = 0; i < length; ++i) {
    Bytes bytes;
    if (!view_bytes(env, elements[i], bytes)) return false;
    into.push_back(bytes);
  }
  return true;
}

bool views(napi_env env, napi_value value, std::size_t limit, std::vector<Bytes>& into) {
  Bytes single;
  if (!view_bytes(env, value, single)) return view_list(env, value, limit, into);
  into.assign(1, single);
  return true;
}

bool own_property(napi_env env, napi_value object, const char* name, napi_value& into) {
  napi_value key;
  bool own = false;
  if (napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &key) != napi_ok ||
      napi_has_own_property(env, object, key, &own) != napi_ok) {
    return false;
  }
  return (own ? napi_get_property(env, object, key, &into) : napi_get_undefined(env, &into)) == napi_ok;
}

bool is_whole(double number) { return number >= 0 && number < kSafeIntegers && std::trunc(number) == number; }

bool whole_number(napi_env env, napi_value value, std::uint64_t& into) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) return false;
  if (!is_whole(number)) return false;
  into = static_cast<std::uint64_t>(number);
  return true;
}

bool text(napi_env env, napi_value value, std::string& into) {
  std::size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok || length > kTextLength) return false;
  into.resize(length + 1);
  if (napi_get_value_string_utf8(env, value, into.data(), into.size(), &length) != napi_ok) return false;
  into.resize(length);
  return true;
}

bool flag(napi_env env, napi_value value, bool& into) {
  napi_valuetype type;
  if (napi_typeof(env, value, &type) == napi_ok && type == napi_undefined) {
    into = false;
    return true;
  }
  return boolean(env, value, into);
}

bool boolean(napi_env env, napi_value value, bool& into) { return napi_get_value_bool(env, value, &into) == napi_ok; }

}  // namespace blockmirror::addon
