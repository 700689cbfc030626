/* Event streams: so many at once, until so many have ended; or all held open once each has had
 * content, for whoever measures the memory they take. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "load.h"
#include "wire/sse.h"

enum { EVENT_BYTES_MAX = 4 * 1024 * 1024 };

struct streams {
    struct load_run run;
    const struct load_options *options;
    struct samples first_ns, total_ns;
    uint64_t started, ended, failed, with_content, events, content_events;
    uint64_t speaking, speaking_most; /* have had content and have not ended, at once */
    int bad_status;
    char failure[128];
};

struct reader {
    struct streams *all;
    struct load_client client;
    struct sse_parser parser;
    struct loop_timer ramp;
    uint64_t sent_ns;
    bool has_content;
};

static void say_ready(struct streams *all)
{
    printf("{\"ready\":%" PRIu64 "}\n", all->with_content);
    fflush(stdout);
}

static void on_event(void *user, const struct sse_event *event)
{
    struct reader *reader = user;
    struct streams *all = reader->all;
    all->events++;
    if (str_find(event->data, all->options->marker) == SIZE_MAX)
        return;
    all->content_events++;
    if (reader->has_content)
        return;
    reader->has_content = true;
    if (++all->speaking > all->speaking_most)
        all->speaking_most = all->speaking;
    samples_add(&all->first_ns, clock_monotonic_ns() - reader->sent_ns);
    if (++all->with_content == all->options->connections && all->options->hold)
        say_ready(all);
}

static void start_next(void *user)
{
    struct reader *reader = user;
    struct streams *all = reader->all;
    if (all->run.over)
        return;
    if (all->options->requests && all->started == all->options->requests) {
        if (all->ended + all->failed == all->started)
            load_run_end(&all->run);
        return;
    }
    all->started++;
    reader->has_content = false;
    reader->sent_ns = clock_monotonic_ns();
    sse_parser_init(&reader->parser, EVENT_BYTES_MAX, on_event, reader);
    load_client_send(&reader->client, load_next(all->options));
}

static void on_body(void *user, struct str data)
{
    struct reader *reader = user;
    reader->all->run.progress++;
    if (sse_parser_feed(&reader->parser, data) != ERR_OK)
        reader->all->failed++;
}

/* One way or another. */
static void stop_reading(struct reader *reader)
{
    sse_parser_done(&reader->parser);
    if (reader->has_content)
        reader->all->speaking--;
}

static void on_response(void *user, int status)
{
    struct reader *reader = user;
    struct streams *all = reader->all;
    stop_reading(reader);
    if (status == 200 && reader->has_content) {
        all->ended++;
        samples_add(&all->total_ns, clock_monotonic_ns() - reader->sent_ns);
    } else {
        all->failed++;
        all->bad_status = status;
    }
    start_next(reader);
}

static void on_failure(void *user, const char *detail)
{
    struct reader *reader = user;
    struct streams *all = reader->all;
    stop_reading(reader);
    all->failed++;
    str_copy(str_from_cstr(detail), all->failure, sizeof all->failure);
    if (all->ended + all->failed == all->started)
        load_run_end(&all->run);
}

static const struct load_client_events events = {on_body, on_response, on_failure, NULL};

static void print(struct streams *all, double seconds)
{
    printf("{\"streams\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"bad_status\":%d,\"failure\":\"%s\","
           "\"seconds\":%.3f,\"at_once\":%" PRIu64 ",\"events\":%" PRIu64
           ",\"content_events\":%" PRIu64 ","
           "\"first_p50_us\":%.1f,\"first_p99_us\":%.1f,\"total_p50_us\":%.1f,"
           "\"total_p99_us\":%.1f,\"stalled\":%s}\n",
           all->ended, all->failed, all->bad_status, all->failure, seconds, all->speaking_most,
           all->events, all->content_events, (double)samples_percentile(&all->first_ns, 50) / 1e3,
           (double)samples_percentile(&all->first_ns, 99) / 1e3,
           (double)samples_percentile(&all->total_ns, 50) / 1e3,
           (double)samples_percentile(&all->total_ns, 99) / 1e3,
           all->run.stalled ? "true" : "false");
}

int load_streams(const struct load_options *options)
{
    struct streams all = {.options = options};
    struct reader *readers = calloc(options->connections, sizeof *readers);
    load_run_init(&all.run, options);
    for (size_t i = 0; i < options->connections; i++) {
        readers[i].all = &all;
        load_client_init(&readers[i].client, all.run.loop, &options->target, &events, &readers[i]);
        loop_timer_set(all.run.loop, &readers[i].ramp, options->ramp_ms * i / options->connections,
                       start_next, &readers[i]);
    }
    load_run_go(&all.run);
    print(&all, load_run_seconds(&all.run));
    for (size_t i = 0; i < options->connections; i++) {
        loop_timer_cancel(all.run.loop, &readers[i].ramp);
        load_client_done(&readers[i].client);
        sse_parser_done(&readers[i].parser);
    }
    load_run_done(&all.run);
    samples_done(&all.first_ns);
    samples_done(&all.total_ns);
    free(readers);
    return all.failed || (all.run.stalled && !options->hold);
}
