/* Loading the configuration: YAML, .env, flags, and all of it in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/config_load.h"
#include "app/settings.h"
#include "base/buf.h"

static void assert_value(const struct config *config, const char *name, const char *text)
{
    struct str value = config_get(config, name);
    if ((value.data == NULL) != (text == NULL) || !str_eq(value, str_from_cstr(text)))
        fail_msg("%s is '%.*s', not '%s'", name, STR_ARG(value), text ? text : "(none)");
}

static void assert_where(const struct config *config, const char *name, enum config_source source,
                         const char *where)
{
    struct config_value value;
    assert_true(config_find(config, str_from_cstr(name), &value));
    assert_int_equal(value.source, source);
    if (!str_eq(value.where, str_from_cstr(where)))
        fail_msg("%s comes from %.*s", name, STR_ARG(value.where));
}

static void nested_yaml(void **state)
{
    (void)state;
    struct config *config = config_new(&settings_schema);
    struct error error = {0};
    static const char text[] = "# a comment\n"
                               "server:\n"
                               "  port: 9000\n"
                               "  host: \"::1\"   # quoted\n"
                               "  allowed_origins: [ 'https://a', https://b ]\n"
                               "log.level: debug\n"
                               "tls:\n"
                               "  cert:\n"
                               "  key: ~\n"
                               "  ca: null\n"
                               "providers:\n"
                               "  local:\n"
                               "    kind: openai-compatible\n"
                               "    models:\n"
                               "      - one\n"
                               "      - two\n"
                               "      - ~\n"
                               "    models_only: yes\n"
                               "  other: {kind: ollama, enabled: false}\n"
                               "proxy: {}\n"
                               "chat:\n"
                               "  default_model: \"null\"\n"
                               "data: {directory: ''}\n";
    if (config_load_yaml(config, STR_FROM(text, sizeof text - 1), "p.yaml", &error) != ERR_OK)
        fail_msg("%s", error.message);
    assert_int_equal(config_get_int(config, "server.port"), 9000);
    assert_value(config, "server.host", "::1");
    assert_value(config, "server.allowed_origins", "https://a,https://b");
    assert_value(config, "log.level", "debug");
    assert_value(config, "tls.cert", NULL);
    assert_value(config, "tls.key", NULL);
    assert_value(config, "tls.ca", NULL);
    assert_value(config, "providers.local.models", "one,two");
    assert_true(config_get_bool(config, "providers.local.models_only"));
    assert_false(config_get_bool(config, "providers.other.enabled"));
    assert_value(config, "chat.default_model", "null"); /* quoted: the word */
    assert_value(config, "data.directory", "");         /* quoted: empty, not absent */
    assert_where(config, "server.port", CONFIG_FILE, "p.yaml:3");
    assert_where(config, "providers.other.kind", CONFIG_FILE, "p.yaml:19");
    assert_where(config, "tls.cert", CONFIG_DEFAULT, NULL);
    config_free(config);
}

