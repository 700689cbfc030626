/* The breaker: every arrow of its drawing, stale words, cooldowns, the window; and a random life. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "route/breaker.h"

#define S ((uint64_t)1000 * 1000)

static const struct breaker_policy policy = {
    .failures_max = 3,
    .ratio_percent = 50,
    .ratio_calls_min = 10,
    .window_us = 60 * S,
    .cooldown_us = 10 * S,
    .cooldown_max_us = 50 * S,
    .lease_us = 5 * S,
};

struct fixture {
    struct breaker breaker;
    struct random random;
    uint64_t now_us;
    uint64_t until_us;
};

static struct fixture begin(void)
{
    struct fixture f = {.now_us = 1000 * S};
    random_init(&f.random, 7);
    return f;
}

/* The probe's number, 0 when anybody may go, UINT64_MAX when nobody may. */
static uint64_t ask(struct fixture *f)
{
    uint64_t probe = 0;
    uint64_t until_us = 0;
    enum breaker_verdict expected = breaker_look(&f->breaker, f->now_us, &until_us);
    enum breaker_verdict verdict =
        breaker_ask(&f->breaker, &policy, f->now_us, true, &probe, &f->until_us);
    assert_int_equal(verdict, expected);
    assert_true((verdict == BREAKER_PROBES) == (probe != 0));
    if (verdict == BREAKER_REFUSES)
        assert_true(f->until_us == until_us && until_us > f->now_us);
    return verdict == BREAKER_REFUSES ? UINT64_MAX : probe;
}

static void fail_call(struct fixture *f, uint64_t probe)
{
    breaker_failure(&f->breaker, &policy, f->now_us, probe, 0, &f->random);
}

static void succeed(struct fixture *f, uint64_t probe)
{
    breaker_success(&f->breaker, &policy, f->now_us, probe);
}

static void fail_calls(struct fixture *f, int count)
{
    for (int i = 0; i < count; i++)
        fail_call(f, 0);
}

/* Opened, and past its cooldown. */
static struct fixture begin_due(void)
{
    struct fixture f = begin();
    fail_calls(&f, policy.failures_max);
    assert_int_equal(f.breaker.state, BREAKER_OPEN);
    f.now_us = f.breaker.open_until_us;
    return f;
}

static void opens_after_failures_in_a_row(void **state)
{
    (void)state;
    struct fixture f = begin();
    fail_calls(&f, 2);
    succeed(&f, 0);
    fail_calls(&f, 2);
    assert_int_equal(ask(&f), 0);
    fail_call(&f, 0);
    assert_int_equal(f.breaker.state, BREAKER_OPEN);
    assert_true(ask(&f) == UINT64_MAX);
    uint64_t cooldown = f.until_us - f.now_us;
    assert_true(cooldown >= 10 * S && cooldown <= 12 * S);
    f.now_us = f.until_us - 1;
    assert_true(ask(&f) == UINT64_MAX);
    assert_int_equal(f.breaker.state, BREAKER_OPEN);
}

static void opens_on_a_ratio(void **state)
{
    (void)state;
    struct fixture f = begin();
    for (int i = 0; i < 4; i++) {
        fail_call(&f, 0);
        succeed(&f, 0);
    }
    fail_call(&f, 0); /* 5 of 9: too few calls to say */
    assert_int_equal(f.breaker.state, BREAKER_CLOSED);
    assert_int_equal(breaker_failed_percent(&f.breaker, &policy, f.now_us), 55);
    succeed(&f, 0);
    assert_int_equal(f.breaker.state, BREAKER_CLOSED); /* a success opens nothing */
    fail_call(&f, 0);                                  /* 6 of 11 */
    assert_int_equal(f.breaker.state, BREAKER_OPEN);

    struct breaker_policy without = policy;
    without.ratio_percent = 0;
    struct breaker breaker = {0};
    for (int i = 0; i < 100; i++) {
        breaker_failure(&breaker, &without, f.now_us, 0, 0, &f.random);
        breaker_success(&breaker, &without, f.now_us, 0);
    }
    assert_int_equal(breaker.state, BREAKER_CLOSED);
}

static void the_window_passes(void **state)
{
    (void)state;
    struct fixture f = begin();
    for (int i = 0; i < 4; i++) {
        fail_call(&f, 0);
        succeed(&f, 0);
    }
    assert_int_equal(breaker_failed_percent(&f.breaker, &policy, f.now_us), 50);
    f.now_us += 61 * S;
    assert_int_equal(breaker_failed_percent(&f.breaker, &policy, f.now_us), 0);
    for (int i = 0; i < 2; i++) { /* 10 calls with those, were they not forgotten */
        fail_call(&f, 0);
        succeed(&f, 0);
    }
    fail_call(&f, 0);
    assert_int_equal(f.breaker.state, BREAKER_CLOSED);
    /* Half of the window later the newer half still counts. */
    f.now_us += 31 * S;
    succeed(&f, 0);
    assert_int_equal(breaker_failed_percent(&f.breaker, &policy, f.now_us), 50);
    for (int i = 0; i < 3; i++)
        succeed(&f, 0);
    assert_int_equal(f.breaker.state, BREAKER_CLOSED);
    fail_call(&f, 0);
    fail_call(&f, 0); /* 5 of 11 */
    assert_int_equal(f.breaker.state, BREAKER_CLOSED);
    f.now_us -= 40 * S; /* a thread that read its clock early changes nothing */
    succeed(&f, 0);
    assert_int_equal(breaker_failed_percent(&f.breaker, &policy, f.now_us), 41);
}

