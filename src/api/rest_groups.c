/* REST: groups of people. */
#include "account/group.h"
#include "api/request.h"

static struct account *account_of(struct api_request *request)
{
    return request->api->options.account;
}

static void write_group(struct json_writer *w, const struct store_group *group)
{
    json_key_str(w, "id", id_str(&group->id));
    json_key_str(w, "name", group->name);
    json_key_time(w, "created_at", group->created_ms);
}

static void get_groups(struct api_request *request)
{
    struct store_group *groups = NULL;
    size_t count = 0;
    struct api_reply reply;
    enum err code = account_list_groups(account_of(request), request->arena, &groups, &count);
    if (api_failed(request, code, NULL))
        return;
    api_reply_begin(&reply);
    json_key_array(&reply.w, "groups");
    for (size_t i = 0; i < count; i++) {
        json_begin_object(&reply.w);
        write_group(&reply.w, &groups[i]);
        json_end_object(&reply.w);
    }
    json_end_array(&reply.w);
    api_reply(request, 200, &reply);
}

static void write_members(struct json_writer *w, const struct store_user *users, size_t count)
{
    json_key_array(w, "members");
    for (size_t i = 0; i < count; i++)
        api_write_user(w, &users[i]);
    json_end_array(w);
}

static void reply_group(struct api_request *request, const struct store_group *group)
{
    struct store_user *users = NULL;
    size_t count = 0;
    struct api_reply reply;
    enum err code =
        account_list_members(account_of(request), request->arena, &group->id, &users, &count);
    if (api_failed(request, code, NULL))
        return;
    api_reply_begin(&reply);
    json_key_object(&reply.w, "group");
    write_group(&reply.w, group);
    write_members(&reply.w, users, count);
    json_end_object(&reply.w);
    api_reply(request, request->http->method == HTTP_POST ? 201 : 200, &reply);
}

static void get_group(struct api_request *request)
{
    struct store_group group;
    struct id id;
    if (!api_parameter_id(request, 0, &id))
        return;
    enum err code = account_get_group(account_of(request), request->arena, &id, &group);
    if (!api_failed(request, code, NULL))
        reply_group(request, &group);
}

static void on_group(void *user, enum err code, const struct error *error,
                     const struct store_group *group)
{
    struct api_request *request = user;
    if (!api_failed(request, code, error))
        reply_group(request, group);
}

static void post_groups(struct api_request *request)
{
    account_create_group(account_of(request), request->api->options.loop,
                         api_body_str(request, "name"), on_group, request);
}

static void patch_group(struct api_request *request)
{
    struct id id;
    if (api_parameter_id(request, 0, &id))
        account_rename_group(account_of(request), request->api->options.loop, &id,
                             api_body_str(request, "name"), on_group, request);
}

static void delete_group(struct api_request *request)
{
    struct id id;
    if (api_parameter_id(request, 0, &id))
        account_delete_group(account_of(request), request->api->options.loop, &id, api_on_done,
                             request);
}

static void put_member(struct api_request *request)
{
    struct id group, person;
    if (api_parameter_id(request, 0, &group) && api_parameter_id(request, 1, &person))
        account_add_member(account_of(request), request->api->options.loop, &group, &person,
                           api_on_done, request);
}

static void delete_member(struct api_request *request)
{
    struct id group, person;
    if (api_parameter_id(request, 0, &group) && api_parameter_id(request, 1, &person))
        account_remove_member(account_of(request), request->api->options.loop, &group, &person,
                              api_on_done, request);
}

static const struct api_field group_fields[] = {
    {"name", API_STRING, true, false, ACCOUNT_GROUP_NAME_BYTES_MAX, "Its name; unique."},
    {0},
};

const struct endpoint group_endpoints[] = {
    {HTTP_GET, "/api/v1/groups", VERB_GROUP_MANAGE, NULL, get_groups, NULL, 0, "Groups of people."},
    {HTTP_POST, "/api/v1/groups", VERB_GROUP_MANAGE, NULL, post_groups, group_fields,
     API_BODY_SMALL, "Makes a group."},
    {HTTP_GET, "/api/v1/groups/{id}", VERB_GROUP_MANAGE, NULL, get_group, NULL, 0,
     "A group with its members."},
    {HTTP_PATCH, "/api/v1/groups/{id}", VERB_GROUP_MANAGE, NULL, patch_group, group_fields,
     API_BODY_SMALL, "Renames a group."},
    {HTTP_DELETE, "/api/v1/groups/{id}", VERB_GROUP_MANAGE, NULL, delete_group, NULL, 0,
     "Deletes a group; its members stay."},
    {HTTP_PUT, "/api/v1/groups/{id}/members/{user_id}", VERB_GROUP_MANAGE, NULL, put_member, NULL,
     0, "Puts a person into a group."},
    {HTTP_DELETE, "/api/v1/groups/{id}/members/{user_id}", VERB_GROUP_MANAGE, NULL, delete_member,
     NULL, 0, "Takes a person out of a group."},
    {0},
};
