/* REST: set-up, signing in and out. */
#include "api/request.h"

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
        api_write_user(&reply.w, &user);
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
    api_write_user(&reply.w, person);
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

void api_delete_session(struct api_request *request)
{
    api_set_cookie(request, STR(""));
    account_sign_out(account_of(request), request->api->options.loop,
                     api_cookie_token(request->http), api_on_done, request);
}
