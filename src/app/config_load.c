/* Loading the configuration: .env, environment and command line. The YAML file is in config_yaml.c.
 */
#include "app/config_load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/files.h"
#include "app/settings.h"
#include "base/vec.h"

enum { FILE_BYTES_MAX = 4 * 1024 * 1024 };

/* ---- Files ----------------------------------------------------------------------------------- */

enum err config_load_file(struct config *config, const char *path, struct error *error)
{
    struct buf text;
    buf_init(&text, FILE_BYTES_MAX);
    enum err code = file_read(path, &text, error);
    if (code == ERR_OK)
        code = config_load_yaml(config, buf_str(&text), path, error);
    buf_done(&text);
    return code;
}

static bool is_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
        if (!letter && !(i && c >= '0' && c <= '9'))
            return false;
    }
    return name.len > 0;
}

/* The value of a `.env` line without its quotes or trailing comment; false when a quote is open. */
static bool unquote(struct str *value)
{
    struct str text = str_trim(*value);
    if (text.len && (text.data[0] == '"' || text.data[0] == '\'')) {
        size_t end = str_find_char(str_skip(text, 1), text.data[0]);
        if (end == SIZE_MAX)
            return false;
        *value = str_slice(text, 1, end);
        return true;
    }
    size_t comment = str_find(*value, STR(" #"));
    *value = str_trim(str_slice(*value, 0, comment));
    return true;
}

static enum err take_env_line(struct str line, const char *path, int number, struct error *error)
{
    char name[128], value[8192];
    line = str_trim(line);
    if (line.len == 0 || line.data[0] == '#')
        return ERR_OK;
    if (str_starts_with(line, STR("export ")))
        line = str_trim(str_skip(line, 7));
    struct str left = str_trim(str_next(&line, '='));
    if (!line.data || !is_name(left) || !unquote(&line))
        return error_set(error, ERR_INVALID, NULL, "%s:%d: is not NAME=value", path, number);
    if (!str_copy(left, name, sizeof name) || !str_copy(line, value, sizeof value))
        return error_set(error, ERR_TOO_BIG, NULL, "%s:%d: is too long", path, number);
    setenv(name, value, 0);
    return ERR_OK;
}

