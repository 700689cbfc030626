/* Configuration: five sources, names, types, wildcards, copies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/config.h"

static enum err check_price(struct str text, struct error *error)
{
    if (str_starts_with(text, STR("in=")))
        return ERR_OK;
    error_set(error, ERR_INVALID, NULL, "is no price");
    error_remedy(error, "Write in=2.");
    return ERR_INVALID;
}

static const struct config_key keys[] = {
    {"server.host", CONFIG_STRING, "127.0.0.1", NULL, 0, 12, false, "Host.", NULL},
    {"server.port", CONFIG_INTEGER, "8080", NULL, 0, 65535, false, "Port.", NULL},
    {"any.number", CONFIG_INTEGER, "5", NULL, 0, 0, false, "No range.", NULL},
    {"log.level", CONFIG_ENUM, "info", "debug|info|error", 0, 0, true, "Level.", NULL},
    {"feature.on", CONFIG_BOOLEAN, "false", NULL, 0, 0, true, "Switch.", NULL},
    {"secret.key", CONFIG_SECRET, NULL, NULL, 0, 0, false, "Secret.", NULL},
    {"providers.*.kind", CONFIG_STRING, NULL, NULL, 0, 0, true, "Kind.", NULL},
    {"providers.*.api_key", CONFIG_SECRET, NULL, NULL, 0, 0, true, "Key.", NULL},
    {"providers.*.enabled", CONFIG_BOOLEAN, "true", NULL, 0, 0, true, "Whether.", NULL},
    {"prices.*", CONFIG_STRING, NULL, NULL, 0, 40, true, "Price.", check_price},
};
static const struct config_alias environment[] = {
    {"PORT", "server.port"},
    {"HOST", "server.host"},
    {"FIRST_KEY", "providers.one.api_key"},
    {"SECOND_KEY", "providers.one.api_key"},
};
static const struct config_schema schema = {keys,        sizeof keys / sizeof keys[0],
                                            environment, sizeof environment / sizeof environment[0],
                                            NULL,        0};

static struct config *fresh(void)
{
    return config_new(&schema);
}

static void set(struct config *config, enum config_source source, const char *name,
                const char *text)
{
    struct error error = {0};
    if (config_set(config, source, str_from_cstr(name), str_from_cstr(text),
                   str_from_cstr(config_source_name(source)), &error) != ERR_OK)
        fail_msg("%s: %s", name, error.message);
}

static void refused(struct config *config, const char *name, const char *text, enum err code,
                    const char *message, const char *remedy)
{
    struct error error = {0};
    struct config_value before = {0}, after = {0};
    config_find(config, str_from_cstr(name), &before);
    assert_int_equal(config_check(config, str_from_cstr(name), str_from_cstr(text), NULL), code);
    assert_int_equal(
        config_set(config, CONFIG_FLAG, str_from_cstr(name), str_from_cstr(text), STR("x"), &error),
        code);
    assert_string_equal(error.field, name);
    if (!strstr(error.message, message) || strcmp(error.remedy, remedy) != 0)
        fail_msg("%s: '%s' '%s'", name, error.message, error.remedy);
    config_find(config, str_from_cstr(name), &after);
    assert_true(str_eq(before.text, after.text) && before.source == after.source);
}

static void assert_text(const struct config *config, const char *name, const char *text)
{
    struct str value = config_get(config, name);
    assert_int_equal(value.data != NULL, text != NULL);
    if (!str_eq(value, str_from_cstr(text)))
        fail_msg("%s is %.*s, not %s", name, STR_ARG(value), text);
}

static void the_higher_source_wins(void **state)
{
    (void)state;
    /* Set in every order of two, cleared from the top. */
    for (int first = 0; first < CONFIG_SOURCE_COUNT; first++) {
        struct config *config = fresh();
        for (int i = 0; i < CONFIG_SOURCE_COUNT; i++) {
            int source = (first + i) % CONFIG_SOURCE_COUNT;
            set(config, (enum config_source)source, "server.host",
                config_source_name((enum config_source)source));
        }
        for (int source = CONFIG_FLAG; source > CONFIG_DEFAULT; source--) {
            struct config_value value;
            assert_true(config_find(config, STR("server.host"), &value));
            assert_int_equal(value.source, source);
            assert_true(str_eq(value.where, str_from_cstr(config_source_name(value.source))));
            assert_text(config, "server.host", config_source_name((enum config_source)source));
            assert_int_equal(config_set(config, (enum config_source)source, STR("server.host"),
                                        STR_NONE, STR_NONE, NULL),
                             ERR_OK);
        }
        assert_text(config, "server.host", "default");
        config_free(config);
    }
}

