/* The head of an answer: between the router, which knows how it came to be, and the client. */
#include "api/completion_head.h"

#include "api/origin.h"
#include "net/http_put.h"

static void write_losses(struct api_request *request, struct route_call *call, struct str unmapped)
{
    struct buf names;
    buf_init(&names, 8192);
    if (!route_is_raw(call)) {
        llm_losses_write(route_losses(call), &names, 4000);
        if (unmapped.len)
            buf_printf(&names, "%s%.*s", names.len ? ", " : "", STR_ARG(unmapped));
    }
    if (names.len)
        http_respond_header_if_valid(request->exchange, "x-parley-dropped", buf_str(&names));
    buf_done(&names);
}

/* Microseconds as milliseconds with three decimals. */
static char *put_ms(char *at, uint64_t us)
{
    at = http_put(http_put_number(at, us / 1000), STR("."));
    for (unsigned place = 100; place; place /= 10)
        *at++ = (char)('0' + us / place % 10);
    return at;
}

/* What every answer has, in one piece. */
static void write_counts(struct api_request *request, struct route_call *call)
{
    char lines[192]; /* its words, and two numbers */
    char *end = http_put(lines, STR("x-parley-attempts: "));
    end = http_put_number(end, (uint64_t)route_attempts(call));
    end = http_put(end, STR("\r\nx-parley-overhead-ms: "));
    end = put_ms(end, route_overhead_us(call));
    end = http_put(end, STR("\r\ncache-control: no-cache\r\n"));
    http_respond_header_lines(request->exchange, STR_FROM(lines, (size_t)(end - lines)));
}

/* Nothing where the cache has no part in it. */
static void write_cached(struct api_request *request, struct route_call *call)
{
    struct http_exchange *exchange = request->exchange;
    char number[STR_U64_BYTES_MAX];
    uint64_t age_ms;
    enum route_cached cached = route_cached(call, &age_ms);
    if (cached == ROUTE_CACHE_OFF)
        return;
    bool is_hit = cached == ROUTE_CACHE_HIT;
    http_respond_header(exchange, "x-parley-cache", is_hit ? STR("hit") : STR("miss"));
    if (is_hit)
        http_respond_header(exchange, "age", STR_FROM(number, str_from_u64(age_ms / 1000, number)));
}

void completion_write_head(struct api_request *request, struct route_call *call,
                           struct str unmapped, bool has_failed)
{
    struct http_exchange *exchange = request->exchange;
    struct str target = route_target(call).id;
    bool is_asked = route_attempts(call) > 0 || !has_failed; /* else it was refused */
    if (is_asked)
        http_respond_header_if_valid(exchange, "x-parley-target", target);
    write_counts(request, call);
    if (route_is_shared(call))
        http_respond_header(exchange, "x-parley-coalesced", STR("true"));
    write_cached(request, call);
    api_write_limits(request, route_limits(call));
    write_losses(request, call, unmapped);
}
