#include "../../../core/base/data_buffer.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <vector>

#include "../../support/mapping_flags.h"

using namespace blockmirror;

TEST_CASE("data buffer: kept out of core dumps and of children to its last byte") {
  for (std::size_t length : {1, 4096, 5000, 3 << 20}) {
    DataBuffer buffer(length);
    REQUIRE_FALSE(buffer.empty());
    CHECK(test::is_mapped_with(test::kNotInDumps, buffer.span()));
    CHECK(test::is_mapped_with(test::kNotInChildren, buffer.span()));
  }
}

TEST_CASE("data buffer: memory that is not one is not kept out of core dumps, so that these tests can fail") {
  const std::vector<std::byte> memory(1 << 20);
  CHECK_FALSE(test::is_mapped_with(test::kNotInChildren, memory));
  CHECK_FALSE(test::is_mapped_with(test::kNotInDumps, memory));
}
