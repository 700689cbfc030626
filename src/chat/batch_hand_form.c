/* OpenAI's batches are made of an uploaded file and give one or two files of results; Anthropic's are
 * made of one body and give one list of results. */
#include "chat/batch_hand_form.h"

#include "base/clock.h"

enum { ID_BYTES_MAX = 200 };

static const struct {
    const char *kind;
    enum batch_form form;
} kinds[] = {
    {"openai", BATCH_OPENAI},
    {"openai-responses", BATCH_OPENAI},
    {"anthropic", BATCH_ANTHROPIC},
};

bool hand_kind_fits(const struct provider_kind *kind, enum batch_form form)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].form == form &&
            str_eq(str_from_cstr(kind->name), str_from_cstr(kinds[i].kind)))
            return true;
    return false;
}

bool hand_has_upload(enum batch_form form)
{
    return form == BATCH_OPENAI;
}

/* ---- What is said ---------------------------------------------------------------------------- */

void hand_write_begin(enum batch_form form, struct str boundary, struct buf *out)
{
    if (form == BATCH_ANTHROPIC) {
        buf_append(out, STR("{\"requests\":["));
        return;
    }
    buf_printf(out,
               "--%.*s\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
               "--%.*s\r\ncontent-disposition: form-data; name=\"file\"; "
               "filename=\"batch.jsonl\"\r\ncontent-type: application/jsonl\r\n\r\n",
               STR_ARG(boundary), STR_ARG(boundary));
}

void hand_write_line(const struct batch_endpoint *endpoint, const struct batch_line *line,
                     struct str body, bool is_first, struct buf *out)
{
    struct json_writer w;
    bool is_openai = endpoint->form == BATCH_OPENAI;
    if (!is_openai && !is_first)
        buf_append_char(out, ',');
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key_str(&w, "custom_id", line->custom_id);
    if (is_openai) {
        json_key_str(&w, "method", STR("POST"));
        json_key_str(&w, "url", str_from_cstr(endpoint->url));
    }
    json_key_raw(&w, is_openai ? "body" : "params", body);
    json_end_object(&w);
    if (is_openai)
        buf_append_char(out, '\n');
}

void hand_write_end(enum batch_form form, struct str boundary, struct buf *out)
{
    if (form == BATCH_ANTHROPIC)
        buf_append(out, STR("]}"));
    else
        buf_printf(out, "\r\n--%.*s--\r\n", STR_ARG(boundary));
}

void hand_write_making(const struct batch_endpoint *endpoint, struct str file, struct str name,
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

/* ---- Where ----------------------------------------------------------------------------------- */

struct str hand_path(struct arena *arena, enum batch_form form, struct str id, const char *action)
{
    const char *base = form == BATCH_OPENAI ? "/batches" : "/v1/messages/batches";
    return arena_printf(arena, "%s%s%.*s%s", base, id.len ? "/" : "", STR_ARG(id), action);
}

struct str hand_results_path(struct arena *arena, enum batch_form form, struct str batch,
                             struct str file)
{
    if (form == BATCH_ANTHROPIC)
        return hand_path(arena, form, batch, "/results");
    return arena_printf(arena, HAND_UPLOAD_PATH "/%.*s/content", STR_ARG(file));
}

/* ---- What they say --------------------------------------------------------------------------- */

static bool is_id(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return text.len > 0 && text.len <= ID_BYTES_MAX;
}

static struct str id_member(yyjson_val *root, const char *name)
{
    struct str id = json_get_str(root, name);
    return is_id(id) ? id : STR_NONE;
}

struct str hand_read_id(yyjson_val *root)
{
    return id_member(root, "id");
}

static int64_t count_member(yyjson_val *counts, const char *name)
{
    int64_t count = 0;
    return json_get_int(counts, name, &count) && count > 0 ? count : 0;
}

static void read_openai_failure(struct arena *arena, yyjson_val *root, struct hand_status *ret)
{
    yyjson_val *first = yyjson_arr_get_first(json_get(json_get(root, "errors"), "data"));
    struct str message = json_get_str(first, "message");
    int64_t line = 0;
    ret->message = message.len ? message : STR("the provider gave no reason");
    if (json_get_int(first, "line", &line))
        ret->message =
            arena_printf(arena, "line %lld: %.*s", (long long)line, STR_ARG(ret->message));
}

static bool read_openai(struct arena *arena, yyjson_val *root, struct hand_status *ret)
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
    if (i == count)
        return false;
    ret->progress = rows[i].progress;
    ret->is_expired = rows[i].is_expired;
    ret->is_cancelled = rows[i].is_cancelled;
    ret->completed = count_member(counts, "completed");
    ret->failed = count_member(counts, "failed");
    if (json_get_int(root, "expires_at", &seconds) && seconds > 0 && seconds < INT64_MAX / 1000)
        ret->expires_ms = seconds * 1000;
    ret->files[0] = id_member(root, "output_file_id");
    ret->files[1] = id_member(root, "error_file_id");
    if (ret->progress == HAND_FAILED)
        read_openai_failure(arena, root, ret);
    return true;
}

