/* For tests of the governor: the real one with a real limiter, between a directory and a ledger that
 * only remember. What the ledger is given is copied deep at once, so that a view of something gone
 * is found. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "account/directory.h"
#include "account/operation.h"
#include "base/clock.h"
#include "route/governor.h"

enum { KEPT_ROWS_MAX = 16, TARGETS = 3, DEAR = 0, CHEAP = 1, LOCAL = 2 };

#define USD  QUOTA_NANO_PER_USD
#define KEY  ((struct limiter_subject){QUOTA_KEY, STR("01kaqqqqqqqqqqqqqqqqqqqqq2")})
#define USER ((struct limiter_subject){QUOTA_USER, STR("01kaqqqqqqqqqqqqqqqqqqqqq1")})
/* A list of patterns for a scope. */
#define PATTERNS(...)                                                                              \
    (struct policy_patterns)                                                                       \
    {                                                                                              \
        (const struct str[]){__VA_ARGS__},                                                         \
            sizeof((const struct str[]){__VA_ARGS__}) / sizeof(struct str)                         \
    }

/* ---- A ledger ---------------------------------------------------------------------------------- */

struct kept {
    struct ledger_row row; /* but for its views */
    char target[64], model[64], door[16], request_id[32], losses[1100], tag[160];
    bool had_attempt; /* by ledger_begin */
};

struct ledger_open {
    bool reached;
    int number;
};

struct ledger {
    struct kept rows[KEPT_ROWS_MAX];
    int row_count, open, begun;
};

static inline void kept_text(struct str text, char *ret, size_t size)
{
    assert_true(text.len < size);
    snprintf(ret, size, "%.*s", STR_ARG(text));
}

static inline void ledger_keep(struct ledger *ledger, const struct ledger_row *row, bool attempt)
{
    assert_true(ledger->row_count < KEPT_ROWS_MAX);
    struct kept *kept = &ledger->rows[ledger->row_count++];
    kept->row = *row;
    kept->had_attempt = attempt;
    kept_text(row->target, kept->target, sizeof kept->target);
    kept_text(row->losses, kept->losses, sizeof kept->losses);
    kept_text(row->origin.model, kept->model, sizeof kept->model);
    kept_text(row->origin.door, kept->door, sizeof kept->door);
    kept_text(row->origin.request_id, kept->request_id, sizeof kept->request_id);
    if (row->origin.tag_count)
        kept_text(row->origin.tags[0], kept->tag, sizeof kept->tag);
}

struct ledger_open *ledger_begin(struct ledger *ledger, const struct ledger_row *row)
{
    struct ledger_open *open = calloc(1, sizeof *open);
    open->number = row->number;
    ledger->open++;
    ledger->begun++;
    return open;
}

void ledger_reached(struct ledger *ledger, struct ledger_open *open)
{
    (void)ledger;
    assert_false(open->reached); /* told once */
    open->reached = true;
}

void ledger_end(struct ledger *ledger, struct ledger_open *open, const struct ledger_row *row)
{
    assert_int_equal(open->number, row->number);
    assert_int_equal(open->reached, row->reached);
    ledger_keep(ledger, row, true);
    ledger->open--;
    free(open);
}

void ledger_note(struct ledger *ledger, const struct ledger_row *row)
{
    ledger_keep(ledger, row, false);
}

/* ---- An account -------------------------------------------------------------------------------- */

struct directory {
    struct policy *now; /* in force; NULL: the key is revoked */
    int asked;
};

struct policy *directory_policy(struct directory *directory, const struct principal *who,
                                int64_t now_ms)
{
    assert_true(str_eq(id_str(&who->key), KEY.id) && now_ms > 0);
    directory->asked++;
    return directory->now ? policy_ref(directory->now) : NULL;
}

/* ---- A world ----------------------------------------------------------------------------------- */

struct fixture {
    struct loop *loop;
    struct governor *governor;
    struct limiter *limiter;
    struct directory directory;
    struct account account;
    struct ledger ledger;
    struct arena *arena;
    struct log *log;
    int log_fds[2];
    struct target targets[TARGETS];
    const struct target *order[TARGETS];
    struct route_group groups[2];
    struct route_plan plan; /* of the route "fast": dear and cheap, then local */
};

