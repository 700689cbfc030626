/* Coalesce: one call, many callers. Between router's callers and a call that nobody of them owns.
 *
 *   share     coalesce_join --share_begin--> GOING <--balance--> PAUSED
 *                                              |  on_call_event: END
 *                                              |  share_attend: the last follower has left
 *                                              |  coalesce_home_done
 *                                              v
 *                                            OVER (finish)
 *   joinable  from coalesce_join to share_close_log: FINISH, ERROR, a full log, or nobody left
 *
 *   follower  coalesce_join, follower_listen --follower_run: each block--> END
 *                                            \--spread: too far behind--> ERROR, END
 *                                            \--follower_leave--> gone, at any time
 *
 * What the call says becomes a chain of blocks that never change. Each follower has a place in it
 * and reads on in its own loop, woken by a message: it holds what is behind its place, so a follower
 * that is slow costs memory and holds up nobody. Who joins begins where the log does.
 *
 * Back-pressure: the call pauses while all its followers are paused. When only some are, the others
 * go on, and who is paused is cut with an error once more than COALESCE_BEHIND_BYTES_MAX wait for
 * it. For one that is not paused but as far behind, since its loop is busy, the call waits.
 *
 * Threads: the coalescer's one lock guards the table and each share's followers, log and facts;
 * blocks are read without it. The call and the end of the chain belong to the home loop, everything
 * else of a follower to its own. Either side tells the other by a message of which one at most is on
 * its way; objects are counted references, so that messages may come late. */
#include "route/coalesce_internal.h"

#include <stdlib.h>

#include "base/assert.h"

static const struct metric_definition metric_joined = {
    "parley_coalesced_total", "Requests that shared the answer to another one.", METRIC_COUNTER,
    NULL, 0};

struct coalescer *coalescer_new(struct metric_registry *metrics)
{
    struct coalescer *coalescer = calloc(1, sizeof *coalescer);
    ASSERT(coalescer);
    ASSERT(pthread_mutex_init(&coalescer->lock, NULL) == 0);
    coalescer->shares = map_new();
    coalescer->joined = metric_get(metrics, &metric_joined, "");
    return coalescer;
}

void coalescer_free(struct coalescer *coalescer)
{
    if (!coalescer)
        return;
    ASSERT(map_count(coalescer->shares) == 0);
    map_free(coalescer->shares);
    pthread_mutex_destroy(&coalescer->lock);
    free(coalescer);
}

/* ---- References and messages ----------------------------------------------------------------- */

void share_unref(struct share *share)
{
    if (atomic_fetch_sub(&share->references, 1) != 1)
        return;
    block_unref(share->last);
    facts_unref(share->facts);
    arena_free(share->arena);
}

static void share_attend(void *user);

void share_call_home(struct share *share)
{
    if (atomic_load(&share->is_over) || atomic_exchange(&share->is_posted, true))
        return;
    atomic_fetch_add(&share->references, 1);
    if (!loop_post(share->loop, &share->task, share_attend, share))
        share_unref(share);
}

struct block *share_close_log(struct share *share)
{
    struct block *first = share->first;
    if (first)
        map_remove(share->coalescer->shares, share->key);
    share->first = NULL;
    return first;
}

/* ---- Joining --------------------------------------------------------------------------------- */

/* Headers that go on to the provider are no part of the key. */
static bool has_own_headers(const struct route_request *request)
{
    const char *const *name = request->raw_dialect->forwarded;
    for (; request->raw_headers && name && *name; name++)
        if (http_headers_get(request->raw_headers, *name).len)
            return true;
    return false;
}

bool coalesce_applies(const struct coalesce_home *home, const struct route_request *request,
                      const struct route_plan *plan, const struct route_events *events)
{
    return home->coalescer && plan->policy->coalesce && request->tenant.len &&
           request->raw_body.len && request->raw_dialect && !events->on_rewind &&
           !has_own_headers(request);
}

static void add_part(struct buf *key, struct str part)
{
    buf_append(key, STR_FROM((const char *)&part.len, sizeof part.len));
    buf_append(key, part);
}

/* All that has to be the same, each part with its length before it; the body comes last. */
static void write_key(struct buf *key, const struct route_request *request,
                      const struct route_plan *plan, bool takes_raw)
{
    const char flags[] = {(char)request->request->stream, (char)takes_raw, (char)request->priority,
                          (char)request->strict};
    add_part(key, request->tenant);
    add_part(key, plan->name);
    add_part(key, request->request->model);
    add_part(key, str_from_cstr(request->raw_dialect->name));
    add_part(key, STR_FROM(flags, sizeof flags));
    for (size_t i = 0; i < request->chain_count; i++)
        add_part(key, request->chain[i]);
    add_part(key, request->raw_body);
}

