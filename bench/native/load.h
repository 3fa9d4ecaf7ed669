// What a raw writer is asked to do: its command line, and the positions it draws.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace bench {

enum class Pattern { random, sequential, zipf };

struct Load {
  double seconds = 1;
  double warm_up = 0;  // seconds before anything is counted
  unsigned depth = 1;
  std::uint64_t block = 4096;  // bytes of a request
  std::uint64_t span = 0;      // bytes from the start of the images over which positions are drawn
  Pattern pattern = Pattern::random;
  unsigned read_percent = 0;  // of requests that read from the first image; the others write all images
  bool durable = false;       // each write with RWF_DSYNC
  bool same_fill = false;     // every byte alike, instead of random ones: what zram stores for nothing
  double flush_seconds = 0;   // an fdatasync of all images every so often, beside the load
  std::uint64_t seed = 42;
  std::string log;  // a durable record is written here before any write begins (see raw_pair.cc)
  std::uint64_t log_position = 0;
  std::uint64_t log_length = 0;
  std::uint64_t log_record = 4096;
  std::vector<std::string> images;
};

// Parses the command line, or says what is wrong with it and ends the process with exit code 2.
Load parse_load(int count, char** arguments);

class Positions {
 public:
  explicit Positions(const Load& load);
  std::uint64_t next();

 private:
  Pattern pattern_;
  std::uint64_t block_;
  std::uint64_t blocks_;
  std::uint64_t cursor_ = 0;
  std::mt19937_64 random_;
  std::vector<std::uint32_t> drawn_;
};

}  // namespace bench
