// Plain objects and arrays for JavaScript: a Napi::Object whose properties are defined.
//
// Why not Napi::Object::Set: it assigns, and a setter that somebody put on Object.prototype would get the value and its
// object would go without.
// A property that cannot be defined (an exception is pending, the environment ends in the middle of the call, no memory)
// is left out: JavaScript that could see such an object does not run any more, or runs with an exception.
#pragma once

#include <napi.h>

#include <string>

namespace blockmirror::addon {

class PlainObject : public Napi::Object {
 public:
  explicit PlainObject(Napi::Env env) : Napi::Object(Napi::Object::New(env)) {}
  explicit PlainObject(Napi::Object object) : Napi::Object(object) {}

  void set(const char* name, Napi::Value value, napi_property_attributes attributes = napi_default_jsproperty) {
    if (IsEmpty() || value.IsEmpty()) return;
    // With NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS nothing but this property is lost where it fails.
    DefineProperty(Napi::PropertyDescriptor::Value(name, value, attributes));
  }
  void set(const char* name, double value) { set(name, Napi::Number::New(Env(), value)); }
  void set(const char* name, bool value) { set(name, Napi::Boolean::New(Env(), value)); }
  void set(const char* name, const char* value) { set(name, Napi::String::New(Env(), value)); }
  void set(const char* name, const std::string& value) { set(name, Napi::String::New(Env(), value)); }
  void set_element(std::uint32_t index, Napi::Value value) { set(std::to_string(index).c_str(), value); }
};

}  // namespace blockmirror::addon
