/* Routes and prices out of the configuration. */
#pragma once

#include "base/arena.h"
#include "base/config.h"
#include "route/catalog.h"

/* Adds to `configuration`, whose entries are there already, what `config` says: its routes (a wrong
 * one with a message that names the setting, where it was set, and the remedy), the policy of
 * everything else, and prices. In `arena`, but for what is borrowed from `config`. */
void routes_read(const struct config *config, struct log *log, struct arena *arena,
                 struct registry_configuration *configuration);
