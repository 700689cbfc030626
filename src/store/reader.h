/* Readers: a few threads with a connection each, that take read jobs from one queue. */
#pragma once

#include "store/queue.h"
#include "store/sqlite.h"

struct readers;

/* Opens `count` (1 to READERS_MAX) connections to an existing database and starts their threads.
 * What `options` points to is borrowed for the readers' life. */
enum { READERS_MAX = 16 };
MUST_USE enum err readers_open(const struct sqlite_options *options, int count,
                               struct readers **ret_readers, struct error *error);
/* Runs what is queued, ends the threads: later jobs are answered ERR_UNAVAILABLE. Also twice. */
void readers_stop(struct readers *readers);
/* The same, and closes the connections. NULL is allowed. */
void readers_close(struct readers *readers);
struct queue *readers_queue(struct readers *readers);
