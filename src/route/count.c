/* Count: one question through the relay, to the targets whose kind counts (path_count of its row), one
 * after the other. Whoever speaks the caller's own form gets the caller's own bytes, the others get a
 * translation. A count is free, and says nothing of how a target answers chats: it goes aside.
 *
 *   count_start --ask_start--> ASKING --on_end--> done is told, and it is gone:
 *                                |  the provider's count, a kept one (prepare), our estimate, or an error
 *                                \--on_slow: it takes too long--> the estimate, likewise
 *   any --count_cancel--> gone, nothing is heard */
#include "route/count.h"

#include <string.h>

#include "llm/estimate.h"
#include "route/ask.h"
#include "route/router_internal.h"

enum {
    ARENA_BYTES_MAX = 512 * 1024 * 1024,
    TIMEOUT_MS = 10000,
    ANSWER_BYTES_MAX = 64 * 1024,
    HEADERS_MAX = 8 /* that a dialect forwards */
};

struct count {
    struct ask ask; /* first; in its arena is all that is below, and the count itself */
    struct count_request request;
    count_done_fn *done;
    void *user;
    struct loop_timer timer;
    /* Of the newest attempt. */
    const struct counting_form *form; /* how the provider is asked */
    struct memo_key key;
    int64_t kept; /* when nothing was sent: the answer */
};

static struct loop *loop_of(const struct count *count)
{
    return count->ask.router->options.loop;
}

/* ---- The answer ------------------------------------------------------------------------------ */

/* The count is gone after it. */
static void tell(struct count *count, const struct count_result *result)
{
    loop_timer_cancel(loop_of(count), &count->timer);
    count->done(count->user, result);
    ask_free(&count->ask);
}

static void tell_error(struct count *count, const struct llm_error *error)
{
    tell(count, &(struct count_result){.error = error, .target = STR("")});
}

static void tell_tokens(struct count *count, int64_t tokens, enum count_source source)
{
    tell(count, &(struct count_result){.tokens = tokens,
                                       .source = source,
                                       .target = count->ask.target,
                                       .attempts = relay_attempts(count->ask.relay),
                                       .dropped = count->ask.dropped});
}

static void tell_estimate(struct count *count, int attempts)
{
    tell(count, &(struct count_result){.tokens = llm_estimate_request(count->request.asked),
                                       .source = COUNT_ESTIMATE,
                                       .target = STR(""),
                                       .attempts = attempts});
}

/* Not what a provider has said: that its classes do not hold. */
static bool is_refusal(const struct llm_error *error)
{
    return error->class == ERR_FORBIDDEN || error->class == ERR_UNAUTHENTICATED ||
           ask_is_strict_error(error);
}

static uint64_t now_ms(const struct count *count)
{
    return loop_now_ms(count->ask.router->options.loop);
}

static bool may_keep(const struct count *count)
{
    return count->request.keep_seconds && count->request.memo;
}

static void keep(struct count *count, int64_t tokens)
{
    struct str bytes = STR_FROM((const char *)&tokens, sizeof tokens);
    if (may_keep(count))
        memo_put(count->request.memo, &count->key, bytes, now_ms(count),
                 count->request.keep_seconds * 1000);
}

static void on_end(struct ask *ask, const struct llm_error *error)
{
    struct count *count = (struct count *)ask;
    int64_t tokens = -1;
    if (error && is_refusal(error)) {
        tell_error(count, error);
        return;
    }
    if (!error && !ask->status) {
        tell_tokens(count, count->kept, COUNT_CACHED);
        return;
    }
    if (!error && buf_ok(&ask->body))
        tokens = counting_decode_answer(count->form, ask->arena, buf_str(&ask->body));
    if (tokens < 0) {
        tell_estimate(count, relay_attempts(ask->relay));
        return;
    }
    keep(count, tokens);
    tell_tokens(count, tokens, COUNT_PROVIDER);
}

/* Our own estimate is there at once. */
static void on_slow(void *user)
{
    struct count *count = user;
    int attempts = relay_attempts(count->ask.relay);
    relay_cancel(count->ask.relay);
    tell_estimate(count, attempts);
}

/* It costs nothing. */
static void usage_of(void *user, const struct relay_attempt *attempt, struct str body,
                     struct llm_usage *ret_usage)
{
    (void)user, (void)attempt, (void)body;
    ret_usage->input_total = ret_usage->output_total = 0;
}

/* ---- What is sent ---------------------------------------------------------------------------- */

static const struct counting_form *form_of(const struct provider_kind *kind)
{
    return kind->path_count ? counting_form_of(kind->dialect) : NULL;
}

