// The assertion of the tests, and whether a sanitizer watches them.
#pragma once

#include <cstdio>
#include <cstdlib>

#define CHECK(condition)                                                                                               \
    ((condition) ? void(0)                                                                                             \
                 : (std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition), std::exit(1)))

// Sanitizers find accesses and races in few cases, in ten times the time; values are checked without them, in all.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool SANITIZED = true;
#else
constexpr bool SANITIZED = false;
#endif
