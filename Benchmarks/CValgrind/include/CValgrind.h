// Callgrind's client requests are macros of inline assembly, which Swift cannot import. Outside of callgrind they do nothing.
#pragma once
#include <valgrind/callgrind.h>

static inline void callgrind_zero(void) { CALLGRIND_ZERO_STATS; }
static inline void callgrind_dump(const char *name) { CALLGRIND_DUMP_STATS_AT(name); }
