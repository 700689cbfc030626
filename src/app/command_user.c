/* parley user: people and their groups. */
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "app/command_client.h"

/* In the order of user_options and user_switches in main.c. */
enum { OPTION_NAME, OPTION_ROLE };
enum { SWITCH_PASSWORD };

enum { PASSWORD_BYTES_MAX = 1100, TARGET_BYTES_MAX = 200 };

/* ---- People ------------------------------------------------------------------------------------
 */
/* One line from standard input, not shown when it is a terminal. */
static bool read_password(char *ret, size_t size)
{
    struct termios shown, hidden;
    bool terminal = tcgetattr(STDIN_FILENO, &shown) == 0;
    if (terminal) {
        hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
        fprintf(stderr, "Password: ");
    }
    bool ok = fgets(ret, (int)size, stdin) != NULL;
    if (terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
        fprintf(stderr, "\n");
    }
    ret[ok ? strcspn(ret, "\r\n") : 0] = '\0';
    if (!ok)
        fprintf(stderr, "parley: no password on standard input\n");
    return ok;
}

static void print_user(yyjson_val *user)
{
    bool disabled = false;
    json_get_bool(user, "disabled", &disabled);
    printf("%.*s  %-30.*s  %-6.*s  %.*s%s\n", STR_ARG(json_get_str(user, "id")),
           STR_ARG(json_get_str(user, "email")), STR_ARG(json_get_str(user, "role")),
           STR_ARG(json_get_str(user, "name")), disabled ? "  (disabled)" : "");
}

static int send_user(struct local_client *client, enum http_method method, const char *target,
                     struct command_body *body)
{
    yyjson_val *root = NULL;
    int status = command_send(client, method, target, body, &root);
    if (status == 0)
        print_user(json_get(root, "user"));
    return status;
}

static int create_user(struct local_client *client, const struct config_arguments *arguments)
{
    char password[PASSWORD_BYTES_MAX];
    struct command_body body;
    if (!read_password(password, sizeof password))
        return 1;
    command_body_begin(&body);
    json_key_str(&body.w, "email", str_from_cstr(arguments->rest[1]));
    json_key_str(&body.w, "password", str_from_cstr(password));
    json_key_str(&body.w, "name", arguments->own[OPTION_NAME]);
    json_key_str(&body.w, "role", arguments->own[OPTION_ROLE]);
    int status = send_user(client, HTTP_POST, "/api/v1/users", &body);
    explicit_bzero(password, sizeof password);
    return status;
}

static int list_users(struct local_client *client, const struct config_arguments *arguments)
{
    (void)arguments;
    return command_list(client, "/api/v1/users", "users", print_user);
}

static int find_user(struct local_client *client, const char *name, struct id *ret)
{
    return command_find(client, "/api/v1/users", "users", "email", name, ret);
}

static int patch_user(struct local_client *client, const char *name, struct command_body *body)
{
    char target[TARGET_BYTES_MAX];
    struct id id;
    int status = find_user(client, name, &id);
    if (status) {
        buf_done(&body->out);
        return status;
    }
    snprintf(target, sizeof target, "/api/v1/users/%s", id.text);
    return send_user(client, HTTP_PATCH, target, body);
}

static int edit_user(struct local_client *client, const struct config_arguments *arguments)
{
    char password[PASSWORD_BYTES_MAX] = "";
    struct command_body body;
    if (arguments->switched[SWITCH_PASSWORD] && !read_password(password, sizeof password))
        return 1;
    command_body_begin(&body);
    if (arguments->own[OPTION_NAME].data)
        json_key_str(&body.w, "name", arguments->own[OPTION_NAME]);
    if (arguments->own[OPTION_ROLE].data)
        json_key_str(&body.w, "role", arguments->own[OPTION_ROLE]);
    if (arguments->switched[SWITCH_PASSWORD])
        json_key_str(&body.w, "password", str_from_cstr(password));
    explicit_bzero(password, sizeof password);
    return patch_user(client, arguments->rest[1], &body);
}

static int set_disabled(struct local_client *client, const struct config_arguments *arguments,
                        bool disabled)
{
    struct command_body body;
    command_body_begin(&body);
    json_key_bool(&body.w, "disabled", disabled);
    return patch_user(client, arguments->rest[1], &body);
}

static int disable_user(struct local_client *client, const struct config_arguments *arguments)
{
    return set_disabled(client, arguments, true);
}

static int enable_user(struct local_client *client, const struct config_arguments *arguments)
{
    return set_disabled(client, arguments, false);
}

