/* Timing: what the programs of this folder have in common. Each takes the median of its repetitions; with
 * any argument there is one of each, which says little, and shows that the program still runs. */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum { REPETITIONS_MAX = 15 };

static inline int timing_repetitions(int argc)
{
    return argc > 1 ? 1 : REPETITIONS_MAX;
}

/* What the thread has spent on a processor, in nanoseconds. */
static inline uint64_t timing_thread_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static inline int timing_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of `count` times, at least one; they are sorted. */
static inline double timing_median(double *times, int count)
{
    qsort(times, (size_t)count, sizeof *times, timing_compare);
    return times[count / 2];
}
