/* Providers out of the configuration. */
#pragma once

#include "base/config.h"
#include "route/catalog.h"

/* Gives the registry what the configuration says: every configured provider (a wrong one with its
 * message), an Ollama at its default address, and the built-in one; every route (likewise), and
 * prices. */
void providers_configure(struct registry *registry, const struct config *config, struct log *log);
