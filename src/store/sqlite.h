/* Connections and queries: thin names over SQLite for this floor and its tests. A connection
 * belongs to one thread at a time; queries are prepared once per connection and kept, keyed by the
 * address of their text. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/id.h"

struct sqlite;

enum sqlite_role {
    SQLITE_ROLE_WRITER, /* creates the file when missing; checkpoints only when asked to */
    SQLITE_ROLE_READER  /* refuses to write; never checkpoints */
};

struct sqlite_options {
    const char *path;
    const char *vfs; /* NULL: the system's */
    enum sqlite_role role;
    int busy_timeout_ms;
};

/* Before anything else of SQLite is used in the process; afterwards it does nothing. */
void sqlite_init(void);
/* Opens a connection without touching the database's content. ERR_STORAGE. */
MUST_USE enum err sqlite_open(const struct sqlite_options *options, struct sqlite **ret_sqlite,
                              struct error *error);
/* Finalises what was prepared and closes. NULL is allowed. */
void sqlite_close(struct sqlite *sqlite);
sqlite3 *sqlite_handle(struct sqlite *sqlite);

/* Runs one or more statements that give no rows. */
MUST_USE enum err sqlite_exec(struct sqlite *sqlite, const char *sql, struct error *error);
/* The same for one statement, a string literal, which is prepared once: see query_begin. */
MUST_USE enum err sqlite_run(struct sqlite *sqlite, const char *sql, struct error *error);
/* The first column of the first row as a number (a PRAGMA's value). ERR_NOT_FOUND without a row. */
MUST_USE enum err sqlite_number(struct sqlite *sqlite, const char *sql, int64_t *ret,
                                struct error *error);
/* Whether any statement failed in a way after which the file is not to be trusted unseen (full,
 * input or output). Stays true until the connection is closed. */
bool sqlite_is_broken(const struct sqlite *sqlite);

/* The error of the last call on this connection that gave `result`, in our terms: full, busy and
 * input/output are ERR_STORAGE, a damaged file ERR_CORRUPT, a taken key ERR_CONFLICT, a missing
 * foreign key ERR_NOT_FOUND. */
enum err sqlite_failed(struct sqlite *sqlite, int result, struct error *error);

/* What store_job.run is given: one open transaction on one connection. */
struct store_tx {
    struct sqlite *sqlite;
};

/* One run of one statement. Errors stick: bind and step as if all went well, ask query_end. */
struct query {
    struct sqlite *sqlite;
    sqlite3_stmt *statement;
    int next_parameter;
    int next_column;
    int result;
};

/* Begins; `sql` is a string literal (its address is the key). Never fails by itself. */
struct query query_begin(struct sqlite *sqlite, const char *sql);
/* Bind the next parameter. Text is borrowed until query_end; STR_NONE binds an empty text, an id
 * that is none binds NULL. */
void query_bind_text(struct query *query, struct str text);
void query_bind_blob(struct query *query, struct str bytes);
void query_bind_int(struct query *query, int64_t number);
void query_bind_id(struct query *query, const struct id *id);
/* The next row: true when there is one. Columns are read in order, each once. */
bool query_next(struct query *query);
/* The same, for reading into `arena`: ends with ERR_TOO_BIG once the arena is over its maximum. */
bool query_next_into(struct query *query, const struct arena *arena);
struct str query_text(struct query *query, struct arena *arena);
struct str query_blob(struct query *query, struct arena *arena);
int64_t query_int(struct query *query);
struct id query_id(struct query *query);
/* Gives the statement back and says how it went. Must be called once. */
MUST_USE enum err query_end(struct query *query, struct error *error);
/* Runs a statement without rows to its end: query_next and query_end. */
MUST_USE enum err query_run(struct query *query, struct error *error);
/* The same; *ret_changed: how many rows it changed, 0 when it failed. */
MUST_USE enum err query_run_counted(struct query *query, int *ret_changed, struct error *error);
/* The same; ERR_NOT_FOUND ("no such <what>") when it changed no row. */
MUST_USE enum err query_run_one(struct query *query, const char *what, struct error *error);
