// From JavaScript values to bytes and numbers, for the calls of every request: no allocation, no handles kept. An address
// that was taken here holds until JavaScript runs again: a caller takes addresses last. What comes from lib/ in a wrong
// type is a programming error there and is answered with a TypeError.
//
// Raw Node-API, which answers with a status: node-addon-api makes an exception of each failure, at the price of a second
// question about each value's type. Where a getter was terminated (node:vm with a time limit) its Error cannot be made, and
// it ends the process, NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS or not.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace blockmirror::addon {

using Bytes = std::span<std::byte>;
using ConstBytes = std::span<const std::byte>;

inline constexpr std::size_t kTextLength = 65536;  // of one text; each has a limit of its own as well

// Throws a TypeError with ERR_INVALID_ARG_TYPE, unless something else is thrown already, which stays: Napi::Error ends the
// process there. Answers undefined, to be returned to JavaScript.
Napi::Value throw_type_error(napi_env env, const char* message);

// A typed array or DataView over an ArrayBuffer. What of it does not lie inside of that store as it is now is left out: a
// detached view is empty, and so is one beyond the end of a store that was shrunk. Runs no JavaScript.
bool view_bytes(napi_env env, napi_value value, Bytes& into);
// An ArrayBuffer.
bool buffer_bytes(napi_env env, napi_value value, Bytes& into);
// The numbers of a Float64Array, at most `limit`; copied, so that each is looked at once.
bool doubles(napi_env env, napi_value value, std::size_t limit, std::vector<double>& into);
// An array of views, at most `limit`; `into` is emptied first. All elements are fetched, which may run JavaScript of the
// caller's (a getter), before the memory of the first is looked at.
bool view_list(napi_env env, napi_value value, std::size_t limit, std::vector<Bytes>& into);
// The same, or a single view: the most frequent case, for which no array has to be read.
bool views(napi_env env, napi_value value, std::size_t limit, std::vector<Bytes>& into);
// An own property; undefined when the object has none. False, with what a getter threw pending, where it failed.
bool own_property(napi_env env, napi_value object, const char* name, napi_value& into);
// An integer in [0, 2^53).
bool is_whole(double number);
bool whole_number(napi_env env, napi_value value, std::uint64_t& into);
// At most kTextLength bytes of UTF-8.
bool text(napi_env env, napi_value value, std::string& into);
// A boolean that may be left out, which is false.
bool flag(napi_env env, napi_value value, bool& into);
bool boolean(napi_env env, napi_value value, bool& into);

}  // namespace blockmirror::addon
