/* Metric registry: counters, gauges and histograms, shown in the Prometheus text format. */
#pragma once

#include <stdint.h>

#include "base/buf.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* What a metric is. Names and labels follow the Prometheus conventions (base units, _total). */
struct metric_definition {
    const char *name;
    const char *help;
    enum metric_kind kind;
    const double *bounds; /* histograms: upper bounds, ascending */
    int bounds_count;     /* at most METRIC_BOUNDS_MAX */
};

enum { METRIC_BOUNDS_MAX = 16 };

struct metric_registry;
struct metric;

struct metric_registry *metric_registry_new(void);
void metric_registry_free(struct metric_registry *registry);

/* The series of `definition` (kept by pointer: it must outlive the registry) with `labels`, the
 * text between the braces (`provider="openai"`, copied) or "". The same pair gives the same
 * series. Takes a lock: look it up once, keep the pointer. Any thread. */
struct metric *metric_get(struct metric_registry *registry,
                          const struct metric_definition *definition, const char *labels);

/* Any thread, without locks. */
void metric_add(struct metric *metric, int64_t amount);
void metric_set(struct metric *metric, int64_t value);
/* For histograms: notes one observation in the metric's own unit (seconds). */
void metric_observe(struct metric *metric, double value);
/* Of a histogram: how many observations. */
int64_t metric_value(const struct metric *metric);

/* Appends everything in the text exposition format 0.0.4. */
void metric_registry_write(struct metric_registry *registry, struct buf *out);
