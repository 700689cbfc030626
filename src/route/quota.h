/* Quota: how much somebody may use: the limits and budgets of one subject, as a plain struct and as
 * JSON. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

/* Whose it is. The id "*" is the quota of each subject of that kind that has none of its own. */
enum quota_kind {
    QUOTA_KEY,     /* id of the key */
    QUOTA_USER,    /* id of the person */
    QUOTA_GROUP,   /* id of the group: its members together */
    QUOTA_MODEL,   /* the model or route as it is asked for */
    QUOTA_ADDRESS, /* the caller's address; an IPv6 address counts as its /64 */
    QUOTA_TAG,     /* "user:NAME" and "KEY:VALUE" of a request's metadata; budgets alone */
    QUOTA_KIND_COUNT
};
/* "key", "user", ... and back; false when unknown. */
const char *quota_kind_name(enum quota_kind kind);
bool quota_kind_find(struct str name, enum quota_kind *ret);

/* Longer ids are cut. */
enum { QUOTA_ID_BYTES_MAX = 256, QUOTA_ADDRESS_BYTES = 64 };
/* An address as it counts: an IPv6 one as its /64, which may also be given as such, or as the IPv4
 * one that it stands for. False when it is none. */
bool quota_address(struct str text, char ret[QUOTA_ADDRESS_BYTES]);

/* Of the UTC calendar; weeks begin on Monday. */
enum quota_period { QUOTA_DAY, QUOTA_WEEK, QUOTA_MONTH, QUOTA_PERIODS };
const char *quota_period_name(enum quota_period period); /* "day", ... */

/* The most that each may be: so that sums stay far from overflowing. */
enum { QUOTA_PER_MINUTE_MAX = 1000 * 1000 * 1000, QUOTA_STREAMS_MAX = 1000 * 1000 };
#define QUOTA_PER_PERIOD_MAX ((int64_t)1000 * 1000 * 1000 * 1000 * 1000)
#define QUOTA_USD_MAX        ((int64_t)1000 * 1000 * 1000)
#define QUOTA_NANO_PER_USD   ((int64_t)1000 * 1000 * 1000)

/* 0: no limit. All 0 is a quota too: as a subject's own, it lifts the one of "*". */
struct quota {
    int64_t requests_per_minute; /* token buckets: at most burst + rate x time in any time */
    int64_t tokens_per_minute;
    int64_t requests_burst; /* size of the bucket; 0: what a minute gives */
    int64_t tokens_burst;
    int64_t requests[QUOTA_PERIODS]; /* calendar counters */
    int64_t tokens[QUOTA_PERIODS];
    int64_t streams_max;              /* requests at once */
    int64_t hard_nano[QUOTA_PERIODS]; /* money, nano-dollars: refused beyond */
    int64_t soft_nano[QUOTA_PERIODS]; /* a warning beyond */
};

/* From {"requests_per_minute": 60, "requests_per_day": ..., "tokens_per_month": ..., "streams": 10,
 * "budget_per_day": 5.0 (USD), "soft_budget_per_month": ...}. Strict: ERR_INVALID names the member.
 * A burst needs its limit per minute. */
MUST_USE enum err quota_read(yyjson_val *object, struct quota *ret, struct error *error);
/* The same object back; what is 0 is left out. */
void quota_write(struct json_writer *w, const struct quota *quota);
bool quota_is_empty(const struct quota *quota);
/* Whether `kind` may have it: tags are what callers write, and have budgets alone. ERR_INVALID names
 * the member. */
MUST_USE enum err quota_check(const struct quota *quota, enum quota_kind kind, struct error *error);
/* A member by its name, for the command line: whether there is one, and whether it is money. */
bool quota_member_find(struct str name, bool *ret_is_money);
