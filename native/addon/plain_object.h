// Plain objects and arrays for JavaScript.
//
// Invariants:
//  - Properties are defined, never assigned: a setter that somebody put on Object.prototype gets nothing.
//  - A call of Node-API that fails (an exception is pending, the environment ends in the middle of the call, no memory)
//    leaves its property out, and everything here goes on without it: JavaScript that could see such an object does not
//    run any more, or runs with an exception. node-addon-api ends the process there.
#pragma once

#include <node_api.h>

#include <cstdint>
#include <string>

namespace blockmirror::addon {

napi_value null_of(napi_env env);
napi_value number_of(napi_env env, double value);
napi_value text_of(napi_env env, const std::string& value);

class PlainObject {
 public:
  explicit PlainObject(napi_env env) : env_(env) { napi_create_object(env, &value_); }
  PlainObject(napi_env env, napi_value value) : env_(env), value_(value) {}
  static PlainObject array(napi_env env, std::size_t length);

  void set(const char* name, napi_value value, napi_property_attributes attributes = napi_default_jsproperty);
  void set(const char* name, double value) { set(name, number_of(env_, value)); }
  void set(const char* name, bool value);
  void set(const char* name, const char* value) { set(name, text_of(env_, value)); }
  void set(const char* name, const std::string& value) { set(name, text_of(env_, value)); }
  void set(const char* name, napi_callback function);
  void set_element(std::uint32_t index, napi_value value) { set(std::to_string(index).c_str(), value); }

  operator napi_value() const { return value_; }

 private:
  napi_env env_;
  napi_value value_ = nullptr;  // null: there was none to be had
};

}  // namespace blockmirror::addon