/* What of its lines came to nothing, the results say. */
static bool read_anthropic(yyjson_val *root, struct hand_status *ret)
{
    struct str status = json_get_str(root, "processing_status");
    yyjson_val *counts = json_get(root, "request_counts");
    int64_t expires_ms = clock_parse(json_get_str(root, "expires_at"));
    bool is_ended = str_eq(status, STR("ended"));
    if (!is_ended && !str_eq(status, STR("in_progress")) && !str_eq(status, STR("canceling")))
        return false;
    ret->progress = is_ended ? HAND_ENDED : HAND_UNDER_WAY;
    ret->completed = count_member(counts, "succeeded");
    ret->failed = count_member(counts, "errored");
    ret->expires_ms = expires_ms > 0 ? expires_ms : 0;
    if (is_ended)
        ret->files[0] = STR("results");
    return true;
}

bool hand_read_status(struct arena *arena, enum batch_form form, yyjson_val *root,
                      struct hand_status *ret)
{
    *ret = (struct hand_status){.id = hand_read_id(root)};
    return ret->id.len &&
           (form == BATCH_OPENAI ? read_openai(arena, root, ret) : read_anthropic(root, ret));
}

/* ---- Results --------------------------------------------------------------------------------- */

static bool read_openai_result(yyjson_val *root, struct hand_result *ret)
{
    yyjson_val *response = json_get(root, "response");
    struct str code = json_get_str(json_get(root, "error"), "code");
    int64_t status = 0;
    ret->outcome = HAND_FAILURE;
    if (str_eq(code, STR("batch_expired")))
        ret->outcome = HAND_EXPIRED;
    else if (str_eq(code, STR("batch_cancelled")))
        ret->outcome = HAND_CANCELLED;
    else if (json_get_int(response, "status_code", &status) && status >= 200 && status < 300)
        ret->outcome = HAND_DONE;
    ret->body = json_get(response, "body");
    return yyjson_is_obj(response) || yyjson_is_obj(json_get(root, "error"));
}

static bool read_anthropic_result(yyjson_val *root, struct hand_result *ret)
{
    static const char *const types[] = {[HAND_DONE] = "succeeded",
                                        [HAND_FAILURE] = "errored",
                                        [HAND_EXPIRED] = "expired",
                                        [HAND_CANCELLED] = "canceled"};
    yyjson_val *result = json_get(root, "result");
    struct str type = json_get_str(result, "type");
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (!str_eq(type, str_from_cstr(types[i])))
            continue;
        ret->outcome = (enum hand_outcome)i;
        ret->body = json_get(result, "message");
        return true;
    }
    return false;
}

bool hand_read_result(enum batch_form form, yyjson_val *root, struct hand_result *ret)
{
    *ret = (struct hand_result){.custom_id = json_get_str(root, "custom_id")};
    return ret->custom_id.len && (form == BATCH_OPENAI ? read_openai_result(root, ret)
                                                       : read_anthropic_result(root, ret));
}
