/* Local client: how sub-commands talk to the data. One process owns it: the running server is asked
 * over its Unix socket; when none runs, one that listens on nothing else is started for the moment.
 */
#pragma once

#include <stdio.h>

#include "base/config.h"
#include "base/json.h"
#include "net/http.h"

struct local_client;

/* Connects or starts. Takes `config` over. Errors are for a person. Blocks. */
MUST_USE enum err local_client_open(struct config *config, struct local_client **ret_client,
                                    struct error *error);
void local_client_close(struct local_client *client);
/* Whether a server was running already. */
bool local_client_is_remote(const struct local_client *client);

/* One REST call: `body` is JSON or empty. The parsed answer (NULL for an empty one) lives as long
 * as the client. An error answer becomes its error, with message, field and remedy. Blocks, for two
 * minutes at most. */
MUST_USE enum err local_client_call(struct local_client *client, enum http_method method,
                                    const char *target, struct str body, yyjson_val **ret_root,
                                    struct error *error);
/* The same without a limit of time: for what takes as long as there is data. */
MUST_USE enum err local_client_wait(struct local_client *client, enum http_method method,
                                    const char *target, struct str body, yyjson_val **ret_root,
                                    struct error *error);
/* GET: an answer that is well goes into `out` as it comes, whatever its form, without a limit of time
 * or size. Errors as above; what was written before one is not whole. */
MUST_USE enum err local_client_copy(struct local_client *client, const char *target, FILE *out,
                                    struct error *error);
