/* The cell: the order of verdicts, what is taken by a grant alone, the queue, what an end gives
 * back, what an administrator does; and four threads at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "route/cell.h"

#define S ((uint64_t)1000 * 1000)

static const struct breaker_policy policy = {
    .failures_max = 3,
    .window_us = 60 * S,
    .cooldown_us = 10 * S,
    .cooldown_max_us = 50 * S,
    .lease_us = 5 * S,
};

struct fixture {
    struct cells *cells;
    struct cell *cell;
    struct random random;
    struct cell_limits limits;
    uint64_t now_us;
    uint64_t until_us; /* of the newest ask */
    struct cell_lease lease;
};

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->cells = cells_new();
    f->cell = cells_get(f->cells, STR("a/b"));
    f->now_us = 1000 * S;
    f->limits.waiters_max = 8;
    random_init(&f->random, 9);
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;
    cells_free(f->cells);
    free(f);
    return 0;
}

static enum cell_verdict ask_with(struct fixture *f, struct cell_ask ask)
{
    struct cell_lease before = f->lease;
    ask.now_us = f->now_us;
    ask.limits = &f->limits;
    ask.breaker = &policy;
    struct cell_answer answer = cell_acquire(f->cell, &ask, &f->lease);
    f->until_us = answer.until_us;
    if (answer.verdict == CELL_GRANTED)
        assert_ptr_equal(f->lease.cell, f->cell);
    else
        assert_memory_equal(&before, &f->lease, sizeof before);
    if (answer.verdict != CELL_GRANTED && answer.verdict != CELL_FULL)
        assert_true(answer.until_us > f->now_us);
    else
        assert_int_equal(answer.until_us, 0);
    return answer.verdict;
}

#define ASK(f, ...) ask_with((f), (struct cell_ask){__VA_ARGS__})

static enum cell_verdict ask(struct fixture *f)
{
    return ASK(f, .priority = CELL_INTERACTIVE);
}

/* A grant, or the test has failed. */
static struct cell_lease take(struct fixture *f)
{
    assert_int_equal(ask(f), CELL_GRANTED);
    return f->lease;
}

static void succeed(struct fixture *f, struct cell_lease *lease)
{
    cell_succeed(lease, &policy, f->now_us, -1);
    assert_null(lease->cell);
}

static void fail_lease(struct fixture *f, struct cell_lease *lease, uint64_t retry_after_us)
{
    cell_fail(lease, &policy, f->now_us, -1, ERR_RATE_LIMITED, "too many", retry_after_us,
              &f->random);
    assert_null(lease->cell);
}

static struct cell_view look(struct fixture *f)
{
    struct cell_view view;
    cell_look(f->cell, &f->limits, &policy, f->now_us, &view);
    return view;
}

static void open_breaker(struct fixture *f)
{
    for (int i = 0; i < policy.failures_max; i++) {
        struct cell_lease lease = take(f);
        fail_lease(f, &lease, 0);
    }
    assert_int_equal(look(f).breaker, BREAKER_OPEN);
}

/* ---- Verdicts -------------------------------------------------------------------------------- */

static void concurrency(void **state)
{
    struct fixture *f = *state;
    f->limits.concurrency_max = 2;
    struct cell_lease first = take(f);
    struct cell_lease second = take(f);
    assert_int_equal(ask(f), CELL_FULL);
    assert_int_equal(look(f).verdict, CELL_FULL);
    assert_int_equal(look(f).calls, 2);
    succeed(f, &first);
    succeed(f, &first); /* empty: nothing is given back twice */
    cell_forget(&first, f->now_us, -1);
    fail_lease(f, &first, 0);
    assert_int_equal(look(f).calls, 1);
    first = take(f);
    assert_int_equal(ask(f), CELL_FULL);
    cell_forget(&first, f->now_us, -1);
    fail_lease(f, &second, 0);
    struct cell_view view = look(f);
    assert_int_equal(view.calls, 0);
    assert_int_equal(view.succeeded, 1);
    assert_int_equal(view.failed, 1);
    f->limits.concurrency_max = 0;
    struct cell_lease leases[50];
    for (int i = 0; i < 50; i++)
        leases[i] = take(f);
    for (int i = 0; i < 50; i++)
        succeed(f, &leases[i]);
}

