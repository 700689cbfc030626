/* Request: one call of an endpoint, as its handler sees it. For the api floor only. */
#pragma once

#include "account/address_keys.h"
#include "account/authorise.h"
#include "account/key_memo.h"
#include "account/policy.h"
#include "api/api.h"
#include "base/json.h"
#include "base/map.h"

struct endpoint;

struct api {
    struct api_options options;
    const struct endpoint *const *endpoints; /* every row */
    size_t endpoint_count;
    struct map *paths[HTTP_METHOD_COUNT]; /* struct endpoint, of those without parameters */
    struct list sockets;                  /* struct socket */
    void (*on_sockets_closed)(void *user);
    void *sockets_user;
    struct str openapi; /* made once */
    struct address_keys address_keys;
    struct request_log *request_log;
    struct key_memo *key_memo;
    struct arena *arena; /* of what lives as long as the api */
};

enum api_field_type {
    API_STRING,
    API_INTEGER,
    API_BOOLEAN,
    API_ID,
    API_ANY /* checked by the handler: content, settings' values */
};

/* One member of a request's JSON body. The table is both the check and the documentation. */
struct api_field {
    const char *name;
    enum api_field_type type;
    bool required;
    bool nullable;
    int64_t maximum; /* bytes of a string, or value of an integer; 0: no own limit */
    const char *description;
};

struct api_request;

struct endpoint {
    enum http_method method;
    const char
        *pattern; /* "{...}" stands for one segment, "{name...}" for all the rest; at most 2 */
    enum verb verb;
    const struct dialect *dialect; /* in whose form errors are told; NULL: Parley's own */
    void (*handle)(struct api_request *request);
    /* Of the body: NULL fields and body_bytes_max 0: none is accepted; NULL fields otherwise: the
     * handler reads it itself. The list ends with name NULL. */
    const struct api_field *fields;
    uint64_t body_bytes_max; /* API_BODY_LARGE: api_options.body_bytes_max */
    const char *summary;
};
#define API_BODY_SMALL ((uint64_t)64 * 1024)
#define API_BODY_LARGE UINT64_MAX

/* All rows of all tables, a table ends with pattern NULL; called once for each api. */
void endpoints_list(struct arena *arena, const struct endpoint *const **ret_endpoints,
                    size_t *ret_count);

/* ---- Tables of families -------------------------------------------------------------------------- */
extern const struct endpoint anthropic_batches_endpoints[];
extern const struct endpoint embedding_endpoints[];
extern const struct endpoint files_endpoints[];
extern const struct endpoint gemini_batches_endpoints[];
extern const struct endpoint gemini_files_endpoints[];
extern const struct endpoint group_endpoints[];
extern const struct endpoint key_endpoints[];
extern const struct endpoint media_endpoints[];
extern const struct endpoint openai_batches_endpoints[];
extern const struct endpoint passthrough_endpoints[];
extern const struct endpoint quota_endpoints[];
extern const struct endpoint request_log_endpoints[];
extern const struct endpoint stored_response_endpoints[];
extern const struct endpoint thread_endpoints[];
extern const struct endpoint tuning_endpoints[];
extern const struct endpoint usage_endpoints[];
extern const struct endpoint user_endpoints[];

struct api_request {
    struct api *api;
    struct http_exchange *exchange;
    const struct http_request *http;
    struct str path;                 /* http->path, without a key that stood in it */
    struct str path_key;             /* that key; empty: none */
    const struct endpoint *endpoint; /* NULL while none was found */
    struct arena *arena;             /* of the exchange */
    struct principal who;
    struct policy
        *policy; /* of `who`, once it was asked for: see api_policy. Until the exchange ends */
    uint64_t checked_ms; /* when body_limit knew the caller, by the loop's clock */
    bool is_local;       /* came through the Unix socket */
    struct str parameters[2];
    yyjson_val *body; /* the object, when the endpoint has fields */
};

/* ---- Answers: each ends the exchange --------------------------------------------------------- */
/* For account_done_fn with the request as user: 204 or the error. */
void api_on_done(void *user, enum err code, const struct error *error);
/* A person as everybody shows one. */
void api_write_user(struct json_writer *w, const struct store_user *user);
/* Starts a JSON answer: write the members, then api_reply. */
struct api_reply {
    struct buf out;
    struct json_writer w;
};
void api_reply_begin(struct api_reply *reply);
void api_reply(struct api_request *request, int status, struct api_reply *reply);
void api_reply_nothing(struct api_request *request);
/* Through which door it came, for scopes: one of policy_doors. */
struct str api_door(const struct api_request *request);
/* The dialect of who asks under a path that several dialects share, by its headers. */
const struct dialect *api_asker_dialect(const struct api_request *request);
/* `error` may be NULL (the table's message) and may lack its code. In the endpoint's shape. */
void api_fail(struct api_request *request, enum err code, const struct error *error);
/* The same with another status than the table's (0: the table's). */
void api_fail_status(struct api_request *request, int status, enum err code,
                     const struct error *error);
/* An error of a provider, or of the governor, with its Retry-After. What nobody can do is a 400 here.
 */
void api_fail_llm(struct api_request *request, const struct llm_error *error);
/* Whether `code` is an error; then the request has been failed with it. */
bool api_failed(struct api_request *request, enum err code, const struct error *error);
/* The members of our own error object, for sockets too. */
void api_write_error(struct json_writer *w, enum err code, const struct error *error,
                     struct str request_id);

/* ---- Reading
 * -----------------------------------------------------------------------------------------------
 */
