/* REST: API keys. People have their own; administrators everybody's. */
#include "account/api_key.h"
#include "api/request.h"
#include "base/clock.h"

static struct account *account_of(struct api_request *request)
{
    return request->api->options.account;
}

static bool may_manage_all(const struct api_request *request)
{
    return authorise(&request->who, VERB_KEY_MANAGE_ALL, (struct authorise_object){0}, NULL) ==
           ERR_OK;
}

/* ---- Writing ----------------------------------------------------------------------------------
 */
static void write_key(struct json_writer *w, const struct store_key *key)
{
    json_begin_object(w);
    json_key_str(w, "id", id_str(&key->id));
    json_key_str(w, "user_id", id_str(&key->owner));
    json_key_str(w, "name", key->name);
    json_key_str(w, "prefix", key->prefix);
    json_key_time(w, "created_at", key->created_ms);
    json_key_time(w, "last_used_at", key->last_used_ms);
    json_key_time(w, "expires_at", key->expires_ms);
    json_key_bool(w, "revoked", key->revoked);
    json_key_raw(w, "models", key->models);
    json_key_raw(w, "doors", key->doors);
    json_key_raw(w, "addresses", key->addresses);
    if (key->keep_bodies_hours)
        json_key_int(w, "keep_bodies_hours", key->keep_bodies_hours);
    else
        json_key_null(w, "keep_bodies_hours");
    json_key_str(w, "replaces", id_str(&key->replaces));
    json_end_object(w);
}

static void reply_key(struct api_request *request, const struct store_key *key, struct str secret)
{
    struct api_reply reply;
    api_reply_begin(&reply);
    json_key(&reply.w, STR("key"));
    write_key(&reply.w, key);
    if (secret.data)
        json_key_str(&reply.w, "secret", secret);
    api_reply(request, secret.data ? 201 : 200, &reply);
}

static void on_key(void *user, enum err code, const struct error *error,
                   const struct store_key *key, struct str secret)
{
    struct api_request *request = user;
    if (!api_failed(request, code, error))
        reply_key(request, key, secret);
}

/* ---- Reading ----------------------------------------------------------------------------------
 */
/* A list of texts, or null for none. An empty one could mean all or nothing. */
static enum err read_list(struct api_request *request, yyjson_val *value, const char *name,
                          struct policy_patterns *ret, struct error *error)
{
    size_t index, count;
    yyjson_val *item;
    *ret = (struct policy_patterns){0};
    if (yyjson_is_null(value))
        return ERR_OK;
    if (!yyjson_is_arr(value))
        return error_set(error, ERR_INVALID, name, "must be a list of strings, or null");
    if (yyjson_arr_size(value) == 0)
        return error_set(error, ERR_INVALID, name, "is empty; null allows everything");
    struct str *items = ARENA_NEW_ARRAY(request->arena, yyjson_arr_size(value), struct str);
    yyjson_arr_foreach (value, index, count, item) {
        items[index] = json_str(item);
        if (!items[index].data)
            return error_set(error, ERR_INVALID, name, "must be a list of strings, or null");
    }
    *ret = (struct policy_patterns){items, count};
    return ERR_OK;
}

static enum err read_scopes(struct api_request *request, struct account_key_change *change,
                            struct error *error)
{
    const struct {
        const char *name;
        unsigned member;
        struct policy_patterns *list;
    } rows[] = {
        {"models", ACCOUNT_KEY_MODELS, &change->models},
        {"doors", ACCOUNT_KEY_DOORS, &change->doors},
        {"addresses", ACCOUNT_KEY_ADDRESSES, &change->addresses},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        yyjson_val *value = json_get(request->body, rows[i].name);
        if (!value)
            continue;
        enum err code = read_list(request, value, rows[i].name, rows[i].list, error);
        if (code != ERR_OK)
            return code;
        change->members |= rows[i].member;
    }
    return ERR_OK;
}

static enum err read_expiry(struct api_request *request, struct account_key_change *change,
                            struct error *error)
{
    struct str text = api_body_str(request, "expires_at");
    if (!json_get(request->body, "expires_at"))
        return ERR_OK;
    change->members |= ACCOUNT_KEY_EXPIRY;
    if (!text.data)
        return ERR_OK;
    change->expires_ms = clock_parse(text);
    if (change->expires_ms <= 0)
        return error_set(error, ERR_INVALID, "expires_at",
                         "must be a time like 2027-01-31T00:00:00Z");
    return ERR_OK;
}