static void wrong_yaml_names_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err code;
        const char *message, *remedy;
    } rows[] = {
        {"server:\n  prot: 1\n", ERR_NOT_FOUND,
         "p.yaml:2: server.prot: there is no setting 'server.prot'", "Did you mean 'server.port'?"},
        {"providers:\n  x:\n    api_kye: 1\n", ERR_NOT_FOUND,
         "p.yaml:3: providers.x.api_kye: ", "Did you mean 'providers.x.api_key'?"},
        {"a: 1\n", ERR_NOT_FOUND, "p.yaml:1: a: there is no setting 'a'", ""},
        {"\n\nserver: 5\n", ERR_NOT_FOUND, "p.yaml:3: server: ", ""},
        {"server:\n  port: many\n", ERR_INVALID,
         "p.yaml:2: server.port: must be a whole number, not 'many'", ""},
        {"server:\n  port: 70000\n", ERR_INVALID, "p.yaml:2: server.port: must be 0 to 65535", ""},
        {"server:\n  port: [1, 2]\n", ERR_INVALID, "p.yaml:2: server.port: must be a whole", ""},
        {"server:\n  port: {a: 1}\n", ERR_NOT_FOUND, "p.yaml:2: server.port.a: ", "*"},
        {"log:\n  level: loud\n", ERR_INVALID, "p.yaml:2: log.level: must be one of debug|", ""},
        {"providers:\n  x:\n    enabled: perhaps\n", ERR_INVALID,
         "p.yaml:3: providers.x.enabled: ", ""},
        {"proxy:\n  no:\n    - a\n    - [b]\n", ERR_INVALID, "p.yaml:4: a list is not expected",
         ""},
        {"proxy:\n  no:\n    - a\n    - b: c\n", ERR_INVALID, "p.yaml:4: a list may hold simple",
         ""},
        {"- a\n- b\n", ERR_INVALID, "p.yaml:1: a list is not expected here", ""},
        {"just text\n", ERR_INVALID, "p.yaml:1: settings are written as key: value", ""},
        {"42", ERR_INVALID, "p.yaml:1: settings are written", ""},
        {"? [a]\n: b\n", ERR_INVALID, "p.yaml:1: a list is not expected here", ""},
        {"server: &x\n  port: 1\nlog: *x\n", ERR_INVALID, "p.yaml:3: aliases are not supported",
         ""},
        {"server:\n  <<: *x\n", ERR_INVALID, "p.yaml:2: aliases are not supported", ""},
        {"server:\n  port: 1\n bad: 2\n", ERR_INVALID, "p.yaml:3: ", ""},
        {"server: {port: 1\n", ERR_INVALID, "p.yaml:", ""},
        {"server: \"open\n", ERR_INVALID, "p.yaml:", ""},
        {"server:\n\tport: 1\n", ERR_INVALID, "p.yaml:2: ", ""},
        {"\xFF\xFE\xFD", ERR_INVALID, "p.yaml:", ""},
        {"server:\n  host: \"\\e[31m\"\n", ERR_INVALID, "p.yaml:2: server.host: contains a control",
         ""},
        {"a: {b: {c: {d: {e: {f: {g: {h: {i: 1}}}}}}}}\n", ERR_INVALID,
         "p.yaml:1: nested too deeply", ""},
        {"a:\n  b: {c: {d: {e: {f: {g: {h: [1]}}}}}}\n", ERR_INVALID, "p.yaml:2: nested too deeply",
         ""},
        {"a: {b: {c: {d: {e: {f: {g: {h: 1}}}}}}}\n", ERR_NOT_FOUND,
         "p.yaml:1: a.b.c.d.e.f.g.h: ", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config *config = config_new(&settings_schema);
        struct error error = {0};
        enum err code = config_load_yaml(config, str_from_cstr(rows[i].text), "p.yaml", &error);
        bool remedy_is_right =
            rows[i].remedy[0] == '*' || strcmp(error.remedy, rows[i].remedy) == 0;
        if (code != rows[i].code || !remedy_is_right ||
            strncmp(error.message, rows[i].message, strlen(rows[i].message)) != 0)
            fail_msg("%s\n%d '%s' '%s'", rows[i].text, code, error.message, error.remedy);
        assert_int_equal(config_load_yaml(config, str_from_cstr(rows[i].text), "p.yaml", NULL),
                         code);
        config_free(config);
    }
}

static void nothing_in_a_file_is_fine(void **state)
{
    (void)state;
    static const char *const rows[] = {"", "\n", "# only a comment\n", "---\n", "---\n...\n", "{}"};
    struct config *config = config_new(&settings_schema);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(config_load_yaml(config, str_from_cstr(rows[i]), "p", NULL), ERR_OK);
    assert_int_equal(config_load_yaml(config, STR_NONE, "p", NULL), ERR_OK);
    config_free(config);
}

