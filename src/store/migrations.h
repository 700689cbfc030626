/* Migrations: the schema as a numbered list of steps, each applied once, in its own transaction. */
#pragma once

#include "store/sqlite.h"

/* Checks that the database is empty or ours and not from a newer version (ERR_CORRUPT), switches
 * it to a write-ahead log, and applies the steps it does not have yet. */
MUST_USE enum err migrations_apply(struct sqlite *sqlite, struct error *error);
/* The same up to a version, for tests that need an older database. */
MUST_USE enum err migrations_apply_until(struct sqlite *sqlite, int64_t last, struct error *error);
/* The same check alone, changing nothing: for a connection opened again. ERR_CORRUPT also when
 * steps are missing. */
MUST_USE enum err migrations_verify(struct sqlite *sqlite, struct error *error);
