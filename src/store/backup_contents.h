/* The contents of files that a copied database has rows of, copied beside it. */
#pragma once

#include "store/sqlite.h"

/* Copies them from DATA_DIR `directory` into the folder `path`.files, which is made when there is one
 * and must not exist, and syncs it. A file that was deleted since the database was copied goes from
 * the copy as well: what it has rows of is there. Adds to *bytes. After an error no folder is left
 * that was made here. Blocks. */
MUST_USE enum err backup_contents(struct sqlite *copy, const char *directory, const char *path,
                                  uint64_t *bytes, struct error *error);
