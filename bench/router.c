/* router-bench: what the router itself costs a request, without any transport: everything of
 * src/route that a streamed answer goes through, with actions that do nothing. Prints one line of
 * JSON; every figure is the median of several repetitions, in nanoseconds of this thread's time on a
 * processor. See ./dev bench. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "llm/dialect.h"
#include "route/books.h"
#include "route/catalog.h"
#include "route/flow.h"
#include "timing.h"

enum {
    REQUESTS = 20000,
    EVENTS = 100,
    TARGETS = 4,
    REQUEST_BYTES = 4096,
    ARENA_BYTES_MAX = 64 * 1024 * 1024
};

struct bench {
    int repetitions;
    struct cells *cells;
    struct registry *registry;
    const struct catalog *catalog;
    struct metric_registry *metrics;
    struct log *log;
    int log_fd;
    struct books *books;
    struct random random;
    struct llm_request request;
    bool notes; /* the ledger's rows go into the books */
    size_t rows;
    size_t arena_bytes; /* of the newest request, when its answer had begun */
};

/* ---- Actions that do nothing ----------------------------------------------------------------- */

static uint64_t now_us(void *user)
{
    (void)user;
    return clock_monotonic_ns() / 1000; /* as the router has it */
}

static enum err start(void *user, struct flow_start *start, struct llm_error *ret_error)
{
    (void)user, (void)start, (void)ret_error;
    return ERR_OK;
}

static void cancel(void *user, int slot, struct llm_usage *ret_usage)
{
    (void)user, (void)slot, (void)ret_usage;
}

static void timer(void *user, uint64_t at_us)
{
    (void)user, (void)at_us;
}

static void wake(void *wake_user)
{
    (void)wake_user;
}

static void *wake_user(void *user)
{
    return user;
}

static void event(void *user, const struct llm_event *event)
{
    (void)user, (void)event;
}

static void raw(void *user, struct str content_type, struct str bytes)
{
    (void)user, (void)content_type, (void)bytes;
}

static void ledger(void *user, const struct flow_row *row)
{
    struct bench *bench = user;
    bench->rows++;
    if (bench->notes)
        books_note(bench->books, row, STR("request"));
}

static const struct flow_ops ops = {.now_us = now_us,
                                    .moment_us = now_us,
                                    .start = start,
                                    .cancel = cancel,
                                    .timer = timer,
                                    .wake = wake,
                                    .wake_user = wake_user,
                                    .event = event,
                                    .raw = raw,
                                    .ledger = ledger};

/* ---- One request ----------------------------------------------------------------------------- */

static const struct llm_needs needs = {.input_tokens = 1000};

/* Made once: making them is the provider's side. */
static const struct llm_event events[] = {
    [LLM_EVENT_START] = {.kind = LLM_EVENT_START,
                         .id = {"chatcmpl-1", 10},
                         .model = {"some-model", 10}},
    [LLM_EVENT_TEXT] = {.kind = LLM_EVENT_TEXT,
                        .text = {"word-00000 the quick brown fox jumps over the lazy dog, ok? ",
                                 60}},
    [LLM_EVENT_USAGE] = {.kind = LLM_EVENT_USAGE, .usage = {1000, 0, 0, 300, 0, false}},
    [LLM_EVENT_FINISH] = {.kind = LLM_EVENT_FINISH, .finish = LLM_FINISH_STOP},
    [LLM_EVENT_END] = {.kind = LLM_EVENT_END},
};

static void tell(struct flow *flow, enum llm_event_kind kind)
{
    flow_on_event(flow, 0, &events[kind]);
}

/* From the plan to the ledger, with `texts` events of text. */
static void play(struct bench *bench, struct str model, int texts)
{
    struct arena *arena = arena_new(ARENA_BYTES_MAX);
    struct route_plan plan;
    struct llm_error failed;
    enum err code = catalog_plan(bench->catalog, arena, model, NULL, 0, &plan, NULL);
    ASSERT(code == ERR_OK);
    struct flow *flow = flow_new(&(struct flow_request){.plan = &plan,
                                                        .needs = &needs,
                                                        .is_streamed = true,
                                                        .arena = arena,
                                                        .random = &bench->random},
                                 &ops, bench);
    code = flow_begin(flow, &failed);
    ASSERT(code == ERR_OK);
    flow_on_head(flow, 0, 0, NULL);
    tell(flow, LLM_EVENT_START);
    for (int i = 0; i < texts; i++)
        tell(flow, LLM_EVENT_TEXT);
    bench->arena_bytes = arena_used(arena);
    tell(flow, LLM_EVENT_USAGE);
    tell(flow, LLM_EVENT_FINISH);
    tell(flow, LLM_EVENT_END);
    flow_done(flow);
    arena_free(arena);
}

