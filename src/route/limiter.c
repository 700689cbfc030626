/* Limiter: who is asked, of all loops, before anything is sent. This file is the lock, the nodes by
 * their subjects, and what is all or nothing over several; a node's own thinking is in
 * limiter_node.c.
 *
 * A subject without a quota of its own gets a node when it first asks, should "*" have one for its
 * kind. When there are many such nodes, whoever makes one looks at a few of the old ones, round and
 * round, and frees those that are idle; when there are LIMITER_NODES_MAX, those that come new share
 * one for their kind. */
#include "route/limiter.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/map.h"
#include "route/limiter_calendar.h"
#include "route/limiter_node.h"
#include "route/limiter_output.h"

enum {
    SWEEP_FROM_NODES = LIMITER_NODES_MAX / 8,
    SWEEP_STEPS = 8, /* for each new node */
    SEEN = 1024
};
/* What one request may hold: so that sums cannot overflow. */
static const int64_t ask_tokens_max = (int64_t)1000 * 1000 * 1000 * 1000;
static const int64_t ask_nano_max = (int64_t)1000 * 1000 * 1000 * 1000 * 1000;

struct limiter {
    pthread_mutex_t lock; /* guards all below but `outputs` */
    struct map *nodes[QUOTA_KIND_COUNT];
    struct limiter_node *shared[QUOTA_KIND_COUNT]; /* of those that came when there were too many */
    bool has_star[QUOTA_KIND_COUNT];
    struct quota stars[QUOTA_KIND_COUNT];
    /* The one found last of those in `nodes` with the same place here; who aims at it has others
     * looked up, which is no harm. */
    struct limiter_node *seen[SEEN];
    struct list all; /* nodes in `nodes`, the one to be swept next first */
    size_t count;    /* of them */
    bool sweep_is_due;
    uint64_t latest_us;     /* of all uses */
    _Atomic bool has_rules; /* read without the lock; may stay true after the last rule has gone */
    struct outputs *outputs;
};

struct limiter *limiter_new(void)
{
    struct limiter *limiter = calloc(1, sizeof *limiter);
    ASSERT(limiter);
    pthread_mutex_init(&limiter->lock, NULL);
    list_init(&limiter->all);
    for (int kind = 0; kind < QUOTA_KIND_COUNT; kind++)
        limiter->nodes[kind] = map_new();
    limiter->outputs = outputs_new();
    return limiter;
}

void limiter_free(struct limiter *limiter)
{
    if (!limiter)
        return;
    LIST_EACH (&limiter->all, link)
        limiter_node_free(LIST_ENTRY(link, struct limiter_node, link));
    for (int kind = 0; kind < QUOTA_KIND_COUNT; kind++) {
        map_free(limiter->nodes[kind]);
        if (limiter->shared[kind])
            limiter_node_free(limiter->shared[kind]);
    }
    outputs_free(limiter->outputs);
    pthread_mutex_destroy(&limiter->lock);
    free(limiter);
}

/* ---- Subjects and their nodes ---------------------------------------------------------------- */

/* As the subject is known here. */
static struct str canonical(enum quota_kind kind, struct str id, char buffer[QUOTA_ADDRESS_BYTES])
{
    if (id.len > QUOTA_ID_BYTES_MAX)
        id.len = QUOTA_ID_BYTES_MAX;
    bool is_cut =
        kind == QUOTA_ADDRESS && str_find_char(id, ':') != SIZE_MAX && quota_address(id, buffer);
    return is_cut ? str_from_cstr(buffer) : id;
}

static bool is_star(struct str id)
{
    return str_eq(id, STR("*"));
}

/* NULL: none, and it is not limited. */
static const struct quota *quota_of(const struct limiter *limiter, const struct limiter_node *node)
{
    if (node->own)
        return node->own;
    return limiter->has_star[node->kind] ? &limiter->stars[node->kind] : NULL;
}

static void refill(const struct limiter *limiter, struct limiter_node *node, uint64_t now_us)
{
    const struct quota *quota = quota_of(limiter, node);
    if (quota)
        limiter_node_refill(node, quota, now_us);
}

