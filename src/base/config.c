/* Configuration: a list of entries, one for each full name, with a text per source. */
#include "base/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/utf8.h"

enum {
    NAME_BYTES_MAX = 200,
    VALUE_BYTES_MAX = 16 * 1024,
    ENTRIES_MAX = 4096,
    GROUP_DISTANCE_MAX = 2
};

struct entry {
    const struct config_key *key;
    struct str name;
    struct str text[CONFIG_SOURCE_COUNT];
    struct str where[CONFIG_SOURCE_COUNT];
};

struct config {
    const struct config_schema *schema;
    struct arena *arena; /* of all names and texts */
    struct entry *entries;
    size_t count;
    size_t capacity;
};

const char *config_source_name(enum config_source source)
{
    static const char *const names[] = {"default", "stored", "file", "environment", "flag"};
    return names[source];
}

const char *config_type_name(enum config_type type)
{
    static const char *const names[] = {"string", "integer", "boolean", "enum", "secret"};
    return names[type];
}

/* What stands in `name` where `pattern` has its `*`, dots included ("gpt-5.5"); STR_NONE when it is
 * no such name. */
static struct str member_in(struct str pattern, struct str name)
{
    size_t star = str_find_char(pattern, '*');
    if (star == SIZE_MAX)
        return STR_NONE;
    struct str before = str_slice(pattern, 0, star), after = str_skip(pattern, star + 1);
    if (!str_starts_with(name, before) || !str_ends_with(name, after) ||
        name.len <= before.len + after.len)
        return STR_NONE;
    struct str member = str_slice(name, star, name.len - before.len - after.len);
    bool empty_word = member.data[0] == '.' || member.data[member.len - 1] == '.' ||
                      str_find(member, STR("..")) != SIZE_MAX;
    return empty_word ? STR_NONE : member;
}

static bool matches(const char *pattern, struct str name)
{
    struct str whole = str_from_cstr(pattern);
    return str_eq(whole, name) ? !strchr(pattern, '*') : member_in(whole, name).data != NULL;
}

static const struct config_key *find_key(const struct config *config, struct str name)
{
    for (size_t i = 0; i < config->schema->key_count; i++)
        if (matches(config->schema->keys[i].name, name))
            return &config->schema->keys[i];
    return NULL;
}

static struct entry *find_entry(const struct config *config, struct str name)
{
    for (size_t i = 0; i < config->count; i++)
        if (str_eq(config->entries[i].name, name))
            return &config->entries[i];
    return NULL;
}

/* Entries stand in the order of their keys in the schema, then in the order of their making. */
static struct entry *add_entry(struct config *config, const struct config_key *key, struct str name)
{
    if (config->count == config->capacity) {
        config->capacity = config->capacity ? config->capacity * 2 : 64;
        config->entries = realloc(config->entries, config->capacity * sizeof *config->entries);
        ASSERT(config->entries);
    }
    size_t at = config->count;
    while (at > 0 && config->entries[at - 1].key > key)
        at--;
    memmove(&config->entries[at + 1], &config->entries[at],
            (config->count - at) * sizeof *config->entries);
    config->entries[at] = (struct entry){.key = key, .name = arena_str(config->arena, name)};
    config->count++;
    return &config->entries[at];
}

struct config *config_new(const struct config_schema *schema)
{
    struct config *config = calloc(1, sizeof *config);
    ASSERT(config);
    config->schema = schema;
    config->arena = arena_new(SIZE_MAX);
    for (size_t i = 0; i < schema->key_count; i++) {
        const struct config_key *key = &schema->keys[i];
        if (!strchr(key->name, '*'))
            add_entry(config, key, str_from_cstr(key->name))->text[CONFIG_DEFAULT] =
                str_from_cstr(key->default_text);
    }
    return config;
}

struct config *config_copy(const struct config *config)
{
    struct config *copy = config_new(config->schema);
    for (size_t i = 0; i < config->count; i++) {
        const struct entry *from = &config->entries[i];
        struct entry *to = find_entry(copy, from->name);
        if (!to)
            to = add_entry(copy, from->key, from->name);
        for (int source = 0; source < CONFIG_SOURCE_COUNT; source++) {
            to->text[source] = arena_str(copy->arena, from->text[source]);
            to->where[source] = arena_str(copy->arena, from->where[source]);
        }
    }
    return copy;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    arena_free(config->arena);
    free(config->entries);
    free(config);
}

/* Offset of the last dot, or SIZE_MAX. */
static size_t last_dot(struct str s)
{
    size_t at = s.len;
    while (at > 0 && s.data[at - 1] != '.')
        at--;
    return at > 0 ? at - 1 : SIZE_MAX;
}

/* What of a wrong `name` most likely stands where the `*` of `pattern` is, or the `*` itself: all
 * but as many words as the pattern has before and behind it, without empty ones. */
