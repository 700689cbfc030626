/* Writer: the one thread that writes, with group commit. */
#pragma once

#include "store/queue.h"
#include "store/sqlite.h"

struct writer;
struct backup;

struct writer_options {
    struct sqlite_options sqlite; /* path and names borrowed for the writer's life */
    int checkpoint_pages;
    struct log *log;
    struct metric_registry *metrics;
};

/* Opens the database, migrates it, starts the thread. */
MUST_USE enum err writer_open(const struct writer_options *options, struct writer **ret_writer,
                              struct error *error);
/* Runs what is queued, ends the thread: later jobs are answered ERR_UNAVAILABLE. Also twice. */
void writer_stop(struct writer *writer);
/* The same, and closes the database (and with it the log). */
void writer_close(struct writer *writer);
struct queue *writer_queue(struct writer *writer);
/* Has the thread take a backup's steps between its groups, until backup_step says it is over. One
 * at a time: ERR_CONFLICT. */
MUST_USE enum err writer_add_backup(struct writer *writer, struct backup *backup);