static inline void give_targets(struct fixture *f)
{
    static const char *const ids[] = {"dear/a", "cheap/b", "local/c"};
    static const int64_t usd[] = {1000, 1, 0}; /* a million tokens */
    for (int i = 0; i < TARGETS; i++) {
        const int64_t rate = usd[i] * PRICE_PER_MILLION;
        struct price price = {.input = rate,
                              .cache_read = -1,
                              .cache_write = -1,
                              .output = rate,
                              .long_input = -1,
                              .long_output = -1};
        f->targets[i] =
            (struct target){.id = str_from_cstr(ids[i]), .price = price, .has_price = i != LOCAL};
        f->order[i] = &f->targets[i];
    }
    f->groups[0] = (struct route_group){.targets = &f->order[DEAR], .count = 2};
    f->groups[1] = (struct route_group){.targets = &f->order[LOCAL], .count = 1};
    f->plan = (struct route_plan){
        .name = STR("fast"), .groups = f->groups, .group_count = 2, .target_count = TARGETS};
}

static inline int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_int_equal(pipe2(f->log_fds, O_CLOEXEC | O_NONBLOCK), 0);
    f->log = log_new(f->log_fds[1], LOG_DEBUG, LOG_FORMAT_TEXT);
    f->account.directory = &f->directory;
    f->loop = loop_new(0, f->log);
    f->limiter = limiter_new();
    f->arena = arena_new(SIZE_MAX);
    const struct governor_options options = {f->loop, &f->account, f->limiter, &f->ledger, f->log};
    f->governor = governor_new(&options);
    give_targets(f);
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;
    policy_unref(f->directory.now);
    governor_free(f->governor);
    limiter_free(f->limiter);
    loop_free(f->loop);
    arena_free(f->arena);
    log_free(f->log);
    close(f->log_fds[0]);
    close(f->log_fds[1]);
    assert_int_equal(f->ledger.open, 0); /* every attempt has its row */
    free(f);
    return 0;
}

/* From now on the key may use those models; the policy before is retired. */
static inline void set_scope(struct fixture *f, struct policy_patterns models)
{
    static const struct id groups[] = {{.text = "01kaqqqqqqqqqqqqqqqqqqqqq3"}};
    const struct policy like = {.who = {.kind = PRINCIPAL_KEY,
                                        .user = {.text = "01kaqqqqqqqqqqqqqqqqqqqqq1"},
                                        .key = {.text = "01kaqqqqqqqqqqqqqqqqqqqqq2"}},
                                .groups = groups,
                                .group_count = 1,
                                .models = models};
    if (f->directory.now)
        f->directory.now->is_retired = true;
    policy_unref(f->directory.now);
    f->directory.now = policy_new(&like);
}

static inline void revoke_key(struct fixture *f)
{
    f->directory.now->is_retired = true;
    policy_unref(f->directory.now);
    f->directory.now = NULL;
}

/* Asks by texts that are gone when it returns. */
static inline enum err open_like(struct fixture *f, struct governor_ask ask,
                                 struct charge **ret_charge, struct llm_error *ret_error)
{
    char texts[4][32] = {"request-1", "openai", "192.0.2.7", "user:ann"}, model[32];
    const struct str tags[] = {str_from_cstr(texts[3])};
    const struct governor_origin origin = {.policy = f->directory.now,
                                           .request_id = str_from_cstr(texts[0]),
                                           .door = str_from_cstr(texts[1]),
                                           .address = str_from_cstr(texts[2]),
                                           .tags = tags,
                                           .tag_count = 1};
    kept_text(ask.model.data ? ask.model : STR("fast"), model, sizeof model);
    ask.model = str_from_cstr(model);
    ask.origin = &origin;
    *ret_charge = NULL;
    enum err code = governor_open(f->governor, &ask, f->arena, &f->plan, ret_charge, ret_error);
    assert_non_null(*ret_charge); /* refused, too: for its view */
    memset(texts, 'X', sizeof texts);
    memset(model, 'X', sizeof model);
    return code;
}

/* As the flow would tell it. */
static inline void end_attempt(struct fixture *f, struct charge *charge, int slot, int target,
                               int number, enum flow_outcome outcome, int64_t input, int64_t output)
{
    static const struct llm_error failed = {
        .class = ERR_OVERLOADED, .http_status = 503, .retry_after_ms = -1};
    struct flow_row row = {.slot = slot,
                           .target = &f->targets[target],
                           .number = number,
                           .outcome = outcome,
                           .is_hedge = slot > 0,
                           .error = outcome == FLOW_FAILED ? &failed : NULL,
                           .usage = {input, 0, 0, output, 0, false},
                           .first_content_us = 2000,
                           .end_us = 5000};
    row.cost_nano = row.target->has_price ? price_cost_nano(&row.target->price, &row.usage) : -1;
    governor_end(charge, slot, &row);
}

static inline struct limiter_time now(void)
{
    return (struct limiter_time){clock_monotonic_ns() / 1000, clock_wall_ms()};
}

static inline int64_t streams_of(struct fixture *f, struct limiter_subject subject)
{
    int64_t streams = -1;
    struct limiter_view view;
    return limiter_look(f->limiter, subject, now(), &streams, &view) ? streams : -1;
}
