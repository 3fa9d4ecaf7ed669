#include "../../../core/base/huge_buffer.h"

#include <doctest/doctest.h>

#include <cstddef>

#include "../../support/mapping_flags.h"

using namespace blockmirror;

TEST_CASE("huge buffer: kept out of core dumps and of children to its last byte") {
  for (std::size_t length : {std::size_t{1} << 20, HugeBuffer::kHugePage, 3 * HugeBuffer::kHugePage + 4096}) {
    const HugeBuffer buffer(length);
    REQUIRE_FALSE(buffer.empty());
    CHECK(test::is_mapped_with(test::kNotInDumps, {buffer.data(), length}));
    CHECK(test::is_mapped_with(test::kNotInChildren, {buffer.data(), length}));
  }
}
