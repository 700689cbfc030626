/* Kept answers: what one call of a router has to do with the cache. Part of the router.
 *
 *   router_expect_look_up --> OFF          nothing asks for it, or nothing may be kept
 *       \-> router_look_up ----> HIT          call->replay tells the answer, by router_on_retold_event
 *                  \-> MISS         call->recording notes what the caller is told
 *                        recording --END behind a good FINISH--> kept
 *                                  \--ERROR, a joint, too long, cancelled--> dropped
 *
 * A replay is told by router_tell_event as a live answer is: what looks at answers sees both. */
#include "base/clock.h"
#include "route/cache_key.h"
#include "route/router_internal.h"
#include "route/tape.h"

enum {
    FLAGS_BYTES_MAX = 64 * 1024,
    GUARDRAILS_VERSION = 0 /* there are none yet */
};

/* What is to be kept. Of the key's body only where its flags are, and what no other has: the call has
 * the rest. */
struct recording {
    struct str key_head; /* the key but for the body */
    struct cache_flags flags;
    uint64_t hash, family;  /* of the key, and of its head */
    struct cache_name name; /* or none */
    size_t target_count;    /* of the plan that it was named by */
    enum { OF_NOTHING, OF_BYTES, OF_EVENTS } form;
    struct tape tape;
    struct str content_type; /* of bytes */
    struct llm_usage usage;  /* likewise */
    bool is_streamed;
    bool has_finished; /* whole */
    uint64_t lives_ms;
};

/* ---- Recording ------------------------------------------------------------------------------- */

static struct recording *recording_new(struct route_call *call, uint64_t lives_ms)
{
    struct recording *recording = ARENA_NEW(call->arena, struct recording);

    recording->is_streamed = call->request.request->stream;
    recording->lives_ms = lives_ms;
    recording->usage = LLM_USAGE_UNKNOWN;
    tape_init(&recording->tape, loop_stock(call->router->options.loop), CACHE_ANSWER_BYTES_MAX);
    return recording;
}

void router_drop_recording(struct route_call *call)
{
    if (!call->recording)
        return;
    tape_done(&call->recording->tape);
    cache_stem_unpin(call->recording->name.stem);
    call->recording = NULL;
}

/* The whole key, where its parts stand. */
struct key {
    struct str parts[1 + CACHE_BODY_PARTS_MAX];
    size_t count;
};

static struct parts split_key(const struct route_call *call, const struct recording *recording,
                              struct key *ret)
{
    ret->parts[0] = recording->key_head;
    ret->count = 1 + cache_flags_split(&recording->flags, call->request.raw_body, ret->parts + 1);
    return (struct parts){ret->parts, ret->count};
}

static struct cache_id id_of(const struct route_call *call, const struct recording *recording,
                             struct key *ret_key)
{
    return (struct cache_id){split_key(call, recording, ret_key), recording->hash,
                             recording->family};
}

/* Who answered speaks the dialect of its bytes. */
static const struct dialect *dialect_of(const struct route_call *call)
{
    return flow_target(call->flow)->provider->kind->dialect;
}

static void keep(const struct route_call *call, struct recording *recording)
{
    struct loop *loop = call->router->options.loop;
    const struct llm_losses *losses = route_losses(call);
    const struct route_target target = route_target(call);
    struct key key;
    struct buf flags;
    buf_init(&flags, FLAGS_BYTES_MAX);
    loop_buf_lend(loop, &flags);
    cache_flags_write(&recording->flags, call->request.raw_body, &flags);
    const struct cache_answer answer = {.flags = buf_str(&flags),
                                        .content_type = recording->content_type,
                                        .tape = recording->tape.first,
                                        .target = target.id,
                                        .provider = target.provider,
                                        .losses = losses->items,
                                        .loss_count = losses->count,
                                        .dialect = dialect_of(call),
                                        .usage = recording->usage,
                                        .is_streamed = recording->is_streamed,
                                        .is_raw = recording->form == OF_BYTES,
                                        .kept_ms = loop_now_ms(loop),
                                        .lives_ms = recording->lives_ms};
    const struct cache_id id = id_of(call, recording, &key);
    if (buf_ok(&flags)) {
        cache_keep(call->router->cache, &id, recording->name, &answer);
        recording->name.stem = NULL;
    }
    loop_buf_keep(loop, &flags);
}

/* Whether this is how a whole answer ends. A joined one is of several, and says so. */
static bool is_good_end(const struct llm_event *event)
{
    bool is_whole = event->finish == LLM_FINISH_STOP || event->finish == LLM_FINISH_LENGTH ||
                    event->finish == LLM_FINISH_TOOL_CALLS;
    return is_whole && !event->extension.len;
}

