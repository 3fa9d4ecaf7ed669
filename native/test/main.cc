// Entry of the native tests; ctest runs it once per test case (CMakeLists.txt).
//
// A test that cannot run here prints a line `SKIPPED: <reason>` and returns: it is then counted as skipped, never as passed.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
