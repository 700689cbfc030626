/* parley usage: what was used, as a table for people, or as CSV and JSON for programs. A client of
 * the REST API, like every sub-command. */
#include <stdio.h>

#include "app/command_client.h"
#include "base/utf8.h"
#include "wire/url.h"

enum option {
    OPTION_FROM,
    OPTION_TO,
    OPTION_BY,
    OPTION_USER,
    OPTION_KEY,
    OPTION_GROUP,
    OPTION_TAG,
    OPTION_MODEL,
    OPTION_COUNT
};
static const char *const option_names[OPTION_COUNT] = {"from", "to",    "by",  "user",
                                                       "key",  "group", "tag", "model"};
enum { SWITCH_CSV, SWITCH_JSON, SWITCH_ROWS };
enum { COLUMNS_MAX = 24, CELL_BYTES_MAX = 200, BY_MAX = 3 };

/* The sums, as the API names them and as people read them. */
static const struct column {
    const char *member;
    const char *title;
    bool is_told; /* in the table for people; CSV has all */
} sums[] = {
    {"requests", "requests", true},
    {"attempts", "attempts", true},
    {"errors", "errors", true},
    {"interrupted", "interrupted", false},
    {"refused", "refused", true},
    {"cached", "cached", true},
    {"shared", "shared", false},
    {"tokens_input", "input", true},
    {"tokens_cached", "of it cached", true},
    {"tokens_written", "written", false},
    {"tokens_output", "output", true},
    {"tokens_reasoning", "reasoning", false},
    {"cost_usd", "USD", true},
    {"unpriced", "unpriced", true},
};
enum { SUM_COUNT = sizeof sums / sizeof sums[0] };

struct usage {
    struct local_client *client;
    const struct config_arguments *arguments;
    struct arena *arena;
    yyjson_val *users; /* to show people by their address */
    yyjson_val *keys;  /* and keys by their name */
    struct str by[BY_MAX];
    int by_count;
    int widths[COLUMNS_MAX];
};

/* The answer as it comes. */
static int copy_answer(struct usage *usage, const char *target)
{
    struct error error = {0};
    error.code = local_client_copy(usage->client, target, stdout, &error);
    return error.code == ERR_OK ? 0 : command_fail(&error);
}

/* ---- The question ------------------------------------------------------------------------------ */

static yyjson_val *get_list(struct usage *usage, const char *target, const char *list)
{
    yyjson_val *root = NULL;
    enum err code = local_client_call(usage->client, HTTP_GET, target, STR(""), &root, NULL);
    return code == ERR_OK ? json_get(root, list) : NULL; /* then ids are shown */
}

/* The row of `list` in which `member` is `text`. */
static yyjson_val *find_row(yyjson_val *list, const char *member, struct str text)
{
    size_t index, count;
    yyjson_val *row;
    yyjson_arr_foreach (list, index, count, row) {
        if (str_eq(json_get_str(row, member), text))
            return row;
    }
    return NULL;
}

static struct str option_text(const struct usage *usage, int option)
{
    struct str text = usage->arguments->own[option];
    yyjson_val *user = option == OPTION_USER ? find_row(usage->users, "email", text) : NULL;
    return user ? json_get_str(user, "id") : text;
}

static char *make_target(struct usage *usage, const char *path, const char *format)
{
    struct buf out;
    buf_init(&out, 64 * 1024);
    buf_printf(&out, "%s?format=%s", path, format);
    for (int i = 0; i < OPTION_COUNT; i++) {
        struct str text = option_text(usage, i);
        if (!text.data)
            continue;
        buf_printf(&out, "&%s=", option_names[i]);
        url_encode(&out, text);
    }
    char *target = arena_cstr(usage->arena, buf_str(&out));
    buf_done(&out);
    return target;
}

static void read_by(struct usage *usage)
{
    struct str by = usage->arguments->own[OPTION_BY];
    while (by.len && usage->by_count < BY_MAX)
        usage->by[usage->by_count++] = str_trim(str_next(&by, ','));
}

/* ---- The table --------------------------------------------------------------------------------- */

/* People and keys by what people call them. */
static struct str shown_name(const struct usage *usage, struct str by, struct str text)
{
    struct str name = STR_NONE;
    if (!text.data)
        return STR("(total)"); /* the last line has no names: it is the whole */
    if (!text.len)
        return STR("-");
    if (str_eq(by, STR("user")))
        name = json_get_str(find_row(usage->users, "id", text), "email");
    if (str_eq(by, STR("key")))
        name = json_get_str(find_row(usage->keys, "id", text), "name");
    return name.len ? name : text;
}