/* ---- Groups ------------------------------------------------------------------------------------
 */
static void print_group(yyjson_val *group)
{
    printf("%.*s  %.*s\n", STR_ARG(json_get_str(group, "id")),
           STR_ARG(json_get_str(group, "name")));
}

static int list_groups(struct local_client *client, const struct config_arguments *arguments)
{
    (void)arguments;
    return command_list(client, "/api/v1/groups", "groups", print_group);
}

/* "/api/v1/groups/ID" of the group named; 0, or the exit status. */
static int group_target(struct local_client *client, const struct config_arguments *arguments,
                        char ret[TARGET_BYTES_MAX])
{
    struct id id;
    int status = command_find(client, "/api/v1/groups", "groups", "name", arguments->rest[1], &id);
    if (status == 0)
        snprintf(ret, TARGET_BYTES_MAX, "/api/v1/groups/%s", id.text);
    return status;
}

static int send_group(struct local_client *client, enum http_method method, const char *target,
                      const char *name)
{
    struct command_body body;
    yyjson_val *root = NULL;
    command_body_begin(&body);
    json_key_str(&body.w, "name", str_from_cstr(name));
    int status = command_send(client, method, target, &body, &root);
    if (status == 0)
        print_group(json_get(root, "group"));
    return status;
}

static int create_group(struct local_client *client, const struct config_arguments *arguments)
{
    return send_group(client, HTTP_POST, "/api/v1/groups", arguments->rest[1]);
}

static int rename_group(struct local_client *client, const struct config_arguments *arguments)
{
    char target[TARGET_BYTES_MAX];
    int status = group_target(client, arguments, target);
    return status ? status : send_group(client, HTTP_PATCH, target, arguments->rest[2]);
}

static int show_group(struct local_client *client, const struct config_arguments *arguments)
{
    char target[TARGET_BYTES_MAX];
    yyjson_val *root = NULL, *user;
    size_t index, count;
    int status = group_target(client, arguments, target);
    if (status == 0)
        status = command_call(client, HTTP_GET, target, NULL, &root);
    if (status)
        return status;
    print_group(json_get(root, "group"));
    yyjson_arr_foreach (json_get(json_get(root, "group"), "members"), index, count, user) {
        print_user(user);
    }
    return 0;
}

static int delete_group(struct local_client *client, const struct config_arguments *arguments)
{
    char target[TARGET_BYTES_MAX];
    yyjson_val *root = NULL;
    int status = group_target(client, arguments, target);
    return status ? status : command_call(client, HTTP_DELETE, target, NULL, &root);
}

static int change_member(struct local_client *client, const struct config_arguments *arguments,
                         enum http_method method)
{
    char target[TARGET_BYTES_MAX];
    yyjson_val *root = NULL;
    struct id person;
    int status = group_target(client, arguments, target);
    if (status == 0)
        status = find_user(client, arguments->rest[2], &person);
    if (status)
        return status;
    size_t length = strlen(target);
    snprintf(target + length, sizeof target - length, "/members/%s", person.text);
    return command_call(client, method, target, NULL, &root);
}

static int add_member(struct local_client *client, const struct config_arguments *arguments)
{
    return change_member(client, arguments, HTTP_PUT);
}

static int remove_member(struct local_client *client, const struct config_arguments *arguments)
{
    return change_member(client, arguments, HTTP_DELETE);
}

/* What follows "user group". */
static int command_group(struct config *config, const struct config_arguments *arguments)
{
    static const struct command_verb verbs[] = {
        {"create", 1, create_group},  {"list", 0, list_groups},
        {"show", 1, show_group},      {"rename", 2, rename_group},
        {"delete", 1, delete_group},  {"add", 2, add_member},
        {"remove", 2, remove_member}, {0},
    };
    struct config_arguments inner = *arguments;
    inner.rest++;
    inner.rest_count--;
    return command_run(config, &inner, "user", verbs);
}

int command_user(struct config *config, const struct config_arguments *arguments)
{
    static const struct command_verb verbs[] = {
        {"create", 1, create_user},
        {"add", 1, create_user},
        {"list", 0, list_users},
        {"edit", 1, edit_user},
        {"disable", 1, disable_user},
        {"enable", 1, enable_user},
        {0},
    };
    if (arguments->rest_count > 0 && strcmp(arguments->rest[0], "group") == 0)
        return command_group(config, arguments);
    return command_run(config, arguments, "user", verbs);
}
