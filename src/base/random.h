/* Randomness: the kernel's for secrets and ids, a seeded generator for what tests must replay. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Fills `ret` with `size` unpredictable bytes. Any thread. */
void random_bytes(void *ret, size_t size);

/* A seeded generator (xoshiro256**): not for secrets. One thread at a time. */
struct random {
    uint64_t state[4];
};
void random_init(struct random *random, uint64_t seed);
uint64_t random_next(struct random *random);
/* Uniform in [0, limit); limit > 0. */
uint64_t random_below(struct random *random, uint64_t limit);
/* Uniform in [0, 1). */
double random_unit(struct random *random);
