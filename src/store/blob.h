/* Blob: the contents of files, each a file of its own in DATA_DIR/files/<2 characters>/<id>, 0600.
 * Written under another name, synced, then renamed: what has its name is whole. Everything here
 * blocks: for the pool, or at start. Any thread, but one at a time for one id. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/id.h"

enum { BLOB_SHA256_CHARS = 64 };

struct blob {
    struct str content; /* mapped, read only; valid until blob_unmap, also when it is deleted */
};

/* Puts `bytes` at `offset` (what was there from it on is cut off) of content that is not whole yet;
 * the first ones make it. ERR_CONFLICT: another one is writing to it, or `offset` is not within what
 * is there. */
MUST_USE enum err blob_append(const char *directory, const struct id *id, uint64_t offset,
                              struct str bytes, struct error *error);
/* How much of it is there; ERR_NOT_FOUND: nothing. */
MUST_USE enum err blob_begun_bytes(const char *directory, const struct id *id, uint64_t *ret_bytes,
                                   struct error *error);
/* It is whole: durable under its name. The hash in hexadecimal, with a NUL. */
MUST_USE enum err blob_commit(const char *directory, const struct id *id, uint64_t *ret_bytes,
                              char ret_sha256[BLOB_SHA256_CHARS + 1], struct error *error);
/* All of it at once. After an error nothing is left of it. */
MUST_USE enum err blob_write(const char *directory, const struct id *id, struct str content,
                             char ret_sha256[BLOB_SHA256_CHARS + 1], struct error *error);

/* ERR_NOT_FOUND: it is not there. */
MUST_USE enum err blob_map(const char *directory, const struct id *id, struct blob *ret_blob,
                           struct error *error);
void blob_unmap(struct blob *blob);
/* Up to `size` bytes from `offset`; *ret_len is smaller only at the end. */
MUST_USE enum err blob_read(const char *directory, const struct id *id, uint64_t offset, char *ret,
                            size_t size, size_t *ret_len, struct error *error);

/* A copy of it in `folder`/<2 characters>/, not synced: of the whole one, or (is_begun) of what is there
 * of one that is not, or was not a moment ago. ERR_NOT_FOUND: it is not there. */
MUST_USE enum err blob_copy(const char *directory, const struct id *id, bool is_begun,
                            const char *folder, uint64_t *ret_bytes, struct error *error);

/* Whole or begun. That it is not there is no error. */
MUST_USE enum err blob_delete(const char *directory, const struct id *id, struct error *error);
/* Deletes whatever is_known says no to, and what is no content at all. Before anything writes. */
MUST_USE enum err blob_sweep(const char *directory,
                             bool (*is_known)(void *user, const struct id *id), void *user,
                             size_t *ret_deleted, struct error *error);
