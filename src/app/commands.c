/* Sub-commands: thin clients of the REST API, except serve. */
#include "app/commands.h"

#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "app/server.h"

enum { PASSWORD_BYTES_MAX = 1100 };

int command_serve(struct config *config, const struct config_arguments *arguments)
{
    struct server *server;
    struct error error = {0};
    if (arguments->rest_count) {
        fprintf(stderr, "parley: serve takes flags only, not '%s'\n", arguments->rest[0]);
        config_free(config);
        return 2;
    }
    enum err code = server_new(config, SERVER_FULL, &server, &error);
    error.code = code;
    if (code != ERR_OK)
        return command_fail(&error);
    const char *setup_url = server_setup_url(server);
    printf("Parley %s is running: %s\n", PARLEY_VERSION, server_url(server));
    if (setup_url)
        printf("Make the first account here (the link works once): %s\n", setup_url);
    fflush(stdout);
    server_run(server);
    server_free(server);
    return 0;
}

int command_open_client(struct config *config, struct local_client **ret_client)
{
    struct error error = {0};
    enum err code = local_client_open(config, ret_client, &error);
    error.code = code;
    return code == ERR_OK ? 0 : command_fail(&error);
}

int command_call(struct local_client *client, enum http_method method, const char *target,
                 struct buf *body, yyjson_val **ret_root)
{
    struct error error = {0};
    enum err code =
        local_client_call(client, method, target, body ? buf_str(body) : STR(""), ret_root, &error);
    error.code = code;
    return code == ERR_OK ? 0 : command_fail(&error);
}

int command_usage(const char *name)
{
    for (const struct command *command = commands; command->name; command++)
        if (strcmp(command->name, name) == 0)
            fprintf(stderr, "usage: parley %s %s\n", name, command->usage);
    return 2;
}

/* ---- check
 * ---------------------------------------------------------------------------------------------------
 */

static void print_setting(yyjson_val *setting)
{
    struct arena *arena = arena_new(64 * 1024);
    yyjson_val *value = json_get(setting, "value");
    struct str where = json_get_str(setting, "where");
    struct str text = yyjson_is_str(value)    ? json_str(value)
                      : yyjson_is_null(value) ? STR("")
                                              : json_text(arena, value);
    printf("%-40.*s %-30.*s %.*s%s%.*s%s\n", STR_ARG(json_get_str(setting, "key")), STR_ARG(text),
           STR_ARG(json_get_str(setting, "source")), where.len ? " (" : "", STR_ARG(where),
           where.len ? ")" : "");
    arena_free(arena);
}

static int check_settings(struct local_client *client)
{
    yyjson_val *root = NULL;
    int status = command_call(client, HTTP_GET, "/api/v1/settings", NULL, &root);
    size_t index, count;
    yyjson_val *setting;
    if (status)
        return status;
    yyjson_arr_foreach (json_get(root, "settings"), index, count, setting) {
        print_setting(setting);
    }
    return 0;
}

/* Asks one provider; 1 when it is not well. */
static int check_provider(struct local_client *client, struct str name)
{
    char target[200];
    yyjson_val *root = NULL;
    snprintf(target, sizeof target, "/api/v1/providers/%.*s/check", STR_ARG(name));
    int status = command_call(client, HTTP_POST, target, NULL, &root);
    yyjson_val *provider = json_get(root, "provider");
    struct str state = json_get_str(provider, "status");
    int64_t models = 0;
    if (status)
        return status;
    json_get_int(provider, "model_count", &models);
    printf("%-20.*s %-8.*s %lld models  %.*s%s%.*s\n", STR_ARG(name), STR_ARG(state),
           (long long)models, STR_ARG(json_get_str(provider, "base_url")),
           json_get_str(provider, "message").len ? "  " : "",
           STR_ARG(json_get_str(provider, "message")));
    return str_eq(state, STR("error"));
}

static int check_providers(struct local_client *client)
{
    yyjson_val *root = NULL, *provider;
    int status = command_call(client, HTTP_GET, "/api/v1/providers", NULL, &root);
    size_t index, count;
    if (status)
        return status;
    printf("\n");
    yyjson_arr_foreach (json_get(root, "providers"), index, count, provider) {
        status |= check_provider(client, json_get_str(provider, "name"));
    }
    return status;
}

