/* Books: metrics by provider, and one log record for every attempt. Below the router, which brings
 * the ledger's rows. */
#include "route/books.h"

#include <stdio.h>

#include "base/map.h"
#include "route/attribution.h"

static const double seconds_bounds[] = {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300};
#define BOUNDS seconds_bounds, (int)(sizeof seconds_bounds / sizeof seconds_bounds[0])

static const struct metric_definition metric_calls = {
    "parley_provider_calls_total", "Calls to providers by outcome.", METRIC_COUNTER, NULL, 0};
static const struct metric_definition metric_duration = {
    "parley_provider_call_seconds", "Time from start to end of a call.", METRIC_HISTOGRAM, BOUNDS};
static const struct metric_definition metric_first_content = {
    "parley_provider_first_content_seconds", "Time to the first content of a call.",
    METRIC_HISTOGRAM, BOUNDS};
static const struct metric_definition metric_tokens = {
    "parley_tokens_total", "Tokens by provider and direction.", METRIC_COUNTER, NULL, 0};
static const struct metric_definition metric_recoveries = {
    "parley_recoveries_total", "Attempts to go on with an answer that broke off, by rung.",
    METRIC_COUNTER, NULL, 0};
static const struct metric_definition metric_hedges = {
    "parley_hedges_total", "Second requests beside a slow first one.", METRIC_COUNTER, NULL, 0};

enum { MODE_COUNT = ROUTE_CONTINUE + 1 };

/* The series of one provider, looked up once: metric_get takes a lock that all loops share. */
struct shelf {
    struct metric *outcomes[ERR_COUNT]; /* made when they first happen, as the two below */
    struct metric *recoveries[MODE_COUNT];
    struct metric *hedges;
    struct metric *duration;
    struct metric *first_content;
    struct metric *input_tokens;
    struct metric *output_tokens;
    struct str provider;
};

struct books {
    struct metric_registry *metrics;
    struct log *log;
    struct arena *arena;
    struct map *shelves;  /* provider's name -> struct shelf */
    struct shelf *newest; /* was used last: as a rule it is the next one too; or NULL */
};

struct books *books_new(struct metric_registry *metrics, struct log *log)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct books *books = ARENA_NEW(arena, struct books);
    *books = (struct books){metrics, log, arena, map_new(), NULL};
    return books;
}

void books_free(struct books *books)
{
    if (!books)
        return;
    map_free(books->shelves);
    arena_free(books->arena);
}

/* A series of this provider, with one label more when `label` is not NULL. Names of providers are
 * checked when they are configured: nothing in them needs escaping. */
static struct metric *find_metric(const struct books *books, struct str provider,
                                  const struct metric_definition *definition, const char *label,
                                  const char *value)
{
    char labels[160];
    if (label)
        snprintf(labels, sizeof labels, "provider=\"%.*s\",%s=\"%s\"", STR_ARG(provider), label,
                 value);
    else
        snprintf(labels, sizeof labels, "provider=\"%.*s\"", STR_ARG(provider));
    return metric_get(books->metrics, definition, labels);
}

static struct shelf *shelf_of(struct books *books, struct str provider)
{
    if (books->newest && str_eq(books->newest->provider, provider))
        return books->newest;
    struct shelf *shelf = books->newest = map_get(books->shelves, provider);
    if (shelf)
        return shelf;
    shelf = books->newest = ARENA_NEW(books->arena, struct shelf);
    shelf->provider = arena_str(books->arena, provider);
    shelf->duration = find_metric(books, provider, &metric_duration, NULL, NULL);
    shelf->first_content = find_metric(books, provider, &metric_first_content, NULL, NULL);
    shelf->input_tokens = find_metric(books, provider, &metric_tokens, "direction", "input");
    shelf->output_tokens = find_metric(books, provider, &metric_tokens, "direction", "output");
    map_set(books->shelves, provider, shelf);
    return shelf;
}

static void count(struct books *books, struct metric **slot, struct str provider,
                  const struct metric_definition *definition, const char *label, const char *value)
{
    if (!*slot)
        *slot = find_metric(books, provider, definition, label, value);
    metric_add(*slot, 1);
}

static enum err class_of(const struct flow_row *row)
{
    if (row->error)
        return row->error->class;
    return row->outcome == FLOW_ANSWERED ? ERR_OK : ERR_CANCELLED;
}

static void measure(struct books *books, const struct flow_row *row)
{
    struct str provider = row->target->provider->name;
    struct shelf *shelf = shelf_of(books, provider);
    enum err class = class_of(row);
    count(books, &shelf->outcomes[class], provider, &metric_calls, "outcome",
          err_info(class)->name);
    if (row->mode != ROUTE_WHOLE)
        count(books, &shelf->recoveries[row->mode], provider, &metric_recoveries, "rung",
              route_mode_name(row->mode));
    if (row->is_hedge)
        count(books, &shelf->hedges, provider, &metric_hedges, NULL, NULL);
    metric_observe(shelf->duration, (double)row->end_us / 1e6);
    if (row->first_content_us)
        metric_observe(shelf->first_content, (double)row->first_content_us / 1e6);
    if (row->usage.input_total > 0)
        metric_add(shelf->input_tokens, row->usage.input_total);
    if (row->usage.output_total > 0)
        metric_add(shelf->output_tokens, row->usage.output_total);
}

void books_note(struct books *books, const struct flow_row *row, struct str request_id)
{
    measure(books, row);
    log_info(books->log, "provider call", LOG_STR("target", row->target->id),
             LOG_INT("attempt", row->number), LOG_CSTR("mode", route_mode_name(row->mode)),
             LOG_CSTR("outcome", flow_outcome_name(row->outcome)),
             LOG_CSTR("class", err_info(class_of(row))->name),
             LOG_INT("status", row->error ? row->error->http_status : 0),
             LOG_BOOL("hedge", row->is_hedge), LOG_BOOL("probe", row->is_probe),
             LOG_INT("first_content_ms", row->first_content_us / 1000),
             LOG_INT("duration_ms", row->end_us / 1000), LOG_INT("input", row->usage.input_total),
             LOG_INT("output", row->usage.output_total), LOG_INT("cost_nano_usd", row->cost_nano),
             LOG_STR("request", request_id));
    if (row->error && attribution_of(row->error).benches)
        log_error(books->log, "a target is taken out: it needs an administrator",
                  LOG_STR("target", row->target->id),
                  LOG_CSTR("class", err_info(row->error->class)->name),
                  LOG_CSTR("error", row->error->message),
                  LOG_CSTR("remedy", err_info(row->error->class)->remedy));
}
