/* Settings: every key there is, its default, its environment variable and its flag: one table,
 * which is also the documentation (parley check, the settings page). */
#pragma once

#include "base/config.h"

extern const struct config_schema settings_schema;
