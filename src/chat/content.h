/* Content: the parts of a message as JSON, in our own protocol and in storage, and back. */
#pragma once

#include "base/json.h"
#include "llm/request.h"
#include "llm/response.h"

enum {
    CONTENT_TEXT_BYTES_MAX = 1024 * 1024,
    CONTENT_IMAGE_BYTES_MAX = 8 * 1024 * 1024, /* of base64 */
    CONTENT_PARTS_MAX = 64
};

/* What a person sends: a string, or a list of text and image parts (docs/protocol.md). Refuses,
 * with the path of the field ("content[1].data"): other types, empty content, wrong base64 or media
 * types, unknown members. Into the arena. */
MUST_USE enum err content_parse(struct arena *arena, yyjson_val *value, struct llm_part **ret_parts,
                                size_t *ret_count, struct error *error);

/* Appends parts as a JSON list. `for_storage` adds what only a provider needs again (opaque data).
 */
void content_write(struct json_writer *w, const struct llm_part *parts, size_t count,
                   bool for_storage);
/* Reads what content_write wrote for storage; parts it does not know are skipped. */
MUST_USE enum err content_read(struct arena *arena, struct str text, struct llm_part **ret_parts,
                               size_t *ret_count);

/* Usage and errors in the form of our protocol; unknown usage writes null. */
void content_write_usage(struct json_writer *w, const struct llm_usage *usage);
void content_write_error(struct json_writer *w, const struct llm_error *error);

/* The title of a conversation nobody has said anything in. */
#define CONTENT_TITLE_DEFAULT "New conversation"
/* The first text of a message, cut to about 60 characters at a word: a title. The default one when
 * there is no text. */
struct str content_title(struct arena *arena, const struct llm_part *parts, size_t count);
