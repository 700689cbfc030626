/* Media: one table. Facts: the providers' own documents; what only claims to be compatible is asked
 * for everything. */
#include "api/media.h"

static const char *const titles[MEDIA_COUNT] = {
    [MEDIA_IMAGES] = "images",          [MEDIA_IMAGE_EDITS] = "edits of images",
    [MEDIA_SPEECH] = "speech",          [MEDIA_TRANSCRIPTION] = "transcriptions",
    [MEDIA_MODERATION] = "moderations", [MEDIA_TUNING] = "fine-tuning",
};

enum {
    IMAGES = 1 << MEDIA_IMAGES,
    EDITS = 1 << MEDIA_IMAGE_EDITS,
    SPEECH = 1 << MEDIA_SPEECH,
    TRANSCRIPTION = 1 << MEDIA_TRANSCRIPTION,
    MODERATION = 1 << MEDIA_MODERATION,
    TUNING = 1 << MEDIA_TUNING,
    ALL = (1 << MEDIA_COUNT) - 1
};

/* A kind that is not in it has nothing of this. */
static const struct {
    const char *kind;
    unsigned operations;
} offers[] = {
    {"openai", ALL},
    {"openai-responses", ALL},
    {"openai-compatible", ALL},
    {"azure", IMAGES | EDITS | SPEECH | TRANSCRIPTION | TUNING},
    {"groq", SPEECH | TRANSCRIPTION},
    {"together", IMAGES | SPEECH | TRANSCRIPTION | TUNING},
    {"mistral", TRANSCRIPTION | MODERATION | TUNING},
    {"xai", IMAGES},
    {"vllm", TRANSCRIPTION},
};

bool media_has(const struct provider_kind *kind, enum media_operation operation)
{
    for (size_t i = 0; i < sizeof offers / sizeof offers[0]; i++)
        if (str_eq(str_from_cstr(kind->name), str_from_cstr(offers[i].kind)))
            return (offers[i].operations >> operation & 1) != 0;
    return false;
}

const struct catalog_provider *media_first(const struct catalog *catalog,
                                           enum media_operation operation)
{
    for (size_t i = 0; i < catalog->provider_count; i++)
        if (catalog->providers[i].provider &&
            media_has(catalog->providers[i].provider->kind, operation))
            return &catalog->providers[i];
    return NULL;
}

enum err media_refuse(const struct catalog *catalog, struct str who, enum media_operation operation,
                      struct error *error)
{
    struct buf names;
    buf_init(&names, 200);
    for (size_t i = 0; i < catalog->provider_count; i++) {
        const struct catalog_provider *row = &catalog->providers[i];
        if (row->provider && media_has(row->provider->kind, operation))
            buf_printf(&names, "%s%.*s", names.len ? ", " : "", STR_ARG(row->name));
    }
    error_set(error, ERR_UNSUPPORTED, "model", "%.*s has no %s; %s%.*s", STR_ARG(who),
              titles[operation],
              names.len ? "these providers have: " : "no configured provider has",
              STR_ARG(buf_str(&names)));
    buf_done(&names);
    return ERR_UNSUPPORTED;
}
