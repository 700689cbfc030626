/* parley selftest: the router's policy out of the configuration, its waits cut short unless told
 * otherwise, and the list of faults played with it. */
#include <signal.h>
#include <stdio.h>

#include "app/commands.h"
#include "app/providers.h"
#include "app/selftest.h"

/* With waits of minutes all are played at once, and there is less to tell. */
enum {
    AT_ONCE = 24,
    REPORT_MS = 1000,
    REAL_TIME_REPORT_MS = 10000,
    JSON_BYTES_MAX = 4 * 1024 * 1024
};

/* Options and switches of the command, in the order of the tables in main.c. */
enum { OPTION_ROUTE };
enum { SWITCH_REAL_TIME, SWITCH_JSON };

/* Waits are at most this long: a policy made for people would take minutes here. */
static const struct cut {
    const char *name;
    size_t offset;        /* in struct route_policy */
    uint64_t at_most;     /* milliseconds */
    uint64_t unit_per_ms; /* of the member */
} cuts[] = {
    {"backoff_ms", offsetof(struct route_policy, backoff_us), 50, 1000},
    {"backoff_max_ms", offsetof(struct route_policy, backoff_max_us), 500, 1000},
    {"queue_wait_ms", offsetof(struct route_policy, queue_wait_us), 500, 1000},
    {"total_ms", offsetof(struct route_policy, total_us), 20000, 1000},
    {"breaker_cooldown_ms", offsetof(struct route_policy, breaker.cooldown_us), 100, 1000},
    {"breaker_cooldown_max_ms", offsetof(struct route_policy, breaker.cooldown_max_us), 400, 1000},
    {"connect_ms", offsetof(struct route_policy, timeouts.connect_ms), 500, 1},
    {"headers_ms", offsetof(struct route_policy, timeouts.headers_ms), 500, 1},
    {"first_content_ms", offsetof(struct route_policy, timeouts.first_content_ms), 500, 1},
    {"content_idle_ms", offsetof(struct route_policy, timeouts.content_idle_ms), 500, 1},
};
enum { CUTS = sizeof cuts / sizeof cuts[0] };

struct selftest_order {
    struct str route; /* whose policy it is, or STR_NONE */
    struct route_policy policy;
    uint64_t cut_from_ms[CUTS]; /* what the configuration says */
    bool is_real_time;
    bool is_json;
};

static uint64_t *member_of(struct route_policy *policy, size_t offset)
{
    return (uint64_t *)(void *)((char *)policy + offset);
}

static void cut_waits(struct selftest_order *order)
{
    for (size_t i = 0; i < CUTS; i++) {
        uint64_t *member = member_of(&order->policy, cuts[i].offset);
        order->cut_from_ms[i] = *member / cuts[i].unit_per_ms;
        if (!order->is_real_time && order->cut_from_ms[i] > cuts[i].at_most)
            *member = cuts[i].at_most * cuts[i].unit_per_ms;
    }
}