/* ---- Measuring ------------------------------------------------------------------------------- */

/* The median time of one call of `run`. */
static double measure(struct bench *bench, void (*run)(struct bench *bench))
{
    double times[REPETITIONS_MAX];
    for (int i = 0; i < bench->repetitions; i++) {
        uint64_t from = timing_thread_ns();
        for (int k = 0; k < REQUESTS; k++)
            run(bench);
        times[i] = (double)(timing_thread_ns() - from) / (double)REQUESTS;
    }
    return timing_median(times, bench->repetitions);
}

static void play_one(struct bench *bench)
{
    play(bench, STR("p0/m"), 1);
}

static void play_four(struct bench *bench)
{
    play(bench, STR("four"), 1);
}

static void play_events(struct bench *bench)
{
    play(bench, STR("p0/m"), 1 + EVENTS);
}

static void count_needs(struct bench *bench)
{
    struct llm_needs counted;
    llm_needs_of(&bench->request, &counted);
}

/* ---- The world ------------------------------------------------------------------------------- */

static void configure(struct bench *bench)
{
    struct registry_entry entries[TARGETS];
    static const char *const names[TARGETS] = {"p0", "p1", "p2", "p3"};
    static const struct str targets[TARGETS] = {{"p0/m", 4}, {"p1/m", 4}, {"p2/m", 4}, {"p3/m", 4}};
    const struct registry_route route = {.name = STR("four"),
                                         .source = "bench",
                                         .policy = route_policy_default,
                                         .strategy = ROUTE_LATENCY,
                                         .targets = targets,
                                         .target_count = TARGETS};
    for (int i = 0; i < TARGETS; i++) {
        entries[i] = (struct registry_entry){.name = str_from_cstr(names[i]), .source = "bench"};
        const struct provider_options options = {.name = entries[i].name,
                                                 .kind = STR("openai-compatible"),
                                                 .base_url = STR("http://127.0.0.1:1"),
                                                 .models = STR("m")};
        enum err code = provider_new(&options, &entries[i].provider, NULL);
        ASSERT(code == ERR_OK);
    }
    registry_configure(bench->registry, &(struct registry_configuration){.entries = entries,
                                                                         .entry_count = TARGETS,
                                                                         .routes = &route,
                                                                         .route_count = 1});
    for (int i = 0; i < TARGETS; i++)
        provider_unref(entries[i].provider);
}

static void init(struct bench *bench, int repetitions)
{
    *bench = (struct bench){.repetitions = repetitions, .cells = cells_new()};
    bench->registry = registry_new(NULL, bench->cells);
    configure(bench);
    bench->catalog = registry_acquire(bench->registry);
    bench->metrics = metric_registry_new();
    bench->log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    bench->log = log_new(bench->log_fd, LOG_INFO, LOG_FORMAT_TEXT);
    bench->books = books_new(bench->metrics, bench->log);
    random_init(&bench->random, 1);
}

static void done(struct bench *bench)
{
    books_free(bench->books);
    log_free(bench->log);
    close(bench->log_fd);
    metric_registry_free(bench->metrics);
    catalog_unref(bench->catalog);
    registry_free(bench->registry);
    cells_free(bench->cells);
}

static void print_figures(struct bench *bench)
{
    play_one(bench);
    size_t arena_one = bench->arena_bytes;
    play_four(bench);
    size_t arena_four = bench->arena_bytes;
    double one = measure(bench, play_one);
    double four = measure(bench, play_four);
    double many = measure(bench, play_events);
    bench->notes = true;
    double noted = measure(bench, play_one);
    printf("{\"one_target_ns\":%.0f,\"four_targets_ns\":%.0f,\"event_ns\":%.1f,"
           "\"books_ns\":%.0f,\"needs_ns\":%.0f,\"arena_bytes_one\":%zu,"
           "\"arena_bytes_four\":%zu}\n",
           one, four, (many - one) / (double)EVENTS, noted - one, measure(bench, count_needs),
           arena_one, arena_four);
}

int main(int argc, char **argv)
{
    char text[REQUEST_BYTES];
    static const char words[] = "The quick brown fox jumps over the lazy dog; \xc3\xbc\x62\x65r 42 "
                                "times, if (x == 1) { return; }\n";
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = words[i % (sizeof words - 1)];
    struct bench bench;
    struct llm_part part = {.kind = LLM_PART_TEXT, .text = STR_FROM(text, sizeof text)};
    struct llm_message message = {.role = LLM_USER, .parts = &part, .part_count = 1};
    (void)argv;
    init(&bench, timing_repetitions(argc));
    bench.request = (struct llm_request){.messages = &message, .message_count = 1, .stream = true};
    print_figures(&bench);
    done(&bench);
    return 0;
}
