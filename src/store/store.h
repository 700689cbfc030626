/* Store: what must survive. One SQLite database in DATA_DIR with one writer thread (group commit)
 * and a few readers beside it; callers hand in functions that run inside a transaction on those
 * threads, and hear the result on their own loop. Only this floor knows SQL. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/log.h"
#include "base/metric.h"
#include "net/loop.h"

struct store;
struct store_tx; /* a transaction, on a thread of the store's */

struct store_options {
    const char *directory;           /* DATA_DIR; made with mode 0700 when missing */
    int readers;                     /* reader threads [2] */
    struct log *log;                 /* borrowed */
    struct metric_registry *metrics; /* borrowed; may be NULL */
    int checkpoint_pages;            /* [1,000] log pages after which it goes into the database */
    int busy_timeout_ms;             /* [5,000] how long a lock of another program is waited for */
    const char *vfs; /* for tests only: the name of SQLite's VFS; NULL: the system's */
};

/* Opens or creates the database (`parley.db`, mode 0600), takes the lock on the directory, checks
 * and migrates the schema, starts the threads. ERR_CONFLICT: another process has the directory
 * (the message names its process id); ERR_CORRUPT: not our database, or from a newer version;
 * ERR_STORAGE: cannot be made or written. Blocks; before the loops run. */
MUST_USE enum err store_open(const struct store_options *options, struct store **ret_store,
                             struct error *error);
/* Runs what was submitted, commits, and does nothing more: later jobs are answered ERR_UNAVAILABLE.
 * Blocks; before the loops go that jobs are answered on. */
void store_stop(struct store *store);
/* The same, and closes. Blocks; after the loops have stopped submitting. */
void store_close(struct store *store);

/* Work for the store: owned by the caller, unchanged until `done`. */
struct store_job {
    /* On a store thread, inside a transaction. For writes: an error other than ERR_OK rolls back
     * exactly this job (a savepoint), others in the same group are kept. */
    enum err (*run)(struct store_tx *tx, void *user, struct error *error);
    /* On `loop`, once: for writes after COMMIT with synchronous=FULL has returned. Disk full, a
     * failed fsync or a lock that stays give ERR_STORAGE, and nothing of the job is kept. */
    void (*done)(void *user, enum err code, const struct error *error);
    void *user;
    /* The store's own from here on. */
    struct store_job *next;
    struct loop *loop;
    struct loop_task task;
    enum err code;
    struct error error;
};

/* Queues a job; never fails, `done` always comes (also with ERR_UNAVAILABLE while closing), unless
 * `loop` is freed before. Jobs of one loop are written in their order. Any thread. With a `loop` of
 * NULL, `done` runs on a thread of the store's and must not block: for what nobody waits for. */
void store_write(struct store *store, struct loop *loop, struct store_job *job);
void store_read(struct store *store, struct loop *loop, struct store_job *job);
/* The same, waiting for the result: for start-up, sub-commands and tests. Never from inside a
 * job's run or done. */
MUST_USE enum err store_write_now(struct store *store,
                                  enum err (*run)(struct store_tx *tx, void *user,
                                                  struct error *error),
                                  void *user, struct error *error);
MUST_USE enum err store_read_now(struct store *store,
                                 enum err (*run)(struct store_tx *tx, void *user,
                                                 struct error *error),
                                 void *user, struct error *error);

/* A consistent copy of the database at `path` (must not exist, mode 0600), made in short steps
 * beside the running server, and beside it in `path`.files (must not exist) the contents of the files
 * that it has rows of. *ret_bytes: of all. Blocks: call from the pool, and not beyond store_close. ERR_CONFLICT:
 * `path` exists, or another backup is under way. secret.key, which what is sealed in the copy
 * needs, is not in it. */
MUST_USE enum err store_backup(struct store *store, const char *path, uint64_t *ret_bytes,
                               struct error *error);

/* 32 random bytes that exist once per DATA_DIR (`secret.key`, 0600, made at first open): the root
 * of what is encrypted or signed. */
const unsigned char *store_secret(const struct store *store);