static struct limiter_node **seen_of(struct limiter *limiter, enum quota_kind kind, struct str id)
{
    uint64_t end = id.len;
    if (id.len >= sizeof end)
        memcpy(&end, id.data + id.len - sizeof end, sizeof end); /* where ids differ */
    uint64_t hash = (end + (unsigned)kind) * UINT64_C(0x9e3779b97f4a7c15);
    return &limiter->seen[hash >> 32 & (SEEN - 1)];
}

/* A subject goes in pieces from here on: put together, it would go through memory for each. */
static struct limiter_node *find_node(struct limiter *limiter, enum quota_kind kind, struct str id)
{
    struct limiter_node **seen = seen_of(limiter, kind, id);
    if (*seen && (*seen)->kind == kind && str_eq(limiter_node_id(*seen), id))
        return *seen;
    struct limiter_node *node = map_get(limiter->nodes[kind], id);
    return node ? *seen = node : NULL;
}

static void remove_node(struct limiter *limiter, struct limiter_node *node)
{
    struct limiter_node **seen = seen_of(limiter, node->kind, limiter_node_id(node));
    if (*seen == node)
        *seen = NULL;
    map_remove(limiter->nodes[node->kind], limiter_node_id(node));
    list_remove(&node->link);
    limiter->count--;
    limiter_node_free(node);
}

/* Not while an ask has gathered nodes that it does not hold yet. */
static void sweep_some(struct limiter *limiter, struct limiter_time now)
{
    limiter->sweep_is_due = false;
    for (int i = 0; i < SWEEP_STEPS && !list_is_empty(&limiter->all); i++) {
        struct limiter_node *node = LIST_ENTRY(limiter->all.next, struct limiter_node, link);
        list_remove(&node->link);
        list_append(&limiter->all, &node->link);
        refill(limiter, node, now.monotonic_us);
        limiter_node_turn(node, now.wall_ms);
        if (limiter_node_is_idle(node, quota_of(limiter, node)))
            remove_node(limiter, node);
    }
}

static struct limiter_node *make_node(struct limiter *limiter, enum quota_kind kind, struct str id)
{
    struct limiter_node *node = limiter_node_new(kind, id);
    map_set(limiter->nodes[kind], id, node);
    list_append(&limiter->all, &node->link);
    limiter->count++;
    return node;
}

static struct limiter_node *shared_node(struct limiter *limiter, enum quota_kind kind)
{
    if (!limiter->shared[kind])
        limiter->shared[kind] = limiter_node_new(kind, STR("(others)"));
    return limiter->shared[kind];
}

/* The node that this subject is counted in; NULL when nothing limits it. */
static struct limiter_node *node_for(struct limiter *limiter, enum quota_kind kind, struct str id)
{
    struct limiter_node *node = find_node(limiter, kind, id);
    if (node)
        return quota_of(limiter, node) ? node : NULL;
    if (!limiter->has_star[kind])
        return NULL;
    limiter->sweep_is_due = limiter->count >= SWEEP_FROM_NODES;
    if (limiter->count >= LIMITER_NODES_MAX)
        return shared_node(limiter, kind);
    return make_node(limiter, kind, id);
}

/* ---- Rules ----------------------------------------------------------------------------------- */

/* The rate of "*" changes: whoever lives by it is brought up to now by the old one. */
static void refill_kind(struct limiter *limiter, enum quota_kind kind)
{
    LIST_EACH (&limiter->all, link) {
        struct limiter_node *node = LIST_ENTRY(link, struct limiter_node, link);
        if (node->kind == kind && !node->own)
            refill(limiter, node, limiter->latest_us);
    }
    if (limiter->shared[kind])
        refill(limiter, limiter->shared[kind], limiter->latest_us);
}

static void set_star(struct limiter *limiter, enum quota_kind kind, const struct quota *quota)
{
    refill_kind(limiter, kind);
    limiter->has_star[kind] = quota;
    limiter->stars[kind] = quota ? *quota : (struct quota){0};
}

