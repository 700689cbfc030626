/* Relay: hands one request through to a provider. Between the doors of what is no chat, and the HTTP
 * client; governed like the router's calls, of whose tools it makes use.
 *
 *   relay_start --turn--> CHOOSING
 *   CHOOSING --try_next: a place--> ASKING          --: all are busy--> WAITING
 *            \--nobody is left: give_up--> ended    the last answer that failed, or an error
 *   WAITING --on_wake, on_timer: try_next--> CHOOSING
 *   CHOOSING --relay_begin_attempt: it is answered already--> ended
 *   ASKING --on_headers: 1xx to 3xx--> SHOWING      on_head is told: it is this one
 *          \--on_headers: 4xx, 5xx--> FAILING       the body says what is wrong
 *          \--on_error: attempt_failed--> CHOOSING, or ended
 *   FAILING --on_done, on_error: attempt_failed--> CHOOSING, or ended
 *   SHOWING --on_done--> ended                      --on_error, on_timer (silence)--> ended, broken
 *   any --relay_cancel--> ended, nothing is heard
 *
 * It is alive until on_end or relay_cancel; its memory goes when the last callback into it has
 * returned (leave). */
#include "base/assert.h"
#include "llm/dialect.h"
#include "route/plan.h"
#include "route/relay_headers.h"
#include "route/relay_internal.h"
#include "route/wake.h"

enum { ARENA_BYTES_MAX = 64 * 1024 * 1024 };

/* ---- Life ------------------------------------------------------------------------------------ */

static void relay_free(struct relay *relay)
{
    loop_timer_cancel(relay_loop(relay), &relay->timer);
    loop_task_cancel(&relay->begun_task);
    relay_targets_done(&relay->targets);
    wake_free(relay->wake);
    governor_close(relay->charge);
    buf_done(&relay->body);
    catalog_unref(relay->catalog);
    arena_free(relay->scratch);
    arena_free(relay->arena); /* the relay is in it */
}

void relay_enter(struct relay *relay)
{
    relay->depth++;
}

void relay_leave(struct relay *relay)
{
    if (--relay->depth == 0 && relay->is_over)
        relay_free(relay);
}

void relay_set_state(struct relay *relay, enum relay_state state)
{
    relay->state = state;
    loop_timer_cancel(relay_loop(relay), &relay->timer);
}

void relay_tell_end(struct relay *relay, const struct llm_error *error)
{
    if (relay->is_over)
        return;
    relay_set_state(relay, RELAY_CHOOSING);
    relay->is_over = true;
    relay->events.on_end(relay->user, error);
}

/* ---- Whom to ask ----------------------------------------------------------------------------- */

static void try_next(struct relay *relay);

/* Nobody else can be asked: the provider's own words, or an error. */
static void give_up(struct relay *relay)
{
    if (relay->has_answer)
        relay_show_failure(relay);
    relay_tell_end(relay, relay->has_answer ? NULL : &relay->error);
}

void relay_failed(struct relay *relay)
{
    relay->has_error = true;
    if (relay_targets_failed(&relay->targets, relay->candidate, &relay->error, relay_now_us(relay)))
        try_next(relay);
    else
        give_up(relay);
}

static void on_wake(void *user)
{
    struct relay *relay = user;
    relay_enter(relay);
    if (!relay->is_over && relay->state == RELAY_WAITING)
        try_next(relay);
    relay_leave(relay);
}

static void on_waited(void *user)
{
    struct relay *relay = user;
    relay_enter(relay);
    try_next(relay);
    relay_leave(relay);
}

static void wait_until(struct relay *relay, uint64_t until_us)
{
    uint64_t now = relay_now_us(relay);
    uint64_t wait_ms = until_us > now ? (until_us - now + 999) / 1000 : 1;
    relay_set_state(relay, RELAY_WAITING);
    if (until_us)
        loop_timer_set(relay_loop(relay), &relay->timer, wait_ms, on_waited, relay);
}

/* The caller's scope may have been narrowed meanwhile: then this candidate is out. */
static enum err check_scope(struct relay *relay)
{
    enum err code = relay->charge
                        ? governor_check(relay->charge, relay->candidate->target, &relay->error)
                        : ERR_OK;
    if (code == ERR_OK)
        return ERR_OK;
    cell_forget(&relay->lease, relay_now_us(relay), 0);
    relay->candidate->out = relay->has_error = true;
    relay->has_answer = false;
    return code;
}

