// Latencies in buckets of less than 1 % width, the same ones as in bench/histogram.mjs: recording costs one increment in
// a fixed array, so that the measuring does not cost what is measured. Unit: ticks of 100 ns, up to 429 s.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstdio>

namespace bench {

class Histogram {
 public:
  void record(double seconds) {
    const double ticks = seconds * 1e7;
    const auto whole = ticks < 0 ? 0u : ticks > 4294967295.0 ? 0xffffffffu : static_cast<std::uint32_t>(ticks);
    ++buckets_[index_of(whole)];
  }

  // As JSON: bucket, count, bucket, count, ... of those that hold anything.
  void print(std::FILE* out) const {
    const char* separator = "";
    std::fputc('[', out);
    for (unsigned i = 0; i < buckets_.size(); ++i) {
      if (buckets_[i] == 0) continue;
      std::fprintf(out, "%s%u,%llu", separator, i, static_cast<unsigned long long>(buckets_[i]));
      separator = ",";
    }
    std::fputc(']', out);
  }

 private:
  static constexpr unsigned kLinearBits = 7;  // values below 128 have a bucket each, as has every 128th of an octave

  static unsigned index_of(std::uint32_t ticks) {
    if (ticks < (1u << kLinearBits)) return ticks;
    const unsigned shift = static_cast<unsigned>(std::bit_width(ticks)) - 1 - kLinearBits;
    return ((shift + 1) << kLinearBits) + ((ticks >> shift) - (1u << kLinearBits));
  }

  std::array<std::uint64_t, (32 - kLinearBits + 1) << kLinearBits> buckets_{};
};

}  // namespace bench
