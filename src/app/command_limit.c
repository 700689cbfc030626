/* parley limit: limits and budgets on the command line. */
#include <stdio.h>
#include <string.h>

#include "app/command_client.h"
#include "route/quota.h"
#include "wire/url.h"

enum { SET_WORDS = 3, TARGET_BYTES_MAX = 2048, BODY_BYTES_MAX = 64 * 1024 };

/* The path of one subject's limits, NUL-terminated. */
static void write_target(struct buf *out, const struct config_arguments *arguments)
{
    buf_append(out, STR("/api/v1/limits/"));
    url_encode(out, str_from_cstr(arguments->rest[1]));
    buf_append_char(out, '/');
    url_encode(out, str_from_cstr(arguments->rest[2]));
    buf_append_char(out, '\0');
}

/* "requests-per-minute=60"; false when it is none. */
static bool write_member(struct json_writer *w, struct str word)
{
    char name[64];
    bool is_money;
    double usd;
    int64_t count;
    str_copy(str_next(&word, '='), name, sizeof name);
    for (char *at = name; *at; at++)
        if (*at == '-')
            *at = '_';
    if (!quota_member_find(str_from_cstr(name), &is_money))
        return false;
    json_key(w, str_from_cstr(name));
    if (is_money && str_to_double(word, &usd))
        json_put_double(w, usd);
    else if (!is_money && str_to_i64(word, &count))
        json_put_int(w, count);
    else
        return false;
    return true;
}

/* False, and says which word, when one is wrong. */
static bool write_body(struct buf *body, const struct config_arguments *arguments)
{
    struct json_writer w;
    json_writer_init(&w, body);
    json_begin_object(&w);
    for (int i = SET_WORDS; i < arguments->rest_count; i++) {
        if (write_member(&w, str_from_cstr(arguments->rest[i])))
            continue;
        fprintf(stderr,
                "parley: '%s' is no limit; they are requests-per-minute, tokens-per-minute,\n"
                "requests-burst, tokens-burst, streams, and requests-, tokens-, budget- and\n"
                "soft-budget- with per-day, per-week or per-month, each with =NUMBER\n",
                arguments->rest[i]);
        return false;
    }
    json_end_object(&w);
    return true;
}

static void print_limit(yyjson_val *limit)
{
    size_t index, count;
    yyjson_val *name, *value, *limits = json_get(limit, "limits");
    struct arena *arena = arena_new(64 * 1024);
    printf("%-8.*s %-28.*s", STR_ARG(json_get_str(limit, "kind")),
           STR_ARG(json_get_str(limit, "id")));
    if (yyjson_obj_size(limits) == 0)
        printf(" none");
    yyjson_obj_foreach (limits, index, count, name, value) {
        printf(" %.*s=%.*s", STR_ARG(json_str(name)), STR_ARG(json_text(arena, value)));
    }
    printf("\n");
    arena_free(arena);
}

static int run_one(struct local_client *client, const struct config_arguments *arguments,
                   struct buf *body)
{
    struct buf target;
    yyjson_val *root = NULL;
    buf_init(&target, TARGET_BYTES_MAX);
    write_target(&target, arguments);
    int status = buf_ok(&target)
                     ? command_call(client, body ? HTTP_PUT : HTTP_DELETE, target.data, body, &root)
                     : command_usage("limit");
    if (status == 0 && body)
        print_limit(json_get(root, "limit"));
    buf_done(&target);
    return status;
}

int command_limit(struct config *config, const struct config_arguments *arguments)
{
    struct local_client *client;
    struct buf body;
    bool is_list = command_is(arguments, "list", 0),
         is_removal = command_is(arguments, "remove", 2);
    bool is_set = arguments->rest_count >= SET_WORDS && strcmp(arguments->rest[0], "set") == 0;
    buf_init(&body, BODY_BYTES_MAX);
    int status = is_list || is_removal || is_set ? 0 : command_usage("limit");
    if (is_set && !write_body(&body, arguments))
        status = 2;
    if (status) {
        config_free(config);
    } else if ((status = command_open(config, &client)) == 0) {
        status = is_list ? command_list(client, "/api/v1/limits", "limits", print_limit)
                         : run_one(client, arguments, is_set ? &body : NULL);
        local_client_close(client);
    }
    buf_done(&body);
    return status;
}
