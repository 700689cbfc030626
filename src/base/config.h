/* Configuration, the mechanism: keys declared by a table, values from five sources, and for every
 * value where it came from. Which keys there are is the program's business (src/app/settings.c). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* Lowest first: a later source wins. */
enum config_source {
    CONFIG_DEFAULT,
    CONFIG_STORED, /* changed in the browser */
    CONFIG_FILE,
    CONFIG_ENVIRONMENT,
    CONFIG_FLAG,
    CONFIG_SOURCE_COUNT
};
const char *config_source_name(enum config_source source);

enum config_type { CONFIG_STRING, CONFIG_INTEGER, CONFIG_BOOLEAN, CONFIG_ENUM, CONFIG_SECRET };
const char *config_type_name(enum config_type type);

/* One key. A name may hold one `*` for a name that the user chooses ("providers.*.base_url",
 * "prices.*"), in which there may be dots ("gpt-5.5"). */
struct config_key {
    const char *name;
    enum config_type type;
    const char *default_text; /* NULL: no value */
    const char *options;      /* ENUM: "a|b|c" */
    int64_t
        minimum; /* INTEGER: the range, when maximum > minimum; SECRET and STRING: maximum bytes */
    int64_t maximum;
    bool storable;           /* may be changed in the browser */
    const char *description; /* one sentence */
    /* STRING: what else must hold; its error needs no field. NULL: nothing. */
    enum err (*check)(struct str text, struct error *error);
};

/* Another name for a key: an environment variable, or a command-line flag without its dashes. */
struct config_alias {
    const char *alias;
    const char *key; /* a full name, without `*` */
};

struct config_schema {
    const struct config_key *keys;
    size_t key_count;
    const struct config_alias *environment;
    size_t environment_count;
    const struct config_alias *flags;
    size_t flag_count;
};

struct config;

/* All defaults. `schema` must outlive it. Not for several threads at once: build it, then only
 * read it. */
struct config *config_new(const struct config_schema *schema);
struct config *config_copy(const struct config *config);
void config_free(struct config *config);

/* Sets (text not STR_NONE) or clears (STR_NONE) what one source says about `name`. `where`: the
 * exact place for messages ("parley.yaml:3", "PORT"), copied. ERR_NOT_FOUND: no such key, the
 * message has the nearest right name; ERR_INVALID: not of its type or range. error->field is the
 * name. */
MUST_USE enum err config_set(struct config *config, enum config_source source, struct str name,
                             struct str text, struct str where, struct error *error);
/* Checks without setting. */
MUST_USE enum err config_check(const struct config *config, struct str name, struct str text,
                               struct error *error);
/* Takes every variable of the schema's environment table that is set and not empty. */
MUST_USE enum err config_set_environment(struct config *config,
                                         const char *(*get)(void *user, const char *name),
                                         void *user, struct error *error);

/* The value in force, as text: never NULL-terminated promises beyond len; STR_NONE when there is
 * none. `name` is a full name. */
struct str config_get(const struct config *config, const char *name);
int64_t config_get_int(const struct config *config, const char *name);
bool config_get_bool(const struct config *config, const char *name);
/* Whether a text that config_check lets pass as a BOOLEAN means true; STR_NONE does not. */
bool config_text_is_true(struct str text);

/* One key with its value, for lists. */
struct config_value {
    const struct config_key *key;
    struct str name; /* full */
    struct str text; /* in force; STR_NONE when there is none */
    enum config_source source;
    struct str where; /* empty for defaults */
};
/* Walks all values, in the order of the schema: start with *position = 0, false at the end. Keys
 * with
 * `*` appear once for every name in use. */
bool config_next(const struct config *config, size_t *position, struct config_value *ret_value);
/* The value of one full name; false when there is no such key. */
bool config_find(const struct config *config, struct str name, struct config_value *ret_value);
/* Walks the names in use in place of `*` below `group` ("providers"): start with *position = 0. */
bool config_next_member(const struct config *config, const char *group, size_t *position,
                        struct str *ret_member);
