/* Which dialect a request speaks, and the little that a fake needs to know of it. */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "net/http.h"

enum fake_dialect_name {
    FAKE_OPENAI_CHAT,
    FAKE_OPENAI_RESPONSES,
    FAKE_ANTHROPIC,
    FAKE_GEMINI,
    FAKE_OLLAMA,
    FAKE_OLLAMA_GENERATE,
    FAKE_DIALECT_COUNT
};

struct fake_dialect {
    const char *folder;       /* under lab/replies */
    const char *second;       /* the folder of what is not in the first; NULL: there is none */
    const char *stream_type;  /* Content-Type of a stream */
    const char *separator;    /* between two frames of a stream */
    const char *messages_key; /* where the conversation is in a request */
    const char *content_key;  /* and what is said in one message of it */
    bool streams_by_default;
};
const struct fake_dialect *fake_dialect(enum fake_dialect_name name);

enum fake_route {
    FAKE_ROUTE_NONE,
    FAKE_ROUTE_CHAT,
    FAKE_ROUTE_FILE,
    FAKE_ROUTE_EMBEDDINGS,
    FAKE_ROUTE_COUNT /* of a request's tokens */
};

/* What a request asks for. Texts are in the arena. */
struct fake_request {
    enum fake_route route;
    const struct fake_dialect *dialect;
    const char *file; /* FAKE_ROUTE_FILE: the reply as it stands ("models") */
    const char *type; /* its Content-Type; NULL: application/json */
    struct str model; /* as asked, and without a ":latest" behind it */
    bool stream;
    bool wants_usage; /* OpenAI chat: stream_options.include_usage */
    bool bad_json;
    struct str user_text; /* the last thing a user said; "" when there is none */
    struct str begun;     /* the last thing the assistant said, STR_NONE when more than one message
                             is behind it */
    bool begun_is_last;   /* nothing is behind it: a prefill */
    int64_t wall_ms;      /* when it came; 0: not known */
    /* FAKE_ROUTE_EMBEDDINGS: the bytes of each text, or the sum of its tokens. */
    const char *inputs_member;
    uint64_t *inputs;
    size_t input_count;
    int64_t dimensions; /* 0: not said */
    bool wants_base64;
    bool is_single; /* the answer is one vector in no list */
};

/* Never fails: what is not known has route NONE. `target` with its query. */
void fake_request_read(struct arena *arena, struct str method, struct str target,
                       const struct http_headers *headers, struct str body,
                       struct fake_request *ret);
/* Whether it carries a credential in any dialect's way; then *ret_key is it. */
bool fake_request_key(struct arena *arena, struct str target, const struct http_headers *headers,
                      struct str *ret_key);
