/* Usage: the ledger's blocks and the sums made of them, as records of the store. What a block's
 * bytes mean is known above (route/ledger_row.h). Each function runs inside a transaction. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/id.h"
#include "store/store.h"

/* ---- Sums: the columns, in their order -------------------------------------------------------- */
/* A request is counted with its first row, an attempt is one question to a provider. `cached` and
 * `shared` are requests that were answered without one; tokens_cached and tokens_written are parts
 * of tokens_input, tokens_reasoning of tokens_output; `unpriced` counts attempts that used tokens
 * at a target without a price. */
#define STORE_SUMS(X) X(requests) STORE_OTHER_SUMS(X)
#define STORE_OTHER_SUMS(X)                                                                        \
    X(attempts)                                                                                    \
    X(errors)                                                                                      \
    X(interrupted)                                                                                 \
    X(refused)                                                                                     \
    X(cached)                                                                                      \
    X(shared)                                                                                      \
    X(tokens_input)                                                                                \
    X(tokens_cached)                                                                               \
    X(tokens_written)                                                                              \
    X(tokens_output)                                                                               \
    X(tokens_reasoning)                                                                            \
    X(cost_nano)                                                                                   \
    X(unpriced)

#define STORE_SUM_MEMBER(name) int64_t name;
struct store_sums {
    STORE_SUMS(STORE_SUM_MEMBER)
};
#define STORE_SUM_ONE(name) +1
enum { STORE_SUM_COUNT = 0 STORE_SUMS(STORE_SUM_ONE) };
_Static_assert(sizeof(struct store_sums) == STORE_SUM_COUNT * sizeof(int64_t), "only the columns");
/* No sum goes beyond it: what is added stays there. */
#define STORE_SUM_MAX INT64_C(0x3fffffffffffffff)
void store_sums_add(struct store_sums *sums, const struct store_sums *more);

/* Times, as counts below bounds that each are about twice the one before. */
enum { STORE_TIME_BUCKETS = 12 };
extern const uint64_t store_time_bounds_us[STORE_TIME_BUCKETS - 1]; /* the last has none */
struct store_times {
    int64_t count;
    int64_t total_us;
    int64_t max_us;
    int64_t buckets[STORE_TIME_BUCKETS];
};
void store_times_add(struct store_times *times, uint64_t us);

/* ---- Blocks ----------------------------------------------------------------------------------- */
struct store_block {
    int64_t place; /* given by the store: grows */
    struct id ledger;
    int64_t number; /* within the ledger */
    int64_t from_ms;
    int64_t to_ms; /* of its rows' starts, both included */
    int64_t rows;
    struct str data;
};
/* *ret_inserted: false when that number is in already: then nothing has changed. */
MUST_USE enum err store_block_insert(struct store_tx *tx, const struct store_block *block,
                                     bool *ret_inserted, struct error *error);
/* The first block behind `after` (its to_ms and place; zeroed: the very first) with rows that may
 * have begun in [from_ms, to_ms), in order of to_ms. ERR_NOT_FOUND: no more. */
MUST_USE enum err store_block_next(struct store_tx *tx, struct arena *arena, int64_t from_ms,
                                   int64_t to_ms, const struct store_block *after,
                                   struct store_block *ret, struct error *error);
/* Calls `each` with the data of each block of a ledger from `number` on, in order; the bytes are
 * valid during the call. */
MUST_USE enum err store_block_each(struct store_tx *tx, const struct id *ledger, int64_t number,
                                   void (*each)(void *user, struct str data), void *user,
                                   struct error *error);

/* Deletes blocks all of whose rows began before that, the oldest first, `limit` at most; the sums stay. */
MUST_USE enum err store_block_forget(struct store_tx *tx, int64_t before_ms, int limit,
                                     int *ret_removed, struct error *error);

/* ---- Days ------------------------------------------------------------------------------------- */
enum store_usage_kind {
    STORE_USAGE_ALL, /* `name` is empty */
    STORE_USAGE_GROUP,
    STORE_USAGE_TAG
};
struct store_usage_day {
    int64_t day; /* since 1970-01-01 UTC */
    enum store_usage_kind kind;
    struct str name; /* the group's id, or the tag */
    struct str user;
    struct str key;
    struct str model;
    struct str target;
    struct store_sums sums;
};
/* Adds to what is there. */
MUST_USE enum err store_usage_add_day(struct store_tx *tx, const struct store_usage_day *day,
                                      struct error *error);

/* Whether one more tag of that user's may have a row of that day: true for one that has some, for
 * one with a quota, and for the first `tags_max` of a day. Then the row is to be added in the same
 * transaction. */
MUST_USE enum err store_usage_admit_tag(struct store_tx *tx, const struct store_usage_day *day,
                                        int64_t tags_max, bool *ret_admitted, struct error *error);

enum store_usage_field {
    STORE_FIELD_NONE,
    STORE_FIELD_USER,
    STORE_FIELD_KEY,
    STORE_FIELD_NAME,
    STORE_FIELD_MODEL,
    STORE_FIELD_TARGET,
    STORE_FIELD_DAY, /* as a number */
    STORE_FIELD_COUNT
};
enum { STORE_USAGE_BY_MAX = 3 };
struct store_usage_question {
    enum store_usage_kind kind;
    int64_t from_day;
    int64_t to_day; /* not included */
    enum store_usage_field by[STORE_USAGE_BY_MAX];
    struct str is[STORE_FIELD_COUNT]; /* the rows whose field is that; STR_NONE: all */
    int64_t limit;                    /* rows at most */
};
/* Calls `each` with one row for each combination of the fields, in their order; the texts are
 * valid during the call. */
MUST_USE enum err store_usage_ask(struct store_tx *tx, const struct store_usage_question *question,
                                  void (*each)(void *user, const struct str by[STORE_USAGE_BY_MAX],
                                               const struct store_sums *sums),
                                  void *user, struct error *error);

/* ---- Minutes ---------------------------------------------------------------------------------- */
struct store_usage_minute {
    int64_t minute; /* since 1970-01-01 UTC */
    struct str model;
    struct str target;
    struct store_sums sums;
    struct store_times duration;
    struct store_times first_content;
};
MUST_USE enum err store_usage_add_minute(struct store_tx *tx,
                                         const struct store_usage_minute *minute,
                                         struct error *error);
/* Errors of that minute by class (the name of an enum err). */
MUST_USE enum err store_usage_add_error(struct store_tx *tx,
                                        const struct store_usage_minute *minute, struct str class,
                                        int64_t count, struct error *error);
/* Those of [from, to), by minute, model and target, at most `limit`; texts as above. */
MUST_USE enum err store_usage_each_minute(struct store_tx *tx, int64_t from, int64_t to,
                                          int64_t limit,
                                          void (*each)(void *user,
                                                       const struct store_usage_minute *minute),
                                          void *user, struct error *error);
MUST_USE enum err store_usage_each_error(struct store_tx *tx, int64_t from, int64_t to,
                                         void (*each)(void *user,
                                                      const struct store_usage_minute *minute,
                                                      struct str class, int64_t count),
                                         void *user, struct error *error);
/* Forgets the minutes before that one, and how many tags the days before its day had. */
MUST_USE enum err store_usage_forget_minutes(struct store_tx *tx, int64_t before,
                                             struct error *error);
