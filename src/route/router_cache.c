/* Kept answers: what one call of a router has to do with the cache. Part of the router.
 *
 *   router_look_up --> OFF          nothing asks for it, or nothing may be kept
 *                  \-> HIT          call->replay tells the answer, by router_on_retold_event
 *                  \-> MISS         call->recording notes what the caller is told
 *                        recording --END behind a good FINISH--> kept
 *                                  \--ERROR, a joint, too long, cancelled--> dropped
 *
 * A replay is told by router_tell_event as a live answer is: what looks at answers sees both. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "route/cache_key.h"
#include "route/router_internal.h"
#include "route/tape.h"

enum {
    FLAGS_BYTES_MAX = 64 * 1024,
    KEY_BYTES_BESIDE = 256, /* beside the body, about */
    GUARDRAILS_VERSION = 0  /* there are none yet */
};

/* What is to be kept, in one piece of memory: key, flags, tape. */
struct recording {
    struct cache *cache;
    struct tape tape;
    size_t key_len;
    size_t flags_len;
    uint64_t hash; /* of the key */
    bool is_streamed;
    bool has_finished; /* whole */
    bool is_raw;       /* its bytes passed through to the end */
    uint64_t lives_ms;
};

/* ---- Recording ------------------------------------------------------------------------------- */

static struct recording *recording_new(struct route_call *call, uint64_t lives_ms)
{
    struct recording *recording = calloc(1, sizeof *recording);
    ASSERT(recording);
    recording->cache = call->router->options.cache;
    recording->is_streamed = call->request.request->stream;
    recording->lives_ms = lives_ms;
    tape_init(&recording->tape, CACHE_ENTRY_BYTES_MAX);
    return recording;
}

static void recording_free(struct recording *recording)
{
    tape_done(&recording->tape);
    free(recording);
}

void router_drop_recording(struct route_call *call)
{
    if (call->recording)
        recording_free(call->recording);
    call->recording = NULL;
}

static struct str key_of(const struct recording *recording)
{
    return str_slice(buf_str(&recording->tape.bytes), 0, recording->key_len);
}

static struct str flags_of(const struct recording *recording)
{
    return str_slice(buf_str(&recording->tape.bytes), recording->key_len, recording->flags_len);
}

/* Its memory becomes the entry's, cut to its length. */
static void keep(struct route_call *call, struct recording *recording)
{
    struct facts *before = facts_of_plan(&call->plan);
    struct facts *facts = facts_of_call(call, before);
    size_t len;
    buf_fit(&recording->tape.bytes);
    struct cache_entry entry = {.hash = recording->hash,
                                .key = key_of(recording),
                                .flags = flags_of(recording),
                                .tape = tape_text(&recording->tape),
                                .facts = facts,
                                .is_streamed = recording->is_streamed,
                                .is_raw = recording->is_raw,
                                .kept_ms = loop_now_ms(call->router->options.loop),
                                .lives_ms = recording->lives_ms};
    entry.text = buf_take(&recording->tape.bytes, &len);
    cache_keep(recording->cache, &entry);
    facts_unref(facts);
    facts_unref(before);
}

/* Whether this is how a whole answer ends. A joined one is of several, and says so. */
static bool is_good_end(const struct llm_event *event)
{
    bool is_whole = event->finish == LLM_FINISH_STOP || event->finish == LLM_FINISH_LENGTH ||
                    event->finish == LLM_FINISH_TOOL_CALLS;
    return is_whole && !event->extension.len;
}

void router_record_event(struct route_call *call, const struct llm_event *event)
{
    struct recording *recording = call->recording;
    if (!recording)
        return;
    if (event->kind == LLM_EVENT_ERROR ||
        (event->kind == LLM_EVENT_FINISH && !is_good_end(event))) {
        router_drop_recording(call);
        return;
    }
    tape_add_event(&recording->tape, event);
    if (event->kind == LLM_EVENT_FINISH) {
        recording->has_finished = true;
        recording->is_raw = route_is_raw(call);
    }
    if (event->kind == LLM_EVENT_END && recording->has_finished && tape_is_whole(&recording->tape))
        keep(call, recording);
    if (event->kind == LLM_EVENT_END || !tape_is_whole(&recording->tape))
        router_drop_recording(call);
}

void router_record_bytes(struct route_call *call, struct str content_type, struct str bytes)
{
    if (call->recording)
        tape_add_bytes(&call->recording->tape, content_type, bytes);
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
                   request->raw_dialect && !call->events.on_rewind && !ask->is_alone;
    uint64_t seconds = ask->has_seconds ? ask->seconds : (uint64_t)call->plan.policy->cache_seconds;
    return applies ? seconds * 1000 : 0;
}

