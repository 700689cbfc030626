/* What all dialects share: waiting hints in headers and texts, and made-up call ids. The shapes and
 * classes of errors are in dialect_error.c. */
#include "llm/dialect.h"

#include <string.h>

#include "base/clock.h"
#include "base/random.h"

enum { DAY_MS = 24 * 60 * 60 * 1000 };

/* ---- Durations ------------------------------------------------------------------------------- */

struct unit {
    struct str name;
    double ms;
};

/* Longer names first where one begins with another. */
static const struct unit units[] = {
    {{"ms", 2}, 1},   {{"us", 2}, 1e-3},     {{"\xC2\xB5s", 3}, 1e-3}, {{"ns", 2}, 1e-6},
    {{"s", 1}, 1000}, {{"m", 1}, 60 * 1000}, {{"h", 1}, 3600 * 1000},  {{"d", 1}, DAY_MS},
};

/* Takes one number with its unit off the front of *text; false when there is none. */
static bool take_step(struct str *text, double *ret_ms)
{
    size_t digits = 0;
    while (digits < text->len && strchr("0123456789.", text->data[digits]) && text->data[digits])
        digits++;
    double value;
    if (!str_to_double(str_slice(*text, 0, digits), &value))
        return false;
    struct str rest = str_skip(*text, digits);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (!str_starts_with(rest, units[i].name))
            continue;
        *ret_ms = value * units[i].ms;
        *text = str_skip(rest, units[i].name.len);
        return true;
    }
    return false;
}

static int64_t cap_ms(double ms)
{
    return !(ms >= 0) ? -1 : ms > (double)DAY_MS ? DAY_MS : (int64_t)(ms + 0.5);
}

/* Reads steps ("1m", "2.5s") as far as they go. */
static int64_t take_duration_ms(struct str *text)
{
    double total = 0, step;
    if (!take_step(text, &total))
        return -1;
    while (take_step(text, &step))
        total += step;
    return cap_ms(total);
}

int64_t dialect_parse_duration_ms(struct str text)
{
    int64_t ms = take_duration_ms(&text);
    return text.len ? -1 : ms;
}

/* ---- Waiting hints --------------------------------------------------------------------------- */

/* Milliseconds from the answer's Date header until `then_ms` (wall clock); -1 without a Date. */
static int64_t until_ms(const struct http_headers *headers, double then_ms)
{
    int64_t date = clock_parse(http_headers_get(headers, "date"));
    if (date < 0)
        return -1;
    return then_ms <= (double)date ? 0 : cap_ms(then_ms - (double)date);
}

/* Seconds, a Go duration, a date, or an epoch in seconds or milliseconds. */
static int64_t parse_wait(const struct http_headers *headers, struct str text)
{
    enum { EPOCH_FROM = 1000000000 }; /* a larger number is a point in time */
    double number;
    text = str_trim(text);
    if (str_to_double(text, &number)) {
        if (number < (double)EPOCH_FROM)
            return cap_ms(number * 1000);
        return until_ms(headers, number < (double)EPOCH_FROM * 100 ? number * 1000 : number);
    }
    int64_t duration = dialect_parse_duration_ms(text);
    if (duration >= 0)
        return duration;
    int64_t date = clock_parse(text);
    return date < 0 ? -1 : until_ms(headers, (double)date);
}

/* "try again in 1.5s", "retry in 53.01s", "after 20 seconds": what stands behind the words. */
static int64_t wait_in_text(struct str message)
{
    static const char *const phrases[] = {"try again in ", "retry in ", "retry after ",
                                          "try again after "};
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        struct str phrase = str_from_cstr(phrases[i]);
        size_t at = str_find_nocase(message, phrase);
        if (at == SIZE_MAX)
            continue;
        struct str rest = str_skip(message, at + phrase.len);
        int64_t ms = take_duration_ms(&rest);
        if (ms >= 0)
            return ms;
        double seconds;
        struct str number = str_next(&rest, ' ');
        if (str_starts_with_nocase(rest, STR("second")) && str_to_double(number, &seconds))
            return cap_ms(seconds * 1000);
    }
    return -1;
}

/* The longest reset among the buckets that are empty, or a reset without a bucket. */
static int64_t wait_of_buckets(const struct http_headers *headers)
{
    static const struct {
        const char *remaining;
        const char *reset;
    } buckets[] = {
        {"x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"},
        {"x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"},
        {"x-ratelimit-remaining-tokens_usage_based", "x-ratelimit-reset-tokens_usage_based"},
        {"anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"},
        {"anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"},
        {"anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"},
        {"anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"},
        {"x-ratelimit-remaining", "x-ratelimit-reset"},
    };
    int64_t longest = -1;
    for (size_t i = 0; i < sizeof buckets / sizeof buckets[0]; i++) {
        struct str remaining = http_headers_get(headers, buckets[i].remaining);
        if (!str_eq(str_trim(remaining), STR("0")))
            continue;
        int64_t wait = parse_wait(headers, http_headers_get(headers, buckets[i].reset));
        if (wait > longest)
            longest = wait;
    }
    return longest;
}

int64_t dialect_retry_after_ms(const struct http_headers *headers, struct str message)
{
    double number;
    if (headers && str_to_double(str_trim(http_headers_get(headers, "retry-after-ms")), &number) &&
        number >= 0)
        return cap_ms(number);
    if (headers) {
        int64_t wait = parse_wait(headers, http_headers_get(headers, "retry-after"));
        if (wait >= 0)
            return wait;
    }
    int64_t wait = wait_in_text(message);
    return wait >= 0 || !headers ? wait : wait_of_buckets(headers);
}

/* ---- Call ids -------------------------------------------------------------------------------- */

struct str dialect_make_call_id(struct arena *arena)
{
    enum { LENGTH = 24 };
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    unsigned char bytes[LENGTH];
    random_bytes(bytes, sizeof bytes);
    char text[5 + LENGTH] = "call_";
    for (size_t i = 0; i < LENGTH; i++)
        text[5 + i] = letters[bytes[i] % (sizeof letters - 1)];
    return arena_str(arena, STR_FROM(text, sizeof text));
}
