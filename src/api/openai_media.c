/* OpenAI's doors to images, audio and moderations: handed through to a provider that has them, with
 * routes and fallbacks. Of the body only the model's name changes, to the target's. */
#include "api/openai_media.h"

#include "llm/foreign.h"
#include "llm/passthrough.h"
#include "wire/multipart.h"

enum { BODY_BYTES_MAX = 512 * 1024 * 1024 };

struct media {
    struct relay_door door; /* first */
    const struct media_form *form;
    struct str content_type;
    struct str model; /* in the body; of a form a view of it */
};

/* ---- What goes to a provider ----------------------------------------------------------------- */

static struct str with_model(const struct media *media, struct arena *scratch, struct str model)
{
    struct str body = media->door.request->http->body;
    struct buf out;
    if (media->form->is_form && !media->model.data)
        return body;
    buf_init(&out, BODY_BYTES_MAX);
    buf_expect(&out, body.len + model.len);
    if (media->form->is_form) {
        size_t at = (size_t)(media->model.data - body.data);
        buf_append(&out, str_slice(body, 0, at));
        buf_append(&out, model);
        buf_append(&out, str_skip(body, at + media->model.len));
    } else {
        passthrough_with_model(body, NULL, model.len ? model : STR_NONE, &out);
    }
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
    media->model = arena_str(request->arena, json_str(model));
    return llm_refuse_redirections(*ret_root, error);
}

/* A form's part is as good as a member of an object. */
static enum err refuse_parts(struct str type, struct str body, struct error *error)
{
    struct multipart_reader reader;
    struct multipart_part part;
    enum err code = multipart_begin(&reader, type, body, error);
    while (code == ERR_OK && (code = multipart_next(&reader, &part, error)) == ERR_OK)
        if (llm_is_redirection(part.name))
            code = llm_refuse_redirection(part.name, error);
    return code == ERR_NOT_FOUND ? ERR_OK : code; /* no further part */
}

static enum err read_body(struct media *media, struct arena *scratch, yyjson_val **ret_root,
                          struct error *error)
{
    const struct http_request *http = media->door.request->http;
    struct str type = http_headers_get(&http->headers, "content-type");
    media->content_type = media->form->is_form ? type : STR("application/json");
    if (!media->form->is_form)
        return read_json(media, scratch, ret_root, error);
    enum err code = refuse_parts(type, http->body, error);
    return code == ERR_OK ? multipart_find(type, http->body, STR("model"), &media->model, error)
                          : code;
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
