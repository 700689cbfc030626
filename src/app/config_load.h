/* Loading the configuration: parley.yaml, .env, the environment, the command line. */
#pragma once

#include "base/arena.h"
#include "base/config.h"

/* Reads a YAML file of nested mappings into `config` (source CONFIG_FILE). Names of nested keys are
 * joined by dots, lists of scalars by commas. Every error names file and line and, for an unknown
 * key, the nearest right one. A file that does not exist is ERR_NOT_FOUND. */
MUST_USE enum err config_load_file(struct config *config, const char *path, struct error *error);
/* The same from text; `path` is for messages only. */
MUST_USE enum err config_load_yaml(struct config *config, struct str text, const char *path,
                                   struct error *error);

/* Variables of a `.env` file: NAME=value lines, comments with #, optional `export`, values bare or
 * in single or double quotes. Sets those that the process's environment lacks (setenv), before any
 * thread exists. A missing file is fine; a broken line is ERR_INVALID with its number. */
MUST_USE enum err config_load_env_file(const char *path, struct error *error);

/* What a command line holds: --name value, --name=value, --set key=value, --config path, the
 * sub-command's own options, and the rest. */
enum { CONFIG_OWN_MAX = 8 };
struct config_arguments {
    const char *const *own_names; /* of the sub-command's options, NULL-terminated; or NULL */
    /* Their values, STR_NONE when not given; of one given several times, joined by commas. */
    struct str own[CONFIG_OWN_MAX];
    const char *const *switch_names; /* of those that have no value; or NULL */
    bool switched[4];                /* whether each was given */
    const char *config_path;         /* of --config, or NULL */
    char **rest;                     /* what is no flag, in order */
    int rest_count;
};
/* Finds everything but the settings; those are applied by config_apply_flags once the file is
 * loaded. `ret->own_names` and `ret->switch_names`
 * are set by the caller. */
MUST_USE enum err config_scan_arguments(struct arena *arena, int argc, char **argv,
                                        struct config_arguments *ret, struct error *error);
MUST_USE enum err config_apply_flags(struct config *config, int argc, char **argv,
                                     const struct config_arguments *arguments, struct error *error);

/* All of it in order: .env, the file (--config, else ./parley.yaml, else /etc/parley/parley.yaml,
 * if there), environment, flags. */
MUST_USE enum err config_load(struct arena *arena, int argc, char **argv,
                              struct config **ret_config, struct config_arguments *ret_arguments,
                              struct error *error);
