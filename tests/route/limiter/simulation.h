/* Simulation of the limiter: callers of several subjects who ask, end with less or more than they
 * said or never, and come back when told; clocks that jump; quotas that change meanwhile. Drawn from
 * a seed, without real time. After every step the shadow says whether all holds. */
#pragma once

#include "shadow.h"

struct simulation_result {
    enum invariant broken;
    int step;
    char text[SHADOW_TEXT];
    /* What happened: */
    uint64_t granted;
    uint64_t refused;
    uint64_t settled;
    uint64_t waits; /* put to the test */
    uint64_t changes;
};

/* True when all held. */
bool simulation_run(uint64_t seed, int steps, struct simulation_result *ret_result);
