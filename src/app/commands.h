/* Sub-commands. Each gets what the command line left for it and gives the program's exit status:
 * 0 done, 1 failed (said why on standard error), 2 used wrongly. */
#pragma once

#include "app/config_load.h"
#include "app/local_client.h"

struct command {
    const char *name;
    const char *usage; /* what follows the name */
    const char *summary;
    const char *const *options;  /* own options, NULL-terminated; or NULL */
    const char *const *switches; /* the same, of those without a value */
    int (*run)(struct config *config, const struct config_arguments *arguments);
};

/* The end has name NULL. */
extern const struct command commands[];

/* Prints an error with its field and remedy to standard error; returns 1. */
int command_fail(const struct error *error);

/* Prints how the command is used to standard error; returns 2. */
int command_usage(const char *name);

/* ---- The commands ---------------------------------------------------------------------------- */
int command_serve(struct config *config, const struct config_arguments *arguments);
int command_check(struct config *config, const struct config_arguments *arguments);
int command_user(struct config *config, const struct config_arguments *arguments);
int command_key(struct config *config, const struct config_arguments *arguments);
int command_limit(struct config *config, const struct config_arguments *arguments);
int command_backup(struct config *config, const struct config_arguments *arguments);
int command_show_usage(struct config *config, const struct config_arguments *arguments);
int command_import(struct config *config, const struct config_arguments *arguments);
int command_selftest(struct config *config, const struct config_arguments *arguments);
