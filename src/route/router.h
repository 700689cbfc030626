/* Router: takes a canonical request to somebody who answers it, and brings the answer back, whole,
 * whatever the providers do: see flow.h for how. One per loop. */
#pragma once

#include "base/json.h"
#include "base/metric.h"
#include "route/catalog.h"
#include "route/flow.h"

struct router;
struct route_call;
struct coalescer; /* see coalesce.h */
struct governor;  /* see governor.h */
struct governor_origin;
struct cache;               /* see cache.h */
struct passthrough_members; /* see llm/passthrough.h */

struct router_options {
    struct loop *loop;
    struct http_client *client;
    struct registry *registry;
    struct coalescer *coalescer; /* the program's; NULL: no answer is shared */
    struct governor *governor;   /* the loop's; NULL: nobody is limited, and no rows are written */
    struct cache *cache;         /* the program's; NULL: no answer is kept */
    struct metric_registry *metrics;
    struct log *log;
};

struct router *router_new(const struct router_options *options);
/* After all its calls have ended. Answers of its own that calls on other loops share end with an
 * error. */
void router_free(struct router *router);
/* Whether answers are under way here that several calls share, perhaps all on other loops. */
bool router_is_sharing(const struct router *router);

/* What a request says of kept answers. Zeroed: nothing, its route decides. */
struct route_cache_ask {
    bool has_seconds; /* instead of the route's cache_seconds; 0: neither read nor kept */
    bool has_age_max;
    bool skips;         /* whatever is kept: a new answer, which may be kept */
    bool keeps_nothing; /* of its own answer; one that is kept may be given */
    bool insists;       /* without a kept answer it is ERR_TIMEOUT */
    uint32_t seconds;
    uint32_t age_max_seconds;
};

struct route_request {
    /* Borrowed until END or cancel; with route_events.on_request only during route_start. Its model names a route, a model, or (empty) the default. */
    const struct llm_request *request;
    const struct str *chain; /* further routes or models, tried after it in this order; borrowed
                                during the start */
    size_t chain_count;
    enum cell_priority priority;
    /* The caller's own bytes and their dialect: forwarded unchanged but for the model when the
     * target speaks the same one. Borrowed until END or cancel; STR_NONE when there are none. */
    struct str raw_body;
    const struct passthrough_members
        *raw_members;                       /* of raw_body; borrowed during the start; NULL: not
                                                      known */
    const struct http_headers *raw_headers; /* that came with it, of which the dialect forwards
                                               some; NULL: none */
    const struct dialect *raw_dialect;
    bool
        strict; /* what a target's form would lose rules it out; without another one: ERR_INVALID */
    struct str request_id; /* for the log */
    /* Who is asking: only requests of one tenant may share an answer, where the route orders that.
     * What shares one also has a raw_body, equal to the byte, and no on_rewind; so runs do not.
     * Empty: never shared. Borrowed during the start. */
    struct str tenant;
    /* Who asks, for limits and the ledger; borrowed during the start. NULL: nobody is to pay. */
    const struct governor_origin *origin;
    struct route_cache_ask cache;
};

struct limiter_view;

struct route_events {
    /* As llm_call_events.on_event; what comes before the first content is told together with it. */
    void (*on_event)(void *user, const struct llm_event *event);
    /* Only when the answer passes through unchanged: its bytes, see llm_call_events.on_raw. May be
     * NULL (then nothing does). */
    void (*on_raw)(void *user, struct str content_type, struct str bytes);
    /* The text of the answer is only its first `text_bytes` bytes: another target goes on from
     * there. NULL when the caller can take nothing back (then what was shown is never changed). */
    void (*on_rewind)(void *user, size_t text_bytes);
    /* There is more to the story (route_write_story) than before: an attempt failed, another one
     * began after it, or an answer was joined. May be NULL; nothing comes of a shared answer. */
    void (*on_story)(void *user);
    /* The request once more, in `scratch`, for a further attempt; NULL when that cannot be (the
     * attempt fails). Saves who keeps its bytes anyway from keeping it decoded. May be NULL. */
    const struct llm_request *(*on_request)(void *user, struct arena *scratch);
};

/* Who answers. */
struct route_target {
    struct str id; /* "provider/model" */
    struct str provider;
};

/* Starts; the contract of every start. Errors: those of catalog_plan, and ERR_TIMEOUT when only a
 * kept answer was asked for and there is none. Everything else that goes
 * wrong, also at once, is told as ERROR and END. */
MUST_USE enum err route_start(struct router *router, const struct route_request *request,
                              const struct route_events *events, void *user,
                              struct route_call **ret_call, struct error *error);
/* Nothing is heard after it returns; ret_usage may be NULL. Allowed inside callbacks. */
void route_cancel(struct route_call *call, struct llm_usage *ret_usage);
void route_pause(struct route_call *call);
void route_resume(struct route_call *call);

/* ---- Asking: valid until END has been heard, in its callback too ------------------------------ */
/* Who answers, or is asked now. */
struct route_target route_target(const struct route_call *call);
/* Whether the event that is being told has come as bytes too. */
bool route_is_raw(const struct route_call *call);
/* Whether it joined the answer to an earlier request. What is asked of such a call is answered for
 * the event that is being told. Its ret_usage is the newest that it was told. */
bool route_is_shared(const struct route_call *call);
/* What the encoding of the answered request lost, for the x-parley-dropped header. */
const struct llm_losses *route_losses(const struct route_call *call);
int route_attempts(const struct route_call *call);
/* What the cache had to do with it. */
enum route_cached { ROUTE_CACHE_OFF, ROUTE_CACHE_MISS, ROUTE_CACHE_HIT };
/* *ret_age_ms (may be NULL): how old the answer is, with HIT. */
enum route_cached route_cached(const struct route_call *call, uint64_t *ret_age_ms);
/* What Parley itself took of the time to the first content. */
uint64_t route_overhead_us(const struct route_call *call);
/* What is left of the caller's limits; NULL: nobody asked. */
const struct limiter_view *route_limits(const struct route_call *call);
/* What the caller's form could not carry of the answer, for the ledger: names, before END has been
 * heard or while it is. Copied. */
void route_lost(struct route_call *call, struct str names);
/* Whether there is more to say than who answered: attempts that failed, or joints. */
bool route_has_story(const struct route_call *call);
/* Writes it as an object: {"target", "attempts", "failures": [{"target", "class"}], "joints":
 * [{"text_bytes", "mode", "from", "to", "class"}]}. A failure that cut an answer off is among both.
 * `text_before`: bytes of text in front of the answer, which its joints are to be counted with. */
void route_write_story(const struct route_call *call, size_t text_before, struct json_writer *w);
