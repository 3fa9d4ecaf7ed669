#include "../../../core/base/identity.h"

#include <doctest/doctest.h>

#include "../../support/format_samples.h"

using namespace blockmirror;

TEST_CASE("a UUID is written as 8-4-4-4-12 lower-case hexadecimal in the order of its bytes") {
  CHECK(to_string(test::uuid_of(0x00)) == "00010203-0405-0607-0809-0a0b0c0d0e0f");
  CHECK(to_string(test::uuid_of(0xf0)) == "f0f1f2f3-f4f5-f6f7-f8f9-fafbfcfdfeff");
  CHECK(to_string(Uuid{}) == "00000000-0000-0000-0000-000000000000");
}
