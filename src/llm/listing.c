/* Listing: asks a provider for its models, which also checks its address and key. */
#include <stdlib.h>

#include "llm/call.h"

enum { BODY_BYTES_MAX = 16 * 1024 * 1024, TIMEOUT_MS = 10000, MODELS_MAX = 10000 };

struct llm_listing {
    struct arena *arena;
    struct loop *loop;
    struct provider *provider;
    struct http_call *http;
    struct loop_task task; /* in-process answers come a turn later */
    struct buf body;
    int status;
    struct http_headers headers;
    llm_listing_done_fn *done;
    void *user;
};

static void listing_free(struct llm_listing *listing)
{
    loop_task_cancel(&listing->task);
    if (listing->http)
        http_call_cancel(listing->http);
    buf_done(&listing->body);
    provider_unref(listing->provider);
    arena_free(listing->arena);
}

static void finish(struct llm_listing *listing, enum err code, const struct llm_error *error,
                   const struct llm_model_info *models, size_t count)
{
    listing->done(listing->user, code, error, models, count);
    listing_free(listing);
}

static void finish_error(struct llm_listing *listing, enum err code, const char *message)
{
    struct llm_error error = {.class = code, .http_status = listing->status, .retry_after_ms = -1};
    str_copy(str_from_cstr(message), error.message, sizeof error.message);
    finish(listing, code, &error, NULL, 0);
}

/* Adds the configured names to those listed (or takes just them). */
static size_t add_configured(struct llm_listing *listing, struct llm_model_info **models,
                             size_t count)
{
    const struct provider *provider = listing->provider;
    if (provider->models_only)
        count = 0;
    struct llm_model_info *all = ARENA_NEW_ARRAY(
        listing->arena, count + provider->models.len / 2 + 1, struct llm_model_info);
    for (size_t i = 0; i < count; i++)
        all[i] = (*models)[i];
    struct str rest = provider->models;
    while (rest.data && rest.len) {
        struct str name = str_trim(str_next(&rest, ','));
        bool known = name.len == 0;
        for (size_t i = 0; i < count && !known; i++)
            known = str_eq(all[i].id, name);
        if (!known)
            all[count++] = (struct llm_model_info){.id = name};
    }
    *models = all;
    return count;
}

static void on_headers(void *user, int status, const struct http_headers *headers)
{
    struct llm_listing *listing = user;
    listing->status = status;
    for (size_t i = 0; i < headers->count; i++)
        http_headers_add(&listing->headers, listing->arena, headers->items[i].name,
                         headers->items[i].value);
}

static void on_body(void *user, struct str data)
{
    struct llm_listing *listing = user;
    buf_append(&listing->body, data);
}

static void on_done(void *user)
{
    struct llm_listing *listing = user;
    const struct dialect *dialect = listing->provider->kind->dialect;
    struct llm_model_info *models = NULL;
    size_t count = 0;
    listing->http = NULL;
    if (listing->status < 200 || listing->status > 299) {
        struct llm_error error = {.class = ERR_SERVER, .retry_after_ms = -1};
        dialect->decode_error(listing->arena, listing->status, &listing->headers,
                              buf_str(&listing->body), &error);
        finish(listing, error.class, &error, NULL, 0);
        return;
    }
    if (dialect->decode_models(listing->arena, buf_str(&listing->body), &models, &count) !=
        ERR_OK) {
        finish_error(listing, ERR_SERVER, "the provider's list of models could not be read");
        return;
    }
    if (count > MODELS_MAX)
        count = MODELS_MAX;
    count = add_configured(listing, &models, count);
    finish(listing, ERR_OK, NULL, models, count);
}

static void on_error(void *user, const struct error *error)
{
    struct llm_listing *listing = user;
    listing->http = NULL;
    finish_error(listing, error->code == ERR_TOO_BIG ? ERR_SERVER : error->code,
                 error_message(error));
}

static const struct http_call_events http_events = {on_headers, on_body, on_done, on_error, NULL};

static void answer_configured(void *user)
{
    struct llm_listing *listing = user;
    static const struct llm_model_info eliza = {.id = {"eliza", 5},
                                                .display_name = {"Eliza (built in)", 16}};
    struct llm_model_info *models = NULL;
    if (!listing->provider->kind->dialect) {
        finish(listing, ERR_OK, NULL, &eliza, 1);
        return;
    }
    size_t count = add_configured(listing, &models, 0);
    finish(listing, ERR_OK, NULL, models, count);
}

enum err llm_listing_start(struct http_client *client, struct loop *loop, struct provider *provider,
                           llm_listing_done_fn *done, void *user, struct llm_listing **ret_listing,
                           struct error *error)
{
    struct arena *arena = arena_new(2 * BODY_BYTES_MAX);
    struct llm_listing *listing = ARENA_NEW(arena, struct llm_listing);
    *listing = (struct llm_listing){.arena = arena,
                                    .loop = loop,
                                    .provider = provider_ref(provider),
                                    .done = done,
                                    .user = user};
    buf_init(&listing->body, BODY_BYTES_MAX);
    if (!provider->kind->dialect || !provider->kind->path_models) {
        loop_defer(loop, &listing->task, answer_configured, listing);
        *ret_listing = listing;
        return ERR_OK;
    }
    struct http_call_request *request = ARENA_NEW(arena, struct http_call_request);
    *request = (struct http_call_request){
        .method = HTTP_GET,
        .url = provider_url(arena, provider, provider->kind->path_models, STR("")),
        .connect_timeout_ms = provider->connect_timeout_ms,
        .headers_timeout_ms = TIMEOUT_MS,
        .total_timeout_ms = 2 * TIMEOUT_MS,
        .body_bytes_max = BODY_BYTES_MAX,
    };
    provider_headers(arena, provider, &request->headers);
    enum err code = http_call_start(client, request, &http_events, listing, &listing->http, error);
    if (code == ERR_OK)
        *ret_listing = listing;
    else
        listing_free(listing);
    return code;
}

void llm_listing_cancel(struct llm_listing *listing)
{
    listing_free(listing);
}
