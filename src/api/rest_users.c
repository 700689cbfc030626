/* REST: people. */
#include "api/request.h"

void api_write_user(struct json_writer *w, const struct store_user *user)
{
    json_begin_object(w);
    json_key_str(w, "id", id_str(&user->id));
    json_key_str(w, "email", user->email);
    json_key_str(w, "name", user->name);
    json_key_str(w, "role", user->role);
    json_key_time(w, "created_at", user->created_ms);
    json_key_bool(w, "disabled", user->disabled);
    json_end_object(w);
}

static struct account *account_of(struct api_request *request)
{
    return request->api->options.account;
}

static void get_users(struct api_request *request)
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
        api_write_user(&reply.w, &users[i]);
    json_end_array(&reply.w);
    api_reply(request, 200, &reply);
}

static void reply_user(struct api_request *request, const struct store_user *user)
{
    struct api_reply reply;
    api_reply_begin(&reply);
    json_key(&reply.w, STR("user"));
    api_write_user(&reply.w, user);
    api_reply(request, request->http->method == HTTP_POST ? 201 : 200, &reply);
}

static void on_user(void *user, enum err code, const struct error *error,
                    const struct store_user *person)
{
    struct api_request *request = user;
    if (!api_failed(request, code, error))
        reply_user(request, person);
}

/* Absent: an ordinary person. Fails the request and returns false when it is none. */
static bool read_role(struct api_request *request, enum role *ret)
{
    struct str role = api_body_str(request, "role");
    bool is_admin = str_eq(role, STR("admin"));
    struct error error = {0};
    *ret = is_admin ? ROLE_ADMIN : ROLE_USER;
    if (!role.data || is_admin || str_eq(role, STR("user")))
        return true;
    error_set(&error, ERR_INVALID, "role", "must be \"user\" or \"admin\"");
    api_fail(request, ERR_INVALID, &error);
    return false;
}

static void post_users(struct api_request *request)
{
    enum role role;
    if (read_role(request, &role))
        account_create_user(account_of(request), request->api->options.loop,
                            api_body_str(request, "email"), api_body_str(request, "password"),
                            api_body_str(request, "name"), role, STR_NONE, on_user, request);
}

static void get_user(struct api_request *request)
{
    struct store_user person;
    struct id id;
    if (!api_parameter_id(request, 0, &id))
        return;
    enum err code = account_get_user(account_of(request), request->arena, &id, &person);
    if (!api_failed(request, code, NULL))
        reply_user(request, &person);
}

static void patch_user(struct api_request *request)
{
    static const struct {
        const char *name;
        unsigned member;
    } rows[] = {
        {"name", ACCOUNT_USER_NAME},
        {"role", ACCOUNT_USER_ROLE},
        {"disabled", ACCOUNT_USER_DISABLED},
        {"password", ACCOUNT_USER_PASSWORD},
    };
    struct account_user_change change = {.name = api_body_str(request, "name"),
                                         .password = api_body_str(request, "password")};
    struct id id;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (json_get(request->body, rows[i].name))
            change.members |= rows[i].member;
    json_get_bool(request->body, "disabled", &change.disabled);
    if (api_parameter_id(request, 0, &id) && read_role(request, &change.role))
        account_edit_user(account_of(request), request->api->options.loop, &id, &change, on_user,
                          request);
}

static const struct api_field user_fields[] = {
    {"email", API_STRING, true, false, 254, "Address to sign in with."},
    {"password", API_STRING, false, true, 1024, "8 characters or more; null: cannot sign in."},
    {"name", API_STRING, false, true, 200, "How to show this person."},
    {"role", API_STRING, false, true, 20, "\"user\" (default) or \"admin\"."},
    {0},
};
static const struct api_field user_patch_fields[] = {
    {"name", API_STRING, false, false, 200, "How to show this person."},
    {"role", API_STRING, false, false, 20, "\"user\" or \"admin\"."},
    {"disabled", API_BOOLEAN, false, false, 0, "Signed out everywhere, and all keys refused."},
    {"password", API_STRING, false, true, 1024,
     "8 characters or more; null: cannot sign in. Signs out everywhere."},
    {0},
};

const struct endpoint user_endpoints[] = {
    {HTTP_GET, "/api/v1/users", VERB_USER_MANAGE, NULL, get_users, NULL, 0, "People."},
    {HTTP_POST, "/api/v1/users", VERB_USER_MANAGE, NULL, post_users, user_fields, API_BODY_SMALL,
     "Adds a person."},
    {HTTP_GET, "/api/v1/users/{id}", VERB_USER_MANAGE, NULL, get_user, NULL, 0, "A person."},
    {HTTP_PATCH, "/api/v1/users/{id}", VERB_USER_MANAGE, NULL, patch_user, user_patch_fields,
     API_BODY_SMALL, "Changes a person; the last administrator stays one."},
    {0},
};
