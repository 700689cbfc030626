/* Latency: what the LATENCY strategy compares and hedging waits for. A cell holds one for each
 * target, under its lock. Times are of any clock that only grows; a sample from a thread that read
 * it a little earlier counts as of the same moment. */
#include "route/latency.h"

#include <math.h>
#include <stddef.h>

enum { SAMPLES_MAX = 1024 };

static const double least_us = 1000;
static const double step = 1.25;          /* one range to the next */
static const double fall_us = 10e6;       /* time constant of what lower samples do */
static const double forgetting_us = 30e6; /* without samples: until half is left */

static double since_us(const struct latency *latency, uint64_t now_us)
{
    return now_us > latency->last_us ? (double)(now_us - latency->last_us) : 0;
}

/* The range of a sample; what is shorter or longer than all is in the first or the last. */
static size_t range_of(double sample_us)
{
    if (sample_us <= least_us)
        return 0;
    double range = log(sample_us / least_us) / log(step);
    return range < LATENCY_RANGES - 1 ? (size_t)range : LATENCY_RANGES - 1;
}

static void halve(struct latency *latency)
{
    latency->count = 0;
    for (size_t i = 0; i < LATENCY_RANGES; i++) {
        latency->ranges[i] /= 2;
        latency->count += latency->ranges[i];
    }
}

void latency_add(struct latency *latency, uint64_t now_us, uint64_t sample_us)
{
    double sample = (double)(sample_us ? sample_us : 1); /* 0 is: unknown */
    if (sample >= latency->average_us) {
        latency->average_us = sample;
    } else {
        double kept = exp(-since_us(latency, now_us) / fall_us);
        latency->average_us = sample + (latency->average_us - sample) * kept;
    }
    if (now_us > latency->last_us)
        latency->last_us = now_us;
    latency->ranges[range_of(sample)]++;
    if (++latency->count >= SAMPLES_MAX)
        halve(latency);
}

uint64_t latency_average_us(const struct latency *latency, uint64_t now_us)
{
    double passed = since_us(latency, now_us) / forgetting_us;
    double left = passed < 1 ? 1 - passed / 2 : 0.5;
    return (uint64_t)ceil(latency->average_us * left);
}

uint64_t latency_p95_us(const struct latency *latency)
{
    if (latency->count < LATENCY_SAMPLES_MIN)
        return 0;
    uint32_t above = latency->count / 20; /* may be longer than it */
    size_t range = LATENCY_RANGES - 1;
    for (uint32_t seen = latency->ranges[range]; seen <= above; seen += latency->ranges[range])
        range--;
    return (uint64_t)ceil(least_us * pow(step, (double)range + 1));
}