static void set_own(struct limiter *limiter, enum quota_kind kind, struct str id,
                    const struct quota *quota)
{
    struct limiter_node *node = find_node(limiter, kind, id);
    if (!node && !quota)
        return;
    if (!node)
        node = make_node(limiter, kind, id);
    refill(limiter, node, limiter->latest_us);
    if (!quota) {
        free(node->own);
        node->own = NULL;
        return;
    }
    if (!node->own)
        node->own = malloc(sizeof *node->own);
    ASSERT(node->own);
    *node->own = *quota;
}

void limiter_set(struct limiter *limiter, struct limiter_subject subject, const struct quota *quota)
{
    char buffer[QUOTA_ADDRESS_BYTES];
    struct str id = canonical(subject.kind, subject.id, buffer);
    pthread_mutex_lock(&limiter->lock);
    if (is_star(id))
        set_star(limiter, subject.kind, quota);
    else
        set_own(limiter, subject.kind, id, quota);
    bool has_rules = limiter->count > 0;
    for (int kind = 0; kind < QUOTA_KIND_COUNT; kind++)
        has_rules |= limiter->has_star[kind];
    atomic_store_explicit(&limiter->has_rules, has_rules, memory_order_relaxed);
    pthread_mutex_unlock(&limiter->lock);
}

bool limiter_has_rules(const struct limiter *limiter)
{
    return atomic_load_explicit(&limiter->has_rules, memory_order_relaxed);
}

bool limiter_get(struct limiter *limiter, struct limiter_subject subject, struct quota *ret_quota)
{
    char buffer[QUOTA_ADDRESS_BYTES];
    struct str id = canonical(subject.kind, subject.id, buffer);
    pthread_mutex_lock(&limiter->lock);
    const struct limiter_node *node = find_node(limiter, subject.kind, id);
    const struct quota *quota = node ? node->own : NULL;
    if (is_star(id) && limiter->has_star[subject.kind])
        quota = &limiter->stars[subject.kind];
    if (quota)
        *ret_quota = *quota;
    pthread_mutex_unlock(&limiter->lock);
    return quota;
}

struct rule {
    struct limiter_subject subject;
    const struct quota *quota;
};

static int compare_rules(const void *a, const void *b)
{
    const struct limiter_subject *left = &((const struct rule *)a)->subject;
    const struct limiter_subject *right = &((const struct rule *)b)->subject;
    return left->kind != right->kind ? (int)left->kind - (int)right->kind
                                     : str_compare(left->id, right->id);
}

static struct rule *collect_rules(const struct limiter *limiter, size_t *ret_count)
{
    struct rule *rules = malloc((limiter->count + QUOTA_KIND_COUNT) * sizeof *rules);
    size_t count = 0;
    ASSERT(rules);
    for (int kind = 0; kind < QUOTA_KIND_COUNT; kind++)
        if (limiter->has_star[kind])
            rules[count++] =
                (struct rule){{(enum quota_kind)kind, STR("*")}, &limiter->stars[kind]};
    LIST_EACH (&limiter->all, link) {
        const struct limiter_node *node = LIST_ENTRY(link, struct limiter_node, link);
        if (node->own)
            rules[count++] = (struct rule){{node->kind, limiter_node_id(node)}, node->own};
    }
    *ret_count = count;
    return rules;
}

void limiter_each(struct limiter *limiter,
                  void (*each)(void *user, struct limiter_subject subject,
                               const struct quota *quota),
                  void *user)
{
    size_t count;
    pthread_mutex_lock(&limiter->lock);
    struct rule *rules = collect_rules(limiter, &count);
    qsort(rules, count, sizeof *rules, compare_rules);
    for (size_t i = 0; i < count; i++)
        each(user, rules[i].subject, rules[i].quota);
    pthread_mutex_unlock(&limiter->lock);
    free(rules);
}

