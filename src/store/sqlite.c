/* The only file that calls SQLite for records; writer and backup use the handle for what is about
 * whole databases. */
#include "store/sqlite.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { STATEMENTS_MAX = 512 }; /* a power of two, well above the number of queries we have */

struct sqlite {
    sqlite3 *handle;
    bool broken;
    struct {
        const char *sql;
        sqlite3_stmt *statement;
    } statements[STATEMENTS_MAX];
};

/* Every connection: what makes it safe against a crash and against a hostile file. */
static const char settings_common[] = "PRAGMA foreign_keys = ON;"
                                      "PRAGMA trusted_schema = OFF;"
                                      "PRAGMA cell_size_check = ON;"
                                      "PRAGMA temp_store = MEMORY;"
                                      "PRAGMA wal_autocheckpoint = 0;"
                                      "PRAGMA cache_size = -16384;";
static const char *const settings_of_role[] = {
    [SQLITE_ROLE_WRITER] = "PRAGMA synchronous = FULL;"
                           "PRAGMA journal_size_limit = 67108864;",
    [SQLITE_ROLE_READER] = "PRAGMA query_only = ON;",
};

static enum err set_up(struct sqlite *sqlite, const struct sqlite_options *options,
                       struct error *error)
{
    sqlite3_busy_timeout(sqlite->handle, options->busy_timeout_ms);
    /* Before 3.51.3 two connections that reset the log at once can damage it: readers never do. */
    int closing_keeps_log = options->role == SQLITE_ROLE_READER;
    sqlite3_db_config(sqlite->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, closing_keeps_log, NULL);
    sqlite3_db_config(sqlite->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    enum err code = sqlite_exec(sqlite, settings_common, error);
    if (code != ERR_OK)
        return code;
    return sqlite_exec(sqlite, settings_of_role[options->role], error);
}

void sqlite_init(void)
{
    /* Its statistics, which nobody asks for, are a lock around every piece of memory. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

enum err sqlite_open(const struct sqlite_options *options, struct sqlite **ret_sqlite,
                     struct error *error)
{
    struct sqlite *sqlite = calloc(1, sizeof *sqlite);
    ASSERT(sqlite);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                (options->role == SQLITE_ROLE_WRITER ? SQLITE_OPEN_CREATE : 0);
    int result = sqlite3_open_v2(options->path, &sqlite->handle, flags, options->vfs);
    enum err code =
        result == SQLITE_OK ? set_up(sqlite, options, error) : sqlite_failed(sqlite, result, error);
    if (code != ERR_OK) {
        sqlite_close(sqlite);
        return code;
    }
    *ret_sqlite = sqlite;
    return ERR_OK;
}

void sqlite_close(struct sqlite *sqlite)
{
    if (!sqlite)
        return;
    for (size_t i = 0; i < STATEMENTS_MAX; i++)
        sqlite3_finalize(sqlite->statements[i].statement);
    ASSERT(sqlite3_close(sqlite->handle) == SQLITE_OK);
    free(sqlite);
}

sqlite3 *sqlite_handle(struct sqlite *sqlite)
{
    return sqlite->handle;
}

bool sqlite_is_broken(const struct sqlite *sqlite)
{
    return sqlite->broken;
}

/* ---- Errors ------------------------------------------------------------------------------------
 */
static const struct result_row {
    int result; /* extended code, or the primary one (its low byte) */
    enum err code;
    bool breaks;         /* the file is not to be trusted unseen any more */
    const char *message; /* NULL: SQLite's own */
    const char *remedy;
} result_rows[] = {
    {SQLITE_FULL, ERR_STORAGE, true, "the disk is full", "Free some disk space."},
    {SQLITE_IOERR, ERR_STORAGE, true, NULL, "Check the disk and the folder of the database."},
    {SQLITE_BUSY, ERR_STORAGE, false, "another program holds a lock on the database",
     "Close the program that has parley.db open."},
    {SQLITE_LOCKED, ERR_STORAGE, false, "the database is locked", ""},
    {SQLITE_READONLY, ERR_STORAGE, false, "the database cannot be written",
     "Check owner and mode of the files in the data directory."},
    {SQLITE_CANTOPEN, ERR_STORAGE, false, "the database cannot be opened",
     "Check owner and mode of the data directory."},
    {SQLITE_PERM, ERR_STORAGE, false, NULL, ""},
    {SQLITE_PROTOCOL, ERR_STORAGE, false, NULL, ""},
    {SQLITE_NOMEM, ERR_STORAGE, false, "out of memory", ""},
    {SQLITE_CORRUPT, ERR_CORRUPT, false, "the database is damaged", "Restore it from a backup."},
    {SQLITE_NOTADB, ERR_CORRUPT, false, "the file is not a database", ""},
    {SQLITE_TOOBIG, ERR_TOO_BIG, false, "larger than what is read or kept at once", ""},
    {SQLITE_CONSTRAINT_PRIMARYKEY, ERR_CONFLICT, false, "exists already", ""},
    {SQLITE_CONSTRAINT_UNIQUE, ERR_CONFLICT, false, "exists already", ""},
    {SQLITE_CONSTRAINT_FOREIGNKEY, ERR_NOT_FOUND, false, "what it belongs to does not exist", ""},
    {SQLITE_CONSTRAINT, ERR_INVALID, false, NULL, ""},
};

static const struct result_row *find_result(int result)
{
    static const struct result_row other = {0, ERR_INTERNAL, false, NULL, ""};
    size_t count = sizeof result_rows / sizeof result_rows[0];
    for (size_t i = 0; i < count; i++)
        if (result_rows[i].result == result)
            return &result_rows[i];
    for (size_t i = 0; i < count; i++)
        if (result_rows[i].result == (result & 0xff))
            return &result_rows[i];
    return &other;
}

enum err sqlite_failed(struct sqlite *sqlite, int result, struct error *error)
{
    const struct result_row *row = find_result(result);
    if (row->breaks)
        sqlite->broken = true;
    const char *detail = sqlite->handle ? sqlite3_errmsg(sqlite->handle) : sqlite3_errstr(result);
    if (row->message)
        error_set(error, row->code, NULL, "%s", row->message);
    else
        error_set(error, row->code, NULL, "database: %s (%d)", detail, result);
    error_remedy(error, "%s", row->remedy);
    return row->code;
}

enum err sqlite_exec(struct sqlite *sqlite, const char *sql, struct error *error)
{
    int result = sqlite3_exec(sqlite->handle, sql, NULL, NULL, NULL);
    return result == SQLITE_OK ? ERR_OK : sqlite_failed(sqlite, result, error);
}

enum err sqlite_number(struct sqlite *sqlite, const char *sql, int64_t *ret, struct error *error)
{
    struct query query = query_begin(sqlite, sql);
    bool found = query_next(&query);
    int64_t number = found ? query_int(&query) : 0;
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    if (!found)
        return error_set(error, ERR_NOT_FOUND, NULL, "no row");
    *ret = number;
    return ERR_OK;
}

/* ---- Queries -----------------------------------------------------------------------------------
 */
static size_t slot_of(const struct sqlite *sqlite, const char *sql)
{
    size_t slot = ((uintptr_t)sql >> 3) * 0x9E3779B97F4A7C15u >> 32 & (STATEMENTS_MAX - 1);
    size_t tries = 0;
    while (sqlite->statements[slot].sql && sqlite->statements[slot].sql != sql) {
        ASSERT(++tries < STATEMENTS_MAX); /* more queries than were ever written */
        slot = (slot + 1) & (STATEMENTS_MAX - 1);
    }
    return slot;
}

struct query query_begin(struct sqlite *sqlite, const char *sql)
{
    struct query query = {.sqlite = sqlite, .next_parameter = 1, .result = SQLITE_OK};
    size_t slot = slot_of(sqlite, sql);
    if (!sqlite->statements[slot].statement) {
        query.result = sqlite3_prepare_v3(sqlite->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                          &sqlite->statements[slot].statement, NULL);
        if (query.result == SQLITE_OK)
            sqlite->statements[slot].sql = sql;
    }
    query.statement = sqlite->statements[slot].statement;
    return query;
}

static void note(struct query *query, int result)
{
    if (query->result == SQLITE_OK)
        query->result = result;
}

void query_bind_text(struct query *query, struct str text)
{
    if (query->result == SQLITE_OK)
        note(query,
             sqlite3_bind_text64(query->statement, query->next_parameter++,
                                 text.data ? text.data : "", text.len, SQLITE_STATIC, SQLITE_UTF8));
}

void query_bind_blob(struct query *query, struct str bytes)
{
    if (query->result == SQLITE_OK)
        note(query, sqlite3_bind_blob64(query->statement, query->next_parameter++,
                                        bytes.data ? bytes.data : "", bytes.len, SQLITE_STATIC));
}

void query_bind_int(struct query *query, int64_t number)
{
    if (query->result == SQLITE_OK)
        note(query, sqlite3_bind_int64(query->statement, query->next_parameter++, number));
}

void query_bind_id(struct query *query, const struct id *id)
{
    if (!id_is_none(id))
        query_bind_text(query, id_str(id));
    else if (query->result == SQLITE_OK)
        note(query, sqlite3_bind_null(query->statement, query->next_parameter++));
}

bool query_next(struct query *query)
{
    query->next_column = 0;
    if (query->result != SQLITE_OK)
        return false;
    int result = sqlite3_step(query->statement);
    if (result != SQLITE_ROW && result != SQLITE_DONE)
        query->result = result;
    return result == SQLITE_ROW;
}

bool query_next_into(struct query *query, const struct arena *arena)
{
    if (arena_exceeded(arena))
        note(query, SQLITE_TOOBIG);
    return query_next(query);
}

struct str query_text(struct query *query, struct arena *arena)
{
    int column = query->next_column++;
    const char *text = (const char *)sqlite3_column_text(query->statement, column);
    int length = sqlite3_column_bytes(query->statement, column);
    return arena_str(arena, text ? STR_FROM(text, (size_t)length) : STR(""));
}

struct str query_blob(struct query *query, struct arena *arena)
{
    int column = query->next_column++;
    const char *bytes = sqlite3_column_blob(query->statement, column);
    int length = sqlite3_column_bytes(query->statement, column);
    return arena_str(arena, bytes ? STR_FROM(bytes, (size_t)length) : STR(""));
}

int64_t query_int(struct query *query)
{
    return sqlite3_column_int64(query->statement, query->next_column++);
}

struct id query_id(struct query *query)
{
    struct id id = {0};
    int column = query->next_column++;
    const char *text = (const char *)sqlite3_column_text(query->statement, column);
    if (text && sqlite3_column_bytes(query->statement, column) == ID_LENGTH)
        memcpy(id.text, text, ID_LENGTH);
    return id;
}

enum err query_end(struct query *query, struct error *error)
{
    /* Before the reset: it would overwrite the message. */
    enum err code =
        query->result == SQLITE_OK ? ERR_OK : sqlite_failed(query->sqlite, query->result, error);
    if (query->statement) {
        sqlite3_reset(query->statement);
        sqlite3_clear_bindings(query->statement);
    }
    return code;
}

enum err query_run(struct query *query, struct error *error)
{
    while (query_next(query))
        continue; /* RETURNING and PRAGMA give rows nobody asked for */
    return query_end(query, error);
}

enum err sqlite_run(struct sqlite *sqlite, const char *sql, struct error *error)
{
    struct query query = query_begin(sqlite, sql);
    return query_run(&query, error);
}

enum err query_run_counted(struct query *query, int *ret_changed, struct error *error)
{
    enum err code = query_run(query, error);
    *ret_changed = code == ERR_OK ? sqlite3_changes(query->sqlite->handle) : 0;
    return code;
}

enum err query_run_one(struct query *query, const char *what, struct error *error)
{
    int changed;
    enum err code = query_run_counted(query, &changed, error);
    if (code == ERR_OK && changed == 0)
        return error_set(error, ERR_NOT_FOUND, NULL, "no such %s", what);
    return code;
}