static void pace_is_taken_by_a_grant_alone(void **state)
{
    struct fixture *f = *state;
    f->limits = (struct cell_limits){2, 60, 6000, 8};
    assert_int_equal(ASK(f, .tokens = 5000), CELL_GRANTED);
    struct cell_lease first = f->lease;
    assert_int_equal(ASK(f, .tokens = 2000), CELL_PACED);
    assert_true(f->until_us == f->now_us + 10 * S);
    assert_int_equal(ASK(f, .tokens = 1000), CELL_GRANTED); /* nothing was taken by the refused */
    struct cell_lease second = f->lease;
    assert_int_equal(ASK(f, .tokens = 2000), CELL_FULL); /* said before the pace */
    cell_succeed(&second, &policy, f->now_us, 400);      /* 600 come back */
    assert_int_equal(ASK(f, .tokens = 600), CELL_GRANTED);
    second = f->lease;
    cell_succeed(&first, &policy, f->now_us, -1); /* unknown: what was said stays taken */
    assert_int_equal(ASK(f, .tokens = 100), CELL_PACED);
    cell_forget(&second, f->now_us, 0); /* never sent */
    assert_int_equal(ASK(f, .tokens = 600), CELL_GRANTED);
    assert_int_equal(look(f).verdict, CELL_GRANTED);
    succeed(f, &f->lease);
}

static void pauses_until_the_provider_says(void **state)
{
    struct fixture *f = *state;
    struct cell_lease lease = take(f);
    struct cell_lease other = take(f);
    fail_lease(f, &lease, 7 * S);
    assert_int_equal(ask(f), CELL_PAUSED);
    assert_true(f->until_us == f->now_us + 7 * S);
    fail_lease(f, &other, 2 * S); /* a shorter one does not shorten it */
    assert_int_equal(ask(f), CELL_PAUSED);
    assert_true(f->until_us == f->now_us + 7 * S);
    f->now_us += 7 * S - 1;
    assert_int_equal(look(f).verdict, CELL_PAUSED);
    f->now_us++;
    lease = take(f);
    fail_lease(f, &lease, UINT64_MAX); /* the third: opens, not before that */
    assert_int_equal(ask(f), CELL_OPEN);
    assert_true(f->until_us == UINT64_MAX);
    cell_restore(f->cell);
    lease = take(f);
    succeed(f, &lease);
}

static void verdicts_in_their_order(void **state)
{
    struct fixture *f = *state;
    f->limits = (struct cell_limits){1, 1, 0, 8};
    struct cell_lease place = take(f);
    assert_int_equal(ask(f), CELL_FULL); /* and paced */
    succeed(f, &place);
    assert_int_equal(ask(f), CELL_PACED);
    f->limits = (struct cell_limits){4, 0, 0, 8};
    struct cell_lease leases[4] = {take(f), take(f), take(f), take(f)};
    f->limits.concurrency_max = 1;
    fail_lease(f, &leases[0], 100 * S);
    assert_int_equal(ask(f), CELL_PAUSED); /* and full */
    fail_lease(f, &leases[1], 0);
    fail_lease(f, &leases[2], 0);
    assert_int_equal(ask(f), CELL_OPEN); /* and paused, and full */
    cell_bench(f->cell, f->now_us + 500 * S, "key refused");
    assert_int_equal(ask(f), CELL_BENCHED);
    assert_true(f->until_us == f->now_us + 500 * S);
    f->now_us += 50 * S; /* past the cooldown, not past the pause */
    cell_bench(f->cell, f->now_us, "shorter");
    assert_int_equal(ask(f), CELL_BENCHED);
    f->now_us += 450 * S;
    assert_int_equal(ask(f), CELL_FULL); /* the breaker's probe is not taken by a refusal */
    assert_true(look(f).probe_due);
    fail_lease(f, &leases[3], 0);
    assert_int_equal(ask(f), CELL_GRANTED);
    assert_true(f->lease.probe != 0);
    succeed(f, &f->lease);
}

static void names(void **state)
{
    (void)state;
    static const char *const wanted[] = {"granted", "full", "paced", "paused", "open", "benched"};
    for (int i = 0; i < 6; i++)
        assert_string_equal(cell_verdict_name((enum cell_verdict)i), wanted[i]);
    assert_string_equal(cell_verdict_name((enum cell_verdict)6), "unknown");
}

/* ---- Breaker --------------------------------------------------------------------------------- */

