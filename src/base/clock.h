/* Time: the clock of the machine, and the few formats of it that protocols need. What runs on a loop
 * asks the loop (net/loop.h), which reads the clock once for each thing that it handles. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

/* Milliseconds that only grow, from an arbitrary start. Decisions and timers use these. */
uint64_t clock_monotonic_ms(void);
/* The same in nanoseconds, for measuring. */
uint64_t clock_monotonic_ns(void);
/* Milliseconds since 1970-01-01 UTC. What is stored and shown uses these. */
int64_t clock_wall_ms(void);

/* "2026-11-22T10:00:00.123Z" (RFC 3339, 24 characters and a NUL). Times outside the years 1000 to
 * 9999 are moved to their border. */
void clock_format_rfc3339(int64_t wall_ms, char ret[25]);
/* "Sun, 22 Nov 2026 10:00:00 GMT" (RFC 9110 IMF-fixdate, 29 characters and a NUL). */
void clock_format_http(int64_t wall_ms, char ret[30]);
/* Both of the above read back; -1 when it is neither. RFC 3339 with offset and any fraction. */
int64_t clock_parse(struct str text);
