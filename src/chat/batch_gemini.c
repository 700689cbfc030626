/* Gemini's form of making a batch. */
#include "chat/batch_gemini.h"

#include <stdio.h>

#define REQUESTS_FIELD "batch.inputConfig.requests.requests"

/* Proto-JSON allows both spellings. */
static yyjson_val *member(yyjson_val *object, const char *camel, const char *snake)
{
    yyjson_val *value = json_get(object, camel);
    return value ? value : json_get(object, snake);
}

static enum err write_line(void *user, yyjson_val *item, size_t index, struct buf *out,
                           struct error *error)
{
    struct json_writer w;
    char field[96];
    yyjson_val *request = json_get(item, "request");
    yyjson_val *metadata = json_get(item, "metadata");
    (void)user;
    snprintf(field, sizeof field, REQUESTS_FIELD "[%zu].%s", index,
             yyjson_is_obj(request) ? "metadata" : "request");
    if (!yyjson_is_obj(request) || (metadata && !yyjson_is_obj(metadata)))
        return error_set(error, ERR_INVALID, field, "must be an object");
    json_writer_init(&w, out);
    json_begin_object(&w);
    if (metadata) {
        json_key(&w, STR("metadata"));
        json_put_val(&w, metadata);
    }
    json_key(&w, STR("request"));
    json_put_val(&w, request);
    json_end_object(&w);
    buf_append_char(out, '\n');
    return ERR_OK;
}

enum err batch_gemini_read(struct arena *arena, struct str body, struct batch_gemini *ret,
                           struct buf *out, struct error *error)
{
    yyjson_val *root;
    enum err code = json_read(arena, body, &root, error);
    if (code != ERR_OK)
        return code;
    yyjson_val *batch = json_get(root, "batch");
    yyjson_val *config = member(batch, "inputConfig", "input_config");
    yyjson_val *file = member(config, "fileName", "file_name");
    yyjson_val *requests = json_get(config, "requests");
    ret->display_name = json_str(member(batch, "displayName", "display_name"));
    ret->file = json_str(file);
    if (ret->display_name.len > BATCH_GEMINI_NAME_BYTES_MAX)
        return error_set(error, ERR_INVALID, "batch.displayName", "is too long");
    if (!file == !requests)
        return error_set(error, ERR_INVALID, "batch.inputConfig",
                         "must have either requests or fileName");
    if (file && !ret->file.len)
        return error_set(error, ERR_INVALID, "batch.inputConfig.fileName", "must be files/...");
    return file ? ERR_OK
                : batch_input_of_list(json_get(requests, "requests"), REQUESTS_FIELD, write_line,
                                      NULL, out, error);
}

/* ---- What is kept ---------------------------------------------------------------------------- */

struct str batch_gemini_keep(struct arena *arena, const struct batch_gemini *gemini)
{
    struct json_writer w;
    struct buf out;
    buf_init(&out, 64 * 1024);
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key_str(&w, "model", gemini->model);
    json_key_str(&w, "display_name", gemini->display_name);
    json_key_str(&w, "file", gemini->file);
    json_end_object(&w);
    struct str text = arena_str(arena, buf_str(&out));
    buf_done(&out);
    return text;
}

struct batch_gemini batch_gemini_kept(struct arena *arena, struct str metadata)
{
    yyjson_val *root;
    struct batch_gemini kept = {0};
    if (json_read(arena, metadata, &root, NULL) != ERR_OK)
        return kept;
    kept.model = json_get_str(root, "model");
    kept.display_name = json_get_str(root, "display_name");
    kept.file = json_get_str(root, "file");
    return kept;
}