static void one_probe_and_never_a_hedge(void **state)
{
    struct fixture *f = *state;
    open_breaker(f);
    assert_int_equal(ask(f), CELL_OPEN);
    f->now_us = f->until_us;
    assert_int_equal(ASK(f, .is_hedge = true), CELL_OPEN);
    assert_true(look(f).probe_due);
    struct cell_lease probe = take(f);
    assert_true(probe.probe != 0);
    assert_false(look(f).probe_due);
    assert_int_equal(ask(f), CELL_OPEN);
    cell_forget(&probe, f->now_us, 0);
    assert_true(look(f).probe_due);
    probe = take(f);
    fail_lease(f, &probe, 0);
    assert_int_equal(ask(f), CELL_OPEN);
    assert_true(f->until_us >= f->now_us + 20 * S);
    f->now_us = f->until_us;
    probe = take(f);
    cell_note_content(&probe, f->now_us, 300000);
    assert_int_equal(look(f).breaker, BREAKER_CLOSED);
    struct cell_lease other = take(f);
    assert_int_equal(other.probe, 0);
    succeed(f, &other);
    succeed(f, &probe);
}

static void old_news_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct cell_lease old[6];
    for (int i = 0; i < 6; i++)
        old[i] = take(f);
    open_breaker(f);
    uint64_t until_us = look(f).until_us;
    f->now_us += S;
    succeed(f, &old[0]);
    fail_lease(f, &old[1], 0);
    assert_int_equal(look(f).breaker, BREAKER_OPEN);
    assert_true(look(f).until_us == until_us);
    f->now_us = until_us;
    struct cell_lease probe = take(f);
    cell_note_content(&probe, f->now_us, 300000);
    for (int i = 2; i < 6; i++) /* it has recovered since they began */
        fail_lease(f, &old[i], 0);
    assert_int_equal(look(f).breaker, BREAKER_CLOSED);
    assert_int_equal(look(f).failed, 3 + 5);
    fail_lease(f, &probe, 0); /* its own end counts, as that of any call */
    for (int i = 0; i < policy.failures_max - 1; i++) {
        assert_int_equal(look(f).breaker, BREAKER_CLOSED);
        struct cell_lease lease = take(f);
        fail_lease(f, &lease, 0);
    }
    assert_int_equal(look(f).breaker, BREAKER_OPEN);
}

static void restoring_closes_and_lifts(void **state)
{
    struct fixture *f = *state;
    char text[64];
    struct cell_lease old[3] = {take(f), take(f), take(f)};
    struct cell_lease paused = take(f);
    fail_lease(f, &paused, 1000 * S);
    cell_restore(f->cell);
    open_breaker(f);
    cell_bench(f->cell, UINT64_MAX, "the key was refused");
    cell_bench_reason(f->cell, text, sizeof text);
    assert_string_equal(text, "the key was refused");
    cell_restore(f->cell);
    assert_int_equal(look(f).verdict, CELL_GRANTED);
    assert_int_equal(look(f).breaker, BREAKER_CLOSED);
    cell_bench_reason(f->cell, text, sizeof text);
    assert_string_equal(text, "");
    struct cell_lease lease = take(f);
    succeed(f, &lease);
    for (int i = 0; i < 3; i++)
        cell_forget(&old[i], f->now_us, 0);
    assert_int_equal(look(f).calls, 0);
}

/* ---- The queue ------------------------------------------------------------------------------- */

static void wake(void *user)
{
    ++*(int *)user;
}

struct waiting {
    struct cell_waiter waiter;
    int woken;
};

static bool wait_in(struct fixture *f, struct waiting *w, enum cell_priority priority)
{
    return cell_wait(f->cell, &w->waiter, priority, f->limits.waiters_max, wake, &w->woken);
}

static enum cell_verdict ask_again(struct fixture *f, struct waiting *w)
{
    return ASK(f, .priority = w->waiter.priority, .waiter = &w->waiter);
}

static void by_priority_then_arrival(void **state)
{
    struct fixture *f = *state;
    f->limits.concurrency_max = 1;
    struct cell_lease place = take(f);
    struct waiting w[6] = {0};
    static const enum cell_priority priorities[] = {CELL_BATCH,      CELL_INTERACTIVE,
                                                    CELL_BACKGROUND, CELL_INTERACTIVE,
                                                    CELL_BATCH,      CELL_BACKGROUND};
    static const int order[] = {1, 3, 2, 5, 0, 4};
    for (int i = 0; i < 6; i++)
        assert_true(wait_in(f, &w[i], priorities[i]));
    assert_true(wait_in(f, &w[1], CELL_BATCH)); /* stays where it is */
    assert_int_equal(look(f).waiting, 6);
    for (int i = 0; i < 6; i++) {
        for (int n = i; n < 6; n++) {
            assert_int_equal(w[order[n]].woken, 0);
            assert_int_equal(ask_again(f, &w[order[n]]), CELL_FULL);
        }
        succeed(f, &place);
        for (int n = 5; n > i; n--) {
            assert_int_equal(ask_again(f, &w[order[n]]), CELL_FULL);
            assert_int_equal(w[order[n]].woken, 0);
        }
        assert_int_equal(w[order[i]].woken, 1);
        assert_int_equal(ask_again(f, &w[order[i]]), CELL_GRANTED);
        assert_null(w[order[i]].waiter.cell);
        place = f->lease;
    }
    assert_int_equal(look(f).waiting, 0);
    succeed(f, &place);
}