static void one_probe(void **state)
{
    (void)state;
    struct fixture f = begin_due();
    uint64_t probe = 0;
    uint64_t until_us = 0;
    assert_int_equal(breaker_ask(&f.breaker, &policy, f.now_us, false, &probe, &until_us),
                     BREAKER_REFUSES);
    assert_true(until_us == f.now_us + policy.lease_us);
    assert_int_equal(f.breaker.state, BREAKER_OPEN); /* who may not be it takes nothing */
    assert_int_equal(probe, 0);

    assert_int_equal(ask(&f), 1);
    assert_int_equal(f.breaker.state, BREAKER_HALF_OPEN);
    assert_true(ask(&f) == UINT64_MAX);
    assert_true(f.until_us == f.now_us + policy.lease_us);
    breaker_content(&f.breaker, 1);
    assert_int_equal(f.breaker.state, BREAKER_CLOSED);
    assert_int_equal(ask(&f), 0);
    /* From its first content on it is a call as any other. */
    fail_calls(&f, 2);
    fail_call(&f, 1);
    assert_int_equal(f.breaker.state, BREAKER_OPEN);
    assert_int_equal(f.breaker.openings, 1);
}

static void a_probe_that_succeeds_without_content(void **state)
{
    (void)state;
    struct fixture f = begin_due();
    succeed(&f, ask(&f));
    assert_int_equal(f.breaker.state, BREAKER_CLOSED);
    assert_int_equal(f.breaker.openings, 0);
}

static void a_forgotten_probe_gives_its_place_back(void **state)
{
    (void)state;
    struct fixture f = begin_due();
    assert_int_equal(ask(&f), 1);
    breaker_forget(&f.breaker, 0); /* not the probe */
    assert_true(ask(&f) == UINT64_MAX);
    breaker_forget(&f.breaker, 1);
    assert_int_equal(f.breaker.state, BREAKER_HALF_OPEN);
    uint64_t probe = 0;
    assert_int_equal(breaker_ask(&f.breaker, &policy, f.now_us, false, &probe, &f.until_us),
                     BREAKER_REFUSES);
    assert_int_equal(ask(&f), 2);
    breaker_forget(&f.breaker, 1); /* twice changes nothing */
    assert_true(ask(&f) == UINT64_MAX);
}

static void a_lease_runs_out(void **state)
{
    (void)state;
    struct fixture f = begin_due();
    assert_int_equal(ask(&f), 1);
    f.now_us += policy.lease_us - 1;
    assert_true(ask(&f) == UINT64_MAX);
    f.now_us += 1;
    assert_int_equal(ask(&f), 2);
    /* Whatever the first one says now, it is not the probe any more. */
    breaker_content(&f.breaker, 1);
    succeed(&f, 1);
    fail_call(&f, 1);
    breaker_forget(&f.breaker, 1);
    assert_int_equal(f.breaker.state, BREAKER_HALF_OPEN);
    assert_true(ask(&f) == UINT64_MAX);
    succeed(&f, 2);
    for (int i = 0; i < 10; i++)
        fail_call(&f, 1);
    assert_int_equal(f.breaker.state, BREAKER_CLOSED);
    assert_int_equal(f.breaker.failures_in_row, 0);
}

static void stale_words_change_nothing(void **state)
{
    (void)state;
    struct fixture f = begin();
    fail_calls(&f, 3);
    struct breaker before = f.breaker;
    f.now_us += S;
    succeed(&f, 0);
    breaker_failure(&f.breaker, &policy, f.now_us, 0, f.now_us + 1000 * S, &f.random);
    breaker_content(&f.breaker, 0);
    breaker_forget(&f.breaker, 0);
    assert_memory_equal(&before, &f.breaker, sizeof before);
    f.now_us = f.breaker.open_until_us;
    assert_int_equal(ask(&f), 1);
    before = f.breaker;
    succeed(&f, 0);
    fail_calls(&f, 10);
    breaker_content(&f.breaker, 0);
    breaker_content(&f.breaker, 99);
    succeed(&f, 99);
    assert_memory_equal(&before, &f.breaker, sizeof before);
}

