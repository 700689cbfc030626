/* simulate-limiter: many runs of the limiter's simulation; or one again. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "simulation.h"

enum { STEPS = 2000 };

int main(int count, char **words)
{
    uint64_t runs = 500, seed = 1;
    struct simulation_result result, sum = {0};
    if ((count > 1 && !str_to_u64(str_from_cstr(words[1]), &runs)) ||
        (count > 2 && !str_to_u64(str_from_cstr(words[2]), &seed)) || count > 3) {
        fputs("simulate-limiter [RUNS] [SEED]\n", stderr);
        return 2;
    }
    uint64_t began_ns = clock_monotonic_ns();
    for (uint64_t run = 0; run < runs; run++) {
        if (!simulation_run(seed + run, STEPS, &result)) {
            printf("BROKEN: %s\n  seed %" PRIu64
                   ", step %d: %s\n  again: simulate-limiter 1 %" PRIu64 "\n",
                   invariant_name(result.broken), seed + run, result.step, result.text, seed + run);
            return 1;
        }
        sum.granted += result.granted;
        sum.refused += result.refused;
        sum.waits += result.waits;
        sum.changes += result.changes;
    }
    printf("%" PRIu64 " runs of %d steps: %" PRIu64 " granted, %" PRIu64 " refused, %" PRIu64
           " waits tried, %" PRIu64 " quotas changed, %.2f s\n",
           runs, (int)STEPS, sum.granted, sum.refused, sum.waits, sum.changes,
           (double)(clock_monotonic_ns() - began_ns) / 1e9);
    return 0;
}
