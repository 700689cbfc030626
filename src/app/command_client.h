/* What sub-commands that ask the REST API share: opening, calling, printing rows, finding people. */
#pragma once

#include "app/commands.h"
#include "app/local_client.h"
#include "base/id.h"

/* Of a call's body. */
struct command_body {
    struct buf out;
    struct json_writer w;
};
/* Begins an object; end it with command_send. */
void command_body_begin(struct command_body *body);

/* Opens the client, taking `config` over; 0, or the exit status (it has been said why). */
int command_open(struct config *config, struct local_client **ret_client);
/* The same, for a call with `body` (NULL: none). The answer lives as long as the client. */
int command_call(struct local_client *client, enum http_method method, const char *target,
                 struct buf *body, yyjson_val **ret_root);
/* Ends the object, calls, and gives it back. */
int command_send(struct local_client *client, enum http_method method, const char *target,
                 struct command_body *body, yyjson_val **ret_root);
/* Prints each of a list. */
int command_list(struct local_client *client, const char *target, const char *list,
                 void (*print)(yyjson_val *row));
/* Whether the words are `verb` and `more` others. */
bool command_is(const struct config_arguments *arguments, const char *verb, int more);
/* The id of the one in the list whose `member` or id is `name`; 0, or the exit status. */
int command_find(struct local_client *client, const char *target, const char *list,
                 const char *member, const char *name, struct id *ret);

/* One row of a table of what a sub-command can do. */
struct command_verb {
    const char *name;
    int words; /* that follow */
    int (*run)(struct local_client *client, const struct config_arguments *arguments);
};
/* Opens the client and runs the row that fits (a table ends with name NULL); how it is used
 * otherwise. */
int command_run(struct config *config, const struct config_arguments *arguments,
                const char *command, const struct command_verb *verbs);
