/* Media: what OpenAI's providers offer beside chats, and which kinds of providers have it. */
#pragma once

#include "route/catalog.h"

enum media_operation {
    MEDIA_IMAGES,        /* generations */
    MEDIA_IMAGE_EDITS,   /* edits, variations */
    MEDIA_SPEECH,        /* text to speech */
    MEDIA_TRANSCRIPTION, /* speech to text, and its translation */
    MEDIA_MODERATION,
    MEDIA_TUNING,
    MEDIA_COUNT
};

bool media_has(const struct provider_kind *kind, enum media_operation operation);
/* The first provider of the catalog that has it; NULL: none. */
const struct catalog_provider *media_first(const struct catalog *catalog,
                                           enum media_operation operation);
/* ERR_UNSUPPORTED, naming the configured providers that have it. */
MUST_USE enum err media_refuse(const struct catalog *catalog, struct str who,
                               enum media_operation operation, struct error *error);
