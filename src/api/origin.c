/* Origin: see origin.h. Between the doors and the governor. */
#include "api/origin.h"

#include "base/clock.h"
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

/* ---- What is left ---------------------------------------------------------------------------- */

struct words {
    const char *limit;
    const char *remaining;
    const char *reset;
};
static const struct words openai_words[] = {
    {"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"},
    {"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"},
};
static const struct words anthropic_words[] = {
    {"anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining",
     "anthropic-ratelimit-requests-reset"},
    {"anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining",
     "anthropic-ratelimit-tokens-reset"},
};

static void add_number(struct api_request *request, const char *name, int64_t value)
{
    char number[STR_U64_BYTES_MAX];
    size_t len = str_from_u64(value > 0 ? (uint64_t)value : 0, number);
    http_respond_header(request->exchange, name, STR_FROM(number, len));
}

/* A moment for Anthropic's clients, a duration for the others. */
static struct str reset_text(struct api_request *request, uint64_t reset_ms, bool is_moment)
{
    char text[25];
    if (!is_moment)
        return arena_printf(request->arena, "%llu.%03llus", (unsigned long long)reset_ms / 1000,
                            (unsigned long long)reset_ms % 1000);
    clock_format_rfc3339(clock_wall_ms() + (int64_t)reset_ms, text);
    return arena_str(request->arena, str_from_cstr(text));
}

static void write_row(struct api_request *request, const struct words *words, int64_t limit,
                      int64_t remaining, uint64_t reset_ms)
{
    if (limit < 0)
        return;
    bool is_moment = request->endpoint->dialect == &dialect_anthropic;
    add_number(request, words->limit, limit);
    add_number(request, words->remaining, remaining);
    http_respond_header(request->exchange, words->reset, reset_text(request, reset_ms, is_moment));
}

void api_write_limits(struct api_request *request, const struct limiter_view *view)
{
    const struct words *words =
        request->endpoint->dialect == &dialect_anthropic ? anthropic_words : openai_words;
    if (!view)
        return;
    write_row(request, &words[0], view->requests_limit, view->requests_remaining,
              view->requests_reset_ms);
    write_row(request, &words[1], view->tokens_limit, view->tokens_remaining,
              view->tokens_reset_ms);
}
