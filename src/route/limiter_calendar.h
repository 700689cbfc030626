/* Calendar: days, weeks (from Monday, as ISO 8601 has them) and months of UTC, as numbers that count
 * up. Pure. */
#pragma once

#include "route/quota.h"

enum { CALENDAR_DAY_MS = 24 * 60 * 60 * 1000 };

/* The number of the period that a moment lies in. */
int64_t calendar_index(enum quota_period period, int64_t wall_ms);
/* Its first millisecond. */
int64_t calendar_start_ms(enum quota_period period, int64_t index);
/* The period to count in, where `index` was the last. A clock set back into the one before leaves
 * it: what is used is not forgotten at the turn of a day; one set back further begins anew, for the
 * clock was wrong before. */
int64_t calendar_advance(enum quota_period period, int64_t index, int64_t wall_ms);
