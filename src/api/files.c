/* /v1/files, in the form of who asks: OpenAI's, Anthropic's, and (but for uploads) Gemini's. One
 * store: what came in through one door is seen through all. */
#include <stdlib.h>

#include "api/gemini_files.h"
#include "api/stored.h"
#include "base/clock.h"
#include "base/vec.h"
#include "wire/multipart.h"

enum { OPENAI_PAGE_DEFAULT = 1000, OPENAI_PAGE_MAX = 10000 };
enum { ANTHROPIC_PAGE_DEFAULT = 20, ANTHROPIC_PAGE_MAX = 1000, ANTHROPIC_IDS_MAX = 100 };
static const int64_t day_seconds = 24 * 3600;

/* One request about files. In the exchange's arena. */
struct files_call {
    struct api_request *request;
    const struct files_form *form;
    struct file_work work;
    struct store_job job;
    struct store_file_page page;
    struct id *ids; /* those that were asked for; NULL: all */
    size_t id_count;
    struct store_file *files;
    size_t count;
    bool has_more;
};

/* The parts of a form that are looked for: the first of each name counts. */
enum form_field { FORM_FILE, FORM_PURPOSE, FORM_EXPIRES_AFTER, FORM_EXPIRES_IN, FORM_FIELDS };
struct form {
    struct multipart_part parts[FORM_FIELDS]; /* name: STR_NONE when it is not there */
};

/* What differs between the dialects. */
struct files_form {
    void (*write)(struct json_writer *w, const struct store_file *file);
    void (*write_deleted)(struct json_writer *w, const struct id *id);
    void (*write_page)(struct json_writer *w, const struct files_call *call);
    bool (*read_page)(struct files_call *call);
    enum err (*read_form)(struct files_call *call, const struct form *form, struct error *error);
};

/* ---- OpenAI's form --------------------------------------------------------------------------- */

static struct str openai_id(const struct id *id, char text[ID_LENGTH + 8])
{
    return STR_FROM(text, (size_t)snprintf(text, ID_LENGTH + 8, "file-%s", id->text));
}

static void write_openai(struct json_writer *w, const struct store_file *file)
{
    char id[ID_LENGTH + 8];
    json_key_str(w, "id", openai_id(&file->id, id));
    json_key_str(w, "object", STR("file"));
    json_key_int(w, "bytes", file->bytes);
    json_key_int(w, "created_at", file->created_ms / 1000);
    if (file->expires_ms)
        json_key_int(w, "expires_at", file->expires_ms / 1000);
    json_key_str(w, "filename", file->name);
    json_key_str(w, "purpose", file->purpose);
    json_key_str(w, "status", STR("processed"));
}

static void write_openai_deleted(struct json_writer *w, const struct id *id)
{
    char text[ID_LENGTH + 8];
    json_key_str(w, "id", openai_id(id, text));
    json_key_str(w, "object", STR("file"));
    json_key_bool(w, "deleted", true);
}

static void write_openai_page(struct json_writer *w, const struct files_call *call)
{
    char id[ID_LENGTH + 8];
    json_key_str(w, "object", STR("list"));
    json_key_bool(w, "has_more", call->has_more);
    json_key_str(w, "first_id", call->count ? openai_id(&call->files[0].id, id) : STR_NONE);
    json_key_str(w, "last_id",
                 call->count ? openai_id(&call->files[call->count - 1].id, id) : STR_NONE);
}

static bool read_openai_page(struct files_call *call)
{
    struct api_request *request = call->request;
    call->page.purpose = api_query(request, "purpose");
    call->page.is_ascending = str_eq(api_query(request, "order"), STR("asc"));
    return stored_query_limit(request, OPENAI_PAGE_DEFAULT, OPENAI_PAGE_MAX, &call->page.limit) &&
           stored_query_id(request, "after", &call->page.after);
}

/* Seconds from now in a member of a form; absent: for ever. */
static enum err read_lifetime(struct files_call *call, struct str text, const char *name,
                              int64_t seconds_max, struct error *error)
{
    uint64_t seconds;
    if (!text.data)
        return ERR_OK;
    if (!str_to_u64(text, &seconds) || seconds < 3600 || seconds > (uint64_t)seconds_max)
        return error_set(error, ERR_INVALID, name, "must be 3600 to %lld", (long long)seconds_max);
    call->work.file.expires_ms = clock_wall_ms() + (int64_t)seconds * 1000;
    return ERR_OK;
}