/* "a, b" of a list of names. */
static void print_names(yyjson_val *names)
{
    size_t index, count;
    yyjson_val *name;
    yyjson_arr_foreach (names, index, count, name) {
        printf("%s%.*s", index ? ", " : "", STR_ARG(json_str(name)));
    }
}

static void print_route(yyjson_val *route)
{
    size_t index, count;
    yyjson_val *group;
    struct str message = json_get_str(route, "message");
    printf("%-20.*s %-8.*s ", STR_ARG(json_get_str(route, "name")),
           STR_ARG(json_get_str(route, "status")));
    yyjson_arr_foreach (json_get(route, "groups"), index, count, group) {
        printf("%s%.*s: ", index ? "; then " : "", STR_ARG(json_get_str(group, "strategy")));
        print_names(json_get(group, "targets"));
    }
    printf("%s%.*s\n", message.len ? "  " : "", STR_ARG(message));
}

/* 1 when one of them is wrong. */
static int check_routes(struct local_client *client)
{
    yyjson_val *root = NULL, *route;
    int status = command_call(client, HTTP_GET, "/api/v1/routes", NULL, &root);
    size_t index, count;
    yyjson_arr_foreach (json_get(root, "routes"), index, count, route) {
        if (index == 0)
            printf("\n");
        print_route(route);
        status |= str_eq(json_get_str(route, "status"), STR("error"));
    }
    return status;
}

int command_check(struct config *config, const struct config_arguments *arguments)
{
    struct local_client *client;
    if (arguments->rest_count) {
        config_free(config);
        return command_usage("check");
    }
    int status = command_open_client(config, &client);
    if (status)
        return status;
    printf(local_client_is_remote(client) ? "Settings of the running server:\n\n"
                                          : "Settings (no server is running):\n\n");
    status = check_settings(client);
    if (status == 0)
        status = check_providers(client) | check_routes(client);
    local_client_close(client);
    return status;
}

/* ---- user
 * ----------------------------------------------------------------------------------------------------
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
    return ok;
}

int command_list_rows(struct local_client *client, const char *target, const char *list,
                      void (*print)(yyjson_val *row))
{
    yyjson_val *root = NULL, *row;
    int status = command_call(client, HTTP_GET, target, NULL, &root);
    size_t index, count;
    yyjson_arr_foreach (json_get(root, list), index, count, row) {
        print(row);
    }
    return status;
}

static void print_user(yyjson_val *user)
{
    printf("%.*s  %-30.*s  %-6.*s  %.*s\n", STR_ARG(json_get_str(user, "id")),
           STR_ARG(json_get_str(user, "email")), STR_ARG(json_get_str(user, "role")),
           STR_ARG(json_get_str(user, "name")));
}

static int create_user(struct local_client *client, const struct config_arguments *arguments)
{
    char password[PASSWORD_BYTES_MAX];
    struct buf body;
    struct json_writer w;
    yyjson_val *root = NULL;
    if (!read_password(password, sizeof password)) {
        fprintf(stderr, "parley: no password on standard input\n");
        return 1;
    }
    buf_init(&body, COMMAND_BODY_BYTES_MAX);
    json_writer_init(&w, &body);
    json_begin_object(&w);
    json_key_str(&w, "email", str_from_cstr(arguments->rest[1]));
    json_key_str(&w, "password", str_from_cstr(password));
    json_key_str(&w, "name", arguments->own[0]);
    json_key_str(&w, "role", arguments->own[1]);
    json_end_object(&w);
    int status = command_call(client, HTTP_POST, "/api/v1/users", &body, &root);
    if (status == 0)
        print_user(json_get(root, "user"));
    buf_done(&body);
    explicit_bzero(password, sizeof password);
    return status;
}

bool command_is(const struct config_arguments *arguments, const char *verb, int more)
{
    return arguments->rest_count == more + 1 && strcmp(arguments->rest[0], verb) == 0;
}

int command_user(struct config *config, const struct config_arguments *arguments)
{
    struct local_client *client;
    bool create = command_is(arguments, "create", 1);
    if (!create && !command_is(arguments, "list", 0)) {
        config_free(config);
        return command_usage("user");
    }
    int status = command_open_client(config, &client);
    if (status)
        return status;
    status = create ? create_user(client, arguments)
                    : command_list_rows(client, "/api/v1/users", "users", print_user);
    local_client_close(client);
    return status;
}

/* ---- key
 * -----------------------------------------------------------------------------------------------------
 */