void limiter_restore(struct limiter *limiter, struct limiter_subject subject,
                     enum quota_period period, int64_t requests, int64_t tokens, int64_t cost_nano,
                     int64_t wall_ms)
{
    char buffer[QUOTA_ADDRESS_BYTES];
    struct str id = canonical(subject.kind, subject.id, buffer);
    pthread_mutex_lock(&limiter->lock);
    struct limiter_node *node = node_for(limiter, subject.kind, id);
    if (node) {
        limiter_node_turn(node, wall_ms);
        limiter_node_charge(node, period, requests, tokens, cost_nano);
    }
    pthread_mutex_unlock(&limiter->lock);
}

/* ---- Use ------------------------------------------------------------------------------------- */

static bool is_among(const struct limiter_lease *lease, const struct limiter_node *node)
{
    for (size_t i = 0; i < lease->count; i++)
        if (lease->held[i].node == node)
            return true;
    return false;
}

/* All nodes of the ask, each once, brought to its time, and their quotas. */
static void gather(struct limiter *limiter, const struct limiter_ask *ask,
                   struct limiter_lease *lease, const struct quota *ret_quotas[])
{
    char buffer[QUOTA_ADDRESS_BYTES];
    ASSERT(ask->count <= LIMITER_SUBJECTS_MAX);
    for (size_t i = 0; i < ask->count; i++) {
        const struct limiter_subject *subject = &ask->subjects[i];
        struct str id = canonical(subject->kind, subject->id, buffer);
        struct limiter_node *node = node_for(limiter, subject->kind, id);
        if (!node || is_among(lease, node))
            continue;
        const struct quota *quota = ret_quotas[lease->count] = quota_of(limiter, node);
        limiter_node_refill(node, quota, ask->now.monotonic_us);
        limiter_node_turn(node, ask->now.wall_ms);
        lease->held[lease->count++].node = node;
    }
}

/* All or none. */
static bool take_all(const struct limiter_ask *ask, struct limiter_lease *lease,
                     const struct quota *const quotas[], struct limiter_refusal *worst,
                     char *ret_soft)
{
    bool fits = true, has_told = !ret_soft;
    for (size_t i = 0; i < lease->count; i++)
        fits &= limiter_node_fits(lease->held[i].node, quotas[i], ask, worst);
    for (size_t i = 0; fits && i < lease->count; i++) {
        struct limiter_held *held = &lease->held[i];
        held->mark = limiter_node_take(held->node, quotas[i], ask);
        has_told = has_told || limiter_node_tells(held->node, quotas[i], ret_soft);
    }
    return fits;
}

static void fill_view(const struct limiter_scarce *scarce, int64_t wall_ms,
                      struct limiter_view *view)
{
    const struct limiter_left *requests = &scarce->requests, *tokens = &scarce->tokens;
    *view = (struct limiter_view){
        .requests_limit = requests->node ? requests->limit : -1,
        .requests_remaining = requests->node ? requests->remaining : -1,
        .requests_reset_ms = limiter_left_reset_ms(requests, wall_ms),
        .tokens_limit = tokens->node ? tokens->limit : -1,
        .tokens_remaining = tokens->node ? tokens->remaining : -1,
        .tokens_reset_ms = limiter_left_reset_ms(tokens, wall_ms),
    };
}

static void view_all(const struct limiter_lease *lease, const struct quota *const quotas[],
                     int64_t wall_ms, struct limiter_view *view)
{
    struct limiter_scarce scarce = {0};
    for (size_t i = 0; i < lease->count; i++)
        limiter_node_view(lease->held[i].node, quotas[i], &scarce);
    fill_view(&scarce, wall_ms, view);
}

static void note_time(struct limiter *limiter, struct limiter_time now)
{
    if (now.monotonic_us > limiter->latest_us)
        limiter->latest_us = now.monotonic_us;
}

static int64_t clamp(int64_t value, int64_t max)
{
    return value < 0 ? 0 : value < max ? value : max;
}