static void nobody_barges_past(void **state)
{
    struct fixture *f = *state;
    f->limits.concurrency_max = 1;
    struct cell_lease place = take(f);
    struct waiting w = {0};
    assert_true(wait_in(f, &w, CELL_BACKGROUND));
    succeed(f, &place);
    assert_int_equal(ASK(f, .priority = CELL_BATCH), CELL_FULL);
    assert_int_equal(ASK(f, .priority = CELL_BACKGROUND), CELL_FULL);
    assert_int_equal(ASK(f, .is_hedge = true), CELL_FULL); /* though of a better priority */
    place = take(f);                                       /* who is better goes first */
    assert_int_equal(ask_again(f, &w), CELL_FULL);
    succeed(f, &place);
    assert_int_equal(w.woken, 2);
    assert_int_equal(ask_again(f, &w), CELL_GRANTED);
    succeed(f, &f->lease);
}

static void the_queue_is_bounded(void **state)
{
    struct fixture *f = *state;
    f->limits = (struct cell_limits){.concurrency_max = 1, .waiters_max = 2};
    struct cell_lease place = take(f);
    struct waiting w[3] = {0};
    assert_true(wait_in(f, &w[0], CELL_BATCH));
    assert_true(wait_in(f, &w[1], CELL_BATCH));
    assert_false(wait_in(f, &w[2], CELL_INTERACTIVE));
    assert_null(w[2].waiter.cell);
    cell_wait_end(&w[2].waiter);
    cell_wait_end(&w[1].waiter);
    cell_wait_end(&w[1].waiter);
    assert_int_equal(w[0].woken, 0); /* it was the first before and is now */
    assert_true(wait_in(f, &w[2], CELL_INTERACTIVE));
    cell_wait_end(&w[2].waiter);
    cell_wait_end(&w[0].waiter);
    succeed(f, &place);
    assert_int_equal(w[0].woken + w[1].woken, 1); /* by w[2], which was the first and left */
}

static void a_wake_goes_on_to_the_next(void **state)
{
    struct fixture *f = *state;
    f->limits.concurrency_max = 3;
    struct cell_lease places[3] = {take(f), take(f), take(f)};
    struct waiting w[3] = {0};
    for (int i = 0; i < 3; i++)
        wait_in(f, &w[i], CELL_INTERACTIVE);
    succeed(f, &places[0]);
    succeed(f, &places[1]);
    assert_int_equal(w[0].woken, 2);
    assert_int_equal(ask_again(f, &w[0]), CELL_GRANTED);
    places[0] = f->lease;
    assert_int_equal(w[1].woken, 1); /* there was room for two */
    cell_wait_end(&w[1].waiter);     /* which it does not want any more */
    assert_int_equal(w[2].woken, 1);
    assert_int_equal(ask_again(f, &w[2]), CELL_GRANTED);
    succeed(f, &f->lease);
    succeed(f, &places[0]);
    succeed(f, &places[2]);
    assert_int_equal(w[0].woken + w[1].woken + w[2].woken, 4);
}

static void a_place_that_came_free_unseen(void **state)
{
    struct fixture *f = *state;
    f->limits.concurrency_max = 1;
    struct cell_lease place = take(f);
    struct waiting w = {0};
    assert_int_equal(ask(f), CELL_FULL);
    succeed(f, &place); /* nobody waits yet */
    wait_in(f, &w, CELL_INTERACTIVE);
    assert_int_equal(w.woken, 1);
    wait_in(f, &w, CELL_INTERACTIVE);
    assert_int_equal(w.woken, 1);
    assert_int_equal(ask_again(f, &w), CELL_GRANTED);
    wait_in(f, &w, CELL_INTERACTIVE); /* again, and now it is full */
    assert_int_equal(w.woken, 1);
    f->limits.concurrency_max = 2; /* a new configuration */
    look(f);
    assert_int_equal(w.woken, 2);
    cell_wait_end(&w.waiter);
    succeed(f, &f->lease);
}