static void names_and_lists_have_limits(void **state)
{
    (void)state;
    struct config *config = config_new(&settings_schema);
    struct error error;
    struct buf text;
    buf_init(&text, 100000);
    for (int i = 0; i < 250; i++)
        buf_append_char(&text, 'k');
    buf_append(&text, STR(": 1\n"));
    assert_int_equal(config_load_yaml(config, buf_str(&text), "p", &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "too long"));
    buf_clear(&text);
    buf_append(&text, STR("providers:\n  x:\n    models: ["));
    for (int i = 0; i < 4100; i++)
        buf_append(&text, STR("m,"));
    buf_append(&text, STR("m]\n"));
    assert_int_equal(config_load_yaml(config, buf_str(&text), "p", &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "p:3: the list is too long"));
    buf_done(&text);
    config_free(config);
}

/* A directory of its own, entered and left. */
struct place {
    char path[64];
    int back;
};

static void enter(struct place *place)
{
    strcpy(place->path, "/tmp/parley-test-XXXXXX");
    assert_non_null(mkdtemp(place->path));
    place->back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chdir(place->path), 0);
}

static void leave(struct place *place)
{
    static const char *const files[] = {"parley.yaml", "other.yaml", ".env"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(files[i]);
    assert_int_equal(fchdir(place->back), 0);
    close(place->back);
    assert_int_equal(rmdir(place->path), 0);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void files_that_cannot_be_read(void **state)
{
    (void)state;
    struct place place;
    struct config *config = config_new(&settings_schema);
    struct error error;
    enter(&place);
    assert_int_equal(config_load_file(config, "other.yaml", &error), ERR_NOT_FOUND);
    assert_string_equal(error.message, "other.yaml does not exist");
    assert_int_equal(config_load_file(config, ".", &error), ERR_STORAGE);
    write_file("other.yaml", "server:\n  port: 81\n");
    assert_int_equal(config_load_file(config, "other.yaml", &error), ERR_OK);
    assert_where(config, "server.port", CONFIG_FILE, "other.yaml:2");
    assert_int_equal(truncate("other.yaml", 5 * 1024 * 1024), 0);
    assert_int_equal(config_load_file(config, "other.yaml", &error), ERR_TOO_BIG);
    leave(&place);
    config_free(config);
}

static void env_files(void **state)
{
    (void)state;
    static const struct {
        const char *line, *value;
    } rows[] = {
        {"T_A=plain", "plain"},
        {"  T_A = spaced out  ", "spaced out"},
        {"export T_A=exported", "exported"},
        {"T_A=", ""},
        {"T_A=a=b", "a=b"},
        {"T_A=value # comment", "value"},
        {"T_A=# not a value", "# not a value"},
        {"T_A= # comment", ""},
        {"T_A=a#b", "a#b"},
        {"T_A=\" quoted # text \"", " quoted # text "},
        {"T_A='single \"quoted\"' # comment", "single \"quoted\""},
        {"T_A=\"\"", ""},
        {"T_A=\"c:\\n\"", "c:\\n"}, /* no escapes */
        {"T_A=windows\r", "windows"},
    };
    struct place place;
    enter(&place);
    assert_int_equal(config_load_env_file(".env", NULL), ERR_OK); /* there is none */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[200];
        unsetenv("T_A");
        snprintf(text, sizeof text, "# comment\n\n%s\nT_AFTER=1\n", rows[i].line);
        write_file(".env", text);
        assert_int_equal(config_load_env_file(".env", NULL), ERR_OK);
        if (!getenv("T_A") || strcmp(getenv("T_A"), rows[i].value) != 0)
            fail_msg("%s gave %s", rows[i].line, getenv("T_A"));
        assert_string_equal(getenv("T_AFTER"), "1");
        unsetenv("T_AFTER");
    }
    setenv("T_A", "of the process", 1);
    write_file(".env", "T_A=of the file");
    assert_int_equal(config_load_env_file(".env", NULL), ERR_OK);
    assert_string_equal(getenv("T_A"), "of the process");
    unsetenv("T_A");
    leave(&place);
}

static void wrong_env_files_name_their_line(void **state)
{
    (void)state;
    static const char *const rows[] = {"T_A",   "=value",     "1A=x",        "T-A=x",
                                       "T A=x", "T_A=\"open", "T_A='open\"", "export T_A"};
    struct place place;
    enter(&place);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error error = {0};
        char text[200];
        snprintf(text, sizeof text, "\n# fine\n%s\n", rows[i]);
        write_file(".env", text);
        assert_int_equal(config_load_env_file(".env", &error), ERR_INVALID);
        assert_string_equal(error.message, ".env:3: is not NAME=value");
        assert_null(getenv("T_A"));
    }
    char text[9000] = "T_A=";
    memset(text + 4, 'x', 8500);
    write_file(".env", text);
    struct error error = {0};
    assert_int_equal(config_load_env_file(".env", &error), ERR_TOO_BIG);
    assert_string_equal(error.message, ".env:1: is too long");
    leave(&place);
}

