/* Metrics: the exposition text, series, histograms, threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "base/metric.h"

static const double bounds[] = {0.005, 0.1, 1, 10};
static const struct metric_definition requests = {"parley_requests_total", "Requests.",
                                                  METRIC_COUNTER, NULL, 0};
static const struct metric_definition open_sockets = {"parley_sockets", "Open sockets.",
                                                      METRIC_GAUGE, NULL, 0};
static const struct metric_definition latency = {"parley_latency_seconds", "Latency.",
                                                 METRIC_HISTOGRAM, bounds, 4};

static void assert_written(struct metric_registry *registry, const char *expected)
{
    struct buf out;
    buf_init(&out, 10000);
    metric_registry_write(registry, &out);
    buf_append_char(&out, '\0');
    assert_true(buf_ok(&out));
    assert_string_equal(out.data, expected);
    buf_done(&out);
}

static void series_stand_together(void **state)
{
    (void)state;
    struct metric_registry *registry = metric_registry_new();
    assert_written(registry, "");
    char labels[] = "provider=\"a\"";
    struct metric *a = metric_get(registry, &requests, labels);
    labels[10] = 'X'; /* copied */
    struct metric *sockets = metric_get(registry, &open_sockets, "");
    struct metric *b = metric_get(registry, &requests, "provider=\"b\"");
    assert_ptr_equal(metric_get(registry, &requests, "provider=\"a\""), a);
    assert_ptr_not_equal(a, b);
    metric_add(a, 2);
    metric_add(a, 3);
    metric_add(b, 1);
    metric_set(sockets, 7);
    metric_add(sockets, -9);
    assert_int_equal(metric_value(a), 5);
    assert_written(registry, "# HELP parley_requests_total Requests.\n"
                             "# TYPE parley_requests_total counter\n"
                             "parley_requests_total{provider=\"a\"} 5\n"
                             "parley_requests_total{provider=\"b\"} 1\n"
                             "# HELP parley_sockets Open sockets.\n"
                             "# TYPE parley_sockets gauge\n"
                             "parley_sockets{} -2\n");
    metric_registry_free(registry);
    metric_registry_free(NULL);
}

static void histograms_are_cumulative(void **state)
{
    (void)state;
    struct metric_registry *registry = metric_registry_new();
    struct metric *metric = metric_get(registry, &latency, "m=\"x\"");
    static const double values[] = {0.001, 0.005, 0.05, 0.1, 0.5, 100}; /* a bound is within */
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        metric_observe(metric, values[i]);
    assert_written(registry, "# HELP parley_latency_seconds Latency.\n"
                             "# TYPE parley_latency_seconds histogram\n"
                             "parley_latency_seconds_bucket{m=\"x\",le=\"0.005\"} 2\n"
                             "parley_latency_seconds_bucket{m=\"x\",le=\"0.1\"} 4\n"
                             "parley_latency_seconds_bucket{m=\"x\",le=\"1\"} 5\n"
                             "parley_latency_seconds_bucket{m=\"x\",le=\"10\"} 5\n"
                             "parley_latency_seconds_bucket{m=\"x\",le=\"+Inf\"} 6\n"
                             "parley_latency_seconds_sum{m=\"x\"} 100.656000\n"
                             "parley_latency_seconds_count{m=\"x\"} 6\n");
    metric_registry_free(registry);
    registry = metric_registry_new();
    metric_observe(metric_get(registry, &latency, ""), 2);
    struct buf out;
    buf_init(&out, 10000);
    metric_registry_write(registry, &out);
    assert_true(str_find(buf_str(&out), STR("_bucket{le=\"10\"} 1\n")) != SIZE_MAX);
    buf_done(&out);
    metric_registry_free(registry);
}

enum { THREADS = 4, ROUNDS = 5000 };

static void *add_many(void *user)
{
    struct metric_registry *registry = user;
    for (int i = 0; i < ROUNDS; i++) {
        const char *labels = i % 2 ? "k=\"odd\"" : "k=\"even\"";
        metric_add(metric_get(registry, &requests, labels), 1);
        metric_observe(metric_get(registry, &latency, ""), 0.5);
    }
    return NULL;
}

static void threads_lose_nothing(void **state)
{
    (void)state;
    struct metric_registry *registry = metric_registry_new();
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, registry), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(metric_value(metric_get(registry, &requests, "k=\"odd\"")),
                     THREADS * ROUNDS / 2);
    assert_int_equal(metric_value(metric_get(registry, &requests, "k=\"even\"")),
                     THREADS * ROUNDS / 2);
    assert_int_equal(metric_value(metric_get(registry, &latency, "")), THREADS * ROUNDS);
    metric_registry_free(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(series_stand_together),
        cmocka_unit_test(histograms_are_cumulative),
        cmocka_unit_test(threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