static void waiting_for_pace(void **state)
{
    struct fixture *f = *state;
    f->limits = (struct cell_limits){.requests_per_minute = 6, .waiters_max = 8};
    for (int i = 0; i < 6; i++) {
        struct cell_lease lease = take(f);
        succeed(f, &lease);
    }
    struct waiting w[2] = {0};
    assert_int_equal(ask(f), CELL_PACED);
    wait_in(f, &w[0], CELL_INTERACTIVE);
    wait_in(f, &w[1], CELL_INTERACTIVE);
    assert_int_equal(ask_again(f, &w[0]), CELL_PACED);
    assert_true(f->until_us == f->now_us + 10 * S);
    assert_int_equal(ask_again(f, &w[1]), CELL_FULL); /* no timer: it stands behind the first */
    int before = w[1].woken;
    f->now_us = f->now_us + 10 * S;
    assert_int_equal(ask_again(f, &w[0]), CELL_GRANTED);
    succeed(f, &f->lease);
    assert_true(w[1].woken > before);
    assert_int_equal(ask_again(f, &w[1]), CELL_PACED);
    assert_true(f->until_us == f->now_us + 10 * S);
    cell_wait_end(&w[1].waiter);
}

static void a_change_of_state_wakes(void **state)
{
    struct fixture *f = *state;
    f->limits.concurrency_max = 2;
    open_breaker(f);
    f->now_us = look(f).until_us;
    struct cell_lease probe = take(f);
    struct waiting w = {0};
    wait_in(f, &w, CELL_INTERACTIVE);
    w.woken = 0;
    assert_int_equal(ask_again(f, &w), CELL_OPEN);
    cell_note_content(&probe, f->now_us, 1000);
    assert_int_equal(w.woken, 1);
    cell_note_content(&probe, f->now_us, 1000);
    assert_int_equal(w.woken, 1);
    cell_bench(f->cell, f->now_us + S, "");
    assert_int_equal(w.woken, 2);
    assert_int_equal(ask_again(f, &w), CELL_BENCHED);
    cell_restore(f->cell);
    assert_int_equal(w.woken, 3);
    assert_int_equal(ask_again(f, &w), CELL_GRANTED);
    succeed(f, &f->lease);
    succeed(f, &probe);
    assert_int_equal(w.woken, 3);
}

/* ---- What is known of it --------------------------------------------------------------------- */

static void what_is_learned(void **state)
{
    struct fixture *f = *state;
    struct cell_view view = look(f);
    assert_int_equal(view.first_content_us + view.p95_us + view.connect_us, 0);
    struct cell_lease lease = take(f);
    struct llm_limits limits = LLM_LIMITS_UNKNOWN;
    limits.requests = (struct llm_limit){10, 1, 54000};
    cell_note_head(&lease, f->now_us, 8000, &limits);
    cell_note_head(&lease, f->now_us, 16000, NULL);
    cell_note_head(&lease, f->now_us, 0, NULL);
    for (int i = 0; i < 20; i++)
        cell_note_content(&lease, f->now_us, 200000);
    view = look(f);
    assert_int_equal(view.connect_us, 9000);
    assert_int_equal(view.first_content_us, 200000);
    assert_in_range(view.p95_us, 200000, 250000);
    struct cell_lease last = take(f);
    assert_int_equal(ask(f), CELL_PACED);
    assert_true(f->until_us == f->now_us + 6 * S);
    succeed(f, &last);
    fail_lease(f, &lease, 0);
    assert_int_equal(look(f).failed_percent, 50);
    cell_note_content(&lease, f->now_us, 1); /* empty leases say nothing */
    cell_note_head(&lease, f->now_us, 1, NULL);
    assert_int_equal(look(f).connect_us, 9000);
}

/* A whole answer's content is heard with its end, whatever that is. */
static void what_is_kept_is_told_with_the_end(void **state)
{
    struct fixture *f = *state;
    struct cell_lease leases[] = {take(f), take(f), take(f)};
    for (int i = 0; i < 3; i++)
        cell_keep_content(&leases[i], 100000 * (uint64_t)(i + 1));
    assert_int_equal(look(f).first_content_us, 0);
    succeed(f, &leases[0]);
    assert_int_equal(look(f).first_content_us, 100000);
    fail_lease(f, &leases[1], 0);
    assert_int_equal(look(f).first_content_us, 200000);
    cell_forget(&leases[2], f->now_us, -1);
    assert_int_equal(look(f).first_content_us, 300000);
    struct cell_lease next = take(f);
    assert_int_equal(next.first_content_us, 0);
    succeed(f, &next);
}

