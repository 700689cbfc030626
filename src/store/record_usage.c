/* Records of the ledger: blocks of rows as they are, and their sums by day and by minute. Queries
 * are made of the list of columns in usage.h; the tables are in migrations.c. */
#include "store/usage.h"

#include "store/sqlite.h"

/* ---- Sums -------------------------------------------------------------------------------------- */

/* Neither is over STORE_SUM_MAX, so that they cannot overflow. */
static int64_t add(int64_t a, int64_t b)
{
    int64_t sum = a + b;
    return sum < STORE_SUM_MAX ? sum : STORE_SUM_MAX;
}

#define ADD_MEMBER(name) sums->name = add(sums->name, more->name);
void store_sums_add(struct store_sums *sums, const struct store_sums *more)
{
    STORE_SUMS(ADD_MEMBER)
}

const uint64_t store_time_bounds_us[STORE_TIME_BUCKETS - 1] = {
    100000,   250000,   500000,   1000000,   2500000,  5000000,
    10000000, 30000000, 60000000, 120000000, 300000000};

void store_times_add(struct store_times *times, uint64_t us)
{
    size_t bucket = 0;
    int64_t time = us > (uint64_t)INT32_MAX * 1000 ? (int64_t)INT32_MAX * 1000 : (int64_t)us;
    while (bucket < STORE_TIME_BUCKETS - 1 && us > store_time_bounds_us[bucket])
        bucket++;
    times->count++;
    times->total_us = add(times->total_us, time);
    times->max_us = time > times->max_us ? time : times->max_us;
    times->buckets[bucket]++;
}

/* Pieces of queries, one for each column. */
#define COLUMN(name)   ", " #name
#define PLACE(name)    ", ?"
#define TOTAL(name)    ", sum(" #name ")"
#define ADDITION(name) ", " #name " = min(" #name " + excluded." #name ", 4611686018427387903)"
#define GREATEST(name) ", " #name " = max(" #name ", excluded." #name ")"
#define ADD_REQUESTS   "requests = requests + excluded.requests"

static void bind_sums(struct query *query, const struct store_sums *sums)
{
#define BIND_MEMBER(name) query_bind_int(query, sums->name);
    STORE_SUMS(BIND_MEMBER)
}

static void read_sums(struct query *query, struct store_sums *ret)
{
#define READ_MEMBER(name) ret->name = query_int(query);
    STORE_SUMS(READ_MEMBER)
}

/* A text or blob of the row, valid until the next step. */
static struct str borrow_text(struct query *query)
{
    int column = query->next_column++;
    const char *text = (const char *)sqlite3_column_text(query->statement, column);
    return text ? STR_FROM(text, (size_t)sqlite3_column_bytes(query->statement, column)) : STR("");
}

static struct str borrow_blob(struct query *query)
{
    int column = query->next_column++;
    const char *bytes = sqlite3_column_blob(query->statement, column);
    return bytes ? STR_FROM(bytes, (size_t)sqlite3_column_bytes(query->statement, column))
                 : STR("");
}

/* ---- Blocks ------------------------------------------------------------------------------------ */
enum err store_block_insert(struct store_tx *tx, const struct store_block *block,
                            bool *ret_inserted, struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, "INSERT INTO ledger_blocks (ledger, number, from_ms, to_ms, rows, data)"
                    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (ledger, number) DO NOTHING");
    query_bind_id(&query, &block->ledger);
    query_bind_int(&query, block->number);
    query_bind_int(&query, block->from_ms);
    query_bind_int(&query, block->to_ms);
    query_bind_int(&query, block->rows);
    query_bind_blob(&query, block->data);
    int inserted;
    enum err code = query_run_counted(&query, &inserted, error);
    *ret_inserted = inserted > 0;
    return code;
}

