/* Measured times, and what is said of them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Zeroed is empty; release with samples_done. */
struct samples {
    uint64_t *values;
    size_t count, capacity;
};
void samples_add(struct samples *samples, uint64_t value);
void samples_done(struct samples *samples);
/* The smallest value that at least `percent` % of them do not exceed (nearest rank); 0 of none.
 * Sorts them. */
uint64_t samples_percentile(struct samples *samples, double percent);