/* Bytes say what events say: of an answer that has them, only those are recorded that tell its end. */
static void record(struct route_call *call, struct recording *recording,
                   const struct llm_event *event)
{
    if (recording->form == OF_NOTHING)
        recording->form = route_is_raw(call) ? OF_BYTES : OF_EVENTS;
    if (recording->form == OF_EVENTS)
        tape_add_event(&recording->tape, event);
    else if (event->kind == LLM_EVENT_USAGE)
        recording->usage = event->usage;
}

/* Whether nothing may be kept of an answer that says this. One that passed through must do so to its
 * end. */
static bool spoils(const struct route_call *call, const struct recording *recording,
                   const struct llm_event *event)
{
    if (event->kind == LLM_EVENT_ERROR)
        return true;
    if (event->kind != LLM_EVENT_FINISH)
        return !tape_is_whole(&recording->tape);
    return !is_good_end(event) || (recording->form == OF_BYTES && !route_is_raw(call));
}

void router_record_event(struct route_call *call, const struct llm_event *event)
{
    struct recording *recording = call->recording;
    if (!recording || (recording->form == OF_BYTES && llm_event_is_content(event->kind)))
        return;
    if (spoils(call, recording, event)) {
        router_drop_recording(call);
        return;
    }
    record(call, recording, event);
    recording->has_finished |= event->kind == LLM_EVENT_FINISH;
    if (event->kind != LLM_EVENT_END)
        return;
    if (recording->has_finished && tape_is_whole(&recording->tape))
        keep(call, recording);
    router_drop_recording(call);
}

void router_record_bytes(struct route_call *call, struct str content_type, struct str bytes)
{
    struct recording *recording = call->recording;
    if (!recording)
        return;
    if (recording->form == OF_NOTHING)
        recording->form = OF_BYTES;
    if (recording->form == OF_EVENTS) {
        router_drop_recording(call);
        return;
    }
    if (!recording->content_type.data)
        recording->content_type = arena_str(call->arena, content_type);
    tape_add_bytes(&recording->tape, bytes);
}

/* ---- Replaying ------------------------------------------------------------------------------- */

/* Nobody was asked for it: a row that says so. Who began a shared answer has no other. */
static void note_row(struct route_call *call)
{
    if (call->replay)
        governor_note(call->charge, LEDGER_CACHED, route_target(call).id, 0);
    else if (route_is_shared(call))
        governor_note(call->charge, LEDGER_SHARED, route_target(call).id, 0);
}

void router_on_retold_event(void *user, const struct llm_event *event)
{
    struct route_call *call = user;
    router_enter(call);
    router_tell_event(call, event);
    if (event->kind == LLM_EVENT_END && call->charge)
        note_row(call);
    router_leave(call);
}

void router_on_retold_raw(void *user, struct str content_type, struct str bytes)
{
    struct route_call *call = user;
    router_enter(call);
    router_tell_raw(call, content_type, bytes);
    router_leave(call);
}

/* ---- Looking up ------------------------------------------------------------------------------ */

/* How long an answer is kept, and how old it may be; 0: the cache has no part in this. A run takes
 * its words back, and nobody's requests are nobody's to give again. */
static uint64_t lives_ms(const struct route_call *call)
{
    const struct route_request *request = &call->request;
    const struct route_cache_ask *ask = &request->cache;
    bool applies = call->router->options.cache && request->tenant.len && request->raw_body.len &&
                   request->raw_dialect && !call->events.on_rewind &&
                   !(ask->skips && ask->keeps_nothing);
    uint64_t seconds = ask->has_seconds ? ask->seconds : (uint64_t)call->plan.policy->cache_seconds;
    return applies ? seconds * 1000 : 0;
}

static void write_key_head(const struct route_call *call, struct buf *out)
{
    const struct route_request *request = &call->request;
    cache_key_write(&(struct cache_key){.tenant = request->tenant,
                                        .policy = request->origin ? request->origin->policy : NULL,
                                        .door = request->raw_dialect,
                                        .plan = &call->plan,
                                        .model = request->request->model,
                                        .chain = request->chain,
                                        .chain_count = request->chain_count,
                                        .routes_version = call->catalog->version,
                                        .guardrails_version = GUARDRAILS_VERSION,
                                        .strict = request->strict,
                                        .headers = request->raw_headers},
                    out);
}