static enum err read_change(struct api_request *request, struct account_key_change *ret,
                            struct error *error)
{
    int64_t hours = 0;
    *ret = (struct account_key_change){.name = api_body_str(request, "name")};
    if (ret->name.data)
        ret->members |= ACCOUNT_KEY_NAME;
    if (json_get(request->body, "keep_bodies_hours"))
        ret->members |= ACCOUNT_KEY_BODIES;
    if (json_get_int(request->body, "keep_bodies_hours", &hours))
        ret->keep_bodies_hours = (uint32_t)hours; /* in range: the table of fields says so */
    enum err code = read_expiry(request, ret, error);
    return code == ERR_OK ? read_scopes(request, ret, error) : code;
}

/* ---- Whose ------------------------------------------------------------------------------------
 */
static bool is_named(const struct store_user *person, struct str name)
{
    return str_eq_nocase(person->email, name) || str_eq(id_str(&person->id), name);
}

static enum err find_person(struct api_request *request, struct str name, struct id *ret,
                            struct error *error)
{
    struct store_user *users = NULL;
    size_t count = 0;
    enum err code = account_list_users(account_of(request), request->arena, &users, &count);
    for (size_t i = 0; i < count && code == ERR_OK; i++) {
        if (is_named(&users[i], name) || (!name.data && count == 1)) {
            *ret = users[i].id;
            return ERR_OK;
        }
    }
    if (code != ERR_OK)
        return code;
    if (count == 0)
        return error_set(error, ERR_NOT_FOUND, "user", "there is no account yet");
    return error_set(error, ERR_NOT_FOUND, "user",
                     name.data ? "there is no such account"
                               : "there are several accounts: say whose key it is to be");
}

/* One's own, or for administrators whom `name` (an email or id) says; on the Unix socket, which acts
 * for no person, the only one there is. */
static enum err find_owner(struct api_request *request, struct str name, struct id *ret,
                           struct error *error)
{
    struct store_user self;
    bool is_person = !id_is_none(&request->who.user);
    *ret = request->who.user;
    if (is_person && !name.data)
        return ERR_OK;
    if (may_manage_all(request))
        return find_person(request, name, ret, error);
    bool is_self = account_get_user(account_of(request), request->arena, &request->who.user,
                                    &self) == ERR_OK &&
                   is_named(&self, name);
    return is_self ? ERR_OK : error_set(error, ERR_FORBIDDEN, "user", "keys are made for oneself");
}

bool api_find_key(struct api_request *request, struct store_key *ret)
{
    struct id id;
    if (!api_parameter_id(request, 0, &id))
        return false;
    enum err code = account_get_key(account_of(request), request->arena, &id, ret);
    if (code == ERR_OK && !may_manage_all(request))
        code =
            authorise(&request->who, VERB_KEY_MANAGE, (struct authorise_object){&ret->owner}, NULL);
    return !api_failed(request, code, NULL);
}

/* ---- Endpoints --------------------------------------------------------------------------------
 */
/* Whose keys are to be listed; none: everybody's. */
static enum err find_listed_owner(struct api_request *request, struct id *ret, struct error *error)
{
    struct str user = api_query(request, "user");
    bool all = str_eq(api_query(request, "all"), STR("true"));
    if (user.data)
        return find_owner(request, user, ret, error);
    *ret = all ? (struct id){0} : request->who.user;
    if (all && !may_manage_all(request))
        return error_set(error, ERR_FORBIDDEN, "all", "only administrators see everybody's keys");
    return ERR_OK;
}

static void get_keys(struct api_request *request)
{
    struct store_key *keys = NULL;
    size_t count = 0;
    struct id owner;
    struct error error = {0};
    struct api_reply reply;
    enum err code = find_listed_owner(request, &owner, &error);
    if (code == ERR_OK)
        code = account_list_keys(account_of(request), request->arena, &owner, &keys, &count);
    if (api_failed(request, code, &error))
        return;
    api_reply_begin(&reply);
    json_key_array(&reply.w, "keys");
    for (size_t i = 0; i < count; i++)
        write_key(&reply.w, &keys[i]);
    json_end_array(&reply.w);
    api_reply(request, 200, &reply);
}

static void post_keys(struct api_request *request)
{
    struct id owner = {0};
    struct error error = {0};
    struct account_key_change settings;
    enum err code = find_owner(request, api_body_str(request, "user"), &owner, &error);
    if (code == ERR_OK)
        code = read_change(request, &settings, &error);
    if (!api_failed(request, code, &error))
        account_create_key(account_of(request), request->api->options.loop, &owner, &settings,
                           on_key, request);
}

