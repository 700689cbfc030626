/* The sums of the ledger for the limiter: one question for each kind of subject and period. */
#include "route/ledger_restore.h"

#include <time.h>

#include "base/assert.h"
#include "route/ledger_block.h"
#include "store/store.h"

static const struct subject_kind {
    enum quota_kind kind;
    enum store_usage_kind sums;
    enum store_usage_field field;
} kinds[] = {
    {QUOTA_KEY, STORE_USAGE_ALL, STORE_FIELD_KEY},
    {QUOTA_USER, STORE_USAGE_ALL, STORE_FIELD_USER},
    {QUOTA_MODEL, STORE_USAGE_ALL, STORE_FIELD_MODEL},
    {QUOTA_GROUP, STORE_USAGE_GROUP, STORE_FIELD_NAME},
    {QUOTA_TAG, STORE_USAGE_TAG, STORE_FIELD_NAME},
};

struct restoring {
    struct limiter *limiter;
    int64_t wall_ms;
    enum quota_kind kind;
    enum quota_period period;
};

int64_t ledger_period_day(enum quota_period period, int64_t wall_ms)
{
    int64_t day = ledger_day(wall_ms);
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm parts;
    switch (period) {
    case QUOTA_WEEK: /* day 0 was a Thursday */
        return day - (day + 3) % 7;
    case QUOTA_MONTH:
        ASSERT(gmtime_r(&seconds, &parts));
        return day - (parts.tm_mday - 1);
    default:
        return day;
    }
}

static void restore_one(void *user, const struct str by[STORE_USAGE_BY_MAX],
                        const struct store_sums *sums)
{
    const struct restoring *restoring = user;
    if (!by[0].len)
        return; /* of sessions: no key; of Parley itself: no person */
    limiter_restore(restoring->limiter, (struct limiter_subject){restoring->kind, by[0]},
                    restoring->period, sums->requests, sums->tokens_input + sums->tokens_output,
                    sums->cost_nano, restoring->wall_ms);
}

static enum err restore_all(struct store_tx *tx, void *user, struct error *error)
{
    struct restoring *restoring = user;
    enum err code = ERR_OK;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        restoring->kind = kinds[i].kind;
        for (int period = QUOTA_DAY; period < QUOTA_PERIODS && code == ERR_OK; period++) {
            restoring->period = (enum quota_period)period;
            const struct store_usage_question question = {
                .kind = kinds[i].sums,
                .from_day = ledger_period_day(restoring->period, restoring->wall_ms),
                .to_day = ledger_day(restoring->wall_ms) + 1,
                .by = {kinds[i].field},
                .limit = LIMITER_NODES_MAX};
            code = store_usage_ask(tx, &question, restore_one, restoring, error);
        }
    }
    return code;
}

enum err ledger_restore(struct store *store, struct limiter *limiter, int64_t wall_ms,
                        struct error *error)
{
    struct restoring restoring = {.limiter = limiter, .wall_ms = wall_ms};
    return store_read_now(store, restore_all, &restoring, error);
}