enum err store_block_next(struct store_tx *tx, struct arena *arena, int64_t from_ms, int64_t to_ms,
                          const struct store_block *after, struct store_block *ret,
                          struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, "SELECT place, ledger, number, from_ms, to_ms, rows, data FROM ledger_blocks"
                    " WHERE place = (SELECT place FROM ledger_blocks INDEXED BY"
                    " ledger_blocks_by_time WHERE (to_ms, place) > (max(?1, ?3), iif(?1 > ?3, -1,"
                    " ?4)) AND from_ms < ?2 ORDER BY to_ms, place LIMIT 1)");
    query_bind_int(&query, from_ms);
    query_bind_int(&query, to_ms);
    query_bind_int(&query, after->to_ms);
    query_bind_int(&query, after->place);
    bool found = query_next_into(&query, arena);
    if (found) {
        ret->place = query_int(&query);
        ret->ledger = query_id(&query);
        ret->number = query_int(&query);
        ret->from_ms = query_int(&query);
        ret->to_ms = query_int(&query);
        ret->rows = query_int(&query);
        ret->data = query_blob(&query, arena);
    }
    enum err code = query_end(&query, error);
    return code == ERR_OK && !found ? ERR_NOT_FOUND : code;
}

enum err store_block_each(struct store_tx *tx, const struct id *ledger, int64_t number,
                          void (*each)(void *user, struct str data), void *user,
                          struct error *error)
{
    struct query query = query_begin(tx->sqlite, "SELECT data FROM ledger_blocks WHERE ledger = ?"
                                                 " AND number >= ? ORDER BY number");
    query_bind_id(&query, ledger);
    query_bind_int(&query, number);
    while (query_next(&query))
        each(user, borrow_blob(&query));
    return query_end(&query, error);
}

/* Those without a row that could be read say no time: they are not old, they are of a newer version. */
enum err store_block_forget(struct store_tx *tx, int64_t before_ms, int limit, int *ret_removed,
                            struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, "DELETE FROM ledger_blocks WHERE place IN (SELECT place FROM ledger_blocks"
                    " INDEXED BY ledger_blocks_by_time WHERE to_ms > 0 AND to_ms < ?"
                    " ORDER BY to_ms LIMIT ?)");
    query_bind_int(&query, before_ms);
    query_bind_int(&query, limit);
    return query_run_counted(&query, ret_removed, error);
}

/* ---- Days -------------------------------------------------------------------------------------- */
/* clang-format off */
static const char add_day_query[] =
    "INSERT INTO usage_days (kind, day, name, user, key, model, target" STORE_SUMS(COLUMN) ")"
    " VALUES (?, ?, ?, ?, ?, ?, ?" STORE_SUMS(PLACE) ")"
    " ON CONFLICT DO UPDATE SET " ADD_REQUESTS STORE_OTHER_SUMS(ADDITION);
/* clang-format on */

enum err store_usage_add_day(struct store_tx *tx, const struct store_usage_day *day,
                             struct error *error)
{
    struct query query = query_begin(tx->sqlite, add_day_query);
    query_bind_int(&query, day->kind);
    query_bind_int(&query, day->day);
    query_bind_text(&query, day->name);
    query_bind_text(&query, day->user);
    query_bind_text(&query, day->key);
    query_bind_text(&query, day->model);
    query_bind_text(&query, day->target);
    bind_sums(&query, &day->sums);
    return query_run(&query, error);
}

enum err store_usage_admit_tag(struct store_tx *tx, const struct store_usage_day *day,
                               int64_t tags_max, bool *ret_admitted, struct error *error)
{
    struct query known = query_begin(
        tx->sqlite, "SELECT EXISTS (SELECT 1 FROM usage_days WHERE kind = 2 AND day = ?1 AND"
                    " name = ?2 AND user = ?3) OR EXISTS (SELECT 1 FROM quotas"
                    " WHERE kind = 'tag' AND id = ?2)");
    query_bind_int(&known, day->day);
    query_bind_text(&known, day->name);
    query_bind_text(&known, day->user);
    bool is_known = query_next(&known) && query_int(&known);
    enum err code = query_end(&known, error);
    *ret_admitted = is_known;
    if (code != ERR_OK || is_known)
        return code;
    struct query count =
        query_begin(tx->sqlite, "INSERT INTO usage_tag_counts (day, user, tags) VALUES (?, ?, 1)"
                                " ON CONFLICT DO UPDATE SET tags = tags + 1 WHERE tags < ?");
    query_bind_int(&count, day->day);
    query_bind_text(&count, day->user);
    query_bind_int(&count, tags_max);
    int admitted;
    code = query_run_counted(&count, &admitted, error);
    *ret_admitted = admitted > 0;
    return code;
}

