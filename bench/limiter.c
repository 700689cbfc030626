/* limiter-bench: what limits and budgets cost a request: reserving in its subjects and settling, with
 * every kind of limit set and many other subjects known; alone, and on two threads at once. Prints
 * one line of JSON; every figure is the median of several repetitions, in nanoseconds of the
 * thread's time on a processor. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "route/limiter.h"
#include "timing.h"

enum { REQUESTS = 200000, SUBJECTS = 4, OTHERS = 10000, THREADS = 2 };

struct bench {
    int repetitions;
    struct limiter *limiter;
    struct limiter_subject subjects[SUBJECTS];
    uint64_t from; /* time goes on from one repetition to the next, in milliseconds */
    double ns;     /* of the newest repetition, one request */
};

static void *repeat(void *user)
{
    struct bench *bench = user;
    struct limiter_ask ask = {bench->subjects, SUBJECTS, 100, 1000, {0}};
    struct limiter_lease lease;
    struct limiter_refusal refusal;
    struct limiter_view view;
    char soft[256];
    uint64_t began_ns = timing_thread_ns();
    for (uint64_t i = bench->from; i < bench->from + REQUESTS; i++) {
        ask.now = (struct limiter_time){1000000 + i * 1000, 1800000000000 + (int64_t)i};
        ASSERT(limiter_reserve(bench->limiter, &ask, &lease, &refusal, &view, soft));
        limiter_settle(bench->limiter, &lease, 50, 500, ask.now);
    }
    bench->ns = (double)(timing_thread_ns() - began_ns) / (double)REQUESTS;
    return NULL;
}

static double measure(struct bench *bench, int threads)
{
    double figures[REPETITIONS_MAX];
    for (int i = 0; i < bench->repetitions; i++) {
        struct bench own[THREADS];
        bench->from += REQUESTS;
        pthread_t others[THREADS];
        for (int t = 0; t < threads; t++) {
            own[t] = *bench;
            ASSERT(pthread_create(&others[t], NULL, repeat, &own[t]) == 0);
        }
        for (int t = 0; t < threads; t++)
            pthread_join(others[t], NULL);
        figures[i] = own[0].ns;
    }
    return timing_median(figures, bench->repetitions);
}

static void fill(struct limiter *limiter, const struct quota *quota)
{
    for (int i = 0; i < OTHERS; i++) {
        char id[27];
        int length = snprintf(id, sizeof id, "01k%023d", i);
        limiter_set(limiter, (struct limiter_subject){QUOTA_KEY, STR_FROM(id, (size_t)length)},
                    quota);
    }
}

int main(int argc, char **argv)
{
    const struct quota quota = {
        .requests_per_minute = QUOTA_PER_MINUTE_MAX,
        .tokens_per_minute = QUOTA_PER_MINUTE_MAX,
        .requests = {QUOTA_PER_PERIOD_MAX, 0, QUOTA_PER_PERIOD_MAX},
        .tokens = {QUOTA_PER_PERIOD_MAX, 0, QUOTA_PER_PERIOD_MAX},
        .streams_max = QUOTA_STREAMS_MAX,
        .hard_nano = {QUOTA_USD_MAX * QUOTA_NANO_PER_USD, 0, QUOTA_USD_MAX * QUOTA_NANO_PER_USD},
    };
    (void)argv;
    struct bench bench = {timing_repetitions(argc),
                          limiter_new(),
                          {{QUOTA_KEY, STR("01k00000000000000000000042")},
                           {QUOTA_USER, STR("01k00000000000000000000007")},
                           {QUOTA_MODEL, STR("anthropic/claude-sonnet-5")},
                           {QUOTA_ADDRESS, STR("192.0.2.17")}},
                          0,
                          0};
    double free_ns = measure(&bench, 1);
    fill(bench.limiter, &quota);
    for (int i = 0; i < SUBJECTS; i++)
        limiter_set(bench.limiter, bench.subjects[i], &quota);
    double alone_ns = measure(&bench, 1);
    double together_ns = measure(&bench, THREADS);
    printf(
        "{\"limiter_unlimited_ns\":%.0f,\"limiter_four_ns\":%.0f,\"limiter_two_threads_ns\":%.0f}"
        "\n",
        free_ns, alone_ns, together_ns);
    limiter_free(bench.limiter);
    return 0;
}