static void defaults_hold(void **state)
{
    (void)state;
    struct config *config = fresh();
    struct config_value value;
    assert_text(config, "server.host", "127.0.0.1");
    assert_int_equal(config_get_int(config, "server.port"), 8080);
    assert_false(config_get_bool(config, "feature.on"));
    assert_text(config, "secret.key", NULL);
    assert_text(config, "providers.x.kind", NULL);
    assert_true(config_get_bool(config, "providers.x.enabled"));
    assert_text(config, "no.such", NULL);
    assert_int_equal(config_get_int(config, "no.such"), 0);
    assert_false(config_find(config, STR("no.such"), &value));
    assert_true(config_find(config, STR("server.port"), &value));
    assert_int_equal(value.source, CONFIG_DEFAULT);
    assert_int_equal(value.where.len, 0);
    assert_ptr_equal(value.key, &keys[1]);
    config_free(config);
    config_free(NULL);
}

static void unknown_names_meet_their_neighbour(void **state)
{
    (void)state;
    struct config *config = fresh();
    static const char *const rows[][2] = {
        {"server.prot", "Did you mean 'server.port'?"},
        {"serverport", "Did you mean 'server.port'?"},
        {"log.levels", "Did you mean 'log.level'?"},
        {"providers.openai.api_kye", "Did you mean 'providers.openai.api_key'?"},
        {"provider.openai.api_key", "Did you mean 'providers.openai.api_key'?"},
        {"providers.openai", "Did you mean 'providers.openai.kind'?"},
        {"providers..kind", "Did you mean 'providers.*.kind'?"},
        {"providers.a.b.knid", "Did you mean 'providers.a.b.kind'?"},
        {"providers..a.kind", "Did you mean 'providers.a.kind'?"},
        {"providers.a..b.kind", "Did you mean 'providers.b.kind'?"},
        {"prcies.gpt-5.5", "Did you mean 'prices.gpt-5.5'?"},
        {"prices.", "Did you mean 'prices.*'?"},
        {"prices.a.", "Did you mean 'prices.a'?"},
        {"something.quite.different", ""},
        {"", ""},
        {"server", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        refused(config, rows[i][0], "1", ERR_NOT_FOUND, "there is no setting", rows[i][1]);
    char longest[400];
    memset(longest, 'a', sizeof longest);
    assert_int_equal(config_check(config, STR_FROM(longest, 400), STR("1"), NULL), ERR_NOT_FOUND);
    assert_int_equal(config_set(config, CONFIG_FILE, STR("no.such"), STR_NONE, STR_NONE, NULL),
                     ERR_NOT_FOUND);
    config_free(config);
}

static void types_and_ranges(void **state)
{
    (void)state;
    struct config *config = fresh();
    static const struct {
        const char *name, *text, *message; /* no message: taken */
        enum err code;
    } rows[] = {
        {"server.port", "0", NULL, ERR_OK},
        {"server.port", "65535", NULL, ERR_OK},
        {"server.port", "65536", "must be 0 to 65535, not 65536", ERR_INVALID},
        {"server.port", "-1", "must be 0 to 65535, not -1", ERR_INVALID},
        {"server.port", "80 ", "must be a whole number, not '80 '", ERR_INVALID},
        {"server.port", "", "must be a whole number, not ''", ERR_INVALID},
        {"server.port", "1.5", "must be a whole number", ERR_INVALID},
        {"any.number", "-9223372036854775808", NULL, ERR_OK},
        {"any.number", "9223372036854775808", "must be a whole number", ERR_INVALID},
        {"log.level", "error", NULL, ERR_OK},
        {"log.level", "Error", "must be one of debug|info|error", ERR_INVALID},
        {"log.level", "debug|info", "must be one of", ERR_INVALID},
        {"log.level", "", "must be one of", ERR_INVALID},
        {"feature.on", "YES", NULL, ERR_OK},
        {"feature.on", "off", NULL, ERR_OK},
        {"feature.on", "1", NULL, ERR_OK},
        {"feature.on", "maybe", "must be true or false", ERR_INVALID},
        {"feature.on", "", "must be true or false", ERR_INVALID},
        {"server.host", "123456789012", NULL, ERR_OK},
        {"server.host", "", NULL, ERR_OK},
        {"server.host", "1234567890123", "longer than allowed", ERR_TOO_BIG},
        {"server.host", "a\rb", "control character", ERR_INVALID},
        {"secret.key", "line\nand\ttab", NULL, ERR_OK},
        {"secret.key", "\x1b", "control character", ERR_INVALID},
        {"providers.x.enabled", "true", NULL, ERR_OK},
        {"providers.x.enabled", "?", "must be true or false", ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].message) {
            refused(config, rows[i].name, rows[i].text, rows[i].code, rows[i].message, "");
        } else {
            set(config, CONFIG_FILE, rows[i].name, rows[i].text);
            assert_text(config, rows[i].name, rows[i].text);
        }
    }
    assert_int_equal(config_check(config, STR("server.host"), STR_FROM("a\0b", 3), NULL),
                     ERR_INVALID);
    static const char *const truths[] = {"true",  "yes", "on",  "1", "TRUE",
                                         "false", "no",  "off", "0"};
    for (size_t i = 0; i < sizeof truths / sizeof truths[0]; i++) {
        set(config, CONFIG_FLAG, "feature.on", truths[i]);
        assert_int_equal(config_get_bool(config, "feature.on"), i < 5);
    }
    config_free(config);
}

struct variable {
    const char *name, *value;
};

static const char *get_variable(void *user, const char *name)
{
    for (const struct variable *variable = user; variable->name; variable++)
        if (strcmp(variable->name, name) == 0)
            return variable->value;
    return NULL;
}

static void environment_variables(void **state)
{
    (void)state;
    struct config *config = fresh();
    struct config_value value;
    struct variable variables[] = {
        {"PORT", "9000"}, {"HOST", ""}, {"SECOND_KEY", "two"}, {"FIRST_KEY", "one"}, {NULL, NULL}};
    assert_int_equal(config_set_environment(config, get_variable, variables, NULL), ERR_OK);
    assert_true(config_find(config, STR("server.port"), &value));
    assert_int_equal(value.source, CONFIG_ENVIRONMENT);
    assert_true(str_eq(value.where, STR("PORT")));
    assert_text(config, "server.host", "127.0.0.1");     /* set, but empty */
    assert_text(config, "providers.one.api_key", "one"); /* the first in the table */
    config_free(config);
    config = fresh();
    struct error error = {0};
    variables[0].value = "many";
    assert_int_equal(config_set_environment(config, get_variable, variables, &error), ERR_INVALID);
    assert_string_equal(error.field, "server.port");
    config_free(config);
}

static void members_of_a_group(void **state)
{
    (void)state;
    struct config *config = fresh();
    size_t position = 0;
    struct str member;
    assert_false(config_next_member(config, "providers", &position, &member));
    set(config, CONFIG_FILE, "providers.b.api_key", "1");
    set(config, CONFIG_FLAG, "providers.a.kind", "x");
    set(config, CONFIG_STORED, "providers.b.kind", "y");
    set(config, CONFIG_STORED, "providers.gone.kind", "y");
    set(config, CONFIG_DEFAULT, "providers.only-default.kind", "y");
    assert_int_equal(
        config_set(config, CONFIG_STORED, STR("providers.gone.kind"), STR_NONE, STR_NONE, NULL),
        ERR_OK);
    set(config, CONFIG_STORED, "providers.gone.enabled", "true"); /* and back by another key */
    static const char *const expected[] = {"a", "b", "gone"};
    size_t count = 0;
    position = 0;
    while (config_next_member(config, "providers", &position, &member)) {
        assert_true(count < 3 && str_eq(member, str_from_cstr(expected[count])));
        count++;
    }
    assert_int_equal(count, 3);
    position = 0;
    assert_false(config_next_member(config, "provider", &position, &member));
    position = 0;
    assert_false(config_next_member(config, "server", &position, &member));
    config_free(config);
}

static void members_may_hold_dots(void **state)
{
    (void)state;
    struct config *config = fresh();
    set(config, CONFIG_FILE, "prices.gpt-5.5", "in=1");
    set(config, CONFIG_FILE, "prices.meta/llama.3.kind", "in=2"); /* ends as another key does */
    set(config, CONFIG_FILE, "providers.my.host.kind", "x");
    set(config, CONFIG_FILE, "providers.my.host.enabled", "true");
    set(config, CONFIG_FILE, "providers.my.kind", "x");
    refused(config, "prices.gpt-5.5", "2", ERR_INVALID, "is no price", "Write in=2.");
    assert_int_equal(config_check(config, STR("prices.a"), STR("2"), NULL), ERR_INVALID);
    assert_text(config, "prices.gpt-5.5", "in=1");
    static const char *const expected[][3] = {{"prices", "gpt-5.5", "meta/llama.3.kind"},
                                              {"providers", "my.host", "my"}};
    for (size_t i = 0; i < 2; i++) {
        struct str member;
        size_t position = 0, count = 0;
        for (; config_next_member(config, expected[i][0], &position, &member); count++)
            assert_true(count < 2 && str_eq(member, str_from_cstr(expected[i][count + 1])));
        assert_int_equal(count, 2);
    }
    config_free(config);
}

static void walking_is_in_the_order_of_the_schema(void **state)
{
    (void)state;
    struct config *config = fresh();
    set(config, CONFIG_FILE, "providers.z.enabled", "false");
    set(config, CONFIG_FILE, "providers.z.kind", "k");
    set(config, CONFIG_FILE, "providers.y.kind", "k");
    set(config, CONFIG_STORED, "providers.gone.kind", "k");
    assert_int_equal(
        config_set(config, CONFIG_STORED, STR("providers.gone.kind"), STR_NONE, STR_NONE, NULL),
        ERR_OK); /* its name is not in use any more */
    static const char *const expected[] = {
        "server.host", "server.port",      "any.number",       "log.level",          "feature.on",
        "secret.key",  "providers.z.kind", "providers.y.kind", "providers.z.enabled"};
    struct config_value value;
    size_t count = 0;
    for (size_t position = 0; config_next(config, &position, &value); count++)
        assert_true(str_eq(value.name, str_from_cstr(expected[count])));
    assert_int_equal(count, sizeof expected / sizeof expected[0]);
    config_free(config);
}

static void copies_are_independent(void **state)
{
    (void)state;
    struct config *config = fresh();
    set(config, CONFIG_FILE, "server.port", "1");
    set(config, CONFIG_FILE, "providers.a.kind", "x");
    set(config, CONFIG_DEFAULT, "server.host", "other");
    struct config *copy = config_copy(config);
    set(config, CONFIG_FLAG, "server.port", "2");
    set(copy, CONFIG_STORED, "providers.b.kind", "y");
    assert_int_equal(config_get_int(copy, "server.port"), 1);
    assert_text(config, "providers.b.kind", NULL);
    config_free(config); /* nothing of the copy is in it */
    struct config_value value;
    assert_true(config_find(copy, STR("providers.a.kind"), &value));
    assert_true(str_eq(value.name, STR("providers.a.kind")) && str_eq(value.text, STR("x")));
    assert_true(str_eq(value.where, STR("file")));
    assert_text(copy, "server.host", "other");
    assert_text(copy, "providers.b.kind", "y");
    config_free(copy);
}

static void texts_and_names_are_copied(void **state)
{
    (void)state;
    struct config *config = fresh();
    char name[] = "providers.abc.kind", text[] = "value", where[] = "here";
    assert_int_equal(config_set(config, CONFIG_FILE, str_from_cstr(name), str_from_cstr(text),
                                str_from_cstr(where), NULL),
                     ERR_OK);
    memset(name, 'X', sizeof name - 1);
    memset(text, 'X', sizeof text - 1);
    memset(where, 'X', sizeof where - 1);
    struct config_value value;
    assert_true(config_find(config, STR("providers.abc.kind"), &value));
    assert_true(str_eq(value.text, STR("value")) && str_eq(value.where, STR("here")));
    config_free(config);
    assert_string_equal(config_type_name(CONFIG_SECRET), "secret");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_higher_source_wins),
        cmocka_unit_test(defaults_hold),
        cmocka_unit_test(unknown_names_meet_their_neighbour),
        cmocka_unit_test(types_and_ranges),
        cmocka_unit_test(environment_variables),
        cmocka_unit_test(members_of_a_group),
        cmocka_unit_test(members_may_hold_dots),
        cmocka_unit_test(walking_is_in_the_order_of_the_schema),
        cmocka_unit_test(copies_are_independent),
        cmocka_unit_test(texts_and_names_are_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
