/* Fuzzes the reading of rate-limit headers: lines, each a known header (by its first byte) and its
 * value. Whatever comes, only numbers that a pacer can reckon with come out. */
#include <string.h>

#include "base/assert.h"
#include "llm/limits.h"

enum { LINES_MAX = 32, DAY_MS = 24 * 60 * 60 * 1000 };

static const char *const names[] = {
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-reset",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
    "anthropic-ratelimit-input-tokens-reset",
    "retry-after",
};
enum { NAME_COUNT = sizeof names / sizeof names[0] };

static bool check(struct llm_limit limit)
{
    ASSERT(limit.limit >= -1 && limit.limit <= 1000000000000);
    ASSERT(limit.remaining >= -1 && limit.remaining <= 1000000000000);
    ASSERT(limit.reset_ms >= -1 && limit.reset_ms <= DAY_MS);
    return limit.limit >= 0 || limit.remaining >= 0 || limit.reset_ms >= 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t wall_ms = 0;
    if (size < sizeof wall_ms)
        return 0;
    memcpy(&wall_ms, data, sizeof wall_ms);
    struct str text = STR_FROM((const char *)data + sizeof wall_ms, size - sizeof wall_ms);
    struct http_header items[LINES_MAX];
    struct http_headers headers = {items, 0, LINES_MAX};
    while (text.data && headers.count < LINES_MAX) {
        struct str line = str_next(&text, '\n');
        if (line.len == 0)
            continue;
        items[headers.count++] = (struct http_header){
            str_from_cstr(names[(unsigned char)line.data[0] % NAME_COUNT]), str_skip(line, 1)};
    }
    struct llm_limits limits;
    bool found = llm_limits_read(&headers, wall_ms, &limits);
    bool requests = check(limits.requests), tokens = check(limits.tokens);
    ASSERT(found == (requests || tokens));
    return 0;
}
