/* parley key: API keys for programs. */
#include <stdio.h>
#include <string.h>

#include "app/command_client.h"
#include "base/clock.h"
#include "wire/url.h"

/* In the order of key_options in main.c. */
enum {
    OPTION_USER,
    OPTION_NAME,
    OPTION_MODEL,
    OPTION_DOOR,
    OPTION_ADDRESS,
    OPTION_EXPIRES,
    OPTION_OVERLAP,
    OPTION_KEEP_BODIES
};

static int wrong_option(const char *name, const char *what)
{
    struct error error = {0};
    error.code = error_set(&error, ERR_INVALID, name, "%s", what);
    return command_fail(&error) + 1;
}

/* ---- Times ------------------------------------------------------------------------------------
 */
/* "30d", "12h", "90m", "45s" as seconds. */
static bool parse_duration(struct str text, int64_t *ret_seconds)
{
    static const struct {
        char unit;
        int64_t seconds;
    } rows[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
    uint64_t number;
    if (text.len < 2 || !str_to_u64(str_slice(text, 0, text.len - 1), &number) ||
        number > 10000000000)
        return false;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].unit != text.data[text.len - 1])
            continue;
        *ret_seconds = (int64_t)number * rows[i].seconds;
        return true;
    }
    return false;
}

/* A duration from now, a day, or a moment (RFC 3339). */
static bool parse_moment(struct str text, int64_t *ret_ms)
{
    char moment[64];
    int64_t seconds;
    if (parse_duration(text, &seconds)) {
        *ret_ms = clock_wall_ms() + seconds * 1000;
        return true;
    }
    bool is_day = str_find_char(text, 'T') == SIZE_MAX && str_find_char(text, 't') == SIZE_MAX;
    snprintf(moment, sizeof moment, "%.*s%s", STR_ARG(text), is_day ? "T00:00:00Z" : "");
    *ret_ms = clock_parse(str_from_cstr(moment));
    return *ret_ms >= 0;
}

/* ---- Settings ---------------------------------------------------------------------------------
 */
static void put_list(struct json_writer *w, const char *name, struct str values)
{
    if (!values.data)
        return;
    if (str_eq(values, STR("any"))) {
        json_key_null(w, name);
        return;
    }
    json_key_array(w, name);
    while (values.data)
        json_put_str(w, str_trim(str_next(&values, ',')));
    json_end_array(w);
}

/* Hours; 0 and "none": not at all. The server knows how many it takes. False: not a number. */
static bool put_keep_bodies(struct json_writer *w, struct str hours)
{
    uint64_t number = 0;
    if (!hours.data)
        return true;
    if (!str_eq(hours, STR("none")) && (!str_to_u64(hours, &number) || number > INT32_MAX))
        return false;
    if (number)
        json_key_int(w, "keep_bodies_hours", (int64_t)number);
    else
        json_key_null(w, "keep_bodies_hours");
    return true;
}

/* What was given of the settings; 0, or the exit status. */
static int put_settings(struct json_writer *w, const struct config_arguments *arguments)
{
    struct str expires = arguments->own[OPTION_EXPIRES];
    int64_t expires_ms = 0;
    put_list(w, "models", arguments->own[OPTION_MODEL]);
    put_list(w, "doors", arguments->own[OPTION_DOOR]);
    put_list(w, "addresses", arguments->own[OPTION_ADDRESS]);
    if (!put_keep_bodies(w, arguments->own[OPTION_KEEP_BODIES]))
        return wrong_option("--keep-bodies", "must be a number of hours, or none");
    if (!expires.data)
        return 0;
    if (!str_eq(expires, STR("never")) && !parse_moment(expires, &expires_ms))
        return wrong_option("--expires", "must be like 30d, 2027-01-31 or never");
    json_key_time(w, "expires_at", expires_ms);
    return 0;
}

/* ---- Printing ---------------------------------------------------------------------------------
 */
static const char *state_of(yyjson_val *key)
{
    bool revoked = false;
    struct str expires = json_get_str(key, "expires_at");
    json_get_bool(key, "revoked", &revoked);
    if (revoked)
        return "revoked";
    return expires.data && clock_parse(expires) <= clock_wall_ms() ? "expired" : "active";
}

static void print_key(yyjson_val *key)
{
    printf("%.*s  %.*s...  %-8s  %.*s\n", STR_ARG(json_get_str(key, "id")),
           STR_ARG(json_get_str(key, "prefix")), state_of(key), STR_ARG(json_get_str(key, "name")));
}

static void print_member(yyjson_val *key, const char *name, const char *absent)
{
    struct arena *arena = arena_new(64 * 1024);
    yyjson_val *value = json_get(key, name), *item;
    size_t index, count;
    printf("%-18s ", name);
    yyjson_arr_foreach (value, index, count, item) {
        printf("%s%.*s", index ? ", " : "", STR_ARG(json_str(item)));
    }
    if (!yyjson_is_arr(value)) {
        struct str text = yyjson_is_str(value) ? json_str(value) : json_text(arena, value);
        printf("%.*s", STR_ARG(yyjson_is_null(value) ? str_from_cstr(absent) : text));
    }
    printf("\n");
    arena_free(arena);
}