static void cooldown_doubles_with_jitter(void **state)
{
    (void)state;
    struct fixture f = begin_due();
    static const uint64_t expected[] = {20, 40, 50, 50, 50};
    uint64_t jitters[5];
    for (int i = 0; i < 5; i++) {
        fail_call(&f, ask(&f));
        assert_int_equal(f.breaker.state, BREAKER_OPEN);
        uint64_t cooldown = f.breaker.open_until_us - f.now_us;
        assert_true(cooldown >= expected[i] * S);
        assert_true(cooldown <= expected[i] * S * 6 / 5);
        jitters[i] = cooldown - expected[i] * S;
        f.now_us = f.breaker.open_until_us;
    }
    assert_true(jitters[2] != jitters[3] || jitters[3] != jitters[4]);
    succeed(&f, ask(&f));
    fail_calls(&f, 3); /* from the beginning */
    assert_true(f.breaker.open_until_us - f.now_us <= 12 * S);
    f.breaker.openings = INT32_MAX; /* of a target that never comes back */
    f.now_us = f.breaker.open_until_us;
    fail_call(&f, ask(&f));
    assert_true(f.breaker.open_until_us - f.now_us <= 60 * S);
}

static void the_providers_word_is_a_floor(void **state)
{
    (void)state;
    struct fixture f = begin();
    fail_calls(&f, 2);
    breaker_failure(&f.breaker, &policy, f.now_us, 0, f.now_us + 1 * S, &f.random);
    assert_true(f.breaker.open_until_us >= f.now_us + 10 * S);
    f.now_us = f.breaker.open_until_us;
    breaker_failure(&f.breaker, &policy, f.now_us, ask(&f), f.now_us + 500 * S, &f.random);
    assert_true(f.breaker.open_until_us == f.now_us + 500 * S);
    f.now_us = f.breaker.open_until_us;
    breaker_failure(&f.breaker, &policy, f.now_us, ask(&f), UINT64_MAX, &f.random);
    assert_true(f.breaker.open_until_us == UINT64_MAX);
    f.now_us = UINT64_MAX - 1;
    assert_true(ask(&f) == UINT64_MAX);
}

static void reset_closes(void **state)
{
    (void)state;
    struct fixture f = begin_due();
    assert_int_equal(ask(&f), 1);
    breaker_reset(&f.breaker);
    assert_int_equal(ask(&f), 0);
    for (int i = 0; i < 10; i++)
        fail_call(&f, 1); /* the probe of before */
    assert_int_equal(f.breaker.state, BREAKER_CLOSED);
    fail_calls(&f, 3);
    f.now_us = f.breaker.open_until_us;
    assert_true(ask(&f) > 1); /* no number comes twice */
}

static void names_and_defaults(void **state)
{
    (void)state;
    assert_string_equal(breaker_state_name(BREAKER_CLOSED), "closed");
    assert_string_equal(breaker_state_name(BREAKER_OPEN), "open");
    assert_string_equal(breaker_state_name(BREAKER_HALF_OPEN), "half_open");
    assert_string_equal(breaker_state_name((enum breaker_state)17), "unknown");
    assert_int_equal(breaker_policy_default.failures_max, 5);
    assert_int_equal(breaker_policy_default.cooldown_us, 60 * S);
    assert_int_equal(breaker_policy_default.cooldown_max_us, 600 * S);
}

/* Any words of any calls in any order: at most one probe that is within its lease, nothing goes
 * while it is open, and a target that is well is found out within one probe. */
static void a_random_life(void **state)
{
    (void)state;
    struct fixture f = begin();
    uint64_t probe = 0;
    uint64_t probe_until_us = 0;
    for (int i = 0; i < 200000; i++) {
        f.now_us += random_below(&f.random, 2 * S);
        bool was_open = f.breaker.state == BREAKER_OPEN && f.now_us < f.breaker.open_until_us;
        uint64_t number = ask(&f);
        assert_true(!was_open || number == UINT64_MAX);
        if (number && number != UINT64_MAX) {
            assert_true(!probe || f.now_us >= probe_until_us);
            probe = number;
            probe_until_us = f.now_us + policy.lease_us;
        }
        uint64_t speaker = random_below(&f.random, 2) ? probe : random_below(&f.random, 3);
        switch (random_below(&f.random, 5)) {
        case 0:
            succeed(&f, speaker);
            break;
        case 1:
            breaker_content(&f.breaker, speaker);
            break;
        case 2:
            breaker_forget(&f.breaker, speaker);
            break;
        default:
            fail_call(&f, speaker);
        }
        if (f.breaker.state != BREAKER_HALF_OPEN || !f.breaker.probe)
            probe = 0;
    }
    f.now_us += 1000 * S; /* whatever was: one ask is enough */
    succeed(&f, ask(&f));
    assert_int_equal(f.breaker.state, BREAKER_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_after_failures_in_a_row),
        cmocka_unit_test(opens_on_a_ratio),
        cmocka_unit_test(the_window_passes),
        cmocka_unit_test(one_probe),
        cmocka_unit_test(a_probe_that_succeeds_without_content),
        cmocka_unit_test(a_forgotten_probe_gives_its_place_back),
        cmocka_unit_test(a_lease_runs_out),
        cmocka_unit_test(stale_words_change_nothing),
        cmocka_unit_test(cooldown_doubles_with_jitter),
        cmocka_unit_test(the_providers_word_is_a_floor),
        cmocka_unit_test(reset_closes),
        cmocka_unit_test(names_and_defaults),
        cmocka_unit_test(a_random_life),
    };
    return cmocka_run_group_tests_name("route/breaker", tests, NULL, NULL);
}