static void get_key(struct api_request *request)
{
    struct store_key key;
    if (api_find_key(request, &key))
        reply_key(request, &key, STR_NONE);
}

static void patch_key(struct api_request *request)
{
    struct store_key key;
    struct error error = {0};
    struct account_key_change change;
    if (!api_find_key(request, &key) ||
        api_failed(request, read_change(request, &change, &error), &error))
        return;
    account_edit_key(account_of(request), request->api->options.loop, &key.id, &change, on_key,
                     request);
}

static void rotate_key(struct api_request *request)
{
    struct store_key key;
    int64_t overlap_seconds = ACCOUNT_KEY_OVERLAP_SECONDS;
    json_get_int(request->body, "overlap_seconds", &overlap_seconds);
    if (api_find_key(request, &key))
        account_rotate_key(account_of(request), request->api->options.loop, &key.id,
                           overlap_seconds, on_key, request);
}

static void delete_key(struct api_request *request)
{
    struct store_key key;
    if (api_find_key(request, &key))
        account_revoke_key(account_of(request), request->api->options.loop, &key.owner, &key.id,
                           api_on_done, request);
}

#define KEY_SETTINGS                                                                               \
    {"models",                                                                                     \
     API_ANY,                                                                                      \
     false,                                                                                        \
     true,                                                                                         \
     0,                                                                                            \
     "What it may ask: a list of names and patterns like \"openai/*\"; null: everything."},        \
        {"doors",                                                                                  \
         API_ANY,                                                                                  \
         false,                                                                                    \
         true,                                                                                     \
         0,                                                                                        \
         "Where: a list of openai, anthropic, gemini, ollama, provider, parley; null: "            \
         "everywhere."},                                                                           \
        {"addresses",                                                                              \
         API_ANY,                                                                                  \
         false,                                                                                    \
         true,                                                                                     \
         0,                                                                                        \
         "From where: a list of addresses and networks like 10.0.0.0/8; null: from everywhere."},  \
        {"expires_at", API_STRING, false, true, 40, "Until when it is good; null: for ever."},     \
        {"keep_bodies_hours",                                                                      \
         API_INTEGER,                                                                              \
         false,                                                                                    \
         true,                                                                                     \
         ACCOUNT_KEY_BODIES_HOURS_MAX,                                                             \
         "How long the request log keeps what is asked and answered; null: not at all."},

static const struct api_field key_fields[] = {
    {"name", API_STRING, true, false, 200, "What it is for."},
    {"user", API_STRING, false, true, 254, "Email or id of the owner; by administrators."},
    KEY_SETTINGS{0},
};
static const struct api_field key_patch_fields[] = {
    {"name", API_STRING, false, false, 200, "What it is for."},
    KEY_SETTINGS{0},
};
static const struct api_field rotate_fields[] = {
    {"overlap_seconds", API_INTEGER, false, true, ACCOUNT_KEY_OVERLAP_SECONDS_MAX,
     "How long the old one still works; null: a day."},
    {0},
};

const struct endpoint key_endpoints[] = {
    {HTTP_GET, "/api/v1/keys", VERB_KEY_MANAGE, NULL, get_keys, NULL, 0,
     "One's API keys; administrators: ?user=EMAIL, ?all=true."},
    {HTTP_POST, "/api/v1/keys", VERB_KEY_MANAGE, NULL, post_keys, key_fields, API_BODY_SMALL,
     "Makes an API key; its secret is shown this once."},
    {HTTP_GET, "/api/v1/keys/{id}", VERB_KEY_MANAGE, NULL, get_key, NULL, 0, "An API key."},
    {HTTP_PATCH, "/api/v1/keys/{id}", VERB_KEY_MANAGE, NULL, patch_key, key_patch_fields,
     API_BODY_SMALL, "Changes an API key; null resets."},
    {HTTP_POST, "/api/v1/keys/{id}/rotate", VERB_KEY_MANAGE, NULL, rotate_key, rotate_fields,
     API_BODY_SMALL, "Makes a new key with the same settings; the old one expires soon."},
    {HTTP_DELETE, "/api/v1/keys/{id}", VERB_KEY_MANAGE, NULL, delete_key, NULL, 0,
     "Revokes an API key at once."},
    {0},
};
