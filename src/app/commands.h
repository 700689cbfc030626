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

/* ---- What sub-commands that ask the server have in common ------------------------------------ */
enum { COMMAND_BODY_BYTES_MAX = 64 * 1024 };
/* Opens the client, and takes `config` over; 0, or the exit status. */
int command_open_client(struct config *config, struct local_client **ret_client);
/* One REST call; `body` may be NULL. 0, or the exit status, with the error told. */
int command_call(struct local_client *client, enum http_method method, const char *target,
                 struct buf *body, yyjson_val **ret_root);
/* Prints every row of the list that is the member `list` of the answer to GET. */
int command_list_rows(struct local_client *client, const char *target, const char *list,
                      void (*print)(yyjson_val *row));
/* Whether the words are `verb` and `more` others. */
bool command_is(const struct config_arguments *arguments, const char *verb, int more);

/* ---- The commands ---------------------------------------------------------------------------- */
int command_serve(struct config *config, const struct config_arguments *arguments);
int command_check(struct config *config, const struct config_arguments *arguments);
int command_user(struct config *config, const struct config_arguments *arguments);
int command_key(struct config *config, const struct config_arguments *arguments);
int command_limit(struct config *config, const struct config_arguments *arguments);
int command_backup(struct config *config, const struct config_arguments *arguments);
int command_selftest(struct config *config, const struct config_arguments *arguments);