/* An argument list as main gets it: NULL-terminated, and counted here. */
#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

static int count_of(const char *const *argv)
{
    int count = 0;
    while (argv[count])
        count++;
    return count;
}

static enum err apply(struct config *config, const char *const *argv, struct error *error)
{
    struct config_arguments none = {0};
    return config_apply_flags(config, count_of(argv), (char **)(uintptr_t)argv, &none, error);
}

static void flags(void **state)
{
    (void)state;
    struct config *config = config_new(&settings_schema);
    assert_int_equal(
        apply(config,
              ARGV("serve", "--port", "81", "--host=0.0.0.0", "--set", "log.level=debug",
                   "--set=tls.cert=a=b", "--config", "x", "rest", "-", "--", "-x"),
              NULL),
        ERR_OK);
    assert_int_equal(config_get_int(config, "server.port"), 81);
    assert_value(config, "server.host", "0.0.0.0");
    assert_value(config, "log.level", "debug");
    assert_value(config, "tls.cert", "a=b");
    assert_where(config, "server.port", CONFIG_FLAG, "--port");
    assert_where(config, "log.level", CONFIG_FLAG, "--set");
    assert_int_equal(apply(config, ARGV("--port", "82", "--port=83", "--set", "tls.cert="), NULL),
                     ERR_OK);
    assert_int_equal(config_get_int(config, "server.port"), 83);
    assert_value(config, "tls.cert", "");
    config_free(config);
}

