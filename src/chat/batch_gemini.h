/* Batch gemini: what a batch of Gemini's form says when it is made, and what is kept of that: its model,
 * which its lines do not name, and its name for people. Pure. For the chat floor and Gemini's door. */
#pragma once

#include "chat/batch_input.h"

enum { BATCH_GEMINI_NAME_BYTES_MAX = 512 };

struct batch_gemini {
    struct str model;
    struct str display_name;
    struct str
        file; /* of the requests: "files/..."; empty: they came with it, and so go the answers */
};

/* {"batch": {"displayName", "inputConfig": {"fileName"} or {"requests": {"requests": [...]}}}}, names
 * also in snake_case; `ret->model` is left as it is. Requests that came with it are appended to `out`
 * as lines. ERR_INVALID names the field that is wrong. */
MUST_USE enum err batch_gemini_read(struct arena *arena, struct str body, struct batch_gemini *ret,
                                    struct buf *out, struct error *error);

/* As the metadata of a store_batch, and back; everything is empty where it is another form's. */
struct str batch_gemini_keep(struct arena *arena, const struct batch_gemini *gemini);
struct batch_gemini batch_gemini_kept(struct arena *arena, struct str metadata);