/* The field that parameter `n` chooses: one query for all combinations of them. */
#define CHOSEN(n, name)                                                                            \
    "CASE " n " WHEN 1 THEN user WHEN 2 THEN key WHEN 3 THEN name WHEN 4 THEN model"               \
    " WHEN 5 THEN target WHEN 6 THEN day ELSE '' END AS " name
#define SAME(name, n) " AND (" n " IS NULL OR " name " = " n ")"

/* clang-format off */
static const char ask_query[] =
    "SELECT a, b, c" STORE_SUMS(TOTAL) " FROM (SELECT "
    CHOSEN("?1", "a") ", " CHOSEN("?2", "b") ", " CHOSEN("?3", "c") STORE_SUMS(COLUMN)
    " FROM usage_days WHERE kind = ?4 AND day >= ?5 AND day < ?6"
    SAME("user", "?8") SAME("key", "?9") SAME("name", "?10")
    SAME("model", "?11") SAME("target", "?12")
    ") GROUP BY a, b, c ORDER BY a, b, c LIMIT ?7";
/* clang-format on */

static void bind_filter(struct query *query, struct str text)
{
    if (text.data)
        query_bind_text(query, text);
    else
        query_bind_id(query, &(struct id){0}); /* NULL */
}

enum err store_usage_ask(struct store_tx *tx, const struct store_usage_question *question,
                         void (*each)(void *user, const struct str by[STORE_USAGE_BY_MAX],
                                      const struct store_sums *sums),
                         void *user, struct error *error)
{
    struct query query = query_begin(tx->sqlite, ask_query);
    for (int i = 0; i < STORE_USAGE_BY_MAX; i++)
        query_bind_int(&query, question->by[i]);
    query_bind_int(&query, question->kind);
    query_bind_int(&query, question->from_day);
    query_bind_int(&query, question->to_day);
    query_bind_int(&query, question->limit);
    for (int i = STORE_FIELD_USER; i <= STORE_FIELD_TARGET; i++)
        bind_filter(&query, question->is[i]);
    while (query_next(&query)) {
        struct str by[STORE_USAGE_BY_MAX];
        struct store_sums sums;
        for (int i = 0; i < STORE_USAGE_BY_MAX; i++)
            by[i] = borrow_text(&query);
        read_sums(&query, &sums);
        each(user, by, &sums);
    }
    return query_end(&query, error);
}