static void try_next(struct relay *relay)
{
    struct relay_choice choice;
    relay_set_state(relay, RELAY_CHOOSING);
    for (;;) {
        relay_targets_next(&relay->targets, relay_now_us(relay), wake_fire, relay->wake, &choice);
        if (choice.verdict != RELAY_GO)
            break;
        relay->candidate = choice.candidate;
        relay->lease = choice.lease;
        enum err code = check_scope(relay);
        if (code == ERR_FORBIDDEN)
            continue;
        if (code != ERR_OK) { /* the key is gone: nobody may be asked */
            give_up(relay);
            return;
        }
        if (relay_begin_attempt(relay)) {
            relay->state = RELAY_ASKING;
            return;
        }
    }
    if (choice.verdict == RELAY_WAIT) {
        wait_until(relay, choice.until_us);
        return;
    }
    if (!relay->has_error)
        relay->error = choice.why;
    give_up(relay);
}

/* ---- Starting -------------------------------------------------------------------------------- */

/* As what it would cost by that model's name. */
static void price_whole(struct relay *relay, const struct catalog_provider *row,
                        struct target *target)
{
    struct route_plan plan;
    struct str name = relay->request.priced_as;
    if (!name.len)
        return;
    name = arena_printf(relay->arena, "%.*s/%.*s", STR_ARG(row->name), STR_ARG(name));
    if (catalog_plan(relay->catalog, relay->arena, name, NULL, 0, &plan, NULL) != ERR_OK ||
        plan.target_count != 1 || plan.groups[0].targets[0]->provider != row->provider)
        return;
    target->has_price = plan.groups[0].targets[0]->has_price;
    target->price = plan.groups[0].targets[0]->price;
}

/* A provider as a whole is one target, which no list names. */
static void plan_whole(struct relay *relay, const struct catalog_provider *row)
{
    struct target *target = ARENA_NEW(relay->arena, struct target);
    struct route_group *group = ARENA_NEW(relay->arena, struct route_group);
    const struct target **targets = ARENA_NEW_ARRAY(relay->arena, 1, const struct target *);
    relay->is_whole = true;
    target->id = arena_printf(relay->arena, "%.*s/*", STR_ARG(row->name));
    target->provider = row->provider;
    target->limits = row->limits;
    target->cell = cells_get(relay->catalog->cells, target->id);
    price_whole(relay, row, target);
    targets[0] = target;
    *group = (struct route_group){.targets = targets, .count = 1};
    relay->plan = (struct route_plan){.name = target->id,
                                      .policy = relay->catalog->policy,
                                      .groups = group,
                                      .group_count = 1,
                                      .target_count = 1};
}

/* One provider: a route of such a name leads elsewhere. */
static enum err plan_provider(struct relay *relay, const struct catalog_provider *row,
                              struct error *error)
{
    struct str *model = &relay->request.model;
    enum err code = ERR_OK;
    if (model->len) {
        *model = arena_printf(relay->arena, "%.*s/%.*s", STR_ARG(row->name), STR_ARG(*model));
        code = catalog_plan(relay->catalog, relay->arena, *model, NULL, 0, &relay->plan, error);
    }
    if (code == ERR_OK && (relay->plan.target_count != 1 ||
                           relay->plan.groups[0].targets[0]->provider != row->provider))
        plan_whole(relay, row);
    return code;
}

static enum err make_plan(struct relay *relay, struct error *error)
{
    struct relay_request *request = &relay->request;
    struct str name = request->provider;
    relay->catalog = registry_follow(relay->router->options.registry, &relay->router->catalog);
    if (!name.len)
        return catalog_plan(relay->catalog, relay->arena, request->model, request->chain,
                            request->chain_count, &relay->plan, error);
    const struct catalog_provider *row = catalog_find_provider(relay->catalog, name);
    if (!row)
        return error_set(error, ERR_NOT_FOUND, NULL, "there is no provider '%.*s'",
                         (int)(name.len < 64 ? name.len : 64), name.data);
    if (!row->provider)
        return error_set(error, ERR_UNAVAILABLE, NULL, "provider '%.*s' is not usable: %.*s",
                         STR_ARG(name), STR_ARG(row->message));
    if (!row->provider->kind->dialect)
        return error_set(error, ERR_UNSUPPORTED, NULL, "provider '%.*s' answers chats only",
                         STR_ARG(name));
    return plan_provider(relay, row, error);
}