/* What a policy leaves to the providers is what all providers have. */
static void complete_timeouts(const struct config *config, struct llm_timeouts *timeouts)
{
    const struct {
        uint64_t *member;
        const char *key;
    } rows[] = {
        {&timeouts->connect_ms, "timeouts.connect_ms"},
        {&timeouts->headers_ms, "timeouts.headers_ms"},
        {&timeouts->first_content_ms, "timeouts.first_content_ms"},
        {&timeouts->content_idle_ms, "timeouts.content_idle_ms"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!*rows[i].member)
            *rows[i].member = (uint64_t)config_get_int(config, rows[i].key);
}

static enum err no_such_route(const struct catalog *catalog, struct str name, struct error *error)
{
    struct str_nearest nearest = str_nearest_begin(name, 4);
    for (size_t i = 0; i < catalog->route_count; i++)
        str_nearest_try(&nearest, catalog->routes[i].name);
    error_set(error, ERR_NOT_FOUND, "--route", "there is no route '%.*s'", STR_ARG(name));
    if (nearest.found.data)
        error_remedy(error, "Did you mean '%.*s'?", STR_ARG(nearest.found));
    else
        error_remedy(error, "Without --route the policy of router.* is tested.");
    return ERR_NOT_FOUND;
}

/* The policy as the server would have it: of a route, or of everything that is none. */
static enum err find_policy(const struct catalog *catalog, struct selftest_order *order,
                            struct error *error)
{
    order->policy = *catalog->policy;
    if (!order->route.data)
        return ERR_OK;
    const struct catalog_route *route = catalog_find_route(catalog, order->route);
    if (!route)
        return no_such_route(catalog, order->route, error);
    if (route->status == CATALOG_ERROR)
        return error_set(error, ERR_INVALID, "--route", "%.*s", STR_ARG(route->message));
    order->policy = route->policy;
    return ERR_OK;
}

static enum err read_policy(const struct config *config, struct selftest_order *order,
                            struct error *error)
{
    struct cells *cells = cells_new();
    struct registry *registry = registry_new(NULL, cells);
    providers_configure(registry, config, NULL);
    const struct catalog *catalog = registry_acquire(registry);
    enum err code = find_policy(catalog, order, error);
    catalog_unref(catalog);
    registry_free(registry);
    cells_free(cells);
    complete_timeouts(config, &order->policy.timeouts);
    cut_waits(order);
    return code;
}

/* ---- Saying it ------------------------------------------------------------------------------- */

static bool is_cut(const struct selftest_order *order, size_t i)
{
    return !order->is_real_time && order->cut_from_ms[i] > cuts[i].at_most;
}

static void print_head(const struct selftest_order *order)
{
    const char *separator = "Waits are cut short (--real-time keeps them): ";
    if (order->route.data)
        printf("Policy: routes.%.*s\n", STR_ARG(order->route));
    else
        printf("Policy: router\n");
    for (size_t i = 0; i < CUTS; i++) {
        if (!is_cut(order, i))
            continue;
        printf("%s%s %llu for %llu", separator, cuts[i].name, (unsigned long long)cuts[i].at_most,
               (unsigned long long)order->cut_from_ms[i]);
        separator = ", ";
    }
    printf("%s\n", separator[0] == ',' ? "\n" : "");
    fflush(stdout);
}

static void write_cuts(const struct selftest_order *order, struct json_writer *w)
{
    json_key_object(w, "cut_short");
    for (size_t i = 0; i < CUTS; i++)
        if (is_cut(order, i))
            json_key_int(w, cuts[i].name, (int64_t)cuts[i].at_most);
    json_end_object(w);
}

static void print_json(const struct selftest_order *order, const struct selftest_result *results,
                       size_t count, size_t failed)
{
    struct buf out;
    struct json_writer w;
    buf_init(&out, JSON_BYTES_MAX);
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key_str(&w, "route", order->route);
    json_key_bool(&w, "real_time", order->is_real_time);
    write_cuts(order, &w);
    selftest_write(results, count, &w);
    json_key_int(&w, "passed", (int64_t)(count - failed));
    json_key_int(&w, "failed", (int64_t)failed);
    json_end_object(&w);
    printf("%.*s\n", STR_ARG(buf_str(&out)));
    buf_done(&out);
}

static int run(const struct selftest_order *order)
{
    struct selftest *selftest;
    struct error error = {0};
    size_t count, failed = 0;
    struct selftest_options options = {
        .policy = order->policy,
        .at_once = order->is_real_time ? SIZE_MAX : AT_ONCE,
        .report_ms = order->is_real_time ? REAL_TIME_REPORT_MS : REPORT_MS,
    };
    error.code = selftest_new(&options, &selftest, &error);
    if (error.code != ERR_OK)
        return command_fail(&error);
    if (!order->is_json)
        print_head(order);
    selftest_run(selftest);
    const struct selftest_result *results = selftest_results(selftest, &count);
    for (size_t i = 0; i < count; i++)
        failed += !results[i].passed;
    if (order->is_json) {
        print_json(order, results, count, failed);
    } else {
        selftest_print(results, count);
        printf("\n%zu passed, %zu failed\n", count - failed, failed);
    }
    selftest_free(selftest);
    return failed ? 1 : 0;
}

int command_selftest(struct config *config, const struct config_arguments *arguments)
{
    struct error error = {0};
    struct selftest_order order = {
        .route = arguments->own[OPTION_ROUTE],
        .is_real_time = arguments->switched[SWITCH_REAL_TIME],
        .is_json = arguments->switched[SWITCH_JSON],
    };
    if (arguments->rest_count) {
        config_free(config);
        return command_usage("selftest");
    }
    signal(SIGPIPE, SIG_IGN); /* faults close connections that are written to */
    error.code = read_policy(config, &order, &error);
    int status = error.code == ERR_OK ? run(&order) : command_fail(&error);
    config_free(config);
    return status;
}
