/* The limiter asked by many threads at once: exactly as many go as may. */
#include "helper_limiter.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { THREADS = 200, PLACES = 100, ROUNDS = 50 };

struct crowd {
    struct limiter *limiter;
    pthread_barrier_t start;
    pthread_barrier_t asked;
    _Atomic int granted;
    _Atomic int under_way;
    _Atomic int most;
};

static void *ask_once(void *user)
{
    struct crowd *crowd = user;
    pthread_barrier_wait(&crowd->start);
    struct answer answer = ask_one(crowd->limiter, KEY_A, 10, 1, time_at(0));
    if (answer.granted)
        atomic_fetch_add(&crowd->granted, 1);
    pthread_barrier_wait(&crowd->asked);
    if (answer.granted)
        limiter_settle(crowd->limiter, &answer.lease, 10, 1, time_at(0));
    return NULL;
}

static int go(struct limiter *limiter, void *(*run)(void *user), struct crowd *crowd)
{
    pthread_t threads[THREADS];
    *crowd = (struct crowd){.limiter = limiter};
    pthread_barrier_init(&crowd->start, NULL, THREADS);
    pthread_barrier_init(&crowd->asked, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, crowd), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&crowd->start);
    pthread_barrier_destroy(&crowd->asked);
    return crowd->granted;
}

static int granted_with(const struct quota *quota)
{
    struct limiter *limiter = limiter_new();
    struct crowd crowd;
    limiter_set(limiter, KEY_A, quota);
    int granted = go(limiter, ask_once, &crowd);
    limiter_free(limiter);
    return granted;
}

static void exactly_as_many_go_as_may(void **state)
{
    (void)state;
    assert_int_equal(granted_with(&(struct quota){.streams_max = PLACES}), PLACES);
    assert_int_equal(granted_with(&(struct quota){.requests_per_minute = PLACES}), PLACES);
    assert_int_equal(granted_with(&(struct quota){.tokens_per_minute = 10 * PLACES}), PLACES);
    assert_int_equal(granted_with(&(struct quota){.requests = {PLACES}}), PLACES);
    assert_int_equal(granted_with(&(struct quota){.hard_nano = {PLACES}}), PLACES);
}

static void note_most(struct crowd *crowd, int now)
{
    int most = atomic_load(&crowd->most);
    while (now > most && !atomic_compare_exchange_weak(&crowd->most, &most, now))
        ;
}

static void *ask_often(void *user)
{
    struct crowd *crowd = user;
    pthread_barrier_wait(&crowd->start);
    for (int i = 0; i < ROUNDS; i++) {
        struct answer answer = ask_one(crowd->limiter, KEY_A, 10, 1, time_at(0));
        if (!answer.granted)
            continue;
        atomic_fetch_add(&crowd->granted, 1);
        note_most(crowd, atomic_fetch_add(&crowd->under_way, 1) + 1);
        atomic_fetch_sub(&crowd->under_way, 1);
        limiter_settle(crowd->limiter, &answer.lease, 10, 1, time_at(0));
    }
    pthread_barrier_wait(&crowd->asked);
    return NULL;
}

static void places_given_back_are_taken_again_and_none_is_lost(void **state)
{
    (void)state;
    struct limiter *limiter = limiter_new();
    struct limiter_used used;
    struct limiter_view view;
    struct crowd crowd;
    int64_t streams = -1;
    limiter_set(limiter, KEY_A, &(struct quota){.streams_max = 3});
    int granted = go(limiter, ask_often, &crowd);
    assert_in_range(crowd.most, 1, 3);
    assert_true(limiter_look(limiter, KEY_A, time_at(0), &streams, &view));
    assert_int_equal(streams, 0);
    assert_true(limiter_used(limiter, KEY_A, QUOTA_DAY, time_at(0).wall_ms, &used));
    assert_int_equal(used.requests, granted);
    assert_int_equal(used.tokens, 10 * granted);
    assert_int_equal(used.cost_nano, granted);
    limiter_free(limiter);
}

/* ---- What answers are expected to have -------------------------------------------------------- */

static void *note_answers(void *user)
{
    struct crowd *crowd = user;
    char name[32];
    pthread_barrier_wait(&crowd->start);
    for (int i = 0; i < ROUNDS; i++) {
        int number = atomic_fetch_add(&crowd->granted, 1); /* more than are remembered */
        int length = snprintf(name, sizeof name, "model-%d", number);
        limiter_note_output(crowd->limiter, STR_FROM(name, (size_t)length), 5000);
        limiter_note_output(crowd->limiter, STR("all"), 100);
        int64_t p95 = limiter_output_p95(crowd->limiter, STR("all"));
        if (p95 && (p95 < 100 || p95 > 112))
            atomic_store(&crowd->most, (int)p95);
    }
    pthread_barrier_wait(&crowd->asked);
    return NULL;
}

/* Of answers counted at once some may be lost, but none is another model's. */
static void many_note_answers_at_once(void **state)
{
    (void)state;
    struct limiter *limiter = limiter_new();
    struct crowd crowd;
    assert_int_equal(go(limiter, note_answers, &crowd), THREADS * ROUNDS);
    assert_int_equal(crowd.most, 0);
    assert_in_range(limiter_output_p95(limiter, STR("all")), 100, 112);
    limiter_free(limiter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_as_many_go_as_may),
        cmocka_unit_test(places_given_back_are_taken_again_and_none_is_lost),
        cmocka_unit_test(many_note_answers_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