bool limiter_reserve(struct limiter *limiter, const struct limiter_ask *asked,
                     struct limiter_lease *ret_lease, struct limiter_refusal *ret_refusal,
                     struct limiter_view *ret_view, char ret_soft[256])
{
    const struct quota *quotas[LIMITER_SUBJECTS_MAX];
    struct limiter_ask ask = *asked;
    struct limiter_refusal worst;
    worst.what = NULL; /* none yet */
    ask.tokens = clamp(ask.tokens, ask_tokens_max);
    ask.cost_nano = clamp(ask.cost_nano, ask_nano_max);
    ret_lease->count = 0;
    ret_lease->tokens = ask.tokens;
    ret_lease->cost_nano = ask.cost_nano;
    if (ret_soft)
        ret_soft[0] = '\0';
    pthread_mutex_lock(&limiter->lock);
    note_time(limiter, ask.now);
    gather(limiter, &ask, ret_lease, quotas);
    bool fits = take_all(&ask, ret_lease, quotas, &worst, ret_soft);
    if (ret_view)
        view_all(ret_lease, quotas, ask.now.wall_ms, ret_view);
    if (limiter->sweep_is_due)
        sweep_some(limiter, ask.now);
    pthread_mutex_unlock(&limiter->lock);
    if (fits)
        return true;
    ret_lease->count = 0;
    *ret_refusal = worst;
    return false;
}

void limiter_settle(struct limiter *limiter, struct limiter_lease *lease, int64_t tokens,
                    int64_t cost_nano, struct limiter_time now)
{
    static const struct quota none = {0};
    tokens = clamp(tokens, ask_tokens_max);
    cost_nano = clamp(cost_nano, ask_nano_max);
    pthread_mutex_lock(&limiter->lock);
    note_time(limiter, now);
    for (size_t i = 0; i < lease->count; i++) {
        struct limiter_node *node = lease->held[i].node;
        const struct quota *quota = quota_of(limiter, node);
        if (!quota) /* removed meanwhile */
            quota = &none;
        limiter_node_refill(node, quota, now.monotonic_us);
        limiter_node_turn(node, now.wall_ms);
        limiter_node_settle(node, quota, lease->held[i].mark, lease, tokens, cost_nano);
    }
    pthread_mutex_unlock(&limiter->lock);
    lease->count = 0;
}

bool limiter_used(struct limiter *limiter, struct limiter_subject subject, enum quota_period period,
                  int64_t wall_ms, struct limiter_used *ret_used)
{
    char buffer[QUOTA_ADDRESS_BYTES];
    struct str id = canonical(subject.kind, subject.id, buffer);
    pthread_mutex_lock(&limiter->lock);
    struct limiter_node *node = find_node(limiter, subject.kind, id);
    if (node) {
        limiter_node_turn(node, wall_ms);
        const struct limiter_counter *counter = &node->counters[period];
        *ret_used = (struct limiter_used){counter->requests, counter->tokens, counter->cost_nano};
    }
    pthread_mutex_unlock(&limiter->lock);
    return node;
}

bool limiter_look(struct limiter *limiter, struct limiter_subject subject, struct limiter_time now,
                  int64_t *ret_streams, struct limiter_view *ret_view)
{
    char buffer[QUOTA_ADDRESS_BYTES];
    struct str id = canonical(subject.kind, subject.id, buffer);
    pthread_mutex_lock(&limiter->lock);
    note_time(limiter, now);
    struct limiter_node *node = find_node(limiter, subject.kind, id);
    const struct quota *quota = node ? quota_of(limiter, node) : NULL;
    if (quota) {
        struct limiter_scarce scarce = {0};
        limiter_node_refill(node, quota, now.monotonic_us);
        limiter_node_turn(node, now.wall_ms);
        limiter_node_view(node, quota, &scarce);
        fill_view(&scarce, now.wall_ms, ret_view);
        *ret_streams = node->streams;
    }
    pthread_mutex_unlock(&limiter->lock);
    return quota;
}

/* ---- How long answers are -------------------------------------------------------------------- */

void limiter_note_output(struct limiter *limiter, struct str model, int64_t tokens)
{
    outputs_note(limiter->outputs, model, tokens);
}

int64_t limiter_output_p95(struct limiter *limiter, struct str model)
{
    return outputs_p95(limiter->outputs, model);
}