/* The probe has answered before it failed: it fails as any other call does. */
static void a_probes_kept_content_closes(void **state)
{
    struct fixture *f = *state;
    open_breaker(f);
    f->now_us = look(f).until_us;
    struct cell_lease probe = take(f);
    assert_true(probe.probe != 0);
    cell_keep_content(&probe, 1000);
    assert_int_equal(look(f).breaker, BREAKER_HALF_OPEN);
    fail_lease(f, &probe, 0);
    assert_int_equal(look(f).breaker, BREAKER_CLOSED);
    assert_int_equal(look(f).failed_percent, 100);
}

static void a_head_that_says_nothing(void **state)
{
    struct fixture *f = *state;
    struct cell_lease lease = take(f);
    struct llm_limits limits = LLM_LIMITS_UNKNOWN;
    cell_note_head(&lease, f->now_us, 0, &limits);
    cell_note_head(&lease, f->now_us, 0, NULL);
    assert_int_equal(look(f).connect_us, 0);
    cell_note_head(&lease, f->now_us, 4000, &limits);
    assert_int_equal(look(f).connect_us, 4000);
    limits.requests = (struct llm_limit){10, 0, 60000};
    cell_note_head(&lease, f->now_us, 0, &limits);
    assert_int_equal(ask(f), CELL_PACED);
    succeed(f, &lease);
}

static void the_last_error(void **state)
{
    struct fixture *f = *state;
    uint64_t when_us = 1;
    char text[400];
    char small[6];
    assert_int_equal(cell_last_error(f->cell, &when_us, text, sizeof text), ERR_OK);
    assert_string_equal(text, "");
    struct cell_lease lease = take(f);
    cell_fail(&lease, &policy, f->now_us, -1, ERR_OVERLOADED, "overloaded", 0, &f->random);
    assert_int_equal(cell_last_error(f->cell, &when_us, small, sizeof small), ERR_OVERLOADED);
    assert_string_equal(small, "overl");
    assert_true(when_us == f->now_us);
    char wall[1000];
    memset(wall, 'x', sizeof wall);
    wall[sizeof wall - 1] = '\0';
    lease = take(f);
    cell_fail(&lease, &policy, f->now_us, -1, ERR_SERVER, wall, 0, &f->random);
    assert_int_equal(cell_last_error(f->cell, &when_us, text, sizeof text), ERR_SERVER);
    assert_in_range(strlen(text), 100, 255);
    lease = take(f);
    cell_fail(&lease, &policy, f->now_us, -1, ERR_NETWORK, NULL, 0, &f->random);
    assert_int_equal(cell_last_error(f->cell, &when_us, text, sizeof text), ERR_NETWORK);
    assert_string_equal(text, "");
    struct cell_view before = look(f);
    f->now_us += S;
    cell_note_error(f->cell, f->now_us, ERR_AUTHENTICATION,
                    "no such key"); /* no fault of its own */
    assert_int_equal(cell_last_error(f->cell, &when_us, text, sizeof text), ERR_AUTHENTICATION);
    assert_string_equal(text, "no such key");
    assert_true(when_us == f->now_us);
    assert_true(look(f).failed == before.failed);
    assert_false(cell_refuses_prefill(f->cell));
    cell_set_refuses_prefill(f->cell);
    assert_true(cell_refuses_prefill(f->cell));
}

static void cells_by_name(void **state)
{
    struct fixture *f = *state;
    assert_ptr_equal(cells_get(f->cells, STR("a/b")), f->cell);
    assert_ptr_not_equal(cells_get(f->cells, STR("a/c")), f->cell);
    struct route_live *live = cells_route(f->cells, STR("a/b"));
    assert_ptr_equal(cells_route(f->cells, STR("a/b")), live);
    atomic_fetch_add(&live->requests, 1);
    char name[32];
    for (int i = 2; i < CELLS_MAX; i++) {
        int len = snprintf(name, sizeof name, "many/%d", i);
        cells_get(f->cells, STR_FROM(name, (size_t)len));
    }
    struct cell *spare = cells_get(f->cells, STR("too/many"));
    assert_ptr_equal(cells_get(f->cells, STR("even/more")), spare);
    assert_ptr_equal(cells_get(f->cells, STR("a/b")), f->cell);
    assert_ptr_not_equal(cells_get(f->cells, STR("many/2")), spare);
    cells_free(NULL);
}