static bool may_ask(void *user, const struct target *target)
{
    (void)user;
    return form_of(target->provider->kind) != NULL;
}

static enum err translate(struct count *count, struct arena *scratch, struct buf *out,
                          struct error *error)
{
    const struct llm_request *asked = count->request.asked;
    const struct dialect_target target = {.model = count->ask.target_model,
                                          .quirks = count->ask.kind->quirks};
    struct llm_losses losses;
    struct buf names;
    llm_losses_init(&losses, scratch);
    enum err code =
        counting_encode_request(count->form, scratch, asked, &target, out, &losses, error);
    if (code != ERR_OK)
        return code;
    buf_init(&names, 8192);
    llm_losses_write(&losses, &names, 4000);
    llm_unmapped_write(asked, &names, 4000);
    code = ask_drop(&count->ask, buf_str(&names), error);
    buf_done(&names);
    return code;
}

/* Those that go on with a chat's own bytes, too. */
static const struct http_headers *headers_of(const struct count *count, struct arena *scratch)
{
    struct http_headers *headers = ARENA_NEW(scratch, struct http_headers);
    const char *const *name = counting_form_dialect(count->request.form)->forwarded;
    for (; count->request.headers && name && *name && headers->count < HEADERS_MAX; name++) {
        struct str value = http_headers_get(count->request.headers, *name);
        if (value.len)
            http_headers_add_view(headers, scratch, str_from_cstr(*name), value);
    }
    return headers;
}

/* By all of which it is a function, and whose it is. False: it has to be asked for. */
static bool look_up(struct count *count, const struct relay_attempt *attempt)
{
    const struct http_headers *headers = attempt->headers;
    struct str parts[4 + 2 * HEADERS_MAX] = {count->request.keeper, count->ask.target,
                                             attempt->path, attempt->body};
    struct str value = STR_NONE;
    size_t part_count = 4;
    if (!may_keep(count))
        return false;
    for (size_t i = 0; headers && i < headers->count; i++) {
        parts[part_count++] = headers->items[i].name;
        parts[part_count++] = headers->items[i].value;
    }
    count->key = memo_key_of(parts, part_count);
    bool is_found =
        memo_get(count->request.memo, &count->key, now_ms(count), count->ask.arena, &value) &&
        value.len == sizeof count->kept;
    if (is_found)
        memcpy(&count->kept, value.data, sizeof count->kept);
    return is_found;
}

static enum err prepare(void *user, struct arena *scratch, struct relay_attempt *attempt,
                        struct error *error)
{
    struct count *count = user;
    struct buf out;
    enum err code = ERR_OK;
    ask_turn(&count->ask, attempt);
    count->form = form_of(count->ask.kind);
    buf_init(&out, ASK_REQUEST_BYTES_MAX);
    if (count->form == count->request.form) {
        attempt->headers = headers_of(count, scratch);
        counting_forward(count->form, scratch, count->request.body, count->ask.target_model, &out);
    } else {
        code = translate(count, scratch, &out, error);
    }
    if (code != ERR_OK) {
        buf_done(&out);
        return code;
    }
    code = ask_send(&count->ask, scratch, attempt, count->ask.kind->path_count, &out, error);
    if (code == ERR_OK)
        attempt->is_answered = look_up(count, attempt);
    return code;
}

/* ---- Life ------------------------------------------------------------------------------------ */

enum err count_start(struct router *router, const struct count_request *request,
                     count_done_fn *done, void *user, struct count **ret_count, struct error *error)
{
    struct arena *arena = arena_new(ARENA_BYTES_MAX);
    struct count *count = ARENA_NEW(arena, struct count);
    const struct relay_request relay = {
        .origin = request->origin,
        .model = request->asked->model,
        .chain = request->chain,
        .chain_count = request->chain_count,
        .body_bytes_max = ANSWER_BYTES_MAX,
        .is_retried = true,
        .is_aside = true,
        .may_ask = may_ask,
        .prepare = prepare,
        .usage_of = usage_of,
    };
    *count = (struct count){.request = *request, .done = done, .user = user};
    ask_init(&count->ask, arena, router, on_end);
    count->ask.is_strict = request->strict;
    enum err code = ask_start(&count->ask, &relay, error);
    if (code != ERR_OK) {
        ask_free(&count->ask);
        return code;
    }
    loop_timer_set(loop_of(count), &count->timer,
                   request->timeout_ms ? request->timeout_ms : TIMEOUT_MS, on_slow, count);
    *ret_count = count;
    return ERR_OK;
}

void count_cancel(struct count *count)
{
    loop_timer_cancel(loop_of(count), &count->timer);
    ask_cancel(&count->ask);
}
