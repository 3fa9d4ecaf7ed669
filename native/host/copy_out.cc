#include "copy_out.h"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace blockmirror {

#if defined(__x86_64__)

namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kPrefetchAhead = 512;

// Both lengths in whole lines; `into` is aligned to a line.
void stream_lines(std::byte* into, const std::byte* from, std::size_t length) {
  for (std::size_t at = 0; at < length; at += kLine) {
    _mm_prefetch(reinterpret_cast<const char*>(from + at) + kPrefetchAhead, _MM_HINT_NTA);
    const auto* source = reinterpret_cast<const __m128i*>(from + at);
    auto* target = reinterpret_cast<__m128i*>(into + at);
    const __m128i first = _mm_loadu_si128(source), second = _mm_loadu_si128(source + 1);
    const __m128i third = _mm_loadu_si128(source + 2), fourth = _mm_loadu_si128(source + 3);
    _mm_stream_si128(target, first);
    _mm_stream_si128(target + 1, second);
    _mm_stream_si128(target + 2, third);
    _mm_stream_si128(target + 3, fourth);
  }
  _mm_sfence();  // streaming stores keep no order with those that hand the part over
}

}  // namespace

void copy_out(std::byte* into, const std::byte* from, std::size_t length) {
  if (length >= kStreamedCopyLength) {
    const std::size_t head = (kLine - reinterpret_cast<std::uintptr_t>(into) % kLine) % kLine;
    const std::size_t lines = (length - head) / kLine * kLine;
    std::memcpy(into, from, head);
    stream_lines(into + head, from + head, lines);
    into += head + lines;
    from += head + lines;
    length -= head + lines;
  }
  if (length > 0) std::memcpy(into, from, length);
}

#else

void copy_out(std::byte* into, const std::byte* from, std::size_t length) {
  if (length > 0) std::memcpy(into, from, length);
}

#endif

}  // namespace blockmirror
