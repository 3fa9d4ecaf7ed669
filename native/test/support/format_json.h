// What the decoders found, as the JSON that test/format/log_reader.ts gives for the same bytes.
#pragma once

#include <string>

#include "../../core/format/history.h"
#include "../../core/format/label.h"
#include "../../core/format/record.h"
#include "../../core/format/superblock.h"
#include "scanned_ring.h"

namespace blockmirror::test {

// Indented, keys in the order they were given.
class Json {
 public:
  static Json text(const std::string& value);
  static Json number(std::uint64_t value) { return Json(std::to_string(value)); }
  static Json boolean(bool value) { return Json(value ? "true" : "false"); }
  static Json list() { return Json("", '['); }
  static Json object() { return Json("", '{'); }

  Json& add(const Json& item);                           // to a list
  Json& set(const std::string& key, const Json& value);  // to an object
  std::string str(unsigned indent = 0) const;

 private:
  explicit Json(std::string scalar, char kind = 0) : kind_(kind), scalar_(std::move(scalar)) {}
  char kind_;
  std::string scalar_;
  std::vector<std::pair<std::string, Json>> items_;
};

Json to_json(const Superblock& superblock);
Json to_json(const Label& label);
Json to_json(const Slot& slot);
Json to_json(const ScannedRing& scan);
Json to_json(const HistoryScan& scan);
// What the fracture maps in that log say of the images that have one.
Json to_json(const Superblock& superblock, std::span<const std::byte> log);

}  // namespace blockmirror::test