static void wrong_flags(void **state)
{
    (void)state;
    static const struct {
        const char *argv[3];
        enum err code;
        const char *message, *remedy;
    } rows[] = {
        {{"--prot", "1"},
         ERR_INVALID,
         "there is no flag --prot",
         "Did you mean --port? Any setting: --set key=value."},
        {{"--prot"},
         ERR_INVALID,
         "there is no flag --prot",
         "Did you mean --port? Any setting: --set key=value."},
        {{"--log-levle=debug"},
         ERR_INVALID,
         "there is no flag --log-levle",
         "Did you mean --log-level? Any setting: --set key=value."},
        {{"--something-else", "1"},
         ERR_INVALID,
         "there is no flag --something-else",
         "Any setting can be given as --set key=value."},
        {{"--=x"}, ERR_INVALID, "there is no flag --", "*"},
        {{"--port"}, ERR_INVALID, "needs a value", ""},
        {{"x", "--set"}, ERR_INVALID, "needs a value", ""},
        {{"--port="}, ERR_INVALID, "must be a whole number, not ''", ""},
        {{"--port", "--host"}, ERR_INVALID, "must be a whole number, not '--host'", ""},
        {{"--set", "server.port"}, ERR_INVALID, "must be --set key=value", ""},
        {{"--set", "server.prot=1"},
         ERR_NOT_FOUND,
         "there is no setting 'server.prot'",
         "Did you mean 'server.port'?"},
        {{"--set", "=1"}, ERR_NOT_FOUND, "there is no setting ''", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config *config = config_new(&settings_schema);
        struct error error = {0};
        enum err code = apply(config, rows[i].argv, &error);
        if (code != rows[i].code || strcmp(error.message, rows[i].message) != 0 ||
            (rows[i].remedy[0] != '*' && strcmp(error.remedy, rows[i].remedy) != 0))
            fail_msg("%s: %d '%s' '%s'", rows[i].argv[0], code, error.message, error.remedy);
        config_free(config);
    }
}

static void scanning_leaves_the_rest(void **state)
{
    (void)state;
    static const char *const own_names[] = {"model", "url", NULL};
    struct arena *arena = arena_new(SIZE_MAX);
    struct config_arguments arguments = {.own_names = own_names};
    struct error error = {0};
    char **argv = (char **)(uintptr_t)ARGV("one", "--port", "81", "--url=http://a", "two",
                                           "--config", "p.yaml", "-h");
    assert_int_equal(config_scan_arguments(arena, 8, argv, &arguments, &error), ERR_OK);
    assert_string_equal(arguments.config_path, "p.yaml");
    assert_null(arguments.own[0].data);
    assert_true(str_eq(arguments.own[1], STR("http://a")));
    assert_int_equal(arguments.rest_count, 3);
    assert_string_equal(arguments.rest[0], "one");
    assert_string_equal(arguments.rest[1], "two");
    assert_string_equal(arguments.rest[2], "-h");
    assert_null(arguments.rest[3]);
    struct config *config = config_new(&settings_schema);
    assert_int_equal(config_apply_flags(config, 8, argv, &arguments, &error), ERR_OK);
    assert_int_equal(config_get_int(config, "server.port"), 81);
    config_free(config);
    arguments = (struct config_arguments){0};
    assert_int_equal(config_scan_arguments(arena, 8, argv, &arguments, &error), ERR_INVALID);
    assert_string_equal(error.message, "there is no flag --url");
    arena_free(arena);
}

static void switches_take_no_value(void **state)
{
    (void)state;
    static const char *const switch_names[] = {"fast", "json", NULL};
    struct arena *arena = arena_new(SIZE_MAX);
    struct config_arguments arguments = {.switch_names = switch_names};
    struct error error = {0};
    char **argv = (char **)(uintptr_t)ARGV("--json", "one", "--port", "81");
    assert_int_equal(config_scan_arguments(arena, 4, argv, &arguments, &error), ERR_OK);
    assert_false(arguments.switched[0]);
    assert_true(arguments.switched[1]);
    assert_int_equal(arguments.rest_count, 1);
    assert_string_equal(arguments.rest[0], "one");
    struct config *config = config_new(&settings_schema);
    assert_int_equal(config_apply_flags(config, 4, argv, &arguments, &error), ERR_OK);
    assert_int_equal(config_get_int(config, "server.port"), 81);
    config_free(config);
    argv = (char **)(uintptr_t)ARGV("--json=yes");
    assert_int_equal(config_scan_arguments(arena, 1, argv, &arguments, &error), ERR_INVALID);
    assert_string_equal(error.message, "takes no value");
    arena_free(arena);
}

static enum err load(const char *const *argv, struct config **ret_config, struct error *error)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct config_arguments arguments = {0};
    enum err code =
        config_load(arena, count_of(argv), (char **)(uintptr_t)argv, ret_config, &arguments, error);
    arena_free(arena);
    return code;
}

