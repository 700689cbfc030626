/* Provider: somebody who answers. A kind is a row of a table (dialect, address, how to sign,
 * deviations); a provider is a configured instance of one. Immutable once made, reference counted,
 * any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "llm/dialect.h"

/* How a request is signed. */
enum provider_auth {
    PROVIDER_AUTH_NONE,
    PROVIDER_AUTH_BEARER,        /* Authorization: Bearer KEY, when there is a key */
    PROVIDER_AUTH_X_API_KEY,     /* x-api-key: KEY */
    PROVIDER_AUTH_API_KEY,       /* api-key: KEY (Azure) */
    PROVIDER_AUTH_X_GOOG_API_KEY /* x-goog-api-key: KEY */
};

struct provider_kind {
    const char *name;              /* "openai", "groq", ... */
    const char *title;             /* "OpenAI": for people */
    const struct dialect *dialect; /* NULL: answers inside the process */
    const char *base_url;          /* NULL: must be configured */
    enum provider_auth auth;
    bool key_required;
    const char *path_complete; /* appended to the base URL; "{model}" is replaced */
    const char *path_stream;
    const char *path_models;     /* NULL: cannot list */
    const char *path_embeddings; /* NULL: makes none */
    const char *path_count;      /* of tokens of a request; NULL: does not count */
    const char *header_name;     /* one fixed header, or NULL: anthropic-version */
    const char *header_value;
    unsigned quirks; /* set of llm_quirk */
};

/* NULL when there is none. */
const struct provider_kind *provider_kind_find(struct str name);
/* All rows; the end has name NULL. */
extern const struct provider_kind provider_kinds[];

/* What a configuration says about one. Borrowed during provider_new. */
struct provider_options {
    struct str name;     /* the instance: what stands before the slash in a model id */
    struct str kind;     /* empty: the kind of the same name */
    struct str base_url; /* empty: the kind's */
    struct str api_key;  /* empty: none */
    struct str models;   /* comma-separated names to offer beside (or instead of) the listed ones */
    bool models_only;    /* offer just those */
    uint64_t connect_timeout_ms;
    uint64_t headers_timeout_ms;
    uint64_t first_content_timeout_ms;
    uint64_t content_idle_timeout_ms;
    uint64_t total_timeout_ms;
    uint64_t eliza_delay_ms; /* the built-in one: between words */
};

struct provider {
    const struct provider_kind *kind;
    struct str name;
    struct str base_url; /* without a trailing slash */
    struct str api_key;
    struct http_headers headers; /* that sign every request and name its version */
    struct str models;
    bool models_only;
    uint64_t connect_timeout_ms;
    uint64_t headers_timeout_ms;
    uint64_t first_content_timeout_ms;
    uint64_t content_idle_timeout_ms;
    uint64_t total_timeout_ms;
    uint64_t eliza_delay_ms;
};

/* Checks and copies. Errors name the setting ("providers.x.base_url") and the remedy: an unknown
 * kind with the nearest right one, a missing key, an address that is no URL. */
MUST_USE enum err provider_new(const struct provider_options *options,
                               struct provider **ret_provider, struct error *error);
struct provider *provider_ref(struct provider *provider);
void provider_unref(struct provider *provider);

/* Host name, address or URL as OLLAMA_HOST may hold it, to a base URL in `ret` (wire/ollama.md
 * section 12): false when it cannot be one, or is the URL of a Unix socket. */
bool provider_ollama_base_url(struct str host, char *ret, size_t size);

/* One of the kind's paths with {model} filled in, in the arena; STR_NONE when it is too long. */
struct str provider_path(struct arena *arena, const char *path, struct str model);
/* The URL of one of the kind's paths, with {model} filled in, in the arena; STR_NONE when the
 * model's name makes it too long to be one. */
struct str provider_url(struct arena *arena, const struct provider *provider, const char *path,
                        struct str model);
/* Appends the headers that sign a request and name its version, but for those that are there
 * already: views of the provider's. */
void provider_headers(struct arena *arena, const struct provider *provider,
                      struct http_headers *headers);
