/* A limiter with a bug in itself is caught: this program is built once for each, from a copy of the
 * limiter in which one function that it calls is replaced by a wrong one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broken.h"
#include "simulation.h"

enum { RUNS = 60, STEPS = 1500 };

void broken_naive_return(struct bucket *bucket, uint64_t mark, int64_t held, int64_t used)
{
    (void)mark;
    bucket_settle(bucket, bucket->passed + bucket->spent, held, used);
}

void broken_fixed_minutes(struct bucket *bucket, int64_t per_minute, uint64_t now_us)
{
    if (per_minute && now_us / BUCKET_UNIT != bucket->updated_us / BUCKET_UNIT) {
        bucket->passed += bucket->spent;
        bucket->spent = 0;
    }
    bucket_refill(bucket, per_minute, now_us);
}

uint64_t broken_half_wait(const struct bucket *bucket, int64_t per_minute, int64_t capacity,
                          int64_t tokens, uint64_t now_us)
{
    return bucket_wait_us(bucket, per_minute, capacity, tokens, now_us) / 2;
}

uint64_t broken_long_wait(const struct bucket *bucket, int64_t per_minute, int64_t capacity,
                          int64_t tokens, uint64_t now_us)
{
    return bucket_wait_us(bucket, per_minute, capacity, tokens, now_us) * 2;
}

int64_t broken_forgetful_day(enum quota_period period, int64_t index, int64_t wall_ms)
{
    (void)index;
    return calendar_index(period, wall_ms);
}

bool broken_one_more(const struct limiter_node *node, const struct quota *quota,
                     const struct limiter_ask *ask, struct limiter_refusal *worst)
{
    struct quota more = *quota;
    if (more.streams_max)
        more.streams_max++;
    return limiter_node_fits(node, &more, ask, worst);
}

bool broken_part_taken(const struct limiter_node *node, const struct quota *quota,
                       const struct limiter_ask *ask, struct limiter_refusal *worst)
{
    if (!limiter_node_fits(node, quota, ask, worst))
        return false;
    bucket_take(&((struct limiter_node *)(uintptr_t)node)->requests, 1);
    return true;
}

bool broken_unheld(const struct limiter_node *node, const struct quota *quota,
                   const struct limiter_ask *ask, struct limiter_refusal *worst)
{
    struct limiter_node bare = *node;
    bare.held_tokens = bare.held_nano = 0;
    bare.id_length = 0;
    return limiter_node_fits(&bare, quota, ask, worst);
}

void broken_leak(struct limiter_node *node, const struct quota *quota, uint64_t mark,
                 const struct limiter_lease *held, int64_t tokens, int64_t cost_nano)
{
    struct limiter_lease part = *held;
    if (tokens < held->tokens)
        part.tokens = tokens;
    limiter_node_settle(node, quota, mark, &part, tokens, cost_nano);
}

void broken_cheap(struct limiter_node *node, const struct quota *quota, uint64_t mark,
                  const struct limiter_lease *held, int64_t tokens, int64_t cost_nano)
{
    if (tokens > held->tokens)
        tokens = held->tokens;
    limiter_node_settle(node, quota, mark, held, tokens, cost_nano);
}

void broken_full_at_reload(struct limiter_node *node, const struct quota *quota, uint64_t now_us)
{
    if (now_us == node->tokens.updated_us)
        node->tokens.spent = 0;
    limiter_node_refill(node, quota, now_us);
}

static void test_caught(void **state)
{
    (void)state;
    struct simulation_result result = {0};
    for (uint64_t seed = 1; seed <= RUNS && !result.broken; seed++)
        simulation_run(seed, STEPS, &result);
    assert_string_equal(invariant_name(result.broken), invariant_name(CAUGHT_BY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_caught)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