static bool write_key(const struct route_call *call, struct buf *out, struct buf *ret_flags)
{
    const struct route_request *request = &call->request;
    return cache_key_write(
        &(struct cache_key){.tenant = request->tenant,
                            .policy = request->origin ? request->origin->policy : NULL,
                            .door = request->raw_dialect,
                            .plan = &call->plan,
                            .model = request->request->model,
                            .chain = request->chain,
                            .chain_count = request->chain_count,
                            .routes_version = call->catalog->version,
                            .guardrails_version = GUARDRAILS_VERSION,
                            .strict = request->strict,
                            .headers = request->raw_headers,
                            .body = request->raw_body},
        out, ret_flags);
}

/* The first part of a recording: what it is found by. False: it has no key. */
static bool name_recording(const struct route_call *call, struct recording *recording)
{
    struct buf *bytes = &recording->tape.bytes, flags;
    buf_init(&flags, FLAGS_BYTES_MAX);
    buf_expect_exactly(bytes, call->request.raw_body.len + KEY_BYTES_BESIDE);
    bool is_named = write_key(call, bytes, &flags);
    recording->key_len = bytes->len;
    recording->flags_len = flags.len;
    recording->hash = cache_hash(recording->cache, buf_str(bytes));
    buf_append(bytes, buf_str(&flags));
    tape_begin(&recording->tape);
    buf_done(&flags);
    return is_named && buf_ok(bytes);
}

/* Its bytes are right only for who asks in the same mode, with the same flags. */
static bool is_raw_for(const struct route_call *call, const struct cache_entry *entry)
{
    return entry->is_raw && call->events.on_raw &&
           entry->is_streamed == call->request.request->stream &&
           str_eq(entry->flags, flags_of(call->recording));
}

static struct cache_entry *find(const struct route_call *call)
{
    const struct recording *recording = call->recording;
    const struct route_cache_ask *ask = &call->request.cache;
    uint64_t age_max_ms = recording->lives_ms - 1;
    uint64_t asked_ms = (uint64_t)ask->age_max_seconds * 1000;
    if (ask->has_age_max && asked_ms < age_max_ms)
        age_max_ms = asked_ms;
    struct cache_entry *entry = cache_find(recording->cache, key_of(recording), recording->hash,
                                           loop_now_ms(call->router->options.loop), age_max_ms);
    /* What the canonical form does not carry of bytes is a loss, and not for who is strict. */
    if (!entry || !entry->is_raw || !call->request.strict || is_raw_for(call, entry))
        return entry;
    cache_entry_unref(entry);
    return NULL;
}

/* Takes over a reference of the entry. */
static void begin_replay(struct route_call *call, struct cache_entry *entry, uint64_t began_ns)
{
    struct loop *loop = call->router->options.loop;
    const struct replay_listener listener = {router_on_retold_event, router_on_retold_raw, call};
    uint64_t now_ms = loop_now_ms(loop);
    bool is_raw = is_raw_for(call, entry);
    call->cached = ROUTE_CACHE_HIT;
    call->cached_age_ms = now_ms > entry->kept_ms ? now_ms - entry->kept_ms : 0;
    call->replay =
        replay_start(loop, entry, is_raw, (clock_monotonic_ns() - began_ns) / 1000, &listener);
    router_drop_recording(call);
    if (call->events.on_request)
        call->request.request = NULL; /* it was borrowed for the start only */
}

static void look_up(struct route_call *call, uint64_t lives)
{
    uint64_t began_ns = clock_monotonic_ns();
    call->recording = recording_new(call, lives);
    if (!name_recording(call, call->recording)) {
        router_drop_recording(call);
        return;
    }
    call->cached = ROUTE_CACHE_MISS;
    const struct route_cache_ask *ask = &call->request.cache;
    bool is_read = !ask->skips && !(ask->has_age_max && !ask->age_max_seconds);
    struct cache_entry *entry = is_read ? find(call) : NULL;
    cache_count(call->router->options.cache, entry != NULL);
    if (entry)
        begin_replay(call, entry, began_ns);
}

enum err router_look_up(struct route_call *call, struct error *error)
{
    uint64_t lives = lives_ms(call);
    if (lives)
        look_up(call, lives);
    if (call->replay || !call->request.cache.insists)
        return ERR_OK;
    return error_set(error, ERR_TIMEOUT, NULL,
                     "no answer to this request is kept, and only-if-cached allows no other");
}
