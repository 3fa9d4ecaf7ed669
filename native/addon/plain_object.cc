#include "plain_object.h"

namespace blockmirror::addon {

napi_value null_of(napi_env env) {
  napi_value value = nullptr;
  napi_get_null(env, &value);
  return value;
}

napi_value number_of(napi_env env, double value) {
  napi_value number = nullptr;
  napi_create_double(env, value, &number);
  return number;
}

napi_value text_of(napi_env env, const std::string& value) {
  napi_value text = nullptr;
  napi_create_string_utf8(env, value.data(), value.size(), &text);
  return text;
}

PlainObject PlainObject::array(napi_env env, std::size_t length) {
  napi_value value = nullptr;
  napi_create_array_with_length(env, length, &value);
  return {env, value};
}

void PlainObject::set(const char* name, napi_value value, napi_property_attributes attributes) {
  if (value_ == nullptr || value == nullptr) return;
  const napi_property_descriptor property{name, nullptr, nullptr, nullptr, nullptr, value, attributes, nullptr};
  napi_define_properties(env_, value_, 1, &property);
}

void PlainObject::set(const char* name, bool value) {
  napi_value boolean = nullptr;
  napi_get_boolean(env_, value, &boolean);
  set(name, boolean);
}

void PlainObject::set(const char* name, napi_callback function) {
  napi_value value = nullptr;
  napi_create_function(env_, name, NAPI_AUTO_LENGTH, function, nullptr, &value);
  set(name, value);
}

}  // namespace blockmirror::addon
