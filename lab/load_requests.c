/* Closed loop: every connection sends its next request when the last is answered. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "load.h"

struct requests {
    struct load_run run;
    const struct load_options *options;
    struct samples times_ns;
    uint64_t started, answered, failed, bytes;
    int bad_status; /* one that was not 200 */
    char failure[128];
};

struct worker {
    struct requests *all;
    struct load_client client;
    uint64_t sent_ns;
};

static void send_next(struct worker *worker)
{
    struct requests *all = worker->all;
    if (all->run.over)
        return;
    if (all->options->requests && all->started == all->options->requests) {
        if (all->answered + all->failed == all->started)
            load_run_end(&all->run);
        return;
    }
    all->started++;
    worker->sent_ns = clock_monotonic_ns();
    load_client_send(&worker->client, load_next(all->options));
}

static void on_body(void *user, struct str data)
{
    struct worker *worker = user;
    worker->all->bytes += data.len;
}

static void on_response(void *user, int status)
{
    struct worker *worker = user;
    worker->all->run.progress++;
    if (status == 200) {
        worker->all->answered++;
        samples_add(&worker->all->times_ns, clock_monotonic_ns() - worker->sent_ns);
    } else {
        worker->all->failed++;
        worker->all->bad_status = status;
    }
    send_next(worker);
}

/* A broken connection is counted and not tried again: a server that is gone ends the run. */
static void on_failure(void *user, const char *detail)
{
    struct worker *worker = user;
    worker->all->failed++;
    str_copy(str_from_cstr(detail), worker->all->failure, sizeof worker->all->failure);
    if (worker->all->answered + worker->all->failed == worker->all->started)
        load_run_end(&worker->all->run);
}

static const struct load_client_events events = {on_body, on_response, on_failure, NULL};

static void print(struct requests *all, double seconds)
{
    printf("{\"requests\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"bad_status\":%d,\"failure\":\"%s\","
           "\"seconds\":%.3f,\"per_second\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
           "\"body_bytes\":%" PRIu64 ",\"stalled\":%s}\n",
           all->answered, all->failed, all->bad_status, all->failure, seconds,
           (double)all->answered / seconds, (double)samples_percentile(&all->times_ns, 50) / 1e3,
           (double)samples_percentile(&all->times_ns, 99) / 1e3, all->bytes,
           all->run.stalled ? "true" : "false");
}

int load_requests(const struct load_options *options)
{
    struct requests all = {.options = options};
    struct worker *workers = calloc(options->connections, sizeof *workers);
    load_run_init(&all.run, options);
    for (size_t i = 0; i < options->connections; i++) {
        workers[i].all = &all;
        load_client_init(&workers[i].client, all.run.loop, &options->target, &events, &workers[i]);
        send_next(&workers[i]);
    }
    load_run_go(&all.run);
    print(&all, load_run_seconds(&all.run));
    for (size_t i = 0; i < options->connections; i++)
        load_client_done(&workers[i].client);
    load_run_done(&all.run);
    samples_done(&all.times_ns);
    free(workers);
    return all.failed || all.run.stalled || !all.answered;
}