enum err config_load_env_file(const char *path, struct error *error)
{
    struct buf text;
    buf_init(&text, FILE_BYTES_MAX);
    enum err code = file_read(path, &text, error);
    struct str rest = buf_str(&text);
    for (int number = 1; code == ERR_OK && rest.data; number++)
        code = take_env_line(str_next(&rest, '\n'), path, number, error);
    buf_done(&text);
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

/* ---- Flags ----------------------------------------------------------------------------------- */

static const char *key_of_flag(struct str name)
{
    for (size_t i = 0; i < settings_schema.flag_count; i++)
        if (str_eq(name, str_from_cstr(settings_schema.flags[i].alias)))
            return settings_schema.flags[i].key;
    return NULL;
}

static enum err unknown_flag(struct str name, struct error *error)
{
    struct str_nearest nearest = str_nearest_begin(name, 4);
    for (size_t i = 0; i < settings_schema.flag_count; i++)
        str_nearest_try(&nearest, str_from_cstr(settings_schema.flags[i].alias));
    error_set(error, ERR_INVALID, NULL, "there is no flag --%.*s", STR_ARG(name));
    if (nearest.found.data)
        error_remedy(error, "Did you mean --%.*s? Any setting: --set key=value.",
                     STR_ARG(nearest.found));
    else
        error_remedy(error, "Any setting can be given as --set key=value.");
    return ERR_INVALID;
}

/* The index of one of the sub-command's own options or switches, or -1. */
static int index_in(const char *const *names, struct str name)
{
    for (int i = 0; names && names[i]; i++)
        if (str_eq(name, str_from_cstr(names[i])))
            return i;
    return -1;
}

static bool is_own(const struct config_arguments *arguments, struct str name)
{
    return index_in(arguments->own_names, name) >= 0 ||
           index_in(arguments->switch_names, name) >= 0;
}

/* One flag at argv[*at]: its name and value; *at moves on to what follows. */
static enum err read_flag(int argc, char **argv, const struct config_arguments *arguments, int *at,
                          struct str *ret_name, struct str *ret_value, struct error *error)
{
    struct str text = str_from_cstr(argv[*at] + 2);
    *ret_name = str_slice(text, 0, str_find_char(text, '='));
    if (!str_eq(*ret_name, STR("set")) && !str_eq(*ret_name, STR("config")) &&
        !key_of_flag(*ret_name) && !is_own(arguments, *ret_name))
        return unknown_flag(*ret_name, error);
    (*at)++;
    if (index_in(arguments->switch_names, *ret_name) >= 0) {
        *ret_value = STR_NONE;
        return ret_name->len < text.len
                   ? error_set(error, ERR_INVALID, argv[*at - 1], "takes no value")
                   : ERR_OK;
    }
    if (ret_name->len < text.len) {
        *ret_value = str_skip(text, ret_name->len + 1);
        return ERR_OK;
    }
    if (*at >= argc)
        return error_set(error, ERR_INVALID, argv[*at - 1], "needs a value");
    *ret_value = str_from_cstr(argv[(*at)++]);
    return ERR_OK;
}

static bool is_flag(const char *argument)
{
    return strncmp(argument, "--", 2) == 0 && argument[2];
}

static enum err apply_flag(struct config *config, struct str name, struct str value,
                           struct error *error)
{
    struct str where = STR("--set");
    struct str key = str_from_cstr(key_of_flag(name));
    char flag[80];
    if (key.data) {
        snprintf(flag, sizeof flag, "--%.*s", STR_ARG(name));
        where = str_from_cstr(flag);
    } else {
        key = str_next(&value, '=');
        if (!value.data)
            return error_set(error, ERR_INVALID, "--set", "must be --set key=value");
    }
    return config_set(config, CONFIG_FLAG, key, value, where, error);
}

enum err config_apply_flags(struct config *config, int argc, char **argv,
                            const struct config_arguments *arguments, struct error *error)
{
    for (int at = 0; at < argc;) {
        struct str name, value;
        if (!is_flag(argv[at])) {
            at++;
            continue;
        }
        enum err code = read_flag(argc, argv, arguments, &at, &name, &value, error);
        bool is_setting = !str_eq(name, STR("config")) && !is_own(arguments, name);
        if (code == ERR_OK && is_setting)
            code = apply_flag(config, name, value, error);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

static struct str join(struct arena *arena, struct str before, struct str value)
{
    if (!before.data)
        return value;
    return arena_printf(arena, "%.*s,%.*s", STR_ARG(before), STR_ARG(value));
}

enum err config_scan_arguments(struct arena *arena, int argc, char **argv,
                               struct config_arguments *ret, struct error *error)
{
    ret->rest = ARENA_NEW_ARRAY(arena, (size_t)argc + 1, char *);
    for (int at = 0; at < argc;) {
        struct str name, value;
        if (!is_flag(argv[at])) {
            ret->rest[ret->rest_count++] = argv[at++];
            continue;
        }
        enum err code = read_flag(argc, argv, ret, &at, &name, &value, error);
        if (code != ERR_OK)
            return code;
        int own = index_in(ret->own_names, name), flipped = index_in(ret->switch_names, name);
        if (own >= 0)
            ret->own[own] = join(arena, ret->own[own], value);
        if (flipped >= 0)
            ret->switched[flipped] = true;
        if (str_eq(name, STR("config")))
            ret->config_path = arena_cstr(arena, value);
    }
    return ERR_OK;
}

/* ---- All of it ------------------------------------------------------------------------------- */

static const char *get_environment(void *user, const char *name)
{
    (void)user;
    return getenv(name);
}

static enum err load_default_file(struct config *config, struct error *error)
{
    static const char *const paths[] = {"parley.yaml", "/etc/parley/parley.yaml"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (access(paths[i], F_OK) == 0)
            return config_load_file(config, paths[i], error);
    return ERR_OK;
}

enum err config_load(struct arena *arena, int argc, char **argv, struct config **ret_config,
                     struct config_arguments *ret_arguments, struct error *error)
{
    struct config *config = config_new(&settings_schema);
    enum err code = config_scan_arguments(arena, argc, argv, ret_arguments, error);
    if (code == ERR_OK)
        code = config_load_env_file(".env", error);
    if (code == ERR_OK)
        code = ret_arguments->config_path
                   ? config_load_file(config, ret_arguments->config_path, error)
                   : load_default_file(config, error);
    if (code == ERR_OK)
        code = config_set_environment(config, get_environment, NULL, error);
    if (code == ERR_OK)
        code = config_apply_flags(config, argc, argv, ret_arguments, error);
    if (code == ERR_OK)
        *ret_config = config;
    else
        config_free(config);
    return code;
}
