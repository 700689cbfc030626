/* Gemini's batches: operations on one model, made of one body, whose results stand in the operation
 * when it is done. Requests are told apart by a key of ours in their metadata, which is told again
 * beside each result. */
#include "base/clock.h"
#include "chat/batch_hand_form.h"
#include "chat/batch_status.h"

/* A larger one would have to be a file of theirs. */
#define CONTENT_BYTES_MAX ((uint64_t)20 * 1000 * 1000)
/* The results, twice: in the operation's answer and in what is told of the batch. */
#define STATUS_BYTES_MAX ((size_t)512 * 1024 * 1024)
static const int64_t lifetime_ms = 48LL * 3600 * 1000; /* then it expires: nothing tells when */

/* ---- What is said ---------------------------------------------------------------------------- */

static void write_begin(struct str boundary, struct str name, struct buf *out)
{
    (void)boundary;
    buf_printf(out,
               "{\"batch\":{\"displayName\":\"parley-%.*s\",\"inputConfig\":{\"requests\":"
               "{\"requests\":[",
               STR_ARG(name));
}

static void write_line(const struct hand_line *line, struct buf *out)
{
    struct json_writer w;
    if (!line->is_first)
        buf_append_char(out, ',');
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key_raw(&w, "request", line->body);
    json_key_object(&w, "metadata");
    json_key_str(&w, "key", line->name);
    json_end_object(&w);
    json_end_object(&w);
}

static void write_end(struct str boundary, struct buf *out)
{
    (void)boundary;
    buf_append(out, STR("]}}}}"));
}

/* ---- What it says ---------------------------------------------------------------------------- */

static bool read_state(struct str name, struct hand_status *ret)
{
    static const struct {
        const char *name;
        enum hand_progress progress;
        bool is_expired, is_cancelled;
    } rows[] = {
        {"UNSPECIFIED", HAND_UNDER_WAY, false, false}, {"PENDING", HAND_UNDER_WAY, false, false},
        {"RUNNING", HAND_UNDER_WAY, false, false},     {"SUCCEEDED", HAND_ENDED, false, false},
        {"FAILED", HAND_FAILED, false, false},         {"CANCELLED", HAND_ENDED, false, true},
        {"EXPIRED", HAND_ENDED, true, false},
    };
    const struct str prefix = STR("BATCH_STATE_");
    if (!str_starts_with(name, prefix))
        return false;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!str_eq(str_skip(name, prefix.len), str_from_cstr(rows[i].name)))
            continue;
        ret->progress = rows[i].progress;
        ret->is_expired = rows[i].is_expired;
        ret->is_cancelled = rows[i].is_cancelled;
        return true;
    }
    return false;
}

/* The state is that of the batch; an operation that is being begun may tell none yet. */
static bool read_progress(yyjson_val *root, struct hand_status *ret)
{
    struct str state = json_get_str(json_get(root, "metadata"), "state");
    yyjson_val *error = json_get(root, "error");
    struct str message = json_get_str(error, "message");
    bool is_done = false;
    json_get_bool(root, "done", &is_done);
    if (state.len && !read_state(state, ret))
        return false;
    if (is_done && ret->progress == HAND_UNDER_WAY)
        ret->progress = error ? HAND_FAILED : HAND_ENDED;
    if (ret->progress == HAND_FAILED)
        ret->message = message.len ? message : STR("the provider gave no reason");
    return true;
}

static bool read_status(struct arena *arena, yyjson_val *root, struct hand_status *ret)
{
    const struct str prefix = STR("batches/");
    yyjson_val *batch = json_get(root, "metadata");
    yyjson_val *counts = json_get(batch, "batchStats");
    struct str name = json_get_str(root, "name");
    int64_t created_ms = clock_parse(json_get_str(batch, "createTime"));
    (void)arena;
    *ret = (struct hand_status){0};
    if (!str_starts_with(name, prefix) || !hand_is_id(str_skip(name, prefix.len)))
        return false;
    ret->id = str_skip(name, prefix.len);
    ret->completed = hand_read_count(counts, "successfulRequestCount");
    ret->failed = hand_read_count(counts, "failedRequestCount");
    ret->expires_ms = created_ms > 0 ? created_ms + lifetime_ms : 0;
    return read_progress(root, ret);
}

/* ---- Results --------------------------------------------------------------------------------- */

static yyjson_val *results_in(yyjson_val *output)
{
    return json_get(json_get(output, "inlinedResponses"), "inlinedResponses");
}

static void each_result(struct arena *arena, struct str text, hand_each_fn *each, void *user)
{
    yyjson_val *root;
    if (json_read(arena, text, &root, NULL) != ERR_OK)
        return;
    yyjson_val *results = results_in(json_get(root, "response"));
    if (!yyjson_is_arr(results))
        results = results_in(json_get(json_get(root, "metadata"), "output"));
    yyjson_arr_iter iter = yyjson_arr_iter_with(results);
    for (yyjson_val *result; (result = yyjson_arr_iter_next(&iter));)
        each(user, result);
}

static bool read_result(yyjson_val *root, struct hand_result *ret)
{
    yyjson_val *response = json_get(root, "response");
    yyjson_val *error = json_get(root, "error");
    bool is_done = yyjson_is_obj(response);
    *ret = (struct hand_result){.name = json_get_str(json_get(root, "metadata"), "key"),
                                .outcome = is_done ? HAND_DONE : HAND_FAILURE,
                                .body = is_done ? response : error};
    return ret->name.len && (is_done || yyjson_is_obj(error));
}

const struct hand_form hand_form_gemini = {
    .dialect = &dialect_gemini,
    .content_bytes_max = CONTENT_BYTES_MAX,
    .status_bytes_max = STATUS_BYTES_MAX,
    .make_path = "/models/{model}:batchGenerateContent",
    .batch_path = "/batches",
    .cancel = ":cancel",
    .write_begin = write_begin,
    .write_line = write_line,
    .write_end = write_end,
    .read_status = read_status,
    .each_result = each_result,
    .read_result = read_result,
    .read_failure = batch_status_read,
};
