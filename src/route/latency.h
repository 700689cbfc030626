/* Latency: how fast a target answers. A moving average that follows a rise at once and a fall
 * slowly, and a 95th percentile. Pure; whoever shares one locks it. Times in microseconds. */
#pragma once

#include <stdint.h>

/* 64 ranges of a quarter more each, from 1 ms; counts are halved when there are many, so that old
 * samples fade. */
enum { LATENCY_RANGES = 64, LATENCY_SAMPLES_MIN = 20 };

struct latency {
    double average_us; /* 0: no sample yet */
    uint64_t last_us;
    uint32_t count;
    uint16_t ranges[LATENCY_RANGES];
};
/* Zeroed is without samples. */

/* A first content came after `sample_us`. A sample above the average becomes the average; below it,
 * the average falls with a time constant of 10 s. */
void latency_add(struct latency *latency, uint64_t now_us, uint64_t sample_us);
/* The average now: without new samples it falls towards half of itself in 30 s, so that one bad
 * answer does not keep everybody away for ever. 0: unknown. */
uint64_t latency_average_us(const struct latency *latency, uint64_t now_us);
/* Upper end of the range that holds the 95th percentile; 0 with fewer than LATENCY_SAMPLES_MIN
 * samples. */
uint64_t latency_p95_us(const struct latency *latency);
