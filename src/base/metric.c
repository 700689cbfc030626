/* Metric registry: a locked list of series whose values are atomics. */
#include "base/metric.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/list.h"

struct metric {
    struct list link;
    const struct metric_definition *definition;
    char *labels;
    _Atomic int64_t value; /* counter, gauge; histogram: sum in millionths */
    /* How many were up to each bound and over the one before; those over all bounds are behind them.
     */
    _Atomic int64_t buckets[METRIC_BOUNDS_MAX + 1];
};

struct metric_registry {
    pthread_mutex_t lock;
    struct list metrics; /* series of one definition stand together */
};

struct metric_registry *metric_registry_new(void)
{
    struct metric_registry *registry = calloc(1, sizeof *registry);
    ASSERT(registry);
    pthread_mutex_init(&registry->lock, NULL);
    list_init(&registry->metrics);
    return registry;
}

void metric_registry_free(struct metric_registry *registry)
{
    if (!registry)
        return;
    LIST_EACH (&registry->metrics, link) {
        struct metric *metric = LIST_ENTRY(link, struct metric, link);
        free(metric->labels);
        free(metric);
    }
    pthread_mutex_destroy(&registry->lock);
    free(registry);
}

static struct metric *get_locked(struct metric_registry *registry,
                                 const struct metric_definition *definition, const char *labels)
{
    struct list *after = registry->metrics.previous;
    LIST_EACH (&registry->metrics, link) {
        struct metric *metric = LIST_ENTRY(link, struct metric, link);
        if (metric->definition != definition)
            continue;
        if (strcmp(metric->labels, labels) == 0)
            return metric;
        after = link;
    }
    struct metric *metric = calloc(1, sizeof *metric);
    ASSERT(metric);
    metric->definition = definition;
    metric->labels = strdup(labels);
    ASSERT(metric->labels);
    list_prepend(after, &metric->link);
    return metric;
}

struct metric *metric_get(struct metric_registry *registry,
                          const struct metric_definition *definition, const char *labels)
{
    ASSERT(definition->bounds_count <= METRIC_BOUNDS_MAX);
    pthread_mutex_lock(&registry->lock);
    struct metric *metric = get_locked(registry, definition, labels);
    pthread_mutex_unlock(&registry->lock);
    return metric;
}

void metric_add(struct metric *metric, int64_t amount)
{
    atomic_fetch_add_explicit(&metric->value, amount, memory_order_relaxed);
}

void metric_set(struct metric *metric, int64_t value)
{
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

int64_t metric_value(const struct metric *metric)
{
    int64_t count = 0;
    if (metric->definition->kind != METRIC_HISTOGRAM)
        return atomic_load_explicit(&metric->value, memory_order_relaxed);
    for (int i = 0; i <= metric->definition->bounds_count; i++)
        count += atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
    return count;
}

void metric_observe(struct metric *metric, double value)
{
    const struct metric_definition *definition = metric->definition;
    int i = 0;
    while (i < definition->bounds_count && !(value <= definition->bounds[i]))
        i++;
    atomic_fetch_add_explicit(&metric->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&metric->value, (int64_t)(value * 1e6), memory_order_relaxed);
}

static void write_histogram(const struct metric *metric, struct buf *out)
{
    const struct metric_definition *definition = metric->definition;
    const char *comma = metric->labels[0] ? "," : "";
    int64_t cumulative = 0;
    for (int i = 0; i < definition->bounds_count; i++) {
        cumulative += atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
        buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %lld\n", definition->name, metric->labels, comma,
                   definition->bounds[i], (long long)cumulative);
    }
    int64_t count = cumulative + atomic_load_explicit(&metric->buckets[definition->bounds_count],
                                                      memory_order_relaxed);
    int64_t sum = atomic_load_explicit(&metric->value, memory_order_relaxed);
    buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %lld\n", definition->name, metric->labels, comma,
               (long long)count);
    buf_printf(out, "%s_sum{%s} %.6f\n", definition->name, metric->labels, (double)sum / 1e6);
    buf_printf(out, "%s_count{%s} %lld\n", definition->name, metric->labels, (long long)count);
}

void metric_registry_write(struct metric_registry *registry, struct buf *out)
{
    static const char *const kind_names[] = {"counter", "gauge", "histogram"};
    const struct metric_definition *previous = NULL;
    pthread_mutex_lock(&registry->lock);
    LIST_EACH (&registry->metrics, link) {
        struct metric *metric = LIST_ENTRY(link, struct metric, link);
        const struct metric_definition *definition = metric->definition;
        if (definition != previous)
            buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", definition->name, definition->help,
                       definition->name, kind_names[definition->kind]);
        previous = definition;
        if (definition->kind == METRIC_HISTOGRAM)
            write_histogram(metric, out);
        else
            buf_printf(out, "%s{%s} %lld\n", definition->name, metric->labels,
                       (long long)metric_value(metric));
    }
    pthread_mutex_unlock(&registry->lock);
}
