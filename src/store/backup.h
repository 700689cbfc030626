/* Backup: a consistent copy made in short steps through the writer's own connection, so that what
 * is written meanwhile goes into the copy too, and nothing begins anew. */
#pragma once

#include "store/sqlite.h"

struct writer;

/* Copies the writer's database to `path`, which must not exist, and the contents of its files from
 * DATA_DIR `directory` (see backup_contents.h). Blocks until it is complete and durable. ERR_CONFLICT: `path` exists, or another backup is under way. */
MUST_USE enum err backup_run(struct writer *writer, const char *directory, const char *path,
                             uint64_t *ret_bytes, struct error *error);

/* ---- For the writer's thread ------------------------------------------------------------------
 */
struct backup;
/* Copies a little; false when it is over, well or not. */
bool backup_step(struct backup *backup, struct sqlite *source);
/* Gives back what belongs to the source and wakes backup_run, after which `backup` is gone. */
void backup_end(struct backup *backup);