/* ---- Threads --------------------------------------------------------------------------------- */

enum { THREADS = 4, GRANTS = 2500, ROUNDS_MAX = 10 * 1000 * 1000, MANY_MAX = 2, PATIENCE = 50 };

/* What all threads see of one cell. */
struct shared {
    struct cells *cells;
    struct cell_limits limits;
    struct breaker_policy policy;
    _Atomic uint64_t now_us;
    _Atomic int calls;
    _Atomic uint64_t probe; /* the number of the one under way */
    _Atomic int probes;
    _Atomic bool wrong;
};

struct worker {
    struct shared *shared;
    pthread_t thread;
    struct random random;
    struct cell_waiter waiter;
    int granted;
    _Atomic int woken;
};

static void wake_worker(void *user)
{
    atomic_fetch_add((_Atomic int *)user, 1);
}

static void check(struct shared *shared, bool right)
{
    if (!right)
        atomic_store(&shared->wrong, true);
}

/* Uses the place that was granted, and gives it back in one way or another. */
static void use(struct worker *worker, struct cell_lease *lease)
{
    struct shared *shared = worker->shared;
    bool is_probe = lease->probe != 0;
    worker->granted++;
    check(shared, atomic_fetch_add(&shared->calls, 1) < MANY_MAX);
    if (is_probe) /* its lease never runs out here: there is no other one */
        check(shared, atomic_exchange(&shared->probe, lease->probe) == 0);
    atomic_fetch_add(&shared->probes, is_probe);
    uint64_t now_us = atomic_fetch_add(&shared->now_us, 5);
    cell_note_head(lease, now_us, now_us % 100, NULL);
    if (random_below(&worker->random, 4) == 0)
        sched_yield(); /* so that places overlap on a small machine too */
    if (is_probe)
        atomic_store(&shared->probe, 0);
    uint64_t way = random_below(&worker->random, 8);
    if (way == 1)
        cell_keep_content(lease, 1000 + now_us % 1000);
    else if (way & 1)
        cell_note_content(lease, now_us, 1000 + now_us % 1000);
    atomic_fetch_sub(&shared->calls, 1);
    if (way < 4)
        cell_fail(lease, &shared->policy, now_us, 10, ERR_SERVER, "bad", way ? 0 : 20,
                  &worker->random);
    else if (way < 6)
        cell_forget(lease, now_us, 0);
    else
        cell_succeed(lease, &shared->policy, now_us, 30);
    check(shared, !lease->cell);
}

static void work_once(struct worker *worker, struct cell *cell)
{
    struct shared *shared = worker->shared;
    struct cell_lease lease = {0};
    struct cell_ask ask = {
        .tokens = 20,
        .priority = (enum cell_priority)random_below(&worker->random, 3),
        .is_hedge = random_below(&worker->random, 8) == 0,
        .limits = &shared->limits,
        .breaker = &shared->policy,
        .waiter = &worker->waiter,
    };
    for (int i = 0; i < PATIENCE; i++) {
        ask.now_us = atomic_fetch_add(&shared->now_us, 1);
        struct cell_answer answer = cell_acquire(cell, &ask, &lease);
        if (answer.verdict == CELL_GRANTED) {
            use(worker, &lease);
            break;
        }
        if (answer.verdict == CELL_OPEN) { /* who has the probe may be out of breath */
            atomic_fetch_add(&shared->now_us, 10);
            sched_yield();
        }
        if (ask.is_hedge || (answer.verdict != CELL_FULL && answer.verdict != CELL_PACED) ||
            !cell_wait(cell, &worker->waiter, ask.priority, shared->limits.waiters_max, wake_worker,
                       &worker->woken))
            break;
    }
    cell_wait_end(&worker->waiter);
}

static void *work(void *user)
{
    struct worker *worker = user;
    int rounds = 0;
    for (; worker->granted < GRANTS && rounds < ROUNDS_MAX; rounds++) {
        struct cell *cell = cells_get(worker->shared->cells, STR("shared"));
        work_once(worker, cell);
        struct cell_view view;
        uint64_t when_us;
        char message[8];
        cell_last_error(cell, &when_us, message, sizeof message);
        cell_look(cell, &worker->shared->limits, &worker->shared->policy,
                  atomic_load(&worker->shared->now_us), &view);
        check(worker->shared, view.calls >= 0 && view.calls <= MANY_MAX && view.waiting < THREADS);
    }
    check(worker->shared, rounds < ROUNDS_MAX);
    atomic_fetch_add(&cells_route(worker->shared->cells, STR("route"))->requests, 1);
    return NULL;
}

