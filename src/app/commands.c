/* Sub-commands: thin clients of the REST API, except serve. People are in command_user.c, keys in
 * command_key.c. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/command_client.h"
#include "app/server.h"

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
    int status = command_open(config, &client);
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

/* ---- backup
 * --------------------------------------------------------------------------------------------------
 */

int command_backup(struct config *config, const struct config_arguments *arguments)
{
    struct local_client *client;
    char path[4096], folder[4096];
    struct command_body body;
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
    int status = length < (int)sizeof path ? command_open(config, &client) : 2;
    if (status)
        return status;
    command_body_begin(&body);
    json_key_str(&body.w, "path", str_from_cstr(path));
    json_end_object(&body.w);
    struct error error = {0};
    int64_t bytes = 0;
    error.code =
        local_client_wait(client, HTTP_POST, "/api/v1/backup", buf_str(&body.out), &root, &error);
    buf_done(&body.out);
    json_get_int(root, "bytes", &bytes);
    status = error.code == ERR_OK ? 0 : command_fail(&error);
    if (status == 0)
        printf("%s: %lld bytes\n", path, (long long)bytes);
    local_client_close(client);
    return status;
}
