/* Gemini's files: resumable uploads, and the files in that form.
 *
 *   start -> an address with the file's id, which is by chance -> upload, upload, ... -> finalize
 *
 * The pieces of an upload may come to any loop: what there is of it is on disk. */
#include "api/gemini_files.h"

#include <stdlib.h>

#include "api/stored.h"
#include "base/clock.h"
#include "base/crypto.h"

enum { PAGE_DEFAULT = 10, PAGE_MAX = 100 };
static const int64_t lifetime_ms = 48LL * 3600 * 1000; /* as with the original */
static const int64_t upload_ms = 24LL * 3600 * 1000;   /* for all its pieces to come */

struct gemini_call {
    struct api_request *request;
    struct file_work work;
    struct store_job job;
    struct store_file_page page;
    struct store_file *files;
    size_t count;
    bool has_more;
};

static struct gemini_call *call_new(struct api_request *request)
{
    struct gemini_call *call = ARENA_NEW(request->arena, struct gemini_call);
    call->request = request;
    call->work.file.owner = request->who.user;
    call->work.arena = request->arena;
    call->work.user = call;
    return call;
}

/* ---- The file object ------------------------------------------------------------------------- */

/* The hash is kept in hexadecimal; here its bytes are shown in base64. */
static void write_hash(struct json_writer *w, struct str hexadecimal)
{
    char bytes[SHA256_BYTES];
    for (size_t i = 0; i < sizeof bytes && 2 * i + 1 < hexadecimal.len; i++) {
        unsigned value = 0;
        for (size_t k = 2 * i; k < 2 * i + 2; k++) {
            char c = hexadecimal.data[k];
            value = value * 16 + (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        bytes[i] = (char)value;
    }
    json_literal_key(w, STR("sha256Hash"));
    json_begin_str(w);
    json_str_base64(w, STR_FROM(bytes, sizeof bytes));
    json_end_str(w);
}

static void write_file(struct api_request *request, struct json_writer *w,
                       const struct store_file *file)
{
    char text[64];
    int len = snprintf(text, sizeof text, "files/%s", file->id.text);
    json_key_str(w, "name", STR_FROM(text, (size_t)len));
    json_key_str(w, "displayName", file->name);
    json_key_str(w, "mimeType", file->mime);
    len = snprintf(text, sizeof text, "%lld", (long long)file->bytes);
    json_key_str(w, "sizeBytes", STR_FROM(text, (size_t)len));
    json_key_time(w, "createTime", file->created_ms);
    json_key_time(w, "updateTime", file->created_ms);
    if (file->expires_ms)
        json_key_time(w, "expirationTime", file->expires_ms);
    if (file->sha256.len == 2 * SHA256_BYTES)
        write_hash(w, file->sha256);
    json_key_str(w, "uri",
                 arena_printf(request->arena, "%.*s/v1beta/files/%s",
                              STR_ARG(stored_origin(request)), file->id.text));
    json_key_str(w, "state", STR("ACTIVE"));
    json_key_str(w, "source", STR("UPLOADED"));
}

static void reply_file(void *user, enum err code, const struct error *error)
{
    struct gemini_call *call = user;
    struct api_reply reply;
    if (api_failed(call->request, code, error))
        return;
    api_reply_begin(&reply);
    write_file(call->request, &reply.w, &call->work.file);
    api_reply(call->request, 200, &reply);
}

/* ---- Uploading ------------------------------------------------------------------------------- */

static struct str header(const struct api_request *request, const char *name)
{
    return http_headers_get(&request->http->headers, name);
}

static bool header_number(const struct api_request *request, const char *name, uint64_t *ret)
{
    return str_to_u64(header(request, name), ret);
}

static void fail(struct api_request *request, const char *field, const char *message)
{
    struct error error = {0};
    error_set(&error, ERR_INVALID, field, "%s", message);
    api_fail(request, ERR_INVALID, &error);
}

/* The first of two spellings that is there. */
static struct str member(yyjson_val *object, const char *name, const char *other)
{
    struct str text = json_get_str(object, name);
    return text.data ? text : json_get_str(object, other);
}

static enum err read_description(struct gemini_call *call, struct error *error)
{
    struct api_request *request = call->request;
    struct store_file *file = &call->work.file;
    yyjson_val *root = NULL;
    enum err code = request->http->body.len
                        ? json_read(request->arena, request->http->body, &root, error)
                        : ERR_OK;
    if (code != ERR_OK)
        return code;
    yyjson_val *given = json_get(root, "file");
    struct str name = member(given, "displayName", "display_name");
    struct str mime = header(request, "x-goog-upload-header-content-type");
    if (json_get_str(given, "name").len)
        return error_set(error, ERR_INVALID, "file.name", "names are given by the server");
    if (!mime.len)
        mime = member(given, "mimeType", "mime_type");
    if (!name.data)
        name = header(request, "x-goog-upload-file-name");
    file->name = files_clean_name(request->arena, name);
    bool is_valid = mime.len && mime.len < 128 && http_header_is_valid(STR("content-type"), mime);
    file->mime = is_valid ? mime : STR("application/octet-stream");
    return ERR_OK;
}

static void reply_begun(void *user, enum err code, const struct error *error)
{
    struct gemini_call *call = user;
    struct api_request *request = call->request;
    struct api_reply reply;
    if (api_failed(request, code, error))
        return;
    struct str url = arena_printf(request->arena, "%.*s%.*s?upload_id=%s&upload_protocol=resumable",
                                  STR_ARG(stored_origin(request)), STR_ARG(request->http->path),
                                  call->work.file.id.text);
    http_respond_header(request->exchange, "x-goog-upload-url", url);
    http_respond_header(request->exchange, "x-goog-upload-status", STR("active"));
    http_respond_header(request->exchange, "x-goog-upload-chunk-granularity", STR("1"));
    api_reply_begin(&reply);
    api_reply(request, 200, &reply);
}

static void begin_upload(struct api_request *request)
{
    struct gemini_call *call = call_new(request);
    struct error error = {0};
    uint64_t bytes;
    if (!str_eq_nocase(header(request, "x-goog-upload-protocol"), STR("resumable"))) {
        fail(request, "X-Goog-Upload-Protocol", "must be resumable");
        return;
    }
    if (!header_number(request, "x-goog-upload-header-content-length", &bytes) ||
        bytes > INT64_MAX) {
        fail(request, "X-Goog-Upload-Header-Content-Length", "must be the file's length");
        return;
    }
    if (api_failed(request, read_description(call, &error), &error))
        return;
    call->work.file.purpose = STR("user_data");
    call->work.file.bytes = (int64_t)bytes;
    call->work.file.expires_ms = clock_wall_ms() + upload_ms;
    call->work.done = reply_begun;
    files_begin(request->api->options.files, request->api->options.loop, &call->work);
}

static void say_status(struct api_request *request, const char *status, uint64_t received)
{
    http_respond_header(request->exchange, "x-goog-upload-status", str_from_cstr(status));
    http_respond_header(request->exchange, "x-goog-upload-size-received",
                        arena_printf(request->arena, "%llu", (unsigned long long)received));
}

static void reply_piece(void *user, enum err code, const struct error *error)
{
    struct gemini_call *call = user;
    struct api_request *request = call->request;
    struct api_reply reply;
    if (api_failed(request, code, error))
        return;
    say_status(request, call->work.is_last ? "final" : "active",
               call->work.offset + call->work.content.len);
    api_reply_begin(&reply);
    if (call->work.is_last) {
        json_key_object(&reply.w, "file");
        write_file(request, &reply.w, &call->work.file);
        json_end_object(&reply.w);
    }
    api_reply(request, 200, &reply);
}

static void reply_received(void *user, enum err code, const struct error *error)
{
    struct gemini_call *call = user;
    struct api_reply reply;
    if (api_failed(call->request, code, error))
        return;
    say_status(call->request, "active", call->work.offset);
    api_reply_begin(&reply);
    api_reply(call->request, 200, &reply);
}

static bool has_command(const struct api_request *request, const char *command)
{
    return http_headers_has_token(&request->http->headers, "x-goog-upload-command", command);
}

static void take_piece(struct gemini_call *call)
{
    struct api_request *request = call->request;
    struct api_options *options = &request->api->options;
    if (!header_number(request, "x-goog-upload-offset", &call->work.offset)) {
        fail(request, "X-Goog-Upload-Offset", "must be a number");
        return;
    }
    call->work.content = request->http->body;
    call->work.is_last = has_command(request, "finalize");
    call->work.file.expires_ms = clock_wall_ms() + lifetime_ms;
    call->work.done = reply_piece;
    files_append(options->files, options->loop, &call->work);
}

static void post_upload(struct api_request *request)
{
    struct api_options *options = &request->api->options;
    struct str id = api_query(request, "upload_id");
    if (!id.data) {
        if (has_command(request, "start"))
            begin_upload(request);
        else
            fail(request, "X-Goog-Upload-Command", "must be start");
        return;
    }
    struct gemini_call *call = call_new(request);
    if (!id_parse(id, &call->work.file.id)) {
        api_fail(request, ERR_NOT_FOUND, NULL);
    } else if (has_command(request, "query")) {
        call->work.done = reply_received;
        files_ask(options->files, options->loop, &call->work);
    } else if (has_command(request, "upload") || has_command(request, "finalize")) {
        take_piece(call);
    } else {
        fail(request, "X-Goog-Upload-Command", "must be upload, finalize or query");
    }
}

/* ---- Files ----------------------------------------------------------------------------------- */

static enum err run_list(struct store_tx *tx, void *user, struct error *error)
{
    struct gemini_call *call = user;
    return store_file_list(tx, call->request->arena, &call->request->who.user, &call->page,
                           &call->files, &call->count, &call->has_more, error);
}

static void reply_list(void *user, enum err code, const struct error *error)
{
    struct gemini_call *call = user;
    struct api_reply reply;
    if (api_failed(call->request, code, error))
        return;
    api_reply_begin(&reply);
    json_key_array(&reply.w, "files");
    for (size_t i = 0; i < call->count; i++) {
        json_begin_object(&reply.w);
        write_file(call->request, &reply.w, &call->files[i]);
        json_end_object(&reply.w);
    }
    json_end_array(&reply.w);
    if (call->has_more)
        json_key_str(&reply.w, "nextPageToken", id_str(&call->files[call->count - 1].id));
    api_reply(call->request, 200, &reply);
}

void gemini_list_files(struct api_request *request)
{
    struct gemini_call *call = call_new(request);
    call->page.now_ms = clock_wall_ms();
    if (!stored_query_page_size(request, PAGE_DEFAULT, PAGE_MAX, &call->page.limit) ||
        !stored_query_id(request, "pageToken", &call->page.after))
        return;
    call->job = (struct store_job){.run = run_list, .done = reply_list, .user = call};
    store_read(request->api->options.store, request->api->options.loop, &call->job);
}

void gemini_get_file(struct api_request *request)
{
    struct gemini_call *call = call_new(request);
    struct str download = STR(":download");
    struct str name = request->parameters[0];
    if (str_ends_with(name, download)) {
        request->parameters[0] = str_slice(name, 0, name.len - download.len);
        if (stored_parameter_id(request, 0, &call->work.file.id))
            stored_send_by_id(request, &call->work.file.id, "application/octet-stream");
        return;
    }
    call->work.done = reply_file;
    if (stored_parameter_id(request, 0, &call->work.file.id))
        files_get(request->api->options.files, request->api->options.loop, &call->work);
}

static void reply_deleted(void *user, enum err code, const struct error *error)
{
    struct gemini_call *call = user;
    struct api_reply reply;
    if (api_failed(call->request, code, error))
        return;
    api_reply_begin(&reply);
    api_reply(call->request, 200, &reply);
}

void gemini_delete_file(struct api_request *request)
{
    struct gemini_call *call = call_new(request);
    call->work.done = reply_deleted;
    if (stored_parameter_id(request, 0, &call->work.file.id))
        files_delete(request->api->options.files, request->api->options.loop, &call->work);
}

#define GEMINI VERB_FILE_MANAGE, &dialect_gemini
const struct endpoint gemini_files_endpoints[] = {
    {HTTP_POST, "/upload/v1/files", GEMINI, post_upload, NULL, API_BODY_LARGE,
     "Gemini: uploads a file in pieces (resumable)."},
    {HTTP_POST, "/upload/v1beta/files", GEMINI, post_upload, NULL, API_BODY_LARGE,
     "The same, as under /upload/v1."},
    {HTTP_GET, "/v1beta/files", GEMINI, gemini_list_files, NULL, 0,
     "One's files in Gemini's form."},
    {HTTP_GET, "/v1beta/files/{id}", GEMINI, gemini_get_file, NULL, 0,
     "A file in Gemini's form; {id}:download: its content."},
    {HTTP_GET, "/download/v1beta/files/{id}", GEMINI, gemini_get_file, NULL, 0,
     "The same, for {id}:download."},
    {HTTP_DELETE, "/v1beta/files/{id}", GEMINI, gemini_delete_file, NULL, API_BODY_SMALL,
     "Deletes a file."},
    {0},
};
