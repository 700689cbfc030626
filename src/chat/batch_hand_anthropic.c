/* Anthropic's batches: made of one body, with one list of results. */
#include "base/clock.h"
#include "chat/batch_hand_form.h"

#define BATCHES_PATH "/v1/messages/batches"

/* ---- What is said ---------------------------------------------------------------------------- */

static void write_begin(struct str boundary, struct str name, struct buf *out)
{
    (void)boundary, (void)name;
    buf_append(out, STR("{\"requests\":["));
}

static void write_line(const struct hand_line *line, struct buf *out)
{
    struct json_writer w;
    if (!line->is_first)
        buf_append_char(out, ',');
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key_str(&w, "custom_id", line->name);
    json_key_raw(&w, "params", line->body);
    json_end_object(&w);
}

static void write_end(struct str boundary, struct buf *out)
{
    (void)boundary;
    buf_append(out, STR("]}"));
}

/* ---- What it says ---------------------------------------------------------------------------- */

/* What of its lines came to nothing, the results say. */
static bool read_status(struct arena *arena, yyjson_val *root, struct hand_status *ret)
{
    struct str status = json_get_str(root, "processing_status");
    yyjson_val *counts = json_get(root, "request_counts");
    int64_t expires_ms = clock_parse(json_get_str(root, "expires_at"));
    bool is_ended = str_eq(status, STR("ended"));
    (void)arena;
    *ret = (struct hand_status){.id = hand_read_id(root, "id")};
    if (!ret->id.len ||
        (!is_ended && !str_eq(status, STR("in_progress")) && !str_eq(status, STR("canceling"))))
        return false;
    ret->progress = is_ended ? HAND_ENDED : HAND_UNDER_WAY;
    ret->completed = hand_read_count(counts, "succeeded");
    ret->failed = hand_read_count(counts, "errored");
    ret->expires_ms = expires_ms > 0 ? expires_ms : 0;
    if (is_ended)
        ret->files[0] = STR("results");
    return true;
}

static struct str results_path(struct arena *arena, struct str batch, struct str file)
{
    return arena_printf(arena, BATCHES_PATH "/%.*s/%.*s", STR_ARG(batch), STR_ARG(file));
}

static bool read_result(yyjson_val *root, struct hand_result *ret)
{
    static const char *const types[] = {[HAND_DONE] = "succeeded",
                                        [HAND_FAILURE] = "errored",
                                        [HAND_EXPIRED] = "expired",
                                        [HAND_CANCELLED] = "canceled"};
    yyjson_val *result = json_get(root, "result");
    struct str type = json_get_str(result, "type");
    *ret = (struct hand_result){.name = json_get_str(root, "custom_id"),
                                .body = json_get(result, "message")};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (!str_eq(type, str_from_cstr(types[i])))
            continue;
        ret->outcome = (enum hand_outcome)i;
        return ret->name.len > 0;
    }
    return false;
}

const struct hand_form hand_form_anthropic = {
    .takes = BATCH_ANTHROPIC,
    .content_bytes_max = BATCH_INPUT_BYTES_MAX * 2,
    .status_bytes_max = 1024 * 1024,
    .make_path = BATCHES_PATH,
    .batch_path = BATCHES_PATH,
    .cancel = "/cancel",
    .write_begin = write_begin,
    .write_line = write_line,
    .write_end = write_end,
    .read_status = read_status,
    .results_path = results_path,
    .each_result = hand_each_line,
    .read_result = read_result,
};
