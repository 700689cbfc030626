/* REST: the models at their providers as the router sees them, and taking one out by hand. What a
 * cell knows is in microseconds of the monotonic clock; what is told is wall time. */
#include "api/request.h"
#include "base/clock.h"

enum { BENCH_SECONDS_MIN = 1, NAME_SHOWN_BYTES = 200 };

struct moment {
    uint64_t now_us;
    int64_t wall_ms;
};

static struct moment moment_now(void)
{
    return (struct moment){clock_monotonic_ns() / 1000, clock_wall_ms()};
}

static void key_time(struct json_writer *w, const char *name, const struct moment *moment,
                     uint64_t at_us)
{
    char text[25];
    int64_t distance_ms = at_us > moment->now_us ? (int64_t)((at_us - moment->now_us) / 1000)
                                                 : -(int64_t)((moment->now_us - at_us) / 1000);
    clock_format_rfc3339(moment->wall_ms + distance_ms, text);
    json_key_str(w, name, str_from_cstr(text));
}

/* Milliseconds, rounded up: what is known is not 0. */
static void key_duration(struct json_writer *w, const char *name, uint64_t us)
{
    json_key(w, str_from_cstr(name));
    if (us)
        json_put_int(w, (int64_t)((us + 999) / 1000));
    else
        json_put_null(w);
}

static void write_last_error(struct json_writer *w, struct cell *cell, const struct moment *moment)
{
    char message[256];
    uint64_t when_us;
    enum err class = cell_last_error(cell, &when_us, message, sizeof message);
    json_key(w, STR("last_error"));
    if (class == ERR_OK) {
        json_put_null(w);
        return;
    }
    json_begin_object(w);
    json_key_str(w, "class", str_from_cstr(err_info(class)->name));
    json_key_str(w, "message", str_from_cstr(message));
    key_time(w, "when", moment, when_us);
    json_end_object(w);
}

static void write_state(struct json_writer *w, const struct target *target,
                        const struct cell_view *view, const struct moment *moment)
{
    bool is_benched = view->verdict == CELL_BENCHED;
    char reason[256] = "";
    json_key_str(w, "id", target->id);
    json_key_str(w, "state",
                 str_from_cstr(is_benched ? cell_verdict_name(CELL_BENCHED)
                                          : breaker_state_name(view->breaker)));
    if (view->until_us > moment->now_us) {
        key_time(w, "until", moment, view->until_us);
    } else {
        json_key(w, STR("until"));
        json_put_null(w);
    }
    if (is_benched)
        cell_bench_reason(target->cell, reason, sizeof reason);
    json_key_str(w, "reason", str_from_cstr(reason));
}

static void write_target(struct json_writer *w, const struct catalog *catalog,
                         const struct target *target, const struct moment *moment)
{
    struct cell_view view;
    cell_look(target->cell, &target->limits, &catalog->policy->breaker, moment->now_us, &view);
    json_begin_object(w);
    write_state(w, target, &view, moment);
    json_key_int(w, "calls", view.calls);
    json_key_int(w, "waiting", view.waiting);
    key_duration(w, "first_content_ms", view.first_content_us);
    key_duration(w, "p95_ms", view.p95_us);
    key_duration(w, "connect_ms", view.connect_us);
    json_key_int(w, "failed_percent", view.failed_percent);
    json_key_int(w, "succeeded", (int64_t)view.succeeded);
    json_key_int(w, "failed", (int64_t)view.failed);
    write_last_error(w, target->cell, moment);
    json_end_object(w);
}

void api_get_targets(struct api_request *request)
{
    const struct catalog *catalog = registry_acquire(request->api->options.registry);
    struct moment moment = moment_now();
    struct api_reply reply;
    api_reply_begin(&reply);
    json_key_array(&reply.w, "targets");
    for (size_t i = 0; i < catalog->target_count; i++)
        write_target(&reply.w, catalog, catalog->targets[i], &moment);
    json_end_array(&reply.w);
    catalog_unref(catalog);
    api_reply(request, 200, &reply);
}

/* ---- By hand --------------------------------------------------------------------------------- */

static enum err find_target(const struct catalog *catalog, struct str id,
                            const struct target **ret_target, struct error *error)
{
    struct str_nearest nearest = str_nearest_begin(id, id.len / 2 + 2);
    for (size_t i = 0; i < catalog->target_count; i++) {
        if (str_eq(catalog->targets[i]->id, id)) {
            *ret_target = catalog->targets[i];
            return ERR_OK;
        }
        str_nearest_try(&nearest, catalog->targets[i]->id);
    }
    struct str shown = str_slice(id, 0, NAME_SHOWN_BYTES);
    error_set(error, ERR_NOT_FOUND, "target", "there is no target '%.*s'", STR_ARG(shown));
    if (nearest.found.data)
        error_remedy(error, "Did you mean '%.*s'?", STR_ARG(nearest.found));
    return ERR_NOT_FOUND;
}

static void reply_target(struct api_request *request, const struct catalog *catalog,
                         const struct target *target)
{
    struct moment moment = moment_now();
    struct api_reply reply;
    api_reply_begin(&reply);
    json_key(&reply.w, STR("target"));
    write_target(&reply.w, catalog, target, &moment);
    api_reply(request, 200, &reply);
}

/* Who did it: the person, or (on the Unix socket, which acts for nobody) "local". */
static struct str actor(const struct api_request *request)
{
    bool is_person = !id_is_none(&request->who.user);
    return is_person ? id_str(&request->who.user) : STR("local");
}

static void bench(struct api_request *request, const struct target *target)
{
    struct str reason = api_body_str(request, "reason");
    int64_t seconds = 0;
    json_get_int(request->body, "seconds", &seconds);
    if (!reason.len)
        reason = STR("taken out by an administrator");
    cell_bench(target->cell, clock_monotonic_ns() / 1000 + (uint64_t)seconds * 1000000,
               arena_cstr(request->arena, reason));
    log_warning(request->api->options.log, "a target was taken out", LOG_STR("target", target->id),
                LOG_INT("seconds", seconds), LOG_STR("reason", reason),
                LOG_STR("by", actor(request)));
}

static void restore(struct api_request *request, const struct target *target)
{
    cell_restore(target->cell);
    log_warning(request->api->options.log, "a target was brought back",
                LOG_STR("target", target->id), LOG_STR("by", actor(request)));
}

static void act(struct api_request *request,
                void (*run)(struct api_request *request, const struct target *target))
{
    const struct catalog *catalog = registry_acquire(request->api->options.registry);
    const struct target *target = NULL;
    struct error error = {0};
    enum err code = find_target(catalog, api_body_str(request, "target"), &target, &error);
    if (!api_failed(request, code, &error)) {
        run(request, target);
        reply_target(request, catalog, target);
    }
    catalog_unref(catalog);
}

void api_post_bench(struct api_request *request)
{
    struct error error = {0};
    int64_t seconds = 0;
    enum err code = ERR_OK;
    json_get_int(request->body, "seconds", &seconds);
    if (seconds < BENCH_SECONDS_MIN)
        code = error_set(&error, ERR_INVALID, "seconds", "must be 1 at least");
    if (!api_failed(request, code, &error))
        act(request, bench);
}

void api_post_restore(struct api_request *request)
{
    act(request, restore);
}
