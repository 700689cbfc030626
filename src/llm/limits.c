/* Limits: the provider's own word on how much may still be sent. The pacer learns from it, so what
 * makes no sense must not reach it. */
#include "llm/limits.h"

#include "base/clock.h"
#include "llm/dialect.h"

enum { DAY_MS = 24 * 60 * 60 * 1000 };
static const uint64_t count_max = 1000000000000; /* nobody allows more: nonsense */

/* The three headers of one bucket. */
struct bucket {
    const char *limit;
    const char *remaining;
    const char *reset;
};

/* The first that says anything counts. */
static const struct bucket request_buckets[] = {
    {"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"},
    {"anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining",
     "anthropic-ratelimit-requests-reset"},
    {0},
};
/* Anthropic's "tokens" are the most restrictive of its token limits; the others stand alone only
 * where that is missing. */
static const struct bucket token_buckets[] = {
    {"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"},
    {"anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining",
     "anthropic-ratelimit-tokens-reset"},
    {"anthropic-ratelimit-input-tokens-limit", "anthropic-ratelimit-input-tokens-remaining",
     "anthropic-ratelimit-input-tokens-reset"},
    {0},
};

static int64_t read_count(struct str text)
{
    uint64_t number;
    return str_to_u64(str_trim(text), &number) && number <= count_max ? (int64_t)number : -1;
}

/* A point in time that has just passed is now: clocks differ a little. */
static int64_t until_ms(double then_ms, int64_t wall_ms)
{
    double ms = then_ms - (double)wall_ms;
    if (!(ms > -(double)DAY_MS && ms < (double)DAY_MS))
        return -1;
    return ms < 0 ? 0 : (int64_t)(ms + 0.5);
}

/* Go's durations (OpenAI, Groq), seconds (Azure), RFC 3339 (Anthropic), or a point in time in
 * seconds or milliseconds since 1970. */
static int64_t read_reset(struct str text, int64_t wall_ms)
{
    enum { EPOCH_FROM = 1000000000 }; /* a larger number is a point in time */
    double number;
    text = str_trim(text);
    if (!text.len)
        return -1;
    if (str_to_double(text, &number)) {
        if (number < 0)
            return -1;
        if (number < (double)EPOCH_FROM)
            return until_ms(number * 1000, 0);
        return until_ms(number < (double)EPOCH_FROM * 100 ? number * 1000 : number, wall_ms);
    }
    int64_t duration = dialect_parse_duration_ms(text); /* which ends at a day */
    if (duration >= 0)
        return duration < DAY_MS ? duration : -1;
    int64_t date = clock_parse(text);
    return date < 0 ? -1 : until_ms((double)date, wall_ms);
}

/* False when none of the buckets is named at all. */
static bool read_buckets(const struct http_headers *headers, int64_t wall_ms,
                         const struct bucket *buckets, struct llm_limit *ret_limit)
{
    for (const struct bucket *bucket = buckets; bucket->limit; bucket++) {
        struct llm_limit limit = {
            .limit = read_count(http_headers_get(headers, bucket->limit)),
            .remaining = read_count(http_headers_get(headers, bucket->remaining)),
            .reset_ms = read_reset(http_headers_get(headers, bucket->reset), wall_ms),
        };
        if (limit.limit < 0 && limit.remaining < 0 && limit.reset_ms < 0)
            continue;
        *ret_limit = limit;
        return true;
    }
    return false;
}

static bool has_any(const struct http_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        struct str name = headers->items[i].name;
        if (str_starts_with_nocase(name, STR("x-ratelimit-")) ||
            str_starts_with_nocase(name, STR("anthropic-ratelimit-")))
            return true;
    }
    return false;
}

bool llm_limits_read(const struct http_headers *headers, int64_t wall_ms,
                     struct llm_limits *ret_limits)
{
    *ret_limits = LLM_LIMITS_UNKNOWN;
    if (!has_any(headers)) /* as most answers */
        return false;
    bool requests = read_buckets(headers, wall_ms, request_buckets, &ret_limits->requests);
    bool tokens = read_buckets(headers, wall_ms, token_buckets, &ret_limits->tokens);
    return requests || tokens;
}
