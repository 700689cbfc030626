/* Shadow: the slow and plain way of counting, from logs. */
#include "shadow.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { DAY_S = 86400, MINUTE_US = 60 * 1000 * 1000 };
__extension__ typedef __int128 int128;

const char *invariant_name(enum invariant invariant)
{
    static const char *const names[INVARIANT_COUNT] = {
        "none", "bound", "calendar", "streams", "counts", "whole", "wait", "starved", "held",
    };
    return names[invariant];
}

void shadow_init(struct shadow *shadow, struct limiter_subject subject)
{
    memset(shadow, 0, sizeof *shadow);
    shadow->subject = subject;
}

/* ---- Limits per minute ----------------------------------------------------------------------- */

static void set_rate(struct shadow_minute *minute, int64_t per_minute, int64_t burst,
                     uint64_t at_us)
{
    minute->capacity = burst ? burst : per_minute;
    if (per_minute == 0) { /* nothing is promised about times that were without a limit */
        minute->count = 0;
        minute->rate_count = 0;
        return;
    }
    if (minute->rate_count == SHADOW_RATES) {
        minute->count = 0;
        minute->rate_count = 0;
    }
    minute->rates[minute->rate_count].from_us = at_us;
    minute->rates[minute->rate_count++].per_minute = per_minute;
}

/* What the rates have given since, in parts of a minute of a microsecond. */
static int128 given_since(const struct shadow_minute *minute, uint64_t from_us, uint64_t now_us)
{
    int128 given = 0;
    for (size_t i = 0; i < minute->rate_count; i++) {
        uint64_t begin_us = minute->rates[i].from_us > from_us ? minute->rates[i].from_us : from_us;
        uint64_t end_us = i + 1 < minute->rate_count ? minute->rates[i + 1].from_us : now_us;
        if (end_us > begin_us)
            given += (int128)(end_us - begin_us) * minute->rates[i].per_minute;
    }
    return given;
}

/* Every window that ends now. */
static bool within_bound(const struct shadow_minute *minute, uint64_t now_us)
{
    int128 sum = 0;
    for (size_t i = minute->count; i-- > 0;) {
        sum += (int128)minute->entries[i].amount * MINUTE_US;
        if (sum > (int128)minute->capacity * MINUTE_US +
                      given_since(minute, minute->entries[i].at_us, now_us))
            return false;
    }
    return true;
}

static bool admit(struct shadow_minute *minute, int64_t amount, uint64_t number, uint64_t now_us)
{
    if (minute->capacity == 0)
        return true;
    if (minute->count == SHADOW_LOG) {
        memmove(minute->entries, minute->entries + SHADOW_LOG / 2,
                SHADOW_LOG / 2 * sizeof *minute->entries);
        minute->count = SHADOW_LOG / 2;
    }
    minute->entries[minute->count++] = (struct shadow_entry){now_us, amount, number};
    return within_bound(minute, now_us);
}

void shadow_set(struct shadow *shadow, const struct quota *quota, uint64_t at_us)
{
    shadow->has_quota = quota;
    shadow->quota = quota ? *quota : (struct quota){0};
    set_rate(&shadow->requests, shadow->quota.requests_per_minute, shadow->quota.requests_burst,
             at_us);
    set_rate(&shadow->tokens, shadow->quota.tokens_per_minute, shadow->quota.tokens_burst, at_us);
}

/* ---- Calendar -------------------------------------------------------------------------------- */

static int64_t number_of(int period, int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    if (period == QUOTA_MONTH)
        return (tm.tm_year + 1900) * 12 + tm.tm_mon;
    int64_t day = seconds / DAY_S;
    return period == QUOTA_DAY ? day : day - (tm.tm_wday + 6) % 7; /* the week by its Monday */
}

void shadow_turn(struct shadow *shadow, int64_t wall_ms)
{
    for (int i = 0; i < QUOTA_PERIODS; i++) {
        int64_t index = number_of(i, wall_ms);
        /* A clock set back, by less than a period here, changes nothing for who is known. */
        if (index > shadow->periods[i].index || !shadow->is_known)
            shadow->periods[i] = (struct shadow_period){.index = index};
    }
}