static void print_key(yyjson_val *key)
{
    bool revoked = false;
    json_get_bool(key, "revoked", &revoked);
    printf("%.*s  %.*s...  %-8s  %.*s\n", STR_ARG(json_get_str(key, "id")),
           STR_ARG(json_get_str(key, "prefix")), revoked ? "revoked" : "active",
           STR_ARG(json_get_str(key, "name")));
}

/* The secret alone goes to standard output, so that a script can take it. */
static int create_key(struct local_client *client, const struct config_arguments *arguments)
{
    struct buf body;
    struct json_writer w;
    yyjson_val *root = NULL;
    buf_init(&body, COMMAND_BODY_BYTES_MAX);
    json_writer_init(&w, &body);
    json_begin_object(&w);
    json_key_str(&w, "name", str_from_cstr(arguments->rest[1]));
    if (arguments->own[0].data)
        json_key_str(&w, "user", arguments->own[0]);
    json_end_object(&w);
    int status = command_call(client, HTTP_POST, "/api/v1/keys", &body, &root);
    if (status == 0) {
        fprintf(stderr, "This key is shown only now:\n");
        printf("%.*s\n", STR_ARG(json_get_str(root, "secret")));
    }
    buf_done(&body);
    return status;
}

static int revoke_key(struct local_client *client, const char *id)
{
    char target[100];
    yyjson_val *root = NULL;
    snprintf(target, sizeof target, "/api/v1/keys/%.40s", id);
    return command_call(client, HTTP_DELETE, target, NULL, &root);
}

int command_key(struct config *config, const struct config_arguments *arguments)
{
    struct local_client *client;
    bool create = command_is(arguments, "create", 1), revoke = command_is(arguments, "revoke", 1);
    if (!create && !revoke && !command_is(arguments, "list", 0)) {
        config_free(config);
        return command_usage("key");
    }
    int status = command_open_client(config, &client);
    if (status)
        return status;
    if (create)
        status = create_key(client, arguments);
    else if (revoke)
        status = revoke_key(client, arguments->rest[1]);
    else
        status = command_list_rows(client, "/api/v1/keys", "keys", print_key);
    local_client_close(client);
    return status;
}

/* ---- backup
 * --------------------------------------------------------------------------------------------------
 */

int command_backup(struct config *config, const struct config_arguments *arguments)
{
    struct local_client *client;
    char path[4096], folder[4096];
    struct buf body;
    struct json_writer w;
    yyjson_val *root = NULL;
    if (arguments->rest_count != 1) {
        config_free(config);
        return command_usage("backup");
    }
    /* The server may have another working folder than we have. */
    bool absolute = arguments->rest[0][0] == '/';
    if (!absolute && !getcwd(folder, sizeof folder))
        return 1;
    int length = snprintf(path, sizeof path, "%s%s%s", absolute ? "" : folder, absolute ? "" : "/",
                          arguments->rest[0]);
    int status = length < (int)sizeof path ? command_open_client(config, &client) : 2;
    if (status)
        return status;
    buf_init(&body, COMMAND_BODY_BYTES_MAX);
    json_writer_init(&w, &body);
    json_begin_object(&w);
    json_key_str(&w, "path", str_from_cstr(path));
    json_end_object(&w);
    status = command_call(client, HTTP_POST, "/api/v1/backup", &body, &root);
    int64_t bytes = 0;
    json_get_int(root, "bytes", &bytes);
    if (status == 0)
        printf("%s: %lld bytes\n", path, (long long)bytes);
    buf_done(&body);
    local_client_close(client);
    return status;
}
