// Assertions about our own state, on in every build.
//
// A mirror that has found its own state impossible must not write another byte: the images are still
// recoverable from the log, what a confused engine would write next is not. Hence abort, never "log and go on".
// Input from outside is never asserted; it is validated at the edge and answered with an Outcome.
#pragma once

#include <cstdio>
#include <cstdlib>

#define BLOCKMIRROR_ASSERT(condition, why)                                                                            \
  do {                                                                                                                \
    if (!(condition)) [[unlikely]] {                                                                                  \
      std::fprintf(stderr, "blockmirror: invariant broken at %s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, why); \
      std::abort();                                                                                                   \
    }                                                                                                                 \
  } while (0)