static struct str member_near(struct str pattern, size_t star, struct str name)
{
    for (size_t i = 0; i < star; i++)
        if (pattern.data[i] == '.')
            str_next(&name, '.');
    for (size_t i = star; i < pattern.len; i++)
        if (pattern.data[i] == '.')
            name = str_slice(name, 0, last_dot(name));
    for (size_t at; (at = str_find(name, STR(".."))) != SIZE_MAX;)
        name = str_skip(name, at + 1);
    name = str_skip(name, str_starts_with(name, STR(".")));
    name.len -= str_ends_with(name, STR("."));
    return name.len ? name : STR("*");
}

/* The declared name nearest to `name`, with its own member in place of a `*`; empty when none is
 * near. */
static void suggest(const struct config *config, struct str name, char *ret, size_t size)
{
    size_t best = name.len / 3 + 2;
    ret[0] = '\0';
    for (size_t i = 0; i < config->schema->key_count; i++) {
        struct str pattern = str_from_cstr(config->schema->keys[i].name);
        char candidate[NAME_BYTES_MAX];
        size_t star = str_find_char(pattern, '*');
        struct str word = star == SIZE_MAX ? STR("") : member_near(pattern, star, name);
        snprintf(candidate, sizeof candidate, "%.*s%.*s%.*s", STR_ARG(str_slice(pattern, 0, star)),
                 STR_ARG(word), STR_ARG(star == SIZE_MAX ? STR("") : str_skip(pattern, star + 1)));
        size_t distance = str_distance(name, str_from_cstr(candidate));
        /* Of "prices.*" only the group can be wrong, so that it is not what a far one meant. */
        bool is_far = star + 1 == pattern.len && distance > GROUP_DISTANCE_MAX;
        if (distance < best && !is_far) {
            best = distance;
            str_copy(str_from_cstr(candidate), ret, size);
        }
    }
}

static enum err unknown_key(const struct config *config, struct str name, struct error *error)
{
    char nearest[NAME_BYTES_MAX], field[NAME_BYTES_MAX];
    suggest(config, name, nearest, sizeof nearest);
    str_copy(name, field, sizeof field);
    error_set(error, ERR_NOT_FOUND, field, "there is no setting '%s'", field);
    if (nearest[0])
        error_remedy(error, "Did you mean '%s'?", nearest);
    return ERR_NOT_FOUND;
}

