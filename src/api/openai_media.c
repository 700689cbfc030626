/* OpenAI's doors to images, audio and moderations: handed through to a provider that has them, with
 * routes and fallbacks. Of the body only the model's name changes, to the target's, and Parley's own
 * members go. */
#include "api/openai_media.h"

#include "api/chain.h"
#include "llm/foreign.h"
#include "llm/passthrough.h"
#include "wire/multipart.h"

enum { BODY_BYTES_MAX = 512 * 1024 * 1024 };

struct media {
    struct relay_door door; /* first */
    const struct media_form *form;
    struct str content_type;
    struct str model; /* as asked for; empty: not said */
    bool has_model;   /* a form: it has that part */
    struct api_chain chain;
};

/* ---- What goes to a provider ----------------------------------------------------------------- */

/* Which member of a chain a form's part belongs to: lists are written as parts of the same name, with
 * brackets behind it or without. NULL: none. */
static const char *chain_member(struct str part_name)
{
    for (size_t i = 0; i < API_CHAIN_MEMBERS; i++) {
        struct str member = str_from_cstr(api_chain_members[i]);
        if (str_starts_with(part_name, member) &&
            (part_name.len == member.len || part_name.data[member.len] == '['))
            return api_chain_members[i];
    }
    return NULL;
}

/* What stands in place of what the part has of the model or of a chain; false: it stays. Without a
 * part for the model the first one of the chain becomes it. */
static bool replace_in(const struct multipart_reader *reader, const struct multipart_part *part,
                       struct str model, bool *has_model, struct str *ret_old, struct buf *out)
{
    bool is_model = model.len && str_eq(part->name, STR("model"));
    *ret_old = is_model ? part->value : part->whole;
    if (!is_model && !chain_member(part->name))
        return false;
    if (is_model)
        buf_append(out, model);
    else if (!*has_model && model.len)
        buf_printf(out, "--%.*s\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n%.*s\r\n",
                   STR_ARG(reader->boundary), STR_ARG(model));
    *has_model = true;
    return true;
}

/* The form was read before: it is one. */
static void write_form(const struct media *media, struct str model, struct buf *out)
{
    struct str body = media->door.request->http->body, old;
    struct multipart_reader reader;
    struct multipart_part part;
    struct buf put;
    size_t copied = 0;
    bool has_model = media->has_model;
    enum err code = multipart_begin(&reader, media->content_type, body, NULL);
    buf_init(&put, BODY_BYTES_MAX);
    while (code == ERR_OK && (code = multipart_next(&reader, &part, NULL)) == ERR_OK) {
        buf_clear(&put);
        if (!replace_in(&reader, &part, model, &has_model, &old, &put))
            continue;
        size_t at = (size_t)(old.data - body.data);
        buf_append(out, str_slice(body, copied, at - copied));
        buf_append(out, buf_str(&put));
        copied = at + old.len;
    }
    buf_append(out, str_skip(body, copied));
    buf_done(&put);
}

static struct str with_model(const struct media *media, struct arena *scratch, struct str model)
{
    struct str body = media->door.request->http->body;
    struct buf out;
    buf_init(&out, BODY_BYTES_MAX);
    buf_expect(&out, body.len + model.len);
    if (media->form->is_form)
        write_form(media, model, &out);
    else
        passthrough_with_model(body, NULL, model.len ? model : STR_NONE, &out);
    struct str copy = buf_ok(&out) ? arena_str(scratch, buf_str(&out)) : STR_NONE;
    buf_done(&out);
    return copy;
}

static enum err refuse(const struct media *media, struct str who, struct error *error)
{
    struct registry *registry = media->door.request->api->options.registry;
    const struct catalog *catalog = registry_acquire(registry);
    enum err code = media_refuse(catalog, who, media->form->operation, error);
    catalog_unref(catalog);
    return code;
}

static enum err prepare(void *user, struct arena *scratch, struct relay_attempt *attempt,
                        struct error *error)
{
    struct media *media = user;
    if (!media_has(attempt->provider->kind, media->form->operation))
        return refuse(media, attempt->provider->name, error);
    attempt->method = HTTP_POST;
    attempt->path = str_from_cstr(media->form->path);
    attempt->body = with_model(media, scratch, attempt->target->model);
    attempt->content_type = media->content_type;
    attempt->headers = &media->door.request->http->headers;
    return attempt->body.data ? ERR_OK : error_set(error, ERR_TOO_BIG, NULL, "is too large");
}

/* ---- What comes from the caller -------------------------------------------------------------- */

static enum err read_json(struct media *media, struct arena *scratch, yyjson_val **ret_root,
                          struct error *error)
{
    struct api_request *request = media->door.request;
    enum err code = json_read(scratch, request->http->body, ret_root, error);
    if (code != ERR_OK)
        return code;
    yyjson_val *model = json_get(*ret_root, "model");
    if (!yyjson_is_obj(*ret_root))
        return error_set(error, ERR_INVALID, NULL, "the body must be an object");
    if (model && !yyjson_is_null(model) && !yyjson_is_str(model))
        return error_set(error, ERR_INVALID, "model", "must be a string");
    media->model = json_str(model);
    code = llm_refuse_redirections(*ret_root, error);
    if (code == ERR_OK)
        code = api_chain_read(scratch, *ret_root, &media->model, &media->chain, error);
    return code;
}

