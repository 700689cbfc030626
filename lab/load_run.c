/* The frame of a run: it ends by itself, by the clock, by a signal, or because nothing moves. */
#include "load.h"

#include <stdio.h>

#include "base/clock.h"

struct str load_next(const struct load_options *options)
{
    char *digits = (char *)(uintptr_t)options->counter.data;
    for (size_t i = options->counter.len; i-- && ++digits[i] > '9';)
        digits[i] = '0';
    return buf_str(&options->request);
}

void load_run_end(struct load_run *run)
{
    run->over = true;
    loop_stop(run->loop);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    load_run_end(handle->data);
}

static void on_deadline(void *user)
{
    load_run_end(user);
}

static void on_watchdog(void *user)
{
    struct load_run *run = user;
    if (run->progress == run->progress_seen) {
        run->stalled = true;
        load_run_end(run);
        return;
    }
    run->progress_seen = run->progress;
    loop_timer_set(run->loop, &run->watchdog, run->patience_ms, on_watchdog, run);
}

void load_run_init(struct load_run *run, const struct load_options *options)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    *run = (struct load_run){.loop = loop_new(0, NULL), .patience_ms = options->patience_s * 1000};
    for (int i = 0; i < 2; i++) {
        uv_signal_init(loop_uv(run->loop), &run->signals[i]);
        run->signals[i].data = run;
        uv_signal_start(&run->signals[i], on_signal, numbers[i]);
    }
    if (options->seconds)
        loop_timer_set(run->loop, &run->deadline, options->seconds * 1000, on_deadline, run);
    run->progress_seen = UINT64_MAX;
    loop_timer_set(run->loop, &run->watchdog, run->patience_ms, on_watchdog, run);
    run->start_ns = clock_monotonic_ns();
}

void load_run_go(struct load_run *run)
{
    if (!run->over)
        loop_run(run->loop);
}

double load_run_seconds(const struct load_run *run)
{
    return (double)(clock_monotonic_ns() - run->start_ns) / 1e9;
}

void load_run_done(struct load_run *run)
{
    loop_timer_cancel(run->loop, &run->deadline);
    loop_timer_cancel(run->loop, &run->watchdog);
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&run->signals[i], NULL);
    loop_run_once(run->loop);
    loop_free(run->loop);
}
