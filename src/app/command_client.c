/* Sub-commands as clients of the REST API: of the running server's, or of one for the moment. */
#include "app/command_client.h"

#include <stdio.h>
#include <string.h>

enum { BODY_BYTES_MAX = 64 * 1024 };

int command_open(struct config *config, struct local_client **ret_client)
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

void command_body_begin(struct command_body *body)
{
    buf_init(&body->out, BODY_BYTES_MAX);
    json_writer_init(&body->w, &body->out);
    json_begin_object(&body->w);
}

int command_send(struct local_client *client, enum http_method method, const char *target,
                 struct command_body *body, yyjson_val **ret_root)
{
    json_end_object(&body->w);
    int status = command_call(client, method, target, &body->out, ret_root);
    buf_done(&body->out);
    return status;
}

int command_list(struct local_client *client, const char *target, const char *list,
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

bool command_is(const struct config_arguments *arguments, const char *verb, int more)
{
    return arguments->rest_count == more + 1 && strcmp(arguments->rest[0], verb) == 0;
}

int command_find(struct local_client *client, const char *target, const char *list,
                 const char *member, const char *name, struct id *ret)
{
    yyjson_val *root = NULL, *row;
    struct str wanted = str_from_cstr(name);
    struct error error = {0};
    size_t index, count;
    int status = command_call(client, HTTP_GET, target, NULL, &root);
    if (status)
        return status;
    yyjson_arr_foreach (json_get(root, list), index, count, row) {
        struct str id = json_get_str(row, "id");
        bool is_it = str_eq(id, wanted) || str_eq_nocase(json_get_str(row, member), wanted);
        if (is_it && id_parse(id, ret))
            return 0;
    }
    error.code =
        error_set(&error, ERR_NOT_FOUND, NULL, "there is no '%s' among the %s", name, list);
    return command_fail(&error);
}

int command_run(struct config *config, const struct config_arguments *arguments,
                const char *command, const struct command_verb *verbs)
{
    struct local_client *client;
    while (verbs->name && !command_is(arguments, verbs->name, verbs->words))
        verbs++;
    if (!verbs->name) {
        config_free(config);
        return command_usage(command);
    }
    int status = command_open(config, &client);
    if (status)
        return status;
    status = verbs->run(client, arguments);
    local_client_close(client);
    return status;
}
