#include "load.h"

#include <getopt.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bench {
namespace {

[[noreturn]] void usage(const char* program, const char* problem) {
  std::fprintf(
      stderr,
      "%s: %s\n"
      "usage: %s --span BYTES [--seconds S] [--warm-up S] [--depth N] [--block BYTES]\n"
      "  [--pattern random|sequential|zipf] [--read-percent P] [--durable] [--same-fill] [--flush-ms M] [--seed N]\n"
      "  [--log PATH --log-length BYTES [--log-position BYTES] [--log-record BYTES]] IMAGE...\n",
      program, problem, program);
  std::exit(2);
}

enum Option {
  kSeconds = 1,
  kWarmUp,
  kDepth,
  kBlock,
  kSpan,
  kPattern,
  kReadPercent,
  kDurable,
  kSameFill,
  kFlushMs,
  kSeed,
  kLog,
  kLogPosition,
  kLogLength,
  kLogRecord
};

constexpr option kOptions[] = {
    {"seconds", required_argument, nullptr, kSeconds},
    {"warm-up", required_argument, nullptr, kWarmUp},
    {"depth", required_argument, nullptr, kDepth},
    {"block", required_argument, nullptr, kBlock},
    {"span", required_argument, nullptr, kSpan},
    {"pattern", required_argument, nullptr, kPattern},
    {"read-percent", required_argument, nullptr, kReadPercent},
    {"durable", no_argument, nullptr, kDurable},
    {"same-fill", no_argument, nullptr, kSameFill},
    {"flush-ms", required_argument, nullptr, kFlushMs},
    {"seed", required_argument, nullptr, kSeed},
    {"log", required_argument, nullptr, kLog},
    {"log-position", required_argument, nullptr, kLogPosition},
    {"log-length", required_argument, nullptr, kLogLength},
    {"log-record", required_argument, nullptr, kLogRecord},
    {nullptr, 0, nullptr, 0},
};

Pattern pattern_of(const char* program, const char* word) {
  if (std::strcmp(word, "random") == 0) return Pattern::random;
  if (std::strcmp(word, "sequential") == 0) return Pattern::sequential;
  if (std::strcmp(word, "zipf") == 0) return Pattern::zipf;
  usage(program, "--pattern is random, sequential or zipf");
}

void check(const char* program, const Load& load) {
  if (load.images.empty()) usage(program, "no image is named");
  if (load.depth == 0 || load.depth > 4096) usage(program, "--depth is 1 to 4096");
  if (load.block < 512 || load.block % 512 != 0) usage(program, "--block is a multiple of 512");
  if (load.span < load.block) usage(program, "--span is at least one block");
  if (load.span / load.block > 0xffffffffull) usage(program, "--span is at most 2^32 blocks");
  if (load.read_percent > 100) usage(program, "--read-percent is 0 to 100");
  if (!(load.seconds > 0)) usage(program, "--seconds is more than 0");
  if (!load.log.empty() && load.log_length < load.log_record) usage(program, "--log needs --log-length");
}

// Exponent of the Zipf distribution, the usual one of YCSB.
constexpr double kZipfExponent = 0.99;
constexpr unsigned kZipfDraws = 1u << 20;

// Sum of 1 / i^s for i in 1..n: exact for the first million, beyond that by its integral.
double zeta(std::uint64_t n, double s) {
  const std::uint64_t exact = std::min<std::uint64_t>(n, 1'000'000);
  double sum = 0;
  for (std::uint64_t i = 1; i <= exact; ++i) sum += std::pow(static_cast<double>(i), -s);
  if (n > exact) {
    sum += (std::pow(static_cast<double>(n), 1 - s) - std::pow(static_cast<double>(exact), 1 - s)) / (1 - s);
  }
  return sum;
}

}  // namespace

Load parse_load(int count, char** arguments) {
  Load load;
  const char* program = arguments[0];
  for (int option; (option = getopt_long(count, arguments, "", kOptions, nullptr)) != -1;) {
    const auto whole = [] { return std::strtoull(optarg, nullptr, 10); };
    switch (option) {
      case kSeconds:
        load.seconds = std::atof(optarg);
        break;
      case kWarmUp:
        load.warm_up = std::atof(optarg);
        break;
      case kDepth:
        load.depth = static_cast<unsigned>(whole());
        break;
      case kBlock:
        load.block = whole();
        break;
      case kSpan:
        load.span = whole();
        break;
      case kPattern:
        load.pattern = pattern_of(program, optarg);
        break;
      case kReadPercent:
        load.read_percent = static_cast<unsigned>(whole());
        break;
      case kDurable:
        load.durable = true;
        break;
      case kSameFill:
        load.same_fill = true;
        break;
      case kFlushMs:
        load.flush_seconds = std::atof(optarg) / 1000;
        break;
      case kSeed:
        load.seed = whole();
        break;
      case kLog:
        load.log = optarg;
        break;
      case kLogPosition:
        load.log_position = whole();
        break;
      case kLogLength:
        load.log_length = whole();
        break;
      case kLogRecord:
        load.log_record = whole();
        break;
      default:
        usage(program, "unknown option");
    }
  }
  load.images.assign(arguments + optind, arguments + count);
  check(program, load);
  return load;
}

// Zipf positions are drawn before the load begins (Gray et al., "Quickly generating billion-record synthetic databases"):
// two powers for each draw would be measured along. Ranks are scattered over the span by a multiplicative hash.
Positions::Positions(const Load& load)
    : pattern_(load.pattern), block_(load.block), blocks_(load.span / load.block), random_(load.seed) {
  if (pattern_ != Pattern::zipf) return;
  const double n = static_cast<double>(blocks_);
  const double zeta_n = zeta(blocks_, kZipfExponent);
  const double alpha = 1 / (1 - kZipfExponent);
  const double eta = (1 - std::pow(2 / n, 1 - kZipfExponent)) / (1 - zeta(2, kZipfExponent) / zeta_n);
  std::uniform_real_distribution<double> uniform(0, 1);
  drawn_.resize(kZipfDraws);
  for (auto& drawn : drawn_) {
    const double u = uniform(random_);
    const double uz = u * zeta_n;
    double rank = uz < 1 ? 0 : uz < 1 + std::pow(0.5, kZipfExponent) ? 1 : n * std::pow(eta * u - eta + 1, alpha);
    const auto whole = std::min(static_cast<std::uint64_t>(rank), blocks_ - 1);
    drawn = static_cast<std::uint32_t>((whole * 2654435761ull) % blocks_);
  }
}

std::uint64_t Positions::next() {
  switch (pattern_) {
    case Pattern::random:
      return random_() % blocks_ * block_;
    case Pattern::sequential:
      return cursor_++ % blocks_ * block_;
    case Pattern::zipf:
      return drawn_[cursor_++ % drawn_.size()] * block_;
  }
  std::abort();
}

}  // namespace bench