/* What a recording is found by. False: there is too much of it. */
static bool name_recording(const struct route_call *call, struct recording *recording)
{
    struct key key;
    const struct route_request *request = &call->request;
    struct buf head;
    buf_init(&head, CACHE_ANSWER_BYTES_MAX);
    loop_buf_lend(call->router->options.loop, &head);
    write_key_head(call, &head);
    recording->key_head = arena_str(call->arena, buf_str(&head));
    bool is_named = buf_ok(&head) && cache_flags_find(request->raw_dialect, request->raw_body,
                                                      request->raw_members, &recording->flags);
    loop_buf_keep(call->router->options.loop, &head);
    if (!is_named)
        return false;
    recording->hash = cache_hash(call->router->cache, split_key(call, recording, &key));
    cache_expect(call->router->cache, recording->hash);
    recording->target_count = call->plan.target_count;
    if (!request->cache.keeps_nothing)
        recording->family =
            cache_hash(call->router->cache, (struct parts){&recording->key_head, 1});
    return true;
}

static bool has_flags(const struct route_call *call, const struct cache_answer *answer)
{
    struct buf flags;
    buf_init(&flags, FLAGS_BYTES_MAX);
    cache_flags_write(&call->recording->flags, call->request.raw_body, &flags);
    bool has = buf_ok(&flags) && str_eq(answer->flags, buf_str(&flags));
    buf_done(&flags);
    return has;
}

/* Its bytes are right only for who asks in the same mode, with the same flags. */
static bool is_raw_for(const struct route_call *call, const struct cache_answer *answer)
{
    return answer->is_raw && call->events.on_raw &&
           answer->is_streamed == call->request.request->stream && has_flags(call, answer);
}

static const struct cache_answer *find(const struct route_call *call)
{
    struct recording *recording = call->recording;
    const struct route_cache_ask *ask = &call->request.cache;
    uint64_t age_max_ms = recording->lives_ms - 1;
    uint64_t asked_ms = (uint64_t)ask->age_max_seconds * 1000;
    if (ask->has_age_max && asked_ms < age_max_ms)
        age_max_ms = asked_ms;
    struct key key;
    const struct cache_wanted wanted = {.id = id_of(call, recording, &key),
                                        .now_ms = loop_now_ms(call->router->options.loop),
                                        .age_max_ms = age_max_ms};
    const struct cache_answer *answer = cache_find(call->router->cache, &wanted, call->arena,
                                                   ask->keeps_nothing ? NULL : &recording->name);
    /* What the canonical form does not carry of bytes is a loss, and not for who is strict. */
    if (!answer || !answer->is_raw || !call->request.strict || is_raw_for(call, answer))
        return answer;
    cache_let_go(answer);
    return NULL;
}

/* Takes over the answer. */
static void begin_replay(struct route_call *call, const struct cache_answer *answer,
                         uint64_t began_us)
{
    struct loop *loop = call->router->options.loop;
    const struct replay_listener listener = {router_on_retold_event, router_on_retold_raw, call};
    uint64_t now_ms = loop_now_ms(loop);
    bool is_raw = is_raw_for(call, answer);
    call->cached = ROUTE_CACHE_HIT;
    call->cached_age_ms = now_ms > answer->kept_ms ? now_ms - answer->kept_ms : 0;
    call->replay =
        replay_start(loop, answer, is_raw, clock_monotonic_ns() / 1000 - began_us, &listener);
    router_drop_recording(call);
    if (call->events.on_request)
        call->request.request = NULL; /* it was borrowed for the start only */
}

void router_expect_look_up(struct route_call *call)
{
    uint64_t lives = lives_ms(call);
    if (!lives)
        return;
    call->recording = recording_new(call, lives);
    if (!name_recording(call, call->recording))
        router_drop_recording(call);
}

/* What is left of the plan may be less than what it was named by. */
static bool is_still_named(struct route_call *call)
{
    struct recording *recording = call->recording;
    return recording->target_count == call->plan.target_count || name_recording(call, recording);
}

static void look_up(struct route_call *call)
{
    const struct route_cache_ask *ask = &call->request.cache;
    uint64_t began_us = loop_now_us(call->router->options.loop);
    const struct cache_answer *answer = NULL;
    if (!ask->skips && !(ask->has_age_max && !ask->age_max_seconds))
        answer = find(call);
    call->cached = ROUTE_CACHE_MISS;
    cache_count(call->router->options.cache, answer != NULL);
    if (answer)
        begin_replay(call, answer, began_us);
    else if (ask->keeps_nothing)
        router_drop_recording(call);
}

enum err router_look_up(struct route_call *call, struct error *error)
{
    if (call->recording && !is_still_named(call))
        router_drop_recording(call);
    if (call->recording)
        look_up(call);
    if (call->replay || !call->request.cache.insists)
        return ERR_OK;
    return error_set(error, ERR_TIMEOUT, NULL,
                     "no answer to this request is kept, and only-if-cached allows no other");
}