/* ---- Minutes ----------------------------------------------------------------------------------- */
/* clang-format off */
#define BUCKETS(X, name)                                                                           \
    X(name##_0) X(name##_1) X(name##_2) X(name##_3) X(name##_4) X(name##_5)                        \
    X(name##_6) X(name##_7) X(name##_8) X(name##_9) X(name##_10) X(name##_11)
#define TIMES(X)                 X(duration_count) X(duration_us) BUCKETS(X, duration)
#define FIRSTS(X)                X(first_count) X(first_us) BUCKETS(X, first)
#define OTHER_MINUTE_COLUMNS(X)  STORE_OTHER_SUMS(X) TIMES(X) FIRSTS(X)
#define MINUTE_COLUMNS(X)        X(requests) OTHER_MINUTE_COLUMNS(X)

static const char add_minute_query[] =
    "INSERT INTO usage_minutes (minute, model, target" MINUTE_COLUMNS(COLUMN)
    ", duration_us_max, first_us_max) VALUES (?, ?, ?" MINUTE_COLUMNS(PLACE) ", ?, ?)"
    " ON CONFLICT DO UPDATE SET " ADD_REQUESTS OTHER_MINUTE_COLUMNS(ADDITION)
    GREATEST(duration_us_max) GREATEST(first_us_max);
static const char each_minute_query[] =
    "SELECT minute, model, target" MINUTE_COLUMNS(COLUMN)
    ", duration_us_max, first_us_max FROM usage_minutes WHERE minute >= ? AND minute < ?"
    " ORDER BY minute, model, target LIMIT ?";
/* clang-format on */

static void bind_times(struct query *query, const struct store_times *times)
{
    query_bind_int(query, times->count);
    query_bind_int(query, times->total_us);
    for (int i = 0; i < STORE_TIME_BUCKETS; i++)
        query_bind_int(query, times->buckets[i]);
}

static void read_times(struct query *query, struct store_times *ret)
{
    ret->count = query_int(query);
    ret->total_us = query_int(query);
    for (int i = 0; i < STORE_TIME_BUCKETS; i++)
        ret->buckets[i] = query_int(query);
}

static void bind_minute(struct query *query, const struct store_usage_minute *minute)
{
    query_bind_int(query, minute->minute);
    query_bind_text(query, minute->model);
    query_bind_text(query, minute->target);
}

static void read_minute(struct query *query, struct store_usage_minute *ret)
{
    ret->minute = query_int(query);
    ret->model = borrow_text(query);
    ret->target = borrow_text(query);
}

enum err store_usage_add_minute(struct store_tx *tx, const struct store_usage_minute *minute,
                                struct error *error)
{
    struct query query = query_begin(tx->sqlite, add_minute_query);
    bind_minute(&query, minute);
    bind_sums(&query, &minute->sums);
    bind_times(&query, &minute->duration);
    bind_times(&query, &minute->first_content);
    query_bind_int(&query, minute->duration.max_us);
    query_bind_int(&query, minute->first_content.max_us);
    return query_run(&query, error);
}

enum err store_usage_add_error(struct store_tx *tx, const struct store_usage_minute *minute,
                               struct str class, int64_t count, struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, "INSERT INTO usage_minute_errors (minute, model, target, class, errors)"
                    " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
                    " SET errors = errors + excluded.errors");
    bind_minute(&query, minute);
    query_bind_text(&query, class);
    query_bind_int(&query, count);
    return query_run(&query, error);
}

enum err store_usage_each_minute(struct store_tx *tx, int64_t from, int64_t to, int64_t limit,
                                 void (*each)(void *user, const struct store_usage_minute *minute),
                                 void *user, struct error *error)
{
    struct query query = query_begin(tx->sqlite, each_minute_query);
    query_bind_int(&query, from);
    query_bind_int(&query, to);
    query_bind_int(&query, limit);
    while (query_next(&query)) {
        struct store_usage_minute minute;
        read_minute(&query, &minute);
        read_sums(&query, &minute.sums);
        read_times(&query, &minute.duration);
        read_times(&query, &minute.first_content);
        minute.duration.max_us = query_int(&query);
        minute.first_content.max_us = query_int(&query);
        each(user, &minute);
    }
    return query_end(&query, error);
}

enum err store_usage_each_error(struct store_tx *tx, int64_t from, int64_t to,
                                void (*each)(void *user, const struct store_usage_minute *minute,
                                             struct str class, int64_t count),
                                void *user, struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, "SELECT minute, model, target, class, errors FROM usage_minute_errors"
                    " WHERE minute >= ? AND minute < ? ORDER BY minute, model, target, class");
    query_bind_int(&query, from);
    query_bind_int(&query, to);
    while (query_next(&query)) {
        struct store_usage_minute minute = {0};
        read_minute(&query, &minute);
        struct str class = borrow_text(&query);
        each(user, &minute, class, query_int(&query));
    }
    return query_end(&query, error);
}

/* Each with the first minute that is kept. */
static const char *const forget_queries[] = {
    "DELETE FROM usage_minutes WHERE minute < ?",
    "DELETE FROM usage_minute_errors WHERE minute < ?",
    "DELETE FROM usage_tag_counts WHERE day < ? / 1440",
};

enum err store_usage_forget_minutes(struct store_tx *tx, int64_t before, struct error *error)
{
    enum err code = ERR_OK;
    for (size_t i = 0; i < sizeof forget_queries / sizeof forget_queries[0] && code == ERR_OK;
         i++) {
        struct query query = query_begin(tx->sqlite, forget_queries[i]);
        query_bind_int(&query, before);
        code = query_run(&query, error);
    }
    return code;
}