static struct share *share_new(struct coalesce_home *home, struct str key,
                               const struct route_request *request, const struct route_plan *plan,
                               bool takes_raw)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct share *share = ARENA_NEW(arena, struct share);
    share->references = 1;
    share->arena = arena;
    share->coalescer = home->coalescer;
    share->key = arena_str(arena, key);
    share->raw_body = str_skip(share->key, key.len - request->raw_body.len);
    share->model = arena_str(arena, request->request->model);
    share->request_id = arena_str(arena, request->request_id);
    share->dialect = request->raw_dialect;
    share->is_streamed = request->request->stream;
    share->takes_raw = takes_raw;
    share->loop = home->loop;
    share->facts = facts_of_plan(plan);
    share->first = block_of_event(facts_ref(share->facts), &(struct llm_event){0});
    share->last = block_ref(share->first);
    list_init(&share->followers);
    list_append(&home->shares, &share->link);
    return share;
}

/* Under the lock. */
static struct follower *follower_new(struct share *share, struct loop *loop, bool has_joined)
{
    struct follower *follower = calloc(1, sizeof *follower);
    ASSERT(follower);
    atomic_fetch_add(&share->references, 1);
    follower->references = 1;
    follower->share = share;
    follower->loop = loop;
    follower->has_joined = has_joined;
    follower->place = block_ref(share->first);
    follower->facts = facts_ref(share->facts);
    follower->usage = LLM_USAGE_UNKNOWN;
    list_append(&share->followers, &follower->link);
    share->follower_count++;
    return follower;
}

/* NULL: there is no room. */
static struct follower *find_or_make(struct coalesce_home *home, struct str key,
                                     const struct route_request *request,
                                     const struct route_plan *plan, bool takes_raw,
                                     struct share **ret_new)
{
    struct coalescer *coalescer = home->coalescer;
    struct follower *follower = NULL;
    pthread_mutex_lock(&coalescer->lock);
    struct share *share = map_get(coalescer->shares, key);
    if (share && share->follower_count < COALESCE_FOLLOWERS_MAX) {
        follower = follower_new(share, home->loop, true);
    } else if (!share && map_count(coalescer->shares) < COALESCE_SHARES_MAX) {
        share = share_new(home, key, request, plan, takes_raw);
        map_set(coalescer->shares, key, share);
        follower = follower_new(share, home->loop, false);
        *ret_new = share;
    }
    pthread_mutex_unlock(&coalescer->lock);
    return follower;
}

struct follower *coalesce_join(struct coalesce_home *home, const struct route_request *request,
                               const struct route_plan *plan, const struct route_events *events,
                               struct share **ret_new)
{
    bool takes_raw = events->on_raw != NULL;
    struct follower *follower = NULL;
    struct buf key;
    buf_init(&key, COALESCE_KEY_BYTES_MAX);
    write_key(&key, request, plan, takes_raw);
    *ret_new = NULL;
    if (buf_ok(&key))
        follower = find_or_make(home, buf_str(&key), request, plan, takes_raw, ret_new);
    buf_done(&key);
    if (!follower || *ret_new)
        return follower;
    if (atomic_load(&follower->share->is_paused))
        share_call_home(follower->share); /* this one is not */
    metric_add(home->coalescer->joined, 1);
    log_info(home->log, "shared an answer", LOG_STR("request", request->request_id),
             LOG_STR("leader", follower->share->request_id));
    return follower;
}

/* ---- The shared call, on its home loop ------------------------------------------------------- */

static uint64_t bytes_behind(const struct share *share, struct follower *follower)
{
    return share->last->end_bytes - atomic_load(&follower->told_bytes);
}

static size_t count_going(struct share *share)
{
    size_t going = 0;
    LIST_EACH (&share->followers, link)
        going += !atomic_load(&LIST_ENTRY(link, struct follower, link)->is_paused);
    return going;
}

/* Who is not paused is told that there is more; who is, and too far behind while others go on, that
 * it is over. Under the lock. */
static void spread(struct share *share)
{
    bool some_go_on = count_going(share) > 0;
    LIST_EACH (&share->followers, link) {
        struct follower *follower = LIST_ENTRY(link, struct follower, link);
        bool is_paused = atomic_load(&follower->is_paused);
        if (is_paused && some_go_on && bytes_behind(share, follower) > COALESCE_BEHIND_BYTES_MAX) {
            follower_forget(follower);
            atomic_store(&follower->is_cut, true);
            follower_wake(follower);
        } else if (!is_paused) {
            follower_wake(follower);
        }
    }
}

static bool ends_log(const struct share *share)
{
    const struct block *last = share->last;
    return last->end_bytes > COALESCE_LOG_BYTES_MAX ||
           (!last->has_bytes && last->event.kind >= LLM_EVENT_FINISH);
}

/* Whether the call is to wait for its followers. */
static bool should_wait(struct share *share)
{
    bool is_late = false;
    pthread_mutex_lock(&share->coalescer->lock);
    size_t going = count_going(share);
    LIST_EACH (&share->followers, link) {
        struct follower *follower = LIST_ENTRY(link, struct follower, link);
        is_late |= !atomic_load(&follower->is_paused) &&
                   bytes_behind(share, follower) > COALESCE_BEHIND_BYTES_MAX;
    }
    pthread_mutex_unlock(&share->coalescer->lock);
    return is_late || going == 0;
}