/* A cell as text; what a terminal would obey is left out. */
static void cell_text(const struct usage *usage, yyjson_val *row, int column, char *ret,
                      size_t size)
{
    int64_t number = 0;
    struct str text;
    if (column < usage->by_count) {
        char *name = arena_cstr(usage->arena, usage->by[column]);
        text = shown_name(usage, usage->by[column], json_get_str(row, name));
    } else {
        const char *member = sums[column - usage->by_count].member;
        text = json_get_str(row, member);
        if (!text.data && json_get_int(row, member, &number)) {
            snprintf(ret, size, "%lld", (long long)number);
            return;
        }
    }
    str_copy(text, ret, size);
    for (char *at = ret; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
}

static bool is_shown(const struct usage *usage, int column)
{
    return column < usage->by_count || sums[column - usage->by_count].is_told;
}

static void measure_row(struct usage *usage, yyjson_val *row)
{
    char text[CELL_BYTES_MAX];
    for (int i = 0; i < usage->by_count + SUM_COUNT; i++) {
        cell_text(usage, row, i, text, sizeof text);
        int width = (int)utf8_count(str_from_cstr(text));
        usage->widths[i] = width > usage->widths[i] ? width : usage->widths[i];
    }
}

/* Names to the left, numbers to the right. */
static void print_cell(const struct usage *usage, int column, struct str text)
{
    int space = usage->widths[column] - (int)utf8_count(text);
    if (column < usage->by_count)
        printf("%.*s%*s", STR_ARG(text), space > 0 ? space : 0, "");
    else
        printf("%*s%.*s", space > 0 ? space : 0, "", STR_ARG(text));
    printf("%s", column + 1 < usage->by_count + SUM_COUNT ? "  " : "\n");
}

static void print_row(const struct usage *usage, yyjson_val *row)
{
    char text[CELL_BYTES_MAX];
    for (int i = 0; i < usage->by_count + SUM_COUNT; i++) {
        if (!is_shown(usage, i))
            continue;
        cell_text(usage, row, i, text, sizeof text);
        print_cell(usage, i, str_from_cstr(text));
    }
}

static struct str title(const struct usage *usage, int column)
{
    return column < usage->by_count ? usage->by[column]
                                    : str_from_cstr(sums[column - usage->by_count].title);
}

static void print_table(struct usage *usage, yyjson_val *root)
{
    size_t index, count;
    yyjson_val *row, *rows = json_get(root, "rows");
    bool truncated = false;
    for (int i = 0; i < usage->by_count + SUM_COUNT; i++)
        usage->widths[i] = (int)title(usage, i).len;
    measure_row(usage, json_get(root, "total"));
    yyjson_arr_foreach (rows, index, count, row) {
        measure_row(usage, row);
    }
    for (int i = 0; i < usage->by_count + SUM_COUNT; i++)
        if (is_shown(usage, i))
            print_cell(usage, i, title(usage, i));
    yyjson_arr_foreach (rows, index, count, row) {
        if (usage->by_count)
            print_row(usage, row);
    }
    print_row(usage, json_get(root, "total"));
    if (json_get_bool(root, "truncated", &truncated) && truncated)
        fprintf(stderr, "parley: only the first rows are shown; ask for fewer days or names\n");
}

/* ---- CSV --------------------------------------------------------------------------------------- */

static void print_csv_text(struct str text)
{
    putchar('"');
    if (text.len && memchr("=+-@\t\r\n", text.data[0], 7))
        putchar('\''); /* a spreadsheet would run it */
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '"')
            putchar('"');
        putchar(text.data[i]);
    }
    putchar('"');
}

static void print_csv_row(const struct usage *usage, yyjson_val *row)
{
    char text[CELL_BYTES_MAX];
    for (int i = 0; i < usage->by_count; i++) {
        print_csv_text(json_get_str(row, arena_cstr(usage->arena, usage->by[i])));
        putchar(',');
    }
    for (int i = 0; i < SUM_COUNT; i++) {
        cell_text(usage, row, usage->by_count + i, text, sizeof text);
        printf("%s%s", text, i + 1 < SUM_COUNT ? "," : "\r\n");
    }
}

static void print_csv(const struct usage *usage, yyjson_val *root)
{
    size_t index, count;
    yyjson_val *row;
    for (int i = 0; i < usage->by_count; i++)
        printf("%.*s,", STR_ARG(usage->by[i]));
    for (int i = 0; i < SUM_COUNT; i++)
        printf("%s%s", sums[i].member, i + 1 < SUM_COUNT ? "," : "\r\n");
    yyjson_arr_foreach (json_get(root, "rows"), index, count, row) {
        print_csv_row(usage, row);
    }
}

/* ---- The command ------------------------------------------------------------------------------- */

static int show_sums(struct usage *usage)
{
    yyjson_val *root = NULL;
    char *target = make_target(usage, "/api/v1/usage", "json");
    if (usage->arguments->switched[SWITCH_JSON])
        return copy_answer(usage, target);
    int status = command_call(usage->client, HTTP_GET, target, NULL, &root);
    if (status)
        return status;
    read_by(usage);
    if (usage->arguments->switched[SWITCH_CSV]) {
        print_csv(usage, root);
        return 0;
    }
    usage->keys = get_list(usage, "/api/v1/keys", "keys");
    print_table(usage, root);
    return 0;
}

static int show_rows(struct usage *usage)
{
    const char *format = usage->arguments->switched[SWITCH_JSON] ? "json" : "csv";
    char *target = make_target(usage, "/api/v1/ledger", format);
    return copy_answer(usage, target);
}

int command_show_usage(struct config *config, const struct config_arguments *arguments)
{
    struct usage usage = {.arguments = arguments};
    const bool *switched = arguments->switched;
    bool is_wrong = (switched[SWITCH_CSV] && switched[SWITCH_JSON]) ||
                    (switched[SWITCH_ROWS] && arguments->own[OPTION_BY].data);
    if (arguments->rest_count || is_wrong) {
        config_free(config);
        return command_usage("usage");
    }
    int status = command_open(config, &usage.client);
    if (status)
        return status;
    usage.arena = arena_new(SIZE_MAX);
    usage.users = get_list(&usage, "/api/v1/users", "users");
    status = switched[SWITCH_ROWS] ? show_rows(&usage) : show_sums(&usage);
    arena_free(usage.arena);
    local_client_close(usage.client);
    return status;
}