/* A form's part is as good as a member of an object. `member`: of a chain, whose names are added. */
static enum err read_parts(struct media *media, const char *member, struct error *error)
{
    struct multipart_reader reader;
    struct multipart_part part;
    enum err code =
        multipart_begin(&reader, media->content_type, media->door.request->http->body, error);
    while (code == ERR_OK && (code = multipart_next(&reader, &part, error)) == ERR_OK) {
        if (llm_is_redirection(part.name))
            code = llm_refuse_redirection(part.name, error);
        else if (chain_member(part.name) == member)
            code = api_chain_add(&media->chain, member, part.value, error);
    }
    return code == ERR_NOT_FOUND ? ERR_OK : code; /* no further part */
}

static enum err read_form(struct media *media, struct arena *scratch, struct error *error)
{
    struct str body = media->door.request->http->body;
    enum err code = multipart_find(media->content_type, body, STR("model"), &media->model, error);
    media->has_model = media->model.data != NULL;
    api_chain_begin(scratch, media->model, &media->chain);
    for (size_t i = 0; i < API_CHAIN_MEMBERS && code == ERR_OK; i++)
        code = read_parts(media, api_chain_members[i], error);
    if (code == ERR_OK && media->chain.count)
        code = api_chain_end(&media->chain, &media->model, error);
    return code;
}

static enum err read_body(struct media *media, struct arena *scratch, yyjson_val **ret_root,
                          struct error *error)
{
    const struct http_request *http = media->door.request->http;
    struct str type = http_headers_get(&http->headers, "content-type");
    media->content_type = media->form->is_form ? type : STR("application/json");
    return media->form->is_form ? read_form(media, scratch, error)
                                : read_json(media, scratch, ret_root, error);
}

/* Without a model: the first provider that has it, with what it takes for the default. */
static enum err find_provider(struct media *media, struct str *ret_name, struct error *error)
{
    struct api_request *request = media->door.request;
    const struct catalog *catalog = registry_acquire(request->api->options.registry);
    const struct catalog_provider *row = media_first(catalog, media->form->operation);
    if (row)
        *ret_name = arena_str(request->arena, row->name);
    catalog_unref(catalog);
    return row ? ERR_OK : refuse(media, STR("Parley"), error);
}

static void start(struct media *media, struct arena *scratch)
{
    struct api_request *request = media->door.request;
    struct relay_request ask = {.is_retried = !media->form->is_once, .prepare = prepare};
    struct error error = {0};
    yyjson_val *root = NULL;
    enum err code = read_body(media, scratch, &root, &error);
    ask.model = media->model;
    ask.chain = media->chain.names;
    ask.chain_count = media->chain.count;
    if (code == ERR_OK && !media->model.len)
        code = find_provider(media, &ask.provider, &error);
    if (code != ERR_OK)
        relay_door_fail(request, code, &error);
    else
        relay_door_start(&media->door, &ask, root);
}

void media_start(struct api_request *request, const struct media_form *form)
{
    struct media *media = ARENA_NEW(request->arena, struct media);
    struct loop *loop = request->api->options.loop;
    struct arena *scratch = loop_scratch_borrow(loop);
    media->door.request = request;
    media->door.on_whole = form->on_whole;
    media->form = form;
    start(media, scratch);
    loop_scratch_return(loop, scratch);
}

/* ---- The endpoints --------------------------------------------------------------------------- */

#define HANDLER(name, path_, operation_, is_form_)                                                 \
    static void name(struct api_request *request)                                                  \
    {                                                                                              \
        static const struct media_form form = {                                                    \
            .path = path_, .operation = operation_, .is_form = is_form_};                          \
        media_start(request, &form);                                                               \
    }
HANDLER(generate_images, "/images/generations", MEDIA_IMAGES, false)
HANDLER(edit_images, "/images/edits", MEDIA_IMAGE_EDITS, true)
HANDLER(vary_images, "/images/variations", MEDIA_IMAGE_EDITS, true)
HANDLER(speak, "/audio/speech", MEDIA_SPEECH, false)
HANDLER(transcribe, "/audio/transcriptions", MEDIA_TRANSCRIPTION, true)
HANDLER(translate, "/audio/translations", MEDIA_TRANSCRIPTION, true)
HANDLER(moderate, "/moderations", MEDIA_MODERATION, false)

#define OPENAI &dialect_openai_chat
#define LARGE  NULL, API_BODY_LARGE

const struct endpoint media_endpoints[] = {
    {HTTP_POST, "/v1/images/generations", VERB_CHAT, OPENAI, generate_images, LARGE,
     "OpenAI images, of a provider that has them."},
    {HTTP_POST, "/v1/images/edits", VERB_CHAT, OPENAI, edit_images, LARGE,
     "Edits of images (a form)."},
    {HTTP_POST, "/v1/images/variations", VERB_CHAT, OPENAI, vary_images, LARGE,
     "Variations of an image (a form)."},
    {HTTP_POST, "/v1/audio/speech", VERB_CHAT, OPENAI, speak, LARGE, "Speech from text."},
    {HTTP_POST, "/v1/audio/transcriptions", VERB_CHAT, OPENAI, transcribe, LARGE,
     "Text from speech (a form)."},
    {HTTP_POST, "/v1/audio/translations", VERB_CHAT, OPENAI, translate, LARGE,
     "English text from speech (a form)."},
    {HTTP_POST, "/v1/moderations", VERB_CHAT, OPENAI, moderate, LARGE,
     "OpenAI moderations, of a provider that has them."},
    {0},
};