static bool is_boolean(struct str text, bool *ret)
{
    static const char *const words[][2] = {
        {"false", "true"}, {"no", "yes"}, {"off", "on"}, {"0", "1"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        for (int value = 0; value < 2; value++)
            if (str_eq_nocase(text, str_from_cstr(words[i][value]))) {
                *ret = value;
                return true;
            }
    return false;
}

bool config_text_is_true(struct str text)
{
    bool value;
    return is_boolean(text, &value) && value;
}

static bool is_option(const char *options, struct str text)
{
    struct str rest = str_from_cstr(options);
    while (rest.data)
        if (str_eq(str_next(&rest, '|'), text))
            return true;
    return false;
}

static enum err check_integer(const struct config_key *key, const char *field, struct str text,
                              struct error *error)
{
    int64_t number;
    if (!str_to_i64(text, &number))
        return error_set(error, ERR_INVALID, field, "must be a whole number, not '%.*s'",
                         (int)utf8_cut(text, 80), text.data ? text.data : "");
    if (key->maximum > key->minimum && (number < key->minimum || number > key->maximum))
        return error_set(error, ERR_INVALID, field, "must be %lld to %lld, not %lld",
                         (long long)key->minimum, (long long)key->maximum, (long long)number);
    return ERR_OK;
}

static enum err check_further(const struct config_key *key, const char *field, struct str text,
                              struct error *error)
{
    enum err code = key->check ? key->check(text, error) : ERR_OK;
    if (code != ERR_OK && error)
        str_copy(str_from_cstr(field), error->field, sizeof error->field);
    return code;
}

static enum err check_value(const struct config_key *key, struct str name, struct str text,
                            struct error *error)
{
    char field[NAME_BYTES_MAX];
    bool truth;
    str_copy(name, field, sizeof field);
    switch (key->type) {
    case CONFIG_INTEGER:
        return check_integer(key, field, text, error);
    case CONFIG_BOOLEAN:
        if (!is_boolean(text, &truth))
            return error_set(error, ERR_INVALID, field, "must be true or false");
        return ERR_OK;
    case CONFIG_ENUM:
        if (!is_option(key->options, text))
            return error_set(error, ERR_INVALID, field, "must be one of %s", key->options);
        return ERR_OK;
    case CONFIG_STRING:
    case CONFIG_SECRET:
        if (text.len > (size_t)(key->maximum > 0 ? key->maximum : VALUE_BYTES_MAX))
            return error_set(error, ERR_TOO_BIG, field, "is longer than allowed");
        for (size_t i = 0; i < text.len; i++)
            if ((unsigned char)text.data[i] < ' ' && text.data[i] != '\n' && text.data[i] != '\t')
                return error_set(error, ERR_INVALID, field, "contains a control character");
        return check_further(key, field, text, error);
    }
    return ERR_OK;
}

enum err config_check(const struct config *config, struct str name, struct str text,
                      struct error *error)
{
    const struct config_key *key = name.len < NAME_BYTES_MAX ? find_key(config, name) : NULL;
    return key ? check_value(key, name, text, error) : unknown_key(config, name, error);
}

enum err config_set(struct config *config, enum config_source source, struct str name,
                    struct str text, struct str where, struct error *error)
{
    if (text.data) {
        enum err code = config_check(config, name, text, error);
        if (code != ERR_OK)
            return code;
    }
    struct entry *entry = find_entry(config, name);
    if (!entry) {
        const struct config_key *key = find_key(config, name);
        if (!key)
            return unknown_key(config, name, error);
        if (!text.data)
            return ERR_OK;
        if (config->count >= ENTRIES_MAX)
            return error_set(error, ERR_TOO_BIG, NULL, "more than %d settings", ENTRIES_MAX);
        entry = add_entry(config, key, name);
        entry->text[CONFIG_DEFAULT] = str_from_cstr(key->default_text);
    }
    entry->text[source] = arena_str(config->arena, text);
    entry->where[source] = arena_str(config->arena, where);
    return ERR_OK;
}

/* Says which variable it was: the person knows it by that name. */
static void name_variable(struct error *error, const char *variable)
{
    if (!error)
        return;
    char message[sizeof error->message];
    snprintf(message, sizeof message, "%s", error->message);
    snprintf(error->message, sizeof error->message, "%.64s: %.*s", variable,
             (int)sizeof error->message - 70, message);
}

enum err config_set_environment(struct config *config,
                                const char *(*get)(void *user, const char *name), void *user,
                                struct error *error)
{
    for (size_t i = 0; i < config->schema->environment_count; i++) {
        const struct config_alias *row = &config->schema->environment[i];
        const char *value = get(user, row->alias);
        if (!value || !value[0])
            continue;
        struct entry *entry = find_entry(config, str_from_cstr(row->key));
        if (entry && entry->text[CONFIG_ENVIRONMENT].data)
            continue; /* several variables for one key: the first in the table wins */
        enum err code = config_set(config, CONFIG_ENVIRONMENT, str_from_cstr(row->key),
                                   str_from_cstr(value), str_from_cstr(row->alias), error);
        if (code != ERR_OK) {
            name_variable(error, row->alias);
            return code;
        }
    }
    return ERR_OK;
}

static void fill_value(const struct entry *entry, struct config_value *ret)
{
    int source = CONFIG_SOURCE_COUNT - 1;
    while (source > 0 && !entry->text[source].data)
        source--;
    *ret = (struct config_value){entry->key, entry->name, entry->text[source],
                                 (enum config_source)source, entry->where[source]};
}

bool config_find(const struct config *config, struct str name, struct config_value *ret_value)
{
    const struct entry *entry = find_entry(config, name);
    if (entry) {
        fill_value(entry, ret_value);
        return true;
    }
    const struct config_key *key = find_key(config, name);
    if (key)
        *ret_value = (struct config_value){key, name, str_from_cstr(key->default_text),
                                           CONFIG_DEFAULT, STR_NONE};
    return key != NULL;
}

struct str config_get(const struct config *config, const char *name)
{
    struct config_value value;
    return config_find(config, str_from_cstr(name), &value) ? value.text : STR_NONE;
}

int64_t config_get_int(const struct config *config, const char *name)
{
    int64_t number = 0;
    str_to_i64(config_get(config, name), &number);
    return number;
}

bool config_get_bool(const struct config *config, const char *name)
{
    bool truth = false;
    is_boolean(config_get(config, name), &truth);
    return truth;
}

/* What stands in place of `*` when `entry` is below `group`, else STR_NONE. */
static struct str member_of(const struct entry *entry, struct str group)
{
    struct str pattern = str_from_cstr(entry->key->name);
    if (!str_starts_with(pattern, group) ||
        !str_starts_with(str_skip(pattern, group.len), STR(".*")))
        return STR_NONE;
    return member_in(pattern, entry->name);
}

static bool has_text(const struct entry *entry)
{
    for (int source = CONFIG_STORED; source < CONFIG_SOURCE_COUNT; source++)
        if (entry->text[source].data)
            return true;
    return false;
}

bool config_next(const struct config *config, size_t *position, struct config_value *ret_value)
{
    for (; *position < config->count; (*position)++) {
        const struct entry *entry = &config->entries[*position];
        if (strchr(entry->key->name, '*') && !has_text(entry))
            continue; /* it was set once: the name is not in use any more */
        fill_value(entry, ret_value);
        (*position)++;
        return true;
    }
    return false;
}

bool config_next_member(const struct config *config, const char *group, size_t *position,
                        struct str *ret_member)
{
    for (; *position < config->count; (*position)++) {
        struct str word = has_text(&config->entries[*position])
                              ? member_of(&config->entries[*position], str_from_cstr(group))
                              : STR_NONE;
        bool seen = !word.data;
        for (size_t i = 0; i < *position && !seen; i++)
            seen = has_text(&config->entries[i]) &&
                   str_eq(member_of(&config->entries[i], str_from_cstr(group)), word);
        if (seen)
            continue;
        (*position)++;
        *ret_member = word;
        return true;
    }
    return false;
}