static enum err read_openai_form(struct files_call *call, const struct form *form,
                                 struct error *error)
{
    static const char *const purposes[] = {"assistants", "batch", "fine-tune",
                                           "vision",     "evals", "user_data"};
    struct str purpose = form->parts[FORM_PURPOSE].value;
    for (size_t i = 0; i < sizeof purposes / sizeof purposes[0]; i++)
        if (str_eq(purpose, str_from_cstr(purposes[i])))
            call->work.file.purpose = str_from_cstr(purposes[i]);
    if (!call->work.file.purpose.len)
        return error_set(error, ERR_INVALID, "purpose",
                         "must be assistants, batch, fine-tune, vision, evals or user_data");
    return read_lifetime(call, form->parts[FORM_EXPIRES_AFTER].value, "expires_after.seconds",
                         30 * day_seconds, error);
}

/* ---- Anthropic's form ------------------------------------------------------------------------ */

static struct str anthropic_id(const struct id *id, char text[ID_LENGTH + 8])
{
    return STR_FROM(text, (size_t)snprintf(text, ID_LENGTH + 8, "file_%s", id->text));
}

static void write_anthropic(struct json_writer *w, const struct store_file *file)
{
    char id[ID_LENGTH + 8];
    json_key_str(w, "type", STR("file"));
    json_key_str(w, "id", anthropic_id(&file->id, id));
    json_key_str(w, "filename", file->name);
    json_key_str(w, "mime_type", file->mime);
    json_key_int(w, "size_bytes", file->bytes);
    json_key_time(w, "created_at", file->created_ms);
    json_key_time(w, "expires_at", file->expires_ms);
    json_key_bool(w, "downloadable", true);
}

static void write_anthropic_deleted(struct json_writer *w, const struct id *id)
{
    char text[ID_LENGTH + 8];
    json_key_str(w, "id", anthropic_id(id, text));
    json_key_str(w, "type", STR("file_deleted"));
}

/* As it is now, and as it was with the beta header: clients of either find what they need. */
static void write_anthropic_page(struct json_writer *w, const struct files_call *call)
{
    char id[ID_LENGTH + 8];
    json_key_bool(w, "has_more", call->has_more);
    json_key_str(w, "first_id", call->count ? anthropic_id(&call->files[0].id, id) : STR_NONE);
    struct str last = call->count ? anthropic_id(&call->files[call->count - 1].id, id) : STR_NONE;
    json_key_str(w, "last_id", last);
    json_key_str(w, "next_page", call->has_more ? last : STR_NONE);
}

/* "ids[]=a&ids[]=b", percent-encoded or not. */
static bool read_ids(struct files_call *call)
{
    struct str query = call->request->http->query;
    size_t capacity = 0;
    while (query.data) {
        struct str value = str_next(&query, '&');
        struct str name = str_next(&value, '=');
        bool is_id = str_eq(name, STR("ids[]")) || str_eq_nocase(name, STR("ids%5B%5D")) ||
                     str_eq(name, STR("ids"));
        if (!is_id)
            continue;
        struct id id = {0};
        if (call->id_count == ANTHROPIC_IDS_MAX || !stored_id(value, &id))
            return false;
        *VEC_PUSH(call->request->arena, call->ids, call->id_count, capacity) = id;
    }
    return true;
}

static bool read_anthropic_page(struct files_call *call)
{
    struct api_request *request = call->request;
    struct error error = {0};
    const char *cursor = api_query(request, "page").data ? "page" : "after_id";
    if (!read_ids(call)) {
        error_set(&error, ERR_INVALID, "ids", "must be up to %d ids", ANTHROPIC_IDS_MAX);
        api_fail(request, ERR_INVALID, &error);
        return false;
    }
    return stored_query_limit(request, ANTHROPIC_PAGE_DEFAULT, ANTHROPIC_PAGE_MAX,
                              &call->page.limit) &&
           stored_query_id(request, cursor, &call->page.after);
}

static enum err read_anthropic_form(struct files_call *call, const struct form *form,
                                    struct error *error)
{
    call->work.file.purpose = STR("user_data");
    return read_lifetime(call, form->parts[FORM_EXPIRES_IN].value, "expires_in_seconds",
                         365 * day_seconds, error);
}

