/* Host: what the doors ask of the wiring: the configuration in force, changing it, asking
 * providers. Changes and questions run on the first worker's loop, where the registry lives. */
#pragma once

#include "api/api.h"
#include "app/worker.h"

struct host;

/* Takes `config` over (the stored settings are already in it). */
struct host *host_new(struct config *config, struct store *store, struct registry *registry,
                      struct log *log);
void host_free(struct host *host);
const struct api_host *host_api(struct host *host);
/* The worker whose loop changes run on; before anything listens. */
void host_set_worker(struct host *host, struct worker *worker);
void host_set_ready(struct host *host, bool ready);

/* Puts what was changed in the browser into `config`. Blocks; at start-up. Stored settings that no
 * longer exist or fit are logged and left alone. */
MUST_USE enum err host_load_stored(struct config *config, struct store *store, struct log *log,
                                   struct error *error);