/* Parameter `index` as an id; fails the request (ERR_NOT_FOUND) and returns false when it is none.
 */
bool api_parameter_id(struct api_request *request, int index, struct id *ret);
/* The key that parameter 0 names; fails the request and returns false when there is none, or another's.
 */
bool api_find_key(struct api_request *request, struct store_key *ret_key);
/* A member that may be absent or null: none. Checked before by the fields. */
struct id api_body_id(struct api_request *request, const char *name);
struct str api_body_str(struct api_request *request, const char *name);
struct str api_query(struct api_request *request, const char *name);

/* ---- Who asks (authenticate.c) --------------------------------------------------------------- */
/* From the cookie, the Authorization or x-api-key header, or the Unix socket. ERR_OK with nobody
 * when nothing is presented; ERR_UNAUTHENTICATED when something is and it is wrong; ERR_FORBIDDEN
 * when an unsafe method comes from a foreign page, or with a cookie and without an Origin. */
MUST_USE enum err api_authenticate(struct api_request *request, struct error *error);
/* Whether a key may be used at this door, and from there. */
MUST_USE enum err api_check_scope(const struct policy *policy, struct str door, struct str address,
                                  struct error *error);
/* What somebody signed in with, kept by what outlives its request's beginning: sockets, streams. */
struct api_credential {
    enum principal_kind kind;
    struct str door;      /* of policy_doors */
    char address[64];     /* of the peer */
    char text[100];       /* empty: it is that of an address */
    struct principal who; /* then */
};
void api_credential_of(const struct api_request *request, struct api_credential *ret);
/* Who holds it now, and whether that one may still use this door from there: asked anew before every
 * command. ERR_UNAUTHENTICATED, ERR_FORBIDDEN (a key's scope; *ret_who is set all the same). */
MUST_USE enum err api_credential_check(struct api *api, const struct api_credential *credential,
                                       struct principal *ret_who, struct error *error);
/* Whether it is good still: a revoked key, one whose scope is narrowed, or an ended session ends its
 * sockets' events and its streams as well. */
bool api_credential_is_good(struct api *api, const struct api_credential *credential);
/* The session token of the cookie, or STR_NONE. */
struct str api_cookie_token(const struct http_request *http);
/* Adds Set-Cookie: the token, or (empty) its removal. */
void api_set_cookie(struct api_request *request, struct str token);

/* The caller's policy in force, borrowed until the exchange ends or this is asked again, so that a
 * request looks it up once. NULL: the key or session became invalid just now. */
struct policy *api_policy(struct api_request *request);
void api_drop_policy(struct api_request *request);
/* That policy (NULL: none yet) is in force; the reference becomes the request's. */
void api_keep_policy(struct api_request *request, struct policy *policy);
/* The same as api_policy; NULL: the request has been failed. */
struct policy *api_need_policy(struct api_request *request);
/* Whether the caller may ask for it: what lists of models show. */
bool api_shows_route(const struct policy *policy, const struct catalog_route *route);
bool api_shows_model(const struct policy *policy, const struct catalog_model *model);

/* ---- Fields (fields.c) ----------------------------------------------------------------------- */
/* Checks an object against a table of fields: types, required, unknown members. */
MUST_USE enum err api_check_fields(yyjson_val *object, const struct api_field *fields,
                                   struct error *error);

/* ---- Handlers, by file ----------------------------------------------------------------------- */
void api_get_session(struct api_request *request);
void api_post_setup(struct api_request *request);
void api_post_session(struct api_request *request);
void api_delete_session(struct api_request *request);

void api_list_conversations(struct api_request *request);
void api_post_conversation(struct api_request *request);
void api_get_conversation(struct api_request *request);
void api_patch_conversation(struct api_request *request);
void api_delete_conversation(struct api_request *request);
void api_post_message(struct api_request *request);
void api_post_answer(struct api_request *request);
void api_post_continue(struct api_request *request);
void api_get_run(struct api_request *request);
void api_get_run_events(struct api_request *request);
void api_stop_run(struct api_request *request);
void api_socket(struct api_request *request);

void api_get_models(struct api_request *request);
void api_get_providers(struct api_request *request);
void api_get_routes(struct api_request *request);
void api_get_targets(struct api_request *request);
void api_post_bench(struct api_request *request);
void api_post_restore(struct api_request *request);
void api_check_provider(struct api_request *request);
void api_get_settings(struct api_request *request);
void api_patch_settings(struct api_request *request);
void api_post_backup(struct api_request *request);

void api_get_health(struct api_request *request);
void api_get_ready(struct api_request *request);
void api_get_metrics(struct api_request *request);
void api_get_openapi(struct api_request *request);
void api_get_asset(struct api_request *request);

void api_openai_chat(struct api_request *request);
void api_openai_responses(struct api_request *request);
void api_anthropic_messages(struct api_request *request);
void api_anthropic_count(struct api_request *request);
void api_gemini_model(struct api_request *request); /* POST: a method of a model */
void api_gemini_slash(struct api_request *request);
void api_gemini_models(struct api_request *request);
void api_gemini_get_model(struct api_request *request);
void api_ollama_chat(struct api_request *request);
void api_ollama_generate(struct api_request *request);
void api_ollama_tags(struct api_request *request);
void api_ollama_show(struct api_request *request);
void api_ollama_ps(struct api_request *request);
void api_ollama_version(struct api_request *request);
void api_door_models(struct api_request *request);
void api_door_model(struct api_request *request);

/* ---- Tables of families ---------------------------------------------------------------------- */