/* ---- Which one ------------------------------------------------------------------------------- */

static const struct files_form openai_form = {
    .write = write_openai,
    .write_deleted = write_openai_deleted,
    .write_page = write_openai_page,
    .read_page = read_openai_page,
    .read_form = read_openai_form,
};
static const struct files_form anthropic_form = {
    .write = write_anthropic,
    .write_deleted = write_anthropic_deleted,
    .write_page = write_anthropic_page,
    .read_page = read_anthropic_page,
    .read_form = read_anthropic_form,
};

static struct files_call *call_new(struct api_request *request)
{
    struct files_call *call = ARENA_NEW(request->arena, struct files_call);
    bool is_anthropic = api_asker_dialect(request) == &dialect_anthropic;
    call->request = request;
    call->form = is_anthropic ? &anthropic_form : &openai_form;
    call->work.file.owner = request->who.user;
    call->work.arena = request->arena;
    call->work.user = call;
    return call;
}

/* Gemini's clients ask for other objects under the same path. */
static bool is_gemini(const struct api_request *request)
{
    return api_asker_dialect(request) == &dialect_gemini;
}

/* ---- Uploading ------------------------------------------------------------------------------- */

static struct str clean_type(struct arena *arena, struct str type)
{
    type = str_slice(str_trim(type), 0, 127);
    bool is_valid = type.len && http_header_is_valid(STR("content-type"), type);
    return is_valid ? arena_str(arena, type) : STR("application/octet-stream");
}

/* Programs that do as browsers do write these characters so in names of files (HTML), and no other. */
static struct str unescape_name(struct arena *arena, struct str name)
{
    char *plain = arena_alloc(arena, name.len);
    size_t len = 0;
    while (name.len) {
        bool is_quote = str_starts_with(name, STR("%22"));
        bool is_line_end = str_starts_with(name, STR("%0D")) || str_starts_with(name, STR("%0A"));
        plain[len++] = is_quote ? '"' : is_line_end ? ' ' : name.data[0];
        name = str_skip(name, is_quote || is_line_end ? 3 : 1);
    }
    return STR_FROM(plain, len);
}

static enum err read_parts(struct api_request *request, struct form *form, struct error *error)
{
    static const char *const names[FORM_FIELDS] = {
        [FORM_FILE] = "file",
        [FORM_PURPOSE] = "purpose",
        [FORM_EXPIRES_AFTER] = "expires_after[seconds]",
        [FORM_EXPIRES_IN] = "expires_in_seconds",
    };
    const struct http_request *http = request->http;
    struct multipart_reader reader;
    struct multipart_part part;
    enum err code = multipart_begin(&reader, http_headers_get(&http->headers, "content-type"),
                                    http->body, error);
    while (code == ERR_OK && (code = multipart_next(&reader, &part, error)) == ERR_OK)
        for (int i = 0; i < FORM_FIELDS; i++)
            if (!form->parts[i].name.data && str_eq(part.name, str_from_cstr(names[i])))
                form->parts[i] = part;
    return code == ERR_NOT_FOUND ? ERR_OK : code; /* no further part */
}

/* On a thread of the pool: the whole body is looked through for the ends of its parts. */
static enum err make_from_form(void *user, struct file_work *work, struct error *error)
{
    struct files_call *call = user;
    struct form form = {0};
    const struct multipart_part *file = &form.parts[FORM_FILE];
    enum err code = read_parts(call->request, &form, error);
    if (code != ERR_OK)
        return code;
    if (!file->filename.data)
        return error_set(error, ERR_INVALID, "file", "must be a file");
    work->content = file->value;
    work->file.name = files_clean_name(work->arena, unescape_name(work->arena, file->filename));
    work->file.mime = clean_type(work->arena, file->type);
    return call->form->read_form(call, &form, error);
}

static void reply_file(void *user, enum err code, const struct error *error)
{
    struct files_call *call = user;
    struct api_reply reply;
    if (api_failed(call->request, code, error))
        return;
    api_reply_begin(&reply);
    call->form->write(&reply.w, &call->work.file);
    api_reply(call->request, 200, &reply);
}

static void post_file(struct api_request *request)
{
    struct files_call *call = call_new(request);
    call->work.make = make_from_form;
    call->work.done = reply_file;
    files_put(request->api->options.files, request->api->options.loop, &call->work);
}

