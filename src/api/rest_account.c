/* REST: signing in, people, API keys. */
#include <stdlib.h>

#include "account/api_key.h"
#include "api/request.h"

static void write_user(struct json_writer *w, const struct store_user *user)
{
    json_begin_object(w);
    json_key_str(w, "id", id_str(&user->id));
    json_key_str(w, "email", user->email);
    json_key_str(w, "name", user->name);
    json_key_str(w, "role", user->role);
    json_key_time(w, "created_at", user->created_ms);
    json_end_object(w);
}

static void write_key(struct json_writer *w, const struct store_key *key)
{
    json_begin_object(w);
    json_key_str(w, "id", id_str(&key->id));
    json_key_str(w, "name", key->name);
    json_key_str(w, "prefix", key->prefix);
    json_key_time(w, "created_at", key->created_ms);
    json_key_time(w, "last_used_at", key->last_used_ms);
    json_key_bool(w, "revoked", key->revoked);
    json_end_object(w);
}

static struct account *account_of(struct api_request *request)
{
    return request->api->options.account;
}

void api_get_session(struct api_request *request)
{
    struct api_reply reply;
    struct store_user user;
    bool known =
        !id_is_none(&request->who.user) &&
        account_get_user(account_of(request), request->arena, &request->who.user, &user) == ERR_OK;
    api_reply_begin(&reply);
    json_key(&reply.w, STR("user"));
    if (known)
        write_user(&reply.w, &user);
    else
        json_put_null(&reply.w);
    json_key_bool(&reply.w, "setup_required", account_setup_required(account_of(request)));
    json_key_str(&reply.w, "version", STR(PARLEY_VERSION));
    api_reply(request, 200, &reply);
}

/* The end of both set-up and sign-in: the cookie and the person. */
static void on_session(void *user, enum err code, const struct error *error,
                       const struct store_user *person, struct str token)
{
    struct api_request *request = user;
    struct api_reply reply;
    if (api_failed(request, code, error))
        return;
    api_set_cookie(request, token);
    api_reply_begin(&reply);
    json_key(&reply.w, STR("user"));
    write_user(&reply.w, person);
    api_reply(request, request->endpoint->verb == VERB_SETUP ? 201 : 200, &reply);
}

static void on_first_user(void *user, enum err code, const struct error *error,
                          const struct store_user *created)
{
    struct api_request *request = user;
    if (!api_failed(request, code, error))
        account_begin_session(account_of(request), request->api->options.loop, &created->id,
                              on_session, request);
}

void api_post_setup(struct api_request *request)
{
    account_create_user(account_of(request), request->api->options.loop,
                        api_body_str(request, "email"), api_body_str(request, "password"),
                        api_body_str(request, "name"), ROLE_ADMIN, api_body_str(request, "token"),
                        on_first_user, request);
}

void api_post_session(struct api_request *request)
{
    account_sign_in(account_of(request), request->api->options.loop, api_body_str(request, "email"),
                    api_body_str(request, "password"), str_from_cstr(request->http->peer_address),
                    on_session, request);
}

static void on_done(void *user, enum err code, const struct error *error)
{
    struct api_request *request = user;
    if (!api_failed(request, code, error))
        api_reply_nothing(request);
}

void api_delete_session(struct api_request *request)
{
    api_set_cookie(request, STR(""));
    account_sign_out(account_of(request), request->api->options.loop,
                     api_cookie_token(request->http), on_done, request);
}

void api_get_users(struct api_request *request)
{
    struct store_user *users = NULL;
    size_t count = 0;
    struct api_reply reply;
    enum err code = account_list_users(account_of(request), request->arena, &users, &count);
    if (api_failed(request, code, NULL))
        return;
    api_reply_begin(&reply);
    json_key_array(&reply.w, "users");
    for (size_t i = 0; i < count; i++)
        write_user(&reply.w, &users[i]);
    json_end_array(&reply.w);
    api_reply(request, 200, &reply);
}