static void four_threads(void **state)
{
    struct fixture *f = *state;
    struct shared shared = {
        .cells = f->cells,
        .limits = {.concurrency_max = MANY_MAX,
                   .requests_per_minute = 1000 * 1000 * 1000,
                   .waiters_max = THREADS - 1},
        .policy = {.failures_max = 3,
                   .window_us = 1000,
                   .cooldown_us = 50,
                   .cooldown_max_us = 200,
                   .lease_us = 60 * S},
        .now_us = 1000 * S,
    };
    struct worker workers[THREADS] = {0};
    for (int i = 0; i < THREADS; i++) {
        workers[i].shared = &shared;
        random_init(&workers[i].random, (uint64_t)i + 1);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    assert_false(atomic_load(&shared.wrong));
    assert_true(atomic_load(&shared.probes) > GRANTS / 100);
    f->cell = cells_get(f->cells, STR("shared"));
    f->limits = shared.limits;
    assert_int_equal(look(f).calls, 0);
    assert_int_equal(look(f).waiting, 0);
    assert_int_equal(atomic_load(&cells_route(f->cells, STR("route"))->requests), THREADS);
}

/* Nobody who waits is forgotten: each thread works only when it has been woken. */
static void *work_when_woken(void *user)
{
    struct worker *worker = user;
    struct shared *shared = worker->shared;
    struct cell *cell = cells_get(shared->cells, STR("queue"));
    struct cell_ask ask = {.now_us = S,
                           .limits = &shared->limits,
                           .breaker = &shared->policy,
                           .waiter = &worker->waiter};
    struct cell_lease lease = {0};
    for (int i = 0; i < GRANTS / 5 && !atomic_load(&shared->wrong);) {
        int before = atomic_load(&worker->woken);
        if (cell_acquire(cell, &ask, &lease).verdict == CELL_GRANTED) {
            check(shared, atomic_fetch_add(&shared->calls, 1) == 0);
            sched_yield();
            atomic_fetch_sub(&shared->calls, 1);
            cell_succeed(&lease, &shared->policy, S, -1);
            i++;
            continue;
        }
        if (!worker->waiter.cell)
            cell_wait(cell, &worker->waiter, CELL_BATCH, THREADS, wake_worker, &worker->woken);
        uint64_t since_ms = clock_monotonic_ms();
        while (atomic_load(&worker->woken) == before) {
            sched_yield();
            if (clock_monotonic_ms() - since_ms > 20000) {
                check(shared, false);
                break;
            }
        }
    }
    cell_wait_end(&worker->waiter);
    return NULL;
}

static void nobody_sleeps_over_a_free_place(void **state)
{
    struct fixture *f = *state;
    struct shared shared = {
        .cells = f->cells,
        .limits = {.concurrency_max = 1, .waiters_max = THREADS},
        .policy = policy,
    };
    struct worker workers[THREADS] = {0};
    for (int i = 0; i < THREADS; i++) {
        workers[i].shared = &shared;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work_when_woken, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    assert_false(atomic_load(&shared.wrong));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(concurrency),
        TEST(pace_is_taken_by_a_grant_alone),
        TEST(pauses_until_the_provider_says),
        TEST(verdicts_in_their_order),
        TEST(names),
        TEST(one_probe_and_never_a_hedge),
        TEST(old_news_changes_nothing),
        TEST(restoring_closes_and_lifts),
        TEST(by_priority_then_arrival),
        TEST(nobody_barges_past),
        TEST(the_queue_is_bounded),
        TEST(a_wake_goes_on_to_the_next),
        TEST(a_place_that_came_free_unseen),
        TEST(waiting_for_pace),
        TEST(a_change_of_state_wakes),
        TEST(what_is_learned),
        TEST(what_is_kept_is_told_with_the_end),
        TEST(a_probes_kept_content_closes),
        TEST(a_head_that_says_nothing),
        TEST(the_last_error),
        TEST(cells_by_name),
        TEST(four_threads),
        TEST(nobody_sleeps_over_a_free_place),
    };
    return cmocka_run_group_tests_name("route/cell", tests, NULL, NULL);
}