static bool exceeds(int64_t limit, int64_t sum)
{
    return limit && sum > limit;
}

/* Whether a limit of a period is exceeded by what was used, is held, and would come. */
static bool is_over(const struct shadow *shadow, int period, int64_t requests, int64_t tokens,
                    int64_t cost_nano, bool pays)
{
    const struct quota *quota = &shadow->quota;
    const struct shadow_period *used = &shadow->periods[period];
    return exceeds(quota->requests[period], used->requests + requests) ||
           exceeds(quota->tokens[period], used->tokens + shadow->held_tokens + tokens) ||
           (pays &&
            exceeds(quota->hard_nano[period], used->cost_nano + shadow->held_nano + cost_nano));
}

/* ---- Events ---------------------------------------------------------------------------------- */

enum invariant shadow_grant(struct shadow *shadow, const struct limiter_ask *ask, uint64_t number,
                            char text[SHADOW_TEXT])
{
    shadow->streams++;
    shadow->held_tokens += ask->tokens;
    shadow->held_nano += ask->cost_nano;
    for (int i = 0; i < QUOTA_PERIODS; i++)
        shadow->periods[i].requests++;
    snprintf(text, SHADOW_TEXT, "%s %.*s, %lld tokens", quota_kind_name(shadow->subject.kind),
             STR_ARG(shadow->subject.id), (long long)ask->tokens);
    if (exceeds(shadow->quota.streams_max, shadow->streams))
        return INVARIANT_STREAMS;
    for (int i = 0; i < QUOTA_PERIODS; i++)
        if (is_over(shadow, i, 0, 0, 0, ask->cost_nano > 0))
            return INVARIANT_CALENDAR;
    bool holds = admit(&shadow->requests, 1, number, ask->now.monotonic_us);
    holds &= admit(&shadow->tokens, ask->tokens, number, ask->now.monotonic_us);
    return holds ? INVARIANT_NONE : INVARIANT_BOUND;
}

enum invariant shadow_refuse(const struct shadow *shadow, const struct limiter_ask *ask,
                             const struct limiter_refusal *refusal, char text[SHADOW_TEXT])
{
    snprintf(text, SHADOW_TEXT, "%s %.*s refused for %s", quota_kind_name(shadow->subject.kind),
             STR_ARG(shadow->subject.id), refusal->what);
    if (strcmp(refusal->what, "requests at once") == 0)
        return shadow->quota.streams_max && shadow->streams >= shadow->quota.streams_max
                   ? INVARIANT_NONE
                   : INVARIANT_STREAMS;
    if (strstr(refusal->what, "per minute"))
        return INVARIANT_NONE; /* its wait is put to the test */
    if (strcmp(refusal->what, "tokens in one burst") == 0)
        return ask->tokens > refusal->limit && refusal->is_never ? INVARIANT_NONE : INVARIANT_BOUND;
    for (int i = 0; i < QUOTA_PERIODS; i++)
        if (is_over(shadow, i, 1, ask->tokens, ask->cost_nano, ask->cost_nano > 0))
            return INVARIANT_NONE;
    return INVARIANT_CALENDAR;
}

void shadow_settle(struct shadow *shadow, uint64_t number, int64_t held_tokens, int64_t held_nano,
                   int64_t tokens, int64_t cost_nano)
{
    shadow->streams--;
    shadow->held_tokens -= held_tokens;
    shadow->held_nano -= held_nano;
    for (int i = 0; i < QUOTA_PERIODS; i++) {
        shadow->periods[i].tokens += tokens;
        shadow->periods[i].cost_nano += cost_nano;
    }
    for (size_t i = 0; i < shadow->tokens.count; i++) {
        struct shadow_entry *entry = &shadow->tokens.entries[i];
        if (entry->number == number && tokens < entry->amount)
            entry->amount = tokens;
    }
}