/* A follower that catches up, resumes or joins looks at is_paused afterwards; here that is set first
 * and then looked at them once more: one of the two notices. */
static void balance(struct share *share)
{
    bool waits = should_wait(share);
    if (waits == atomic_load(&share->is_paused))
        return;
    atomic_store(&share->is_paused, waits);
    if (waits && !should_wait(share)) {
        atomic_store(&share->is_paused, false);
        return;
    }
    if (waits)
        route_pause(share->call);
    else
        route_resume(share->call);
}

/* Takes over the block, and its facts as the newest. */
static void say(struct share *share, struct block *block)
{
    struct block *before = share->last;
    struct facts *facts = share->facts;
    block_append(before, block);
    pthread_mutex_lock(&share->coalescer->lock);
    share->last = block;
    share->facts = facts_ref(block->facts);
    spread(share);
    struct block *log = ends_log(share) ? share_close_log(share) : NULL;
    pthread_mutex_unlock(&share->coalescer->lock);
    block_unref(before);
    block_unref(log);
    facts_unref(facts);
}

/* The call has ended or was cancelled: nothing is said any more, and there is nobody at home. */
static void finish(struct share *share)
{
    pthread_mutex_lock(&share->coalescer->lock);
    struct block *log = share_close_log(share);
    pthread_mutex_unlock(&share->coalescer->lock);
    block_unref(log);
    atomic_store(&share->is_over, true);
    share->call = NULL;
    list_remove(&share->link);
    share_unref(share);
}

static void on_call_event(void *user, const struct llm_event *event)
{
    struct share *share = user;
    say(share, block_of_event(facts_of_call(share->call, share->facts), event));
    if (event->kind == LLM_EVENT_END)
        finish(share);
    else
        balance(share);
}

static void on_call_bytes(void *user, struct str content_type, struct str bytes)
{
    struct share *share = user;
    say(share, block_of_bytes(facts_of_call(share->call, share->facts), content_type, bytes));
    balance(share);
}

/* The request again, from the share's own copy of its body. */
static const struct llm_request *on_call_request(void *user, struct arena *scratch)
{
    const struct share *share = user;
    struct llm_request *request = ARENA_NEW(scratch, struct llm_request);
    yyjson_val *root;
    if (json_read(scratch, share->raw_body, &root, NULL) != ERR_OK ||
        share->dialect->decode_request(scratch, root, request, NULL) != ERR_OK)
        return NULL;
    request->model = share->model;
    request->stream = share->is_streamed;
    return request;
}

void share_adopt(struct share *share, struct route_request *request)
{
    request->raw_body = share->raw_body;
    request->raw_headers = NULL; /* the first caller's, who may leave */
}

struct route_events share_events(const struct share *share)
{
    return (struct route_events){.on_event = on_call_event,
                                 .on_raw = share->takes_raw ? on_call_bytes : NULL,
                                 .on_request = on_call_request};
}

void share_begin(struct share *share, struct route_call *call, struct follower *first)
{
    struct facts *before = share->facts;
    struct facts *facts = facts_of_call(call, before);
    share->call = call;
    pthread_mutex_lock(&share->coalescer->lock);
    share->facts = facts;
    pthread_mutex_unlock(&share->coalescer->lock);
    facts_unref(first->facts);
    first->facts = facts_ref(facts);
    facts_unref(before);
}

/* What a follower's message asks for: it is paused or not any more, has caught up, or has left. */
static void share_attend(void *user)
{
    struct share *share = user;
    atomic_store(&share->is_posted, false);
    if (share->call) {
        pthread_mutex_lock(&share->coalescer->lock);
        bool is_left = list_is_empty(&share->followers);
        pthread_mutex_unlock(&share->coalescer->lock);
        if (is_left) {
            route_cancel(share->call, NULL);
            finish(share);
        } else {
            balance(share);
        }
    }
    share_unref(share);
}

void coalesce_home_init(struct coalesce_home *home, struct coalescer *coalescer, struct loop *loop,
                        struct log *log)
{
    *home = (struct coalesce_home){.coalescer = coalescer, .loop = loop, .log = log};
    list_init(&home->shares);
}

void coalesce_home_done(struct coalesce_home *home)
{
    static const struct llm_error error = {.class = ERR_UNAVAILABLE,
                                           .retry_after_ms = -1,
                                           .message = "the loop that brought this answer, which "
                                                      "several requests share, is shutting down"};
    while (!list_is_empty(&home->shares)) {
        struct share *share = LIST_ENTRY(home->shares.next, struct share, link);
        route_cancel(share->call, NULL);
        say(share, block_of_event(facts_ref(share->facts),
                                  &(struct llm_event){.kind = LLM_EVENT_ERROR, .error = &error}));
        say(share,
            block_of_event(facts_ref(share->facts), &(struct llm_event){.kind = LLM_EVENT_END}));
        finish(share);
    }
}
