/* Settings: every key there is, its default, its environment variable and its flag: one table,
 * which is also the documentation (parley check, the settings page). */
#pragma once

#include "base/arena.h"
#include "base/config.h"

extern const struct config_schema settings_schema;

/* "0.25" in nano-dollars; false when it is no such amount, and more than a million. */
bool settings_usd(struct str text, int64_t *ret_nano);
/* The same as a key's check. */
enum err settings_check_usd(struct str text, struct error *error);

/* What is wrong with a setting, for a person: where it was set, its name, the message and the
 * remedy. */
struct str settings_complaint(struct arena *arena, struct str where, const struct error *error);