static void on_user(void *user, enum err code, const struct error *error,
                    const struct store_user *created)
{
    struct api_request *request = user;
    struct api_reply reply;
    if (api_failed(request, code, error))
        return;
    api_reply_begin(&reply);
    json_key(&reply.w, STR("user"));
    write_user(&reply.w, created);
    api_reply(request, 201, &reply);
}

void api_post_users(struct api_request *request)
{
    struct str role = api_body_str(request, "role");
    bool is_admin = str_eq(role, STR("admin"));
    if (role.data && !is_admin && !str_eq(role, STR("user"))) {
        struct error error = {0};
        error_set(&error, ERR_INVALID, "role", "must be \"user\" or \"admin\"");
        api_fail(request, ERR_INVALID, &error);
        return;
    }
    account_create_user(account_of(request), request->api->options.loop,
                        api_body_str(request, "email"), api_body_str(request, "password"),
                        api_body_str(request, "name"), is_admin ? ROLE_ADMIN : ROLE_USER, STR_NONE,
                        on_user, request);
}

/* ---- Keys ------------------------------------------------------------------------------------ */

void api_get_keys(struct api_request *request)
{
    struct store_key *keys = NULL;
    size_t count = 0;
    struct api_reply reply;
    /* The command line acts for no person and sees everybody's. */
    enum err code =
        account_list_keys(account_of(request), request->arena, &request->who.user, &keys, &count);
    if (api_failed(request, code, NULL))
        return;
    api_reply_begin(&reply);
    json_key_array(&reply.w, "keys");
    for (size_t i = 0; i < count; i++)
        write_key(&reply.w, &keys[i]);
    json_end_array(&reply.w);
    api_reply(request, 200, &reply);
}

static void on_key(void *user, enum err code, const struct error *error,
                   const struct store_key *key, struct str secret)
{
    struct api_request *request = user;
    struct api_reply reply;
    if (api_failed(request, code, error))
        return;
    api_reply_begin(&reply);
    json_key(&reply.w, STR("key"));
    write_key(&reply.w, key);
    json_key_str(&reply.w, "secret", secret);
    api_reply(request, 201, &reply);
}

/* Whose key it is to be: one's own; on the Unix socket the named person's, or the only one's. */
static enum err find_owner(struct api_request *request, struct id *ret_owner, struct error *error)
{
    struct str email = api_body_str(request, "user");
    struct store_user *users = NULL;
    size_t count = 0;
    if (request->who.kind != PRINCIPAL_LOCAL) {
        *ret_owner = request->who.user;
        return email.data ? error_set(error, ERR_FORBIDDEN, "user", "keys are made for oneself")
                          : ERR_OK;
    }
    enum err code = account_list_users(account_of(request), request->arena, &users, &count);
    for (size_t i = 0; i < count && code == ERR_OK; i++) {
        if (str_eq_nocase(users[i].email, email) || (!email.data && count == 1)) {
            *ret_owner = users[i].id;
            return ERR_OK;
        }
    }
    if (code != ERR_OK)
        return code;
    if (count == 0)
        return error_set(error, ERR_NOT_FOUND, "user", "there is no account yet");
    return error_set(error, ERR_NOT_FOUND, "user",
                     email.data ? "there is no such account"
                                : "there are several accounts: say whose key it is to be");
}

void api_post_keys(struct api_request *request)
{
    struct id owner = {0};
    struct error error = {0};
    enum err code = find_owner(request, &owner, &error);
    if (!api_failed(request, code, &error))
        account_create_key(
            account_of(request), request->api->options.loop, &owner,
            &(struct account_key_change){ACCOUNT_KEY_NAME, .name = api_body_str(request, "name")},
            on_key, request);
}

void api_delete_key(struct api_request *request)
{
    struct id key;
    if (api_parameter_id(request, 0, &key))
        account_revoke_key(account_of(request), request->api->options.loop, &request->who.user,
                           &key, on_done, request);
}