/* ---- Lists ----------------------------------------------------------------------------------- */

/* Those that were named: what is not there is left out. */
static enum err list_ids(struct files_call *call, struct store_tx *tx, struct error *error)
{
    struct api_request *request = call->request;
    call->files = ARENA_NEW_ARRAY(request->arena, call->id_count, struct store_file);
    for (size_t i = 0; i < call->id_count; i++) {
        enum err code = store_file_get(tx, request->arena, &request->who.user, &call->ids[i],
                                       call->page.now_ms, &call->files[call->count], error);
        if (code == ERR_OK)
            call->count++;
        else if (code != ERR_NOT_FOUND)
            return code;
    }
    return ERR_OK;
}

static enum err run_list(struct store_tx *tx, void *user, struct error *error)
{
    struct files_call *call = user;
    if (call->ids)
        return list_ids(call, tx, error);
    return store_file_list(tx, call->request->arena, &call->request->who.user, &call->page,
                           &call->files, &call->count, &call->has_more, error);
}

static void reply_list(void *user, enum err code, const struct error *error)
{
    struct files_call *call = user;
    struct api_reply reply;
    if (api_failed(call->request, code, error))
        return;
    api_reply_begin(&reply);
    json_key_array(&reply.w, "data");
    for (size_t i = 0; i < call->count; i++) {
        json_begin_object(&reply.w);
        call->form->write(&reply.w, &call->files[i]);
        json_end_object(&reply.w);
    }
    json_end_array(&reply.w);
    call->form->write_page(&reply.w, call);
    api_reply(call->request, 200, &reply);
}

static void get_files(struct api_request *request)
{
    if (is_gemini(request)) {
        gemini_list_files(request);
        return;
    }
    struct files_call *call = call_new(request);
    call->page.now_ms = clock_wall_ms();
    if (!call->form->read_page(call))
        return;
    call->job = (struct store_job){.run = run_list, .done = reply_list, .user = call};
    store_read(request->api->options.store, request->api->options.loop, &call->job);
}

/* ---- One ------------------------------------------------------------------------------------- */

static void get_file(struct api_request *request)
{
    if (is_gemini(request)) {
        gemini_get_file(request);
        return;
    }
    struct files_call *call = call_new(request);
    call->work.done = reply_file;
    if (stored_parameter_id(request, 0, &call->work.file.id))
        files_get(request->api->options.files, request->api->options.loop, &call->work);
}

static void get_content(struct api_request *request)
{
    struct id id;
    if (stored_parameter_id(request, 0, &id))
        stored_send_by_id(request, &id, "application/octet-stream");
}

static void reply_deleted(void *user, enum err code, const struct error *error)
{
    struct files_call *call = user;
    struct api_reply reply;
    if (api_failed(call->request, code, error))
        return;
    api_reply_begin(&reply);
    call->form->write_deleted(&reply.w, &call->work.file.id);
    api_reply(call->request, 200, &reply);
}

static void delete_file(struct api_request *request)
{
    if (is_gemini(request)) {
        gemini_delete_file(request);
        return;
    }
    struct files_call *call = call_new(request);
    call->work.done = reply_deleted;
    if (stored_parameter_id(request, 0, &call->work.file.id))
        files_delete(request->api->options.files, request->api->options.loop, &call->work);
}

const struct endpoint files_endpoints[] = {
    {HTTP_POST, "/v1/files", VERB_FILE_MANAGE, &dialect_openai_chat, post_file, NULL,
     API_BODY_LARGE, "Uploads a file (multipart/form-data), in OpenAI's or Anthropic's form."},
    {HTTP_GET, "/v1/files", VERB_FILE_MANAGE, &dialect_openai_chat, get_files, NULL, 0,
     "One's files, in OpenAI's, Anthropic's or Gemini's form."},
    {HTTP_GET, "/v1/files/{id}", VERB_FILE_MANAGE, &dialect_openai_chat, get_file, NULL, 0,
     "A file, in the same forms."},
    {HTTP_GET, "/v1/files/{id}/content", VERB_FILE_MANAGE, &dialect_openai_chat, get_content, NULL,
     0, "What is in a file."},
    {HTTP_DELETE, "/v1/files/{id}", VERB_FILE_MANAGE, &dialect_openai_chat, delete_file, NULL,
     API_BODY_SMALL, "Deletes a file."},
    {0},
};
