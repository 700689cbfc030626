/* Origin: see origin.h. Between the doors and the governor. */
#include "api/origin.h"

#include "base/clock.h"
#include "net/http_put.h"
#include "route/tags.h"

enum err api_origin_open(struct api_request *request, yyjson_val *body, struct arena *arena,
                         struct api_origin *ret_origin, struct error *error)
{
    struct policy *policy = api_policy(request);
    if (!policy)
        return error_set(error, ERR_UNAUTHENTICATED, NULL, "this key is not valid any more");
    ret_origin->governor = (struct governor_origin){
        .policy = policy,
        .address = str_from_cstr(request->http->peer_address),
        .door = api_door(request),
        .tags = ret_origin->tags,
        .request_id = http_exchange_id(request->exchange),
    };
    if (body)
        ret_origin->governor.tag_count = tags_read(arena, body, ret_origin->tags);
    return ERR_OK;
}

void api_write_asked(struct api_request *request, struct str target, int attempts,
                     struct str dropped)
{
    struct http_exchange *exchange = request->exchange;
    char number[STR_U64_BYTES_MAX];
    size_t len = str_from_u64((uint64_t)attempts, number);
    if (target.len)
        http_respond_header_if_valid(exchange, "x-parley-target", target);
    http_respond_header(exchange, "x-parley-attempts", STR_FROM(number, len));
    if (dropped.len)
        http_respond_header_if_valid(exchange, "x-parley-dropped", dropped);
    http_respond_header(exchange, "cache-control", STR("no-cache"));
}

/* ---- What is left ---------------------------------------------------------------------------- */

/* What stands in front of each value of one limit: the name, and the end of the line before. */
struct words {
    struct str limit;
    struct str remaining;
    struct str reset;
};
#define WORDS(limit, remaining, reset)                                                             \
    {                                                                                              \
        STR_INIT(limit ": "), STR_INIT("\r\n" remaining ": "), STR_INIT("\r\n" reset ": ")         \
    }
static const struct words openai_words[] = {
    WORDS("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests",
          "x-ratelimit-reset-requests"),
    WORDS("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
};
static const struct words anthropic_words[] = {
    WORDS("anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining",
          "anthropic-ratelimit-requests-reset"),
    WORDS("anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining",
          "anthropic-ratelimit-tokens-reset"),
};
enum { MOMENT_BYTES = 25, LINE_BYTES_MAX = 40 + 2 + MOMENT_BYTES + 2, LINES = 2 * 3 };

static char *put_count(char *at, struct str word, int64_t value)
{
    return http_put_number(http_put(at, word), value > 0 ? (uint64_t)value : 0);
}

/* "12.034s" */
static char *put_duration(char *at, uint64_t ms)
{
    unsigned rest = (unsigned)(ms % 1000);
    at = http_put(http_put_number(at, ms / 1000), STR("."));
    *at++ = (char)('0' + rest / 100);
    *at++ = (char)('0' + rest / 10 % 10);
    *at++ = (char)('0' + rest % 10);
    *at++ = 's';
    return at;
}

static char *put_moment(char *at, uint64_t reset_ms)
{
    char text[MOMENT_BYTES];
    clock_format_rfc3339(clock_wall_ms() + (int64_t)reset_ms, text);
    return http_put(at, str_from_cstr(text));
}

/* A moment for Anthropic's clients, a duration for the others. */
static char *put_limit(char *at, const struct words *words, int64_t limit, int64_t remaining,
                       uint64_t reset_ms, bool is_moment)
{
    if (limit < 0)
        return at;
    at = put_count(at, words->limit, limit);
    at = put_count(at, words->remaining, remaining);
    at = http_put(at, words->reset);
    at = is_moment ? put_moment(at, reset_ms) : put_duration(at, reset_ms);
    return http_put(at, STR("\r\n"));
}

void api_write_limits(struct api_request *request, const struct limiter_view *view)
{
    char lines[LINES * LINE_BYTES_MAX];
    bool is_anthropic = request->endpoint->dialect == &dialect_anthropic;
    const struct words *words = is_anthropic ? anthropic_words : openai_words;
    if (!view)
        return;
    char *end = put_limit(lines, &words[0], view->requests_limit, view->requests_remaining,
                          view->requests_reset_ms, is_anthropic);
    end = put_limit(end, &words[1], view->tokens_limit, view->tokens_remaining,
                    view->tokens_reset_ms, is_anthropic);
    if (end > lines)
        http_respond_header_lines(request->exchange, STR_FROM(lines, (size_t)(end - lines)));
}
