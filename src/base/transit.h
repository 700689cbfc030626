/* Transit: memory for bytes that wait for a moment only, but across callbacks: a request until it is
 * sent. Between what stays for minutes they would leave holes that are too small to be given back;
 * here they stand in chunks of their own, each of which is used again as soon as all in it is gone. */
#pragma once

#include "base/str.h"

struct transit;

/* Takes no memory beyond its head until it is needed, and keeps at most half a MiB of chunks that
 * are empty. One thread at a time. */
struct transit *transit_new(void);
/* When all that was put in was dropped. NULL is allowed. */
void transit_free(struct transit *transit);

enum { TRANSIT_BYTES_MAX = 32 * 1024 };

/* A copy of `bytes` (TRANSIT_BYTES_MAX at most: for more, malloc is as good), to be given back with transit_drop. Out of memory aborts. */
struct str transit_put(struct transit *transit, struct str bytes);
/* Gives a copy back and sets *bytes to STR_NONE; nothing happens when it is that already. */
void transit_drop(struct str *bytes);
