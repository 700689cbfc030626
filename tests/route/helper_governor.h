/* For tests of the relay: a governor that allows what it is told to, and remembers what it heard. */
#pragma once

#include "route/governor.h"

enum { FAKE_ROWS_MAX = 16 };

struct governor {
    bool refuses;       /* at governor_open */
    const char *denied; /* target that governor_check refuses; NULL: none */
    bool is_revoked;    /* then it refuses all of them */
    int checks;
    struct limiter_view view;
    int opens, closes, begins, reached, last_status, notes;
    int frees; /* of the opens: what is free */
    size_t chain_count;
    struct {
        char target[64];
        enum flow_outcome outcome;
        enum err class;
        int number;
        int64_t input;
        int64_t cost_nano;
    } rows[FAKE_ROWS_MAX];
    int row_count;
};

struct charge {
    struct governor *governor;
    int open; /* attempts */
};

enum err governor_open(struct governor *governor, const struct governor_ask *ask,
                       struct arena *arena, struct route_plan *plan, struct charge **ret_charge,
                       struct llm_error *ret_error)
{
    assert_true(ask->origin && plan->target_count > 0);
    *ret_charge = ARENA_NEW(arena, struct charge);
    (*ret_charge)->governor = governor;
    governor->opens++;
    governor->frees += ask->is_free;
    governor->chain_count = ask->chain_count;
    if (!governor->refuses)
        return ERR_OK;
    *ret_error = (struct llm_error){.class = ERR_RATE_LIMITED, .retry_after_ms = 7000};
    return ERR_RATE_LIMITED;
}

void governor_close(struct charge *charge)
{
    if (!charge)
        return;
    assert_int_equal(charge->open, 0);
    charge->governor->closes++;
}

enum err governor_check(struct charge *charge, const struct target *target,
                        struct llm_error *ret_error)
{
    const char *denied = charge->governor->denied;
    charge->governor->checks++;
    if (charge->governor->is_revoked) {
        *ret_error = (struct llm_error){.class = ERR_UNAUTHENTICATED, .retry_after_ms = -1};
        return ERR_UNAUTHENTICATED;
    }
    if (!denied || !str_eq(target->id, str_from_cstr(denied)))
        return ERR_OK;
    *ret_error = (struct llm_error){.class = ERR_FORBIDDEN, .retry_after_ms = -1};
    return ERR_FORBIDDEN;
}

void governor_begin(struct charge *charge, int slot, const struct target *target, int number,
                    enum route_mode mode, bool is_hedge)
{
    assert_true(slot == 0 && target && number > 0 && mode == ROUTE_WHOLE && !is_hedge);
    charge->open++;
    charge->governor->begins++;
}

void governor_reached(struct charge *charge, int slot, int http_status)
{
    assert_int_equal(slot, 0);
    charge->governor->reached++;
    charge->governor->last_status = http_status;
}

void governor_end(struct charge *charge, int slot, const struct flow_row *row)
{
    struct governor *governor = charge->governor;
    assert_true(slot == 0 && governor->row_count < FAKE_ROWS_MAX);
    charge->open--;
    str_copy(row->target->id, governor->rows[governor->row_count].target, 64);
    governor->rows[governor->row_count].outcome = row->outcome;
    governor->rows[governor->row_count].class = row->error ? row->error->class : ERR_OK;
    governor->rows[governor->row_count].number = row->number;
    governor->rows[governor->row_count].input = row->usage.input_total;
    governor->rows[governor->row_count].cost_nano = row->cost_nano;
    governor->row_count++;
}

/* The router's too: of the real one nothing is linked. */
void governor_note(struct charge *charge, enum ledger_outcome outcome, struct str target,
                   uint64_t duration_us)
{
    (void)target, (void)duration_us;
    charge->governor->notes += outcome == LEDGER_CACHED;
}

void governor_lost(struct charge *charge, struct str names)
{
    (void)charge, (void)names;
}

const struct policy *charge_policy(const struct charge *charge)
{
    (void)charge;
    return NULL;
}

bool charge_is_narrowed(const struct charge *charge)
{
    (void)charge;
    return false;
}

const struct limiter_view *charge_view(const struct charge *charge)
{
    return &charge->governor->view;
}
