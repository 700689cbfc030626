/* OpenAI's batches: made of an uploaded file, with one or two files of results. */
#include "chat/batch_hand_form.h"

#define FILES_PATH "/files"

/* ---- What is said ---------------------------------------------------------------------------- */

static void write_begin(struct str boundary, struct str name, struct buf *out)
{
    (void)name;
    buf_printf(out,
               "--%.*s\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
               "--%.*s\r\ncontent-disposition: form-data; name=\"file\"; "
               "filename=\"batch.jsonl\"\r\ncontent-type: application/jsonl\r\n\r\n",
               STR_ARG(boundary), STR_ARG(boundary));
}

static void write_line(const struct hand_line *line, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key_str(&w, "custom_id", line->name);
    json_key_str(&w, "method", STR("POST"));
    json_key_str(&w, "url", str_from_cstr(line->endpoint->url));
    json_key_raw(&w, "body", line->body);
    json_end_object(&w);
    buf_append_char(out, '\n');
}

static void write_end(struct str boundary, struct buf *out)
{
    buf_printf(out, "\r\n--%.*s--\r\n", STR_ARG(boundary));
}

static void write_making(const struct batch_endpoint *endpoint, struct str file, struct str name,
                         struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key_str(&w, "input_file_id", file);
    json_key_str(&w, "endpoint", str_from_cstr(endpoint->url));
    json_key_str(&w, "completion_window", STR("24h"));
    json_key_object(&w, "metadata");
    json_key_str(&w, "parley_batch", name);
    json_end_object(&w);
    json_end_object(&w);
}

/* ---- What it says ---------------------------------------------------------------------------- */

static void read_failure(struct arena *arena, yyjson_val *root, struct hand_status *ret)
{
    yyjson_val *first = yyjson_arr_get_first(json_get(json_get(root, "errors"), "data"));
    struct str message = json_get_str(first, "message");
    int64_t line = 0;
    ret->message = message.len ? message : STR("the provider gave no reason");
    if (json_get_int(first, "line", &line))
        ret->message =
            arena_printf(arena, "line %lld: %.*s", (long long)line, STR_ARG(ret->message));
}

static bool read_status(struct arena *arena, yyjson_val *root, struct hand_status *ret)
{
    static const struct {
        const char *name;
        enum hand_progress progress;
        bool is_expired, is_cancelled;
    } rows[] = {
        {"validating", HAND_UNDER_WAY, false, false}, {"in_progress", HAND_UNDER_WAY, false, false},
        {"finalizing", HAND_UNDER_WAY, false, false}, {"cancelling", HAND_UNDER_WAY, false, false},
        {"completed", HAND_ENDED, false, false},      {"expired", HAND_ENDED, true, false},
        {"cancelled", HAND_ENDED, false, true},       {"failed", HAND_FAILED, false, false},
    };
    struct str status = json_get_str(root, "status");
    yyjson_val *counts = json_get(root, "request_counts");
    int64_t seconds = 0;
    size_t i = 0, count = sizeof rows / sizeof rows[0];
    while (i < count && !str_eq(status, str_from_cstr(rows[i].name)))
        i++;
    *ret = (struct hand_status){.id = hand_read_id(root, "id")};
    if (i == count || !ret->id.len)
        return false;
    ret->progress = rows[i].progress;
    ret->is_expired = rows[i].is_expired;
    ret->is_cancelled = rows[i].is_cancelled;
    ret->completed = hand_read_count(counts, "completed");
    ret->failed = hand_read_count(counts, "failed");
    if (json_get_int(root, "expires_at", &seconds) && seconds > 0 && seconds < INT64_MAX / 1000)
        ret->expires_ms = seconds * 1000;
    ret->files[0] = hand_read_id(root, "output_file_id");
    ret->files[1] = hand_read_id(root, "error_file_id");
    if (ret->progress == HAND_FAILED)
        read_failure(arena, root, ret);
    return true;
}

static struct str results_path(struct arena *arena, struct str batch, struct str file)
{
    (void)batch;
    return arena_printf(arena, FILES_PATH "/%.*s/content", STR_ARG(file));
}

static bool read_result(yyjson_val *root, struct hand_result *ret)
{
    yyjson_val *response = json_get(root, "response");
    struct str code = json_get_str(json_get(root, "error"), "code");
    int64_t status = 0;
    *ret = (struct hand_result){.name = json_get_str(root, "custom_id"),
                                .outcome = HAND_FAILURE,
                                .body = json_get(response, "body")};
    if (str_eq(code, STR("batch_expired")))
        ret->outcome = HAND_EXPIRED;
    else if (str_eq(code, STR("batch_cancelled")))
        ret->outcome = HAND_CANCELLED;
    else if (json_get_int(response, "status_code", &status) && status >= 200 && status < 300)
        ret->outcome = HAND_DONE;
    return ret->name.len && (yyjson_is_obj(response) || yyjson_is_obj(json_get(root, "error")));
}

const struct hand_form hand_form_openai = {
    .takes = BATCH_OPENAI,
    .content_bytes_max = BATCH_INPUT_BYTES_MAX * 2,
    .status_bytes_max = 1024 * 1024,
    .upload_path = FILES_PATH,
    .make_path = "/batches",
    .batch_path = "/batches",
    .cancel = "/cancel",
    .write_begin = write_begin,
    .write_line = write_line,
    .write_end = write_end,
    .write_making = write_making,
    .read_status = read_status,
    .results_path = results_path,
    .each_result = hand_each_line,
    .read_result = read_result,
};