static void all_sources_in_order(void **state)
{
    (void)state;
    static const char *const names[] = {"PORT", "HOST", "PARLEY_LOOPS", "PARLEY_LOG_LEVEL",
                                        "DATA_DIR"};
    struct place place;
    struct config *config = NULL;
    struct error error = {0};
    enter(&place);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unsetenv(names[i]);
    write_file("parley.yaml", "server: {host: file, port: 1, loops: 1}\nlog: {level: debug}\n");
    write_file(".env", "PORT=2\nPARLEY_LOOPS=2\nDATA_DIR=env-file\n");
    setenv("DATA_DIR", "process", 1);
    assert_int_equal(load(ARGV("serve", "--loops", "3"), &config, &error), ERR_OK);
    assert_where(config, "server.host", CONFIG_FILE, "parley.yaml:1");
    assert_where(config, "server.port", CONFIG_ENVIRONMENT, "PORT");
    assert_int_equal(config_get_int(config, "server.port"), 2);
    assert_where(config, "server.loops", CONFIG_FLAG, "--loops");
    assert_int_equal(config_get_int(config, "server.loops"), 3);
    assert_value(config, "data.directory", "process");
    assert_value(config, "log.level", "debug");
    assert_where(config, "log.format", CONFIG_DEFAULT, NULL);
    config_free(config);

    write_file("other.yaml", "server: {host: other}\n");
    assert_int_equal(load(ARGV("--config=other.yaml"), &config, &error), ERR_OK);
    assert_where(config, "server.host", CONFIG_FILE, "other.yaml:1");
    assert_value(config, "log.level", "info");
    config_free(config);

    config = NULL;
    assert_int_equal(load(ARGV("--config", "missing.yaml"), &config, &error), ERR_NOT_FOUND);
    assert_int_equal(load(ARGV("--port", "many"), &config, &error), ERR_INVALID);
    write_file("parley.yaml", "server: {prot: 1}\n");
    assert_int_equal(load(ARGV("serve"), &config, &error), ERR_NOT_FOUND);
    write_file(".env", "broken\n");
    assert_int_equal(load(ARGV("serve"), &config, &error), ERR_INVALID);
    assert_null(config);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unsetenv(names[i]);
    leave(&place);
}

static void the_table_of_settings_is_sound(void **state)
{
    (void)state;
    struct config *config = config_new(&settings_schema);
    const struct config_schema *schema = &settings_schema;
    for (size_t i = 0; i < schema->key_count; i++) { /* every default is of its type and range */
        const struct config_key *key = &schema->keys[i];
        const char *star = strchr(key->name, '*');
        char name[256]; /* a full one, with something chosen in place of `*` */
        struct error error = {0};
        snprintf(name, sizeof name, "%.*s%s%s", star ? (int)(star - key->name) : 255, key->name,
                 star ? "gpt-5.5" : "", star ? star + 1 : "");
        if (key->default_text && config_check(config, str_from_cstr(name),
                                              str_from_cstr(key->default_text), &error) != ERR_OK)
            fail_msg("%s: %s", key->name, error.message);
        assert_true(key->description && key->description[0]);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(schema->keys[j].name, key->name);
    }
    const struct config_alias *const tables[] = {schema->environment, schema->flags};
    const size_t counts[] = {schema->environment_count, schema->flag_count};
    for (int t = 0; t < 2; t++) /* every alias names a key */
        for (size_t i = 0; i < counts[t]; i++) {
            struct config_value value;
            if (!config_find(config, str_from_cstr(tables[t][i].key), &value))
                fail_msg("%s", tables[t][i].key);
        }
    config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nested_yaml),
        cmocka_unit_test(wrong_yaml_names_its_line),
        cmocka_unit_test(nothing_in_a_file_is_fine),
        cmocka_unit_test(names_and_lists_have_limits),
        cmocka_unit_test(files_that_cannot_be_read),
        cmocka_unit_test(env_files),
        cmocka_unit_test(wrong_env_files_name_their_line),
        cmocka_unit_test(flags),
        cmocka_unit_test(wrong_flags),
        cmocka_unit_test(scanning_leaves_the_rest),
        cmocka_unit_test(switches_take_no_value),
        cmocka_unit_test(all_sources_in_order),
        cmocka_unit_test(the_table_of_settings_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