static void print_whole_key(yyjson_val *key)
{
    static const char *const rows[][2] = {
        {"user_id", ""},           {"created_at", ""},
        {"last_used_at", "never"}, {"expires_at", "never"},
        {"models", "any"},         {"doors", "any"},
        {"addresses", "any"},      {"keep_bodies_hours", "none"},
        {"replaces", "none"},
    };
    print_key(key);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        print_member(key, rows[i][0], rows[i][1]);
}

/* The secret alone goes to standard output, so that a script can take it. */
static void print_secret(yyjson_val *root)
{
    fprintf(stderr, "This key is shown only now:\n");
    printf("%.*s\n", STR_ARG(json_get_str(root, "secret")));
}

/* ---- What it can do ---------------------------------------------------------------------------
 */
/* "/api/v1/keys/ID" and `rest`; 0, or the exit status. */
static int key_target(const struct config_arguments *arguments, const char *rest, char ret[100])
{
    struct id id;
    if (!id_parse(str_from_cstr(arguments->rest[1]), &id))
        return wrong_option("ID", "is not the id of a key; see parley key list");
    snprintf(ret, 100, "/api/v1/keys/%s%s", id.text, rest);
    return 0;
}

static int create_key(struct local_client *client, const struct config_arguments *arguments)
{
    struct command_body body;
    yyjson_val *root = NULL;
    command_body_begin(&body);
    json_key_str(&body.w, "name", str_from_cstr(arguments->rest[1]));
    if (arguments->own[OPTION_USER].data)
        json_key_str(&body.w, "user", arguments->own[OPTION_USER]);
    int status = put_settings(&body.w, arguments);
    if (status) {
        buf_done(&body.out);
        return status;
    }
    status = command_send(client, HTTP_POST, "/api/v1/keys", &body, &root);
    if (status == 0)
        print_secret(root);
    return status;
}

static int list_keys(struct local_client *client, const struct config_arguments *arguments)
{
    struct buf target;
    buf_init(&target, 4096);
    buf_append(&target, STR("/api/v1/keys"));
    if (arguments->own[OPTION_USER].data) {
        buf_append(&target, STR("?user="));
        url_encode(&target, arguments->own[OPTION_USER]);
    }
    buf_append_char(&target, '\0');
    int status = command_list(client, target.data, "keys", print_key);
    buf_done(&target);
    return status;
}

static int show_key(struct local_client *client, const struct config_arguments *arguments)
{
    char target[100];
    yyjson_val *root = NULL;
    int status = key_target(arguments, "", target);
    if (status == 0)
        status = command_call(client, HTTP_GET, target, NULL, &root);
    if (status == 0)
        print_whole_key(json_get(root, "key"));
    return status;
}

static int edit_key(struct local_client *client, const struct config_arguments *arguments)
{
    char target[100];
    struct command_body body;
    yyjson_val *root = NULL;
    int status = key_target(arguments, "", target);
    if (status)
        return status;
    command_body_begin(&body);
    if (arguments->own[OPTION_NAME].data)
        json_key_str(&body.w, "name", arguments->own[OPTION_NAME]);
    if ((status = put_settings(&body.w, arguments))) {
        buf_done(&body.out);
        return status;
    }
    status = command_send(client, HTTP_PATCH, target, &body, &root);
    if (status == 0)
        print_whole_key(json_get(root, "key"));
    return status;
}

static int rotate_key(struct local_client *client, const struct config_arguments *arguments)
{
    char target[100];
    struct command_body body;
    struct str overlap = arguments->own[OPTION_OVERLAP];
    int64_t seconds = 0;
    yyjson_val *root = NULL;
    if (overlap.data && !parse_duration(overlap, &seconds))
        return wrong_option("--overlap", "must be like 24h or 0s");
    int status = key_target(arguments, "/rotate", target);
    if (status)
        return status;
    command_body_begin(&body);
    if (overlap.data)
        json_key_int(&body.w, "overlap_seconds", seconds);
    status = command_send(client, HTTP_POST, target, &body, &root);
    if (status == 0)
        print_secret(root);
    return status;
}

static int revoke_key(struct local_client *client, const struct config_arguments *arguments)
{
    char target[100];
    yyjson_val *root = NULL;
    int status = key_target(arguments, "", target);
    return status ? status : command_call(client, HTTP_DELETE, target, NULL, &root);
}

int command_key(struct config *config, const struct config_arguments *arguments)
{
    static const struct command_verb verbs[] = {
        {"create", 1, create_key},
        {"list", 0, list_keys},
        {"show", 1, show_key},
        {"edit", 1, edit_key},
        {"rotate", 1, rotate_key},
        {"revoke", 1, revoke_key},
        {0},
    };
    return command_run(config, arguments, "key", verbs);
}