static void begin(void *user)
{
    struct relay *relay = user;
    relay_enter(relay);
    if (relay->has_error)
        give_up(relay);
    else
        try_next(relay);
    relay_leave(relay);
}

/* What limits refuse is told a turn later. */
static void open_charge(struct relay *relay)
{
    struct governor *governor = relay->router->options.governor;
    const struct relay_request *request = &relay->request;
    const struct governor_ask ask = {
        .origin = request->origin,
        .model = request->model,
        .chain = request->chain,
        .chain_count = request->chain_count,
        .input_tokens = request->input_tokens,
        .is_free = request->is_aside,
        .output_tokens = request->output_tokens,
        .is_own = request->is_own,
    };
    if (governor)
        relay->has_error = governor_open(governor, &ask, relay->arena, &relay->plan, &relay->charge,
                                         &relay->error) != ERR_OK;
}

/* Only of what the caller's scope allows: a model that is not for him is that first. */
static void leave_out(struct relay *relay)
{
    const struct relay_request *request = &relay->request;
    if (relay->has_error || !request->may_ask ||
        plan_narrow(&relay->plan, relay->arena, request->may_ask, relay->user))
        return;
    relay->has_error = true;
    dialect_error_set(&relay->error, ERR_UNSUPPORTED, "no provider of this model can do that");
}

static struct relay *relay_new(struct router *router, const struct relay_request *request,
                               const struct relay_events *events, void *user)
{
    struct arena *arena = arena_new(ARENA_BYTES_MAX);
    struct relay *relay = ARENA_NEW(arena, struct relay);
    relay->router = router;
    relay->arena = arena;
    relay->request = *request;
    relay->request.model = arena_str(arena, request->model);
    relay->request.provider = arena_str(arena, request->provider);
    if (request->origin)
        relay->request_id = arena_str(arena, request->origin->request_id);
    relay->events = *events;
    relay->user = user;
    relay->wake = wake_new(relay_loop(relay), on_wake, relay);
    buf_init(&relay->body, 0);
    return relay;
}

enum err relay_start(struct router *router, const struct relay_request *request,
                     const struct relay_events *events, void *user, struct relay **ret_relay,
                     struct error *error)
{
    struct relay *relay = relay_new(router, request, events, user);
    enum err code = make_plan(relay, error);
    if (code != ERR_OK) {
        relay_free(relay);
        return code;
    }
    open_charge(relay);
    leave_out(relay);
    relay->request.origin = NULL;
    relay->request.chain = NULL;
    relay_targets_init(&relay->targets, relay->arena, &relay->plan, request->priority,
                       request->input_tokens, request->is_retried, &relay->router->random,
                       relay_now_us(relay));
    relay->targets.is_aside = request->is_aside;
    loop_defer(relay_loop(relay), &relay->begun_task, begin, relay);
    *ret_relay = relay;
    return ERR_OK;
}

/* ---- While it runs --------------------------------------------------------------------------- */

void relay_cancel(struct relay *relay)
{
    if (relay->is_over)
        return; /* on_end is being told */
    relay_enter(relay);
    relay->is_over = true;
    if (relay->lease.cell)
        relay_cancel_attempt(relay);
    relay_leave(relay);
}

void relay_pause(struct relay *relay)
{
    relay->is_paused = true;
    if (!relay->http || relay->state == RELAY_FAILING)
        return;
    http_call_pause(relay->http);
    loop_timer_cancel(relay_loop(relay), &relay->timer);
}

void relay_resume(struct relay *relay)
{
    relay->is_paused = false;
    if (!relay->http || relay->state == RELAY_FAILING)
        return;
    http_call_resume(relay->http);
    if (relay->state == RELAY_SHOWING)
        relay_watch_silence(relay);
}

const struct limiter_view *relay_view(const struct relay *relay)
{
    return relay->charge ? charge_view(relay->charge) : NULL;
}

int relay_attempts(const struct relay *relay)
{
    return relay->targets.attempts;
}
